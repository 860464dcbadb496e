"""One trial of machine code or of a program under a schedule from a seed, played, and a file of it opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mpwake.checks.situations import drive_of, plan_of
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.probe import Probe
from mpwake.model.scenario import Drawn
from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target

if TYPE_CHECKING:
    from mpwake.targets.runner.drive import Runner

CHANGED = "fuzz it again; this was found for other code"
Play = Callable[[Probe, int, bool], Trace]


def player(target: Target) -> Play:
    """Return what plays a probe on a target, with a seed and the strict TDX module or the lenient one.

    Raises ``InputError`` for a target that nothing can be done to.
    """
    if target.parks is not None:
        return _machine_code(target)
    if target.program is not None:
        return _program(target.program)
    raise InputError(
        f"{target.name} has no AP loop that can be driven", hint="model:PLATFORM, firmware:IMAGE, runner:PROGRAM"
    )


def _machine_code(target: Target) -> Play:
    from mpwake.targets.firmware.drive import Trial
    from mpwake.targets.firmware.tdx import Tdx

    parks = target.parks
    assert parks is not None

    def play(probe: Probe, seed: int, strict: bool) -> Trace:
        return Trial(parks(len(probe.ids)), probe, Tdx(strict=strict), seed).run()

    return play


def _program(runner: Runner) -> Play:
    from mpwake.targets.runner.drive import trials

    def play(probe: Probe, _seed: int, _strict: bool) -> Trace:
        return next(iter(trials(runner, probe)))

    return play


def open_drawn(path: Path, node: Node) -> Target:
    """Open a drawn trial. Raises ``InputError`` for what is wrong, or has changed since."""
    from mpwake.targets.firmware.replay import reopened

    one = document.decode(node, Drawn)
    target = reopened(one.target, node.value["target"], path.parent, CHANGED)
    if target.indexed and one.probe.ids != tuple(range(1, len(one.probe.ids) + 1)):
        raise node.value["probe"].error("the APIC ID is the processor's index in this code", "ids are 1, 2, 3, ...")
    target = target.held_to(Edition(one.edition), "the scenario says so") if one.edition else target
    play, edition = player(target), target.settled().edition
    assert edition is not None

    def played(probe: Probe) -> Trace:
        return play(probe, one.seed, one.module == "strict")

    drive = drive_of(played, plan_of(one.probe, edition), one.requirements)
    return Target(
        kind=target.kind,
        name=f"scenario:{path}",
        sources=(Source(str(path), "scenario", path.read_bytes()), *target.sources),
        driven={Role.RECEIVER: attrs.evolve(Behaviour(drive), edition=edition)},
        edition=target.edition,
        edition_reason=target.edition_reason,
        notes=(
            f"{len(one.probe.requests)} requests to {target.name}, from the seed {one.seed}",
            *(one.found.told() if one.found else ()),
            *target.notes,
        ),
        selects=one.requirements,
    )
