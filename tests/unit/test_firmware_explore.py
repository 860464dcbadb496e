"""All interleavings of small AP loops in machine code: what is reached, what is found, and that it is found again."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import jsonschema
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.checks.core import find, judge
from mpwake.cli.explore import explore_command
from mpwake.cli.registry import schemas
from mpwake.evidence.exploration import Exploration, compressed, expanded
from mpwake.evidence.trace import SENDER, Kind
from mpwake.model.agent import Agent
from mpwake.model.environment import Host
from mpwake.model.probe import Probe
from mpwake.model.scenario import MAX_STEPS
from mpwake.spec import document
from mpwake.spec.editions import NEWEST
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.firmware.explore import ALL, Bounds, Explorer, apart, explore, failures, wakes
from mpwake.targets.firmware.interleaving import AstrayError, Interleaved, started
from mpwake.targets.firmware.machine import PAGE
from mpwake.targets.firmware.replay import load_system
from mpwake.targets.firmware.stage import MAILBOX, Layout, Stage, bare_stage
from support.machine_code import CONFORMING, LOOP_YAML, SMALL, assemble, changed

# ORD-05 broken: the acknowledgement comes before the vector is read.
EARLY = SMALL.replace(
    "49 8b 40 08            ; mov rax, [r8 + 8]\n66 41 c7 00 00 00      ; mov word [r8], 0\n",
    "66 41 c7 00 00 00      ; mov word [r8], 0\n49 8b 40 08            ; mov rax, [r8 + 8]\n",
)
BYTE_ID = SMALL.replace("41 39 50 04            ; cmp [r8 + 4], edx", "41 38 50 04            ; cmp [r8 + 4], dl")
NO_ACK = SMALL.replace("66 41 c7 00 00 00      ; mov word [r8], 0\n", "")
ONCE = SMALL.replace("66 41 83 38 01         ; cmp word [r8], 1     still\n75 >park               ; jne park\n", "")
# Each processor turns over a bit of its own, at 0x9000 + 8 * index, whenever it sees a command.
BITS = """
park:
66 83 3b 01            ; cmp word [rbx], 1
75 >park               ; jne park
80 34 ed 00 90 00 00 01 ; xor byte [rbp * 8 + 0x9000], 1
39 6b 04               ; cmp [rbx + 4], ebp
75 >park               ; jne park
66 83 3b 01            ; cmp word [rbx], 1     still
75 >park               ; jne park
48 8b 43 08            ; mov rax, [rbx + 8]
66 c7 03 00 00         ; mov word [rbx], 0
ff e0                  ; jmp rax
"""
# It stands in the mailbox page, from 0x900 on, and turns over a bit of its own second instruction.
SELF = BITS.replace("80 34 ed 00 90 00 00 01", "b0 00\n80 b3 07 09 00 00 01")
# It looks at Command only, once.
SHORT = """
park:
66 83 3b 01            ; cmp word [rbx], 1
75 >park               ; jne park
48 8b 43 08            ; mov rax, [rbx + 8]
ff e0                  ; jmp rax
"""
CONTROLS = {
    "os-command-first": {"SND-01", "ORD-01"},
    "os-vector-last": {"SND-01", "ORD-01"},
    "os-no-wait": {"ORD-06"},
}


def parked(code: bytes, aps: int) -> Stage:
    return bare_stage(code, aps)


def explored(code: bytes, aps: int, agent: str = "tester", host: Host | None = None, **bounds: int) -> Exploration:
    return explore("a loop", parked(code, aps), load_system(agent), wakes(apart(aps), host), Bounds(**bounds))


# What conforms


@pytest.mark.parametrize(
    ("aps", "states", "transitions", "depth"), [(1, 46, 81, 24), (2, 364, 955, 44), (3, 2814, 9976, 64)]
)
def test_the_states_of_a_small_loop_are_known(aps: int, states: int, transitions: int, depth: int) -> None:
    found = explored(assemble(SMALL), aps)
    assert (found.states, found.transitions, found.depth) == (states, transitions, depth)
    assert found.verdict is Verdict.PASS
    assert not found.incomplete
    assert found.sometimes.keys() == {*(f"AP {one:#x} at its vector" for one in apart(aps)), ALL}
    assert all(found.sometimes.values())


@pytest.mark.parametrize("agent", ["os-reference", "linux-6.1", "linux-7.2"])
def test_a_conforming_loop_holds_with_every_system(agent: str) -> None:
    assert explored(assemble(CONFORMING), 2, agent).verdict is Verdict.PASS


def test_the_states_do_not_depend_on_the_seed_of_hashes() -> None:
    program = (
        "from mpwake.targets.firmware.explore import *\nfrom mpwake.targets.firmware.replay import load_system\n"
        "from mpwake.targets.firmware.stage import bare_stage\n"
        f"code = bytes.fromhex({assemble(EARLY).hex()!r})\n"
        "one = explore('x', bare_stage(code, 2), load_system('tester'), wakes(apart(2)))\n"
        "print(one.states, one.transitions, one.depth, one.violation.schedule, dict(one.sometimes))"
    )
    shown = set()
    for seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        shown.add(run.stdout)
    assert len(shown) == 1
    assert re.match(r"\d+ \d+ 23 \(0, ", shown.pop())


def test_memory_of_ones_own_is_part_of_the_state() -> None:
    found = [
        explore("x", parked(code, 2), load_system("tester"), wakes(apart(2, indexed=True)))
        for code in (assemble(BITS), assemble(BITS.replace("80 34 ed 00 90 00 00 01", "80 24 ed 00 90 00 00 00")))
    ]
    assert [one.verdict for one in found] == [Verdict.PASS, Verdict.PASS]
    assert found[0].states > found[1].states


# What does not


def test_an_acknowledgement_before_the_vector_needs_two_processors_and_a_certain_order() -> None:
    assert explored(assemble(EARLY), 1).verdict is Verdict.PASS
    found = explored(assemble(EARLY), 2)
    one = found.violation
    assert one is not None
    assert found.verdict is Verdict.FAIL
    assert one.what == "AP 0x1 lands at 0x9b000, where it was not asked to"
    assert one.role is Role.RECEIVER
    assert {"RCV-02", "ORD-05"} <= set(one.requirements)
    assert [step.agent for step in one.steps] == list(one.schedule)
    assert (one.steps[-1].at, one.steps[-1].text, one.steps[-1].did) == ("loop+0x2c", "jmp rax", ("lands at 0x9b000",))
    assert one.steps[-2].did == ("loads WakeupVector = 0x9b000",)
    assert one.steps[6].text == "pause"
    assert "jne loop+0xc" in [step.text for step in one.steps]


def test_no_shorter_schedule_goes_wrong() -> None:
    found = explored(assemble(SHORT), 1, "os-vector-last").violation
    assert found is not None
    length = len(found.schedule)
    stage, probe, agent = parked(assemble(SHORT), 1), wakes((1,)), load_system("os-vector-last")
    landed = 0
    for schedule in itertools.product((0, 1), repeat=length):
        one = started(stage, probe, agent)
        one.follow(schedule[:-1])
        assert not one.trace().of(Kind.LANDING)
        one.follow(schedule[-1:])
        landed += bool(one.trace().of(Kind.LANDING))
        stage.board.restore()
    assert landed == 1


@pytest.mark.parametrize(
    ("code", "aps", "what", "named"),
    [
        pytest.param(assemble(BYTE_ID), 2, "AP 0x101 stores Command = 0x0, and was asked nothing", "RCV-02", id="byte"),
        pytest.param(assemble(ONCE), 2, "from here no schedule leads to where", "ORD-04", id="looks-once"),
        pytest.param(assemble(NO_ACK), 1, "from here no schedule leads to where", "RCV-06", id="no-acknowledgement"),
        pytest.param(changed(("jmp rax", "0f 0b")), 2, "AP 0x1 cannot go on: #UD", "RCV-02", id="fault"),
        pytest.param(
            changed(("mov rax, [rbx + 8]", "48 8b 43 08 c6 43 10 07")),
            1,
            "AP 0x1 stores 1 bytes at 0x10, where the operating system writes",
            "MEM-06",
            id="stray-store",
        ),
        pytest.param(
            changed(("jmp rax", "eb fe")), 2, "from here no schedule leads to where", "RCV-02", id="never-leaves"
        ),
        pytest.param(
            changed(("mov rax, [rbx + 8]", "b8 00 00 0a 00")), 1, "AP 0x1 lands at 0xa0000", "RCV-05", id="own"
        ),
    ],
)
def test_a_faulty_loop_is_found_and_named(code: bytes, aps: int, what: str, named: str) -> None:
    found = explored(code, aps)
    assert found.verdict is Verdict.FAIL
    assert found.violation is not None
    assert found.violation.what.startswith(what)
    assert named in found.violation.requirements


@pytest.mark.parametrize("agent", CONTROLS)
def test_an_operating_system_that_breaks_the_order_is_to_blame(agent: str) -> None:
    found = explored(assemble(CONFORMING), 2, agent)
    one = found.violation
    assert one is not None
    assert one.role is Role.SENDER
    assert set(one.requirements) >= CONTROLS[agent]
    assert "lands at" in one.what


def test_a_host_that_hands_out_an_apic_id_twice_is_seen() -> None:
    found = explored(assemble(CONFORMING), 2, host=Host(ids=(1, 1)))
    assert found.violation is not None
    assert found.violation.what == "AP 0x101 stores Command = 0x0, and was asked nothing"


def test_a_wide_acknowledgement_is_no_matter_of_order() -> None:
    found = explored(assemble(wide()), 2)
    assert found.verdict is Verdict.PASS
    assert found.notes == ("stores 8 bytes at 0x0 to acknowledge",)


def wide() -> str:
    lines = CONFORMING.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("66 c7 03 00 00"))
    lines[last] = "48 c7 03 00 00 00 00"
    return "\n".join(lines)


# Bounds, and what shows nothing


@pytest.mark.parametrize(
    ("bounds", "why"), [({"states": 100}, "more than 100 states"), ({"memory": 1 << 16}, "more than 0 MiB of states")]
)
def test_a_bound_ends_it_undecided_with_what_was_covered(bounds: dict[str, int], why: str) -> None:
    found = explored(assemble(SMALL), 2, **bounds)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.incomplete == why
    assert found.states > 0
    assert found.transitions > 0


def test_a_loop_that_counts_without_end_meets_the_bound() -> None:
    # inc rdx before each poll: no state of the processor comes again.
    code = changed(("pause", "48 ff c2"))
    found = explored(code, 1, states=2_000)
    assert (found.verdict, found.incomplete) == (Verdict.INCONCLUSIVE, "more than 2000 states")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0f 0b", "AP 0x1 does not come to poll: #UD: 0f 0b"),
        ("a:\neb >a", "AP 0x1 does not read the mailbox at 0x7f5e5000"),
        ("b8 00 00 09 00\nff e0", "AP 0x1 leaves for 0x90000, and nobody woke it"),
    ],
)
def test_a_loop_that_does_not_poll_decides_nothing(text: str, why: str) -> None:
    found = explored(assemble(text), 1)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.incomplete.startswith(why)
    assert found.states == 0


def test_a_system_that_wakes_nobody_passes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "idle.yaml"
    path.write_text("name: idle\ntitle: It wakes nobody\nrole: sender\nprogram:\n  - halt: true\n", encoding="utf-8")
    found = explored(assemble(SMALL), 1, str(path))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "never reached: AP 0x1 at its vector"


# The explorer against processors that go one by one, without a memory of steps


def finished(stage: Stage, probe: Probe, agent: Agent) -> Explorer:
    explorer = Explorer(started(stage, probe, agent), Bounds())
    assert explorer.run() is None
    explorer.machine.close()
    return explorer


def walk(one: Interleaved, explorer: Explorer, choices: list[int]) -> None:
    assert explorer.knows(one.snapshot())
    for choice in choices:
        able = [number for number in (SENDER, *one.sides) if one.can(number)]
        if not able:
            return
        one.take(able[choice % len(able)])
        assert explorer.knows(one.snapshot())


@settings(deadline=None, max_examples=25)
@given(
    text=st.sampled_from([SMALL, CONFORMING, BITS, SELF]),
    agent=st.sampled_from(["tester", "linux-6.1", "os-reference"]),
    choices=st.lists(st.integers(0, 5), max_size=120),
)
def test_whatever_the_order_the_explorer_has_been_there(text: str, agent: str, choices: list[int]) -> None:
    stage = bare_stage(assemble(text), 2, layout=Layout(code=MAILBOX + (0x900 if text is SELF else PAGE)))
    system, probe = load_system(agent), wakes(apart(2, indexed=text in (BITS, SELF)))
    explorer = finished(stage, probe, system)
    walk(started(stage, probe, system), explorer, choices)


def test_a_state_that_is_not_reached_is_not_known() -> None:
    stage, system, probe = parked(assemble(SMALL), 1), load_system("tester"), wakes((1,))
    explorer = finished(stage, probe, system)
    page, *others = started(stage, probe, system).snapshot()
    assert explorer.knows((page, *others))
    assert not explorer.knows((page[:100] + b"\1" + page[101:], *others))


@settings(deadline=None, max_examples=25)
@given(flips=st.lists(st.tuples(st.integers(12, 45), st.integers(0, 255)), min_size=1, max_size=3))
def test_whatever_a_loop_is_made_of_it_ends_and_a_violation_is_carried_out_for_real(
    flips: list[tuple[int, int]],
) -> None:
    whole = assemble(SMALL)
    code = bytes(dict(flips).get(at, one) for at, one in enumerate(whole))
    found = explored(code, 2, states=3_000)
    assert found.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
    if found.violation:
        assert [step.agent for step in found.violation.steps] == list(found.violation.schedule)


def test_a_processor_that_is_slow_to_leave_is_no_failure() -> None:
    # AP 0x1 has acknowledged; before it leaves, AP 0x101 is woken and lands.
    stage, probe = parked(assemble(SMALL), 2), wakes(apart(2))
    one = started(stage, probe, load_system("tester"))
    while not any(event.kind is Kind.STORE and event.agent == 1 for event in one.record.events):
        one.follow((0, 1))
    while one.can(2):
        one.follow((0, 2))
    assert one.can(1)
    assert one.finish()
    trace = one.trace()
    assert [event.agent for event in trace.of(Kind.LANDING)] == [2, 1]
    assert failures(trace, Role.RECEIVER, NEWEST) == ()


def test_a_step_that_nobody_can_take_is_told() -> None:
    one = started(parked(assemble(SMALL), 1), wakes((1,)), load_system("tester"))
    with pytest.raises(AstrayError, match="step 2: agent 2 has ended, or was never there"):
        one.follow((0, 2))


# The command, and the scenario that it writes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "loop.yaml").write_text(LOOP_YAML, encoding="utf-8")
    (tmp_path / "loop.bin").write_bytes(assemble(EARLY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str) -> Result:
    return CliRunner().invoke(explore_command, words, standalone_mode=False)


def test_a_violation_is_shown_and_written(folder: Path) -> None:
    result = command("loop.yaml", "--out", "found.yaml")
    assert result.return_value == 1
    assert (
        "fail: AP 0x1 lands at 0x9b000, where it was not asked to (RCV-02, RCV-05, ORD-04, ORD-05, ORD-09)"
        in result.stdout
    )
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("  24"))
    assert line.split() == ["24", "AP", "0x1", "loop+0x2c", "ff", "e0", "jmp", "rax", "lands", "at", "0x9b000"]
    target = open_target("found.yaml").settled()
    assert target.selects == ("RCV-02", "RCV-05", "ORD-04", "ORD-05", "ORD-09")
    for id in target.selects:
        assert judge(find(id, Role.RECEIVER), target.driven[Role.RECEIVER]).verdict is Verdict.FAIL
    node = document.load(folder / "found.yaml")
    jsonschema.Draft202012Validator(schemas()["scenario"]).validate(node.plain())


@pytest.mark.usefixtures("folder")
def test_a_scenario_shows_what_the_exploration_saw() -> None:
    found = json.loads(command("loop.yaml", "--out", "found.yaml", "--format", "json").stdout)
    one = found["violation"]
    assert (found["verdict"], found["exit_code"], found["complete"]) == ("fail", 1, False)
    assert len(one["steps"]) == len(expanded(one["schedule"], MAX_STEPS)) == 24
    (trace,) = open_target("found.yaml").settled().driven[Role.RECEIVER].trials("anything")
    assert next(iter(trace.of(Kind.LANDING))).value == 0x9B000
    assert trace == open_target("found.yaml").settled().driven[Role.RECEIVER].trials("anything")[0]


def test_a_scenario_of_a_system_to_blame_is_judged_as_a_sender(folder: Path) -> None:
    (folder / "loop.bin").write_bytes(assemble(SMALL))
    assert command("loop.yaml", "--agent", "os-no-wait", "--out", "sub/found.yaml").return_value == 1
    target = open_target("sub/found.yaml").settled()
    assert set(target.driven) == {Role.SENDER}
    for id in target.selects:
        assert judge(find(id, Role.SENDER), target.driven[Role.SENDER]).verdict is Verdict.FAIL


def test_a_pass_writes_nothing(folder: Path) -> None:
    (folder / "loop.bin").write_bytes(assemble(SMALL))
    result = command("loop.yaml", "--aps", "3", "--out", "found.yaml")
    assert result.return_value == 0
    assert result.stdout.splitlines()[-1].startswith("pass: nothing goes wrong in any schedule")
    assert not (folder / "found.yaml").exists()
    assert command("loop.yaml", "--states", "20").return_value == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sha256: ", "sha256: x"), r"found.yaml:2:1: |sha256 has 64 digits"),
        (("schedule: 0*6", "schedule: 0*6 7"), r"schedule.*|step 7: agent 7 has ended, or was never there"),
        (("schedule: 0*6", "schedule: 0*x"), "is not an agent and how often"),
        (("role: receiver", "role: tables"), "drives a sender or a receiver"),
        (("- RCV-02", "- RCV-99"), r"no requirement 'RCV-99' of a receiver"),
        (("location: loop.yaml", "location: nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("location: loop.yaml", "location: loop"), "'loop' is not a target"),
        (("kind: scenario", "kind: scenario\nagent: acpi-6.6"), "acpi-6.6 is a receiver, and no operating system"),
    ],
)
def test_a_scenario_that_is_wrong_is_told(folder: Path, change: tuple[str, str], message: str) -> None:
    command("loop.yaml", "--out", "found.yaml")
    text = (folder / "found.yaml").read_text(encoding="utf-8")
    assert change[0] in text
    (folder / "found.yaml").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(InputError) as told:
        open_target("found.yaml")
    assert re.search(message, str(told.value))


def test_code_that_has_changed_since_is_an_error_with_its_place(folder: Path) -> None:
    command("loop.yaml", "--out", "found.yaml")
    (folder / "loop.bin").write_bytes(assemble(SMALL))
    with pytest.raises(InputError) as told:
        open_target("found.yaml")
    assert told.value.where == "found.yaml:4:11"
    assert "loop.yaml is other code, with sha256 " in told.value.message


@pytest.mark.usefixtures("folder")
def test_what_is_no_machine_code_is_refused() -> None:
    for words in (
        ("tables:td-shim",),
        ("loop.yaml", "--memory", "tso"),
        ("loop.yaml", "--agent", "no-such"),
        ("loop.yaml", "--agent", "acpi-6.6"),
    ):
        assert isinstance(command(*words).exception, InputError)


def test_a_loop_whose_ids_are_indices_has_these(folder: Path) -> None:
    (folder / "loop.yaml").write_text(LOOP_YAML.replace("id: cpuid", "id: index") + "  rbp: index\n", encoding="utf-8")
    (folder / "loop.bin").write_bytes(assemble(BITS))
    found = json.loads(command("loop.yaml", "--aps", "3", "--format", "json").stdout)
    assert (found["verdict"], found["ids"]) == ("pass", [1, 2, 3])


def test_it_is_compressed_as_it_is_written(folder: Path) -> None:
    command("loop.yaml", "--out", "found.yaml")
    text = (folder / "found.yaml").read_text(encoding="utf-8")
    one = explored(assemble(EARLY), 2).violation
    assert one is not None
    assert f"schedule: {compressed(one.schedule)}\n" in text
    assert attrs.asdict(one.steps[0])["at"] == "top"
