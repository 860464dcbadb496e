"""From what a search found back to how it came about: a shortest schedule, without parents having been stored."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from mpwake.model.explore.local import Action, Local, Outcome
from mpwake.model.explore.search import Search
from mpwake.model.explore.engine import U64

_ONE_WORD = (1 << 64) - 1


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


def unsure(search: Search, state: U64, depth: int) -> list[U64]:
    """Return the states on a shortest way to one of a level, it included. The levels must have been kept."""
    way = [state.reshape(1, -1).copy()]
    scratch = np.zeros((1, state.size), np.uint64)
    for level in reversed(search.levels[:depth]):
        number = int(search.engine.origin(search.tables, level, scratch, way[-1], search.reducing))
        assert number < len(level)
        way.append(level[number : number + 1].copy())
    return way[::-1]
