"""The ``scenario`` target: one trial of an implementation of the model, written down whole so that it can be run again.

The fuzzers write these files: which implementation, which processors are parked and how they behave, what is asked for,
and the schedule. Only what holds of every trial can be judged on one, so the file names its requirements.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.situation import boot_of
from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.errors import did_you_mean
from mpwake.spec.requirements import Role, registry
from mpwake.targets.base import Source, Target
from mpwake.targets.model import behaviour_of, decode_platform, driver_of, load_platform

if TYPE_CHECKING:
    from mpwake.model.scenario import ScenarioFile


def open_scenario(path: Path) -> Target:
    """Open a scenario file. Raises ``InputError`` for whatever is wrong in it."""
    from mpwake.model.scenario import ScenarioFile

    node = document.load(path)
    if isinstance(node.value, dict) and "target" in node.value:
        from mpwake.targets.firmware.replay import open_interleaving

        target = open_interleaving(path, node)
        _check_requirements(node, next(iter(target.driven)))
        return target
    scenario = document.decode(node, ScenarioFile)
    _check_requirements(node, scenario.role)
    platform = decode_platform(load_platform(scenario.platform))
    behaviour = behaviour_of(platform, scenario.role)
    if scenario.agent is not None:
        behaviour = behaviour or Behaviour(lambda _sentence, _seed: (), Edition(platform.edition))
    if behaviour is None:
        raise node.value["platform"].error(f"{scenario.platform} has nothing in the role {scenario.role.value}")

    @functools.cache
    def seen() -> tuple[Trace, ...]:
        return (replay(scenario, node),)

    def drive(_sentence: str, _seed: int) -> tuple[Trace, ...]:
        return seen()

    return Target(
        kind="scenario",
        name=f"scenario:{path}",
        sources=(Source(str(path), "scenario", path.read_bytes()),),
        driven={scenario.role: attrs.evolve(behaviour, drive=drive)},
        edition=Edition(platform.edition),
        edition_reason="its platform keeps to it",
        selects=scenario.requirements,
    )


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
