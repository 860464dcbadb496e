"""The evidence of an implementation that is driven: what it does when the suite plays the other side."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mpwake.evidence.trace import Trace
from mpwake.spec.editions import NEWEST, Edition


@attrs.frozen
class Behaviour:
    """An implementation that can be driven.

    ``drive`` runs one probe, named by its sentence, and returns what was seen in each of its trials; every probe is run
    once. ``edition`` is the edition that all this is held against.
    """

    drive: Callable[[str], tuple[Trace, ...]]
    edition: Edition = NEWEST
    seen: dict[str, tuple[Trace, ...]] = attrs.field(factory=dict, eq=False, repr=False)

    def trials(self, probe: str) -> tuple[Trace, ...]:
        """Return the trials of a probe."""
        if probe not in self.seen:
            self.seen[probe] = self.drive(probe)
        return self.seen[probe]
