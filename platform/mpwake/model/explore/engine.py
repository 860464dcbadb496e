"""The explorer's machine code: states of ``WORDS`` words in an open hash table, a level of the search at a time.

``specialise`` writes this file out with the number of words that a platform's states take, so that the loops over them
are unrolled. All else is in the tables that ``packing`` makes. Everything is unsigned, because signed and unsigned
operands together make numba compute in floating point; the highest bit of a state's first word is always set, so that
an empty slot is 0.

A row of ``acts`` is guard mask and value (``WORDS`` each), base, place of the first cell read (word, shift, mask),
first and last of the other cells. A row of ``steps`` is what is kept and what is set (``WORDS`` each), flags, first
and last condition of the monitors. A row of ``checks`` is kind, two pairs of mask and value with whether they shall be
equal, and an agent with the flags that its local state shall have.
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
U8 = npt.NDArray[np.uint8]
Word = Any  # an integer, of NumPy as plain Python runs this, of the machine when compiled

# Columns of Tables.agents and Tables.locals, and the flags of a local state.
BASE, WORD, SHIFT, MASK = range(4)
ACTS, OWN, END, FLAGS = range(4)
EAGER, ENDED, AT_NEXT, LANDED, UNANSWERED = 1, 2, 4, 8, 16
# Columns of a row of acts and of steps, behind the words.
ACT_BASE, ACT_WORD, ACT_SHIFT, ACT_MASK, ACT_MORE, ACT_LAST = range(6)
STEP_FLAGS, STEP_CHECK, STEP_LAST = range(3)
# Flags of a step: it changes nothing; somebody lands well; the kind of what is wrong in it, whatever the state.
NOTHING, LANDS, WRONG_SHIFT = 1, 2, 8
# In the key of a processor: another one names it.
NAMED = 1 << 8
# Counters.
USED, NEXT, TRANSITIONS, LANDINGS, GOALS, FOUND, STOP = range(7)

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


class Symmetry(NamedTuple):
    """How processors that are alike change places; ``symmetry`` makes these tables, and none where there is nothing.

    ``kinds`` are, by row of ``locals``, the kind that a local state has whoever is in it, and up to two processors that
    it names beside its own (number, or 0); ``starts`` is, by agent and kind, where its renamed states begin in
    ``renamed``, one for each choice of these two. ``cells`` are word, shift and mask of cells that name a processor,
    where their values begin in ``values`` (kind, and number or 0) and in ``renamed``; ``bits`` are word and shift by
    processor of each kind of bit that a processor has; ``rest`` is what stays as it is.
    """

    kinds: U64
    starts: U64
    renamed: U64
    cells: U64
    values: U64
    bits: U64
    rest: U64
    keys: U64
    order: U64
    spare: U64


class Room(NamedTuple):
    """What a search works in: ``found`` holds for each kind of wrong the state, agent, act and step of the first."""

    table: U64
    following: U64
    batch: U64
    rows: U64
    counters: U64
    found: U64


@compiled
def hashed(states: U64, at: Word, size: Word) -> Word:
    """Return the first slot of a state in a table of that size."""
    word: Any = _ZERO
    for k in range(WORDS):
        word = (word ^ states[at, k]) * _K1
        word ^= word >> _HALF
    word *= _K2
    return ((word >> _HALF) * size) >> _HALF


@compiled
def place(table: U64, states: U64, at: Word, slot: Word) -> Word:
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
def _field(states: U64, at: Word, word: Word, shift: Word, mask: Word) -> Word:
    return (states[at, word] >> shift) & mask


@compiled
def local_of(t: Tables, states: U64, at: Word, agent: Word) -> Word:
    """Return the row of ``locals`` for an agent in a state."""
    one = t.agents[agent]
    return one[BASE] + _field(states, at, one[WORD], one[SHIFT], one[MASK])


@compiled
def _may(act: U64, states: U64, at: Word) -> bool:
    may = True
    for k in range(WORDS):
        may = may and states[at, k] & act[k] == act[WORDS + k]
    return may


@compiled
def step_of(t: Tables, act: U64, states: U64, at: Word) -> Word:
    """Return the row of ``steps`` for an action in a state: what the cells hold decides."""
    row = act[2 * WORDS + ACT_BASE]
    row += _field(states, at, act[2 * WORDS + ACT_WORD], act[2 * WORDS + ACT_SHIFT], act[2 * WORDS + ACT_MASK])
    for more in range(act[2 * WORDS + ACT_MORE], act[2 * WORDS + ACT_LAST]):
        cell = t.cells[more]
        row += cell[0] * _field(states, at, cell[1], cell[2], cell[3])
    return row


@compiled
def _matches(check: U64, first: Word, states: U64, at: Word) -> bool:
    for k in range(WORDS):
        if states[at, k] & check[first + 1 + k] != check[first + 1 + WORDS + k]:
            return check[first] == _ZERO
    return check[first] != _ZERO


@compiled
def _violates(t: Tables, check: U64, states: U64, at: Word) -> bool:
    if not (_matches(check, 1, states, at) and _matches(check, 2 + 2 * WORDS, states, at)):
        return False
    flags = check[4 * WORDS + 4]
    if flags == _ZERO:
        return True
    local = local_of(t, states, at, check[4 * WORDS + 3])
    return t.locals[local, FLAGS] & flags == flags


@compiled
def _wrong(room: Room, states: U64, at: Word, agent: Word, act: Word, row: Word, kind: Word) -> bool:
    # Notes what is wrong, the first of its kind; says whether the search shall stop.
    found = room.found[kind]
    if found[0] == _ZERO:
        for k in range(WORDS):
            found[k] = states[at, k]
        found[WORDS], found[WORDS + 1], found[WORDS + 2] = agent, act, row
        room.counters[FOUND] |= _ONE << kind
    return room.counters[STOP] & (_ONE << kind) != _ZERO


@compiled
def _judge(t: Tables, room: Room, states: U64, at: Word, agent: Word, act: Word, row: Word) -> bool:
    step = t.steps[row]
    flags = step[2 * WORDS + STEP_FLAGS]
    if flags & np.uint64(LANDS):
        room.counters[LANDINGS] += _ONE
    stop = False
    kind = flags >> np.uint64(WRONG_SHIFT)
    if kind != _ZERO:
        stop = _wrong(room, states, at, agent, act, row, kind)
    for one in range(step[2 * WORDS + STEP_CHECK], step[2 * WORDS + STEP_LAST]):
        check = t.checks[one]
        if _violates(t, check, states, at):
            stop = _wrong(room, states, at, agent, act, row, check[0]) or stop
    return stop


@compiled
def reached(t: Tables, states: U64, at: Word) -> bool:
    """Say whether the sender is at its end and everybody has landed who was asked to."""
    flags = t.locals[local_of(t, states, at, np.uint64(0)), FLAGS]
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
def _eager_agent(t: Tables, states: U64, at: Word) -> Word:
    # The first agent whose next step is nobody else's matter, or the number of agents.
    for agent in range(t.agents.shape[0]):
        local = local_of(t, states, at, np.uint64(agent))
        if t.locals[local, FLAGS] & np.uint64(EAGER):
            return agent
    return t.agents.shape[0]


@compiled
def _keys(t: Tables, y: Symmetry, states: U64, at: Word) -> None:
    # What is known of each processor whoever it is: the kind of its local state, its bits, and who names it.
    count = t.agents.shape[0]
    for agent in range(1, count):
        local = local_of(t, states, at, np.uint64(agent))
        key = y.kinds[local, 0] << np.uint64(24)
        for bit in range(y.bits.shape[0]):
            key |= ((states[at, y.bits[bit, agent, 0]] >> y.bits[bit, agent, 1]) & _ONE) << np.uint64(bit)
        y.keys[agent] = key
    y.keys[0] = _ZERO
    for agent in range(count):
        local = local_of(t, states, at, np.uint64(agent))
        for one in range(1, 3):
            y.keys[y.kinds[local, one]] |= _ONE << np.uint64(8 if agent else 8 + one)
    for number in range(y.cells.shape[0]):
        cell = y.cells[number]
        value = cell[3] + _field(states, at, cell[0], cell[1], cell[2])
        y.keys[y.values[value, 1]] |= _ONE << np.uint64(11 + number)


@compiled
def _sorted(y: Symmetry, count: Word) -> bool:
    # Puts the processors in order of their keys: order[n] is the new number of the n-th. Says whether that is the old.
    same = True
    for agent in range(2, count):
        same = same and y.keys[agent - 1] <= y.keys[agent]
    if same:
        return True
    for agent in range(count):
        y.spare[agent] = np.uint64(agent)
    for agent in range(2, count):
        one, to = y.spare[agent], agent
        while to > 1 and y.keys[y.spare[to - 1]] > y.keys[one]:
            y.spare[to] = y.spare[to - 1]
            to -= 1
        y.spare[to] = one
    for agent in range(count):
        y.order[y.spare[agent]] = np.uint64(agent)
    return False


@compiled
def _put(states: U64, at: Word, word: Word, shift: Word, value: Word) -> None:
    states[at, word] |= value << shift


@compiled
def canonical(t: Tables, y: Symmetry, states: U64, at: Word, scratch: U64) -> None:
    """Put another state in the place of one, in which processors that are alike have changed places."""
    count = t.agents.shape[0]
    _keys(t, y, states, at)
    if _sorted(y, count):
        return
    for k in range(WORDS):
        scratch[0, k] = states[at, k] & y.rest[k]
    wide = np.uint64(count)
    for agent in range(count):
        local = local_of(t, states, at, np.uint64(agent))
        kind = y.kinds[local]
        to = t.agents[y.order[agent]]
        row = y.starts[y.order[agent], kind[0]] + y.order[kind[1]] + wide * y.order[kind[2]]
        _put(scratch, _ZERO, to[WORD], to[SHIFT], y.renamed[row])
    for bit in range(y.bits.shape[0]):
        for agent in range(1, count):
            value = (states[at, y.bits[bit, agent, 0]] >> y.bits[bit, agent, 1]) & _ONE
            to = y.bits[bit, y.order[agent]]
            _put(scratch, _ZERO, to[0], to[1], value)
    for number in range(y.cells.shape[0]):
        cell = y.cells[number]
        value = y.values[cell[3] + _field(states, at, cell[0], cell[1], cell[2])]
        row = cell[4] + value[0] * wide + y.order[value[1]]
        _put(scratch, _ZERO, cell[0], cell[1], y.renamed[row])
    for k in range(WORDS):
        states[at, k] = scratch[0, k]


@compiled
def _put_successor(t: Tables, batch: U64, to: Word, states: U64, at: Word, row: Word) -> bool:
    # Says whether it is another state.
    step = t.steps[row]
    other = False
    for k in range(WORDS):
        word = (states[at, k] & step[k]) | step[WORDS + k]
        batch[to, k] = word
        other = other or word != states[at, k]
    return other


@compiled
def _gather_of(t: Tables, states: U64, at: Word, batch: U64, rows: U64, to: Word, agent: Word, last: Word) -> Word:
    local = t.locals[local_of(t, states, at, np.uint64(agent))]
    for act in range(local[ACTS], local[last]):
        if not _may(t.acts[act], states, at):
            continue
        row = step_of(t, t.acts[act], states, at)
        flags = t.steps[row, 2 * WORDS + STEP_FLAGS]
        if flags & np.uint64(NOTHING):
            continue
        if _put_successor(t, batch, np.uint64(to), states, at, row) or flags != _ZERO:
            rows[to, 0], rows[to, 1], rows[to, 2] = np.uint64(agent), np.uint64(act), row
            to += 1
    return to


@compiled
def gather(t: Tables, y: Symmetry, states: U64, at: Word, batch: U64, rows: U64, to: Word, reducing: bool) -> Word:
    """Write the successors of a state from row ``to`` on, with agent, act and step; return the row after them."""
    alike = y.kinds.shape[0] > 0
    if alike:
        _keys(t, y, states, at)
    count = t.agents.shape[0]
    eager = _eager_agent(t, states, at) if reducing else count
    if eager < count:
        end = _gather_of(t, states, at, batch, rows, to, np.uint64(eager), np.uint64(OWN))
        if end > to:
            return end
    for agent in range(count):
        if alike and agent > 1 and y.keys[agent] == y.keys[agent - 1] and y.keys[agent] & np.uint64(NAMED) == _ZERO:
            continue  # what it does its neighbour does
        to = _gather_of(t, states, at, batch, rows, to, np.uint64(agent), np.uint64(END))
    return to


@compiled
def _flush(room: Room, pending: Word) -> None:
    table, batch, counters = room.table, room.batch, room.counters
    for number in range(pending):
        at = np.uint64(number)
        slot = place(table, batch, at, room.rows[at, 3])
        if table[slot, 0] == _ZERO:
            to = counters[NEXT]
            for k in range(WORDS):
                table[slot, k] = batch[at, k]
                room.following[to, k] = batch[at, k]
            counters[NEXT] += _ONE
            counters[USED] += _ONE


@compiled
def _full(room: Room, ahead: Word, limit: Word) -> bool:
    counters = room.counters
    return np.int64(counters[USED]) + ahead > limit or np.int64(counters[NEXT]) + ahead > room.following.shape[0]


@compiled
def expand(
    t: Tables, y: Symmetry, room: Room, states: U64, start: Word, end: Word, limit: Word, most: Word, reducing: bool
) -> Word:
    """Expand the states of a level from ``start``; return the number of the first that was not.

    It comes back before ``end`` when the table holds ``limit`` states or the next level may be full (``most`` is the
    number of successors that a state may have), or when a step is wrong whose kind is among those to stop at.
    """
    size = np.uint64(room.table.shape[0])
    alike = y.kinds.shape[0] > 0
    pending: Any = np.int64(0)
    number, stop = start, False
    while number < end and not stop and not _full(room, pending + most, limit):
        at = np.uint64(number)
        if reached(t, states, at):
            room.counters[GOALS] += _ONE
        before = pending
        pending = gather(t, y, states, at, room.batch, room.rows, pending, reducing)
        for one in range(before, pending):
            row = room.rows[one]
            step = t.steps[row[2]]
            if step[2 * WORDS + STEP_FLAGS] != _ZERO or step[2 * WORDS + STEP_LAST] != _ZERO:
                stop = _judge(t, room, states, at, row[0], row[1], row[2]) or stop
            if alike:
                canonical(t, y, room.batch, np.uint64(one), room.found)
            slot = hashed(room.batch, np.uint64(one), size)
            row[3] = slot
            prefetch(room.table, slot)
        room.counters[TRANSITIONS] += np.uint64(pending - before)
        number += 1
        if pending >= BATCH or number == end or stop or _full(room, pending + most, limit):
            _flush(room, pending)
            pending = np.int64(0)
    return number


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
def insert(table: U64, states: U64, at: Word) -> bool:
    """Put one state into a table; say whether it was not there."""
    slot = place(table, states, at, hashed(states, at, np.uint64(table.shape[0])))
    new = table[slot, 0] == _ZERO
    for k in range(WORDS):
        table[slot, k] = states[at, k]
    return new


@compiled
def origin(t: Tables, y: Symmetry, room: Room, states: U64, goal: U64, reducing: bool) -> Word:
    """Return the number of the first state with a step to ``goal``, or of states when there is none."""
    for number in range(states.shape[0]):
        for one in range(gather(t, y, states, np.uint64(number), room.batch, room.rows, np.int64(0), reducing)):
            if y.kinds.shape[0] > 0:
                canonical(t, y, room.batch, np.uint64(one), room.found)
            same = True
            for k in range(WORDS):
                same = same and room.batch[one, k] == goal[0, k]
            if same:
                return number
    return states.shape[0]


@compiled
def _comes(t: Tables, y: Symmetry, room: Room, marks: U8, states: U64, at: Word, reducing: bool) -> bool:
    if reached(t, states, at):
        return True
    size = np.uint64(room.table.shape[0])
    for number in range(gather(t, y, states, at, room.batch, room.rows, np.int64(0), reducing)):
        one = np.uint64(number)
        if y.kinds.shape[0] > 0:
            canonical(t, y, room.batch, one, room.found)
        if marks[place(room.table, room.batch, one, hashed(room.batch, one, size))] != 0:
            return True
    return False


@compiled
def mark(t: Tables, y: Symmetry, room: Room, marks: U8, states: U64, reducing: bool) -> Word:
    """Mark those states of a level from which the goal or a marked state is reached; return how many are new."""
    size = np.uint64(room.table.shape[0])
    new = 0
    for number in range(states.shape[0] - 1, -1, -1):
        at = np.uint64(number)
        slot = place(room.table, states, at, hashed(states, at, size))
        if marks[slot] == 0 and _comes(t, y, room, marks, states, at, reducing):
            marks[slot] = 1
            new += 1
    return new


@compiled
def unmarked(table: U64, marks: U8, states: U64) -> Word:
    """Return the number of the first state of a level that is not marked, or of states when all are."""
    size = np.uint64(table.shape[0])
    for number in range(states.shape[0]):
        at = np.uint64(number)
        if marks[place(table, states, at, hashed(states, at, size))] == 0:
            return number
    return states.shape[0]
