"""A scenario of machine code as a file: written for the violation of an exploration, and run again step by step."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exploration import Violation, compressed
from mpwake.evidence.trace import Trace
from mpwake.model.agent import Agent, load_agent
from mpwake.model.probe import Probe
from mpwake.model.scenario import Interleaving, Pinned
from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target

CHANGED = "explore it again; this schedule was found for other code"


def load_system(name: str) -> Agent:
    """Return an operating system by the name of its agent, or from its YAML. Raises ``InputError`` for what is none."""
    node = document.load(Path(name)) if name.endswith((".yaml", ".yml")) else load_agent(name)
    agent = document.decode(node, Agent)
    if agent.role is not Role.SENDER:
        raise node.value["role"].error(f"{name} is a {agent.role.value}, and no operating system")
    return agent


def pinned(target: Target, location: str, folder: Path) -> Pinned:
    """Return what names a target in a file that is written to a folder."""
    kind, place = _split(location)
    where = place if Path(place).is_absolute() else os.path.relpath(place, folder)
    return Pinned(f"{kind}{where}", digest(target))


def written(violation: Violation, target: Pinned, agent: str, probe: Probe) -> Interleaving:
    """Return the file of a violation."""
    return Interleaving(
        kind="scenario",
        target=target,
        role=violation.role,
        requirements=violation.requirements,
        probe=probe,
        schedule=compressed(violation.schedule),
        agent=agent,
    )


def open_interleaving(path: Path, node: Node) -> Target:
    """Open a scenario of machine code, and run it. Raises ``InputError`` for what is wrong, or has changed since."""
    one = document.decode(node, Interleaving)
    target = _opened(one, node.value["target"], path.parent)
    trace = _replayed(one, node, target)
    return Target(
        kind=target.kind,
        name=f"scenario:{path}",
        sources=(Source(str(path), "scenario", path.read_bytes()), *target.sources),
        driven={one.role: Behaviour(lambda _sentence, _seed: (trace,))},
        edition=target.edition,
        edition_reason=target.edition_reason,
        notes=(f"{len(one.steps())} steps of {target.name} and {one.agent}", *target.notes),
        selects=one.requirements,
    )


def reopened(pin: Pinned, node: Node, folder: Path, changed: str) -> Target:
    """Open what a file in a folder names. Raises ``InputError``, with this hint, where it is not what it was."""
    from mpwake.targets import open_target

    kind, place = _split(pin.location)
    target = open_target(kind + os.path.normpath(folder / place))
    found = digest(target)
    if found != pin.sha256:
        raise node.value["sha256"].error(f"{pin.location} is other code, with sha256 {found}", changed)
    return target


def _opened(one: Interleaving, node: Node, folder: Path) -> Target:
    target = reopened(one.target, node, folder, CHANGED)
    if target.parks is None:
        raise node.value["location"].error(f"{one.target.location} is no AP loop in machine code")
    return target


def _replayed(one: Interleaving, node: Node, target: Target) -> Trace:
    from mpwake.targets.firmware.explore import as_sent
    from mpwake.targets.firmware.interleaving import AstrayError, started

    assert target.parks is not None
    if target.indexed and one.probe.ids != tuple(range(1, len(one.probe.ids) + 1)):
        raise node.value["probe"].error("the APIC ID is the processor's index in this code", "ids are 1, 2, 3, ...")
    stage = target.parks(len(one.probe.ids))
    try:
        trial = started(stage, one.probe, load_system(one.agent))
        trial.follow(one.steps())
    except AstrayError as error:
        raise node.value["schedule"].error(error.reason, CHANGED) from None
    trace = trial.trace(spent=not trial.finish())
    stage.board.restore()
    return as_sent(trace) if one.role is Role.SENDER else trace


def digest(target: Target) -> str:
    """Return what names the code of a target: the SHA-256 of all that was read for it."""
    return hashlib.sha256(b"".join(one.data for one in target.sources)).hexdigest()


def _split(location: str) -> tuple[str, str]:
    kind, colon, place = location.partition(":")
    if not location.endswith((".yaml", ".yml")) or kind == "firmware":
        if not colon:
            raise InputError(f"{location!r} is not a target", hint="firmware:IMAGE, or an AP loop declared in YAML")
        return f"{kind}:", place
    return "", location
