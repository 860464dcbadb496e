"""The simulator: one schedule, from a seed, of a whole platform.

Two engines drive the same step function. ``run_ticks`` picks an agent at random in every tick, so that any interleaving
may occur; its cost grows with ticks. ``run_events`` keeps agents that only poll out of the way: a parked AP whose loop
would come back to where it is without a store is not stepped until memory changes in a way that it reacts to, and a
sender's polls are counted rather than made. Its cost follows wakeups, not ticks times APs. There each agent steps at
its own pace, drawn from the seed, and an iteration of a parked AP's loop counts as one moment.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np

from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.model.agent import EMITS, PAGE
from mpwake.model.core import (
    BASE,
    BUFFERED,
    EFFECTS,
    I64,
    ID,
    LOAD,
    MEMORY,
    NONE,
    PC,
    POSITION,
    RESET,
    RUNNING,
    SC,
    STATUS,
    STORE,
    VISIBLE,
    WAIT,
    R,
    State,
    add,
    drainable,
    state_of,
    step,
    visible,
)
from mpwake.model.jit import compiled
from mpwake.model.program import ALWAYS, REGISTER, REGISTERS, Op, Program, signed
from mpwake.model.program import INDEX as INDEX_REGISTER
from mpwake.model.program import SELF as SELF_REGISTER

# Columns of a recorded event, of a schedule, and of an agent's clock.
TIME, AGENT_, KIND_, OFFSET_, WIDTH_, VALUE_, NUMBER_, COUNT_, UNTIL_ = range(9)
PERIOD, PHASE, DRAIN = range(3)
NEXT, DRAIN_AT, PARKED, CLASS, LAST = range(5)
FINISHED, STUCK, SPENT = range(3)
QUIET, ACTS, UNKNOWN = range(3)
PLAIN, SELF, INDEX = range(3)
_LOAD, _BRANCH, _SET, _ADD, _POLL, _DELAY = 1, 3, 4, 5, 6, 16
_LONGEST_LOOP = 64
_QUESTIONS = 4
_NEVER = 1 << 62
MEMORY_RELAXED = 2


class Agenda(NamedTuple):
    """What the event-driven engine keeps beside the machine.

    ``schedule`` int64[A, 3] of period, phase and drain delay of each agent; ``clock`` int64[A, 5]; ``classes``
    int64[C, 2] of the park row and the base of each loop in which APs park; ``ids`` the APs' IDs in ascending order,
    and ``order`` their numbers in that order; ``active`` int64[A + 1], where the numbers of those stand that may act.
    The others are room for ``_iteration``: they are made outside, because compiled code makes no arrays.
    """

    schedule: I64
    clock: I64
    classes: I64
    ids: I64
    order: I64
    active: I64
    regs: I64
    sort: I64
    asked: I64
    unasked: I64


@compiled
def _record(s: State, clock: I64, trace: I64, used: I64, time: int, agent: int) -> bool:
    # Appends the last effect; a load equal to the agent's last event is counted there. False when it took the last row.
    kind = s.told[0]
    if kind in (NONE, STORE):
        return True
    last = clock[np.uint64(agent), LAST]
    if last >= 0 and kind == LOAD:
        row = trace[np.uint64(last)]
        same = row[KIND_] == LOAD and row[OFFSET_] == s.told[1] and row[WIDTH_] == s.told[2]
        if same and row[VALUE_] == s.told[3]:
            row[COUNT_] += 1
            row[UNTIL_] = time
            return True
    row = trace[np.uint64(used[0])]
    row[TIME] = time
    row[AGENT_] = agent
    for column in range(5):
        row[KIND_ + column] = s.told[column]
    row[COUNT_] = 1
    row[UNTIL_] = time
    clock[np.uint64(agent), LAST] = used[0]
    used[0] += 1
    return used[0] < trace.shape[0]


@compiled
def _compare(condition: int, left: int, right: int) -> bool:
    if condition < 2:
        return (left == right) == (condition == 0)
    below = (left ^ -0x8000000000000000) < (right ^ -0x8000000000000000)
    return below == (condition == 2)


@compiled
def _iteration(s: State, start: int, base: int, regs: I64, sort: I64, asked: I64) -> int:
    """Follow a loop from ``start`` until it comes back, without touching the machine.

    Registers stand in ``regs``, and what is known of each in ``sort``: a number (PLAIN), the agent's own APIC ID (SELF)
    or number (INDEX). The loop is ``parkable``: it reads no other register that it has not written. Where it compares
    SELF or INDEX with a number, the answer "different" is assumed and the number noted in ``asked``: asked[0] of them,
    pairs of sort and value from asked[1].
    Returns QUIET when the loop comes back without an effect, ACTS when it would have one, UNKNOWN when that depends on
    what is not known.
    """
    at = start
    asked[0] = 0
    for number in range(_LONGEST_LOOP):
        if number > 0 and at == start:
            return QUIET
        row = s.code[np.uint64(at)]
        op = row[0]
        at += 1
        if op == _LOAD:
            regs[row[1]] = visible(s, row[2], row[3])
            sort[row[1]] = PLAIN
        elif op == _SET:
            regs[row[1]] = regs[row[3]] if row[2] == 1 else row[3]
            sort[row[1]] = sort[row[3]] if row[2] == 1 else PLAIN
        elif op == _POLL:
            if row[7] >= 0 or (row[4] == 1 and sort[row[5]] != PLAIN):
                return UNKNOWN
            right = regs[row[5]] if row[4] == 1 else row[5]
            if not _compare(row[3], visible(s, row[1], row[2]), right):
                return QUIET if at - 1 == start else UNKNOWN
            at = base + row[6]
        elif op == _BRANCH:
            if row[1] == 4:
                at = base + row[6]
                continue
            left_sort = sort[row[3]] if row[2] == 1 else PLAIN
            right_sort = sort[row[5]] if row[4] == 1 else PLAIN
            left = regs[row[3]] if row[2] == 1 else row[3]
            right = regs[row[5]] if row[4] == 1 else row[5]
            if left_sort == PLAIN and right_sort == PLAIN:
                taken = _compare(row[1], left, right)
            elif (
                row[1] < 2
                and asked[0] < _QUESTIONS
                and (left_sort == PLAIN or right_sort == PLAIN)
                and left_sort + right_sort in (SELF, INDEX)
            ):
                asked[1 + 2 * asked[0]] = left_sort + right_sort
                asked[2 + 2 * asked[0]] = right if right_sort == PLAIN else left
                asked[0] += 1
                taken = row[1] == 1
            else:
                return UNKNOWN
            if taken:
                at = base + row[6]
        elif op != _DELAY:
            return UNKNOWN if op == _ADD else ACTS
    return UNKNOWN


@compiled
def _quiet(s: State, e: Agenda, agent: int, start: int, asked: I64) -> bool:
    # Whether this very agent would come back to ``start`` without an effect.
    a = s.agents[np.uint64(agent)]
    e.regs[SELF_REGISTER], e.regs[INDEX_REGISTER] = a[ID], agent
    e.sort[SELF_REGISTER], e.sort[INDEX_REGISTER] = PLAIN, PLAIN
    return _iteration(s, start, a[BASE], e.regs, e.sort, asked) == QUIET


@compiled
def _activate(e: Agenda, count: int, agent: int, time: int) -> int:
    clock = e.clock[np.uint64(agent)]
    if clock[PARKED] == 0:
        return count
    period, phase = e.schedule[np.uint64(agent), PERIOD], e.schedule[np.uint64(agent), PHASE]
    clock[PARKED] = 0
    clock[NEXT] = phase + max(0, (time - phase) // period + 1) * period
    e.active[count] = agent
    return count + 1


@compiled
def _activate_if(s: State, e: Agenda, count: int, agent: int, kind: int, time: int) -> int:
    if e.clock[agent, CLASS] != kind or e.clock[agent, PARKED] == 0 or s.agents[agent, STATUS] != RUNNING:
        return count
    return count if _quiet(s, e, agent, e.classes[kind, 0], e.unasked) else _activate(e, count, agent, time)


@compiled
def _first(ids: I64, value: int) -> int:
    low, high = 0, ids.shape[0]
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _react(s: State, e: Agenda, count: int, time: int) -> int:
    # Memory has changed: wake the parked APs whose next iteration would do something. Returns how many are active.
    for kind in range(e.classes.shape[0]):
        e.sort[SELF_REGISTER], e.sort[INDEX_REGISTER] = SELF, INDEX
        answer = _iteration(s, e.classes[kind, 0], e.classes[kind, 1], e.regs, e.sort, e.asked)
        if answer != QUIET:
            for agent in range(1, s.agents.shape[0]):
                count = _activate_if(s, e, count, agent, kind, time)
            continue
        for question in range(e.asked[0]):
            wanted, value = e.asked[1 + 2 * question], e.asked[2 + 2 * question]
            if wanted == INDEX:
                if 0 < value < s.agents.shape[0]:
                    count = _activate_if(s, e, count, value, kind, time)
                continue
            place = _first(e.ids, value)
            while place < e.ids.shape[0] and e.ids[place] == value:
                count = _activate_if(s, e, count, e.order[place], kind, time)
                place += 1
    return count


@compiled
def _due(s: State, e: Agenda, agent: int) -> int:
    # When this agent does its next thing: a step, or a buffered store that becomes visible.
    a, clock = s.agents[np.uint64(agent)], e.clock[np.uint64(agent)]
    soon = clock[NEXT] if a[STATUS] == RUNNING else _NEVER
    return min(soon, clock[DRAIN_AT]) if a[BUFFERED] > 0 else soon


@compiled
def _skip_polls(s: State, e: Agenda, trace: I64, used: I64, until: int) -> bool:
    # The sender's poll has just failed. Count the polls that fail until something else happens; False if it never will.
    sender, clock, period = s.agents[0], e.clock[0], e.schedule[0, PERIOD]
    row = s.code[sender[PC]]
    if row[0] != _POLL:
        return True
    right = sender[R + row[5]] if row[4] == 1 else row[5]
    if until <= clock[NEXT] or _compare(row[3], s.told[3], right):
        return True
    polls = (until - clock[NEXT] + period - 1) // period
    tries = sender[R + row[7]] if row[7] >= 0 else -1  # what is below 0 counts longer than all time lasts
    left = tries - 1 if tries > 0 else -1
    if 0 <= left < polls:
        polls = left
    elif until == _NEVER:
        return False
    if row[7] >= 0:
        sender[R + row[7]] = add(tries, -polls)
    if polls > 0:
        clock[NEXT] += polls * period
        used[2] = clock[NEXT] - period
        trace[clock[LAST], COUNT_] += polls
        trace[clock[LAST], UNTIL_] = used[2]
    return True


@compiled
def _next_random(random: I64) -> int:
    # xorshift64 on a signed word: shifts and xors alone, so that plain Python computes the same.
    word = random[0]
    word ^= word << 13
    word ^= (word >> 7) & 0x01FFFFFFFFFFFFFF
    word ^= word << 17
    random[0] = word
    return (word >> 11) & 0x001FFFFFFFFFFFFF


@compiled
def _slot(a: I64, memory: int, random: I64) -> int:
    # Which buffered store becomes visible: the first, or in the relaxed model any that may.
    if memory != MEMORY_RELAXED:
        return 0
    start = _next_random(random) % a[BUFFERED]
    for number in range(a[BUFFERED]):
        slot = (start + number) % a[BUFFERED]
        if drainable(a, slot, memory):
            return slot
    return 0


@compiled
def _soonest(s: State, e: Agenda, count: int) -> tuple[int, int, int]:
    # The place in ``active`` of who is due first, when that is, and when the next one after it is.
    best, soon, second = -1, _NEVER, _NEVER
    for place in range(count):
        due = _due(s, e, e.active[place])
        if due < soon:
            best, soon, second = place, due, soon
        elif due < second:
            second = due
    return best, soon, second


@compiled
def _advance(s: State, memory: int, e: Agenda, random: I64, agent: int, now: int) -> bool:
    # One step of an agent that is due, or one of its stores becomes visible: whether it was the latter.
    a, clock, schedule = s.agents[np.uint64(agent)], e.clock[np.uint64(agent)], e.schedule[np.uint64(agent)]
    held = a[BUFFERED]
    drains = held > 0 and clock[DRAIN_AT] == now
    step(s, agent, 1 + _slot(a, memory, random) if drains else 0, memory)
    if drains or (held == 0 and a[BUFFERED] > 0):
        clock[DRAIN_AT] = now + schedule[DRAIN]
    if not drains:
        wait = a[WAIT]
        clock[NEXT] = now + schedule[PERIOD]
        if wait != 0:
            a[WAIT] = 0
            fits = 0 < wait < (_NEVER - now) // schedule[PERIOD] - 1
            clock[NEXT] = now + (1 + wait) * schedule[PERIOD] if fits else _NEVER
    return drains


@compiled
def run_events(s: State, memory: int, e: Agenda, random: I64, trace: I64, used: I64, budget: int) -> int:
    """Run until the sender has ended and nobody acts, nothing can happen any more (STUCK), or the budget is SPENT.

    ``budget`` is a number of steps. used[0] counts the rows of ``trace``, used[1] the steps, used[2] is the time at the
    end. It is SPENT too with the event that takes the last row.
    """
    # Typed at once: numba compiles what is called with it once for every type that it tries on the way.
    count: Any = np.int64(1)
    changed = True
    for agent in range(1, s.agents.shape[0]):
        if e.clock[agent, PARKED] == 0:
            e.active[count] = agent
            count += 1
    while used[1] < budget:
        if changed:
            count = _react(s, e, count, used[2])
        used[1] += 1
        place, soon, second = _soonest(s, e, count)
        if place < 0:
            return FINISHED if s.agents[0, STATUS] != RUNNING else STUCK
        agent = e.active[place]
        used[2] = soon
        before = s.agents[agent, PC]
        drains = _advance(s, memory, e, random, agent, soon)
        changed = s.told[0] == VISIBLE
        if not _record(s, e.clock, trace, used, soon, agent):
            return SPENT
        if s.told[0] == RESET:
            other = s.told[4]
            if e.clock[other, PARKED] == 0:
                e.clock[other, NEXT] = soon + e.schedule[other, PERIOD]
            count = _activate(e, count, other, soon)
        elif agent == 0 and not drains and s.agents[0, PC] == before and s.agents[0, STATUS] == RUNNING:
            if s.agents[0, BUFFERED] > 0:
                second = min(second, e.clock[0, DRAIN_AT])
            if not _skip_polls(s, e, trace, used, second):
                return STUCK
        count = _settle(s, e, count, place)
    return SPENT


@compiled
def _settle(s: State, e: Agenda, count: int, place: int) -> int:
    # Takes an AP off the list of active ones when it is parked and quiet, or gone and its stores are visible.
    agent = e.active[place]
    a, clock = s.agents[np.uint64(agent)], e.clock[np.uint64(agent)]
    if agent == 0 or a[BUFFERED] > 0:
        return count
    if a[STATUS] == RUNNING:
        kind = clock[CLASS]
        if kind < 0 or a[PC] != e.classes[kind, 0] or not _quiet(s, e, agent, a[PC], e.unasked):
            return count
    clock[PARKED] = 1
    e.active[place] = e.active[count - 1]
    return count - 1


@compiled
def run_ticks(s: State, memory: int, random: I64, clock: I64, trace: I64, used: I64, ticks: int) -> int:
    """Run tick by tick, an agent at random in each, until the sender has ended, or the ticks are SPENT.

    ``trace`` may have no rows: then nothing is recorded. The counts in ``used`` are those of ``run_events``, and so is
    the end by the last row.
    """
    agents = s.agents.shape[0]
    recording = trace.shape[0] > 0
    end, tick = SPENT, -1
    for tick in range(ticks):
        word = _next_random(random)
        agent: Any = np.int64(np.uint32(word & 0xFFFFFFFF) % np.uint32(agents))
        action = 0
        buffered = s.agents[np.uint64(agent), BUFFERED]
        if buffered > 0 and word & 0x100000000:
            action = 1 + (word >> 33) % buffered
        done = step(s, agent, action, memory)
        if recording and done and not _record(s, clock, trace, used, tick, agent):
            break
        if agent == 0 and s.agents[0, STATUS] != RUNNING and s.agents[0, BUFFERED] == 0:
            end = FINISHED
            break
    used[1], used[2] = tick + 1, max(tick, 0)
    return end


_KINDS = {
    EFFECTS.index("load"): Kind.LOAD,
    EFFECTS.index("visible"): Kind.STORE,
    EFFECTS.index("landing"): Kind.LANDING,
    EFFECTS.index("return"): Kind.RETURN,
    EFFECTS.index("emit"): Kind.EMIT,
    EFFECTS.index("reset"): Kind.RESET,
    EFFECTS.index("request"): Kind.REQUEST,
}


@attrs.frozen
class Simulation:
    """A platform to be simulated: the sender and its requests, the APs, the memory model, and the seed.

    ``programs`` and ``ids`` go by agent number, the sender's first; ``requests`` are (op, APIC ID, vector); ``page`` is
    the mailbox at hand-off. ``pace`` is the longest period of an agent's steps, in time units. ``budget`` bounds the
    steps. When there are more events than ``rows``, the first one more is the last.
    """

    programs: tuple[Program, ...]
    ids: tuple[int, ...]
    requests: tuple[tuple[int, int, int], ...]
    memory: str = "tso"
    seed: int = 0
    page: bytes = b"\0\0\0\0\xff\xff\xff\xff"
    pace: int = 8
    budget: int = 1_000_000
    rows: int = 1 << 16


def schedule_of(one: Simulation) -> I64:
    """Draw the pace of every agent from the seed: int64[A, 3] of period, phase and drain delay."""
    random = np.random.default_rng(one.seed)
    count = len(one.programs)
    period = random.integers(1, one.pace + 1, count)
    phase = random.integers(0, one.pace + 1, count)
    return np.stack([period, phase, random.integers(1, 2 * one.pace + 1, count)], axis=1).astype(np.int64)


_READS: dict[int, tuple[tuple[int, int], ...]] = {
    Op.STORE: ((3, 4),),
    Op.BRANCH: ((2, 3), (4, 5)),
    Op.SET: ((2, 3),),
    Op.ADD: ((2, 3),),
    Op.POLL: ((4, 5),),
    Op.SWAP: ((4, 5),),
}
_WRITES = {Op.LOAD: (1,), Op.SWAP: (1,), Op.SET: (1,), Op.NEXT: (1, 2, 3)}
_TARGETS = {Op.BRANCH: 6, Op.POLL: 6, Op.NEXT: 4, Op.WOKEN_TEST: 3}


def _reads(row: list[int]) -> set[int]:
    # The registers that an operation reads; all that are not in _READS take one operand in columns 1 and 2, or none.
    op = Op(row[0])
    plain = op in (Op.LOAD, Op.NEXT, Op.HALT, Op.FENCE, Op.DIE)
    operands = () if plain else ((2, 3),) if op is Op.EMIT else _READS.get(op, ((1, 2),))
    found = {row[value] for kind, value in operands if row[kind] == REGISTER}
    if op is Op.ADD:
        found.add(row[1])
    if op is Op.POLL and row[7] >= 0:
        found.add(row[7])
    return found


@functools.lru_cache(256)
def parkable(program: Program) -> bool:
    """Say whether an agent may be left alone while it waits: nothing that its loop reads was written before it.

    Then an iteration depends on memory and on the agent's identity alone, and those that were left out are not missed.
    """
    rows = program.code.tolist()
    written: dict[int, frozenset[int]] = {}
    pending = [(program.park, frozenset({SELF_REGISTER, INDEX_REGISTER}))] if program.park >= 0 else []
    while pending:
        at, known = pending.pop()
        known = known & written.get(at, known)
        if written.get(at) == known:
            continue
        written[at] = known
        row = rows[at]
        if not _reads(row) <= known:
            return False
        after = known | {row[column] for column in _WRITES.get(row[0], ())}
        ends = row[0] in (Op.HALT, Op.DIE, Op.JUMP) or (row[0] == Op.BRANCH and row[1] == ALWAYS)
        following = [] if ends else [at + 1]
        if row[0] in _TARGETS:
            following.append(row[_TARGETS[row[0]]])
        pending += [(one, after) for one in following if one != program.park]
    return program.park >= 0


def _classes(one: Simulation, state: State) -> tuple[I64, I64]:
    # The loops in which APs park, and for each agent the number of its loop, or -1.
    rows: dict[tuple[int, int], int] = {}
    kinds = np.full(len(one.programs), -1, np.int64)
    able = {id(program): parkable(program) for program in one.programs}
    for agent, program in enumerate(one.programs):
        if agent and able[id(program)]:
            base = int(state.agents[agent, BASE])
            kinds[agent] = rows.setdefault((base + program.park, base), len(rows))
    return np.array(list(rows) or np.zeros((0, 2)), np.int64).reshape(-1, 2), kinds


def _agenda(one: Simulation, state: State) -> Agenda:
    # Every AP whose program begins where it parks is parked; everybody else is due at the phase that the seed gave it.
    classes, kinds = _classes(one, state)
    schedule = schedule_of(one)
    clock = np.zeros((len(one.programs), 5), np.int64)
    clock[:, CLASS], clock[:, LAST], clock[:, NEXT] = kinds, -1, schedule[:, PHASE]
    clock[:, PARKED] = (kinds >= 0) & (state.agents[:, PC] == classes[kinds, 0] if len(classes) else False)
    order = 1 + np.argsort(state.agents[1:, ID], kind="stable")
    return Agenda(
        schedule=schedule,
        clock=clock,
        classes=classes,
        ids=state.agents[order, ID],
        order=order,
        active=np.zeros(len(one.programs) + 1, np.int64),
        regs=np.zeros(REGISTERS, np.int64),
        sort=np.zeros(REGISTERS, np.int64),
        asked=np.zeros(1 + 2 * _QUESTIONS, np.int64),
        unasked=np.zeros(1 + 2 * _QUESTIONS, np.int64),
    )


def _random(one: Simulation) -> I64:
    return np.array([signed(one.seed * 2 + 0x9E3779B97F4A7C15)], np.int64)


def simulate(one: Simulation) -> Trace:
    """Run the event-driven simulator and return what was seen."""
    state = state_of(one.programs, one.ids, one.requests, one.page)
    trace, used = np.zeros((one.rows + 1, 9), np.int64), np.zeros(3, np.int64)
    memory = MEMORY.index(one.memory)
    end = run_events(state, memory, _agenda(one, state), _random(one), trace, used, one.budget)
    return _trace(one, state, trace[: used[0]], int(used[2]), int(end))


def simulate_ticks(one: Simulation) -> Trace:
    """Run the tick-by-tick simulator, ``budget`` ticks at most, and return what was seen: nothing without ``rows``."""
    state = state_of(one.programs, one.ids, one.requests, one.page)
    clock = np.full((len(one.programs), 5), -1, np.int64)
    trace, used = np.zeros((one.rows + 1 if one.rows else 0, 9), np.int64), np.zeros(3, np.int64)
    end = run_ticks(state, MEMORY.index(one.memory), _random(one), clock, trace, used, one.budget)
    return _trace(one, state, trace[: used[0]], int(used[2]), int(end))


def _everything(state: State) -> bytes:
    return b"".join(part.tobytes() for part in (state.page, state.agents, state.woken, state.told[POSITION:]))


def _turns(state: State, memory: int) -> Iterator[tuple[int, int]]:
    # Everybody in turn: a step of the program, and of what is buffered the oldest store.
    for agent in range(len(state.agents)):
        yield agent, 0
        if memory != SC:
            yield agent, 1


def simulate_steps(one: Simulation, steps: Iterable[tuple[int, int]]) -> Trace:
    """Take the steps of a schedule, each the action of an agent, and then one in turn until nothing new happens.

    Raises ``ValueError`` for a step that is not possible. The trace is ``spent`` when it does not come to its end.
    """
    state = state_of(one.programs, one.ids, one.requests, one.page)
    clock, memory = np.full((len(one.programs), 5), -1, np.int64), MEMORY.index(one.memory)
    trace, used = np.zeros((one.rows + 1, 9), np.int64), np.zeros(3, np.int64)
    full = False
    for number, (agent, action) in enumerate(steps, start=1):
        if not (0 <= agent < len(one.programs) and step(state, agent, action, memory)):
            raise ValueError(f"step {number}: agent {agent} cannot take the action {action}")
        full = full or not _record(state, clock, trace, used, number, agent)
        used[1] = used[2] = number
    seen: set[bytes] = set()
    while not full and (now := _everything(state)) not in seen and used[1] < one.budget:
        seen.add(now)
        for agent, action in _turns(state, memory):
            if not full and step(state, agent, action, memory):
                used[1] += 1
                used[2] = used[1]
                full = not _record(state, clock, trace, used, int(used[1]), agent)
    end = FINISHED if state.agents[0, STATUS] != RUNNING else STUCK
    if full or used[1] >= one.budget:
        end = SPENT
    return _trace(one, state, trace[: used[0]], int(used[2]), end)


def _unsigned(value: int) -> int:
    return value & 0xFFFFFFFFFFFFFFFF


def _trace(one: Simulation, state: State, rows: I64, time: int, end: int) -> Trace:
    requests = iter(one.requests)
    events: list[Event] = []
    for row in rows.tolist():
        kind = _KINDS[row[KIND_]]
        asked: Sequence[int] = next(requests) if kind is Kind.REQUEST else (0, 0, 0)
        events.append(
            Event(
                time=row[TIME],
                agent=row[AGENT_],
                kind=kind,
                offset=row[OFFSET_],
                width=row[WIDTH_],
                value=row[VALUE_] if kind is Kind.RETURN else _unsigned(row[VALUE_]),
                count=row[COUNT_],
                until=row[UNTIL_],
                target=asked[1],
                vector=asked[2],
                note=EMITS[row[NUMBER_]] if kind is Kind.EMIT else "",
            )
        )
    before = one.page.ljust(PAGE, b"\0")
    return Trace(one.ids, tuple(events), before, state.page.tobytes(), time, one.memory, end == STUCK, end == SPENT)
