"""What every target is, to the rest of the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import attrs

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.tables import Tables
from mpwake.spec.document import described
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.requirements import Role

if TYPE_CHECKING:
    from mpwake.targets.firmware.stage import Stage
    from mpwake.targets.runner.drive import Runner


@attrs.frozen
class Source:
    """One input as it was read: its name, what it was taken for, and its bytes."""

    name: str
    kind: str
    data: bytes


@attrs.frozen
class Target:
    """An implementation under test, opened.

    ``tables`` is its evidence in that role, if it has it, and ``driven`` that in the others; ``edition`` is the one
    that it declares, with the reason, or None; ``notes`` are what the reader noticed and a person should know.
    ``selects`` are the requirements that it can be judged by, where these are not all. ``platform`` is the name of the
    model's platform that it is, if it is one: features of its own belong to it. ``parks`` puts so many processors of
    machine code into its loop; ``indexed`` says that their APIC IDs can only be their numbers. ``program`` is a program
    of somebody's that runs processors.
    """

    kind: str
    name: str
    sources: tuple[Source, ...]
    tables: Tables | None = None
    driven: Mapping[Role, Behaviour] = MappingProxyType({})
    edition: Edition | None = None
    edition_reason: str = ""
    notes: tuple[str, ...] = ()
    selects: tuple[str, ...] = ()
    platform: str = ""
    parks: Callable[[int], Stage] | None = None
    indexed: bool = False
    program: Runner | None = None

    @property
    def roles(self) -> frozenset[Role]:
        """The roles in which it can be judged."""
        return frozenset(self.driven) | ({Role.TABLES} if self.tables else frozenset())

    def evidence(self, role: Role) -> Tables | Behaviour:
        """Return the evidence in one of its roles."""
        if role is not Role.TABLES:
            return self.driven[role]
        assert self.tables is not None
        return self.tables

    def held_to(self, edition: Edition, reason: str) -> Target:
        """Return the same target, held against ``edition``."""
        tables = self.tables and attrs.evolve(self.tables, edition=edition)
        driven = {role: attrs.evolve(side, edition=edition) for role, side in self.driven.items()}
        return attrs.evolve(self, edition=edition, edition_reason=reason, tables=tables, driven=driven)

    def seeded(self, seed: int) -> Target:
        """Return the same target, with everything random drawn from ``seed``."""
        return attrs.evolve(self, driven={role: attrs.evolve(side, seed=seed) for role, side in self.driven.items()})

    def settled(self) -> Target:
        """Return the same target with an edition: its own, else the newest."""
        if self.edition is not None:
            return self.held_to(self.edition, self.edition_reason)
        return self.held_to(NEWEST, "the newest, because the target declares none")


@attrs.frozen
class TargetDocument:
    """A target declared in YAML, with its options."""

    kind: str = described("Kind of the target: model, tables, firmware, runner, kernel or trace")
    location: str = described("What to open; a relative path counts from this file")
    evidence: tuple[str, ...] = described("Further evidence, [KIND:]LOCATION each, as after --with", ())
    arguments: tuple[str, ...] = described("Arguments of the program that a runner starts", ())
    follows: tuple[Literal["linux", "dt-binding"], ...] = described(
        "What a kernel claims to keep, where its image does not tell: the DeviceTree binding", ()
    )
    backend: Literal["tcg", "kvm"] | None = described(
        "What carries a kernel's instructions out: QEMU itself (tcg, unless given), or the processor (kvm)", None
    )
    next: str | None = described(
        "Another bzImage, which a kernel starts by kexec or after a crash; the same one unless given", None
    )
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] | None = described("Edition to be held against", None)
