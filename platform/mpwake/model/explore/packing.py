"""The tables of the explorer's machine code: where each number stands in a state's words, and what each step does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import attrs
import numpy as np
import numpy.typing as npt

from mpwake.model.core import LANDED as STATUS_LANDED
from mpwake.model.explore.local import LEFT, NOBODY, SENDER, Cell, Local, Outcome
from mpwake.model.explore.monitors import Check, Monitors, Test
from mpwake.model.explore.tables import Behaviours, Move
from mpwake.model.program import Op

U64 = npt.NDArray[np.uint64]
WORD = 64
FULL = (1 << WORD) - 1
OCCUPIED = 1 << WORD - 1
LANDS, WRONG_SHIFT, CHECK_SHIFT, COUNT_SHIFT = 1, 8, 16, 48
EAGER, ENDED, AT_NEXT, LANDED, UNANSWERED = 1, 2, 4, 8, 16
BITS, PLACE_WORD, PLACE_BASE = 6, 16, 24
OUTSIDE = 15
SEVERAL = 1 << 63
FOLDED = 64
Mask = list[int]


@attrs.frozen
class Field:
    """So many bits of a word."""

    word: int
    shift: int
    bits: int

    @property
    def mask(self) -> int:
        """Its bits, at the low end."""
        return (1 << self.bits) - 1

    def place(self, base: int = 0) -> int:
        """Return it as one number, with what is added to its value."""
        return self.shift | self.bits << BITS | self.word << PLACE_WORD | base << PLACE_BASE


class Layout:
    """Where the local state of each agent and the value of each cell stand."""

    def __init__(self, known: Behaviours) -> None:
        self.known = known
        self._free = [WORD - 1]
        self.agents = [self._place(len(numbers)) for numbers in known.locals]
        self.cells = {cell: self._place(len(values.numbers)) for cell, values in known.cells.items()}
        self.words = len(self._free)

    def _place(self, values: int) -> Field:
        bits = max(values - 1, 0).bit_length()
        word = next((number for number, free in enumerate(self._free) if free >= bits), len(self._free))
        if word == len(self._free):
            self._free.append(WORD)
        start = (WORD - 1 if word == 0 else WORD) - self._free[word]
        self._free[word] -= bits
        return Field(word, start, bits)

    def masks(self, fields: Iterable[tuple[Field, int]]) -> tuple[Mask, Mask]:
        """Return the bits of some fields, and the values in them, as words."""
        mask, value = [0] * self.words, [0] * self.words
        for field, number in fields:
            mask[field.word] |= field.mask << field.shift
            value[field.word] |= number << field.shift
        return mask, value

    def first(self) -> U64:
        """Return the initial state."""
        fields = [(self.agents[side.number], self.known.locals[side.number][side.first()]) for side in self.known.sides]
        fields += [(self.cells[cell], self.number(cell, self.known.initial(cell))) for cell in self.cells]
        value = self.masks(fields)[1]
        value[0] |= OCCUPIED
        return np.array([value], np.uint64)

    def number(self, cell: Cell, value: int) -> int:
        """Return the number of a cell's value."""
        return self.known.cells[cell].numbers[value]


@attrs.frozen(eq=False)
class Packed:
    """The tables, and what their rows stand for: ``moves`` by row of ``acts``, ``outcomes`` by row of ``steps``.

    ``act_of`` is the row of ``acts`` by row of ``steps``.
    """

    layout: Layout
    agents: U64
    locals: U64
    ones: U64
    acts: U64
    cells: U64
    steps: U64
    checks: U64
    asked: U64
    moves: list[tuple[int, Local, Move]]
    outcomes: list[Outcome | None]
    act_of: list[int]
    most: int


