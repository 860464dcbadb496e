"""The explorer's machine code: states of ``WORDS`` words in an open hash table, a level of the search at a time.

``specialise`` writes this file out with the number of words that a platform's states take, so that the loops over them
are unrolled. All else is in the tables that ``packing`` makes. Everything is unsigned, because signed and unsigned
operands together make numba compute in floating point; the highest bit of a state's first word is always set, so that
an empty slot is 0.

A **place** is where a number stands in a state, and what is added to it, in one word: shift and number of bits from
bit 0 and ``BITS`` on, word from ``PLACE_WORD`` on, and what is added from ``PLACE_BASE`` on. ``agents`` are the
places of the local states, which make rows of ``locals``: first act, first act that is no step of the program, end of
the acts, and flags. Where there is no act, or one that reads no more than one cell, ``ones`` has the place that makes
a row of ``steps``, and else ``SEVERAL``. A row of ``acts`` is guard mask and value (``WORDS`` each), the place of the
first cell read, first and last of the other cells; these are a factor and a place each. A step is what is kept and
what is set (``WORDS`` each), and what it tells: flags, and from ``CHECK_SHIFT`` and ``COUNT_SHIFT`` on the first
condition of the monitors and how many there are. A row of ``checks`` is kind, two pairs of mask and value with
whether they shall be equal, and an agent with the flags that its local state shall have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mpwake.model.explore.atomics import exchange, load, store
from mpwake.model.explore.prefetch import prefetch
from mpwake.model.jit import compiled

WORDS = 2
BATCH = 128
RECENT = 15
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]
Word = Any  # an integer, of NumPy as plain Python runs this, of the machine when compiled

# Where the parts of a place stand.
BITS, PLACE_WORD, PLACE_BASE = 6, 16, 24
SEVERAL = 1 << 63
# Columns of Tables.locals, and the flags of a local state.
ACTS, OWN, END, FLAGS = range(4)
EAGER, ENDED, AT_NEXT, LANDED, UNANSWERED = 1, 2, 4, 8, 16
# Columns of a row of acts, behind the words; the length of a row of steps.
ACT_PLACE, ACT_MORE, ACT_LAST = range(3)
STEP = 2 * WORDS + 2
# What a step tells: somebody lands well; the kind of what is wrong in it, whatever the state; conditions.
LANDS, WRONG_SHIFT, CHECK_SHIFT, COUNT_SHIFT = 1, 8, 16, 48
# The kind of a step that leads out of the tables.
OUTSIDE = 15
# In the key of a processor: another one names it.
NAMED = 1 << 8
# Counters.
USED, NEXT, TRANSITIONS, LANDINGS, GOALS, FOUND, STOP = range(7)

_ONE = np.uint64(1)
_BUSY = np.uint64(1)
_ZERO = np.uint64(0)
_HALF = np.uint64(32)
_OLDER = np.uint64(32 - RECENT)
_WIDE, _LOCAL = np.uint64(WORDS), np.uint64(4)
_K1 = np.uint64(0x9E3779B97F4A7C15)
_K2 = np.uint64(0xD6E8FEB86659FD93)


class Tables(NamedTuple):
    """What agents can do, as ``packing`` found it; the module's text says what a row of each is."""

    agents: U64
    locals: U64
    ones: U64
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
    """What a search works in: ``found`` holds for each kind of wrong the state and the step of the first.

    ``rows`` are the steps that lead to the states of ``batch``, ``slots`` where to look for these in ``table``. In
    ``recent`` are states that were looked up lately, as many as a processor's cache holds: half of all are among them.
    """

    table: U64
    following: U64
    batch: U64
    rows: U64
    slots: U64
    recent: U64
    counters: U64
    found: U64


@compiled
def word_at(row: Word, word: Word) -> Word:
    """Return where a word of a state stands, in an array of states."""
    return np.uint64(row) * _WIDE + np.uint64(word)


@compiled
def rows_of(states: U64) -> Word:
    """Return how many states an array has room for."""
    return np.uint64(states.shape[0]) // _WIDE


@compiled
def _mixed(states: U64, at: Word) -> Word:
    # 32 bits of a state's.
    word: Any = _ZERO
    for k in range(WORDS):
        word = (word ^ states[word_at(at, k)]) * _K1
        word ^= word >> _HALF
    return (word * _K2) >> _HALF


@compiled
def hashed(states: U64, at: Word, size: Word) -> Word:
    """Return the first slot of a state in a table of that size."""
    return (_mixed(states, at) * size) >> _HALF


