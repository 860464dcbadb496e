"""Probes: what the suite does to an implementation, as data. A scenario's When names one by its sentence.

An AP loop gets a tester as its operating system; a bring-up gets processors that behave as the probe says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from mpwake.evidence.exploration import turns
from mpwake.evidence.trace import OPS, SENDER, Event, Fact, Kind, Trace
from mpwake.model import environment
from mpwake.model.agent import FIELDS, PAGE, Branch, Operation, load_agent
from mpwake.model.environment import POINTS, Environment, Host, Pause
from mpwake.model.program import Program, compile_agent, compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks
from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.resources import relative, scenarios

BOOT_ID = 0
NOBODY = 1 << 40


@attrs.frozen
class Request:
    """One thing that the tester does; ``scenarios/agents/tester.yaml`` says what each op means."""

    op: str = described(
        "wake, test, fields, command, reset, settle, overwrite, reserved, send, clear, torn, vector, id, stale or byte"
    )
    id: int = described("APIC ID", 0)
    value: int = described(
        "The wakeup vector, the command, the steps to settle, the Reserved word, or CR4 at a reset", 0
    )
    base: Literal["mailbox"] | None = described("What the value counts from: 0, or the mailbox's address", None)

    def __attrs_post_init__(self) -> None:
        if self.op not in OPS:
            raise ValueError(f"no op {self.op!r}; {did_you_mean(self.op, OPS)}")


@attrs.frozen
class Poison:
    """Bytes that the page holds before anything is done."""

    at: int = described("Byte offset")
    count: int = described("How many bytes")
    value: int = described("Each byte's value")

    def __attrs_post_init__(self) -> None:
        if self.at < 0 or self.count < 0 or self.at + self.count > PAGE:
            raise ValueError(f"{self.count} bytes at {self.at} do not lie in the page of {PAGE} bytes")
        if not 0 <= self.value <= 0xFF:
            raise ValueError(f"{self.value:#x} is not a byte")


@attrs.frozen
class Probe:
    """A topology, and what is done to it."""

    says: str = described("The sentence that a scenario's When says")
    ids: tuple[int, ...] = described("APIC IDs of the parked processors, in the order of their numbers")
    requests: tuple[Request, ...] = described("What is done, one after the other")
    poison: tuple[Poison, ...] = described("Bytes of the page before that; the rest is as firmware hands it over", ())
    loops: tuple[str, ...] = described("For a bring-up: the agent of each processor, all acpi-6.6 unless given", ())
    ticks: bool = described("Whether to run it tick by tick too, which cannot tell that nothing happens any more", True)
    host: Host = described("What the host does", Host())
    patience: int = described("Polls after which the operating system gives up a wait for an AP loop", 400)

    def __attrs_post_init__(self) -> None:
        if self.loops and len(self.loops) != len(self.ids):
            raise ValueError(f"{len(self.loops)} loops for {len(self.ids)} processors")
        if self.host.ids and len(self.host.ids) != len(self.ids):
            raise ValueError(f"the host tells {len(self.host.ids)} APIC IDs to {len(self.ids)} processors")
        if self.host.holds and len(self.host.holds) != len(self.ids):
            raise ValueError(f"the host holds {len(self.host.holds)} of {len(self.ids)} processors")


@attrs.frozen
class ProbeFile:
    """The file of probes."""

    probes: tuple[Probe, ...] = described("The probes")


@functools.cache
def probes(role: Role) -> dict[str, Probe]:
    """Return the probes of a role by their sentences."""
    path = scenarios("probes") / f"{role.value}.yaml"
    node = document.load(path, relative(path))
    found: dict[str, Probe] = {}
    for one, at in zip(document.decode(node, ProbeFile).probes, node.value["probes"].value, strict=True):
        if one.says in found:
            raise at.value["says"].error(f"another probe says {one.says!r} too", "a sentence names one probe")
        found[one.says] = one
    return found


def probe(sentence: str, role: Role) -> Probe:
    """Return the probe that a sentence names."""
    known = probes(role)
    if sentence not in known:
        raise InputError(f"no probe says {sentence!r}", hint=did_you_mean(sentence, known))
    return known[sentence]


def page_of(one: Probe) -> bytes:
    """Return the mailbox page at hand-off: idle, ApicId impossible, and what the probe poisons."""
    page = bytearray(PAGE)
    page[4:8] = b"\xff" * 4
    for poison in one.poison:
        page[poison.at : poison.at + poison.count] = bytes([poison.value]) * poison.count
    return bytes(page)


@functools.cache
def agent(name: str) -> Program:
    """Return an agent that comes with the suite, compiled."""
    return compile_node(load_agent(name))


@functools.lru_cache(256)
def held(loop: Program, steps: int) -> Program:
    """Return a loop whose processor does nothing for that many steps before it begins."""
    if steps == 0:
        return loop
    parts = loop.agent
    begin = parts.entry or "begin"
    lines = parts.program if parts.entry else (Operation(label=begin), *parts.program)
    wait = (Operation(label="held"), Operation(delay=steps), Operation(branch=Branch(to=begin)))
    return compile_agent(attrs.evolve(parts, program=(*lines, Operation(halt=True), *wait), entry="held"))


@functools.lru_cache(256)
def paused(loop: Program, pauses: tuple[Pause, ...]) -> Program:
    """Return a loop whose processor does nothing for a while after each access that a pause names."""
    program = tuple(line for one in loop.agent.program for line in (one, *_pauses(one, pauses)))
    return compile_agent(attrs.evolve(loop.agent, program=program)) if pauses else loop


def _pauses(one: Operation, pauses: tuple[Pause, ...]) -> Iterator[Operation]:
    stores = one.store is not None
    place = one.store.to if one.store else one.load.from_ if one.load else None
    if place is None:
        return
    at, width = FIELDS[place] if isinstance(place, str) else (place.at, place.width)
    for pause in pauses:
        start, size = POINTS.get(pause.after, (PAGE, 0))
        if stores == (pause.after == "acknowledgement") and at < start + size and start < at + width:
            yield Operation(delay=pause.steps)


@functools.cache
def tester(patience: int) -> Program:
    """Return the operating system that the suite plays, and that gives up a wait after so many polls."""
    parts = agent("tester").agent
    lines = (attrs.evolve(one, set=attrs.evolve(one.set, value=patience)) if one.set else one for one in parts.program)
    return compile_agent(attrs.evolve(parts, program=tuple(lines)))


MEMORIES: tuple[Literal["sc", "tso", "relaxed"], ...] = ("sc", "tso", "relaxed")
SEEDS = 4
TICKS = 40_000
MAX_STEPS = 100_000


@attrs.frozen
class Schedule:
    """Which of the schedules a trial has."""

    memory: Literal["sc", "tso", "relaxed"] = described("The memory model", "tso")
    seed: int = described("What the pace of each agent is drawn from", 0)
    engine: Literal["events", "ticks", "steps"] = described(
        "The event-driven simulator, the one that goes tick by tick, or the steps that stand here", "events"
    )
    steps: str = described(
        "Whose each step is, in turn: 0 for the operating system, else the number of a processor; 1*3 stands for "
        "1 1 1, 0.2 for the second store that 0 has buffered. After the last, everybody takes steps in turn until "
        "nothing new happens",
        "",
    )

    def __attrs_post_init__(self) -> None:
        if bool(self.steps) != (self.engine == "steps"):
            raise ValueError("steps are given where the engine is steps, and nowhere else")
        self.turns()
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"the seed {self.seed} does not fit into 64 bits")

    def turns(self) -> tuple[tuple[int, int], ...]:
        """Return the agent and the action of each step, where steps are given."""
        return turns(self.steps, MAX_STEPS)


Engine = Callable[[Simulation], Trace]


def schedules(one: Probe, seed: int = 0) -> Iterator[Schedule]:
    """Yield the schedules that a probe is run under: with every memory model, several of each engine."""
    for number in range(len(MEMORIES) * SEEDS):
        drawn = (seed * len(MEMORIES) * SEEDS + number) % (1 << 64)
        yield Schedule(MEMORIES[number // SEEDS], drawn, "events")
        if one.ticks:
            yield Schedule(MEMORIES[number // SEEDS], drawn, "ticks")


def trial(tested: Program, one: Probe, schedule: Schedule, announced: str = "") -> Trace:
    """Run a probe on an agent under one schedule; ``announced`` tells where the platform announces the mailbox."""
    engine: Engine = simulate if schedule.engine == "events" else _ticks
    simulation = _simulation(tested, one, schedule.memory, schedule.seed)
    receiver = tested.agent.role is Role.RECEIVER
    return _observed(tested, one, engine, simulation, announced) if receiver else engine(simulation)


def trials(tested: Program, one: Probe, seed: int = 0, announced: str = "") -> Iterator[Trace]:
    """Run a probe on an agent under all its schedules."""
    for schedule in schedules(one, seed):
        yield trial(tested, one, schedule, announced)


def _ticks(simulation: Simulation) -> Trace:
    return simulate_ticks(attrs.evolve(simulation, budget=TICKS * len(simulation.ids)))


def _simulation(tested: Program, one: Probe, memory: str, seed: int) -> Simulation:
    requests = tuple((OPS[request.op], request.id, request.value) for request in one.requests)
    page, ids = page_of(one), one.ids
    if tested.agent.role is Role.RECEIVER:
        around = tested.agent.environment
        programs = (tester(one.patience), *(_living(tested, one.host, apic) for apic in one.ids))
        requests = _sent(around, one)
        ids = one.host.ids if one.host.ids and around.id_from == "host" else one.ids
        page = page if environment.poisoned(around, one.host) else page_of(attrs.evolve(one, poison=()))
    else:
        programs = (tested, *map(agent, one.loops or ["acpi-6.6"] * len(one.ids)))
    sender, *loops = programs
    holds = one.host.holds or [_held_at_call(tested.agent.environment, one.host, apic) for apic in one.ids]
    parked = (held(loop, steps) for loop, steps in zip(loops, holds, strict=True))
    return Simulation((sender, *parked), (BOOT_ID, *ids), requests, memory, seed, page)


def _living(tested: Program, host: Host, apic: int) -> Program:
    around = tested.agent.environment
    if not environment.lives(around, host, apic) or environment.redirected(around, host, apic):
        return agent("ap-dead")
    return paused(tested, _own_pauses(host, apic))


def _own_pauses(host: Host, apic: int) -> tuple[Pause, ...]:
    return tuple(one for one in host.pauses if one.id in (None, apic))


def _held_at_call(around: Environment, host: Host, apic: int) -> int:
    return sum(one.steps for one in _own_pauses(host, apic) if one.after == "call" and around.calls)


def _asked(around: Environment, one: Probe) -> tuple[tuple[int, int, int], ...]:
    base = {None: 0, "mailbox": around.mailbox or 0}
    return tuple((OPS[request.op], request.id, base[request.base] + request.value) for request in one.requests)


def _sent(around: Environment, one: Probe) -> tuple[tuple[int, int, int], ...]:
    # A processor that the reset code loses never gets there: the request goes to an APIC ID that no processor has.
    lost = around.lost_cr4 or 0
    return tuple(
        (op, NOBODY if op == OPS["reset"] and value & lost else apic, value) for op, apic, value in _asked(around, one)
    )


def _observed(tested: Program, one: Probe, engine: Engine, simulation: Simulation, announced: str) -> Trace:
    around = tested.agent.environment
    trace = engine(simulation) if around.polls is None else _moved(engine, simulation, around.polls)
    asked = iter(_asked(around, one))
    events = (*(_restored(event, asked) for event in trace.events), *_forged(tested, one, engine, simulation))
    trace = attrs.evolve(trace, ids=(BOOT_ID, *one.ids), events=tuple(sorted(events, key=lambda event: event.time)))
    return environment.observed(around, one.host, trace, tested.reset >= 0, announced)


def _restored(event: Event, asked: Iterator[tuple[int, int, int]]) -> Event:
    return attrs.evolve(event, target=next(asked)[1]) if event.kind is Kind.REQUEST else event


def _forged(tested: Program, one: Probe, engine: Engine, simulation: Simulation) -> Iterator[Event]:
    """Run each processor that the host has moved on the mailbox that it forges, and yield what the processor does."""
    for number, apic in enumerate(one.ids, start=1):
        if environment.redirected(tested.agent.environment, one.host, apic):
            programs, ids = (simulation.programs[SENDER], tested), (BOOT_ID, simulation.ids[number])
            page = environment.forged_mailbox(number, ids[1])
            there = engine(attrs.evolve(simulation, programs=programs, ids=ids, requests=(), page=page))
            facts: dict[str, Fact] = {"page": environment.forged_page(number)}
            yield from (attrs.evolve(seen, agent=number, facts=facts) for seen in there.events if seen.agent != SENDER)


def _moved(engine: Engine, simulation: Simulation, address: int) -> Trace:
    """Run with two pages: the published one, which nobody polls, and the one that the processors poll."""
    sender, *loops = simulation.programs
    deserted = engine(attrs.evolve(simulation, programs=(sender, *[agent("ap-dead")] * len(loops))))
    polled = engine(attrs.evolve(simulation, requests=()))
    elsewhere = [attrs.evolve(one, facts={"page": address}) for one in polled.events if one.agent != SENDER]
    return attrs.evolve(deserted, events=tuple(sorted([*deserted.events, *elsewhere], key=lambda one: one.time)))
