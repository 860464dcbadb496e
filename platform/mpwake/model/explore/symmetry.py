"""Processors that are alike: which states are the same but for who is who, and the proof on the tables that they are.

Nothing is taken for granted of the programs. Each local state, cell and step is renamed as if two processors (and
then all of them in a ring) had changed places with their APIC IDs, wakeup vectors and requests; where the renamed step
is not the step of the renamed state, processors are not alike, and nothing is reduced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import numpy as np

from mpwake.model.explore.local import (
    GIVEN_UP,
    LEFT,
    NOBODY,
    PAGE_CELL,
    SENDER,
    WOKEN,
    Action,
    Cell,
    Local,
    Outcome,
)
from mpwake.model.explore.packing import U64, Layout
from mpwake.model.explore.tables import Behaviours, Move, Setup
from mpwake.model.program import INDEX, REGISTER, Code, Op

NAMED = 2
CELLS = 10


@attrs.frozen(auto_exc=True)
class UnlikeError(Exception):
    """Why processors are not alike."""

    reason: str


@attrs.frozen
class Names:
    """Which values name a processor, and who takes whose place."""

    values: Mapping[int, int]
    requests: Mapping[int, int]
    agents: Mapping[int, int]
    ids: Mapping[int, int]

    def local(self, one: Local) -> Local:
        """Rename a local state."""
        return one._replace(
            registers=tuple(self.values.get(value, value) for value in one.registers),
            buffer=tuple(each._replace(value=self.values.get(each.value, each.value)) for each in one.buffer),
            request=self.requests.get(one.request, one.request),
        )

    def cell(self, one: Cell) -> Cell:
        """Rename a cell."""
        kind, number = one
        if kind == WOKEN:
            return kind, self.ids.get(number, number)
        return (kind, self.requests.get(number, number)) if kind in (LEFT, GIVEN_UP) else one

    def value(self, cell: Cell, value: int) -> int:
        """Rename the value of a cell."""
        return self.values.get(value, value) if cell[0] == PAGE_CELL else value

    def action(self, one: Action) -> Action:
        """Rename an action."""
        return one._replace(request=None if one.request is None else self.requests.get(one.request, one.request))

    def outcome(self, one: Outcome | None) -> tuple[Local, frozenset[tuple[Cell, int]]] | None:
        """Rename what a step makes of a local state and of cells."""
        if one is None:
            return None
        return self.local(one.local), frozenset(
            (self.cell(cell), self.value(cell, value)) for cell, value in one.writes
        )


def named(setup: Setup) -> dict[int, int]:
    """Return the processor that each APIC ID and wakeup vector names. Raises ``UnlikeError`` where it is not one."""
    if [one[1] for one in setup.requests] != list(setup.ids[1:]):
        raise UnlikeError("each is not woken once")
    found = {apic: number for number, apic in enumerate(setup.ids) if number}
    found |= {vector: number for number, (_, _, vector) in enumerate(setup.requests, start=1)}
    if len(found) != 2 * (len(setup.ids) - 1):
        raise UnlikeError("an APIC ID is a wakeup vector too")
    return found


def form(setup: Setup, who: Mapping[int, int], agent: int, local: Local) -> tuple[object, tuple[int, ...]]:
    """Return what a local state is whoever is in it, and which other processors it names, in their order in it."""
    others: list[int] = []

    def called(number: int) -> object:
        if number == agent:
            return "own"
        if number not in others:
            others.append(number)
        return others.index(number)

    def word(value: int) -> object:
        number = who.get(value)
        return value if number is None else (value in setup.ids, called(number))

    found = (
        agent == SENDER,
        local.pc,
        local.status,
        local.wait,
        local.request if local.request == NOBODY else called(local.request + 1),
        tuple(word(value) for value in local.registers),
        tuple((one.offset, one.width, word(one.value), one.release) for one in local.buffer),
        local.sent,
        local.landed,
    )
    return found, tuple(others)


NOBODYS = Names({}, {}, {}, {})
MISSING = Outcome(Local(0, 0, 0, (), (), NOBODY, False, False), (), (), -1)


class Alike:
    """The proof that processors are alike, and what follows. Raises ``UnlikeError`` where they are not."""

    def __init__(self, known: Behaviours) -> None:
        self.known = known
        self.count = len(known.sides)
        self.named = named(known.setup)
        self._check_programs()
        self._check_values()
        for places in self._generators():
            self._check(self.names(places))

    def _check_programs(self) -> None:
        setup = self.known.setup
        if not setup.any_order:
            raise UnlikeError("they are woken in a fixed order")
        if len({id(one) for one in setup.programs[1:]}) != 1:
            raise UnlikeError("they do not run the same program")
        if any(INDEX in live for live in self.known.sides[1].live):
            raise UnlikeError("their program knows them by their number")

    def _check_values(self) -> None:
        constants = {value for _, program in enumerate(self.known.setup.programs) for value in _constants(program.code)}
        initial = {self.known.initial(cell) for cell in self.known.cells if cell[0] == PAGE_CELL}
        if (constants | initial) & set(self.named):
            raise UnlikeError("a program has a constant that is also an APIC ID or a wakeup vector")

    def _generators(self) -> Iterator[list[int]]:
        # A swap of the first two, and all in a ring: every other order comes of these.
        if self.count > 2:
            yield [0, 2, 1, *range(3, self.count)]
        if self.count > 3:
            yield [0, *range(2, self.count), 1]

    def names(self, places: list[int]) -> Names:
        """Return the renaming in which processor n takes the place of processor ``places[n]``."""
        back = {(value in self.known.setup.ids, number): value for value, number in self.named.items()}
        values = {v: back[v in self.known.setup.ids, places[n]] for v, n in self.named.items()}
        requests = {number: places[number + 1] - 1 for number in range(self.count - 1)}
        ids = {value: renamed for value, renamed in values.items() if value in self.known.setup.ids}
        return Names(values, requests, dict(enumerate(places)), ids)

    def _check(self, names: Names) -> None:
        for agent, numbers in enumerate(self.known.locals):
            other = names.agents[agent]
            done: dict[tuple[int, int], bool] = {}
            for local in numbers:
                renamed = names.local(local)
                if renamed not in self.known.locals[other]:
                    raise UnlikeError("their programs come to states that differ in more than who they are")
                theirs = {move.action: move for move in self.known.moves(other, renamed)}
                for move in self.known.moves(agent, local):
                    self._check_move(names, agent, move, theirs[names.action(move.action)], done)

    def _check_move(
        self, names: Names, agent: int, move: Move, theirs: Move, done: dict[tuple[int, int], bool]
    ) -> None:
        cells = tuple(names.cell(cell) for cell in move.cells)
        if set(cells) != set(theirs.cells):
            raise UnlikeError("their steps read places that differ in more than who they are")
        order = [(cells.index(cell), cell[0] == PAGE_CELL) for cell in theirs.cells]
        get = names.values.get
        for values, outcome in move.outcomes.items():
            key = tuple(get(values[at], values[at]) if page else values[at] for at, page in order)
            other = theirs.outcomes.get(key, MISSING)
            pair = (id(outcome), id(other))
            if pair not in done:
                done[pair] = other is not MISSING and self._same(names, agent, outcome, other)
            if not done[pair]:
                raise UnlikeError("their steps differ in more than who they are")

    def _same(self, names: Names, agent: int, outcome: Outcome | None, other: Outcome | None) -> bool:
        if outcome is None or other is None:
            return outcome is other
        inside = outcome.local in self.known.locals[agent], other.local in self.known.locals[names.agents[agent]]
        if inside == (False, False):
            return True  # whoever takes such a step looks again
        return inside == (True, True) and names.outcome(outcome) == NOBODYS.outcome(other)


def _constants(code: Code) -> Iterator[int]:
    for row in code.tolist():
        pairs = {Op.STORE: ((3, 4),), Op.BRANCH: ((2, 3), (4, 5)), Op.POLL: ((4, 5),)}.get(row[0], ())
        pairs += {Op.SET: ((2, 3),), Op.ADD: ((2, 3),), Op.EMIT: ((2, 3),)}.get(row[0], ())
        if row[0] in (Op.JUMP, Op.ENTER, Op.WOKEN_TEST, Op.WOKEN_ADD, Op.WOKEN_REMOVE):
            pairs += ((1, 2),)
        yield from (row[value] & (1 << 64) - 1 for kind, value in pairs if row[kind] != REGISTER)


class Tables:
    """The tables of ``engine.Symmetry``."""

    def __init__(self, alike: Alike, layout: Layout) -> None:
        self.alike = alike
        self.known = alike.known
        self.layout = layout
        self.kinds: list[list[int]] = []
        self.renamed: list[int] = []
        self._numbers: dict[object, int] = {}
        self._forms: dict[tuple[int, int], dict[tuple[int, ...], int]] = {}
        for agent, numbers in enumerate(self.known.locals):
            for local, number in numbers.items():
                kind, others = self._form(agent, local)
                self._forms.setdefault((agent, kind), {})[others] = number
                self.kinds.append([kind, *others, *[0] * (NAMED - len(others))])

    def _form(self, agent: int, local: Local) -> tuple[int, tuple[int, ...]]:
        found, others = form(self.known.setup, self.alike.named, agent, local)
        if len(others) > NAMED:
            raise UnlikeError("one of them, or the operating system, knows three others at a time")
        return self._numbers.setdefault(found, len(self._numbers)), others

    def arrays(self) -> tuple[U64, ...]:
        """Return the fields of ``engine.Symmetry``."""
        count = self.alike.count
        starts = [[self._start(agent, kind) for kind in range(len(self._numbers))] for agent in range(count)]
        cells, values = self._cells()
        rest = self._rest(cells)
        bits = self._bits()
        return (
            np.array(self.kinds, np.uint64),
            np.array(starts, np.uint64),
            np.array(self.renamed, np.uint64),
            np.array(cells or np.zeros((0, 5)), np.uint64).reshape(-1, 5),
            np.array(values or np.zeros((0, 2)), np.uint64).reshape(-1, 2),
            np.array(bits, np.uint64).reshape(-1, count, 2),
            rest,
            *(np.zeros(count + 1, np.uint64) for _ in range(3)),
        )

    def _start(self, agent: int, kind: int) -> int:
        # The renamed local states of a kind, for each two others that it may name.
        start, wide = len(self.renamed), self.alike.count
        found = self._forms.get((agent, kind), {})
        if found:
            size = wide ** len(next(iter(found)))
            block = [0] * size
            for others, number in found.items():
                block[sum(one * wide**place for place, one in enumerate(others))] = number
            self.renamed += block
        return start

    def _cells(self) -> tuple[list[list[int]], list[list[int]]]:
        cells: list[list[int]] = []
        values: list[list[int]] = []
        for cell, known in self.known.cells.items():
            if cell[0] != PAGE_CELL or not any(value in self.alike.named for value in known.numbers):
                continue
            field, start, base = self.layout.cells[cell], len(values), len(self.renamed)
            kinds: dict[object, int] = {}
            block: dict[tuple[int, int], int] = {}
            for value, number in known.numbers.items():
                who = self.alike.named.get(value, 0)
                kind = kinds.setdefault((value in self.known.setup.ids) if who else (value,), len(kinds))
                values.append([kind, who])
                block[kind, who] = number
            wide = self.alike.count
            self.renamed += [block.get((kind, who), 0) for kind in range(len(kinds)) for who in range(wide)]
            cells.append([field.word, field.shift, field.mask, start, base])
        if len(cells) > CELLS:
            raise UnlikeError("too many places of the page name a processor")
        return cells, values

    def _bits(self) -> list[list[list[int]]]:
        setup = self.known.setup
        found = []
        for kind in (LEFT, WOKEN, GIVEN_UP):
            keys = setup.ids[1:] if kind == WOKEN else range(len(setup.requests))
            cells = [self.layout.cells.get((kind, key)) for key in keys]
            fields = [one for one in cells if one is not None and one.bits]
            if fields:
                assert len(fields) == len(cells)
                found.append([[0, 0], *([one.word, one.shift] for one in fields)])
        return found

    def _rest(self, cells: list[list[int]]) -> U64:
        named = {(word, shift) for word, shift, *_ in cells}
        moved = list(self.layout.agents)
        moved += [
            field
            for (kind, _), field in self.layout.cells.items()
            if kind != PAGE_CELL or (field.word, field.shift) in named
        ]
        rest = [(1 << 64) - 1] * self.layout.words
        for field in moved:
            if field.bits:
                rest[field.word] &= ~(field.mask << field.shift)
        return np.array(rest, np.uint64)


def none(words: int) -> tuple[U64, ...]:
    """Return the fields of ``engine.Symmetry`` where nobody changes places."""
    one, two, three = (np.zeros((0,) * size, np.uint64) for size in (1, 2, 3))
    return two, two, one, two, two, three, np.zeros(words, np.uint64), one, one, one
