"""Whether the goal stays reachable: a search backwards through the states that were found."""

from __future__ import annotations

import numpy as np

from mpwake.model.explore.engine import U64
from mpwake.model.explore.search import Search, flat


def first_stuck(search: Search) -> tuple[int, U64] | None:
    """Return the level and the state nearest to the start from which no schedule leads to the goal, or None.

    All states must have been seen, and their levels kept.
    """
    marks = np.zeros(len(search.table), np.uint8)
    engine, reducing = search.engine, search.reducing
    new = 1
    while new:
        new = sum(
            int(engine.mark(search.tables, search.alike, search.room, marks, flat(level), reducing))
            for level in reversed(search.levels)
        )
    for depth, level in enumerate(search.levels):
        number = int(engine.unmarked(flat(search.table), marks, flat(level)))
        if number < len(level):
            return depth, level[number]
    return None
