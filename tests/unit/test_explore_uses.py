"""What the explorer is for: time-outs of any length, several callers, second wakes; and that what it found is kept."""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import pytest

from mpwake.checks.core import find, judge
from mpwake.evidence.trace import Kind
from mpwake.model.agent import load_agent
from mpwake.model.explore.exploring import Exploration, Reductions
from mpwake.model.explore.local import Side
from mpwake.model.explore.search import Bounds, Search
from mpwake.model.explore.tables import Setup
from mpwake.model.probe import Schedule
from mpwake.model.program import compile_node
from mpwake.model.scenario import ScenarioFile
from mpwake.model.simulator import Simulation, simulate_ticks
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import declared
from mpwake.targets.exploration import Explored, Task, explore, probe_of, setup_of, sides
from mpwake.targets.scenario import open_scenario
from support.cli import environment, mpwake
from support.mutants import platform_of

MEMORIES: tuple[Literal["sc", "tso", "relaxed"], ...] = ("sc", "tso", "relaxed")
FEATURES = Path(__file__).parents[2] / "features"
NO = Reductions(symmetry=False, partial_order=False)
reference = functools.cache(lambda: sides("reference"))


def setup(sender: document.Node, receiver: str, aps: int, memory: str, **more: Any) -> Setup:
    both = attrs.evolve(reference(), sender=compile_node(sender), receiver=compile_node(load_agent(receiver)))
    return attrs.evolve(setup_of(both, probe_of(tuple(0x11 + 0x100 * n for n in range(aps))), memory, True), **more)


def seen(one: Setup) -> tuple[Search, frozenset[str]]:
    exploration = Exploration(one, NO, Bounds())
    search = exploration.search(frozenset())
    search.run()
    return search, frozenset(wrong.name for wrong in search.hits)


# Time-outs


def gives_up(name: str, tries: int) -> document.Node:
    text = json.dumps(load_agent(name).plain())
    assert '"tries", "value": ' in text
    old = {"asterinas": 1000, "linux-tdx-acpi": 255}[name]
    return document.parse(text.replace(f'"value": {old}', f'"value": {tries}'), name)