@compiled
def place(table: U64, states: U64, at: Word, slot: Word) -> Word:
    """Return the slot of a state, or the free one where it belongs."""
    size = rows_of(table)
    while table[word_at(slot, 0)] != _ZERO:
        same = True
        for k in range(WORDS):
            same = same and table[word_at(slot, k)] == states[word_at(at, k)]
        if same:
            return slot
        slot += _ONE
        if slot == size:
            slot = _ZERO
    return slot


@compiled
def _field(states: U64, at: Word, word: Word, shift: Word, mask: Word) -> Word:
    return (states[word_at(at, word)] >> shift) & mask


@compiled
def _read(place: Word, states: U64, at: Word) -> Word:
    number = _ZERO if WORDS == 1 else (place >> np.uint64(PLACE_WORD)) & np.uint64(255)
    word = states[word_at(at, number)]
    bits = (place >> np.uint64(BITS)) & np.uint64(63)
    value = (word >> (place & np.uint64(63))) & ((_ONE << bits) - _ONE)
    return ((place & np.uint64(SEVERAL - 1)) >> np.uint64(PLACE_BASE)) + value


@compiled
def local_of(t: Tables, states: U64, at: Word, agent: Word) -> Word:
    """Return the row of ``locals`` for an agent in a state."""
    return _read(t.agents[agent], states, at)


@compiled
def _flags(t: Tables, local: Word) -> Word:
    return t.locals[local * _LOCAL + np.uint64(FLAGS)]


@compiled
def _may(act: U64, states: U64, at: Word) -> bool:
    may = True
    for k in range(WORDS):
        may = may and states[word_at(at, k)] & act[k] == act[WORDS + k]
    return may


@compiled
def step_of(t: Tables, act: U64, states: U64, at: Word) -> Word:
    """Return the row of ``steps`` for an action in a state: what the cells hold decides."""
    row = _read(act[2 * WORDS + ACT_PLACE], states, at)
    for more in range(act[2 * WORDS + ACT_MORE], act[2 * WORDS + ACT_LAST]):
        row += t.cells[more, 0] * _read(t.cells[more, 1], states, at)
    return row


@compiled
def _matches(check: U64, first: Word, states: U64, at: Word) -> bool:
    for k in range(WORDS):
        if states[word_at(at, k)] & check[first + 1 + k] != check[first + 1 + WORDS + k]:
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
    return _flags(t, local) & flags == flags


@compiled
def _wrong(room: Room, states: U64, at: Word, row: Word, kind: Word) -> bool:
    # Notes what is wrong, the first of its kind; says whether the search shall stop.
    found = room.found[kind]
    if found[0] == _ZERO:
        for k in range(WORDS):
            found[k] = states[word_at(at, k)]
        found[WORDS] = row
        room.counters[FOUND] |= _ONE << kind
    return room.counters[STOP] & (_ONE << kind) != _ZERO


@compiled
def _judge(t: Tables, room: Room, states: U64, at: Word, row: Word) -> bool:
    told = t.steps[row * np.uint64(STEP) + np.uint64(2 * WORDS)]
    stop = False
    kind = (told >> np.uint64(WRONG_SHIFT)) & np.uint64(255)
    if kind != _ZERO:
        stop = _wrong(room, states, at, row, kind)
    first = (told >> np.uint64(CHECK_SHIFT)) & np.uint64(0xFFFFFFFF)
    for one in range(first, first + (told >> np.uint64(COUNT_SHIFT))):
        check = t.checks[one]
        if _violates(t, check, states, at):
            stop = _wrong(room, states, at, row, check[0]) or stop
    return stop


@compiled
def reached(t: Tables, states: U64, at: Word) -> bool:
    """Say whether the sender is at its end and everybody has landed who was asked to."""
    flags = _flags(t, local_of(t, states, at, _ZERO))
    if flags & np.uint64(ENDED | AT_NEXT) == _ZERO:
        return False
    agents = t.asked.shape[0]
    left = False
    for agent in range(agents):
        asked = t.asked[agent]
        for k in range(WORDS):
            if asked[k] != _ZERO and states[word_at(at, k)] & asked[k] != _ZERO:
                left = True
    if left and flags & np.uint64(ENDED) == _ZERO:
        return False
    for agent in range(1, agents):
        waits = False
        for k in range(WORDS):
            waits = waits or (t.asked[agent, k] != _ZERO and states[word_at(at, k)] & t.asked[agent, k] == _ZERO)
        if waits and _flags(t, local_of(t, states, at, np.uint64(agent))) & np.uint64(LANDED) == _ZERO:
            return False
    return True


