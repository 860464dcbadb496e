"""The step function: the semantics of the model's machine over packed arrays, as ``docs/model.md`` tells it.

All registers are signed 64-bit integers that hold the bits of unsigned ones: mixing signed and unsigned operands makes
numba compute in floating point. An index is made unsigned where it is used: of a signed one compiled code asks first
whether it counts from the end. In all functions ``s`` is the machine and ``a`` the row of the agent that acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mpwake.model.agent import PAGE
from mpwake.model.jit import compiled
from mpwake.model.program import REGISTERS, Program, signed

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

SLOTS = 8
MEMORY = ("sc", "tso", "relaxed")
SC, TSO, RELAXED = range(3)
RUNNING, LANDED, HALTED, DEAD = range(4)
EFFECTS = ("none", "impossible", "load", "store", "visible", "landing", "return", "emit", "reset", "request")
NONE, IMPOSSIBLE, LOAD, STORE, VISIBLE, LANDING, RETURN, EMIT, RESET, REQUEST = range(10)
KIND, OFFSET, WIDTH, VALUE, NUMBER = range(5)

# The operations of program.Op and its operand kinds, as plain integers that numba freezes into the code.
_HALT, _LOAD, _STORE, _BRANCH, _SET, _ADD, _POLL, _JUMP, _NEXT = range(9)
_RETURN, _WOKEN_TEST, _WOKEN_ADD, _WOKEN_REMOVE, _EMIT, _RESET, _FENCE, _DELAY, _DIE, _ENTER, _SWAP = range(9, 20)
_SIGN = -0x8000000000000000
_EMPTY, _USED, _GONE = range(3)


# Columns of State.agents: what there is of each agent, its registers and its store buffer among it.
PC, STATUS, WAIT, BASE, RESET_ROW, ID, BUFFERED = range(7)
R = 7
B = R + REGISTERS
AGENT = B + 4 * SLOTS
# Places in State.told: the effect of the last step, and behind it the number of the next request.
POSITION = 5


class State(NamedTuple):
    """The whole machine. A is the number of agents, agent 0 the sender.

    ``page`` uint8[4096]; ``code`` int64[rows, 8], all programs one after the other; ``agents`` int64[A, 55], a row for
    each: pc, status, wait, base, reset (pc, base and reset are rows of ``code``), APIC ID, number of buffered stores,
    16 registers, 8 buffered stores of offset, width, value and release; ``requests`` int64[n, 3] of op, target, vector;
    ``woken`` int64[m, 2], a hash table of state and APIC ID; ``told`` int64[6], the effect and the request's number.
    """

    page: U8
    code: I64
    agents: I64
    requests: I64
    woken: I64
    told: I64


@compiled
def _told(s: State, kind: int, offset: int, width: int, value: int, number: int) -> None:
    s.told[KIND] = kind
    s.told[OFFSET] = offset
    s.told[WIDTH] = width
    s.told[VALUE] = value
    s.told[NUMBER] = number


@compiled
def _cut(value: int, width: int) -> int:
    return value if width == 8 else value & ((1 << (8 * width)) - 1)


@compiled
def add(left: int, right: int) -> int:
    """Return a sum modulo 2^64."""
    # In halves, so that plain Python on NumPy scalars wraps as silently as machine code does.
    low = (left & 0xFFFFFFFF) + (right & 0xFFFFFFFF)
    high = (left >> 32) + (right >> 32) + (low >> 32)
    return (high << 32) | (low & 0xFFFFFFFF)


@compiled
def _write(s: State, offset: int, width: int, value: int) -> None:
    for number in range(width):
        s.page[np.uint64(offset + number)] = (value >> (8 * number)) & 0xFF


@compiled
def visible(s: State, offset: int, width: int) -> int:
    """Return the value that a place of the page holds."""
    value = 0
    for number in range(8):  # a fixed count, which the compiler unrolls
        if number == width:
            break
        byte: Any = np.int64(s.page[np.uint64(offset + number)])
        value |= byte << (8 * number)
    return value


@compiled
def _read(s: State, a: I64, offset: int, width: int) -> int:
    if a[BUFFERED] == 0:
        return visible(s, offset, width)
    value = 0
    for number in range(width):
        at = offset + number
        byte: Any = np.int64(s.page[np.uint64(at)])
        for slot in range(a[BUFFERED] - 1, -1, -1):
            start = a[B + 4 * slot + 0]
            if start <= at < start + a[B + 4 * slot + 1]:
                byte = (a[B + 4 * slot + 2] >> (8 * (at - start))) & 0xFF
                break
        value |= byte << (8 * number)
    return value


@compiled
def _value(a: I64, kind: int, value: int) -> int:
    return a[np.uint64(R + value)] if kind == 1 else value


@compiled
def _holds(condition: int, left: int, right: int) -> bool:
    if condition == 0:
        return left == right
    if condition == 1:
        return left != right
    if condition == 2:
        return (left ^ _SIGN) < (right ^ _SIGN)
    if condition == 3:
        return (left ^ _SIGN) >= (right ^ _SIGN)
    return True


@compiled
def _find(s: State, id: int) -> int:
    mask = s.woken.shape[0] - 1
    at = (((id & 0xFFFFFF) * 0x9E3779B1) >> 7) & mask
    free = -1
    for _ in range(mask + 1):
        state = s.woken[at, 0]
        if state == 1 and s.woken[at, 1] == id:
            return at
        if state != 1 and free < 0:
            free = at
        if state == 0:
            break
        at = (at + 1) & mask
    return -1 - (free if free >= 0 else mask + 1)


@compiled
def is_woken(s: State, id: int) -> bool:
    """Say whether an APIC ID is in the set of woken ones."""
    return _find(s, id) >= 0


@compiled
def _wake(s: State, id: int) -> None:
    at = _find(s, id)
    if at < 0 and -1 - at < s.woken.shape[0]:
        s.woken[-1 - at, 0] = 1
        s.woken[-1 - at, 1] = id


@compiled
def _unwake(s: State, id: int) -> None:
    at = _find(s, id)
    if at >= 0:
        s.woken[at, 0] = 2


@compiled
def drainable(a: I64, slot: int, memory: int) -> bool:
    """Say whether the memory model lets a buffered store (slot from 0) become visible now."""
    if slot < 0 or slot >= a[BUFFERED]:
        return False
    if memory != RELAXED or slot == 0:
        return memory != SC and slot == 0
    if a[B + 4 * slot + 3] != 0:
        return False
    start, width = a[B + 4 * slot + 0], a[B + 4 * slot + 1]
    for earlier in range(slot):
        other = a[B + 4 * earlier + 0]
        if other < start + width and start < other + a[B + 4 * earlier + 1]:
            return False
    return True


@compiled
def _drain(s: State, a: I64, slot: int) -> None:
    offset, width, value = a[B + 4 * slot + 0], a[B + 4 * slot + 1], a[B + 4 * slot + 2]
    _write(s, offset, width, value)
    _told(s, VISIBLE, offset, width, value, 0)
    for later in range(slot, a[BUFFERED] - 1):
        for column in range(4):
            a[B + 4 * later + column] = a[B + 4 * later + 4 + column]
    a[BUFFERED] -= 1
    for column in range(4):
        a[B + 4 * a[BUFFERED] + column] = 0


@compiled
def _store(s: State, a: I64, row: I64, memory: int) -> bool:
    offset, width = row[1], row[2]
    value = _cut(_value(a, row[3], row[4]), width)
    if memory == SC:
        _write(s, offset, width, value)
        _told(s, VISIBLE, offset, width, value, 0)
        return True
    slot = a[BUFFERED]
    if slot == SLOTS:
        return False
    a[B + 4 * slot + 0] = offset
    a[B + 4 * slot + 1] = width
    a[B + 4 * slot + 2] = value
    a[B + 4 * slot + 3] = row[5]
    a[BUFFERED] += 1
    _told(s, STORE, offset, width, value, 0)
    return True


@compiled
def _swap(s: State, a: I64, row: I64) -> None:
    # With stores buffered it is tried again, as a fence is.
    if a[BUFFERED] != 0:
        return
    offset, width = row[2], row[3]
    value = _cut(_value(a, row[4], row[5]), width)
    a[np.uint64(R + row[1])] = visible(s, offset, width)
    _write(s, offset, width, value)
    _told(s, VISIBLE, offset, width, value, 0)
    a[PC] += 1


@compiled
def _poll(s: State, a: I64, row: I64) -> int:
    value = _read(s, a, row[1], row[2])
    _told(s, LOAD, row[1], row[2], value, 0)
    if _holds(row[3], value, _value(a, row[4], row[5])):
        return a[BASE] + row[6]
    if row[7] < 0:
        return a[PC]
    a[R + row[7]] = add(a[R + row[7]], -1)
    return a[PC] + 1 if a[R + row[7]] == 0 else a[PC]


@compiled
def _branch(a: I64, row: I64) -> int:
    holds = _holds(row[1], _value(a, row[2], row[3]), _value(a, row[4], row[5]))
    return a[BASE] + row[6] if holds else a[PC] + 1


@compiled
def _request(s: State, agent: int, a: I64, row: I64) -> int:
    if (agent != 0 and row[5] == 0) or s.told[POSITION] >= s.requests.shape[0]:
        return a[BASE] + row[4]
    for column in range(3):
        a[R + row[1 + column]] = s.requests[s.told[POSITION], column]
    _told(s, REQUEST, 0, 0, s.requests[s.told[POSITION], 0], 0)
    s.told[POSITION] += 1
    return a[PC] + 1


@compiled
def _reset(s: State, id: int) -> None:
    for agent in range(1, s.agents.shape[0]):
        a = s.agents[agent]
        if a[ID] == id and a[STATUS] == LANDED:
            if a[RESET_ROW] >= 0:
                a[STATUS] = RUNNING
                a[PC] = a[RESET_ROW]
                _told(s, RESET, 0, 0, id, agent)
            return


@compiled
def _compute(s: State, a: I64, row: I64) -> int:
    # The operations that touch registers and the set of woken APIC IDs only; returns the next row.
    op, following = row[0], a[PC] + 1
    if op == _SET:
        a[np.uint64(R + row[1])] = _value(a, row[2], row[3])
    elif op == _ADD:
        total = add(a[np.uint64(R + row[1])], _value(a, row[2], row[3]))
        a[np.uint64(R + row[1])] = _cut(total, row[4])
    elif op == _WOKEN_TEST:
        return a[BASE] + row[3] if is_woken(s, _value(a, row[1], row[2])) else following
    elif op == _WOKEN_ADD:
        _wake(s, _value(a, row[1], row[2]))
    elif op == _WOKEN_REMOVE:
        _unwake(s, _value(a, row[1], row[2]))
    elif op == _DELAY:
        a[WAIT] = _value(a, row[1], row[2])
    return following


@compiled
def _speak(s: State, a: I64, row: I64) -> int:
    # The operations that end a life or tell of something; returns the next row.
    op, here = row[0], a[PC]
    if op == _HALT:
        a[STATUS] = HALTED
        return here
    if op == _DIE:
        a[STATUS] = DEAD
        return here
    if op in (_JUMP, _ENTER):
        _told(s, LANDING, 0, 0, _value(a, row[1], row[2]), 0)
        if op == _ENTER:
            return here + 1
        a[STATUS] = LANDED
        return here
    if op == _RETURN:
        _told(s, RETURN, 0, 0, _value(a, row[1], row[2]), 0)
    elif op == _EMIT:
        _told(s, EMIT, 0, 0, _value(a, row[2], row[3]), row[1])
    elif op == _RESET:
        _reset(s, _value(a, row[1], row[2]))
    return here + 1


@compiled
def _operate(s: State, agent: int, a: I64, memory: int) -> None:
    row = s.code[np.uint64(a[PC])]
    op = row[0]
    if op == _LOAD:
        value = _read(s, a, row[2], row[3])
        a[np.uint64(R + row[1])] = value
        _told(s, LOAD, row[2], row[3], value, 0)
        a[PC] += 1
    elif op == _STORE:
        if _store(s, a, row, memory):
            a[PC] += 1
    elif op == _BRANCH:
        a[PC] = _branch(a, row)
    elif op == _POLL:
        a[PC] = _poll(s, a, row)
    elif op == _NEXT:
        a[PC] = _request(s, agent, a, row)
    elif op == _FENCE:
        if a[BUFFERED] == 0:
            a[PC] += 1
    elif op == _SWAP:
        _swap(s, a, row)
    elif op in (_HALT, _DIE, _JUMP, _ENTER, _RETURN, _EMIT, _RESET):
        a[PC] = _speak(s, a, row)
    else:
        a[PC] = _compute(s, a, row)


@compiled
def step(s: State, agent: int, action: int, memory: int) -> bool:
    """Take one action of one agent; ``s.told`` tells what it did. Return whether it was possible."""
    a = s.agents[np.uint64(agent)]
    _told(s, NONE, 0, 0, 0, 0)
    if action != 0:
        if not drainable(a, action - 1, memory):
            _told(s, IMPOSSIBLE, 0, 0, 0, 0)
            return False
        _drain(s, a, action - 1)
        return True
    if a[STATUS] != RUNNING:
        _told(s, IMPOSSIBLE, 0, 0, 0, 0)
        return False
    if a[WAIT] != 0:
        a[WAIT] = add(a[WAIT], -1)
        return True
    _operate(s, agent, a, memory)
    return True


def _table(agents: int, requests: int) -> int:
    size = 64
    while size < 4 * (agents + requests):
        size *= 2
    return size


def state_of(
    programs: Sequence[Program], ids: Sequence[int], requests: Sequence[tuple[int, int, int]], page: bytes
) -> State:
    """Return the initial state of a machine: one program and one APIC ID for each agent, agent 0 the sender."""
    unique = list({id(program): program for program in programs}.values())
    starts = np.cumsum([0, *(len(program.code) for program in unique)])
    base = {id(program): int(start) for program, start in zip(unique, starts, strict=False)}
    agents = np.zeros((len(programs), AGENT), np.int64)
    for number, (program, one) in enumerate(zip(programs, ids, strict=True)):
        start = base[id(program)]
        reset = start + program.reset if program.reset >= 0 else -1
        agents[number, : R + 2] = [start + program.entry, 0, 0, start, reset, signed(one), 0, signed(one), number]
    return State(
        page=np.frombuffer(page.ljust(PAGE, b"\0"), np.uint8).copy(),
        code=np.ascontiguousarray(np.concatenate([program.code for program in unique]), np.int64),
        agents=agents,
        requests=np.array([[signed(one) for one in row] for row in requests], np.int64).reshape(-1, 3),
        woken=np.zeros((_table(len(programs), len(requests)), 2), np.int64),
        told=np.zeros(6, np.int64),
    )


class Machine:
    """A machine that can be stepped from Python; the attributes are those of its ``State``."""

    def __init__(self, state: State, memory: str) -> None:
        self.state = state
        self.memory = MEMORY.index(memory)

    @classmethod
    def of(
        cls,
        programs: Sequence[Program],
        ids: Sequence[int],
        requests: Sequence[tuple[int, int, int]],
        memory: str,
        page: bytes = b"",
    ) -> Machine:
        """Return a machine in its initial state."""
        return cls(state_of(programs, ids, requests, page), memory)

    def step(self, agent: int, action: int) -> tuple[int, int, int, int, int]:
        """Take one action; return kind (index into ``EFFECTS``), offset, width, value, number."""
        step(self.state, agent, action, self.memory)
        kind, offset, width, value, number = (int(one) for one in self.state.told[:POSITION])
        return kind, offset, width, value, number

    @property
    def page(self) -> U8:
        """The mailbox page."""
        return self.state.page

    @property
    def pc(self) -> I64:
        """Program counters, counted within each agent's own program."""
        return self.state.agents[:, PC] - self.state.agents[:, BASE]

    @property
    def status(self) -> I64:
        """Status of each agent: running, landed, halted, dead."""
        return self.state.agents[:, STATUS]

    @property
    def wait(self) -> I64:
        """Steps that each agent still waits."""
        return self.state.agents[:, WAIT]

    @property
    def registers(self) -> I64:
        """Registers, int64[A, 16]."""
        return self.state.agents[:, R:B]

    @property
    def buffered(self) -> I64:
        """Number of buffered stores of each agent."""
        return self.state.agents[:, BUFFERED]

    @property
    def buffer(self) -> I64:
        """Buffered stores, int64[A, 8, 4] of offset, width, value, release."""
        return self.state.agents[:, B:].reshape(-1, SLOTS, 4)

    @property
    def position(self) -> I64:
        """Number of the next request, int64[1]."""
        return self.state.told[POSITION:]

    def woken_ids(self) -> set[int]:
        """Return the set of woken APIC IDs."""
        return {id & 0xFFFFFFFFFFFFFFFF for id in self.state.woken[self.state.woken[:, 0] == _USED, 1].tolist()}
