"""Opens ``firmware:IMAGE``: the image taken apart, its AP loop found, and a platform to run it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from mpwake.checks.core import not_applicable
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.probe import Probe, probe
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target
from mpwake.targets.firmware.extra import check_extra
from mpwake.targets.firmware.image import Image, load_module, read_image

if TYPE_CHECKING:
    from mpwake.targets.firmware.stage import Firmware, Stage

PROCESSORS = 8


def open_firmware(path: Path) -> Target:
    """Open a firmware image. Raises ``InputError`` for what is none, or whose loop cannot be brought to run."""
    check_extra()
    image = read_image(path)
    sources = (Source(str(path), "firmware image", image.data),)
    if not image.module:
        behaviour = Behaviour(Without(image).drive)
        return _target(path, sources, behaviour, f"no AP loop that an operating system sees: {image.found_instead}")
    firmware = firmware_in(image)
    driver = Driver(firmware)
    driver.stage(PROCESSORS)
    target = _target(path, sources_of(firmware), Behaviour(driver.drive), note_of(firmware))
    return attrs.evolve(target, parks=driver.stage)


def firmware_in(image: Image) -> Firmware:
    """Return an image with its driver placed and its loop found. Raises ``InputError`` when that cannot be had."""
    from mpwake.targets.firmware.locate import locate
    from mpwake.targets.firmware.stage import DRIVER, Firmware

    module = load_module(image.path, image.module, DRIVER)
    return Firmware(image, module, locate(module, image.path))


def sources_of(firmware: Firmware) -> tuple[Source, ...]:
    """Return what an image was read for."""
    image = firmware.image
    return (
        Source(image.path, "firmware image", image.data),
        Source("TdxDxe", "PE image", image.module),
        Source("AP loop", "machine code", firmware.loop.code),
    )


def note_of(firmware: Firmware) -> str:
    """Say what the driver tells of its loop."""
    loop = firmware.loop
    vector = "no reset vector" if loop.reset is None else f"ResetVector at +{loop.reset:#x}"
    size = len(loop.code)
    return f"its relocation map tells of an AP loop of {size} bytes at TdxDxe+{loop.start:#x}, and of {vector}"


def _target(path: Path, sources: tuple[Source, ...], behaviour: Behaviour, *notes: str) -> Target:
    driven = {Role.RECEIVER: behaviour}
    return Target(kind="firmware", name=f"firmware:{path}", sources=sources, driven=driven, notes=notes)


@attrs.frozen
class Without:
    """An image without an AP loop that an operating system could see."""

    image: Image

    def drive(self, _sentence: str, _seed: int) -> tuple[Trace, ...]:
        """Tell that no requirement on such a loop applies, and what there is instead."""
        raise not_applicable(f"no AP loop that an operating system sees: {self.image.found_instead}")


class Platform(Protocol):
    """What parks processors in an AP loop."""

    def stage(self, processors: int) -> Stage:
        """Start it, and park so many processors."""


@attrs.define
class Driver:
    """Runs probes on an AP loop; its platform is started once."""

    platform: Platform
    ready: Stage | None = None
    processors: int = 0

    def stage(self, processors: int) -> Stage:
        """Return the platform, with so many processors at least."""
        if self.ready is None or processors > self.processors:
            self.processors = max(processors, PROCESSORS)
            self.ready = self.platform.stage(self.processors)
        return self.ready

    def drive(self, sentence: str, seed: int) -> tuple[Trace, ...]:
        """Run the probe that a sentence names."""
        from mpwake.targets.firmware.drive import trials

        one: Probe = probe(sentence, Role.RECEIVER)
        return tuple(trials(self.stage(len(one.ids)), one, seed))
