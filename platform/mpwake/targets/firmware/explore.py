"""All interleavings of parked processors and an operating system, one instruction at a time.

A state is the mailbox page, the other memory that processors have stored to, the operating system's program, and all of
each processor. What a processor's instruction does depends on its own state and on the memory that it loads: it is
carried out once for these, and known from then on. So the real instructions are few, and the states many.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import attrs

from mpwake.checks.always import ALWAYS
from mpwake.checks.core import find, judge
from mpwake.checks.traffic import OS_SECTION
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exploration import Exploration, Violation
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.model.agent import Agent
from mpwake.model.environment import Host
from mpwake.model.probe import Probe, Request
from mpwake.model.twin import HALTED, RUNNING
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.firmware.drive import GONE, LANDED
from mpwake.targets.firmware.interleaving import AstrayError, Interleaved, digest, os_state, started
from mpwake.targets.firmware.machine import PAGE, Done
from mpwake.targets.firmware.stage import Stage

SAYS = "each processor is woken in turn, in every order of instructions"
# APIC IDs that are alike in their low byte, so that a comparison of that byte alone is seen.
APART, VECTOR, VECTORS_APART = 0x100, 0x9A000, 0x1000
STATES, BYTES = 1_000_000, 1 << 30
_STATE_BYTES, _EDGE_BYTES = 320, 8
ALL = "everybody landed, and the operating system at its end"
State = tuple[int, ...]


@attrs.frozen
class Bounds:
    """How many states are looked at, and how much memory they may take."""

    states: int = STATES
    memory: int = BYTES


@attrs.frozen
class Acts:
    """What an instruction did that has to be judged: stores to the page (offset, width, value), a landing, a fault."""

    stores: tuple[tuple[int, int, int], ...] = ()
    landing: int | None = None
    fault: str = ""


@attrs.frozen
class Effect:
    """What an instruction does where it loads the same: the new local state, the other memory, and its stores."""

    local: int
    rest: int
    writes: tuple[tuple[int, bytes], ...]
    acts: Acts | None


@attrs.define
class Table:
    """Numbers for values, in the order in which they were first seen."""

    numbers: dict[Any, int] = attrs.field(factory=dict)
    values: list[Any] = attrs.field(factory=list)

    def number(self, value: Any) -> int:
        """Return the number of a value, a new one for a new value."""
        found = self.numbers.setdefault(value, len(self.values))
        if found == len(self.values):
            self.values.append(value)
        return found


def wakes(ids: tuple[int, ...], host: Host | None = None) -> Probe:
    """Return what is explored: processors with these APIC IDs, woken in turn, each to a vector of its own."""
    requests = (Request("wake", one, VECTOR + VECTORS_APART * number) for number, one in enumerate(ids))
    return Probe(SAYS, ids, tuple(requests), host=host or Host())


def apart(aps: int, indexed: bool = False) -> tuple[int, ...]:
    """Return APIC IDs for so many processors; ``indexed`` is where they can only be the processors' numbers."""
    return tuple(number if indexed else 1 + APART * (number - 1) for number in range(1, aps + 1))


