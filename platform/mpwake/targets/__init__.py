"""Adapters: each drives one kind of implementation and hands back evidence."""

from __future__ import annotations

from pathlib import Path

from mpwake.spec import document
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.targets.base import Target, TargetDocument
from mpwake.targets.firmware.declaration import is_declaration
from mpwake.targets.model import open_model
from mpwake.targets.scenario import open_scenario
from mpwake.targets.tables import open_tables

KINDS = ("model", "tables", "scenario", "firmware", "runner", "kernel", "trace")
EXAMPLES = {
    "tables": "tables:/sys/firmware/acpi/tables",
    "scenario": "scenario:failing.yaml",
    "firmware": "firmware:OVMF.fd",
    "runner": "runner:./my-loop",
    "kernel": "kernel:/boot/vmlinuz",
    "trace": "trace:traces.ndjson",
}
# The kinds that take no further evidence: what they call themselves, and what to do instead.
ALONE = {
    "model": ("a platform of the model", "declare it in the platform"),
    "scenario": ("a scenario", "declare it in the file"),
    "firmware": ("a firmware image", "tables: takes what firmware publishes"),
    "runner": ("a program", "tables: takes what firmware publishes"),
    "kernel": ("a kernel image", "tables: takes what firmware publishes"),
    "trace": ("a trace", "tables: takes what firmware publishes"),
}
# What only one kind of target can be declared with, and what to say of the others.
OPTIONS = {
    "arguments": ("runner", "takes no arguments"),
    "follows": ("kernel", "does not say whom it follows"),
    "backend": ("kernel", "is not booted"),
    "next": ("kernel", "starts no next kernel"),
}


def open_target(spec: str, extra: tuple[str, ...] = ()) -> Target:
    """Open what ``KIND:LOCATION`` or the path of a target YAML names.

    ``extra`` are further pieces of evidence, ``[KIND:]LOCATION`` each. Raises ``InputError`` for whatever
    cannot be opened or is not what it should be.
    """
    kind, colon, location = spec.partition(":")
    if kind in KINDS:
        return _open(TargetDocument(kind, location), Path(), extra)
    if spec.endswith((".yaml", ".yml")):
        return _open_document(Path(spec), extra)
    if colon and "/" not in kind:
        raise InputError(f"no target of kind {kind!r}", hint=did_you_mean(kind, KINDS))
    raise InputError(
        f"{spec!r} is not a target",
        hint=f"write KIND:LOCATION with a kind of {', '.join(KINDS)} (for example tables:{spec}), or a target .yaml",
    )


def _open(declared: TargetDocument, base: Path, extra: tuple[str, ...]) -> Target:
    kind, location = declared.kind, declared.location
    if kind in ALONE and (declared.evidence or extra):
        what, hint = ALONE[kind]
        raise InputError(f"{what} takes no further evidence", hint=hint)
    if kind == "model":
        own = location.endswith((".yaml", ".yml"))
        return open_model(str(base / location) if own else location or "reference")
    if not location:
        raise InputError(f"{kind}: names no place", hint=f"for example {EXAMPLES[kind]}")
    if kind == "scenario":
        return open_scenario(base / location)
    if kind == "firmware":
        from mpwake.targets.firmware.open import open_firmware

        return open_firmware(base / location)
    if kind == "runner":
        from mpwake.targets.runner.open import open_runner

        return open_runner(base / location, declared.arguments)
    if kind == "kernel":
        from mpwake.targets.kernel.open import open_kernel

        following = base / declared.next if declared.next else None
        return open_kernel(base / location, declared.follows, declared.backend or "tcg", following)
    if kind == "trace":
        from mpwake.targets.trace.open import open_trace

        return open_trace(base / location)
    return open_tables(location, extra, base, declared.evidence)


def _open_document(path: Path, extra: tuple[str, ...]) -> Target:
    node = document.load(path)
    given = node.value if isinstance(node.value, dict) else {}
    if "location" not in given and "kind" in given and given["kind"].value == "scenario":
        return _open(TargetDocument("scenario", path.name), path.parent, extra)
    if is_declaration(node):
        if extra:
            raise InputError("declared machine code takes no further evidence")
        from mpwake.targets.firmware.declared import open_declared

        return open_declared(path, node)
    declared = document.decode(node, TargetDocument)
    if declared.kind not in KINDS:
        raise node.value["kind"].error(f"no target of kind {declared.kind!r}", did_you_mean(declared.kind, KINDS))
    for option, (kind, lacks) in OPTIONS.items():
        if getattr(declared, option) and declared.kind != kind:
            raise node.value[option].error(f"a target of kind {declared.kind!r} {lacks}")
    target = _open(declared, path.parent, extra)
    return target if declared.edition is None else target.held_to(Edition(declared.edition), f"{path} says so")
