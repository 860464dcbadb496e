"""The explorer of the model: its states against a plain search, its reductions against none, and what it finds."""

from __future__ import annotations

import copy
import functools
import json
from collections import deque
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.checks.core import find, judge
from mpwake.evidence.trace import SENDER, Kind
from mpwake.model.agent import agent_names, load_agent
from mpwake.model.core import LANDED
from mpwake.model.explore.eager import Eager
from mpwake.model.explore.exploring import Exploration, Reductions, Result
from mpwake.model.explore.local import Local, Unexplorable
from mpwake.model.explore.monitors import RACES, Wrong
from mpwake.model.explore.packing import pack
from mpwake.model.explore.search import Bounds, Search
from mpwake.model.explore.specialised import source_of, specialised
from mpwake.model.explore.symmetry import Alike, UnlikeError
from mpwake.model.explore.tables import Behaviours, Setup
from mpwake.model.probe import Schedule
from mpwake.model.program import Program, compile_node
from mpwake.model.simulator import Simulation, simulate_steps, simulate_ticks
from mpwake.model.twin import RUNNING, Twin
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.exploration import Task, explore, probe_of, setup_of, sides, snippet
from mpwake.targets.scenario import open_scenario
from support.cli import mpwake
from support.mutants import platform_of

MEMORIES = ("sc", "tso", "relaxed")
NO = Reductions(symmetry=False, partial_order=False)
AGENTS = {name: compile_node(load_agent(name)) for name in agent_names()}
SENDERS = [name for name, one in AGENTS.items() if one.agent.role is Role.SENDER and not name.startswith("tester")]
RECEIVERS = [name for name, one in AGENTS.items() if one.agent.role is Role.RECEIVER]
# The states of a model that six other tools have counted too (SPIN among them), under TSO and without reduction.
SHARED = {1: (20, 24), 2: (189, 392), 3: (1489, 4188), 4: (9953, 34256), 5: (59721, 240220), 6: (333745, 1528200)}


reference = functools.cache(lambda: sides("reference"))


def setup(sender: str, receiver: str, aps: int, memory: str, **more: Any) -> Setup:
    both = attrs.evolve(reference(), sender=AGENTS[sender], receiver=AGENTS[receiver])
    ids = tuple(range(1, aps + 1)) if receiver == "oak-stage0" else tuple(0x11 + 0x100 * n for n in range(aps))
    return attrs.evolve(setup_of(both, probe_of(ids), memory, True), **more)


def run(
    one: Setup, reductions: Reductions = NO, stop: frozenset[Wrong] = frozenset(), known: Behaviours | None = None
) -> tuple[Search, Result]:
    exploration = Exploration(one, reductions, Bounds(), known)
    search = exploration.search(stop)
    return search, exploration.run(search)


@pytest.mark.parametrize("aps", SHARED)
def test_states_and_transitions_are_those_that_other_tools_count(aps: int) -> None:
    search, result = run(setup("shared-os", "shared-ap", aps, "tso"))
    assert (result.states, result.transitions, result.goals) == (*SHARED[aps], aps)
    assert not search.hits
    assert not result.found


def test_symmetry_counts_as_a_canonical_sort_does() -> None:
    search, result = run(setup("shared-os", "shared-ap", 8, "tso"), Reductions(partial_order=False))
    assert (result.states, result.notes) == (4521, ())
    assert len(search.alike.kinds)


