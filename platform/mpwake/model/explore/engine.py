"""The explorer's machine code: states of ``WORDS`` words in an open hash table, a level of the search at a time.

``specialise`` writes this file out with the number of words that a platform's states take, so that the loops over them
are unrolled. All else is in the tables that ``packing`` makes. Everything is unsigned, because signed and unsigned
operands together make numba compute in floating point; the highest bit of a state's first word is always set, so that
an empty slot is 0.

A row of ``acts`` is guard mask and value (``WORDS`` each), base, place of the first cell read (word, shift, mask), first
and last of the other cells. A row of ``steps`` is what is kept and what is set (``WORDS`` each), flags, first and last
condition of the monitors. A row of ``checks`` is kind, two pairs of mask and value with whether they shall be equal,
and an agent with the flags that its local state shall have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mpwake.model.explore.prefetch import prefetch
from mpwake.model.jit import compiled

WORDS = 2
BATCH = 128
U64 = npt.NDArray[np.uint64]

# Columns of Tables.agents and Tables.locals, and the flags of a local state.
BASE, WORD, SHIFT, MASK = range(4)
ACTS, OWN, END, FLAGS = range(4)
EAGER, ENDED, AT_NEXT, LANDED, UNANSWERED, ASKED = 1, 2, 4, 8, 16, 32
# Columns of a row of acts and of steps, behind the words.
ACT_BASE, ACT_WORD, ACT_SHIFT, ACT_MASK, ACT_MORE, ACT_LAST = range(6)
STEP_FLAGS, STEP_CHECK, STEP_LAST = range(3)
# Flags of a step: it changes nothing; somebody lands well; the kind of what is wrong in it, whatever the state.
NOTHING, LANDS, WRONG_SHIFT = 1, 2, 8
# Counters.
USED, NEXT, TRANSITIONS, PENDING, LANDINGS, GOALS, FOUND, STOP = range(8)
# Why expand comes back before the end of a level: the table or the next level is full, or something is wrong.
DONE, FULL, WRONG = range(3)

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_HALF = np.uint64(32)
_K1 = np.uint64(0x9E3779B97F4A7C15)
_K2 = np.uint64(0xD6E8FEB86659FD93)


class Tables(NamedTuple):
    """What agents can do, as ``packing`` found it; the module's text says what a row of each is."""

    agents: U64
    locals: U64
    acts: U64
    cells: U64
    steps: U64
    checks: U64
    asked: U64


class Room(NamedTuple):
    """What a search works in: ``found`` holds for each kind of wrong the state, agent, act and step of the first."""

    table: U64
    following: U64
    batch: U64
    slots: U64
    counters: U64
    found: U64


@compiled
def hashed(states: U64, at: int, size: int) -> int:
    """Return the first slot of a state in a table of that size."""
    word: Any = _ZERO
    for k in range(WORDS):
        word = (word ^ states[at, k]) * _K1
        word ^= word >> _HALF
    word *= _K2
    return ((word >> _HALF) * size) >> _HALF


@compiled
def place(table: U64, states: U64, at: int, slot: int) -> int:
    """Return the slot of a state, or the free one where it belongs."""
    size = np.uint64(table.shape[0])
    while table[slot, 0] != _ZERO:
        same = True
        for k in range(WORDS):
            same = same and table[slot, k] == states[at, k]
        if same:
            return slot
        slot += _ONE
        if slot == size:
            slot = _ZERO
    return slot


@compiled
def _flush(room: Room) -> None:
    table, batch, counters = room.table, room.batch, room.counters
    for at in range(counters[PENDING]):
        slot = place(table, batch, np.uint64(at), room.slots[at])
        if table[slot, 0] == _ZERO:
            number = counters[NEXT]
            for k in range(WORDS):
                table[slot, k] = batch[np.uint64(at), k]
                room.following[number, k] = batch[np.uint64(at), k]
            counters[NEXT] += _ONE
            counters[USED] += _ONE
    counters[PENDING] = _ZERO


