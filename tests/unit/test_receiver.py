"""The receiver role: conforming AP loops pass, known ones deviate where they are known to, every mutant is noticed."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from mpwake.checks.core import CHECKS, Judgement, everybodys, find, judge
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.model import probe as probe_module
from mpwake.model.agent import PAGE
from mpwake.model.probe import ProbeFile, probe
from mpwake.spec import document
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.resources import scenarios
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import Mutant, check_of, judge_all, mutants, mutated
from mpwake.targets import open_target
from mpwake.targets.model import behaviour_of, decode_platform

RECEIVER = Role.RECEIVER
CONFORMING = {
    "reference": "acpi-6.6",
    "acpi-6.4": "acpi-6.4",
    "acpi-6.6": "acpi-6.6",
    "acpi-6.5": "acpi-6.5",
    "confidential": "acpi-6.6",
    "devicetree": "acpi-6.6",
}
OPEN = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE)
ALL = sorted(id for id, role in CHECKS if role is RECEIVER)
MUTANTS: dict[str, tuple[Mutant, document.Node]] = {
    mutant.id: (mutant, node) for mutant, node in mutants() if mutant.role is RECEIVER
}
# Eight bytes of acknowledgement, 32 bits of Command, the host's word for the APIC ID, the entry after the host's.
EDK2 = {"MEM-06", "RCV-09", "ORD-07", "ORD-10", "TDX-05", "MADT-30", "RCV-13"}
EDK2_2022 = EDK2 | {"RCV-21", "RCV-23", "TDX-06", "KEX-08"}
# A loop that Test ends: it answers none, and takes no wake after one.
ENDED_BY_TEST = {"RST-10", "RST-15"}
DEVIATIONS = [
    (
        "td-shim",
        "acpi-6.5",
        EDK2 - {"RCV-13"} | {"MEM-11", "RCV-05", "RCV-23", "ORD-04", "TDX-06"},
    ),
    (
        "openhcl",
        "acpi-6.5",
        {"DT-24", "MEM-04", "MEM-06", "MEM-12", "RCV-07", "ORD-04", "ORD-05", "ORD-07", "ORD-09", "TDX-05"},
    ),
    ("oak-stage0", "acpi-6.5", {"RCV-02", "RCV-13", "RCV-21", "ORD-04", "KEX-08"}),
    ("edk2-2022", "acpi-6.5", EDK2_2022),
    ("edk2-2025", "acpi-6.5", EDK2),
    ("edk2-2022", "acpi-6.6", EDK2_2022 | ENDED_BY_TEST),
    ("edk2-2025", "acpi-6.6", EDK2 | ENDED_BY_TEST),
    ("edk2-2026", "acpi-6.6", EDK2 | {"RST-17", "RST-18", "KEX-08"}),
]


@functools.cache
def judged(name: str, edition: str) -> dict[str, Judgement]:
    """Judge the AP loop of a platform against an edition."""
    target = open_target(f"model:{name}").held_to(Edition(edition), "the test says so")
    return judge_all(target.evidence(RECEIVER), RECEIVER)


def having(judgements: dict[str, Judgement], *verdicts: Verdict) -> dict[str, str]:
    """Return the requirements with one of these verdicts, and why."""
    return {id: one.reason for id, one in judgements.items() if one.verdict in verdicts}


# Loops


@pytest.mark.parametrize("name", CONFORMING)
def test_a_loop_that_conforms_has_no_failure_and_no_open_question(name: str) -> None:
    assert open_target(f"model:{name}").edition is Edition(CONFORMING[name])
    assert having(judged(name, CONFORMING[name]), *OPEN) == {}


@pytest.mark.parametrize(("name", "edition", "failing"), DEVIATIONS)
def test_a_loop_of_the_world_deviates_where_it_is_known_to(name: str, edition: str, failing: set[str]) -> None:
    found = judged(name, edition)
    assert set(having(found, Verdict.FAIL)) == failing
    assert having(found, Verdict.ERROR, Verdict.INCONCLUSIVE) == {}


@pytest.mark.parametrize("id", ALL)
def test_each_check_passes_on_a_loop_that_conforms(id: str) -> None:
    assert [name for name in CONFORMING if judged(name, CONFORMING[name])[id].verdict is Verdict.PASS]


def test_what_is_said_of_test_is_asked_under_the_editions_that_define_it_only() -> None:
    asked = {"RCV-18", "RST-08", "RST-10", "RST-11", "RST-13", "RST-15", "RST-19"}
    apart = having(judged("acpi-6.5", "acpi-6.5"), Verdict.NOT_APPLICABLE)
    assert {id for id, reason in apart.items() if "Test" in reason} == asked
    assert not asked & set(having(judged("reference", "acpi-6.6"), Verdict.NOT_APPLICABLE))


def test_what_is_said_of_other_guests_and_trees_is_asked_of_these_only() -> None:
    confidential = {"MADT-30", "RCV-23", "TDX-03", "TDX-05", "TDX-06", "TDX-07"}
    in_tree = {"DT-21", "DT-24"}
    assert set(having(judged("reference", "acpi-6.6"), Verdict.NOT_APPLICABLE)) == confidential | in_tree
    assert set(having(judged("devicetree", "acpi-6.6"), Verdict.NOT_APPLICABLE)) == confidential
    assert set(having(judged("confidential", "acpi-6.6"), Verdict.NOT_APPLICABLE)) == in_tree


# Loops that are dead, or of which nothing is told


def other(program: str, environment: str = "", park: str = "park") -> dict[str, Judgement]:
    """Judge a loop that is written here."""
    text = f"name: other\ntitle: A loop\nrole: receiver\nreset: {park}\npark: {park}\n{environment}program:\n{program}"
    platform = decode_platform(document.parse(PLATFORM + text.replace("\n", "\n  "), "other.yaml"))
    behaviour = behaviour_of(platform, RECEIVER)
    assert behaviour is not None
    return judge_all(behaviour, RECEIVER)


PLATFORM = "name: other\ntitle: Other\ndescription: Of a test.\nedition: acpi-6.6\nreceiver:\n  "
LIVING = """
  - label: park
  - load: {to: command, from: Command}
  - branch: {if: [command, ne, 1], to: park}
  - load: {to: id, from: ApicId}
  - branch: {if: [id, ne, self], to: park}
  - load: {to: vector, from: WakeupVector}
  - store: {to: Command, value: 0}
  - jump: vector
