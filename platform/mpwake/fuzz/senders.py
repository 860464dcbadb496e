"""Bring-ups of the model as what is fuzzed: faults of processors, their pace and the schedule; and whole boots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from hypothesis import strategies as st

from mpwake.checks.core import find
from mpwake.evidence.trace import Trace
from mpwake.fuzz.draw import boots, scenarios
from mpwake.fuzz.judge import BOOTED, WOKEN, of_sender
from mpwake.fuzz.problem import Examined, Job, Problem, drawn
from mpwake.fuzz.write import feature_of, save
from mpwake.model.boot import booted
from mpwake.model.probe import trial
from mpwake.model.scenario import Origin, ScenarioFile
from mpwake.model.situation import boot_of
from mpwake.spec import document
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.requirements import Role
from mpwake.targets.model import Driver


@attrs.frozen
class BringUp:
    """A bring-up of the model, the edition that it is held against, and how a file names its platform.

    ``chosen`` is whether somebody has chosen the edition.
    """

    name: str
    driver: Driver
    edition: Edition
    platform: str
    chosen: bool = False

    def play(self, one: ScenarioFile) -> Trace:
        """Run a scenario."""
        if one.probe is not None:
            return trial(self.driver.program, one.probe, one.schedule, self.driver.announced)
        assert self.driver.system is not None
        assert one.situation is not None
        at = document.from_plain(document.encode(one.situation), "drawn")
        return booted(self.driver.program, self.driver.system, boot_of(one.situation, at), one.schedule)

    def examine(self, one: ScenarioFile) -> Examined:
        """Run a scenario and judge it."""
        return of_sender(one, self.play(one), self.edition, boots=one.situation is not None)

    def write(
        self, one: ScenarioFile, problems: tuple[Problem, ...], folder: Path, slug: str, origin: Origin
    ) -> tuple[str, ...]:
        """Write a scenario into a folder, with the requirements that fail in it, and the feature that it would be."""
        ids = tuple(dict.fromkeys(problem.requirement for problem in problems))
        says = sentence(one)
        edition: Any = self.edition.value if self.chosen else None
        file = attrs.evolve(
            one,
            requirements=ids,
            probe=one.probe and attrs.evolve(one.probe, says=says),
            situation=one.situation and attrs.evolve(one.situation, says=says),
            edition=edition,
            found=origin,
        )
        written = save(folder / f"{slug}.yaml", file)
        checks = {id: find(id, Role.SENDER) for id in ids}
        feature = folder / f"{slug}.feature"
        return (written, feature_of(feature, says, problems, self.name, lambda problem: checks[problem.requirement]))


def sentence(one: ScenarioFile) -> str:
    """Write what a bring-up meets as the sentence of a When."""
    if one.probe is not None:
        named = (f"{request.op} {request.id:#x} at {request.value:#x}" for request in one.probe.requests)
        loops = one.probe.loops or ["acpi-6.6"] * len(one.probe.ids)
        parked = (f"{apic:#x} ({loop})" for apic, loop in zip(one.probe.ids, loops, strict=True))
        return f"with {', '.join(parked)} parked, the operating system is asked to {', then '.join(named)}"
    assert one.situation is not None
    parked = (f"{apic:#x}" for apic in one.situation.ids)
    asked = (f"takes {action.id:#x} {action.op}" for action in one.situation.actions)
    return ", then ".join((f"with {', '.join(parked) or 'nobody'} listed, the operating system boots", *asked))


def told(one: ScenarioFile) -> tuple[str, ...]:
    """Write a scenario, a line for each thing in it."""
    return tuple(document.dump(attrs.evolve(one, requirements=("",))).splitlines()[3:])


def size(one: ScenarioFile) -> tuple[int, ...]:
    """Order scenarios: fewer requests first, then fewer processors, then shorter ones."""
    some = one.probe or one.situation
    assert some is not None
    asked = len(one.probe.requests) if one.probe else len(one.situation.actions) if one.situation else 0
    return asked, len(some.ids), len(document.dump(one))


def sender_job(one: BringUp, digest: str) -> Job:
    """Return the fuzzing of a bring-up, and of the operating system around it where it keeps to the newest edition.

    What the drawn firmware publishes is of that one.
    """
    traced: st.SearchStrategy[ScenarioFile] = scenarios(Role.SENDER, one.platform)
    options = ("--role sender", *((f"--edition {one.edition.value}",) if one.chosen else ()))
    return Job(
        name=one.name,
        about=f"sender, held against {one.edition.value}",
        digest=" ".join((digest, *options)),
        options=options,
        platform=one.platform,
        search=drawn(traced | boots(one.platform) if one.driver.system and one.edition is NEWEST else traced),
        examine=one.examine,
        told=told,
        size=size,
        write=one.write,
        needed=(WOKEN, BOOTED),
    )
