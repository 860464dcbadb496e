"""What each agent does by itself: its local states, and what a step makes of them, whatever the others do.

A **step** is one access (a load, a store, a landing) with the computations around it that nobody else can see; a
request is taken with the first access after it. With ``glued=False`` a step is one operation, as in ``docs/model.md``.

A poll that counts down may give up at any of its loads, whatever the count: nobody can tell polls that fail one after
the other from fewer of them. The count is no part of a local state then. That is so where nothing reads it after a poll
that has succeeded.

A **cell** is something that steps read and write outside the local state: bytes of the page that no access divides, and
bits that belong to the sender alone (requests left, APIC IDs woken, requests given up). Values are plain unsigned ints.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import attrs

from mpwake.model.core import DEAD, HALTED, LANDED, RUNNING, SLOTS
from mpwake.model.explore.liveness import live_registers
from mpwake.model.program import ALWAYS, INDEX, REGISTER, REGISTERS, SELF, Op, Program

SENDER = 0
MASK = (1 << 64) - 1
PAGE_CELL, LEFT, WOKEN, GIVEN_UP = range(4)
LONGEST = 10_000
MOST_POLLS = 20_000
NOBODY = -1
Cell = tuple[int, int]
_ACCESSES = frozenset({Op.LOAD, Op.STORE, Op.SWAP, Op.POLL, Op.JUMP, Op.ENTER, Op.RESET})
_LOADS = frozenset({Op.LOAD, Op.POLL})
ROW = tuple[int, ...]


class Buffered(NamedTuple):
    """A store that the others do not see yet."""

    offset: int
    width: int
    value: int
    release: bool

    def overlaps(self, other: Buffered) -> bool:
        """Say whether both hold a byte of the page."""
        return self.offset < other.offset + other.width and other.offset < self.offset + self.width


class Local(NamedTuple):
    """All there is of one agent: ``request`` is the number of the one that a sender is at, or -1.

    ``sent`` says whether it has stored a command for that; ``landed`` whether an agent has landed that may go on.
    Registers that are never read again hold 0.
    """

    pc: int
    status: int
    wait: int
    registers: tuple[int, ...]
    buffer: tuple[Buffered, ...]
    request: int
    sent: bool
    landed: bool


@attrs.frozen
class Told:
    """What of a step matters beside the states: ``kind`` is landing, return, store, visible or request."""

    kind: str
    offset: int = 0
    width: int = 0
    value: int = 0
    request: int = NOBODY


class Outcome(NamedTuple):
    """What a step makes of a local state: the next one, cells written, and what it told; ``operations`` counts them."""

    local: Local
    writes: tuple[tuple[Cell, int], ...]
    told: tuple[Told, ...]
    operations: int


class Action(NamedTuple):
    """Something that an agent can do in a local state: its program (0), or the k-th buffered store (k).

    ``request`` is the one that the step takes, or None; -1 is the end of the requests. ``expires`` is the end of a
    poll whose count is used up.
    """

    number: int
    request: int | None = None
    expires: bool = False


@attrs.frozen(auto_exc=True)
class Unexplorable(Exception):
    """Programs of which no exploration is made: why."""

    reason: str


class NeedError(Exception):
    """A cell whose value a step depends on."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.cell = cell


Read = Callable[[Cell], int]


@attrs.frozen
class Grid:
    """The bytes of the page that programs touch, in cells that no access divides: offsets and widths."""

    cells: tuple[tuple[int, int], ...]

    def within(self, offset: int, width: int) -> tuple[tuple[int, int], ...]:
        """Return the cells of an access."""
        return tuple(one for one in self.cells if offset <= one[0] < offset + width)


def grid_of(programs: tuple[Program, ...]) -> Grid:
    """Return the cells of some programs."""
    spans = {(0, 2), (4, 4), (8, 8)}
    for program in programs:
        for row in program.code.tolist():
            if row[0] in (Op.LOAD, Op.STORE, Op.POLL, Op.SWAP):
                at = 2 if row[0] in (Op.LOAD, Op.SWAP) else 1
                spans.add((row[at], row[at + 1]))
    ends = sorted({place for at, width in spans for place in (at, at + width)})
    pieces = itertools.pairwise(ends)
    touched = ((a, b - a) for a, b in pieces if any(at <= a and b <= at + width for at, width in spans))
    return Grid(tuple(touched))


def holds(condition: int, left: int, right: int) -> bool:
    """Say whether a condition of a branch holds."""
    if condition == 0:
        return left == right
    if condition == 1:
        return left != right
    if condition == 2:
        return left < right
    return left >= right if condition == 3 else True


