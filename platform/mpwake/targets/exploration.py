"""The exploration of a platform of the model: what is explored, what is made of what was found, and its replay.

Who plays which side is the same rule here and where a scenario is run again: the agent that was named, else what the
platform has there, else a bring-up or an AP loop that keeps to ACPI.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import attrs

from mpwake.checks.always import ALWAYS
from mpwake.checks.core import find, judge
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exhibit import Traffic
from mpwake.evidence.exploration import Exploration, Step, Violation, compressed
from mpwake.evidence.trace import OPS, SENDER, Trace
from mpwake.model import environment
from mpwake.model.agent import Agent, load_agent
from mpwake.model.core import EFFECTS, Machine
from mpwake.model.environment import Host
from mpwake.model.explore.exploring import Exploration as Search
from mpwake.model.explore.exploring import Found, Reductions, Result
from mpwake.model.explore.listing import place, places, written
from mpwake.model.explore.liveness import live_registers
from mpwake.model.explore.local import NOBODY, Unexplorable
from mpwake.model.explore.monitors import RACES, SAYS, Wrong
from mpwake.model.explore.paths import Taken
from mpwake.model.explore.search import Bounds, Listener, Progress
from mpwake.model.explore.search import Search as Running
from mpwake.model.explore.tables import Setup
from mpwake.model.probe import BOOT_ID, Probe, Request, Schedule, page_of
from mpwake.model.program import INDEX, Program, compile_node
from mpwake.model.scenario import ScenarioFile
from mpwake.model.simulator import Simulation, simulate_steps
from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.model import Platform, announcement, decode_platform, load_platform

SAYS_TESTED = "each processor is tested and woken once, in every order of loads and stores"
SAYS_TWICE = "each processor is asked for twice, in every order of loads and stores"
SAYS_CALLERS = "each processor is woken once, by processors at the same time, in every order of loads and stores"
SAYS_PROBE = "each processor is woken once, in every order of loads and stores"
# APIC IDs that are alike in their low byte, so that a comparison of that byte alone is seen.
FIRST_ID, APART = 0x11, 0x100
CALLER_ID = 0xE0000001
VECTOR, VECTORS_APART = 0x9A000, 0x1000
DEFAULT = {Role.SENDER: "os-reference", Role.RECEIVER: "acpi-6.6"}
# Requirements that a trial with this in it shows to fail, beside those that can be asked of any trial.
ALSO: dict[Wrong, dict[Role, tuple[str, ...]]] = {
    Wrong.ASTRAY: {Role.RECEIVER: ("RCV-07", "RCV-18", "ORD-04")},
    Wrong.ACK_OF_ANOTHERS: {Role.RECEIVER: ("RCV-18", "ORD-04")},
    Wrong.ACK_OF_NOTHING: {Role.SENDER: ("SND-07",), Role.RECEIVER: ("RCV-18", "ORD-04")},
    Wrong.LATE: {Role.SENDER: ("TMO-03",)},
    Wrong.STUCK: {Role.SENDER: ("ORD-02",), Role.RECEIVER: ("RCV-01", "RCV-17")},
    Wrong.AGAIN: {Role.RECEIVER: ("RCV-16",)},
    Wrong.WOKEN_AGAIN: {Role.SENDER: ("DUP-01", "DUP-04")},
}
# What can be asked of a trial in which several processors of an operating system wake others: what is nobody's turn.
TOGETHER = ("SND-02", "SND-05", "SND-06", "SND-10", "MEM-05")
# What can be asked where a processor is asked for twice.
TWICE = {Role.SENDER: ("SND-03", "SND-06", "SND-08", "MEM-05", "MEM-09"), Role.RECEIVER: ALWAYS[Role.RECEIVER]}
NO_STEPS = "0*0"
_STEPS = {"load": "loads", "store": "buffers", "visible": "stores"}


@attrs.frozen
class Sides:
    """Who is who in an exploration: the platform, and the two agents, compiled."""

    platform: Platform
    sender: Program
    receiver: Program

    def program(self, role: Role) -> Program:
        """Return the program of a side."""
        return self.sender if role is Role.SENDER else self.receiver


def sides(platform_name: str, agent: str | None = None) -> Sides:
    """Return the two sides of a platform; ``agent`` takes the place of the one that has its role."""
    platform = decode_platform(load_platform(platform_name))
    nodes = {Role.SENDER: platform.sender, Role.RECEIVER: platform.receiver}
    if agent is not None:
        node = document.load(Path(agent)) if agent.endswith((".yaml", ".yml")) else load_agent(agent)
        nodes[document.decode(node, Agent).role] = node
    if not any(nodes.values()):
        raise InputError(f"the platform {platform_name} has neither an AP loop nor a bring-up")
    programs = {role: compile_node(node or load_agent(DEFAULT[role])) for role, node in nodes.items()}
    return Sides(platform, programs[Role.SENDER], programs[Role.RECEIVER])


def ids_of(sides: Sides, aps: int) -> tuple[int, ...]:
    """Return APIC IDs for so many processors: their numbers, where a program knows them by these."""
    indexed = any(INDEX in live for live in live_registers(sides.receiver))
    return tuple(number if indexed else FIRST_ID + APART * (number - 1) for number in range(1, aps + 1))


def probe_of(ids: tuple[int, ...], tests: bool = False, twice: bool = False, callers: int = 1) -> Probe:
    """Return what is asked for: each is woken, at vectors of its own; all are tested before, if asked."""
    before = (Request("test", one) for one in ids) if tests else ()
    asked = ids * 2 if twice else ids
    wanted = (Request("wake", one, VECTOR + VECTORS_APART * number) for number, one in enumerate(asked))
    says = SAYS_TESTED if tests else SAYS_TWICE if twice else SAYS_CALLERS if callers > 1 else SAYS_PROBE
    return Probe(says, ids, (*before, *wanted))


def setup_of(sides: Sides, probe: Probe, memory: str, any_order: bool, callers: int = 1) -> Setup:
    """Return what is explored; further callers have the numbers after those of the parked processors."""
    others = callers - 1
    return Setup(
        programs=(sides.sender, *[sides.receiver] * len(probe.ids), *[sides.sender] * others),
        ids=(BOOT_ID, *probe.ids, *range(CALLER_ID, CALLER_ID + others)),
        requests=tuple((OPS[one.op], one.id, one.value) for one in probe.requests),
        memory=memory,
        page=page_of(probe),
        any_order=any_order,
        callers=callers,
    )


@attrs.frozen
class Task:
    """An exploration that was asked for."""

    platform: str
    aps: int | Literal["all"] = 2
    memory: Literal["sc", "tso", "relaxed"] = "tso"
    agent: str | None = None
    any_order: bool = True
    tests: bool = False
    reductions: Reductions = Reductions()
    bounds: Bounds = Bounds()
    checkpoint: Path | None = None
    resume: Path | None = None
    every: float = 60
    twice: bool = False
    callers: int = 1


@attrs.frozen(eq=False)
class Explored:
    """What came of it, the scenario of its violation, and the kinds of wrong in it."""

    exploration: Exploration
    scenario: ScenarioFile | None = None
    edition: Edition = NEWEST
    kinds: frozenset[Wrong] = frozenset()


def explore(task: Task, listener: Listener | None = None) -> Explored:
    """Explore a platform of the model. Raises ``InputError`` for one that cannot be opened."""
    if task.tests:
        task = attrs.evolve(task, any_order=False, agent=task.agent or "os-tests")
    both = sides(task.platform, task.agent)
    if both.receiver.agent.environment.polls is not None:
        return Explored(_nothing(task, both, "its processors poll another page than the published one"))
    if task.aps == "all":
        from mpwake.targets.any_number import explore_any

        return explore_any(task, both, listener)
    try:
        return explored_with(task, both, task.aps, listener)
    except Unexplorable as error:
        for fewer in range(1, task.aps):
            try:
                found = explored_with(task, both, fewer, listener)
            except Unexplorable:
                break
            if found.exploration.violation:
                return found
        return Explored(_nothing(task, both, error.reason))


def _nothing(task: Task, both: Sides, reason: str) -> Exploration:
    ids = (BOOT_ID, *ids_of(both, 1 if task.aps == "all" else task.aps))
    return Exploration(f"model:{task.platform}", agents_of(both), ids, task.memory, incomplete=reason)


def agents_of(both: Sides) -> str:
    """Name the two sides."""
    return f"{both.sender.agent.name} and {both.receiver.agent.name}"


def explored_with(task: Task, both: Sides, aps: int, listener: Listener | None = None) -> Explored:
    """Explore a platform with so many processors. Raises ``Unexplorable``."""
    probe = probe_of(ids_of(both, aps), task.tests, task.twice, task.callers)
    setup = setup_of(both, probe, task.memory, task.any_order, task.callers)
    exploration = Search(setup, task.reductions, task.bounds)
    result = _searched(task, exploration, listener)
    notes = list(result.notes)
    violation = scenario = None
    for found in sorted(result.found, key=lambda one: one.wrong is not Wrong.COMMAND_OVER_COMMAND):
        one, file = _judged(task, both, setup, probe, result, found)
        if one.requirements or found.wrong in RACES:
            violation, scenario = one, file if one.requirements else None
            break
        notes.append(one.what)
    told = Exploration(
        target=f"model:{task.platform}",
        agent=agents_of(both),
        ids=(BOOT_ID, *probe.ids),
        memory=task.memory,
        states=result.states,
        transitions=result.transitions,
        depth=result.depth,
        incomplete=result.incomplete,
        sometimes={
            "a processor at its vector": result.landings,
            "everybody landed, and the operating system at its end": result.goals,
        },
        notes=tuple(notes),
        violation=violation,
    )
    kinds = frozenset(found.wrong for found in result.found)
    return Explored(told, scenario, Edition(both.platform.edition), kinds)


def _searched(task: Task, exploration: Search, listener: Listener | None) -> Result:
    search = exploration.search(RACES | {Wrong.COMMAND_OVER_COMMAND} if task.callers > 1 else RACES)
    if task.resume:
        try:
            search.restore(task.resume)
        except (ValueError, OSError) as error:
            raise InputError(f"--resume: {error}", str(task.resume)) from None
    if task.checkpoint is None:
        return exploration.run(search, listener)
    kept = Checkpoints(search, task.checkpoint, task.every)
    try:
        result = exploration.run(search, kept.listener(listener))
    except BaseException:
        kept.save()
        raise
    if search.incomplete and not search.hits:
        kept.save()
    return result


class Checkpoints:
    """What a search has found, kept in a file every so many seconds, so that nothing that ends it loses more."""

    # Of the time that a search takes, at most this part goes into keeping it.
    SHARE = 0.1

    def __init__(self, search: Running, path: Path, every: float) -> None:
        self.search = search
        self.path = path
        self.every = every
        self.due = time.monotonic() + every

    def save(self) -> None:
        """Write the file. Raises ``InputError`` where that cannot be."""
        began = time.monotonic()
        try:
            self.search.save(self.path)
        except OSError as error:
            raise InputError(f"--checkpoint: {error.strerror}", str(self.path)) from None
        now = time.monotonic()
        self.due = now + max(self.every, (now - began) / self.SHARE)

    def listener(self, following: Listener | None) -> Listener:
        """Return a listener that writes the file when it is time, before it calls another one."""

        def listen(one: Progress) -> None:
            if time.monotonic() >= self.due:
                self.save()
            if following:
                following(one)

        return listen


def _judged(
    task: Task, both: Sides, setup: Setup, probe: Probe, result: Result, found: Found
) -> tuple[Violation, ScenarioFile]:
    turns = [(side.number, 0) for side in result.known.sides for _ in range(side.opening)]
    turns += [turn for taken in found.way for turn in taken.turns]
    ordered = _ordered(probe, found.way)
    schedule = Schedule(task.memory, engine="steps", steps=compressed(turns) or NO_STEPS)
    trial = attrs.evolve(setup, requests=setup_of(both, ordered, task.memory, False).requests)
    also = ALSO.get(found.wrong, {})
    steps = tuple(_listed(both, trial, result, found.way))
    what = (
        f"{_named(setup, found.way[-1].agent)} {_says(found)}" if found.way and found.wrong is not Wrong.STUCK else ""
    )
    # A bring-up that tests is none that the checks of bring-ups speak of.
    for role in (Role.RECEIVER,) if task.tests else (Role.SENDER, Role.RECEIVER):
        trace = replayed(both, role, ordered, schedule, task.callers)
        asked, boots = (*asked_of(task, role), *also.get(role, ())), both.platform.system is not None
        failed = failures(trace, role, Edition(both.platform.edition), asked, boots)
        if failed:
            break
    violation = Violation(what or SAYS[Wrong.STUCK], role, failed, tuple(turns), steps, trace)
    file = ScenarioFile("scenario", task.platform, role, failed or ("RCV-01",), schedule, ordered, agent=task.agent)
    return violation, attrs.evolve(file, callers=task.callers)


def asked_of(task: Task, role: Role) -> tuple[str, ...]:
    """Return the requirements that can be asked of any trial of an exploration."""
    if task.callers > 1:
        return TOGETHER if role is Role.SENDER else ()
    return TWICE[role] if task.twice else ALWAYS[role]


def _says(found: Found) -> str:
    kinds = {Wrong.ASTRAY: "landing", Wrong.AGAIN: "landing", Wrong.LOST: "return", Wrong.EARLY_SUCCESS: "return"}
    told = [one for one in found.way[-1].outcome.told if one.kind == kinds.get(found.wrong, "visible")]
    one = told[-1]
    return SAYS[found.wrong].format(offset=one.offset, width=one.width, value=one.value)


def _named(setup: Setup, agent: int) -> str:
    if agent not in setup.senders:
        return f"AP {setup.ids[agent]:#x}"
    return f"OS {agent - len(setup.ids) + setup.callers + 1}" if agent else "OS"


def _ordered(probe: Probe, way: tuple[Taken, ...]) -> Probe:
    """Return the probe with its requests in the order in which a schedule takes them; the others come after these."""
    taken = [one.action.request for one in way if one.action.request not in (None, NOBODY)]
    numbers = [*taken, *(number for number in range(len(probe.requests)) if number not in taken)]
    return attrs.evolve(probe, requests=tuple(probe.requests[number] for number in numbers if number is not None))


def replayed(both: Sides, role: Role, probe: Probe, schedule: Schedule, callers: int = 1) -> Trace:
    """Run a schedule of steps. Raises ``ValueError`` for a step that is not possible."""
    setup = setup_of(both, probe, schedule.memory, False, callers)
    simulation = Simulation(setup.programs, setup.ids, setup.requests, schedule.memory, page=setup.page)
    trace = _of_one(setup, simulate_steps(simulation, schedule.turns()))
    if role is Role.SENDER:
        return trace
    around, resettable = both.receiver.agent.environment, both.receiver.reset >= 0
    return environment.observed(around, Host(), trace, resettable, announcement(both.platform.tables))


def _of_one(setup: Setup, trace: Trace) -> Trace:
    # What any of its processors does is what the operating system does.
    if setup.callers == 1:
        return trace
    events = (attrs.evolve(one, agent=SENDER) if one.agent in setup.senders else one for one in trace.events)
    return attrs.evolve(trace, ids=trace.ids[: 1 - setup.callers], events=tuple(events))


def _only(trace: Trace, edition: Edition, boots: bool) -> Behaviour:
    return Behaviour(lambda _sentence, _seed: (trace,), edition, boots=boots)


def offence(trace: Trace, role: Role, edition: Edition, requirement: str) -> Traffic | None:
    """Return the mailbox traffic around what a requirement fails for."""
    seen = judge(find(requirement, role), _only(trace, edition, boots=True))
    bad = next(one for one in seen.findings if not one.ok)
    return next((exhibit.traffic for exhibit in bad.exhibits if exhibit.traffic), None)


def snippet(one: Violation, scenario: str) -> str:
    """Return a feature with a scenario for each requirement that fails; a run of the scenario's file fails in each."""
    lines = [f"Feature: {one.what}", f"  mpwake run {scenario} judges this schedule.", ""]
    for id in one.requirements:
        check = find(id, one.role)
        lines += [f"  @{id} @{one.role.value}", f"  Scenario: {check.then[0].upper()}{check.then[1:]}"]
        words = [f"    Given {check.given[0].sentence}", *(f"    And {each.sentence}" for each in check.given[1:])]
        lines += [*words, f"    When {check.when.sentence}", f"    Then {check.then}", ""]
    return "\n".join(lines)


