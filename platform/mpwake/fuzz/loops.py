"""AP loops as what is fuzzed: of the model, in machine code, or behind a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs

from mpwake.checks.situations import Plan, plan_of
from mpwake.checks.traffic import told
from mpwake.evidence.trace import Trace
from mpwake.fuzz.draw import LONGEST, Can, Case
from mpwake.fuzz.judge import COMPARED, WOKEN, of_receiver
from mpwake.fuzz.machine import machine_of
from mpwake.fuzz.problem import BROKEN, Examined, Job, Problem, driven, shape_of
from mpwake.fuzz.reference import reference_of
from mpwake.fuzz.write import feature_of, of_receivers, save
from mpwake.model.environment import Host
from mpwake.model.probe import Probe, Request
from mpwake.model.scenario import Drawn, Origin, ScenarioFile
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.base import Target
from mpwake.targets.drawn import player
from mpwake.targets.model import Driver

T = TypeVar("T")
Play = Callable[[Case], Trace]
OFTEN = 2
# How many steps the trials of a round have, the opening among them.
STEPS = (1, 4, 1, 1 + LONGEST, 1)
UNSTEADY = "a real processor did not show again what it showed"
_WORDS = {
    "wake": "wakes {id:#x} at {value:#x}",
    "test": "sends Test to {id:#x}",
    "fields": "stores ApicId {id:#x} and WakeupVector {value:#x} alone",
    "command": "sends Command {value:#x} to {id:#x}",
    "reset": "resets {id:#x} with {value:#x} set in CR4",
    "settle": "waits {value} steps",
    "overwrite": "wakes {id:#x} at {value:#x} and overwrites WakeupVector",
    "reserved": "stores {value:#x} in Reserved",
    "send": "wakes {id:#x} at {value:#x} without waiting",
    "clear": "takes back what nobody answers",
    "torn": "wakes {id:#x} at {value:#x}, field by field in pieces",
    "vector": "stores WakeupVector {value:#x} alone",
    "id": "stores ApicId {id:#x} alone",
    "stale": "stores Command {value:#x} alone",
    "byte": "stores the low byte of Command {value:#x} alone",
}


@attrs.frozen
class Loop:
    """An AP loop, what can be done to it, and how a file names it.

    ``edition`` is the one that it is held against, ``chosen`` whether somebody has chosen it. Real processors take no
    seed: what they show once is shown ``often`` times more, or it is no finding.
    """

    name: str
    edition: Edition
    can: Can
    play: Play
    document: Callable[[Case, tuple[str, ...], str | None, Path], ScenarioFile | Drawn]
    chosen: bool = False
    often: int = 0

    def plan(self, case: Case) -> Plan:
        """Return what a trial does, step by step."""
        return plan_of(case.probe, self.edition)

    def examine(self, case: Case) -> Examined:
        """Run a trial and judge it; what a program's own processors do not show again is left out."""
        seen = self._examined(case)
        for _ in range(self.often):
            if not seen.problems:
                break
            again = {one.key for one in self._examined(case).problems}
            steady = tuple(one for one in seen.problems if one.key in again)
            seen.sometimes[UNSTEADY] += len(steady) < len(seen.problems)
            seen = attrs.evolve(seen, problems=steady)
        return seen

    def _examined(self, case: Case) -> Examined:
        honest = attrs.evolve(case, probe=attrs.evolve(case.probe, host=Host()))
        try:
            return of_receiver(self.plan(case), self.play(case), lambda: self.play(honest))
        except InputError as error:
            if not self.often:
                raise
            return Examined((Problem("", shape_of(error.message), str(error), "an answer", kind=BROKEN),))

    def told(self, case: Case) -> tuple[str, ...]:
        """Write a trial: who is parked, what is done, and under which schedule."""
        probe = case.probe
        ids = ", ".join(f"{one:#x}" for one in probe.ids)
        host = [line for line in (_host(probe.host),) if line]
        return (f"parked: {ids}", *host, *map(phrase, probe.requests), f"schedule: {_schedule(case)}")

    def write(
        self, case: Case, problems: tuple[Problem, ...], folder: Path, slug: str, origin: Origin
    ) -> tuple[str, ...]:
        """Write a trial into a folder: a scenario that can be run again, and the feature that it would be."""
        ids = tuple(dict.fromkeys(one.requirement for one in problems if one.requirement))
        other = reference_of(self.edition) if any(not one.requirement for one in problems) else None
        says = sentence(case.probe)
        case = attrs.evolve(case, probe=attrs.evolve(case.probe, says=says))
        edition: Any = self.edition.value if self.chosen else None
        file = attrs.evolve(self.document(case, ids, other, folder), edition=edition, found=origin)
        written = save(folder / f"{slug}.yaml", file)
        checks = of_receivers(self.plan(case))
        return (written, feature_of(folder / f"{slug}.feature", says, problems, self.name, checks))


def _host(host: Host) -> str:
    words = {
        "held back at the beginning": host.holds,
        "told other APIC IDs": host.ids,
        "refused": host.refuses,
        "changed": host.changes,
        "paused": [f"after {one.after} for {one.steps}" for one in host.pauses],
        "without events": not host.events,
        "page written by the host": host.seeds,
        "a MADT entry of the host": host.entry,
    }
    return "; ".join(f"host: {name} {value}" for name, value in words.items() if value)


