"""Any number of processors at once, against one to four of them, and what the command makes of it."""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from mpwake.model.agent import load_agent
from mpwake.model.explore.everybody import Covered, Everybody, State, everybody
from mpwake.model.explore.exploring import Exploration, Reductions
from mpwake.model.explore.local import Unexplorable
from mpwake.model.explore.monitors import RACES, Wrong
from mpwake.model.explore.search import Bounds
from mpwake.model.explore.symmetry import UnlikeError
from mpwake.model.explore.tables import Setup
from mpwake.model.program import Program, compile_node
from mpwake.spec import document
from mpwake.spec.verdicts import Verdict
from mpwake.targets import any_number
from mpwake.targets.exploration import Sides, Task, explore, ids_of, probe_of, setup_of, sides
from support.cli import mpwake
from support.mutants import platform_of

MEMORIES: tuple[Literal["sc", "tso", "relaxed"], ...] = ("sc", "tso", "relaxed")
# Bring-ups and loops that keep to ACPI, all of them without a time-out.
GOOD = (
    ("os-reference", "acpi-6.6"),
    ("linux-6.1", "acpi-6.4"),
    ("shared-os", "shared-ap"),
)
# Mutants of orderings and races: what each breaks, found for some number of processors.
RACING = (
    *("ord-plain-store", "snd-command-first", "snd-no-wait", "snd-vector-preloaded", "snd-cancels"),
    *("snd-fire-and-forget", "ord-next-too-early", "tmo-gives-up", "tmo-goes-on", "tmo-exhausted-is-success"),
    *("rcv-command-not-compared", "rcv-ack-before-load", "rcv-vector-in-shared-word", "rcv-takes-back"),
    *("rcv-ack-8-bytes", "ord-ack-before-load", "ord-shared-word", "ord-ack-8-bytes", "ord-command-once"),
)
# Those whose steps alone, under the relaxed model, take more time than all else here.
LONG = ("ord-plain-store", "snd-command-first", "snd-no-wait", "ord-next-too-early", "tmo-goes-on")


@functools.cache
def compiled(name: str) -> Program:
    return compile_node(load_agent(name))


def both_of(sender: str, receiver: str) -> Sides:
    return attrs.evolve(sides("reference"), sender=compiled(sender), receiver=compiled(receiver))


def pool(both: Sides, aps: int, memory: str) -> Setup:
    return setup_of(both, probe_of(ids_of(both, aps)), memory, True)


def concrete(both: Sides, aps: int, memory: str, stop: frozenset[Wrong]) -> frozenset[Wrong]:
    exploration = Exploration(pool(both, aps, memory), Reductions(), Bounds(states=300_000))
    search = exploration.search(stop)
    search.run()
    return frozenset(search.hits)


# Against so many processors


def abstracted(one: Everybody, known: Exploration, state: Any) -> State | None:
    """Return what a state of so many processors is when those whom nobody names are counted as one or many."""
    packed = known.packed
    layout = packed.layout

    def number(field: Any) -> int:
        return int(state[field.word]) >> field.shift & field.mask

    listed = [list(numbers) for numbers in known.known.locals]
    values = {cell: list(found.numbers)[number(layout.cells[cell])] for cell, found in known.known.cells.items()}
    sender, *locals_ = [listed[agent][number(field)] for agent, field in enumerate(layout.agents)]
    people = {}
    for agent, local in enumerate(locals_, start=1):
        owned = {cell: bit for cell, (owner, bit) in one.owners.items() if owner == agent}
        people[agent] = (local, sum(bit for cell, bit in owned.items() if values.get(cell)))
    shared = tuple(values[cell] for cell in one.places)
    return one.settled(sender, shared, people, ())


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(("sender", "receiver"), GOOD)
def test_each_state_of_two_to_four_is_among_those_of_any_number(sender: str, receiver: str, memory: str) -> None:
    both = both_of(sender, receiver)
    # A pool with a number to spare, so that the states of four can be told with its names.
    one = Everybody(pool(both, 5, memory), reducing=False)
    covered, states = one.run()
    assert not covered.wrongs
    told = {one.told(state) for state in states}
    for aps in (2, 3, 4):
        exploration = Exploration(pool(both, aps, memory), Reductions(symmetry=False, partial_order=False), Bounds())
        search = exploration.search(frozenset())
        search.run()
        assert not search.hits
        for state in itertools.chain(*search.levels):
            seen = abstracted(one, exploration, state)
            assert seen is not None
            assert one.told(seen) in told


