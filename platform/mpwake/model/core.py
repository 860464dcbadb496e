"""The step function: the semantics of the model's machine over packed arrays, as ``docs/model.md`` tells it.

All registers are signed 64-bit integers that hold the bits of unsigned ones: mixing signed and unsigned operands makes
numba compute in floating point. Everything that is compiled and cached stands in this one file, because numba's
cache does not notice a change in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpwake.model.agent import PAGE
from mpwake.model.jit import compiled
from mpwake.model.program import COLUMNS, REGISTERS, Program, signed

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
_RETURN, _WOKEN_TEST, _WOKEN_ADD, _WOKEN_REMOVE, _EMIT, _RESET, _FENCE, _DELAY, _DIE = range(9, 18)
_SIGN = -0x8000000000000000
_EMPTY, _USED, _GONE = range(3)


class State(NamedTuple):
    """The whole machine. A is the number of agents, agent 0 the sender.

    ``page`` uint8[4096]; ``code`` int64[rows, 8], all programs one after the other; ``base``, ``reset``, ``pc``,
    ``status``, ``wait``, ``ids``, ``buffered`` int64[A], rows counted in ``code``; ``registers`` int64[A, 16];
    ``buffer`` int64[A, 8, 4] of offset, width, value, release; ``requests`` int64[R, 3] of op, target, vector;
    ``position`` int64[1]; ``woken`` int64[S, 2], a hash table of state and APIC ID; ``effect`` int64[5].
    """

    page: U8
    code: I64
    base: I64
    reset: I64
    pc: I64
    status: I64
    wait: I64
    ids: I64
    registers: I64
    buffered: I64
    buffer: I64
    requests: I64
    position: I64
    woken: I64
    effect: I64


@compiled
def _told(s: State, kind: int, offset: int, width: int, value: int, number: int) -> None:
    s.effect[KIND] = kind
    s.effect[OFFSET] = offset
    s.effect[WIDTH] = width
    s.effect[VALUE] = value
    s.effect[NUMBER] = number


@compiled
def _cut(value: int, width: int) -> int:
    return value if width == 8 else value & ((1 << (8 * width)) - 1)


@compiled
def _sum(left: int, right: int) -> int:
    # In halves, so that plain Python on NumPy scalars wraps as silently as machine code does.
    low = (left & 0xFFFFFFFF) + (right & 0xFFFFFFFF)
    high = (left >> 32) + (right >> 32) + (low >> 32)
    return (high << 32) | (low & 0xFFFFFFFF)


@compiled
def _write(s: State, offset: int, width: int, value: int) -> None:
    for number in range(width):
        s.page[offset + number] = (value >> (8 * number)) & 0xFF


@compiled
def _read(s: State, agent: int, offset: int, width: int) -> int:
    value = 0
    for number in range(width):
        at = offset + number
        byte = np.int64(s.page[at])
        for slot in range(s.buffered[agent] - 1, -1, -1):
            start = s.buffer[agent, slot, 0]
            if start <= at < start + s.buffer[agent, slot, 1]:
                byte = (s.buffer[agent, slot, 2] >> (8 * (at - start))) & 0xFF
                break
        value |= byte << (8 * number)
    return value


@compiled
def _value(s: State, agent: int, kind: int, value: int) -> int:
    return s.registers[agent, value] if kind == 1 else value


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
    return -1 - free


@compiled
def is_woken(s: State, id: int) -> bool:
    """Say whether an APIC ID is in the set of woken ones."""
    return _find(s, id) >= 0


@compiled
def _wake(s: State, id: int) -> None:
    at = _find(s, id)
    if at < 0:
        s.woken[-1 - at, 0] = 1
        s.woken[-1 - at, 1] = id


@compiled
def _unwake(s: State, id: int) -> None:
    at = _find(s, id)
    if at >= 0:
        s.woken[at, 0] = 2


@compiled
def drainable(s: State, agent: int, slot: int, memory: int) -> bool:
    """Say whether the memory model lets a buffered store (slot from 0) become visible now."""
    if slot < 0 or slot >= s.buffered[agent]:
        return False
    if memory != RELAXED or slot == 0:
        return memory != SC and slot == 0
    if s.buffer[agent, slot, 3] != 0:
        return False
    start, width = s.buffer[agent, slot, 0], s.buffer[agent, slot, 1]
    for earlier in range(slot):
        other = s.buffer[agent, earlier, 0]
        if other < start + width and start < other + s.buffer[agent, earlier, 1]:
            return False
    return True


@compiled
def _drain(s: State, agent: int, slot: int) -> None:
    offset, width, value = s.buffer[agent, slot, 0], s.buffer[agent, slot, 1], s.buffer[agent, slot, 2]
    _write(s, offset, width, value)
    _told(s, VISIBLE, offset, width, value, 0)
    for later in range(slot, s.buffered[agent] - 1):
        for column in range(4):
            s.buffer[agent, later, column] = s.buffer[agent, later + 1, column]
    s.buffered[agent] -= 1
    for column in range(4):
        s.buffer[agent, s.buffered[agent], column] = 0


@compiled
def _store(s: State, agent: int, row: I64, memory: int) -> bool:
    offset, width = row[1], row[2]
    value = _cut(_value(s, agent, row[3], row[4]), width)
    if memory == SC:
        _write(s, offset, width, value)
        _told(s, VISIBLE, offset, width, value, 0)
        return True
    slot = s.buffered[agent]
    if slot == SLOTS:
        return False
    s.buffer[agent, slot, 0] = offset
    s.buffer[agent, slot, 1] = width
    s.buffer[agent, slot, 2] = value
    s.buffer[agent, slot, 3] = row[5]
    s.buffered[agent] += 1
    _told(s, STORE, offset, width, value, 0)
    return True


@compiled
def _poll(s: State, agent: int, row: I64) -> int:
    value = _read(s, agent, row[1], row[2])
    _told(s, LOAD, row[1], row[2], value, 0)
    if _holds(row[3], value, _value(s, agent, row[4], row[5])):
        return s.base[agent] + row[6]
    if row[7] < 0:
        return s.pc[agent]
    s.registers[agent, row[7]] -= 1
    return s.pc[agent] + 1 if s.registers[agent, row[7]] == 0 else s.pc[agent]


@compiled
def _request(s: State, agent: int, row: I64) -> int:
    if agent != 0 or s.position[0] >= s.requests.shape[0]:
        return s.base[agent] + row[4]
    for column in range(3):
        s.registers[agent, row[1 + column]] = s.requests[s.position[0], column]
    _told(s, REQUEST, 0, 0, s.requests[s.position[0], 0], 0)
    s.position[0] += 1
    return s.pc[agent] + 1


@compiled
def _reset(s: State, id: int) -> None:
    for agent in range(1, s.pc.shape[0]):
        if s.ids[agent] == id and s.status[agent] == LANDED:
            if s.reset[agent] >= 0:
                s.status[agent] = RUNNING
                s.pc[agent] = s.reset[agent]
                _told(s, RESET, 0, 0, id, 0)
            return


@compiled
def _compute(s: State, agent: int, row: I64) -> int:
    # The operations that touch registers and the set of woken APIC IDs only; returns the next row.
    op, following = row[0], s.pc[agent] + 1
    if op == _BRANCH:
        left, right = _value(s, agent, row[2], row[3]), _value(s, agent, row[4], row[5])
        return s.base[agent] + row[6] if _holds(row[1], left, right) else following
    if op == _SET:
        s.registers[agent, row[1]] = _value(s, agent, row[2], row[3])
    elif op == _ADD:
        total = _sum(s.registers[agent, row[1]], _value(s, agent, row[2], row[3]))
        s.registers[agent, row[1]] = _cut(total, row[4])
    elif op == _WOKEN_TEST:
        return s.base[agent] + row[3] if is_woken(s, _value(s, agent, row[1], row[2])) else following
    elif op == _WOKEN_ADD:
        _wake(s, _value(s, agent, row[1], row[2]))
    elif op == _WOKEN_REMOVE:
        _unwake(s, _value(s, agent, row[1], row[2]))
    elif op == _DELAY:
        s.wait[agent] = _value(s, agent, row[1], row[2])
    return following


@compiled
def _speak(s: State, agent: int, row: I64) -> int:
    # The operations that end a life or tell of something; returns the next row.
    op, here = row[0], s.pc[agent]
    if op == _HALT:
        s.status[agent] = HALTED
        return here
    if op == _DIE:
        s.status[agent] = DEAD
        return here
    if op == _JUMP:
        s.status[agent] = LANDED
        _told(s, LANDING, 0, 0, _value(s, agent, row[1], row[2]), 0)
        return here
    if op == _RETURN:
        _told(s, RETURN, 0, 0, _value(s, agent, row[1], row[2]), 0)
    elif op == _EMIT:
        _told(s, EMIT, 0, 0, _value(s, agent, row[2], row[3]), row[1])
    elif op == _RESET:
        _reset(s, _value(s, agent, row[1], row[2]))
    return here + 1


@compiled
def _operate(s: State, agent: int, memory: int) -> None:
    row = s.code[s.pc[agent]]
    op = row[0]
    if op == _LOAD:
        value = _read(s, agent, row[2], row[3])
        s.registers[agent, row[1]] = value
        _told(s, LOAD, row[2], row[3], value, 0)
        s.pc[agent] += 1
    elif op == _STORE:
        if _store(s, agent, row, memory):
            s.pc[agent] += 1
    elif op == _POLL:
        s.pc[agent] = _poll(s, agent, row)
    elif op == _NEXT:
        s.pc[agent] = _request(s, agent, row)
    elif op == _FENCE:
        if s.buffered[agent] == 0:
            s.pc[agent] += 1
    elif op in (_HALT, _DIE, _JUMP, _RETURN, _EMIT, _RESET):
        s.pc[agent] = _speak(s, agent, row)
    else:
        s.pc[agent] = _compute(s, agent, row)


@compiled
def step(s: State, agent: int, action: int, memory: int) -> bool:
    """Take one action of one agent; ``s.effect`` tells what it did. Return whether it was possible."""
    _told(s, NONE, 0, 0, 0, 0)
    if action > 0:
        if not drainable(s, agent, action - 1, memory):
            _told(s, IMPOSSIBLE, 0, 0, 0, 0)
            return False
        _drain(s, agent, action - 1)
        return True
    if s.status[agent] != RUNNING:
        _told(s, IMPOSSIBLE, 0, 0, 0, 0)
        return False
    if s.wait[agent] > 0:
        s.wait[agent] -= 1
        return True
    _operate(s, agent, memory)
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
    count = len(programs)
    code = np.concatenate([program.code for program in unique]) if unique else np.zeros((0, COLUMNS), np.int64)
    registers = np.zeros((count, REGISTERS), np.int64)
    registers[:, 0] = [signed(one) for one in ids]
    registers[:, 1] = np.arange(count)
    return State(
        page=np.frombuffer(page.ljust(PAGE, b"\0"), np.uint8).copy(),
        code=np.ascontiguousarray(code, np.int64),
        base=np.array([base[id(one)] for one in programs], np.int64),
        reset=np.array([base[id(one)] + one.reset if one.reset >= 0 else -1 for one in programs], np.int64),
        pc=np.array([base[id(one)] + one.entry for one in programs], np.int64),
        status=np.zeros(count, np.int64),
        wait=np.zeros(count, np.int64),
        ids=np.array([signed(one) for one in ids], np.int64),
        registers=registers,
        buffered=np.zeros(count, np.int64),
        buffer=np.zeros((count, SLOTS, 4), np.int64),
        requests=np.array([[signed(one) for one in row] for row in requests], np.int64).reshape(-1, 3),
        position=np.zeros(1, np.int64),
        woken=np.zeros((_table(count, len(requests)), 2), np.int64),
        effect=np.zeros(5, np.int64),
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
        kind, offset, width, value, number = (int(one) for one in self.state.effect)
        return kind, offset, width, value, number

    @property
    def pc(self) -> I64:
        """Program counters, counted within each agent's own program."""
        return self.state.pc - self.state.base

    def woken_ids(self) -> set[int]:
        """Return the set of woken APIC IDs."""
        return {int(id) for state, id in self.state.woken if state == _USED}