@pytest.mark.parametrize("memory", ["sc", "tso"])
@pytest.mark.parametrize("name", ["asterinas", "linux-tdx-acpi"])
def test_a_count_of_polls_changes_nothing(name: str, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = seen(setup(gives_up(name, 1), "acpi-6.4", 2, memory))
    far = seen(setup(gives_up(name, 255), "acpi-6.4", 2, memory))
    assert (far[0].states, far[0].transitions, far[1]) == (one[0].states, one[0].transitions, one[1])
    monkeypatch.setattr(Side, "uncounted", lambda _self, _pc: False)
    counted = seen(setup(gives_up(name, 3), "acpi-6.4", 2, memory))
    assert counted[0].states > far[0].states
    assert counted[1] == far[1]


@pytest.mark.parametrize("name", ["asterinas", "linux-tdx-acpi"])
def test_a_late_processor_is_found_after_any_number_of_polls(name: str) -> None:
    found = explore(Task(name, 1, "sc"))
    violation = found.exploration.violation
    assert violation and found.scenario
    # Linux takes the command back, which the processor has seen by then.
    what, tries = {"asterinas": ("has given it up", 1000), "linux-tdx-acpi": ("Command is 0 already", 255)}[name]
    assert what in violation.what
    assert any(f"loads Command = 0x1, {tries} times" in step.did for step in violation.steps)


def test_a_count_that_is_read_after_the_poll_is_kept() -> None:
    text = json.dumps(load_agent("asterinas").plain()).replace('{"return": 0}', '{"return": "tries"}')
    side = Side(0, compile_node(document.parse(text, "asterinas")), 0, (), "sc", _grid())
    poll = next(at for at, row in enumerate(side.rows) if row[0] == 6)
    assert not side.uncounted(poll)


def _grid() -> Any:
    from mpwake.model.explore.local import grid_of

    return grid_of((compile_node(load_agent("asterinas")),))


def test_more_polls_than_a_schedule_has_steps_are_not_explored() -> None:
    from mpwake.model.explore.local import Unexplorable
    from mpwake.model.explore.tables import Behaviours

    with pytest.raises(Unexplorable, match="gives up after 10000000 polls"):
        Behaviours(setup(gives_up("asterinas", 10_000_000), "acpi-6.4", 1, "sc"))


# Checkpoints

LONG = ("explore", "reference", "--aps", "7", "--no-symmetry", "--no-por", "--format", "json")


def test_what_sigkill_ends_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "mpwake", *LONG, "--checkpoint", str(kept), "--every", "0.1"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as process:
        ends = time.monotonic() + 120
        while not kept.exists() and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with np.load(kept) as file:
        before = len(file["table"])
    again = mpwake(*LONG, "--resume", kept, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert 0 < before < told["states"]
    whole = seen(setup(load_agent("os-reference"), "acpi-6.6", 7, "tso"))[0]
    assert (told["states"], told["transitions"], told["complete"]) == (whole.states, whole.transitions, True)


def test_a_search_that_a_bound_ended_goes_on_with_a_wider_one(tmp_path: Path) -> None:
    task = Task("reference", 5, reductions=NO, bounds=Bounds(states=9_000), checkpoint=tmp_path / "kept")
    assert "more than 9000 states" in explore(task).exploration.incomplete
    wider = explore(attrs.evolve(task, bounds=Bounds(), checkpoint=None, resume=tmp_path / "kept")).exploration
    assert wider == explore(Task("reference", 5, reductions=NO)).exploration


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    task = Task("reference", 4, reductions=NO, checkpoint=tmp_path / "nowhere" / "kept", every=0)
    with pytest.raises(InputError, match="--checkpoint: No such file"):
        explore(task)


# Several callers, and processors that are asked for twice


def replays(explored: Explored, folder: Path) -> tuple[str, ...]:
    """Write the scenario, and return what fails when it is opened and judged again."""
    assert explored.scenario
    path = folder / "scenario.yaml"
    path.write_text(document.dump(explored.scenario), encoding="utf-8")
    target = open_scenario(path)
    behaviour = target.driven[explored.scenario.role]
    judged = {name: judge(find(name, explored.scenario.role), behaviour) for name in target.selects}
    return tuple(name for name, one in judged.items() if one.verdict is Verdict.FAIL)


@pytest.mark.parametrize("memory", MEMORIES)
def test_without_a_lock_two_callers_mix_their_commands(memory: Any, tmp_path: Path) -> None:
    found = explore(Task("reference", 2, memory, callers=2))
    violation = found.exploration.violation
    assert violation and violation.role is Role.SENDER
    assert violation.what == "OS 2 stores Command = 0x1 over a command that is pending"
    asked = ("SND-02", "SND-05") if memory == "relaxed" else ("SND-02", "SND-05", "SND-10")
    assert violation.requirements == asked
    assert replays(found, tmp_path) == asked


@pytest.mark.parametrize(("aps", "callers"), [(1, 2), (2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("memory", MEMORIES)
def test_with_a_lock_nothing_goes_wrong(memory: Any, aps: int, callers: int) -> None:
    found = explore(Task("reference", aps, memory, agent="os-locked", callers=callers)).exploration
    assert (found.verdict, found.incomplete) == (Verdict.PASS, "")
    assert len(found.ids) == 1 + aps


def test_a_lock_that_is_not_taken_in_one_step_is_none(tmp_path: Path) -> None:
    lines: Any = load_agent("os-locked").plain()
    at = next(number for number, one in enumerate(lines["program"]) if "swap" in one)
    lock = {"at": 16, "width": 1}
    lines["program"][at] = {"load": {"to": "held", "from": lock}}
    lines["program"].insert(at + 2, {"fence": True})
    lines["program"].insert(at + 2, {"store": {"to": lock, "value": 1}})
    (tmp_path / "two-steps.yaml").write_text(json.dumps(lines))
    found = explore(Task("reference", 2, "sc", agent=str(tmp_path / "two-steps.yaml"), callers=2))
    assert found.exploration.violation
    assert "SND-10" in replays(found, tmp_path)


def test_nobody_is_woken_twice_by_a_bring_up_that_asks_in_time() -> None:
    for memory in MEMORIES:
        for aps, agent, callers in ((2, None, 1), (1, "os-locked", 2)):
            found = explore(Task("reference", aps, memory, agent, twice=True, callers=callers)).exploration
            assert (found.verdict, found.incomplete) == (Verdict.PASS, "")


@pytest.mark.parametrize(
    ("platform", "agent", "callers", "fails"),
    [
        ("linux-6.1", None, 1, ("DUP-01", "DUP-04")),
        ("reference", "linux-6.1", 1, ("DUP-04",)),
        ("reference", "os-guard-outside", 2, ("DUP-04",)),
    ],
)
def test_a_second_wakeup_is_found(
    platform: str, agent: str | None, callers: int, fails: tuple[str, ...], tmp_path: Path
) -> None:
    found = explore(Task(platform, 1, "tso", agent, twice=True, callers=callers))
    violation = found.exploration.violation
    assert violation and "sends a Wakeup to a processor that has landed" in violation.what
    assert violation.requirements == fails
    assert replays(found, tmp_path) == fails


def test_a_guard_outside_the_lock_is_wrong_only_where_two_ask_at_a_time() -> None:
    for callers, verdict in ((1, Verdict.PASS), (2, Verdict.FAIL)):
        task = Task("reference", 1, "tso", "os-guard-outside", twice=True, callers=callers)
        assert explore(task).exploration.verdict is verdict


def test_a_loop_that_sees_its_own_command_again_lands_a_second_time(tmp_path: Path) -> None:
    text = json.dumps(load_agent("acpi-6.4").plain())
    assert '{"jump": "vector"}' in text
    store = '{"store": {"to": "Command", "value": 0}}'
    assert store in text
    again = text.replace(
        f'{store}, {{"jump": "vector"}}', f'{{"enter": "vector"}}, {store}, {{"branch": {{"to": "park"}}}}'
    )
    assert again != text
    once = again.replace(f'{{"enter": "vector"}}, {store}', f'{store}, {{"enter": "vector"}}')
    for program, verdict in ((once, Verdict.PASS), (again, Verdict.PASS)):
        (tmp_path / "loop.yaml").write_text(program)
        assert explore(Task("reference", 1, "tso", str(tmp_path / "loop.yaml"))).exploration.verdict is verdict
    unanswered = again.replace(f", {store}", "")
    (tmp_path / "loop.yaml").write_text(unanswered)
    found = explore(Task("reference", 1, "tso", str(tmp_path / "loop.yaml"))).exploration
    assert found.violation and "lands a second time" in found.violation.what


def test_callers_stand_in_a_scenario_of_steps_alone() -> None:
    schedule, probe = Schedule("tso", engine="steps", steps="0*4"), probe_of((1,))
    one = ScenarioFile("scenario", "reference", Role.SENDER, ("SND-10",), schedule, probe, callers=2)
    for wrong in ({"callers": 0}, {"callers": 4}, {"schedule": Schedule("tso")}):
        with pytest.raises(ValueError, match="callers are 1 to 3"):
            attrs.evolve(one, **wrong)


def test_the_command_takes_callers_and_twice(tmp_path: Path) -> None:
    words = ("explore", "reference", "--callers", "2", "--out", "two.yaml")
    found = mpwake(*words, cwd=tmp_path)
    assert found.returncode == 1, found.stderr
    assert "over a command that is pending (SND-02, SND-05, SND-10)" in found.stdout
    again = mpwake("replay", "two.yaml", cwd=tmp_path)
    assert again.returncode == 1
    assert "non-conforming: SND-02, SND-05, SND-10" in again.stdout
    assert mpwake(*words, "--tests", cwd=tmp_path).returncode == 2
    assert mpwake("explore", "firmware:x", "--twice", cwd=tmp_path).returncode == 2


# What random schedules do not find


def named_in_features() -> list[str]:
    """Return the mutants that the heads of features name beside mpwake explore."""
    heads = (path.read_text(encoding="utf-8").partition("@")[0] for path in sorted(FEATURES.glob("*/*.feature")))
    known = {one.id for one, _ in declared()}
    return [
        word for head in heads if "mpwake explore" in head for word in re.findall(r"[a-z-]+", head) if word in known
    ]


def test_features_name_mutants_of_orders_of_races_and_of_time_outs() -> None:
    assert {one.partition("-")[0] for one in named_in_features()} == {"ord", "rcv", "tmo", "snd"}


@pytest.mark.parametrize("id", named_in_features())
def test_what_features_say_is_seldom_exploration_finds(id: str, tmp_path: Path) -> None:
    path = platform_of(id, tmp_path)
    both = sides(path)
    one = setup_of(both, probe_of((0x11, 0x111)), "tso", False)
    simulation = Simulation(one.programs, one.ids, one.requests, "tso", page=one.page, budget=40_000)
    asked, seldom = {(apic, vector) for _, apic, vector in one.requests}, 0
    for seed in range(100):
        events = simulate_ticks(attrs.evolve(simulation, seed=seed)).events
        landed = {(one.ids[event.agent], event.value) for event in events if event.kind is Kind.LANDING}
        assert landed
        seldom += not landed <= asked or any(event.kind is Kind.RETURN and event.value < 0 for event in events)
    assert seldom < 2
    found = explore(Task(path, 1 if id == "ord-plain-store" else 2, "relaxed"))
    assert found.exploration.verdict is Verdict.FAIL
    assert found.exploration.violation
    assert replays(found, tmp_path) == found.exploration.violation.requirements != ()


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_wait_that_loads_no_more_is_stuck(memory: Any, tmp_path: Path) -> None:
    found = explore(Task(platform_of("ord-load-hoisted", tmp_path), 1, memory))
    violation = found.exploration.violation
    assert violation and "no schedule leads" in violation.what
    assert violation.requirements == ("ORD-02",)
    assert replays(found, tmp_path) == ("ORD-02",)


def test_a_program_that_computes_on_and_on_is_not_explored(tmp_path: Path) -> None:
    lines: Any = load_agent("os-no-wait").plain()
    at = next(number for number, one in enumerate(lines["program"]) if "return" in one)
    lines["program"][at:at] = [{"label": "on"}, {"add": {"to": "n", "value": 1}}, {"branch": {"to": "on"}}]
    (tmp_path / "on.yaml").write_text(json.dumps(lines))
    found = explore(Task("reference", 1, "sc", agent=str(tmp_path / "on.yaml"))).exploration
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "more than 10000 operations without an access" in found.reason
