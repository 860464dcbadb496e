"""Opens a declared AP loop: its machine code alone, parked on a platform as the declaration says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mpwake.checks.core import not_testable
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.probe import probe
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target
from mpwake.targets.firmware.declaration import Declared, read_declaration
from mpwake.targets.firmware.open import Driver, check_extra

if TYPE_CHECKING:
    from mpwake.targets.firmware.stage import Stage

INDEXED = "the APIC ID is the processor's index here, and these processors have other APIC IDs"


@attrs.frozen
class Bare:
    """The platform of a declared loop."""

    declared: Declared

    def stage(self, processors: int) -> Stage:
        """Park so many processors."""
        from mpwake.targets.firmware.stage import Layout, bare_stage

        given = self.declared.declaration
        layout = Layout(
            mailbox=given.mailbox,
            code=given.code.at,
            entry=given.code.entry,
            reset=given.code.reset,
            registers=given.registers,
            confidential=given.id.startswith("tdcall"),
            tells=False,
            budget=given.budget.instructions,
            patience=given.budget.patience,
        )
        return bare_stage(self.declared.code, processors, layout=layout)


@attrs.frozen
class Indexed:
    """Drives only what a platform whose APIC IDs are its processors' indices can have."""

    driver: Driver

    def drive(self, sentence: str, seed: int) -> tuple[Trace, ...]:
        """Run the probe that a sentence names. Raises ``Unjudged`` for other APIC IDs."""
        ids = probe(sentence, Role.RECEIVER).ids
        if ids != tuple(range(1, len(ids) + 1)):
            raise not_testable(INDEXED)
        return self.driver.drive(sentence, seed)


def open_declared(path: Path, node: Node) -> Target:
    """Open a declaration that was read from ``path``. Raises ``InputError`` for a value that cannot be."""
    declared = read_declaration(node, path.parent)
    check_extra()
    given = declared.declaration
    driver = Driver(Bare(declared))
    drive = Indexed(driver).drive if given.id == "index" else driver.drive
    code = Source(given.code.file, "machine code", declared.code)
    note = (
        f"{len(declared.code)} bytes of code at {given.code.at:#x}, the mailbox at {given.mailbox:#x}, as {path} says"
    )
    driven = {Role.RECEIVER: Behaviour(drive)}
    target = Target(kind="firmware", name=str(path), sources=(code,), driven=driven, notes=(note,))
    return target if given.edition is None else target.held_to(Edition(given.edition), f"{path} says so")
