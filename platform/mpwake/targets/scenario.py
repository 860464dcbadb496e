"""The ``scenario`` target: one trial of an implementation of the model, written down whole so that it can be run again.

The fuzzers write these files: which implementation, which processors are parked and how they behave, what is asked for,
and the schedule. Only what holds of every trial can be judged on one, so the file names its requirements.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.situation import boot_of
from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role, registry
from mpwake.targets.base import Source, Target
from mpwake.targets.model import behaviour_of, decode_platform, driver_of, load_platform

if TYPE_CHECKING:
    from mpwake.model.scenario import ScenarioFile


def open_scenario(path: Path) -> Target:
    """Open a scenario file to be judged by its requirements. Raises ``InputError`` for whatever is wrong in it."""
    target = open_whole(path)
    if not target.selects:
        raise InputError(
            "names no requirement: it shows where an AP loop differs from the reference",
            str(path),
            f"mpwake replay {path}",
        )
    return target


def open_whole(path: Path) -> Target:
    """Open a scenario file, with requirements or without. Raises ``InputError`` for whatever is wrong in it."""
    from mpwake.model.scenario import ScenarioFile

    node = document.load(path)
    if isinstance(node.value, dict) and "target" in node.value:
        target = _of_code(path, node)
        _check_requirements(node, next(iter(target.driven)))
        return target
    if isinstance(node.value, dict) and "reader" in node.value:
        raise InputError(
            "is an input of the suite's own readers, and drives nothing", str(path), f"mpwake replay {path}"
        )
    scenario = document.decode(node, ScenarioFile)
    _check_requirements(node, scenario.role)
    platform = decode_platform(load_platform(scenario.platform))
    edition = Edition(scenario.edition or platform.edition)
    behaviour = behaviour_of(platform, scenario.role)
    if scenario.agent is not None:
        behaviour = behaviour or Behaviour(lambda _sentence, _seed: (), edition)
    if behaviour is None:
        raise node.value["platform"].error(f"{scenario.platform} has nothing in the role {scenario.role.value}")

    return Target(
        kind="scenario",
        name=f"scenario:{path}",
        sources=(Source(str(path), "scenario", path.read_bytes()),),
        driven={scenario.role: attrs.evolve(behaviour, drive=_driver(scenario, node, edition))},
        edition=edition,
        edition_reason="the scenario says so" if scenario.edition else "its platform keeps to it",
        notes=scenario.found.told() if scenario.found else (),
        selects=scenario.requirements,
    )


def _of_code(path: Path, node: Node) -> Target:
    if "schedule" in node.value:
        from mpwake.targets.firmware.replay import open_interleaving

        return open_interleaving(path, node)
    from mpwake.targets.drawn import open_drawn

    return open_drawn(path, node)


def _driver(one: ScenarioFile, node: Node, edition: Edition) -> Callable[[str, int], tuple[Trace, ...]]:
    from mpwake.checks.situations import drive_of, plan_of

    if one.role is Role.RECEIVER and one.probe is not None and one.schedule.engine != "steps":
        plan = plan_of(one.probe, edition)
        return drive_of(lambda probe: replay(attrs.evolve(one, probe=probe), node), plan, one.requirements)

    @functools.cache
    def seen() -> tuple[Trace, ...]:
        return (replay(one, node),)

    return lambda _sentence, _seed: seen()


def _check_requirements(node: Node, role: Role) -> None:
    for at in node.value["requirements"].value:
        known = [one.id for one in registry().requirements.values() if role in one.roles]
        if at.value not in known:
            raise at.error(f"no requirement {at.value!r} of a {role.value}", did_you_mean(at.value, known))


def replay(one: ScenarioFile, node: Node) -> Trace:
    """Run the trial of a scenario file; ``node`` is its YAML."""
    from mpwake.model.boot import booted
    from mpwake.model.probe import trial

    if one.schedule.engine == "steps":
        from mpwake.targets.exploration import steps_of

        return steps_of(one, node)
    driver = driver_of(decode_platform(load_platform(one.platform)), one.role)
    assert driver is not None
    if one.situation is None:
        assert one.probe is not None
        return trial(driver.program, one.probe, one.schedule, driver.announced)
    if driver.system is None:
        raise node.value["situation"].error(f"{one.platform} has no operating system to boot")
    return booted(driver.program, driver.system, boot_of(one.situation, node.value["situation"]), one.schedule)
