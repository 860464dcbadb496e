"""The evidence of an implementation that is driven: what it does when the suite plays the other side."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from mpwake.evidence.trace import Trace
from mpwake.spec.editions import NEWEST, Edition


def _nothing(_sentences: Iterable[str]) -> None:
    """Be told what will be asked for, and do nothing about it."""


@attrs.frozen
class Behaviour:
    """An implementation that can be driven.

    ``drive`` runs one probe, named by its sentence, with a seed, and returns what was seen in each of its trials; every
    probe is run once. ``edition`` is the edition that all this is held against. ``follows`` names the implementations
    whose observable contract it claims to keep; ``boots`` says whether a whole operating system can be booted.
    ``prepare`` is told the sentences of a whole run before it begins, for what had better be begun in advance.
    ``only`` are the requirements that its trials can be judged by, where nobody arranged these for a probe.
    """

    drive: Callable[[str, int], tuple[Trace, ...]]
    edition: Edition = NEWEST
    seed: int = 0
    follows: frozenset[str] = frozenset()
    boots: bool = False
    only: frozenset[str] = frozenset()
    prepare: Callable[[Iterable[str]], None] = _nothing
    seen: dict[tuple[str, int], tuple[Trace, ...]] = attrs.field(factory=dict, eq=False, repr=False)

    def trials(self, probe: str) -> tuple[Trace, ...]:
        """Return the trials of a probe."""
        if (probe, self.seed) not in self.seen:
            self.seen[probe, self.seed] = self.drive(probe, self.seed)
        return self.seen[probe, self.seed]