def failures(trace: Trace, role: Role, edition: Edition, asked: tuple[str, ...], boots: bool) -> tuple[str, ...]:
    """Return those of some requirements that a trace fails."""
    seen = _only(trace, edition, boots)
    return tuple(id for id in dict.fromkeys(asked) if judge(find(id, role), seen).verdict is Verdict.FAIL)


def _listed(both: Sides, setup: Setup, result: Result, way: tuple[Taken, ...]) -> Iterator[Step]:
    machine = Machine.of(setup.programs, setup.ids, setup.requests, setup.memory, setup.page)
    for side in result.known.sides:
        for _ in range(side.opening):
            machine.step(side.number, 0)
    for line, same in itertools.groupby(_line(both, machine, setup, taken) for taken in way):
        count = len(list(same))
        yield attrs.evolve(line, did=(*line.did, f"{count} times")) if count > 1 else line


def _line(both: Sides, machine: Machine, setup: Setup, taken: Taken) -> Step:
    agent = (both.sender if taken.agent in setup.senders else both.receiver).agent
    named, at = dict(places(agent)), ""
    did: list[str] = []
    text = ""
    for number, action in taken.turns:
        pc = int(machine.pc[number])
        kind, offset, width, value, _ = machine.step(number, action)
        word = EFFECTS[kind]
        if action:
            at, text = "buffer", "a store becomes visible"
        elif not text or (word not in ("none", "return", "request") and not did):
            at, text = named[pc], written(agent.operations[pc]) if pc < len(agent.operations) else "end"
        did += _did(word, offset, width, value, setup, machine)
    return Step(taken.agent, at, text, did=tuple(_counted(did)))


def _counted(did: list[str]) -> Iterator[str]:
    for what, same in itertools.groupby(did):
        count = len(list(same))
        yield f"{what}, {count} times" if count > 1 else what


def _did(word: str, offset: int, width: int, value: int, setup: Setup, machine: Machine) -> Iterator[str]:
    value &= (1 << 64) - 1
    if word in _STEPS:
        yield f"{_STEPS[word]} {place(offset, width)} = {value:#x}"
    elif word == "landing":
        yield f"lands at {value:#x}"
    elif word == "return":
        yield f"returns {value - (1 << 64) if value >> 63 else value}"
    elif word == "request":
        _, target, vector = setup.requests[int(machine.position[0]) - 1]
        yield f"asked: {target:#x} to {vector:#x}"


def steps_of(one: ScenarioFile, node: Node) -> Trace:
    """Run a scenario whose schedule has steps; ``node`` is its YAML."""
    assert one.probe is not None
    both = sides(one.platform, one.agent)
    try:
        return replayed(both, one.role, one.probe, one.schedule, one.callers)
    except ValueError as error:
        raise node.value["schedule"].error(str(error), "explore it again; this was found for other programs") from None
