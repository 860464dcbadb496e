"""Local states and values as small numbers: what agents can do, found by a fixed point over all that they may read.

What is found covers more than can happen: a step is known for each value that its cells ever hold, together or not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import attrs

from mpwake.model.explore.local import (
    LEFT,
    PAGE_CELL,
    Action,
    Cell,
    Grid,
    Local,
    Outcome,
    Side,
    Unexplorable,
    grid_of,
)
from mpwake.model.program import Program

MAX_STEPS = 300_000
Reading = tuple[tuple[Cell, int], ...]
Within = Callable[[int, Local], bool]


@attrs.frozen(eq=False)
class Setup:
    """What is explored: programs and APIC IDs by agent, the sender's first, and what is asked of the sender.

    ``any_order`` lets the sender take any request that is left, else the first one. ``glued`` is false where each
    operation of a program is a step of its own. The last agents are further ``callers``: they send as the first does,
    and all of them take requests from one list.
    """

    programs: tuple[Program, ...]
    ids: tuple[int, ...]
    requests: tuple[tuple[int, int, int], ...]
    memory: str
    page: bytes = b"\0\0\0\0\xff\xff\xff\xff"
    any_order: bool = True
    glued: bool = True
    callers: int = 1

    @property
    def senders(self) -> frozenset[int]:
        """The numbers of the agents that send."""
        count = len(self.programs)
        return frozenset({0, *range(count + 1 - self.callers, count)})


@attrs.frozen
class Move:
    """An action in a local state: the cells that it reads, and the outcome for each of their values."""

    action: Action
    cells: tuple[Cell, ...]
    outcomes: dict[tuple[int, ...], Outcome | None]


class Values:
    """The values of a cell, numbered in the order in which they were found."""

    def __init__(self, *known: int) -> None:
        self.numbers = {value: number for number, value in enumerate(known)}

    def add(self, value: int) -> bool:
        """Add a value; say whether it is new."""
        return self.numbers.setdefault(value, len(self.numbers)) == len(self.numbers) - 1


class Behaviours:
    """Local states of all agents, numbered, with their moves, and the values of all cells.

    Local states that are not ``within`` have no number, and what comes after them is left out: whoever steps into one
    has to look again. Raises ``Unexplorable`` where they are too many.
    """

    def __init__(self, setup: Setup, most: int = MAX_STEPS, within: Within | None = None) -> None:
        self.setup = setup
        self.grid: Grid = grid_of(setup.programs)
        self.sides = tuple(
            Side(
                *(number, program, apic_id, setup.requests, setup.memory, self.grid, setup.glued),
                sends=number in setup.senders,
            )
            for number, (program, apic_id) in enumerate(zip(setup.programs, setup.ids, strict=True))
        )
        self.cells: dict[Cell, Values] = {}
        self.locals: list[dict[Local, int]] = [{} for _ in self.sides]
        self._leaves: dict[tuple[int, int, Action], list[tuple[Reading, Outcome | None]]] = {}
        self._moves: dict[tuple[int, int], list[Move]] = {}
        self._waiting: dict[Cell, list[tuple[int, Local, Action, Reading]]] = {}
        self._pending: list[tuple[int, Local, Action, Reading]] = []
        self._most = most
        self.narrowed = within is not None
        self._within = within
        self._taken = 0
        self._same: dict[Outcome, Outcome] = {}
        self._close()

    def initial(self, cell: Cell) -> int:
        """Return the value that a cell has at first."""
        kind, number = cell
        if kind == PAGE_CELL:
            width = dict(self.grid.cells)[number]
            return int.from_bytes(self.setup.page[number : number + width].ljust(width, b"\0"), "little")
        return int(kind == LEFT)

    def moves(self, agent: int, local: Local) -> list[Move]:
        """Return what an agent may do in a local state."""
        number = self.locals[agent][local]
        if (agent, number) not in self._moves:
            actions = self.sides[agent].actions(local)
            self._moves[agent, number] = [self._move((agent, number, action)) for action in actions]
        return self._moves[agent, number]

    def _move(self, key: tuple[int, int, Action]) -> Move:
        leaves = self._leaves[key]
        cells = tuple(sorted({cell for reading, _ in leaves for cell, _ in reading}))
        outcomes: dict[tuple[int, ...], Outcome | None] = {}
        for reading, outcome in leaves:
            known = dict(reading)
            choices = ([known[cell]] if cell in known else list(self.cells[cell].numbers) for cell in cells)
            outcomes |= dict.fromkeys(itertools.product(*choices), outcome)
        return Move(key[2], cells, outcomes)

    def _close(self) -> None:
        for number in range(len(self.setup.requests)):
            self.cells[LEFT, number] = Values(0, 1)
        for cell in ((PAGE_CELL, at) for at, _ in self.grid.cells):
            self._values(cell)
        for side in self.sides:
            self._local(side.number, side.first())
        while self._pending:
            agent, local, action, reading = self._pending.pop()
            self._step(agent, local, action, reading)

    def _step(self, agent: int, local: Local, action: Action, reading: Reading) -> None:
        self._taken += 1
        if self._taken > self._most:
            raise Unexplorable(f"its agents have more than {self._most} steps of their own, with what they count")
        try:
            outcome = self.sides[agent].step(local, action, dict(reading).__getitem__)
        except KeyError as missing:
            self._ask(missing.args[0], agent, local, action, reading)
            return
        outcome = self._same.setdefault(outcome, outcome) if outcome else None
        key = (agent, self.locals[agent][local], action)
        self._leaves.setdefault(key, []).append((reading, outcome))
        if outcome and self._local(agent, outcome.local):
            for cell, value in outcome.writes:
                self._value(cell, value)

    def _ask(self, cell: Cell, agent: int, local: Local, action: Action, reading: Reading) -> None:
        self._waiting.setdefault(cell, []).append((agent, local, action, reading))
        for value in list(self._values(cell).numbers):
            self._pending.append((agent, local, action, (*reading, (cell, value))))

    def _values(self, cell: Cell) -> Values:
        if cell not in self.cells:
            self.cells[cell] = Values(self.initial(cell))
        return self.cells[cell]

    def _value(self, cell: Cell, value: int) -> None:
        values = self._values(cell)
        if value not in values.numbers:
            values.add(value)
            for agent, local, action, reading in self._waiting.get(cell, ()):
                self._pending.append((agent, local, action, (*reading, (cell, value))))

    def _local(self, agent: int, local: Local) -> bool:
        known = self.locals[agent]
        if local not in known:
            if self._within and not self._within(agent, local):
                return False
            known[local] = len(known)
            self._pending += [(agent, local, action, ()) for action in self.sides[agent].actions(local)]
        return True


def requests_of(ids: Sequence[int], op: int, vector: int, apart: int) -> tuple[tuple[int, int, int], ...]:
    """Return the requests that wake each processor at a vector of its own."""
    return tuple((op, one, vector + apart * number) for number, one in enumerate(ids))
