"""From what a search found back to how it came about: a shortest schedule, without parents having been stored."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from mpwake.model.explore.engine import BATCH, U64
from mpwake.model.explore.local import Action, Local, Outcome
from mpwake.model.explore.monitors import Wrong
from mpwake.model.explore.search import Bounds, Hit, Search, flat
from mpwake.model.explore.symmetry import none


@attrs.frozen
class Taken:
    """One step of a schedule: whose it is, in which local state, which action, and what came of it."""

    agent: int
    local: Local
    action: Action
    outcome: Outcome

    @property
    def turns(self) -> Iterator[tuple[int, int]]:
        """The steps of the model's machine that it stands for."""
        if self.action.number:
            yield self.agent, self.action.number
        yield from ((self.agent, 0) for _ in range(self.outcome.operations))


def way_to(search: Search, state: U64, depth: int) -> tuple[tuple[Taken, ...], U64]:
    """Return a shortest schedule to a state of a level, and the state there: the same one but for who is who.

    The levels must have been kept.
    """
    way = [state.reshape(1, -1).copy()]
    for level in reversed(search.levels[:depth]):
        known = search.tables, search.alike, search.room, flat(level)
        number = int(search.engine.origin(*known, flat(way[-1]), search.reducing))
        assert number < len(level)
        way.append(level[number : number + 1].copy())
    return _carried_out(search, way[::-1])


def _carried_out(search: Search, way: list[U64]) -> tuple[tuple[Taken, ...], U64]:
    # Each state of the way stands for others, in which processors have changed places: follow those that hang together.
    state = search.packed.layout.first()
    taken: list[Taken] = []
    for goal in way[1:]:
        for after, one in successors(search, state):
            if np.array_equal(_canonical(search, after), goal):
                taken.append(one)
                state = after
                break
        else:
            raise AssertionError("a step of the way is none")
    return tuple(taken), state


def successors(search: Search, state: U64) -> Iterator[tuple[U64, Taken]]:
    """Yield all that can come next, with the step that leads there."""
    packed = search.packed
    batch = np.zeros((BATCH + packed.most, packed.layout.words), np.uint64)
    rows = np.zeros(len(batch), np.uint64)
    alone = search.engine.Symmetry(*none(packed.layout.words))
    first = np.uint64(0)
    count = search.engine.gather(search.tables, alone, flat(state), first, flat(batch), rows, first, False)
    for number in range(int(count)):
        row = int(rows[number])
        agent, local, move = packed.moves[packed.act_of[row]]
        outcome = packed.outcomes[row]
        assert outcome
        yield batch[number : number + 1].copy(), Taken(agent, local, move.action, outcome)


def _canonical(search: Search, state: U64) -> U64:
    one = state.copy()
    if len(search.alike.kinds):
        search.engine.canonical(search.tables, search.alike, flat(one), np.uint64(0), search.found.copy())
    return one


def way_into(search: Search, hit: Hit) -> tuple[Taken, ...]:
    """Return a shortest schedule that ends with a step that is wrong."""
    taken, state = way_to(search, hit.state, hit.depth - 1)
    last = Search(search.packed, Bounds(depth=1), frozenset({hit.wrong}), keep=False)
    last.frontier, last.depth = state, 0
    last.run()
    found = last.hits[Wrong(hit.wrong)]
    _, local, move = search.packed.moves[found.act]
    outcome = search.packed.outcomes[found.step]
    assert outcome
    return (*taken, Taken(found.agent, local, move.action, outcome))