class Side:
    """One agent, apart from the others: its steps. ``requests`` are for those that send: the first, unless told."""

    def __init__(
        self,
        number: int,
        program: Program,
        apic_id: int,
        requests: tuple[tuple[int, int, int], ...],
        memory: str,
        grid: Grid,
        glued: bool = True,
        sends: bool | None = None,
    ) -> None:
        self.number = number
        self.sends = number == SENDER if sends is None else sends
        self.program = program
        self.rows: list[ROW] = [tuple(row) for row in program.code.tolist()]
        self.fixed = {SELF: apic_id & MASK, INDEX: number}
        self.requests = requests if self.sends else ()
        self.memory = memory
        self.grid = grid
        self.glued = glued
        self.live = live_registers(program)
        self.lands = any(row[0] == Op.ENTER for row in self.rows)

    def first(self) -> Local:
        """Return the local state in which the agent begins."""
        begin = Local(self.program.entry, RUNNING, 0, (0,) * REGISTERS, (), NOBODY, False, False)
        return self._settled(begin).local if self.glued else self._kept(_Run(self, begin, _nothing))

    @property
    def opening(self) -> int:
        """How many operations come before the first step."""
        begin = Local(self.program.entry, RUNNING, 0, (0,) * REGISTERS, (), NOBODY, False, False)
        return self._settled(begin).operations if self.glued else 0

    def actions(self, local: Local) -> Iterator[Action]:
        """Yield what the agent may be able to do."""
        if local.status == RUNNING:
            if self.rows[local.pc][0] == Op.NEXT and not local.wait:
                yield from (Action(0, number) for number in range(len(self.requests)))
                yield Action(0, NOBODY)
            else:
                yield Action(0)
                if self._gives_up(local):
                    yield Action(0, expires=True)
        if self.memory == "tso":
            yield from (Action(1),) if local.buffer else ()
        else:
            yield from (Action(slot + 1) for slot in range(len(local.buffer)) if _may_drain(local.buffer, slot))

    def uncounted(self, pc: int) -> bool:
        """Say whether a row is a poll whose count tells nobody anything while it polls."""
        row = self.rows[pc]
        return self.glued and row[0] == Op.POLL and row[7] >= 0 and row[7] not in self.live[row[6]]

    def _gives_up(self, local: Local) -> bool:
        return self.uncounted(local.pc) and local.registers[self.rows[local.pc][7]] > 0

    def step(self, local: Local, action: Action, read: Read) -> Outcome | None:
        """Carry out an action, or return None when it changes nothing. Raises what ``read`` raises."""
        run = _Run(self, local, read)
        run.expires = action.expires
        if action.number:
            run.drain(action.number - 1)
            if self.glued:
                run.settle()
        elif self.glued:
            run.go(action.request)
        else:
            run.one(action.request)
        outcome = Outcome(self._kept(run), tuple(run.writes.items()), tuple(run.told), run.operations)
        if outcome.local == local and not outcome.writes and not outcome.told:
            return None
        return outcome

    def ends(self, local: Local) -> bool:
        """Say whether a sender that has no request left is at its end in this local state."""
        if local.status != RUNNING:
            return True
        if not self.glued or self.rows[local.pc][0] != Op.NEXT:
            return False
        run = _Run(self, local, _nothing)
        try:
            run.go(NOBODY)
        except NeedError:
            return False
        return run.status == HALTED and not run.told and not run.writes and not run.accessed

    def _settled(self, local: Local) -> Outcome:
        run = _Run(self, local, _nothing)
        run.settle()
        return Outcome(self._kept(run), (), (), run.operations)

    def _kept(self, run: _Run) -> Local:
        live = self.live[run.pc] if run.status in (RUNNING, LANDED) else frozenset()
        if run.status == LANDED:
            live = self.live[self.program.reset] if self.program.reset >= 0 else frozenset()
        registers = tuple(
            value if number in live and number not in self.fixed else 0 for number, value in enumerate(run.registers)
        )
        buffer = tuple(run.buffer)
        return Local(run.pc, run.status, run.wait, registers, buffer, run.request, run.sent, run.landed)


def _nothing(cell: Cell) -> int:
    raise NeedError(cell)


def _may_drain(buffer: tuple[Buffered, ...], slot: int) -> bool:
    one, earlier = buffer[slot], buffer[:slot]
    return not (one.release and earlier) and not any(one.overlaps(other) for other in earlier)