"""
POLLING = """
  - label: park
  - load: {to: command, from: Command}
  - branch: {to: park}
"""


def declared(name: str) -> str:
    """Return what an agent declares, as YAML."""
    text = (scenarios("agents") / f"{name}.yaml").read_text()
    return text[text.index("environment:") : text.index("program:")]


@pytest.mark.parametrize("program", ["\n  - label: park\n  - die: true\n", POLLING], ids=["gone", "polling"])
@pytest.mark.parametrize(
    "environment", ["", declared("acpi-6.6"), declared("confidential")], ids=["bare", "known", "td"]
)
def test_a_loop_that_never_does_anything_passes_nothing(program: str, environment: str) -> None:
    found = other(program, environment)
    assert having(found, Verdict.PASS) == {}
    asleep = "no processor was seen to take a command in this trial"
    silent = having(found, Verdict.INCONCLUSIVE)
    asked = {"MEM-06", "MEM-12", "RCV-03", "RCV-04", "RCV-10", "RCV-18", "DUP-07", "RST-11"}
    assert {id for id in asked if silent.get(id) == asleep} == asked
    assert "RCV-01" in having(found, Verdict.FAIL)


def test_a_loop_that_never_compares_command_fails_although_it_takes_no_wake() -> None:
    found = other(LIVING.replace("[command, ne, 1], to: park}", "[command, eq, 77], to: park}"))
    assert "AP 0x1 acts" in having(found, Verdict.FAIL)["RCV-04"]


def test_a_loop_of_which_nothing_is_told_is_not_judged_by_what_is_not_known() -> None:
    found = having(other(LIVING), Verdict.NOT_TESTABLE)
    assert {"RCV-11", "RCV-12", "RCV-13", "RCV-14", "RCV-15", "RCV-21", "MEM-19", "KEX-08", "TRM-07"} <= set(found)
    assert {"RCV-23", "TDX-03", "TDX-05", "TDX-06", "TDX-07", "DT-21", "DT-24", "RST-17", "RST-18"} <= set(found)
    assert found["RCV-11"] == "the target does not tell the state of the processor at the vector"
    assert found["RCV-21"] == "the target does not tell which memory the AP loop needs"


# Mutants


@pytest.mark.parametrize("id", MUTANTS)
def test_each_mutant_is_killed_by_the_requirement_that_it_breaks(id: str) -> None:
    mutant, node = MUTANTS[id]
    assert judged(mutant.base, CONFORMING[mutant.base])[mutant.breaks].verdict is Verdict.PASS
    judgement = judge(check_of(mutant), mutated(mutant, node))
    if mutant.unkillable:
        assert judgement.verdict is not Verdict.FAIL
        return
    assert judgement.verdict is Verdict.FAIL, f"{judgement.verdict.value}: {judgement.reason}"
    wrong = [finding for finding in judgement.findings if not finding.ok]
    assert wrong
    assert all(finding.exhibits for finding in wrong)


def test_each_check_has_a_mutant() -> None:
    assert sorted({mutant.breaks for mutant, _ in MUTANTS.values()}) == ALL


# Findings

IDS = (0, 1, 2, 3)
ASKED = Event(1, 0, Kind.REQUEST, value=1, target=2, vector=0x9A000, until=1)
ACK = Event(5, 2, Kind.STORE, 0, 2, 0, until=5)
LANDING = Event(6, 2, Kind.LANDING, value=0x9A000, until=6)
GOOD = (ASKED, ACK, LANDING)
STRAY = Event(7, 1, Kind.STORE, 0, 2, 0, until=7)


def seen(*events: Event, spent: bool = False) -> Trace:
    """Return a trace of these events."""
    return Trace(IDS, events, bytes(PAGE), bytes(PAGE), 100, spent=spent)


def of(id: str, *traces: Trace) -> Judgement:
    """Ask a check about traces that were written by hand."""
    return judge(find(id, RECEIVER), Behaviour(lambda *_: traces))


def shown(judgement: Judgement, number: int = 0) -> list[str]:
    """Return the lines of the exhibit of one finding."""
    (exhibit,) = judgement.findings[number].exhibits
    assert exhibit.name == "mailbox traffic"
    return exhibit.text.split("\n")


def test_findings_that_are_equal_in_every_trial_stand_as_one() -> None:
    judgement = of("RCV-03", *[seen(*GOOD)] * 5)
    assert judgement.verdict is Verdict.PASS
    assert [one.found for one in judgement.findings] == ["the addressed processor alone acts"]


def test_findings_of_some_trials_say_in_how_many_it_was_so() -> None:
    judgement = of("RCV-03", seen(*GOOD), seen(*GOOD, STRAY), seen(*GOOD), seen(*GOOD))
    assert judgement.verdict is Verdict.FAIL
    assert [(one.ok, one.found) for one in judgement.findings] == [
        (True, "the addressed processor alone acts (3 times of 4)"),
        (False, "AP 0x1 acts (1 times of 4)"),
    ]
    assert judgement.reason == "AP 0x1 acts (1 times of 4); expected the addressed processor alone"


def test_an_exhibit_is_that_of_the_first_of_the_equal_findings() -> None:
    later = Event(70, 1, Kind.STORE, 0, 2, 0, until=70)
    judgement = of("RCV-03", seen(*GOOD, STRAY), seen(*GOOD, later))
    assert [one.found for one in judgement.findings] == ["AP 0x1 acts"]
    assert shown(judgement)[-1] == ">       7  AP 0x1   store   2 bytes at 0x000  0x0"


def test_an_exhibit_marks_the_line_that_is_wrong_and_no_other() -> None:
    lines = shown(of("RCV-03", seen(*GOOD, STRAY, Event(8, 3, Kind.LANDING, value=0x1000, until=8))))
    assert [line for line in lines if line.startswith(">")] == [">       7  AP 0x1   store   2 bytes at 0x000  0x0"]
    assert [line[:1] for line in lines] == [" ", " ", " ", ">", " "]
    assert lines[2] == "        6  AP 0x2   landing 0x9a000"


def test_an_exhibit_where_nothing_is_wrong_marks_no_line() -> None:
    lines = shown(of("RCV-03", seen(*GOOD)))
    assert len(lines) == 3
    assert not any(line.startswith(">") for line in lines)


def test_an_exhibit_leaves_loads_out_but_for_the_one_that_is_wrong() -> None:
    early = Event(4, 2, Kind.LOAD, 8, 8, 0x9A000, until=4)
    late = Event(6, 2, Kind.LOAD, 8, 8, 0x9A000, until=6)
    lines = shown(of("ORD-05", seen(ASKED, early, ACK, late, LANDING)))
    assert [line for line in lines if " load " in line] == [">       6  AP 0x2   load    8 bytes at 0x008  0x9a000"]


def test_an_exhibit_of_a_long_trace_shows_what_stands_around_the_line_that_is_wrong() -> None:
    many = [Event(10 + number, 0, Kind.STORE, 2, 2, number, until=10 + number) for number in range(200)]
    lines = shown(of("RCV-03", seen(*GOOD, *many[:100], STRAY, *many[100:])))
    assert len(lines) == 24
    assert lines.index(">       7  AP 0x1   store   2 bytes at 0x000  0x0") == 12


@pytest.mark.parametrize(
    ("name", "id", "line"),
    [
        ("td-shim", "RCV-05", "landing 0x56789000"),
        ("td-shim", "RCV-09", "store   8 bytes at 0x000  0x0"),
        ("openhcl", "MEM-06", "store   8 bytes at 0x010  0x9a000"),
        ("openhcl", "ORD-05", "load    8 bytes at 0x008  "),
    ],
)
def test_a_failure_of_the_world_shows_its_line(name: str, id: str, line: str) -> None:
    judgement = judged(name, "acpi-6.5")[id]
    wrong = next(number for number, one in enumerate(judgement.findings) if not one.ok)
    (marked,) = [one for one in shown(judgement, wrong) if one.startswith(">")]
    assert line in marked


def test_a_trial_that_was_not_finished_leaves_the_question_open() -> None:
    judgement = of("RCV-03", seen(*GOOD), seen(*GOOD, spent=True))
    assert (judgement.verdict, judgement.reason) == (
        Verdict.INCONCLUSIVE,
        "a trial was not finished within its budget",
    )


def test_a_trial_in_which_nothing_happened_is_no_pass() -> None:
    assert of("RCV-08", seen(ASKED)).verdict is Verdict.INCONCLUSIVE
    assert of("RCV-08").verdict is Verdict.NOT_APPLICABLE


# Probes


FILE = """\
probes:
  - says: something is done
    ids: [1, 2]
    requests:
      - {op: wake, id: 1, value: 0x9A000}
    poison:
      - {at: 16, count: 4, value: 0xA5}
