"""Opens a declared AP loop: its machine code alone, or in the image that parks it, on a platform as declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mpwake.checks.core import not_testable
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.probe import probe
from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target
from mpwake.targets.firmware.declaration import Declared, read_declaration
from mpwake.targets.firmware.extra import check_extra
from mpwake.targets.firmware.form import ImageDeclaration, ModuleCode, Private
from mpwake.targets.firmware.open import PROCESSORS, Driver, note_of, sources_of
from mpwake.targets.firmware.patches import Patch, warning

if TYPE_CHECKING:
    from mpwake.targets.firmware.stage import Layout, Stage

INDEXED = "the APIC ID is the processor's index here, and these processors have other APIC IDs"
CHANGED = " (changed code)"


@attrs.frozen
class Platform:
    """The platform of a declared loop."""

    declared: Declared

    def stage(self, processors: int) -> Stage:
        """Park so many processors."""
        from mpwake.targets.firmware.stage import bare_stage

        given, firmware = self.declared.declaration, self.declared.firmware
        stage = (
            bare_stage(self.declared.code, processors, layout=self._layout())
            if firmware is None
            else firmware.stage(processors)
        )
        stage.budget, stage.patience = given.budget.instructions, given.budget.patience
        stage.leaves = self.declared.leaves
        if given.private.broadcast is not None:
            stage.facts = {**stage.facts, "declared broadcast": given.private.broadcast}
        return stage

    def _layout(self) -> Layout:
        from mpwake.targets.firmware.stage import Layout

        given, placement = self.declared.declaration, self.declared.placement
        assert not isinstance(given, ImageDeclaration)
        assert placement is not None
        return Layout(
            mailbox=given.mailbox,
            code=placement.at,
            entry=placement.entry,
            reset=placement.reset,
            registers=given.registers,
            confidential=self.declared.leaves != frozenset(),
            tells=False,
        )


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
    return target_of(read_declaration(node, path.parent), str(path))


def open_changed(image: Path, patches: tuple[Patch, ...], name: str) -> Target:
    """Open a firmware image with bytes of its AP loop changed. Raises ``InputError`` where other bytes stand."""
    plain = {"kind": "firmware", "image": {"file": str(image)}, "patches": document.encode(patches)}
    return target_of(read_declaration(document.from_plain(plain, name), Path()), name)


def target_of(declared: Declared, name: str) -> Target:
    """Return the target that a declaration is, by this name. Raises ``InputError`` when its image does not start."""
    check_extra()
    given = declared.declaration
    driver = Driver(Platform(declared))
    if declared.firmware is not None:
        driver.stage(PROCESSORS)
    drive = Indexed(driver).drive if declared.source == "index" else driver.drive
    notes = (*warning(given.patches), _note(declared, name), *private_note(given.private))
    target = Target(
        kind="firmware",
        name=name + CHANGED * bool(given.patches),
        sources=_sources(declared),
        driven={Role.RECEIVER: Behaviour(drive)},
        notes=notes,
        parks=driver.stage,
        indexed=declared.source == "index",
    )
    return target if given.edition is None else target.held_to(Edition(given.edition), f"{name} says so")


def _note(declared: Declared, name: str) -> str:
    given, placement = declared.declaration, declared.placement
    if declared.firmware is not None:
        return note_of(declared.firmware)
    assert not isinstance(given, ImageDeclaration)
    assert placement is not None
    size = len(declared.code)
    return f"{size} bytes of code at {placement.at:#x}, the mailbox at {given.mailbox:#x}, as {name} says"


def _sources(declared: Declared) -> tuple[Source, ...]:
    if declared.firmware is not None:
        return sources_of(declared.firmware)
    placement = declared.placement
    assert placement is not None
    module = f", module {placement.guid}" if isinstance(placement, ModuleCode) else ""
    return (Source(f"{placement.file}{module}", "machine code", declared.code),)


def private_note(given: Private) -> tuple[str, ...]:
    """Return what a report says of extensions that are declared: nothing where there are none."""
    told = [f"ApicId {given.broadcast:#x} for every processor"] if given.broadcast is not None else []
    told += [f"Command {one:#x}" for one in given.commands]
    return (f"declared as private extensions, which changes no verdict: {', '.join(told)}",) if told else ()