def _schedule(case: Case) -> str:
    module = "" if case.strict else ", lenient TDX module"
    return f"{case.schedule.memory}, {case.schedule.engine}, seed {case.schedule.seed}{module}"


def phrase(one: Request) -> str:
    """Write a request in words."""
    return _WORDS[one.op].format(id=one.id, value=one.value)


def sentence(probe: Probe) -> str:
    """Write what is done in a trial as the sentence of a probe."""
    return "the operating system " + ", then ".join(map(phrase, probe.requests))


def size(case: Case) -> tuple[int, ...]:
    """Order trials: fewer operations first, then fewer processors, then less of everything else."""
    probe = case.probe
    plain = probe.host == Host(), not probe.poison, case.schedule.memory == "sc", case.schedule.engine == "events"
    values = sum(one.value.bit_length() + one.id.bit_length() for one in probe.requests)
    return len(probe.requests), len(probe.ids), sum(not one for one in plain), values


def simpler(case: Case) -> Iterator[Case]:
    """Yield trials with something left out: requests, processors, what the host does, poison, a peculiar schedule."""
    probe = case.probe
    host = probe.host
    changed = [attrs.evolve(probe, requests=some) for some in _without_one(probe.requests)]
    if len(probe.ids) > 1 and not (host.ids or host.holds):
        changed += [attrs.evolve(probe, ids=some) for some in _without_one(probe.ids)]
    if host != Host():
        changed.append(attrs.evolve(probe, host=Host()))
    if probe.poison:
        changed.append(attrs.evolve(probe, poison=()))
    yield from (attrs.evolve(case, probe=one) for one in changed if one.requests)
    plain = attrs.evolve(case.schedule, memory="sc", engine="events")
    if plain != case.schedule:
        yield attrs.evolve(case, schedule=plain)
    if case.schedule.seed:
        yield attrs.evolve(case, schedule=attrs.evolve(case.schedule, seed=0))


def _without_one(some: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    return (some[:at] + some[at + 1 :] for at in range(len(some) - 1, -1, -1))


def _dense(ids: tuple[int, ...]) -> bool:
    return ids == tuple(range(1, len(ids) + 1))


def of_model(name: str, driver: Driver, edition: Edition, platform: str, chosen: bool = False) -> Loop:
    """Return an AP loop of the model; ``platform`` is what a file calls its platform."""
    from mpwake.model.probe import trial

    around = driver.program.agent.environment
    can = Can(reset=driver.program.reset >= 0, host=bool(around.confidential), tables=bool(around.confidential))

    def play(case: Case) -> Trace:
        return trial(driver.program, case.probe, case.schedule, driver.announced)

    def document(case: Case, ids: tuple[str, ...], reference: str | None, _folder: Path) -> ScenarioFile:
        return ScenarioFile(
            kind="scenario",
            platform=platform,
            role=Role.RECEIVER,
            requirements=ids,
            schedule=case.schedule,
            probe=case.probe,
            reference=reference,  # type: ignore[arg-type]
        )

    return Loop(name, edition, can, play, document, chosen)


def of_target(target: Target, location: str, chosen: bool = False) -> Loop:
    """Return the AP loop of a target that is no model. Raises ``InputError`` where there is none."""
    from mpwake.targets.firmware.replay import pinned

    plays, edition = player(target), target.settled().edition
    assert edition is not None
    can, program = _can(target), target.program

    def play(case: Case) -> Trace:
        return plays(case.probe, case.schedule.seed, case.strict)

    def document(case: Case, ids: tuple[str, ...], reference: str | None, folder: Path) -> Drawn:
        return Drawn(
            kind="scenario",
            target=pinned(target, location, folder),
            role="receiver",
            requirements=ids,
            probe=case.probe,
            seed=case.schedule.seed,
            module="strict" if case.strict else "lenient",
            reference=reference,  # type: ignore[arg-type]
        )

    return Loop(location if program else target.name, edition, can, play, document, chosen, OFTEN if program else 0)


def _can(target: Target) -> Can:
    if target.program is not None:
        resets = "reset" in target.program.capabilities
        return Can(reset=resets, cr4=False, pauses=False, holds=False, ticks=False, memories=("sc",))
    assert target.parks is not None
    stage = target.parks(1)
    return Can(
        reset=stage.resettable,
        ids=not target.indexed,
        host=bool(stage.facts.get("confidential")),
        holds=False,
        lenient=True,
        ticks=False,
        memories=("sc",),
    )


def job_of(loop: Loop, digest: str) -> Job:
    """Return the fuzzing of an AP loop."""
    options = (f"--edition {loop.edition.value}",) if loop.chosen else ()
    return Job(
        name=loop.name,
        about=f"receiver, held against {loop.edition.value} and beside the loop {reference_of(loop.edition)}",
        digest=" ".join((digest, *options)),
        options=options,
        search=driven(machine_of(loop.can), STEPS),
        examine=loop.examine,
        told=loop.told,
        size=size,
        write=loop.write,
        simpler=lambda case: (one for one in simpler(case) if loop.can.ids or _dense(one.probe.ids)),
        needed=(WOKEN, COMPARED),
    )


def traffic(trace: Trace) -> Iterator[str]:
    """Yield what happened in a trial, a line each."""
    yield from told(trace).text.splitlines()