@compiled
def _field(states: U64, at: int, word: int, shift: int, mask: int) -> int:
    return (states[at, word] >> shift) & mask


@compiled
def local_of(t: Tables, states: U64, at: int, agent: int) -> int:
    """Return the row of ``locals`` for an agent in a state."""
    one = t.agents[agent]
    return one[BASE] + _field(states, at, one[WORD], one[SHIFT], one[MASK])


@compiled
def _may(act: U64, states: U64, at: int) -> bool:
    for k in range(WORDS):
        if states[at, k] & act[k] != act[WORDS + k]:
            return False
    return True


@compiled
def step_of(t: Tables, act: U64, states: U64, at: int) -> int:
    """Return the row of ``steps`` for an action in a state: what the cells hold decides."""
    row = act[2 * WORDS + ACT_BASE]
    row += _field(states, at, act[2 * WORDS + ACT_WORD], act[2 * WORDS + ACT_SHIFT], act[2 * WORDS + ACT_MASK])
    for more in range(act[2 * WORDS + ACT_MORE], act[2 * WORDS + ACT_LAST]):
        cell = t.cells[more]
        row += cell[0] * _field(states, at, cell[1], cell[2], cell[3])
    return row


@compiled
def _matches(check: U64, first: int, states: U64, at: int) -> bool:
    for k in range(WORDS):
        if states[at, k] & check[first + 1 + k] != check[first + 1 + WORDS + k]:
            return check[first] == _ZERO
    return check[first] != _ZERO


@compiled
def _violates(t: Tables, check: U64, states: U64, at: int) -> bool:
    if not (_matches(check, 1, states, at) and _matches(check, 2 + 2 * WORDS, states, at)):
        return False
    flags = check[4 * WORDS + 4]
    if flags == _ZERO:
        return True
    local = local_of(t, states, at, check[4 * WORDS + 3])
    return t.locals[local, FLAGS] & flags == flags


@compiled
def _wrong(t: Tables, room: Room, states: U64, at: int, agent: int, act: int, row: int, kind: int) -> bool:
    # Notes what is wrong, the first of its kind; says whether the search shall stop.
    found = room.found[kind]
    if found[0] == _ZERO:
        for k in range(WORDS):
            found[k] = states[at, k]
        found[WORDS], found[WORDS + 1], found[WORDS + 2] = agent, act, row
        room.counters[FOUND] |= _ONE << kind
    return room.counters[STOP] & (_ONE << kind) != _ZERO


@compiled
def _judge(t: Tables, room: Room, states: U64, at: int, agent: int, act: int, row: int) -> bool:
    step = t.steps[row]
    flags = step[2 * WORDS + STEP_FLAGS]
    if flags & np.uint64(LANDS):
        room.counters[LANDINGS] += _ONE
    stop = False
    kind = flags >> np.uint64(WRONG_SHIFT)
    if kind != _ZERO:
        stop = _wrong(t, room, states, at, agent, act, row, kind)
    for one in range(step[2 * WORDS + STEP_CHECK], step[2 * WORDS + STEP_LAST]):
        check = t.checks[one]
        if _violates(t, check, states, at):
            stop = _wrong(t, room, states, at, agent, act, row, check[0]) or stop
    return stop


@compiled
def reached(t: Tables, states: U64, at: int) -> bool:
    """Say whether the sender is at its end and everybody has landed who was asked to."""
    flags = t.locals[local_of(t, states, at, _ZERO), FLAGS]
    if flags & np.uint64(ENDED | AT_NEXT) == _ZERO:
        return False
    agents = t.asked.shape[0]
    left = False
    for agent in range(agents):
        asked = t.asked[agent]
        for k in range(WORDS):
            if asked[k] != _ZERO and states[at, k] & asked[k] != _ZERO:
                left = True
    if left and flags & np.uint64(ENDED) == _ZERO:
        return False
    for agent in range(1, agents):
        waits = False
        for k in range(WORDS):
            waits = waits or (t.asked[agent, k] != _ZERO and states[at, k] & t.asked[agent, k] == _ZERO)
        if waits and t.locals[local_of(t, states, at, np.uint64(agent)), FLAGS] & np.uint64(LANDED) == _ZERO:
            return False
    return True