@compiled
def _eager_agent(t: Tables, states: U64, at: Word) -> Word:
    # The first agent whose next step is nobody else's matter, or the number of agents.
    for agent in range(t.agents.shape[0]):
        local = local_of(t, states, at, np.uint64(agent))
        if _flags(t, local) & np.uint64(EAGER):
            return np.uint64(agent)
    return np.uint64(t.agents.shape[0])


@compiled
def _keys(t: Tables, y: Symmetry, states: U64, at: Word) -> None:
    # What is known of each processor whoever it is: the kind of its local state, its bits, and who names it.
    count = t.agents.shape[0]
    for agent in range(count):
        y.keys[agent] = _ZERO
    for agent in range(count):
        local = local_of(t, states, at, np.uint64(agent))
        key = y.kinds[local, 0] << np.uint64(24)
        if agent > 0:
            for bit in range(y.bits.shape[0]):
                key |= ((states[word_at(at, y.bits[bit, agent, 0])] >> y.bits[bit, agent, 1]) & _ONE) << np.uint64(bit)
        y.keys[agent] |= key
        for one in range(1, 3):
            if y.kinds[local, one] != _ZERO:
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
def _put(scratch: U64, word: Word, shift: Word, value: Word) -> None:
    scratch[0, word] |= value << shift


@compiled
def canonical(t: Tables, y: Symmetry, states: U64, at: Word, scratch: U64) -> None:
    """Put another state in the place of one, in which processors that are alike have changed places."""
    count = t.agents.shape[0]
    _keys(t, y, states, at)
    if _sorted(y, count):
        return
    for k in range(WORDS):
        scratch[0, k] = states[word_at(at, k)] & y.rest[k]
    wide = np.uint64(count)
    for agent in range(count):
        local = local_of(t, states, at, np.uint64(agent))
        kind = y.kinds[local]
        to = t.agents[y.order[agent]]
        row = y.starts[y.order[agent], kind[0]] + y.order[kind[1]] + wide * y.order[kind[2]]
        word = (to >> np.uint64(PLACE_WORD)) & np.uint64(255)
        _put(scratch, word, to & np.uint64(63), y.renamed[row])
    for bit in range(y.bits.shape[0]):
        for agent in range(1, count):
            value = (states[word_at(at, y.bits[bit, agent, 0])] >> y.bits[bit, agent, 1]) & _ONE
            to = y.bits[bit, y.order[agent]]
            _put(scratch, to[0], to[1], value)
    for number in range(y.cells.shape[0]):
        cell = y.cells[number]
        value = y.values[cell[3] + _field(states, at, cell[0], cell[1], cell[2])]
        row = cell[4] + value[0] * wide + y.order[value[1]]
        _put(scratch, cell[0], cell[1], y.renamed[row])
    for k in range(WORDS):
        states[word_at(at, k)] = scratch[0, k]


@compiled
def _put_successor(t: Tables, batch: U64, rows: U64, to: Word, states: U64, at: Word, row: Word) -> Word:
    # Returns the row after it, or the same one where nothing has changed.
    step = row * np.uint64(STEP)
    other = t.steps[step + np.uint64(2 * WORDS)]
    for k in range(WORDS):
        word = (states[word_at(at, k)] & t.steps[step + np.uint64(k)]) | t.steps[step + np.uint64(WORDS + k)]
        batch[word_at(to, k)] = word
        other |= word ^ states[word_at(at, k)]
    rows[to] = row
    return to + np.uint64(other != _ZERO)


@compiled
def _gather_of(t: Tables, states: U64, at: Word, batch: U64, rows: U64, to: Word, local: Word, last: Word) -> Word:
    for act in range(t.locals[local * _LOCAL + np.uint64(ACTS)], t.locals[local * _LOCAL + last]):
        if _may(t.acts[act], states, at):
            to = _put_successor(t, batch, rows, to, states, at, step_of(t, t.acts[act], states, at))
    return to


