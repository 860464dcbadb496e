"""What can be fuzzed, by its name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from mpwake.fuzz.loops import job_of, of_model, of_target
from mpwake.fuzz.problem import Job
from mpwake.fuzz.senders import sender_job
from mpwake.fuzz.write import save
from mpwake.spec.changes import apply
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.suite.mutants import declared
from mpwake.targets import open_target
from mpwake.targets.model import Driver, Platform, decode_platform, driver_of, load_platform


def job_named(location: str, role: Role | None, out: Path) -> Job | None:
    """Return what a location names, or None for an image without an AP loop. Raises ``InputError`` for what is none.

    ``role`` is the side of a model that is asked for; the AP loop where there is one, unless given. What a scenario
    file has to name, and has no file, is written into ``out``.
    """
    kind, _, rest = location.partition(":")
    if kind in ("tables", "suite"):
        from mpwake.fuzz.inputs import input_job

        return input_job(location)
    if kind == "mutant":
        return _of_mutant(rest, out)
    if kind == "model" or (location.endswith((".yaml", ".yml")) and not _is_code(location)):
        return _of_platform(location, rest or location, role)
    target = open_target(location)
    if target.kind == "firmware" and target.parks is None:
        return None
    from mpwake.targets.firmware.replay import digest

    return job_of(of_target(target, location), digest(target))


def _is_code(location: str) -> bool:
    return open_target(location).kind != "model"


def _of_platform(location: str, name: str, role: Role | None) -> Job:
    node = load_platform(name)
    return _of_node(location, node, role, name)


def _of_mutant(name: str, out: Path) -> Job:
    known = {mutant.id: (mutant, node) for mutant, node in declared() if mutant.role is not Role.TABLES}
    if name not in known:
        raise InputError(f"no mutant {name!r} of an AP loop or a bring-up", hint=did_you_mean(name, known))
    mutant, at = known[name]
    node = load_platform(mutant.base)
    apply(node, mutant.changes, at.value["changes"])
    file = out / f"{name}.platform.yaml"
    platform = decode_platform(node)
    save(file, attrs.evolve(platform, edition=mutant.edition or platform.edition))
    return _of_node(f"mutant:{name}", load_platform(str(file)), mutant.role, str(file))


def _of_node(location: str, node: Node, role: Role | None, name: str) -> Job:
    platform = decode_platform(node)
    driver, role = _side(platform, role, location)
    code = hashlib.sha256(repr(node.plain()).encode()).hexdigest()
    if role is Role.SENDER:
        return sender_job(location, driver, Edition(platform.edition), name, code)
    return job_of(of_model(location, driver, Edition(platform.edition), name), code)


def _side(platform: Platform, role: Role | None, location: str) -> tuple[Driver, Role]:
    for one in (role,) if role else (Role.RECEIVER, Role.SENDER):
        driver = driver_of(platform, one)
        if driver:
            return driver, one
    raise InputError(f"{location} has nothing in the role {role.value if role else 'receiver or sender'}")