class Machine:
    """Steps from state to state; each is carried out once for what it depends on."""

    def __init__(self, start: Interleaved) -> None:
        self.start = start
        self.stage = start.stage
        self.twin = start.twin
        self.mailbox = start.stage.placed.mailbox
        self.pages, self.rests, self.systems, self.locals = Table(), Table(), Table(), Table()
        self.contexts: list[Any] = []  # by local state; None where the processor has left
        self.fetched = self._fetched()
        self.clean: dict[int, bytes] = {}  # pages beside the mailbox that were stored to, as they were at first
        self.loaded = 0
        self.code = b""
        self._sent: dict[tuple[int, int], tuple[int, int]] = {}
        self._seen: dict[State, tuple[int, int, int, Acts | None]] = {}
        self._known: dict[tuple[int, int, tuple[bytes, ...]], tuple[int, int] | Effect] = {}
        for one in self.stage.processors.values():
            one.wrote = self._wrote

    def close(self) -> None:
        """Give the platform back as it was before its processors were parked."""
        self.stage.watch()
        self.stage.board.restore()

    @property
    def bytes(self) -> int:
        """About how much memory all that is known takes."""
        context = len(self.stage.processors[1].state())
        return PAGE * (len(self.pages.values) + sum(map(len, self.rests.values))) + context * len(self.contexts)

    def first(self) -> State:
        """Return the state in which each processor polls and the operating system has done nothing."""
        page = self.pages.number(self.stage.board.read(self.mailbox, PAGE))
        places = [self._local(number) for number in self.start.sides]
        return (page, self.rests.number(()), self.systems.number(os_state(self.twin)), *places)

    def system(self, system: int, page: int) -> tuple[int, int]:
        """Let the operating system take a step: return its state and the page after that."""
        key = (system, page)
        if key not in self._sent:
            twin = self.twin
            twin.pc[SENDER], twin.status[SENDER], registers, woken, twin.position = self.systems.values[system]
            twin.registers[SENDER], twin.woken = dict(registers), set(woken)
            twin.page[:] = self.pages.values[page]
            twin.step(SENDER, 0)
            self._sent[key] = self.systems.number(os_state(twin)), self.pages.number(bytes(twin.page))
        return self._sent[key]

    def processor(self, number: int, local: int, rest: int, page: int) -> tuple[int, int, int, Acts | None]:
        """Let a processor carry out an instruction: return its state, the other memory and the page after that."""
        key = (local, rest, page)
        if key not in self._seen:
            self._seen[key] = self._recalled(local, rest, page) or self._carried_out(number, local, rest, page)
        return self._seen[key]

    def _recalled(self, local: int, rest: int, page: int) -> tuple[int, int, int, Acts | None] | None:
        data: bytes = self.pages.values[page]
        values: tuple[bytes, ...] = (data[self.fetched],)
        while True:
            known = self._known.get((local, rest, values))
            if known is None:
                return None
            if isinstance(known, Effect):
                after = self.pages.number(_written(data, known.writes)) if known.writes else page
                return known.local, known.rest, after, known.acts
            values += (data[known[0] : known[0] + known[1]],)

    def _carried_out(self, number: int, local: int, rest: int, page: int) -> tuple[int, int, int, Acts | None]:
        self._load(rest, page)
        processor = self.stage.processors[number]
        processor.uc.context_restore(self.contexts[local])
        done = processor.step()
        stores = [one for one in done.accesses if one.store]
        after, other = page, rest
        if stores:
            after = self.pages.number(self.stage.board.read(self.mailbox, PAGE))
            other = self.loaded = self._rest()
        leaves = not self.stage.is_firmware(processor.rip)
        sleeps = done.halted and not self.start.probe.host.events
        arrived = self._local(number, leaves or sleeps or bool(done.fault))
        inside = tuple(
            (one.address - self.mailbox, one.width, one.value) for one in stores if self._inside(one.address)
        )
        acts = None
        if inside or leaves or done.fault:
            fault = f"{done.fault}, in {self.stage.named(done.rip)}" if done.fault else ""
            acts = Acts(inside, processor.rip if leaves and not done.fault else None, fault)
        self._remember(done, (local, rest), page, Effect(arrived, other, _bytes(inside), acts))
        return arrived, other, after, acts

    def _inside(self, address: int) -> bool:
        return self.mailbox <= address < self.mailbox + PAGE

    def _fetched(self) -> slice:
        """Return the part of the mailbox page in which there is code, which a processor reads without a load."""
        inside = [(start - self.mailbox, end - self.mailbox) for _, start, end in self.stage.code]
        parts = [(max(0, start), min(PAGE, end)) for start, end in inside if start < PAGE and end > 0]
        return slice(min(start for start, _ in parts), max(end for _, end in parts)) if parts else slice(0, 0)

    def _remember(self, done: Done, key: tuple[int, int], page: int, effect: Effect) -> None:
        """Remember an instruction by what it loaded from the page, one load after the other.

        One that loads after it has stored, or beyond the page, is remembered with the whole page only.
        """
        own = [one for one in done.accesses if self._inside(one.address) or self._inside(one.address + one.width - 1)]
        across = any(not self._inside(at) for one in own for at in (one.address, one.address + one.width - 1))
        loads = [one for one in own if not one.store]
        if across or [one.store for one in own] != [False] * len(loads) + [True] * (len(own) - len(loads)):
            return
        values: tuple[bytes, ...] = (self.pages.values[page][self.fetched],)
        for one in loads:
            self._known[(*key, values)] = one.address - self.mailbox, one.width
            values += (one.value.to_bytes(one.width, "little"),)
        self._known[(*key, values)] = effect

    def _local(self, number: int, left: bool = False) -> int:
        processor = self.stage.processors[number]
        state = processor.rip.to_bytes(8, "little") if left else digest(processor)
        found = self.locals.number((number, left, state))
        if found == len(self.contexts):
            self.contexts.append(None if left else processor.uc.context_save())
        return found

    def _wrote(self, address: int) -> None:
        for page in {address // PAGE * PAGE, (address + 15) // PAGE * PAGE} - {self.mailbox}:
            data = self.stage.board.read(page, PAGE)
            if data is not None:
                self.clean.setdefault(page, data)
        self.stage.wrote(address)

    def _rest(self) -> int:
        now = ((page, self.stage.board.read(page, PAGE)) for page in sorted(self.clean))
        return self.rests.number(tuple((page, data) for page, data in now if data != self.clean[page]))

    def _load(self, rest: int, page: int) -> None:
        board, data = self.stage.board, self.pages.values[page]
        board.write(self.mailbox, data)
        if rest == self.loaded and data[self.fetched] == self.code:
            return
        changed = dict(self.rests.values[rest])
        for at, clean in self.clean.items():
            board.write(at, changed.get(at, clean))
        for one in self.stage.processors.values():
            one.stale = True
        self.loaded, self.code = rest, data[self.fetched]


def _written(page: bytes, writes: tuple[tuple[int, bytes], ...]) -> bytes:
    data = bytearray(page)
    for offset, value in writes:
        data[offset : offset + len(value)] = value
    return bytes(data)


def _bytes(stores: tuple[tuple[int, int, int], ...]) -> tuple[tuple[int, bytes], ...]:
    return tuple((offset, value.to_bytes(width, "little")) for offset, width, value in stores)


class Explorer:
    """All states that can be reached, breadth first, until one is wrong or a bound is reached."""

    def __init__(self, start: Interleaved, bounds: Bounds) -> None:
        self.machine = Machine(start)
        self.start = start
        self.bounds = bounds
        self.ids = (0, *start.probe.ids)
        self.asked = tuple((one.id, one.value) for one in start.probe.requests)
        self.numbers: dict[State, int] = {}
        self.order: list[State] = []
        self.parents, self.steps = array("q"), array("H")
        self.origins, self.ends = array("q"), array("q")
        self.goals = array("q")
        self.transitions = self.depth = 0
        self.sometimes = {f"{self._named(number)} at its vector": 0 for number in start.sides} | {ALL: 0}
        self.notes: dict[str, None] = {}
        self.incomplete = ""

    def _named(self, number: int) -> str:
        return self.start.named(number)

    def run(self) -> tuple[str, tuple[int, ...]] | None:
        """Go through all states. Return what is wrong and a shortest schedule to it, or None."""
        self._add(self.machine.first(), -1, 0)
        at = level = 0
        while at < len(self.order):
            if at == level:
                level, self.depth = len(self.order), self.depth + (at > 0)
                self.incomplete = self._exceeded()
            if self.incomplete:
                return None
            for number, wrong in self._successors(at):
                if wrong:
                    return wrong, (*self._schedule(at), number)
            if len(self.order) > self.bounds.states:
                self.incomplete = f"more than {self.bounds.states} states"
            at += 1
        return self._stuck()

    def _exceeded(self) -> str:
        used = self.machine.bytes + _STATE_BYTES * len(self.order) + 2 * _EDGE_BYTES * len(self.ends)
        return f"more than {self.bounds.memory >> 20} MiB of states" if used > self.bounds.memory else ""

    def knows(self, snapshot: tuple[Any, ...]) -> bool:
        """Say whether a state that was seen elsewhere is one of those reached; other memory is not compared."""
        page, system, *places = snapshot
        machine = self.machine
        sides = ((number, status in (LANDED, GONE), state) for number, (status, state) in enumerate(places, start=1))
        keys = (machine.pages.numbers.get(page), machine.systems.numbers.get(system))
        found = (*keys, *(machine.locals.numbers.get(one) for one in sides))
        return any((found[0], rest, *found[1:]) in self.numbers for rest in range(len(machine.rests.values)))

    def _successors(self, at: int) -> Iterator[tuple[int, str]]:
        state = self.order[at]
        page, rest, system = state[:3]
        machine = self.machine
        status, position = machine.systems.values[system][1], machine.systems.values[system][4]
        if status == RUNNING:
            now, after = machine.system(system, page)
            self._edge(at, (after, rest, now, *state[3:]), SENDER)
        elif status == HALTED and all(machine.contexts[local] is None for local in self._woken(state, position)):
            self.sometimes[ALL] += 1
            self.goals.append(at)
        for number in range(1, len(self.ids)):
            local = state[2 + number]
            if machine.contexts[local] is None:
                continue
            arrived, other, after, acts = machine.processor(number, local, rest, page)
            wrong = self._wrong(number, position, acts) if acts else ""
            yield number, wrong
            self._edge(at, (after, other, system, *state[3 : 2 + number], arrived, *state[3 + number :]), number)

    def _woken(self, state: State, position: int) -> Iterator[int]:
        for own, _ in self.asked[:position]:
            yield state[2 + self.ids.index(own)]

    def _edge(self, at: int, state: State, agent: int) -> None:
        self.transitions += 1
        end = self.numbers.get(state)
        if end is None:
            end = self._add(state, at, agent)
        if end != at:
            self.origins.append(at)
            self.ends.append(end)

    def _add(self, state: State, parent: int, agent: int) -> int:
        number = self.numbers[state] = len(self.order)
        self.order.append(state)
        self.parents.append(parent)
        self.steps.append(agent)
        return number

    def _schedule(self, at: int) -> tuple[int, ...]:
        steps: list[int] = []
        while self.parents[at] >= 0:
            steps.append(self.steps[at])
            at = self.parents[at]
        return tuple(reversed(steps))

    def _wrong(self, number: int, position: int, acts: Acts) -> str:
        name, asked = self._named(number), self.asked[:position]
        addressed = any(own == self.ids[number] for own, _ in asked)
        for offset, width, value in acts.stores:
            if offset < OS_SECTION and (wrong := self._wrong_store(offset, width, value, addressed)):
                return f"{name} {wrong}"
        if acts.fault:
            return f"{name} cannot go on: {acts.fault}"
        if acts.landing is not None:
            if (self.ids[number], acts.landing) not in asked:
                return f"{name} lands at {acts.landing:#x}, where it was not asked to"
            self.sometimes[f"{name} at its vector"] += 1
        return ""

    def _wrong_store(self, offset: int, width: int, value: int, addressed: bool) -> str:
        if offset >= 2:
            return f"stores {width} bytes at {offset:#x}, where the operating system writes"
        command = (value << 8 * offset) & 0xFFFF
        if command or not addressed:
            return f"stores Command = {command:#x}" + ("" if addressed else ", and was asked nothing")
        if (offset, width) != (0, 2):
            self.notes[f"stores {width} byte{'' if width == 1 else 's'} at {offset:#x} to acknowledge"] = None
        return ""

    def _stuck(self) -> tuple[str, tuple[int, ...]] | None:
        """Return the first state from which nothing leads to the goal any more."""
        import numpy as np

        reached = np.zeros(len(self.order), dtype=np.bool_)
        reached[np.array(self.goals, dtype=np.int64)] = True
        origins, ends = np.array(self.origins, dtype=np.int64), np.array(self.ends, dtype=np.int64)
        while True:
            origins, ends = origins[~reached[origins]], ends[~reached[origins]]
            before = origins[reached[ends]]
            if not before.size:
                break
            reached[before] = True
        if reached.all():
            return None
        schedule = self._schedule(int(np.argmin(reached)))
        return "from here no schedule leads to where everybody was asked to", schedule


def explore(
    target: str,
    stage: Stage,
    agent: Agent,
    probe: Probe,
    bounds: Bounds | None = None,
    edition: Edition = NEWEST,
) -> Exploration:
    """Explore all interleavings of parked processors and a program that wakes them."""
    result = Exploration(target=target, agent=agent.name, ids=(0, *probe.ids), memory="sc")
    try:
        start = started(stage, probe, agent)
    except AstrayError as error:
        return attrs.evolve(result, incomplete=error.reason)
    one = Explorer(start, bounds or Bounds())
    try:
        found = one.run()
    finally:
        one.machine.close()
    return attrs.evolve(
        result,
        states=len(one.order),
        transitions=one.transitions,
        depth=one.depth,
        incomplete=one.incomplete or ("a violation ends it" if found else ""),
        sometimes=one.sometimes,
        notes=tuple(one.notes),
        violation=found and violation(stage, agent, probe, *found, edition),
    )


def violation(
    stage: Stage, agent: Agent, probe: Probe, what: str, schedule: tuple[int, ...], edition: Edition = NEWEST
) -> Violation:
    """Carry out a schedule for real, and name the requirements that fail in it.

    An agent that breaks a rule of its own is to blame for what processors make of that.
    """
    one = started(stage, probe, agent)
    one.follow(schedule)
    steps, before = tuple(one.taken), one.trace()
    trace = one.trace(spent=not one.finish())
    stage.board.restore()
    for role, seen in ((Role.SENDER, as_sent(before)), (Role.RECEIVER, trace)):
        failed = failures(seen, role, edition)
        if failed:
            return Violation(what, role, failed, schedule, steps, trace)
    return Violation(what, Role.RECEIVER, (), schedule, steps, trace)


def as_sent(trace: Trace) -> Trace:
    """Return what is the operating system's in a trace, with the acknowledgements.

    What processors store beside Command is not its fault, and what they make of it none of its requirements.
    """
    return attrs.evolve(trace, events=tuple(_sent(trace)))


def _sent(trace: Trace) -> Iterator[Event]:
    for one in trace.events:
        if one.agent == SENDER or one.kind is not Kind.STORE:
            yield one
        elif one.touches(0, 2) and one.value & 0xFFFF == 0:
            yield attrs.evolve(one, offset=0, width=2, value=0)


def failures(trace: Trace, role: Role, edition: Edition) -> tuple[str, ...]:
    """Return the requirements that a trace fails, of those that can be asked of any trial."""
    seen = Behaviour(lambda _sentence, _seed: (trace,), edition)
    return tuple(id for id in ALWAYS[role] if judge(find(id, role), seen).verdict is Verdict.FAIL)