@compiled
def gather(t: Tables, y: Symmetry, states: U64, at: Word, batch: U64, rows: U64, to: Word, reducing: bool) -> Word:
    """Write the successors of a state from row ``to`` on, and the steps to them; return the row after them."""
    alike = y.kinds.shape[0] > 0
    if alike:
        _keys(t, y, states, at)
    count = np.uint64(t.agents.shape[0])
    eager = _eager_agent(t, states, at) if reducing else count
    if eager < count:
        local = local_of(t, states, at, eager)
        end = _gather_of(t, states, at, batch, rows, to, local, np.uint64(OWN))
        if end > to:
            return end
    for number in range(t.agents.shape[0]):
        agent = np.uint64(number)
        if alike and number > 1 and y.keys[number] == y.keys[number - 1] and y.keys[number] & np.uint64(NAMED) == _ZERO:
            continue  # what it does its neighbour does
        local = local_of(t, states, at, agent)
        one = t.ones[local]
        if one & np.uint64(SEVERAL):
            to = _gather_of(t, states, at, batch, rows, to, local, np.uint64(END))
        else:
            to = _put_successor(t, batch, rows, to, states, at, _read(one, states, at))
    return to


@compiled
def _same(table: U64, slot: Word, states: U64, at: Word) -> bool:
    same = True
    for k in range(WORDS):
        same = same and table[word_at(slot, k)] == states[word_at(at, k)]
    return same


@compiled
def _claimed(table: U64, states: U64, at: Word, slot: Word) -> bool:
    # Puts a state into a table that others write too; says whether it was not there. A slot is busy while the words of
    # a state are written into it, the first one last.
    size = rows_of(table)
    while True:
        word = load(table, word_at(slot, 0))
        if word == _ZERO:
            word = exchange(table, word_at(slot, 0), _ZERO, states[word_at(at, 0)] if WORDS == 1 else _BUSY)
            if word == _ZERO:
                for k in range(1, WORDS):
                    table[word_at(slot, k)] = states[word_at(at, k)]
                if WORDS > 1:
                    store(table, word_at(slot, 0), states[word_at(at, 0)])
                return True
        while word == _BUSY:
            word = load(table, word_at(slot, 0))
        if _same(table, slot, states, at):
            return False
        slot += _ONE
        if slot == size:
            slot = _ZERO


@compiled
def _flush_shared(room: Room, pending: Word) -> None:
    counters = room.counters
    new = counters[NEXT]
    for number in range(pending):
        at = np.uint64(number)
        if _claimed(room.table, room.batch, at, room.slots[at]):
            for k in range(WORDS):
                room.following[word_at(new, k)] = room.batch[word_at(at, k)]
            new += _ONE
    counters[USED] += new - counters[NEXT]
    counters[NEXT] = new


@compiled
def _flush(room: Room, pending: Word) -> None:
    table, batch, counters = room.table, room.batch, room.counters
    size, new = rows_of(table), counters[NEXT]
    for number in range(pending):
        at = np.uint64(number)
        slot = room.slots[at]
        while not _same(table, slot, batch, at):
            if table[word_at(slot, 0)] == _ZERO:
                for k in range(WORDS):
                    table[word_at(slot, k)] = batch[word_at(at, k)]
                    room.following[word_at(new, k)] = batch[word_at(at, k)]
                new += _ONE
                break
            slot += _ONE
            if slot == size:
                slot = _ZERO
    counters[USED] += new - counters[NEXT]
    counters[NEXT] = new


@compiled
def _full(room: Room, ahead: Word, limit: Word) -> bool:
    used, following = np.int64(room.counters[USED]), np.int64(room.counters[NEXT])
    return used + ahead > limit or following + ahead > np.int64(rows_of(room.following))


@compiled
def _looked_up(room: Room, kept: Word, one: Word, size: Word) -> Word:
    # Has a state of the batch looked up, as number ``kept``, but where it was lately. Returns the number for the next.
    mixed = _mixed(room.batch, one)
    place = mixed >> _OLDER
    if _same(room.recent, place, room.batch, one):
        return kept
    slot = (mixed * size) >> _HALF
    prefetch(room.table, word_at(slot, 0))
    room.slots[kept] = slot
    for k in range(WORDS):
        room.batch[word_at(kept, k)] = room.recent[word_at(place, k)] = room.batch[word_at(one, k)]
    return kept + _ONE