"""


def refused(old: str, new: str) -> InputError:
    assert old in FILE
    with pytest.raises(InputError) as caught:
        document.decode(document.parse(FILE.replace(old, new), "p.yaml"), ProbeFile)
    return caught.value


def test_a_file_of_probes_is_read() -> None:
    (one,) = document.decode(document.parse(FILE, "p.yaml"), ProbeFile).probes
    assert (one.says, one.ids) == ("something is done", (1, 2))
    assert [(request.op, request.id, request.value) for request in one.requests] == [("wake", 1, 0x9A000)]
    assert [(poison.at, poison.count, poison.value) for poison in one.poison] == [(16, 4, 0xA5)]


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "hint"),
    [
        ("op: wake", "op: wak", "5:9", "no op 'wak'; did you mean 'wake'?", ""),
        ("op: wake, id", "op: wake, idd", "5:20", "unknown key 'idd'", "did you mean 'id'?"),
        ("op: wake, ", "", "5:9", "the key 'op' is missing", "wake, test, fields"),
        ("value: 0x9A000", "value: high", "5:34", "expected an integer, found 'high'", ""),
        ("[1, 2]", "[1, two]", "3:14", "expected an integer, found 'two'", ""),
        ("[1, 2]", "1", "3:10", "expected a list, found 1", ""),
        ("says: something is done", "says: 5", "2:11", "expected text, found 5", ""),
        ("says: something is done", "say: something is done", "2:5", "unknown key 'say'", "did you mean 'says'?"),
        ("    ids: [1, 2]\n", "", "2:5", "the key 'ids' is missing", "APIC IDs"),
        ("count: 4, ", "", "7:9", "the key 'count' is missing", "How many bytes"),
        ("probes:", "probe:", "1:1", "unknown key 'probe'", "did you mean 'probes'?"),
        ("{op: wake", "{op: wake, op: wake", "5:20", "duplicate key 'op'", "first given at line 5"),
    ],
)
def test_a_mistake_in_a_file_of_probes_is_told_with_its_place(
    old: str, new: str, place: str, message: str, hint: str
) -> None:
    error = refused(old, new)
    assert error.where == f"p.yaml:{place}"
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("old", "new"), [("at: 16", "at: 4094"), ("at: 16", "at: -1"), ("count: 4", "count: -4"), ("0xA5", "0x1A5")]
)
def test_poison_that_does_not_fit_the_page_is_told_with_its_place(old: str, new: str) -> None:
    assert refused(old, new).where == "p.yaml:7:9"


def test_a_sentence_that_no_probe_says_is_told_with_the_nearest_one() -> None:
    with pytest.raises(InputError) as caught:
        probe("the operating system wakes one procesor of three", RECEIVER)
    assert caught.value.message == "no probe says 'the operating system wakes one procesor of three'"
    assert caught.value.hint == "did you mean 'the operating system wakes one processor of three'?"


def test_a_sentence_that_two_probes_say_is_refused_at_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "receiver.yaml").write_text(FILE + FILE.split("\n", 1)[1])
    monkeypatch.setattr(probe_module, "scenarios", lambda _kind: tmp_path)
    with pytest.raises(InputError) as caught:
        probe_module.probes.__wrapped__(RECEIVER)
    assert caught.value.where.endswith("receiver.yaml:8:11")
    assert caught.value.message == "another probe says 'something is done' too"


SENTENCES = sorted({one.when.sentence for one in everybodys() if one.role is RECEIVER})


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_a_check_looks_at_is_a_probe(sentence: str) -> None:
    assert probe(sentence, RECEIVER).says == sentence