class _Packer:
    def __init__(self, known: Behaviours, eager: frozenset[tuple[int, Local]]) -> None:
        self.known = known
        self.layout = Layout(known)
        self.values = {cell: list(values.numbers) for cell, values in known.cells.items()}
        self.monitors = Monitors(known)
        self.eager = eager
        self.unanswered = [unanswered(known, side.number) for side in known.sides]
        self.locals: list[list[int]] = []
        self.ones: list[int] = []
        self.acts: list[list[int]] = []
        self.cells: list[list[int]] = []
        self.steps: list[list[int]] = []
        self.checks: list[list[int]] = []
        self.moves: list[tuple[int, Local, Move]] = []
        self.outcomes: list[Outcome | None] = []
        self.act_of: list[int] = []
        self._rows: dict[tuple[int, int, tuple[Check, ...]], list[int]] = {}
        self._checks: dict[tuple[Check, ...], tuple[int, int]] = {(): (0, 0)}

    def pack(self) -> Packed:
        agents, most = [], 0
        for side in self.known.sides:
            agents.append(self.layout.agents[side.number].place(len(self.locals)))
            most += max(self._local(side.number, local) for local in self.known.locals[side.number])
        words = self.layout.words
        return Packed(
            self.layout,
            np.array(agents, np.uint64),
            np.array(self.locals, np.uint64).reshape(-1),
            np.array(self.ones, np.uint64),
            _array(self.acts, 2 * words + 3),
            _array(self.cells, 2),
            np.array(self.steps, np.uint64).reshape(-1),
            _array(self.checks, 4 * words + 5),
            _array([self._asked(number) for number in range(len(agents))], words),
            self.moves,
            self.outcomes,
            self.act_of,
            most,
        )

    def _asked(self, agent: int) -> Mask:
        # For a processor the bit of its last request, which wakes it; for a sender all bits of requests.
        requests, sends = self.known.setup.requests, self.known.sides[agent].sends
        wanted = [n for n, one in enumerate(requests) if sends or one[1] == self.known.setup.ids[agent]]
        chosen = wanted if sends else wanted[-1:]
        return self.layout.masks((self.layout.cells[LEFT, number], 1) for number in chosen)[1]

    def _local(self, agent: int, local: Local) -> int:
        start = len(self.acts)
        moves = sorted(self.known.moves(agent, local), key=lambda one: one.action.number)
        kept = [move for move in moves if self._matters(agent, local, move)]
        own = sum(move.action.number == 0 for move in kept)
        self.locals.append([start, start + own, start + len(kept), self._flags(agent, local)])
        for move in kept:
            self._act(agent, local, move)
        self.ones.append(self._one(kept))
        return len(kept)

    def _one(self, kept: list[Move]) -> int:
        # The place that makes the step, where there are not several acts or cells, and no guard.
        if not kept:
            return Field(0, 0, 0).place(self._nothing(-1))
        words = 2 * self.layout.words
        place, more, last = self.acts[-1][words:]
        return SEVERAL if len(kept) > 1 or more < last or any(self.acts[-1][:words]) else place

    def _matters(self, agent: int, local: Local, move: Move) -> bool:
        # The end of the requests leads a sender that has no more to do to nothing new.
        if move.action.request == NOBODY and self.known.setup.glued:
            return not self.known.sides[agent].ends(local)
        return any(outcome is not None for outcome in move.outcomes.values())

    def _flags(self, agent: int, local: Local) -> int:
        side = self.known.sides[agent]
        flags = EAGER if (agent, local) in self.eager else 0
        if side.sends and agent != SENDER and side.ends(local):
            flags |= LANDED  # a further caller is waited for as a processor is
        if agent == SENDER and side.ends(local):
            flags |= AT_NEXT if local.status == 0 and side.rows[local.pc][0] == Op.NEXT else ENDED
        if local.status == STATUS_LANDED or local.landed:
            flags |= LANDED
        return flags | (UNANSWERED if local in self.unanswered[agent] else 0)

    def _act(self, agent: int, local: Local, move: Move) -> None:
        layout = self.layout
        checks = {id(one): self.monitors.of(agent, one) for one in move.outcomes.values() if one}
        cells = self._cells(move, checks.values())
        first, *others = [layout.cells[cell] for cell in cells] or [Field(0, 0, 0)]
        guard, value = layout.masks(self._guard(move.action.request))
        base, more = len(self.steps), len(self.cells)
        stride = 1 << first.bits
        for field in others:
            self.cells.append([stride, field.place()])
            stride <<= field.bits
        self.acts.append([*guard, *value, first.place(base), more, len(self.cells)])
        self.moves.append((agent, local, move))
        alone = {cell: self.values[cell][0] for cell in move.cells}
        for values in itertools.product(*(self._choices(cell) for cell in reversed(cells))):
            found = [value for value in reversed(values) if value is not None]
            known = alone | dict(zip(cells, found, strict=True)) if len(found) == len(cells) else None
            self._step(agent, move, known, checks)

    def _cells(self, move: Move, checks: Iterable[tuple[Check, ...]]) -> list[Cell]:
        # Those that the step reads, and those that are looked at to judge it, as long as their values are not too many.
        cells = [cell for cell in move.cells if self.layout.cells[cell].bits]
        judged = (cell for found in checks for one in found for test in one.tests for cell, _ in test.cells)
        bits = sum(self.layout.cells[cell].bits for cell in cells)
        for cell in dict.fromkeys(judged):
            more = self.layout.cells[cell].bits
            if cell not in cells and more and 1 << bits + more <= FOLDED:
                cells.append(cell)
                bits += more
        return cells

    def _choices(self, cell: Cell) -> list[int | None]:
        # The value that each number in a cell stands for.
        known = self.values[cell]
        return [*known, *[None] * ((1 << self.layout.cells[cell].bits) - len(known))]

    def _guard(self, request: int | None) -> list[tuple[Field, int]]:
        requests = range(len(self.known.setup.requests))
        if request is None:
            return []
        if request == NOBODY:
            return [(self.layout.cells[LEFT, number], 0) for number in requests]
        before = [] if self.known.setup.any_order else list(range(request))
        zero = [(self.layout.cells[LEFT, number], 0) for number in before]
        return [*zero, (self.layout.cells[LEFT, request], 1)]

    def _step(
        self, agent: int, move: Move, known: dict[Cell, int] | None, checks: dict[int, tuple[Check, ...]]
    ) -> None:
        act = len(self.acts) - 1
        outcome = move.outcomes.get(tuple(known[cell] for cell in move.cells)) if known is not None else None
        if known is None or outcome is None:
            self._nothing(act)
            return
        if outcome.local not in self.known.locals[agent]:
            self._nothing(act, OUTSIDE << WRONG_SHIFT)
            return
        left = tuple(left for one in checks[id(outcome)] if (left := _left(one, known)))
        key = (act, id(outcome), left)
        if key not in self._rows:
            self._rows[key] = self._changing(agent, outcome, left)
        self._row(self._rows[key], outcome, act)

    def _changing(self, agent: int, outcome: Outcome, left: tuple[Check, ...]) -> list[int]:
        fields = [(self.layout.agents[agent], self.known.locals[agent][outcome.local])]
        fields += [(self.layout.cells[cell], self.layout.number(cell, value)) for cell, value in outcome.writes]
        mask, value = self.layout.masks(fields)
        return [*(FULL & ~one for one in mask), *value, self._judged(agent, outcome, left), 0]

    def _nothing(self, act: int, told: int = 0) -> int:
        return self._row([FULL] * self.layout.words + [0] * self.layout.words + [told, 0], None, act)

    def _row(self, row: list[int], outcome: Outcome | None, act: int) -> int:
        self.steps.append(row)
        self.outcomes.append(outcome)
        self.act_of.append(act)
        return len(self.steps) - 1

    def _judged(self, agent: int, outcome: Outcome, checks: tuple[Check, ...]) -> int:
        plain = [one for one in checks if not one.tests and one.unanswered == one.landed == SENDER]
        told = LANDS if agent != SENDER and self.monitors.lands_well(agent, outcome) else 0
        told |= plain[0].wrong << WRONG_SHIFT if plain else 0
        rest = tuple(one for one in checks if one not in plain[:1])
        if rest not in self._checks:
            start = len(self.checks)
            self.checks += [self._check(one) for one in rest]
            self._checks[rest] = start, len(rest)
        start, count = self._checks[rest]
        return told | start << CHECK_SHIFT | count << COUNT_SHIFT

    def _check(self, one: Check) -> list[int]:
        row: list[int] = [one.wrong]
        for test in (*one.tests, Test(()), Test(()))[:2]:
            row += self._test(test)
        return [*row, one.unanswered or one.landed, UNANSWERED if one.unanswered else LANDED if one.landed else 0]

    def _test(self, one: Test) -> list[int]:
        known = all(value in self.known.cells[cell].numbers for cell, value in one.cells)
        if not known:
            # A value that a cell never holds: never all of them.
            return [int(not one.same), *[0] * 2 * self.layout.words]
        fields = ((self.layout.cells[cell], self.layout.number(cell, value)) for cell, value in one.cells)
        mask, value = self.layout.masks(fields)
        return [int(one.same), *mask, *value]