@compiled
def expand(
    t: Tables,
    y: Symmetry,
    room: Room,
    states: U64,
    start: Word,
    end: Word,
    limit: Word,
    most: Word,
    reducing: bool,
    shared: bool,
) -> Word:
    """Expand the states of a level from ``start``; return the number of the first that was not.

    It comes back before ``end`` when the table holds ``limit`` states or the next level may be full (``most`` is the
    number of successors that a state may have), or when a step is wrong whose kind is among those to stop at. The table
    may be ``shared`` with others that expand states of this level; all else is one's own.
    """
    size = rows_of(room.table)
    alike = y.kinds.shape[0] > 0
    pending: Any = _ZERO
    number, stop = start, False
    while number < end and not stop and not _full(room, np.int64(pending) + most, limit):
        at = np.uint64(number)
        if reached(t, states, at):
            room.counters[GOALS] += _ONE
        before, landings = pending, _ZERO
        after = gather(t, y, states, at, room.batch, room.rows, pending, reducing)
        for each in range(before, after):
            one = np.uint64(each)
            told = t.steps[room.rows[one] * np.uint64(STEP) + np.uint64(2 * WORDS)]
            landings += told & np.uint64(LANDS)
            if told > np.uint64(LANDS):
                stop = _judge(t, room, states, at, room.rows[one]) or stop
            if alike:
                canonical(t, y, room.batch, one, room.found)
            pending = _looked_up(room, pending, one, size)
        room.counters[TRANSITIONS] += after - before
        room.counters[LANDINGS] += landings
        number += 1
        if pending >= np.uint64(BATCH) or number == end or stop or _full(room, np.int64(pending) + most, limit):
            if shared:
                _flush_shared(room, pending)
            else:
                _flush(room, pending)
            pending = _ZERO
    return number


@compiled
def rehash(table: U64, into: U64, start: Word, end: Word, shared: bool) -> None:
    """Put some states of a table into another one, which has room; others may put theirs there too if it is shared."""
    size = rows_of(into)
    for number in range(start, end):
        at = np.uint64(number)
        if table[word_at(at, 0)] == _ZERO:
            continue
        if shared:
            _claimed(into, table, at, hashed(table, at, size))
            continue
        slot = place(into, table, at, hashed(table, at, size))
        for k in range(WORDS):
            into[word_at(slot, k)] = table[word_at(at, k)]


@compiled
def insert(table: U64, states: U64, at: Word) -> bool:
    """Put one state into a table; say whether it was not there."""
    slot = place(table, states, at, hashed(states, at, rows_of(table)))
    new = table[word_at(slot, 0)] == _ZERO
    for k in range(WORDS):
        table[word_at(slot, k)] = states[word_at(at, k)]
    return new


@compiled
def origin(t: Tables, y: Symmetry, room: Room, states: U64, goal: U64, reducing: bool) -> Word:
    """Return the number of the first state with a step to ``goal``, or of states when there is none."""
    for number in range(np.int64(rows_of(states))):
        for one in range(gather(t, y, states, np.uint64(number), room.batch, room.rows, _ZERO, reducing)):
            if y.kinds.shape[0] > 0:
                canonical(t, y, room.batch, np.uint64(one), room.found)
            same = True
            for k in range(WORDS):
                same = same and room.batch[word_at(one, k)] == goal[word_at(0, k)]
            if same:
                return number
    return np.int64(rows_of(states))


@compiled
def _comes(t: Tables, y: Symmetry, room: Room, marks: U8, states: U64, at: Word, reducing: bool) -> bool:
    if reached(t, states, at):
        return True
    size = rows_of(room.table)
    for number in range(gather(t, y, states, at, room.batch, room.rows, _ZERO, reducing)):
        one = np.uint64(number)
        if y.kinds.shape[0] > 0:
            canonical(t, y, room.batch, one, room.found)
        if marks[place(room.table, room.batch, one, hashed(room.batch, one, size))] != 0:
            return True
    return False


@compiled
def mark(t: Tables, y: Symmetry, room: Room, marks: U8, states: U64, reducing: bool) -> Word:
    """Mark those states of a level from which the goal or a marked state is reached; return how many are new."""
    size = rows_of(room.table)
    new = 0
    for number in range(np.int64(rows_of(states)) - 1, -1, -1):
        at = np.uint64(number)
        slot = place(room.table, states, at, hashed(states, at, size))
        if marks[slot] == 0 and _comes(t, y, room, marks, states, at, reducing):
            marks[slot] = 1
            new += 1
    return new


@compiled
def unmarked(table: U64, marks: U8, states: U64) -> Word:
    """Return the number of the first state of a level that is not marked, or of states when all are."""
    size = rows_of(table)
    for number in range(np.int64(rows_of(states))):
        at = np.uint64(number)
        if marks[place(table, states, at, hashed(states, at, size))] == 0:
            return number
    return np.int64(rows_of(states))
