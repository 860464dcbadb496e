"""One trial as a document: what is done to which implementation, under which schedule. The fuzzers write these."""

from __future__ import annotations

from typing import Literal

import attrs

from mpwake.model.probe import Probe, Schedule
from mpwake.model.situation import Situation
from mpwake.spec.document import described
from mpwake.spec.requirements import Role


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

    def __attrs_post_init__(self) -> None:
        if self.role is Role.TABLES:
            raise ValueError("a scenario drives a sender or a receiver")
        if (self.probe is None) == (self.situation is None):
            raise ValueError("a scenario has exactly one of the keys probe, situation")
        if self.situation is not None and self.role is not Role.SENDER:
            raise ValueError("only a sender is booted into a situation")
        if self.situation is not None and self.schedule.engine != "events":
            raise ValueError("a boot has the engine events")
        if not self.requirements:
            raise ValueError("it names no requirement")
