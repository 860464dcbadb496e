"""One trial as a document: what is done to which implementation, under which schedule. The fuzzers write these."""

from __future__ import annotations

import re
from typing import Literal

import attrs

from mpwake.evidence.exploration import expanded
from mpwake.model.probe import MAX_STEPS, Probe, Schedule
from mpwake.model.situation import Situation
from mpwake.spec.document import described
from mpwake.spec.requirements import Role

# How many processors of an operating system may wake others at the same time.
CALLERS = 3
Reference = Literal["acpi-6.4", "acpi-6.6"]
AcpiEdition = Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"]


@attrs.frozen
class Origin:
    """How a fuzzer came to a scenario, and what finds it again."""

    again: str = described("The command that finds it again, in an empty directory")
    seed: int = described("The seed of the round in which it was found")
    notes: tuple[str, ...] = described("What Hypothesis noted of the example", ())

    def told(self) -> tuple[str, ...]:
        """Return it as the notes that a report has on its subject."""
        noted = (f"Hypothesis noted: {'; '.join(self.notes)}",) if self.notes else ()
        return (f"found by {self.again}, in the round of seed {self.seed}", *noted)


@attrs.frozen
class ScenarioFile:
    """A scenario that can be run again: exactly one of a probe and a situation."""

    kind: Literal["scenario"] = described("scenario")
    platform: str = described("The platform under test, by its name or as a path from the working directory")
    role: Role = described("sender or receiver")
    requirements: tuple[str, ...] = described("What its trial is judged by")
    schedule: Schedule = described("The schedule of the trial")
    probe: Probe | None = described("What is done to an AP loop or a bring-up", None)
    situation: Situation | None = described("What an operating system is booted into", None)
    agent: str | None = described(
        "For a schedule of steps: who plays the other side, an agent by its name or as a path from the working "
        "directory; what the platform has there unless given, else os-reference or acpi-6.6",
        None,
    )
    reference: Reference | None = described("An AP loop that keeps to ACPI, from which this one differs here", None)
    edition: AcpiEdition | None = described("Edition to be held against; that of the platform unless given", None)
    found: Origin | None = described("How a fuzzer came to it", None)
    callers: int = described(
        "For a schedule of steps: how many processors of the operating system wake others at the same time; those "
        "after the first have the numbers after the last of the parked ones",
        1,
    )

    def __attrs_post_init__(self) -> None:
        if self.role is Role.TABLES:
            raise ValueError("a scenario drives a sender or a receiver")
        if not 1 <= self.callers <= CALLERS or (self.callers > 1 and self.schedule.engine != "steps"):
            raise ValueError(f"callers are 1 to {CALLERS}, and more than one only where the schedule has steps")
        if (self.probe is None) == (self.situation is None):
            raise ValueError("a scenario has exactly one of the keys probe, situation")
        if self.situation is not None and self.role is not Role.SENDER:
            raise ValueError("only a sender is booted into a situation")
        if self.situation is not None and self.schedule.engine != "events":
            raise ValueError("a boot has the engine events")
        if self.agent is not None and self.schedule.engine != "steps":
            raise ValueError("an agent plays the other side where the schedule has steps, and nowhere else")
        _names_something(self.requirements, self.reference)


def _names_something(requirements: tuple[str, ...], reference: str | None) -> None:
    if not requirements and reference is None:
        raise ValueError("it names no requirement, and no reference to differ from")


@attrs.frozen
class Pinned:
    """An implementation as it was when a scenario was written."""

    location: str = described("The target, KIND:LOCATION or a target .yaml; a relative path counts from this file")
    sha256: str = described("SHA-256 of the machine code, behind the image and the module where it is from one")

    def __attrs_post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError("sha256 has 64 digits of hexadecimal")


@attrs.frozen
class Interleaving:
    """A scenario of machine code that can be run again, step by step; ``mpwake explore`` writes these."""

    kind: Literal["scenario"] = described("scenario")
    target: Pinned = described("The machine code")
    role: Role = described("Whose requirements are judged: receiver, or sender where the agent is to blame")
    requirements: tuple[str, ...] = described("What its trial is judged by")
    probe: Probe = described("The processors, what is asked of the agent, and what the host does")
    schedule: str = described(
        "Whose each step is, in turn: 0 for the operating system, else the number of a processor; 1*3 stands for "
        "1 1 1. After the last, everybody takes steps in turn until nothing new happens"
    )
    agent: str = described(
        "The operating system: an agent by its name or as a path from the working directory", "tester"
    )

    def __attrs_post_init__(self) -> None:
        if self.role is Role.TABLES:
            raise ValueError("a scenario drives a sender or a receiver")
        if not self.requirements:
            raise ValueError("it names no requirement")
        self.steps()

    def steps(self) -> tuple[int, ...]:
        """Return the agent of each step."""
        return expanded(self.schedule, MAX_STEPS)


@attrs.frozen
class Drawn:
    """A trial of a program or of machine code, in an order drawn from a seed; ``mpwake fuzz`` writes these."""

    kind: Literal["scenario"] = described("scenario")
    target: Pinned = described("What is driven")
    role: Literal["receiver"] = described("receiver")
    requirements: tuple[str, ...] = described("What its trial is judged by")
    probe: Probe = described("The processors, what is done to them, and what the host does")
    seed: int = described("What the order of instructions is drawn from; a program's own processors take none", 0)
    module: Literal["strict", "lenient"] = described("The TDX module that is played", "strict")
    reference: Reference | None = described("An AP loop that keeps to ACPI, from which this one differs here", None)
    edition: AcpiEdition | None = described("Edition to be held against; that of the target unless given", None)
    found: Origin | None = described("How a fuzzer came to it", None)

    def __attrs_post_init__(self) -> None:
        _names_something(self.requirements, self.reference)


@attrs.frozen
class Reading:
    """Bytes that a reader of the suite was given; ``mpwake fuzz`` writes these."""

    kind: Literal["scenario"] = described("scenario")
    reader: str = described("Who reads them, as mpwake fuzz calls it")
    file: str = described("The bytes; a relative path counts from this file")
    sha256: str = described("Their SHA-256")
    shows: tuple[str, ...] = described("What they showed: a kind and a shape each")
    found: Origin | None = described("How a fuzzer came to them", None)
