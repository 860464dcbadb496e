"""The ``model`` target: a platform of our own, declared in ``scenarios/platforms``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

from mpwake.evidence.compose import TablesDocument, compose
from mpwake.evidence.memory_map import encode_e820
from mpwake.evidence.tables import Tables
from mpwake.spec import document
from mpwake.spec.document import Node, described
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.resources import relative, scenarios
from mpwake.targets.base import Source, Target


@attrs.frozen
class Platform:
    """A whole platform."""

    name: str = described("Its name: that of its file")
    title: str = described("What it is, in one line")
    description: str = described("What it stands for")
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] = described("The edition that it keeps to")
    tables: TablesDocument = described("What its firmware publishes")


def platform_names() -> list[str]:
    """Return the names of the platforms that come with the suite."""
    return sorted(path.stem for path in scenarios("platforms").glob("*.yaml"))


def platform_path(name: str) -> Path:
    """Return the file of a platform, by its name or as a path to a file of one's own."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    path = scenarios("platforms") / f"{name}.yaml"
    if "/" in name or not path.is_file():
        raise InputError(f"no platform {name!r}", hint=did_you_mean(name, platform_names()))
    return path


def load_platform(name: str) -> Node:
    """Read the YAML of a platform, undecoded, so that a mutant can change it."""
    path = platform_path(name)
    return document.load(path, relative(path))


def platform_tables(node: Node) -> tuple[Platform, Tables]:
    """Decode a platform and compose its tables."""
    platform = document.decode(node, Platform)
    return platform, compose(platform.tables, Edition(platform.edition), f"platform {platform.name}")


def sources_of(tables: Tables) -> tuple[Source, ...]:
    """Return the composed pieces as inputs, so that a report can name their digests."""
    pieces = (
        ("MADT", "MADT", tables.madt and tables.madt.data),
        ("DTB", "DTB", tables.fdt and tables.fdt.data),
        ("memory map", "memory map", tables.memory_map and encode_e820(tables.memory_map).encode()),
        ("command line", "command line", tables.command_line and tables.command_line.text.encode()),
        ("mailbox page", "mailbox", tables.mailbox),
        *((table.signature, "AML", table.data) for table in tables.aml),
    )
    return tuple(Source(name, kind, data) for name, kind, data in pieces if data)


def open_model(name: str) -> Target:
    """Open a platform of the model."""
    path = platform_path(name)
    platform, tables = platform_tables(load_platform(name))
    return Target(
        kind="model",
        name=f"model:{name}",
        roles=frozenset({Role.TABLES}),
        sources=(Source(relative(path), "platform", path.read_bytes()), *sources_of(tables)),
        tables=tables,
        edition=Edition(platform.edition),
        edition_reason="the platform keeps to it",
    )
