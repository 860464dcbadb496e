"""The simulator: one schedule, from a seed, of a whole platform.

Two engines drive the same step function. ``run_ticks`` picks an agent at random in every tick, so that any interleaving
may occur; its cost grows with ticks. ``run_events`` keeps agents that only poll out of the way: a parked AP whose loop
would come back to where it is without a store is not stepped until memory changes in a way that it reacts to, and a
sender's polls are counted rather than made. Its cost follows wakeups, not ticks times APs. There each agent steps at
its own pace, drawn from the seed, and an iteration of a parked AP's loop counts as one moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    RESET,
    RUNNING,
    STATUS,
    STORE,
    VISIBLE,
    WAIT,
    R,
    State,
    drainable,
    state_of,
    step,
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
PLAIN, SELF, INDEX, UNWRITTEN = range(4)
_LOAD, _BRANCH, _SET, _ADD, _POLL, _DELAY = 1, 3, 4, 5, 6, 16
_LONGEST_LOOP = 64
_NEVER = 1 << 62
MEMORY_RELAXED = 2


@compiled
def _record(s: State, clock: I64, trace: I64, used: I64, time: int, agent: int) -> bool:
    # Appends the last effect; a load equal to the agent's last event is counted there. False when there is no room.
    kind = s.told[0]
    if kind in (NONE, STORE):
        return True
    row = clock[agent, LAST]
    same = row >= 0 and kind == LOAD and trace[row, KIND_] == LOAD
    if (
        same
        and trace[row, OFFSET_] == s.told[1]
        and trace[row, WIDTH_] == s.told[2]
        and trace[row, VALUE_] == s.told[3]
    ):
        trace[row, COUNT_] += 1
        trace[row, UNTIL_] = time
        return True
    row = used[0]
    if row == trace.shape[0]:
        return False
    trace[row, TIME] = time
    trace[row, AGENT_] = agent
    for column in range(5):
        trace[row, KIND_ + column] = s.told[column]
    trace[row, COUNT_] = 1
    trace[row, UNTIL_] = time
    clock[agent, LAST] = row
    used[0] += 1
    return True


@compiled
def _compare(condition: int, left: int, right: int) -> bool:
    if condition < 2:
        return (left == right) == (condition == 0)
    below = (left ^ -0x8000000000000000) < (right ^ -0x8000000000000000)
    return below == (condition == 2)


@compiled
def _plain(s: State, offset: int, width: int) -> int:
    value = 0
    for number in range(width):
        byte: Any = np.int64(s.page[offset + number])
        value |= byte << (8 * number)
    return value


@compiled
def _iteration(s: State, start: int, base: int, regs: I64, sort: I64, asked: I64) -> int:
    """Follow a loop from ``start`` until it comes back, without touching the machine.

    Registers stand in ``regs``, and what is known of each in ``sort``: a number (PLAIN), the agent's own APIC ID (SELF)
    or number (INDEX), or nothing (UNWRITTEN). Where the loop compares SELF or INDEX with a number, the answer
    "different" is assumed and the number noted in ``asked``: asked[0] of them, pairs of sort and value from asked[1].
    Returns QUIET when the loop comes back without an effect, ACTS when it would have one, UNKNOWN when that depends on
    what is not known.
    """
    at = start
    asked[0] = 0
    for number in range(_LONGEST_LOOP):
        if number > 0 and at == start:
            return QUIET
        row = s.code[at]
        op = row[0]
        at += 1
        if op == _LOAD:
            regs[row[1]] = _plain(s, row[2], row[3])
            sort[row[1]] = PLAIN
        elif op == _SET:
            regs[row[1]] = regs[row[3]] if row[2] == 1 else row[3]
            sort[row[1]] = sort[row[3]] if row[2] == 1 else PLAIN
        elif op == _POLL:
            if row[7] >= 0 or (row[4] == 1 and sort[row[5]] != PLAIN):
                return UNKNOWN
            right = regs[row[5]] if row[4] == 1 else row[5]
            if not _compare(row[3], _plain(s, row[1], row[2]), right):
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
                and asked[0] < 4
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
def _quiet(s: State, agent: int, start: int, regs: I64, sort: I64, asked: I64) -> bool:
    # Whether this very agent would come back to ``start`` without an effect.
    for number in range(REGISTERS):
        regs[number] = s.agents[agent, R + number]
        sort[number] = PLAIN
    return _iteration(s, start, s.agents[agent, BASE], regs, sort, asked) == QUIET


@compiled
def _activate(clock: I64, schedule: I64, active: I64, count: int, agent: int, time: int) -> int:
    if clock[agent, PARKED] == 0:
        return count
    period, phase = schedule[agent, PERIOD], schedule[agent, PHASE]
    clock[agent, PARKED] = 0
    clock[agent, NEXT] = phase + max(0, (time - phase) // period + 1) * period
    active[count] = agent
    return count + 1


@compiled
def _first(ids: I64, order: I64, value: int) -> int:
    low, high = 0, order.shape[0]
    while low < high:
        middle = (low + high) // 2
        if ids[order[middle]] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _react(
    s: State,
    clock: I64,
    schedule: I64,
    classes: I64,
    order: I64,
    active: I64,
    count: int,
    time: int,
    regs: I64,
    sort: I64,
    asked: I64,
) -> int:
    # Memory has changed: wake the parked APs whose next iteration would do something. Returns how many are active.
    for kind in range(classes.shape[0]):
        start, base = classes[kind, 0], classes[kind, 1]
        for number in range(REGISTERS):
            sort[number] = UNWRITTEN
        sort[0], sort[1] = SELF, INDEX
        answer = _iteration(s, start, base, regs, sort, asked)
        if answer != QUIET:
            for agent in range(1, s.agents.shape[0]):
                if clock[agent, CLASS] == kind:
                    count = _activate_if(s, clock, schedule, active, count, agent, start, time)
            continue
        questions = asked[0]
        for question in range(questions):
            wanted, value = asked[1 + 2 * question], asked[2 + 2 * question]
            if wanted == INDEX:
                if 0 < value < s.agents.shape[0] and clock[value, CLASS] == kind:
                    count = _activate_if(s, clock, schedule, active, count, value, start, time)
                continue
            place = _first(s.agents[:, ID], order, value)
            while place < order.shape[0] and s.agents[order[place], ID] == value:
                if clock[order[place], CLASS] == kind:
                    count = _activate_if(s, clock, schedule, active, count, order[place], start, time)
                place += 1
    return count


@compiled
def _activate_if(
    s: State, clock: I64, schedule: I64, active: I64, count: int, agent: int, start: int, time: int
) -> int:
    if clock[agent, PARKED] == 0 or s.agents[agent, STATUS] != RUNNING:
        return count
    regs, sort, asked = np.zeros(REGISTERS, np.int64), np.zeros(REGISTERS, np.int64), np.zeros(9, np.int64)
    if _quiet(s, agent, start, regs, sort, asked):
        return count
    return _activate(clock, schedule, active, count, agent, time)


@compiled
def _due(s: State, clock: I64, agent: int) -> int:
    # When this agent does its next thing: a step, or a buffered store that becomes visible.
    soon = clock[agent, NEXT] if s.agents[agent, STATUS] == RUNNING else _NEVER
    if s.agents[agent, BUFFERED] > 0 and clock[agent, DRAIN_AT] <= soon:
        return clock[agent, DRAIN_AT]
    return soon


@compiled
def _skip_polls(s: State, clock: I64, schedule: I64, trace: I64, until: int) -> bool:
    # The sender's poll has just failed. Count the polls that fail until something else happens; False if it never will.
    row = s.code[s.agents[0, PC]]
    if row[0] != _POLL:
        return True
    right = s.agents[0, R + row[5]] if row[4] == 1 else row[5]
    if _compare(row[3], s.told[3], right):
        return True
    polls = (
        _NEVER if until == _NEVER else max(0, (until - clock[0, NEXT] + schedule[0, PERIOD] - 1) // schedule[0, PERIOD])
    )
    if row[7] >= 0:
        polls = min(polls, s.agents[0, R + row[7]] - 1)
        s.agents[0, R + row[7]] -= max(0, polls)
    elif until == _NEVER:
        return False
    last = clock[0, LAST]
    if polls > 0:
        clock[0, NEXT] += polls * schedule[0, PERIOD]
        trace[last, COUNT_] += polls
        trace[last, UNTIL_] = clock[0, NEXT] - schedule[0, PERIOD]
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
def _slot(s: State, agent: int, memory: int, random: I64) -> int:
    # Which buffered store becomes visible: the first, or in the relaxed model any that may.
    if memory != MEMORY_RELAXED:
        return 0
    start = _next_random(random) % s.agents[agent, BUFFERED]
    for number in range(s.agents[agent, BUFFERED]):
        slot = (start + number) % s.agents[agent, BUFFERED]
        if drainable(s, agent, slot, memory):
            return slot
    return 0


@compiled
def _soonest(s: State, clock: I64, active: I64, count: int) -> tuple[int, int, int]:
    # The place in ``active`` of who is due first, when that is, and when the next one after it is.
    best, soon, second = -1, _NEVER, _NEVER
    for place in range(count):
        due = _due(s, clock, active[place])
        if due < soon:
            best, soon, second = place, due, soon
        elif due < second:
            second = due
    return best, soon, second


@compiled
def _advance(s: State, memory: int, schedule: I64, clock: I64, random: I64, agent: int, now: int) -> bool:
    # One step of an agent that is due, or one of its stores becomes visible: whether it was the latter.
    if s.agents[agent, BUFFERED] > 0 and clock[agent, DRAIN_AT] == now:
        step(s, agent, 1 + _slot(s, agent, memory, random), memory)
        clock[agent, DRAIN_AT] = now + schedule[agent, DRAIN]
        return True
    held = s.agents[agent, BUFFERED]
    step(s, agent, 0, memory)
    wait = s.agents[agent, WAIT]
    s.agents[agent, WAIT] = 0
    if 0 <= wait < (_NEVER - now) // schedule[agent, PERIOD] - 1:
        clock[agent, NEXT] = now + (1 + wait) * schedule[agent, PERIOD]
    else:
        clock[agent, NEXT] = _NEVER
    if held == 0 and s.agents[agent, BUFFERED] > 0:
        clock[agent, DRAIN_AT] = now + schedule[agent, DRAIN]
    return False


@compiled
def run_events(
    s: State,
    memory: int,
    schedule: I64,
    clock: I64,
    classes: I64,
    order: I64,
    random: I64,
    trace: I64,
    used: I64,
    budget: int,
) -> int:
    """Run until the sender has ended and nobody acts, nothing can happen any more (STUCK), or the budget is SPENT.

    ``schedule`` int64[A, 3] of period, phase, drain delay; ``clock`` int64[A, 5]; ``classes`` int64[C, 2] of park row
    and base; ``order`` the APs' numbers sorted by APIC ID; ``budget`` a number of steps. used[0] counts the rows of
    ``trace``, used[1] the steps, used[2] is the time at the end.
    """
    regs, sort, asked = np.zeros(REGISTERS, np.int64), np.zeros(REGISTERS, np.int64), np.zeros(9, np.int64)
    active = np.zeros(s.agents.shape[0] + 1, np.int64)
    # Typed at once: numba compiles what is called with them once for every type that it tries on the way.
    count: Any = np.int64(1)
    start: Any = np.int64(0)
    for agent in range(1, s.agents.shape[0]):
        if clock[agent, PARKED] == 0:
            active[count] = agent
            count += 1
    count = _react(s, clock, schedule, classes, order, active, count, start, regs, sort, asked)
    while used[1] < budget:
        used[1] += 1
        best, soon, second = _soonest(s, clock, active, count)
        if best < 0:
            return FINISHED if s.agents[0, STATUS] != RUNNING else STUCK
        agent = active[best]
        used[2] = soon
        before = s.agents[agent, PC]
        drains = _advance(s, memory, schedule, clock, random, agent, soon)
        kind = s.told[0]
        if not _record(s, clock, trace, used, soon, agent):
            return SPENT
        if kind == VISIBLE:
            count = _react(s, clock, schedule, classes, order, active, count, soon, regs, sort, asked)
        elif kind == RESET:
            other = s.told[4]
            if clock[other, PARKED] == 0:
                clock[other, NEXT] = soon + schedule[other, PERIOD]
            count = _activate(clock, schedule, active, count, other, soon)
        elif agent == 0 and not drains and s.agents[0, PC] == before and s.agents[0, STATUS] == RUNNING:
            if s.agents[0, BUFFERED] > 0:
                second = min(second, clock[0, DRAIN_AT])
            if not _skip_polls(s, clock, schedule, trace, second):
                return STUCK
        count = _settle(s, clock, classes, active, count, best, regs, sort, asked)
    return SPENT


@compiled
def _settle(
    s: State, clock: I64, classes: I64, active: I64, count: int, place: int, regs: I64, sort: I64, asked: I64
) -> int:
    # Takes an AP off the list of active ones when it is parked and quiet, or gone and its stores are visible.
    agent = active[place]
    if agent == 0 or s.agents[agent, BUFFERED] > 0:
        return count
    if s.agents[agent, STATUS] == RUNNING:
        kind = clock[agent, CLASS]
        if kind < 0 or s.agents[agent, PC] != classes[kind, 0] or s.agents[agent, WAIT] > 0:
            return count
        if not _quiet(s, agent, classes[kind, 0], regs, sort, asked):
            return count
    clock[agent, PARKED] = 1
    active[place] = active[count - 1]
    return count - 1


@compiled
def run_ticks(s: State, memory: int, random: I64, clock: I64, trace: I64, used: I64, ticks: int) -> int:
    """Run tick by tick, an agent at random in each, until the sender has ended, or the ticks are SPENT.

    ``trace`` may have no rows: then nothing is recorded. The counts in ``used`` are those of ``run_events``.
    """
    agents = s.agents.shape[0]
    recording = trace.shape[0] > 0
    for tick in range(ticks):
        word = _next_random(random)
        agent = word % agents
        action = 0
        if s.agents[agent, BUFFERED] > 0 and word & 0x100000000:
            action = 1 + (word >> 33) % s.agents[agent, BUFFERED]
        done = step(s, agent, action, memory)
        used[1] += 1
        used[2] = tick
        if recording and done and not _record(s, clock, trace, used, tick, agent):
            return SPENT
        if agent == 0 and s.agents[0, STATUS] != RUNNING and s.agents[0, BUFFERED] == 0:
            return FINISHED
    return SPENT


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
    the mailbox at hand-off. ``pace`` is the longest period of an agent's steps, in time units.
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
}
_WRITES = {Op.LOAD: (1,), Op.SET: (1,), Op.NEXT: (1, 2, 3)}
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


def simulate(one: Simulation) -> Trace:
    """Run the event-driven simulator and return what was seen."""
    state = state_of(one.programs, one.ids, one.requests, one.page)
    classes, kinds = _classes(one, state)
    schedule = schedule_of(one)
    clock = np.zeros((len(one.programs), 5), np.int64)
    clock[:, CLASS], clock[:, LAST], clock[:, NEXT] = kinds, -1, schedule[:, PHASE]
    parked = (kinds >= 0) & (state.agents[:, PC] == classes[kinds, 0] if len(classes) else False)
    clock[:, PARKED] = parked
    order = 1 + np.argsort(state.agents[1:, ID], kind="stable")
    trace, used = np.zeros((one.rows, 9), np.int64), np.zeros(3, np.int64)
    random = np.array([signed(one.seed * 2 + 0x9E3779B97F4A7C15)], np.int64)
    memory = MEMORY.index(one.memory)
    end = run_events(state, memory, schedule, clock, classes, order, random, trace, used, one.budget)
    return _trace(one, state, trace[: used[0]], int(used[2]), int(end))


def simulate_ticks(one: Simulation) -> Trace:
    """Run the tick-by-tick simulator, ``budget`` ticks at most, and return what was seen."""
    state = state_of(one.programs, one.ids, one.requests, one.page)
    clock = np.full((len(one.programs), 5), -1, np.int64)
    trace, used = np.zeros((one.rows, 9), np.int64), np.zeros(3, np.int64)
    random = np.array([signed(one.seed * 2 + 0x9E3779B97F4A7C15)], np.int64)
    end = run_ticks(state, MEMORY.index(one.memory), random, clock, trace, used, one.budget)
    return _trace(one, state, trace[: used[0]], int(used[2]), int(end))


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
