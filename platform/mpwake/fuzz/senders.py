"""Bring-ups of the model as what is fuzzed: faults of processors, their pace and the schedule; and whole boots."""

from __future__ import annotations

from pathlib import Path

import attrs
from hypothesis import strategies as st

from mpwake.evidence.trace import Trace
from mpwake.fuzz.draw import boots, scenarios
from mpwake.fuzz.judge import BOOTED, of_sender
from mpwake.fuzz.problem import Examined, Job, Problem
from mpwake.fuzz.write import save
from mpwake.model.boot import booted
from mpwake.model.probe import trial
from mpwake.model.scenario import ScenarioFile
from mpwake.model.situation import boot_of
from mpwake.spec import document
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.requirements import Role
from mpwake.targets.model import Driver


@attrs.frozen
class BringUp:
    """A bring-up of the model, and the edition that it is held against."""

    driver: Driver
    edition: Edition

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
        trace = self.play(one)
        seen = of_sender(one, trace, self.edition, boots=one.situation is not None)
        seen.sometimes[BOOTED] += seen.sometimes["a request was answered"]
        return seen


def told(one: ScenarioFile) -> tuple[str, ...]:
    """Write a scenario, a line for each thing in it."""
    return tuple(document.dump(attrs.evolve(one, requirements=("",))).splitlines()[3:])


def size(one: ScenarioFile) -> tuple[int, ...]:
    """Order scenarios: fewer requests first, then fewer processors, then shorter ones."""
    some = one.probe or one.situation
    assert some is not None
    asked = len(one.probe.requests) if one.probe else len(one.situation.actions) if one.situation else 0
    return asked, len(some.ids), len(document.dump(one))


def write(one: ScenarioFile, problems: tuple[Problem, ...], folder: Path, slug: str) -> tuple[str, ...]:
    """Write a scenario into a folder, with the requirements that fail in it."""
    ids = tuple(dict.fromkeys(problem.requirement for problem in problems))
    return (save(folder / f"{slug}.yaml", attrs.evolve(one, requirements=ids)),)


def sender_job(name: str, driver: Driver, edition: Edition, platform: str, digest: str) -> Job:
    """Return the fuzzing of a bring-up, and of the operating system around it where it keeps to the newest edition.

    What the drawn firmware publishes is of that one.
    """
    drawn: st.SearchStrategy[ScenarioFile] = scenarios(Role.SENDER, platform)
    one = BringUp(driver, edition)
    return Job(
        name=name,
        about=f"sender, held against {edition.value}",
        digest=digest,
        strategy=drawn | boots(platform) if driver.system and edition is NEWEST else drawn,
        examine=one.examine,
        told=told,
        size=size,
        write=write,
        needed=(BOOTED,),
    )
