"""Carries a probe out on real instructions: the suite's tester is the operating system, beside processors in the loop.

The tester is the program that the model's tester is; it takes its steps in the twin, on the mailbox page that the
processors poll. Everything is interleaved one instruction at a time, from a seed. That is sequentially consistent: no
store of a processor is held back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import attrs

from mpwake.checks.core import not_testable
from mpwake.evidence.trace import OPS, SENDER, Event, Fact, Kind, Trace
from mpwake.model.agent import Agent, load_agent
from mpwake.model.environment import POINTS, Point, forged_mailbox, forged_page
from mpwake.model.probe import BOOT_ID, Probe, page_of
from mpwake.model.twin import HALTED, Effect, Twin
from mpwake.spec import document
from mpwake.targets.firmware.machine import PAGE, Done, Processor
from mpwake.targets.firmware.stage import Stage
from mpwake.targets.firmware.tdx import Call, Identity, Tdx, told_ids

SEEDED = "the firmware's own writing of the page before hand-off is not executed here"
SEEDS = 4
WEIGHTS = (1, 1, 2, 4, 8)
TRIES = 400
AWAKE, ASLEEP, LANDED, GONE = range(4)
_SIGN = 1 << 63
_KINDS = {"load": Kind.LOAD, "visible": Kind.STORE, "request": Kind.REQUEST, "return": Kind.RETURN}


def tester() -> Agent:
    """Return the operating system that the suite plays against an AP loop."""
    return document.decode(load_agent("tester"), Agent)


@attrs.define
class Recorder:
    """The events of a trial; equal loads of one agent in a row stand as one."""

    events: list[Event] = attrs.field(factory=list)
    last: dict[int, int] = attrs.field(factory=dict)
    often: dict[int, tuple[int, int]] = attrs.field(factory=dict)

    def add(self, one: Event) -> None:
        """Record an event."""
        before = self.last.get(one.agent, -1)
        if one.kind is Kind.LOAD and before >= 0 and _alike(self.events[before], one):
            count, _ = self.often.get(before, (1, 0))
            self.often[before] = count + 1, one.time
            return
        self.last[one.agent] = len(self.events)
        self.events.append(one)

    def result(self) -> tuple[Event, ...]:
        """Return all events, with the loads counted."""
        for at, (count, until) in self.often.items():
            self.events[at] = attrs.evolve(self.events[at], count=count, until=until)
        return tuple(self.events)


def _alike(one: Event, other: Event) -> bool:
    same = (one.offset, one.width, one.value) == (other.offset, other.width, other.value)
    return one.kind is other.kind and same and one.facts.get("page") == other.facts.get("page")


@attrs.define
class Side:
    """A processor in a trial: what it is doing, and its state when it last came back to where it was.

    ``quiet`` counts its instructions since anything was stored; until ``held`` the host does not let it run.
    """

    number: int
    patience: int
    status: int = AWAKE
    version: int = -1
    state: bytes = b""
    quiet: int = 0
    held: int = 0

    @property
    def busy(self) -> bool:
        """Whether it may be on its way somewhere."""
        return self.status == AWAKE and self.quiet <= self.patience


class Trial:
    """One probe on one schedule."""

    def __init__(self, stage: Stage, probe: Probe, tdx: Tdx, seed: int, agent: Agent | None = None) -> None:
        self.stage = stage
        self.probe = probe
        self.tdx = tdx
        self.random = random.Random(seed)  # noqa: S311  # a schedule, to be had again from its seed
        self.time = 0
        self.steps = 0
        self.record = Recorder()
        self.sides = {number: Side(number, stage.patience) for number in range(1, len(probe.ids) + 1)}
        self.weights = {number: self.random.choice(WEIGHTS) for number in range(len(probe.ids) + 1)}
        self.requests = tuple(self._asked())
        self.twin = Twin([agent or tester()], [BOOT_ID], self.requests, "sc", page_of(probe))
        self.version = self.last_version = -1
        self._set()

    def _asked(self) -> Iterator[tuple[int, int, int]]:
        base = {None: 0, "mailbox": self.stage.placed.mailbox}
        for one in self.probe.requests:
            yield OPS[one.op], one.id, (base[one.base] + one.value) % (1 << 64)

    def _set(self) -> None:
        ids = told_ids(self.probe.ids, self.probe.host)
        for number, (own, told) in enumerate(zip(self.probe.ids, ids, strict=True), start=1):
            host = self.probe.host
            forged = forged_page(number) if own in host.changes else 0
            who = Identity(number, len(ids) + 1, own, told, own in host.refuses, forged)
            self.stage.park(number, who, self.tdx)
            if forged:
                self.stage.board.write(forged, forged_mailbox(number, told))
        self.before = self.stage.page(page_of(self.probe))
        self.stage.board.write(self.stage.placed.mailbox, self.before)

    def run(self) -> Trace:
        """Go on until the operating system has done everything, and nobody does anything any more."""
        while not self._over() and self.steps < self.stage.budget * len(self.sides):
            self._turn()
        trace = self.trace(spent=not self._over())
        self.stage.board.restore()
        return trace

    def trace(self, spent: bool = False) -> Trace:
        """Return what was seen so far."""
        return Trace(
            ids=(BOOT_ID, *self.probe.ids),
            events=(*self.record.result(), *self._stands()),
            before=self.before,
            after=self.stage.board.read(self.stage.placed.mailbox, PAGE) or b"",
            end=self.time,
            memory="sc",
            spent=spent,
            regions=self.stage.regions,
            facts=self._facts(),
            listing=self.stage.listing,
        )

    def _stands(self) -> Iterator[Event]:
        # Where those are at the end that have not left.
        for one in self.sides.values():
            if one.status in (AWAKE, ASLEEP):
                processor = self.stage.processors[one.number]
                yield Event(self.time, one.number, Kind.STANDS, note="in the end", facts=_at(processor.rip, processor))

    def _facts(self) -> Mapping[str, Fact]:
        calls = [one.agent for one in self.record.events if one.kind is Kind.TDCALL]
        host = "strict" if self.tdx.strict else "lenient"
        return {**self.stage.facts, "host": host, "calls": max((calls.count(one) for one in self.sides), default=0)}

    def _over(self) -> bool:
        return self._done() and not self._busy()

    def _done(self) -> bool:
        return self.twin.status[SENDER] == HALTED

    def _awake(self) -> list[Side]:
        version = self.stage.board.version
        for one in self.sides.values():
            if one.status == ASLEEP and one.version != version:
                one.status = AWAKE
        if self.last_version != version:
            self.last_version = version
            for one in self.sides.values():
                one.quiet = 0
        return [one for one in self.sides.values() if one.status == AWAKE]

    def _busy(self) -> bool:
        return any(one.busy for one in self._awake())

    def _turn(self) -> None:
        awake = self._awake()
        free = [one for one in awake if one.held <= self.time] if self.probe.host.pauses else awake
        if awake and not free and (self._done() or self._polls()):
            self.time = min(one.held for one in awake)
            return
        numbers = [one.number for one in free] + [SENDER] * (not self._done())
        chosen = self.random.choices(numbers, [self.weights[number] for number in numbers])[0]
        if chosen == SENDER:
            self._os(any(one.busy for one in awake))
        else:
            self._ap(self.sides[chosen])

    def _os(self, busy: bool) -> Effect:
        self._wait(busy)
        if self.version != self.stage.board.version:
            self.twin.page[:] = self.stage.board.read(self.stage.placed.mailbox, PAGE) or b""
            self.version = self.stage.board.version
        self.time += 1
        if self._resets():
            self._reset(self.twin.registers[SENDER]["target"], self.twin.registers[SENDER]["vector"])
        effect = self.twin.step(SENDER, 0)
        if effect.kind == "visible":
            place = self.stage.placed.mailbox + effect.offset
            self.stage.board.write(place, effect.value.to_bytes(effect.width, "little"))
        if effect.kind in _KINDS:
            self.record.add(self._told(effect))
        return effect

    def _wait(self, busy: bool) -> None:
        # Time passes at once while nobody else does anything, and a wait never ends while somebody is on its way: no
        # processor is found wanting because it is slow. A time that the operating system lets go by is not a wait for
        # whom the host holds.
        twin = self.twin
        if twin.wait[SENDER] > 0:
            held = [one.held > self.time for one in self.sides.values() if one.busy]
            runs = busy and not all(held)
            self.time += 0 if busy else twin.wait[SENDER]
            twin.wait[SENDER] = max(2, twin.wait[SENDER]) if runs else 0
        elif "tries" in twin.registers[SENDER] and self._polls():
            twin.registers[SENDER]["tries"] = TRIES if busy else 1

    def _operation(self) -> object:
        operations = self.twin.agents[SENDER].operations
        at = self.twin.pc[SENDER]
        return operations[at] if at < len(operations) else None

    def _polls(self) -> bool:
        return getattr(self._operation(), "poll", None) is not None

    def _resets(self) -> bool:
        return getattr(self._operation(), "reset", None) is not None and self.twin.wait[SENDER] == 0

    def _told(self, effect: Effect) -> Event:
        kind, value = _KINDS[effect.kind], effect.value
        if kind is Kind.RETURN:
            value -= 2 * _SIGN * (value >= _SIGN)
        if kind is not Kind.REQUEST:
            return Event(self.time, SENDER, kind, effect.offset, effect.width, value, until=self.time)
        op, target, vector = self.requests[self.twin.position - 1]
        facts = self.stage.reset_facts(vector) if op == OPS["reset"] else {}
        return Event(self.time, SENDER, kind, value=value, target=target, vector=vector, facts=facts)

    def _reset(self, target: int, cr4: int) -> None:
        landed = (one for one in self.sides.values() if one.status == LANDED)
        one = next((one for one in landed if self.probe.ids[one.number - 1] == target), None)
        if one is not None and self.stage.reset(one.number, cr4):
            one.status, one.version = AWAKE, -1
            self.record.add(Event(self.time, SENDER, Kind.RESET, value=target))

    def _ap(self, one: Side) -> Done:
        processor = self.stage.processors[one.number]
        done = processor.step()
        self.time += 1
        self.steps += 1
        one.quiet += 1
        self._saw(one, done)
        self._hold(one, done)
        at = processor.rip
        if not self.stage.is_firmware(at):
            one.status = LANDED
            facts = {**self.stage.landing(one.number, at), **_at(done.rip, processor)}
            self.record.add(Event(self.time, one.number, Kind.LANDING, value=at, facts=facts))
        elif done.fault:
            one.status = GONE
            note = f"{done.fault}, in {self.stage.named(done.rip)}"
            self.record.add(Event(self.time, one.number, Kind.EMIT, note=note, facts=_at(done.rip, processor)))
        elif done.halted and not self.probe.host.events:
            one.status = GONE
        elif at <= done.rip:
            self._came_back(one, processor.state())
        return done

    def _pages(self, one: Side) -> Iterator[tuple[int, dict[str, Fact]]]:
        # The pages in which the accesses of a processor are told of: the mailbox, and what its host has forged.
        yield self.stage.placed.mailbox, {}
        forged = self.stage.processors[one.number].who.forged
        if forged:
            yield forged, {"page": forged}

    def _hold(self, one: Side, done: Done) -> None:
        own = (it for it in self.probe.host.pauses if it.id in (None, self.probe.ids[one.number - 1]))
        steps = sum(it.steps for it in own if self._is_at(it.after, done))
        if steps:
            one.held = self.time + steps * (len(self.sides) + 1)

    def _is_at(self, point: Point, done: Done) -> bool:
        if point == "call":
            return bool(done.calls)
        start, width = POINTS[point]
        start += self.stage.placed.mailbox
        return any(
            access.store == (point == "acknowledgement")
            and access.address < start + width
            and start < access.address + access.width
            for access in done.accesses
        )

    def _came_back(self, one: Side, state: bytes) -> None:
        version = self.stage.board.version
        if (one.version, one.state) == (version, state):
            one.status = ASLEEP
        one.version, one.state = version, state

    def _saw(self, one: Side, done: Done) -> None:
        for access in done.accesses:
            for page, facts in self._pages(one):
                offset = access.address - page
                if 0 <= offset < PAGE:
                    kind = Kind.STORE if access.store else Kind.LOAD
                    processor = self.stage.processors[one.number] if access.store else None
                    seen = (self.time, one.number, kind, offset, access.width, access.value)
                    self.record.add(Event(*seen, until=self.time, facts={**facts, **_at(done.rip, processor)}))
        for call in done.calls:
            self.record.add(_call(self.time, one.number, call, done.rip))


def _at(rip: int, processor: Processor | None) -> dict[str, Fact]:
    # The instruction, and the registers after it.
    if processor is None:
        return {"rip": rip}
    return {"rip": rip, "registers": "  ".join(f"{name} {value:#x}" for name, value in processor.registers().items())}


def _call(time: int, agent: int, call: Call, rip: int) -> Event:
    kept = {name: value for name, value in call.registers.items() if value and name not in ("rcx", "rip", "rflags")}
    facts: dict[str, Fact] = {"mask": call.registers["rcx"], "r10": call.registers["r10"], **kept}
    facts |= {"answer": call.answer, "within the rules": call.within_rules, "rip": rip}
    if call.changed:
        facts["changed"] = ", ".join(call.changed)
    return Event(time, agent, Kind.TDCALL, value=call.function, note="TDG.VP.VMCALL", facts=facts)


def trials(stage: Stage, probe: Probe, seed: int = 0) -> Iterator[Trace]:
    """Run a probe under several schedules: with the strict host, and, where a call breaks a rule, with the lenient one.

    Where every call keeps to the rules, the two hosts answer alike and nothing could differ. Raises ``Unjudged`` for a
    probe that this target cannot carry out.
    """
    if probe.host.seeds:
        raise not_testable(SEEDED)
    broken = False
    for number in range(SEEDS):
        trace = Trial(stage, probe, Tdx(strict=True), seed * SEEDS + number).run()
        broken = broken or any(one.facts["within the rules"] is False for one in trace.of(Kind.TDCALL))
        yield trace
        if trace.spent:
            return
    for number in range(SEEDS if broken else 0):
        yield Trial(stage, probe, Tdx(strict=False), seed * SEEDS + number).run()
