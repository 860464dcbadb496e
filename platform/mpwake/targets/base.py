"""What every target is, to the rest of the code."""

from __future__ import annotations

from typing import Literal

import attrs

from mpwake.evidence.tables import Tables
from mpwake.spec.document import described
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.requirements import Role


@attrs.frozen
class Source:
    """One input as it was read: its name, what it was taken for, and its bytes."""

    name: str
    kind: str
    data: bytes


@attrs.frozen
class Target:
    """An implementation under test, opened.

    ``roles`` are those in which it can be judged; ``edition`` is the one that it declares, with the reason, or
    None; ``notes`` are what the reader noticed and a person should know.
    """

    kind: str
    name: str
    roles: frozenset[Role]
    sources: tuple[Source, ...]
    tables: Tables
    edition: Edition | None = None
    edition_reason: str = ""
    notes: tuple[str, ...] = ()

    def held_to(self, edition: Edition, reason: str) -> Target:
        """Return the same target, held against ``edition``."""
        tables = attrs.evolve(self.tables, edition=edition)
        return attrs.evolve(self, edition=edition, edition_reason=reason, tables=tables)

    def settled(self) -> Target:
        """Return the same target with an edition: its own, else the newest."""
        if self.edition is not None:
            return self.held_to(self.edition, self.edition_reason)
        return self.held_to(NEWEST, "the newest, because the target declares none")


@attrs.frozen
class TargetDocument:
    """A target declared in YAML, with its options."""

    kind: str = described("Kind of the target: model or tables")
    location: str = described("What to open; a relative path counts from this file")
    evidence: tuple[str, ...] = described("Further evidence, [KIND:]LOCATION each, as after --with", ())
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] | None = described("Edition to be held against", None)