def test_many_are_guessed_from_a_few_and_a_wrong_guess_is_made_good(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = setup("shared-os", "shared-ap", 5, "tso")
    whole, guessed = Behaviours(one), Exploration(one, NO, Bounds()).known
    assert guessed.narrowed
    assert len(guessed.locals[1]) < len(whole.locals[1])
    assert run(one, NO, RACES)[1].states == SHARED[5][0]
    # Nobody comes as far as a landing: the search has to begin again.
    monkeypatch.setattr("mpwake.model.explore.exploring.likely", lambda _: lambda _agent, local: local.status != LANDED)
    for reductions in (NO, Reductions()):
        exploration = Exploration(one, reductions, Bounds())
        search = exploration.search()
        result = exploration.run(search)
        assert (result.known.narrowed, search.packed is exploration.packed) == (False, True)
        assert (result.states, result.landings > 0, result.found) == (run(one, reductions)[1].states, True, ())
    search.save(tmp_path / "checkpoint")
    again = Exploration(one, reductions, Bounds())
    resumed = again.search()
    resumed.restore(tmp_path / "checkpoint")
    assert again.run(resumed).states == result.states
    with pytest.raises(ValueError, match="another exploration"):
        again.search(frozenset()).restore(tmp_path / "checkpoint")


@pytest.mark.parametrize("reductions", [NO, Reductions(True, False), Reductions(False, True), Reductions()])
@pytest.mark.parametrize(
    ("sender", "receiver", "aps"),
    [("shared-os", "shared-ap", 5), ("os-reference", "acpi-6.6", 3), ("os-command-first", "acpi-6.4", 2)],
)
def test_threads_change_nothing(
    sender: str, receiver: str, aps: int, reductions: Reductions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpwake.model.explore.search.PART", 2)
    one = setup(sender, receiver, aps, "tso")
    found = []
    for threads in (1, 2, 3):
        exploration = Exploration(one, reductions, Bounds(threads=threads))
        search = exploration.search(frozenset())
        result = exploration.run(search)
        assert len(search.workers) == threads
        assert all(one.counters.any() for one in search.workers) or search.states < 100
        states = np.concatenate(search.levels)
        assert len(np.unique(states, axis=0)) == len(states) == result.states
        kinds = {(wrong, hit.depth) for wrong, hit in search.hits.items()}
        found.append((result.states, result.transitions, result.landings, result.goals, result.depth, kinds))
    assert found[0] == found[1] == found[2]


# Against a plain search over the twin


def snapshot(twin: Twin, live: list[list[frozenset[int]]], programs: tuple[Program, ...]) -> tuple[Any, ...]:
    """Return the twin's state, registers that are never read again left out."""
    agents = []
    for number, program in enumerate(programs):
        pc, status = twin.pc[number], twin.status[number]
        kept = live[number][pc] if status == RUNNING else frozenset()
        registers = tuple(
            sorted(
                (name, twin.registers[number][name]) for name, at in program.registers.items() if at in kept and at > 1
            )
        )
        buffer = tuple((*one[:3], one.release and twin.memory == "relaxed") for one in twin.buffers[number])
        agents.append((pc, status, twin.wait[number], registers, buffer))
    return bytes(twin.page[:2048]), frozenset(twin.woken), twin.position, tuple(agents)


def another(twin: Twin) -> Twin:
    """Return a twin in the same state, which can be stepped by itself."""
    one = copy.copy(twin)
    one.page, one.pc, one.status, one.wait = bytearray(twin.page), [*twin.pc], [*twin.status], [*twin.wait]
    one.registers, one.buffers = [dict(each) for each in twin.registers], [[*each] for each in twin.buffers]
    one.woken = set(twin.woken)
    return one


def plain_search(one: Setup, live: list[list[frozenset[int]]]) -> set[tuple[Any, ...]]:
    """Return all states of a machine, found by a search that knows nothing of the explorer."""
    first = Twin([p.agent for p in one.programs], one.ids, one.requests, one.memory, one.page.ljust(4096, b"\0"))  # type: ignore[arg-type]
    seen = {snapshot(first, live, one.programs)}
    pending = deque([first])
    while pending:
        twin = pending.popleft()
        for agent in range(len(one.programs)):
            for action in twin.actions(agent):
                after = another(twin)
                after.step(agent, action)
                state = snapshot(after, live, one.programs)
                if state not in seen:
                    seen.add(state)
                    pending.append(after)
    return seen


def unpacked(search: Search, one: Setup, known: Behaviours) -> set[tuple[Any, ...]]:
    """Return all states that a search found, as ``snapshot`` writes them."""
    layout = search.packed.layout
    listed = [list(numbers) for numbers in known.locals]
    values = {cell: list(found.numbers) for cell, found in known.cells.items()}

    def number(state: Any, field: Any) -> int:
        return int(state[field.word]) >> field.shift & field.mask

    found = set()
    for state in np.concatenate(search.levels):
        page = bytearray(one.page.ljust(4096, b"\0"))
        woken, taken = set(), 0
        for cell, field in layout.cells.items():
            value = values[cell][number(state, field)]
            if cell[0] == 0:
                width = dict(known.grid.cells)[cell[1]]
                page[cell[1] : cell[1] + width] = value.to_bytes(width, "little")
            elif cell[0] == 1:
                taken += value == 0
            elif cell[0] == 2 and value:
                woken.add(cell[1])
        agents = [_agent(listed[n][number(state, layout.agents[n])], p) for n, p in enumerate(one.programs)]
        found.add((bytes(page[:2048]), frozenset(woken), taken, tuple(agents)))
    return found


def _agent(local: Local, program: Program) -> tuple[Any, ...]:
    names = {at: name for name, at in program.registers.items()}
    from mpwake.model.explore.liveness import live_registers

    live = live_registers(program)[local.pc] if local.status == RUNNING else frozenset()
    registers = tuple(sorted((names[at], local.registers[at]) for at in live if at > 1))
    return local.pc, local.status, local.wait, registers, tuple(tuple(one) for one in local.buffer)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(
    ("sender", "receiver", "aps"),
    [
        ("os-reference", "acpi-6.6", 1),
        ("linux-6.1", "acpi-6.4", 2),
        ("os-vector-last", "edk2-2022", 1),
        ("os-no-wait", "td-shim", 1),
        ("os-command-first", "ap-deaf", 1),
        ("os-reference", "openhcl", 1),
        ("shared-os", "shared-ap", 2),
    ],
)
def test_the_states_are_those_of_a_plain_search_over_the_twin(
    sender: str, receiver: str, aps: int, memory: str
) -> None:
    from mpwake.model.explore.liveness import live_registers

    one = setup(sender, receiver, aps, memory, any_order=False, glued=False)
    known = Behaviours(one)
    search = Search(pack(known), Bounds())
    search.run()
    assert search.states == len(np.concatenate(search.levels))
    expected = plain_search(one, [live_registers(program) for program in one.programs])
    assert unpacked(search, one, known) == expected


@pytest.mark.parametrize(("aps", "memory"), [(1, "sc"), (1, "tso"), (2, "sc")])
def test_the_states_of_two_callers_are_those_of_the_twin(aps: int, memory: str) -> None:
    from mpwake.model.explore.liveness import live_registers

    both = attrs.evolve(reference(), sender=AGENTS["os-locked"])
    one = setup_of(both, probe_of(tuple(0x11 + 0x100 * n for n in range(aps))), memory, False, callers=2)
    one = attrs.evolve(one, glued=False)
    known = Behaviours(one)
    search = Search(pack(known), Bounds())
    search.run()
    assert unpacked(search, one, known) == plain_search(one, [live_registers(program) for program in one.programs])


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_schedule_of_the_twin_goes_through_states_that_are_known(data: st.DataObject) -> None:
    from mpwake.model.explore.liveness import live_registers

    memory = data.draw(st.sampled_from(MEMORIES))
    sender = data.draw(st.sampled_from(("os-reference", "linux-6.1", "os-no-wait", "os-vector-last")))
    one, states = _known(sender, memory)
    twin = Twin([p.agent for p in one.programs], one.ids, one.requests, memory, one.page.ljust(4096, b"\0"))  # type: ignore[arg-type]
    live = [live_registers(program) for program in one.programs]
    for _ in range(data.draw(st.integers(0, 120))):
        able = [(agent, action) for agent in range(len(one.programs)) for action in twin.actions(agent)]
        if not able:
            break
        twin.step(*data.draw(st.sampled_from(able)))
        assert snapshot(twin, live, one.programs) in states


@functools.cache
def _known(sender: str, memory: str) -> tuple[Setup, set[tuple[Any, ...]]]:
    one = setup(sender, "acpi-6.4", 2, memory, any_order=False, glued=False)
    if memory == "relaxed" and sender == "os-vector-last":
        one = setup(sender, "acpi-6.4", 1, memory, any_order=False, glued=False)
    known = Behaviours(one)
    search = Search(pack(known), Bounds())
    search.run()
    return one, unpacked(search, one, known)


# Reductions


def verdict(one: Setup, reductions: Reductions, known: Behaviours) -> tuple[frozenset[str], bool, bool]:
    """Return the kinds of wrong in all schedules, whether somebody lands well, and whether the goal is reached."""
    search, result = run(one, reductions, known=known)
    kinds = frozenset(wrong.name for wrong in search.hits)
    stuck = any(found.wrong is Wrong.STUCK for found in result.found)
    return kinds | ({"STUCK"} if stuck else set()), result.landings > 0, result.goals > 0


# Their counts of polls alone are more steps than these tests take time for.
COUNTING = ("asterinas", "gramine-tdx", "linux-tdx-acpi")


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("sender", SENDERS)
def test_reductions_change_no_verdict(sender: str, memory: str) -> None:
    compared = 0
    for receiver in RECEIVERS:
        for aps in (1, 2, 3):
            one = setup(sender, receiver, aps, memory)
            try:
                known = Behaviours(one, most=1_500)
            except Unexplorable:
                break
            expected = verdict(one, NO, known)
            for reductions in (Reductions(True, False), Reductions(False, True), Reductions(True, True)):
                assert verdict(one, reductions, known) == expected, (receiver, aps, reductions)
            compared += 1
    assert compared or sender in COUNTING


def test_processors_that_know_their_number_are_not_taken_for_each_other() -> None:
    with pytest.raises(UnlikeError, match="by their number"):
        Alike(Behaviours(setup("os-reference", "oak-stage0", 2, "tso")))
    with pytest.raises(UnlikeError, match="fixed order"):
        Alike(Behaviours(setup("os-reference", "acpi-6.6", 2, "tso", any_order=False)))


def test_a_program_that_compares_ids_by_size_is_not_symmetric(tmp_path: Path) -> None:
    text = json.dumps(load_agent("acpi-6.4").plain()).replace('["id", "ne", "self"]', '["id", "lt", "self"]')
    (tmp_path / "lt.yaml").write_text(text)
    program = compile_node(document.load(tmp_path / "lt.yaml"))
    one = setup("os-reference", "acpi-6.4", 2, "tso")
    with pytest.raises(UnlikeError):
        Alike(Behaviours(attrs.evolve(one, programs=(one.programs[0], program, program))))


def test_a_store_that_others_see_at_once_is_never_eager() -> None:
    for memory, eager in (("sc", 1), ("tso", 0)):
        known = Behaviours(setup("os-reference", "acpi-6.6", 1, memory))
        found = {local.pc for agent, local in Eager(known).found if agent == SENDER}
        stores = {at for at, row in enumerate(known.sides[0].rows) if row[0] == 2}
        assert bool(found & stores) == (not eager)


# What it finds


def test_the_reference_platform_has_no_violation() -> None:
    for memory in MEMORIES:
        for aps in (1, 2, 3, 4):
            found = explore(Task("reference", aps, memory)).exploration  # type: ignore[arg-type]
            assert (found.verdict, found.incomplete) == (Verdict.PASS, "")


MUTANTS = {
    "ord-plain-store": ("relaxed", "ORD-01"),
    "snd-command-first": ("tso", "ORD-01"),
    "snd-no-wait": ("tso", "SND-05"),
    "snd-vector-preloaded": ("tso", "SND-05"),
    "snd-cancels": ("sc", "TMO-04"),
    "snd-fire-and-forget": ("tso", "SND-11"),
    "ord-next-too-early": ("tso", "ORD-06"),
    "tmo-gives-up": ("sc", "TMO-03"),
    "tmo-goes-on": ("sc", "TMO-04"),
    "tmo-exhausted-is-success": ("sc", "SND-11"),
    "rcv-command-not-compared": ("tso", "RCV-18"),
    "rcv-ack-before-load": ("tso", "RCV-07"),
    "rcv-vector-in-shared-word": ("tso", "RCV-07"),
    "rcv-takes-back": ("tso", "RCV-02"),
    "rcv-one-shot": ("tso", "RCV-17"),
    "rcv-ack-8-bytes": ("tso", "RCV-09"),
    "ord-ack-before-load": ("tso", "ORD-05"),
    "ord-shared-word": ("tso", "ORD-09"),
    "ord-ack-8-bytes": ("tso", "ORD-10"),
    "ord-command-once": ("sc", "ORD-04"),
}


@pytest.mark.parametrize("id", MUTANTS)
def test_a_mutant_has_a_counterexample_and_its_replay_shows_the_same(id: str, tmp_path: Path) -> None:
    memory, requirement = MUTANTS[id]
    task = Task(platform_of(id, tmp_path), 1 if id == "ord-plain-store" else 2, memory)  # type: ignore[arg-type]
    explored = explore(task)
    violation = explored.exploration.violation
    assert violation and explored.scenario
    assert explored.exploration.verdict is Verdict.FAIL
    assert requirement in violation.requirements
    path = tmp_path / "scenario.yaml"
    path.write_text(document.dump(explored.scenario), encoding="utf-8")
    behaviour = open_scenario(path).driven[violation.role]
    failed = [name for name in violation.requirements if not _passes(name, violation.role, behaviour)]
    assert tuple(failed) == violation.requirements


def _passes(name: str, role: Role, behaviour: Any) -> bool:
    return judge(find(name, role), behaviour).verdict is not Verdict.FAIL


@pytest.mark.parametrize("id", ["rcv-ack-before-load", "rcv-vector-in-shared-word", "ord-shared-word"])
def test_random_schedules_seldom_find_what_exploration_does(id: str, tmp_path: Path) -> None:
    both = sides(platform_of(id, tmp_path))
    one = setup_of(both, probe_of((0x11, 0x111)), "tso", False)
    simulation = Simulation(one.programs, one.ids, one.requests, "tso", page=one.page, budget=40_000)
    asked = {(apic, vector) for _, apic, vector in one.requests}
    astray = 0
    for seed in range(300):
        trace = simulate_ticks(attrs.evolve(simulation, seed=seed))
        landed = {(one.ids[event.agent], event.value) for event in trace.events if event.kind is Kind.LANDING}
        assert landed
        astray += not landed <= asked
    assert astray < 3
    _, result = run(attrs.evolve(one, any_order=True), NO, RACES)
    assert [found.wrong for found in result.found] == [Wrong.ASTRAY]


@pytest.mark.parametrize("id", ["rcv-id-before-command", "rst-test-jumps", "rst-test-anybody", "rst-test-lost"])
def test_mutants_that_only_a_test_shows(id: str, tmp_path: Path) -> None:
    path = platform_of(id, tmp_path)
    assert explore(Task(path, 2, "sc")).exploration.verdict is Verdict.PASS
    assert explore(Task(path, 2, "sc", tests=True)).exploration.violation
    assert explore(Task("reference", 2, "sc", tests=True)).exploration.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("sender", "receiver", "aps", "memory", "steps"),
    [
        ("os-command-first", "acpi-6.4", 1, "tso", 10),
        ("os-command-first", "acpi-6.4", 1, "sc", 8),
        ("plain-command", "acpi-6.4", 1, "relaxed", 11),
    ],
)
def test_a_wrong_vector_is_found_in_the_fewest_steps(
    sender: str, receiver: str, aps: int, memory: str, steps: int
) -> None:
    one = setup("linux-6.1" if sender == "plain-command" else sender, receiver, aps, memory)
    if sender == "plain-command":
        text = json.dumps(load_agent("linux-6.1").plain()).replace(', "release": true', "")
        one = attrs.evolve(one, programs=(compile_node(document.parse(text, "plain")), *one.programs[1:]))
    for reductions in (NO, Reductions()):
        _, result = run(one, reductions, RACES)
        assert [(found.wrong, len(found.way)) for found in result.found] == [(Wrong.ASTRAY, steps)]


def test_a_processor_that_dies_is_found_by_what_stays_out_of_reach() -> None:
    found = explore(Task("reference", 2, agent="ap-dies"))
    assert found.exploration.violation
    assert "no schedule leads" in found.exploration.violation.what


def test_the_snippet_says_what_the_checks_say(tmp_path: Path) -> None:
    explored = explore(Task(platform_of("ord-ack-before-load", tmp_path), 2))
    assert explored.exploration.violation
    text = snippet(explored.exploration.violation, "x.yaml")
    for name in explored.exploration.violation.requirements:
        check = find(name, explored.exploration.violation.role)
        assert f"@{name} @receiver" in text
        assert f"When {check.when.sentence}\n    Then {check.then}\n" in text


# Bounds, checkpoints, machine code


def test_a_bound_ends_as_inconclusive_with_what_was_covered() -> None:
    for bounds in (Bounds(states=2_000), Bounds(memory=400_000), Bounds(depth=9)):
        found = explore(Task("reference", 5, reductions=NO, bounds=bounds)).exploration
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.incomplete
        assert 0 < found.states < 100_000


def test_without_room_for_levels_it_says_that_the_goal_was_not_looked_at() -> None:
    one = setup("shared-os", "shared-ap", 5, "tso")
    whole, _ = run(one)
    exploration = Exploration(one, NO, Bounds(memory=whole.table.nbytes * 2 + 1_000_000))
    search = exploration.search()
    result = exploration.run(search)
    assert result.states == SHARED[5][0]
    assert bool(search.levels) or "was not looked at" in result.notes[0]


class StopError(Exception):
    """Ends a search on its way."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("after", [1, 17, 30])
def test_a_search_goes_on_from_its_checkpoint(
    after: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpwake.model.explore.search.PART", 2)
    one = setup("shared-os", "shared-ap", 4, "tso")
    exploration = Exploration(one, NO, Bounds(threads=threads))
    first = exploration.search()
    calls = 0

    def stop(_progress: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise StopError

    with pytest.raises(StopError):
        first.run(stop)
    first.save(tmp_path / "checkpoint")
    second = exploration.search()
    second.restore(tmp_path / "checkpoint")
    result = exploration.run(second)
    assert (result.states, result.transitions, result.goals) == (*SHARED[4], 4)
    assert not result.found


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    Exploration(setup("shared-os", "shared-ap", 2, "tso"), NO, Bounds()).search().save(path)
    for other in (setup("shared-os", "shared-ap", 2, "sc"), setup("shared-os", "shared-ap", 3, "tso")):
        with pytest.raises(ValueError, match="another exploration"):
            Exploration(other, NO, Bounds()).search().restore(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no checkpoint"):
        explore(Task("reference", 2, resume=path))


def test_the_machine_code_is_specialised_by_the_words_of_a_state() -> None:
    assert "\nWORDS = 5\n" in source_of(5)
    assert specialised(1).WORDS == 1
    assert specialised(1) is specialised(1)


def test_what_counts_too_far_is_not_explored() -> None:
    with pytest.raises(Unexplorable, match="more than 100 steps"):
        Behaviours(setup("asterinas", "acpi-6.6", 1, "tso"), most=100)


# Schedules of steps


def test_a_schedule_of_steps_is_taken_as_it_stands_and_everybody_goes_on_after_it() -> None:
    one = setup("linux-6.1", "acpi-6.6", 1, "tso")
    simulation = Simulation(one.programs, one.ids, one.requests, "tso", page=one.page)
    trace = simulate_steps(simulation, Schedule("tso", engine="steps", steps="0*4 0.1*3 1*3").turns())
    assert not trace.stuck
    assert not trace.spent
    assert [(event.agent, event.value) for event in trace.events if event.kind.value == "landing"] == [(1, 0x9A000)]
    for steps in ("1.1", "2", "0*4 0.2"):
        with pytest.raises(ValueError, match="cannot take"):
            simulate_steps(simulation, Schedule("tso", engine="steps", steps=steps).turns())


@pytest.mark.parametrize("words", [{"engine": "steps"}, {"steps": "0"}, {"engine": "steps", "steps": "0.9"}])
def test_steps_are_given_with_their_engine_alone(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"steps|buffered"):
        Schedule("tso", **words)


# The command


def test_the_command_writes_scenario_feature_and_diagram(tmp_path: Path) -> None:
    found = mpwake("explore", "reference", "--agent", "os-command-first", "--aps", "1", "--out", "x.yaml", cwd=tmp_path)
    assert found.returncode == 1, found.stderr
    assert "lands at 0x0, where it was not asked to" in found.stdout
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")
    assert "@ORD-01 @sender" in (tmp_path / "x.feature").read_text()
    again = mpwake("run", "x.yaml", "--strict", "interop,robustness", cwd=tmp_path)
    assert again.returncode == 1, again.stderr
    assert "3 requirements fail (SND-05, ORD-01, ORD-06)" in again.stdout


def test_the_command_tells_in_json(tmp_path: Path) -> None:
    words = ("--aps", "3", "--memory", "relaxed", "--threads", "2", "--format", "json")
    found = mpwake("explore", "model:linux-6.1", *words, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert (told["verdict"], told["memory"], told["complete"]) == ("pass", "relaxed", True)
    assert mpwake("explore", "no-such", cwd=tmp_path).returncode == 2
