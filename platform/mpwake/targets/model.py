"""The ``model`` target: a platform of our own, declared in ``scenarios/platforms``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.compose import TablesDocument, compose
from mpwake.evidence.memory_map import encode_e820
from mpwake.evidence.tables import Tables
from mpwake.evidence.trace import Trace
from mpwake.model.agent import load_agent
from mpwake.model.situation import situation, situations
from mpwake.model.system import System, load_system
from mpwake.spec import document
from mpwake.spec.document import Node, described
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.resources import relative, scenarios, suite_root
from mpwake.targets.base import Source, Target

if TYPE_CHECKING:
    from mpwake.model.program import Program

DRIVEN = (Role.RECEIVER, Role.SENDER)


@attrs.frozen
class Platform:
    """A whole platform."""

    name: str = described("Its name: that of its file")
    title: str = described("What it is, in one line")
    description: str = described("What it stands for")
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] = described("The edition that it keeps to")
    tables: TablesDocument | None = described("What its firmware publishes", None)
    receiver: Node | None = described("Its AP loop: the name of an agent, or a whole agent", None)
    sender: Node | None = described("Its operating system's bring-up: the name of an agent, or a whole agent", None)
    system: Node | None = described("The operating system around it: the name of a system, or a whole system", None)


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
    """Read the YAML of a platform, undecoded and with its agents in place of their names, so that it can be changed."""
    path = platform_path(name)
    node = document.load(path, relative(path))
    for side in DRIVEN if isinstance(node.value, dict) else ():
        agent = node.value.get(side.value)
        if agent is not None and isinstance(agent.value, str):
            node.value[side.value] = load_agent(agent.value)
    system = node.value.get("system") if isinstance(node.value, dict) else None
    if system is not None and isinstance(system.value, str):
        node.value["system"] = load_system(system.value)
    return node


def decode_platform(node: Node) -> Platform:
    """Decode a platform."""
    return document.decode(node, Platform)


def tables_of(platform: Platform) -> Tables | None:
    """Compose what a platform's firmware publishes."""
    if platform.tables is None:
        return None
    return compose(platform.tables, Edition(platform.edition), f"platform {platform.name}")


def agent_of(platform: Platform, role: Role) -> Node | None:
    """Return the agent that a platform has in a role."""
    return platform.receiver if role is Role.RECEIVER else platform.sender


def announcement(tables: TablesDocument | None) -> str:
    """Return where what firmware publishes announces a mailbox: ``madt``, ``devicetree``, or nothing of it."""
    if tables is None or not (tables.madt or tables.fdt):
        return ""
    return "madt" if tables.madt else "devicetree"


@attrs.frozen
class Driver:
    """A platform's agent in a role, ready to be driven; numba is imported when the first trial is run."""

    agent: Node
    role: Role
    system: System | None
    announced: str

    @functools.cached_property
    def program(self) -> Program:
        """The agent's program, compiled to integers."""
        from mpwake.model.program import compile_node

        return compile_node(self.agent)

    def drive(self, sentence: str, seed: int) -> tuple[Trace, ...]:
        """Run the probe, or boot into the situation, that a sentence names."""
        from mpwake.model.boot import boots
        from mpwake.model.probe import probe, trials

        if self.system and sentence in situations():
            return tuple(boots(self.program, self.system, situation(sentence), seed))
        return tuple(trials(self.program, probe(sentence, self.role), seed, self.announced))


def driver_of(platform: Platform, role: Role) -> Driver | None:
    """Return what drives a platform in a role, or None where it has nothing there."""
    agent = agent_of(platform, role)
    if agent is None:
        return None
    system = document.decode(platform.system, System) if platform.system and role is Role.SENDER else None
    return Driver(agent, role, system, announcement(platform.tables))


def behaviour_of(platform: Platform, role: Role) -> Behaviour | None:
    """Return the evidence of a platform in a role, or None where it has nothing there."""
    driver = driver_of(platform, role)
    if driver is None:
        return None
    follows = frozenset(driver.system.follows) if driver.system else frozenset()
    return Behaviour(driver.drive, Edition(platform.edition), follows=follows, boots=driver.system is not None)


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
    platform = decode_platform(load_platform(name))
    tables = tables_of(platform)
    read = {path: "platform"}
    for role in DRIVEN:
        agent = agent_of(platform, role)
        if agent is not None and agent.file != relative(path):
            read[suite_root() / agent.file] = "agent"
    if platform.system is not None and platform.system.file != relative(path):
        read[suite_root() / platform.system.file] = "system"
    return Target(
        kind="model",
        name=f"model:{name}",
        sources=(
            *(Source(relative(one), kind, one.read_bytes()) for one, kind in read.items()),
            *(sources_of(tables) if tables else ()),
        ),
        tables=tables,
        driven={role: side for role in DRIVEN if (side := behaviour_of(platform, role))},
        edition=Edition(platform.edition),
        edition_reason="the platform keeps to it",
        platform=name,
    )