class _Run:
    """A step on its way."""

    def __init__(self, side: Side, local: Local, read: Read) -> None:
        self.side = side
        self.pc, self.status, self.wait = local.pc, local.status, local.wait
        self.registers = list(local.registers)
        for number, value in side.fixed.items():
            self.registers[number] = value
        self.buffer = list(local.buffer)
        self.request, self.sent, self.landed = local.request, local.sent, local.landed
        self.outside = read
        self.writes: dict[Cell, int] = {}
        self.told: list[Told] = []
        self.operations = 0
        self.accessed: Op | None = None
        self.expires = False

    def read(self, cell: Cell) -> int:
        return self.writes[cell] if cell in self.writes else self.outside(cell)

    def go(self, request: int | None) -> None:
        """Take a request if one is given, then go on to the first access, and settle after it."""
        if request is not None:
            self.next(self.side.rows[self.pc], request)
        self._compute()
        if self.status == RUNNING:
            row = self.side.rows[self.pc]
            if row[0] in _ACCESSES or row[0] == Op.RETURN:
                before = self.operations
                self.operate(row)
                if self.operations > before:
                    self.accessed = Op(row[0])
                    self.settle()

    def settle(self) -> None:
        """Carry out what comes after an access and is nobody else's matter."""
        self._compute()
        rows = self.side.rows
        while self.accessed in _LOADS and self.status == RUNNING and rows[self.pc][0] == Op.RETURN:
            self.operate(rows[self.pc])
            self._compute()

    def _compute(self) -> None:
        # What comes back to where it was, with the same registers, computes for ever: it stays there.
        seen: set[tuple[int, ...]] = set()
        for _ in range(LONGEST):
            if self.status != RUNNING:
                return
            row = self.side.rows[self.pc]
            if row[0] in _ACCESSES or row[0] == Op.RETURN or (row[0] == Op.NEXT and self.side.sends):
                return
            if row[0] == Op.FENCE and self.buffer:
                return
            if row[0] == Op.BRANCH:
                now = (self.pc, *self.registers)
                if now in seen:
                    return
                seen.add(now)
            self.operate(row)
            self.operations += self.wait
            self.wait = 0
        raise Unexplorable(f"a program computes more than {LONGEST} operations without an access")

    def one(self, request: int | None) -> None:
        """Carry out one operation, or one step of a wait."""
        if self.wait:
            self.wait -= 1
            return
        row = self.side.rows[self.pc]
        if request is not None:
            self.next(row, request)
        else:
            self.operate(row)

    def drain(self, slot: int) -> None:
        one = self.buffer.pop(slot)
        self._write(one.offset, one.width, one.value)

    def _write(self, offset: int, width: int, value: int) -> None:
        for at, size in self.side.grid.within(offset, width):
            self.writes[PAGE_CELL, at] = value >> 8 * (at - offset) & (1 << 8 * size) - 1
        self.told.append(Told("visible", offset, width, value))

    def _load(self, offset: int, width: int) -> int:
        value = 0
        for at, size in self.side.grid.within(offset, width):
            value |= self._cell(at, size) << 8 * (at - offset)
        return value

    def _cell(self, at: int, size: int) -> int:
        # The newest own store that holds the cell; a store holds a cell whole or not at all.
        for one in reversed(self.buffer):
            if one.offset <= at < one.offset + one.width:
                return one.value >> 8 * (at - one.offset) & (1 << 8 * size) - 1
        return self.read((PAGE_CELL, at))

    def value(self, kind: int, value: int) -> int:
        return self.registers[value] if kind == REGISTER else value & MASK

    def next(self, row: ROW, request: int) -> None:
        self.operations += 1
        if request == NOBODY:
            self.pc = row[4]
            return
        self.writes[LEFT, request] = 0
        self.request, self.sent = request, False
        for column, value in zip(row[1:4], self.side.requests[request], strict=True):
            self.registers[column] = value & MASK
        self.told.append(Told("request", request=request))
        self.pc += 1

    def operate(self, row: ROW) -> None:
        self.operations += 1
        self.pc = _OPERATIONS[row[0]](self, row)

    def load(self, row: ROW) -> int:
        self.registers[row[1]] = self._load(row[2], row[3])
        return self.pc + 1

    def store(self, row: ROW) -> int:
        offset, width = row[1], row[2]
        value = self.value(row[3], row[4]) & (1 << 8 * width) - 1
        if self.side.memory != "sc" and len(self.buffer) == SLOTS:
            self.operations -= 1
            return self.pc
        if self.side.sends and offset == 0 and value & 0xFFFF:
            self.sent = True
        if self.side.memory == "sc":
            self._write(offset, width, value)
        else:
            release = bool(row[5]) and self.side.memory == "relaxed"
            self.buffer.append(Buffered(offset, width, value, release))
        return self.pc + 1

    def swap(self, row: ROW) -> int:
        if self.buffer:
            self.operations -= 1
            return self.pc
        value = self.value(row[4], row[5]) & (1 << 8 * row[3]) - 1
        self.registers[row[1]] = self._load(row[2], row[3])
        self._write(row[2], row[3], value)
        return self.pc + 1

    def branch(self, row: ROW) -> int:
        if row[1] == ALWAYS:
            return row[6]
        return row[6] if holds(row[1], self.value(row[2], row[3]), self.value(row[4], row[5])) else self.pc + 1

    def assign(self, row: ROW) -> int:
        self.registers[row[1]] = self.value(row[2], row[3])
        return self.pc + 1

    def add(self, row: ROW) -> int:
        self.registers[row[1]] = (self.registers[row[1]] + self.value(row[2], row[3])) & (1 << 8 * row[4]) - 1
        return self.pc + 1

    def poll(self, row: ROW) -> int:
        if holds(row[3], self._load(row[1], row[2]), self.value(row[4], row[5])):
            if not self.expires:
                return row[6]
            self.operations -= 1
            return self.pc
        if row[7] < 0:
            return self.pc
        if self.side.uncounted(self.pc):
            return self._give_up(row)
        self.registers[row[7]] = (self.registers[row[7]] - 1) & MASK
        return self.pc if self.registers[row[7]] else self.pc + 1

    def _give_up(self, row: ROW) -> int:
        # All polls that are left, one after the other, or as yet none.
        polls = self.registers[row[7]]
        if not self.expires:
            self.operations -= 1
            return self.pc
        if polls > MOST_POLLS:
            raise Unexplorable(f"it gives up after {polls} polls, more than a schedule of steps is written with")
        self.operations += polls - 1
        self.registers[row[7]] = 0
        self.expires = False
        return self.pc + 1

    def jump(self, row: ROW) -> int:
        self.told.append(Told("landing", value=self.value(row[1], row[2])))
        if row[0] == Op.ENTER:
            self.landed = True
            return self.pc + 1
        self.status = LANDED
        return self.pc

    def no_request(self, row: ROW) -> int:
        return row[4]

    def give(self, row: ROW) -> int:
        code = self.value(row[1], row[2])
        self.told.append(Told("return", value=code, request=self.request))
        if code >> 63 and self.sent and self.request != NOBODY:
            self.writes[GIVEN_UP, self.request] = 1
        self.request, self.sent = NOBODY, False
        return self.pc + 1

    def woken_test(self, row: ROW) -> int:
        return row[3] if self.read((WOKEN, self.value(row[1], row[2]))) else self.pc + 1

    def woken_change(self, row: ROW) -> int:
        self.writes[WOKEN, self.value(row[1], row[2])] = int(row[0] == Op.WOKEN_ADD)
        return self.pc + 1

    def pass_by(self, _row: ROW) -> int:
        return self.pc + 1

    def fence(self, _row: ROW) -> int:
        return self.pc if self.buffer else self.pc + 1

    def delay(self, row: ROW) -> int:
        self.wait = self.value(row[1], row[2])
        return self.pc + 1

    def leave(self, row: ROW) -> int:
        self.status = HALTED if row[0] == Op.HALT else DEAD
        return self.pc

    def reset(self, _row: ROW) -> int:
        raise Unexplorable("the operating system has a processor jump to ResetVector")


_OPERATIONS: dict[int, Callable[[_Run, ROW], int]] = {
    Op.HALT: _Run.leave,
    Op.DIE: _Run.leave,
    Op.LOAD: _Run.load,
    Op.STORE: _Run.store,
    Op.SWAP: _Run.swap,
    Op.BRANCH: _Run.branch,
    Op.SET: _Run.assign,
    Op.ADD: _Run.add,
    Op.POLL: _Run.poll,
    Op.JUMP: _Run.jump,
    Op.ENTER: _Run.jump,
    Op.NEXT: _Run.no_request,
    Op.RETURN: _Run.give,
    Op.WOKEN_TEST: _Run.woken_test,
    Op.WOKEN_ADD: _Run.woken_change,
    Op.WOKEN_REMOVE: _Run.woken_change,
    Op.EMIT: _Run.pass_by,
    Op.RESET: _Run.reset,
    Op.FENCE: _Run.fence,
    Op.DELAY: _Run.delay,
}