@pytest.mark.parametrize(
    ("id", "memory"), [(id, memory) for id in RACING for memory in MEMORIES if memory != "relaxed" or id not in LONG]
)
def test_what_two_or_three_do_wrong_any_number_does(id: str, memory: Any, tmp_path: Path) -> None:
    both = sides(platform_of(id, tmp_path))
    covered = everybody(any_number.pools(Task(id, memory=memory), both))
    for aps in (2, 3):
        found = concrete(both, aps, memory, RACES)
        assert bool(found & RACES) == bool(covered.wrongs.keys() & RACES)
        if not found & RACES:
            assert found <= covered.wrongs.keys()


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize(("sender", "receiver"), GOOD)
def test_steps_taken_at_once_change_no_verdict(sender: str, receiver: str, memory: str) -> None:
    setup = pool(both_of(sender, receiver), 4, memory)
    few, many = Everybody(setup).run()[0], Everybody(setup, reducing=False).run()[0]
    assert few.states <= many.states
    assert (few.wrongs, few.landings > 0, few.goals > 0) == (many.wrongs, True, True)


# Processors that are alike

LOAD = '{"load": {"to": "id", "from": "ApicId"}}'


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"from": "ApicId"', '"from": {"at": 4, "width": 2}', "who they are"),
        (LOAD, LOAD + ', {"branch": {"if": ["id", "ge", 65536], "to": "park"}}', "more than names"),
        ('["id", "ne", "self"]', '["id", "lt", "self"]', "who they are"),
        ('["id", "ne", "self"]', '["id", "ne", "index"]', "by their number"),
    ],
)
def test_processors_are_not_taken_for_alike_that_are_not(old: str, new: str, reason: str) -> None:
    text = json.dumps(load_agent("acpi-6.6").plain())
    assert old in text
    receiver = compile_node(document.parse(text.replace(old, new), "other"))
    both = attrs.evolve(sides("reference"), receiver=receiver)
    with pytest.raises(UnlikeError, match=reason):
        everybody(any_number.pools(Task("reference", memory="tso"), both))


def test_a_pool_that_is_too_small_says_so() -> None:
    both = both_of("os-reference", "acpi-6.6")
    with pytest.raises(Unexplorable, match="more than 1 of them are named"):
        everybody(any_number.pools(Task("reference"), both, (2,)))


# What is made of it


@pytest.mark.parametrize("memory", MEMORIES)
def test_nothing_goes_wrong_on_the_reference_platform_however_many_they_are(memory: Any) -> None:
    found = explore(Task("reference", "all", memory)).exploration
    assert (found.verdict, found.any_number) == (Verdict.PASS, True)
    assert "however many they are" in found.reason


@pytest.mark.parametrize(("id", "aps", "memory"), [("ord-plain-store", 1, "relaxed"), ("ord-command-once", 2, "sc")])
def test_a_violation_is_shown_with_the_fewest_processors(id: str, aps: int, memory: Any, tmp_path: Path) -> None:
    found = explore(Task(platform_of(id, tmp_path), "all", memory))
    assert found.exploration.verdict is Verdict.FAIL
    assert len(found.exploration.ids) == 1 + aps
    assert found.scenario


def test_what_no_number_shows_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful = Covered(landings=1, goals=1, wrongs={Wrong.LATE: 7})
    monkeypatch.setattr(any_number, "everybody", lambda _pools: doubtful)
    found = explore(Task("reference", "all", "sc")).exploration
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "more than 4 processors may do wrong (late), or none at all; --aps 5 tells more"


def test_where_they_are_not_alike_nothing_follows() -> None:
    found = explore(Task("oak-stage0", "all", "sc")).exploration
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "nothing follows for any number of processors" in found.reason


def test_the_command_takes_all(tmp_path: Path) -> None:
    result = mpwake("explore", "linux-7.2", "--aps", "all", "--format", "json", cwd=tmp_path)
    told = json.loads(result.stdout)
    assert (result.returncode, told["aps"], told["complete"]) == (0, "all", True)
    for more in (("--tests",), ("--order", "fixed"), ("--checkpoint", "x")):
        refused = mpwake("explore", "reference", "--aps", "all", *more, cwd=tmp_path)
        assert refused.returncode == 2
        assert "--aps all: not with" in refused.stderr
    assert mpwake("explore", "reference", "--aps", "0", cwd=tmp_path).returncode == 2
    assert "model:PLATFORM" in mpwake("explore", "firmware:x", "--aps", "all", cwd=tmp_path).stderr
