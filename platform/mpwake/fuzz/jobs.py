"""What can be fuzzed, by its name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from mpwake.fuzz.loops import job_of, of_model, of_target
from mpwake.fuzz.problem import Job
from mpwake.fuzz.senders import BringUp, sender_job
from mpwake.fuzz.write import save
from mpwake.spec import document
from mpwake.spec.changes import apply
from mpwake.spec.document import Node
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.suite.mutants import declared
from mpwake.targets import open_target
from mpwake.targets.model import Driver, Platform, decode_platform, driver_of, load_platform


def job_named(
    location: str, role: Role | None, out: Path, edition: Edition | None = None, called: str = ""
) -> Job | None:
    """Return what a location names, or None for an image without an AP loop. Raises ``InputError`` for what is none.

    ``role`` is the side of a model that is asked for; the AP loop where there is one, unless given. ``edition`` goes
    before the target's own. What a scenario file has to name, and has no file, is written into ``out``. ``called`` is
    what examples call a platform, on a machine where it lies elsewhere.
    """
    kind, _, rest = location.partition(":")
    if kind in ("tables", "suite"):
        from mpwake.fuzz.inputs import input_job

        if edition is not None:
            raise InputError(f"--edition: {location} is held against none")
        return input_job(location)
    if kind == "mutant":
        return _of_mutant(rest, out, edition, called)
    if kind == "model":
        return _of_platform(location, rest or "reference", role, edition, called)
    target = open_target(location)
    if target.kind == "model":
        return _of_platform(location, _declared(Path(location)), role, edition, called)
    if target.kind == "firmware" and target.parks is None:
        return None
    from mpwake.targets.firmware.replay import digest

    target = target.held_to(edition, "chosen with --edition") if edition else target
    return job_of(of_target(target, location, edition is not None), digest(target))


def _declared(path: Path) -> str:
    """Return the platform that a target YAML of the kind model names."""
    name = str(document.load(path).value["location"].value)
    return str(path.parent / name) if name.endswith((".yaml", ".yml")) else name or "reference"


def _of_platform(location: str, name: str, role: Role | None, edition: Edition | None, called: str) -> Job:
    return _of_node(location, load_platform(name), role, called or name, edition)


def _of_mutant(name: str, out: Path, edition: Edition | None, called: str) -> Job:
    known = {mutant.id: (mutant, node) for mutant, node in declared() if mutant.role is not Role.TABLES}
    if name not in known:
        raise InputError(f"no mutant {name!r} of an AP loop or a bring-up", hint=did_you_mean(name, known))
    mutant, at = known[name]
    node = load_platform(mutant.base)
    apply(node, mutant.changes, at.value["changes"])
    file = out / f"{name}.platform.yaml"
    platform = decode_platform(node)
    save(file, attrs.evolve(platform, edition=mutant.edition or platform.edition))
    return _of_node(f"mutant:{name}", load_platform(str(file)), mutant.role, called or str(file), edition)


def _of_node(location: str, node: Node, role: Role | None, name: str, chosen: Edition | None) -> Job:
    platform = decode_platform(node)
    driver, role = _side(platform, role, location)
    code = hashlib.sha256(repr(node.plain()).encode()).hexdigest()
    edition = chosen or Edition(platform.edition)
    if role is Role.SENDER:
        return sender_job(BringUp(location, driver, edition, name, chosen is not None), code)
    return job_of(of_model(location, driver, edition, name, chosen is not None), code)


def _side(platform: Platform, role: Role | None, location: str) -> tuple[Driver, Role]:
    for one in (role,) if role else (Role.RECEIVER, Role.SENDER):
        driver = driver_of(platform, one)
        if driver:
            return driver, one
    raise InputError(f"{location} has nothing in the role {role.value if role else 'receiver or sender'}")