def _left(check: Check, known: Mapping[Cell, int]) -> Check | None:
    """Return what is left of a check where the values of some cells are known, or None where it cannot be wrong."""
    tests = []
    for test in check.tests:
        if any(cell not in known for cell, _ in test.cells):
            tests.append(test)
        elif all(known[cell] == value for cell, value in test.cells) != test.same:
            return None
    return attrs.evolve(check, tests=tuple(tests))


def unanswered(known: Behaviours, agent: int) -> frozenset[Local]:
    """Return the local states of a processor in which certainly no store of its own to Command was seen so far."""
    if agent == SENDER:
        return frozenset()
    before, after = set[Local](), set[Local]()
    pending = [(known.sides[agent].first(), False)]
    while pending:
        local, answered = pending.pop()
        seen = after if answered else before
        if local in seen:
            continue
        seen.add(local)
        outcomes = (one for move in known.moves(agent, local) for one in move.outcomes.values() if one)
        within = (outcome for outcome in outcomes if outcome.local in known.locals[agent])
        pending += [(outcome.local, answered or _answers(outcome)) for outcome in within]
    return frozenset(before - after)


def _answers(outcome: Outcome) -> bool:
    return any(one.kind == "visible" and one.offset < 2 for one in outcome.told)


def _array(rows: list[list[int]], columns: int) -> U64:
    return np.array(rows or np.zeros((1, columns)), np.uint64).reshape(-1, columns)


def pack(known: Behaviours, eager: frozenset[tuple[int, Local]] = frozenset()) -> Packed:
    """Return the tables of a platform; ``eager`` are local states whose next step is nobody else's matter."""
    return _Packer(known, eager).pack()
