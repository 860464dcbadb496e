"""The engine: what a scenario's steps become, and what becomes of a run in which something breaks."""

import contextlib
import signal

import attrs
import pytest

from mpwake.checks import core
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Role, registry
from mpwake.spec.verdicts import Verdict
from mpwake.suite import case, events
from mpwake.suite.engine import Options, run
from mpwake.suite.errors import Interrupted, NothingSelected
from mpwake.suite.interrupt import Interrupt
from mpwake.suite.mutants import judge_all
from mpwake.suite.selection import select
from mpwake.targets import open_target
from mpwake.targets.model import platform_names


def run_on(spec, *words, edition=None, listeners=()):
    target = open_target(spec)
    if edition:
        target = target.held_to(edition, "asked")
    return run(target, select(words, target.roles), Options(), *listeners)


def verdicts(result):
    return {one.selected.id: one.verdict for one in result.results}


@pytest.mark.parametrize("name", platform_names())
def test_gherkin_and_the_checks_alone_come_to_the_same(name):
    result = run_on(f"model:{name}")
    target = open_target(f"model:{name}")
    expected = {}
    for role in target.roles:
        expected |= {(one, role): judged.verdict for one, judged in judge_all(target.evidence(role), role).items()}
    found = {(one.selected.id, Role(one.selected.role)): one.verdict for one in result.results}
    beyond = {key: verdict for key, verdict in found.items() if registry()[key[0]].unobservable}
    assert set(beyond.values()) <= {Verdict.NOT_TESTABLE}
    assert found == beyond | expected


def test_every_event_reaches_every_listener_in_order():
    told, again = [], []
    result = run_on("model:acpi-6.4", "MADT-02", "MADT-07", listeners=(told.append, again.append))
    kinds = [event.event for event in told]
    assert kinds == ["header", "started", "scenario", "started", "scenario", "footer"]
    assert told == again
    assert events.fold(told) == result


def test_the_header_tells_what_was_tested_and_by_what():
    header = run_on("model:reference", "MADT-07").header
    assert header.edition == "acpi-6.6"
    assert [one.name for one in header.subject.inputs][:5] == [
        "scenarios/platforms/reference.yaml",
        "scenarios/agents/acpi-6.6.yaml",
        "scenarios/agents/os-reference.yaml",
        "scenarios/systems/os-reference.yaml",
        "MADT",
    ]
    assert len(header.subject.inputs[0].sha256) == 64
    assert [one.id for one in header.selected] == ["MADT-07"]
    assert header.selected[0].clause == "acpi-6.6: section 5.2.12.19, Table 5.45"


def test_the_edition_takes_requirements_out_with_a_reason():
    result = run_on("model:acpi-6.4", "MADT-02", edition=Edition.ACPI_6_6).results[0]
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert result.reason == "stated by acpi-6.4, acpi-6.5, and this run is held against acpi-6.6"


def test_a_step_that_does_not_hold_ends_the_scenario():
    scenario = run_on("model:acpi-6.4", "MADT-10").results[0].scenarios[0]
    assert [step.status for step in scenario.steps] == ["skipped", "skipped", "skipped"]


def breaking(monkeypatch, id, error):
    def judge(_tables):
        raise error

    key = (id, Role.TABLES)
    monkeypatch.setitem(core.CHECKS, key, attrs.evolve(core.CHECKS[key], judge=judge))
    original = case.core.judge
    monkeypatch.setattr(case.core, "judge", lambda one, evidence: original(core.CHECKS[one.id, one.role], evidence))


@pytest.mark.parametrize("error", [ValueError("oops"), AssertionError("oops"), RecursionError("oops")])
def test_a_check_that_raises_is_an_error_of_the_harness(monkeypatch, error):
    breaking(monkeypatch, "MADT-07", error)
    result = run_on("model:reference", "MADT-07", "MADT-05")
    assert verdicts(result) == {"MADT-05": Verdict.PASS, "MADT-07": Verdict.ERROR}
    assert result.footer.exit_code == 3
    assert "oops" in result.results[1].reason


def test_a_hook_that_breaks_is_an_error_and_not_a_skip(monkeypatch):
    def fails(*_):
        raise RuntimeError("the hook is at fault")

    monkeypatch.setattr("mpwake.suite.engine.Case", fails)
    with pytest.raises(RuntimeError):
        run_on("model:reference", "MADT-07")


def test_a_scenario_that_behave_left_out_is_an_error(monkeypatch):
    monkeypatch.setattr("mpwake.suite.engine._behave", lambda _run: None)
    result = run_on("model:reference", "MADT-07")
    assert result.results[0].verdict is Verdict.ERROR
    assert result.results[0].reason == "behave did not run this scenario"
    assert result.footer.exit_code == 3


def test_ctrl_c_leaves_a_stream_without_a_footer(monkeypatch):
    told = []
    original = case.core.judge

    def interrupt(one, evidence):
        if one.id == "MADT-07":
            raise KeyboardInterrupt
        return original(one, evidence)

    monkeypatch.setattr(case.core, "judge", interrupt)
    with pytest.raises(Interrupted):
        run_on("model:reference", "MADT-05", "MADT-07", listeners=(told.append,))
    assert [event.event for event in told] == ["header", "started", "scenario", "started"]
    assert not events.fold(told).complete


@pytest.mark.parametrize(("presses", "scenarios"), [(1, 2), (2, 1), (3, 1)])
def test_the_first_ctrl_c_lets_a_scenario_end_and_the_second_does_not(monkeypatch, presses, scenarios):
    told, interrupt = [], Interrupt()
    original = case.core.judge

    def press(one, evidence):
        if one.id == "MADT-07":
            for _ in range(presses):
                # A callback that C calls loses the exception, as this does.
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
        return original(one, evidence)

    monkeypatch.setattr(case.core, "judge", press)
    target = open_target("model:reference")
    chosen = select(("MADT-05", "MADT-07", "MADT-12"), target.roles)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupt.caught(), interrupt.awaited(), pytest.raises(Interrupted):
            run(target, chosen, Options(interrupt=interrupt), told.append)
    finally:
        signal.signal(signal.SIGINT, before)
    kinds = [event.event for event in told]
    assert (kinds.count("scenario"), "footer" in kinds) == (scenarios, False)


def test_nothing_selected_is_an_error():
    with pytest.raises(NothingSelected):
        select((), frozenset())
    with pytest.raises(NothingSelected):
        select(("KEX-01",), frozenset({Role.TABLES}))


def test_the_evidence_of_a_pass_is_kept_too():
    seen = run_on("model:reference", "MADT-07").results[0].seen
    assert [one.ok for one in seen] == [True]
    assert seen[0].exhibits[0].data


def test_a_run_selects_every_requirement_of_the_role_once():
    ids = [one.selected.id for one in run_on("model:both").results]
    order = [one.id for one in registry().requirements.values() if Role.TABLES in one.roles]
    assert ids == order