@compiled
def _successor(t: Tables, batch: U64, to: int, states: U64, at: int, row: int) -> bool:
    # Puts it into the batch; says whether it is another state.
    step = t.steps[row]
    other = False
    for k in range(WORDS):
        word = (states[at, k] & step[k]) | step[WORDS + k]
        batch[to, k] = word
        other = other or word != states[at, k]
    return other


@compiled
def eager_agent(t: Tables, states: U64, at: int) -> int:
    """Return the first agent whose next step is nobody else's matter, or the number of agents."""
    for agent in range(t.agents.shape[0]):
        local = local_of(t, states, at, np.uint64(agent))
        if t.locals[local, FLAGS] & np.uint64(EAGER):
            return agent
    return t.agents.shape[0]


@compiled
def _expand(t: Tables, room: Room, states: U64, at: int, reducing: bool) -> bool:
    size = np.uint64(room.table.shape[0])
    counters = room.counters
    first, last = 0, t.agents.shape[0]
    eager = last
    if reducing:
        eager = eager_agent(t, states, at)
        if eager < last:
            first, last = eager, eager + 1
    for agent in range(first, last):
        local = t.locals[local_of(t, states, at, np.uint64(agent))]
        end = local[OWN] if agent == eager else local[END]
        for act in range(local[ACTS], end):
            if not _may(t.acts[act], states, at):
                continue
            row = step_of(t, t.acts[act], states, at)
            flags = t.steps[row, 2 * WORDS + STEP_FLAGS]
            if flags & np.uint64(NOTHING):
                continue
            judged = flags != _ZERO or t.steps[row, 2 * WORDS + STEP_LAST] != _ZERO
            if judged and _judge(t, room, states, at, np.uint64(agent), np.uint64(act), row):
                return True
            pending = counters[PENDING]
            if _successor(t, room.batch, pending, states, at, row):
                slot = hashed(room.batch, pending, size)
                room.slots[pending] = slot
                prefetch(room.table, slot)
                counters[PENDING] = pending + _ONE
                counters[TRANSITIONS] += _ONE
                if counters[PENDING] == np.uint64(BATCH):
                    _flush(room)
    return False


@compiled
def expand(t: Tables, room: Room, states: U64, start: int, end: int, limit: int, most: int, reducing: bool) -> int:
    """Expand the states of a level from ``start``; return the number of the first that was not.

    It comes back before ``end`` when the table holds ``limit`` states or the next level may be full (``most`` is the
    number of successors that a state may have), or when a step is wrong whose kind is among those to stop at.
    """
    counters = room.counters
    for number in range(start, end):
        at = np.uint64(number)
        ahead = np.int64(counters[PENDING]) + most
        if np.int64(counters[USED]) + ahead > limit or np.int64(counters[NEXT]) + ahead > room.following.shape[0]:
            _flush(room)
            if np.int64(counters[USED]) + most > limit or np.int64(counters[NEXT]) + most > room.following.shape[0]:
                return number
        if reached(t, states, at):
            counters[GOALS] += _ONE
        if _expand(t, room, states, at, reducing):
            _flush(room)
            return number
    _flush(room)
    return end


@compiled
def rehash(table: U64, into: U64) -> None:
    """Put all states of a table into another one, which is empty and has room."""
    size = np.uint64(into.shape[0])
    for number in range(table.shape[0]):
        at = np.uint64(number)
        if table[at, 0] != _ZERO:
            slot = place(into, table, at, hashed(table, at, size))
            for k in range(WORDS):
                into[slot, k] = table[at, k]


@compiled
def insert(table: U64, states: U64, at: int) -> bool:
    """Put one state into a table; say whether it was not there."""
    slot = place(table, states, at, hashed(states, at, np.uint64(table.shape[0])))
    new = table[slot, 0] == _ZERO
    for k in range(WORDS):
        table[slot, k] = states[at, k]
    return new
