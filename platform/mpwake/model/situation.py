"""Situations: what an operating system of the model is booted into, as data (``scenarios/situations``)."""

from __future__ import annotations

import functools
from typing import Literal

import attrs

from mpwake.evidence.compose import TablesDocument, compose
from mpwake.evidence.tables import Tables
from mpwake.model.system import Feature, Home, System
from mpwake.spec import document
from mpwake.spec.changes import Change, apply
from mpwake.spec.document import Node, described
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.resources import relative, scenarios

MAILBOX = 0x7F5E5000


@attrs.frozen
class Host:
    """The machine around the operating system."""

    isolation: Literal["any", "none", "tdx", "snp", "vbs"] = described(
        "How the guest is isolated; any: as the operating system needs it", "any"
    )
    vtl: bool = described("Whether it must run at a Hyper-V virtual trust level", False)
    apic: Literal["xapic", "x2apic"] = described("Mode of the local APICs", "xapic")
    tsc: int = described("The time-stamp counter at boot", 0)
    tsc_mhz: int = described("Its frequency", 2000)
    built: tuple[Feature, ...] = described(
        "What the kernel was built with", ("acpi", "of", "smp", "x86-64", "local-apic")
    )
    faults: tuple[Literal["map", "reset-map"], ...] = described("Which of its allocations fail", ())
    mute: tuple[int, ...] = described("APIC IDs of processors that take a command and never come alive", ())
    nxe: bool = described("EFER.NXE of a processor at the vector", True)
    mapped: int | None = described("Pages on each side of the vector's that are mapped there; all unless given", None)
    levels: Literal[4, 5] = described("Levels of the page tables there", 4)
    cr0: int = described("Bits of CR0 that are set there beside PE, ET, WP and PG", 0)
    cr4: int = described("Bits of CR4 that are set there beside PAE", 0)
    direction: bool = described("RFLAGS.DF there", False)


@attrs.frozen
class Action:
    """Something that the operating system is asked for once it has booted."""

    op: Literal["online", "offline", "kexec", "crash", "restart", "poweroff", "panic"] = described(
        "What it is asked for; crash: into a kernel for that, panic: without one"
    )
    id: int = described("APIC ID of the processor, where there is one; of a panic: where it happens", 0)


@attrs.frozen
class Situation:
    """What firmware publishes, who is parked where, and what happens after the boot."""

    says: str = described("The sentence that a scenario's When says")
    firmware: str = described("Name of what firmware publishes: a key of ``firmware`` in the same folder")
    ids: tuple[int, ...] = described("APIC IDs of the processors that are parked")
    changes: tuple[Change, ...] = described("Changes to it", ())
    boot_id: int = described("APIC ID of the processor that boots", 0)
    mailbox: int = described("Where the parked processors poll", MAILBOX)
    loop: str = described("The agent of all of them", "acpi-6.6")
    loops: tuple[str, ...] = described("The agent of each of them, where they differ", ())
    host: Host = described("The machine around it", Host())
    actions: tuple[Action, ...] = described("What is asked for, in order", ())

    def __attrs_post_init__(self) -> None:
        if self.loops and len(self.loops) != len(self.ids):
            raise ValueError(f"{len(self.loops)} loops for {len(self.ids)} processors")


@attrs.frozen
class SituationFile:
    """One file of situations."""

    situations: tuple[Situation, ...] = described("The situations")


@attrs.frozen
class Boot:
    """A situation, with what firmware publishes in it."""

    situation: Situation
    document: TablesDocument

    @functools.cached_property
    def tables(self) -> Tables:
        """The bytes of what firmware publishes, read."""
        return compose(self.document)


def settled(boot: Boot, system: System) -> Boot | None:
    """Return a situation with what it leaves open filled in, or None where the operating system does not run in it."""
    host = boot.situation.host
    homes: tuple[Home, ...] = ("bare", "td", "vtl-td")
    if host.vtl:
        homes = ("vtl-td",) if host.isolation == "tdx" else ("vtl",)
    elif host.isolation != "any":
        homes = ("td", "vtl-td") if host.isolation == "tdx" else ("bare",)
    home = next((one for one in system.hosts if one in homes), None)
    if home is None:
        return None
    isolation = ("tdx" if home.endswith("td") else "none") if host.isolation == "any" else host.isolation
    filled = attrs.evolve(host, isolation=isolation, vtl=home.startswith("vtl"))
    return attrs.evolve(boot, situation=attrs.evolve(boot.situation, host=filled))


@functools.cache
def situations() -> dict[str, tuple[Situation, Node]]:
    """Return the situations by their sentences, each with its YAML."""
    found: dict[str, tuple[Situation, Node]] = {}
    for path in sorted(scenarios("situations").glob("*.yaml")):
        if path.stem == "firmware":
            continue
        node = document.load(path, relative(path))
        file = document.decode(node, SituationFile)
        for one, at in zip(file.situations, node.value["situations"].value, strict=True):
            if one.says in found:
                raise at.value["says"].error(f"another situation says this too: {found[one.says][1].where}")
            found[one.says] = (one, at)
    return found


@functools.cache
def situation(sentence: str) -> Boot:
    """Return the situation that a sentence names."""
    known = situations()
    if sentence not in known:
        raise InputError(f"no situation says {sentence!r}", hint=did_you_mean(sentence, known))
    return boot_of(*known[sentence])


def boot_of(one: Situation, at: Node) -> Boot:
    """Return a situation with what firmware publishes in it; ``at`` is its YAML."""
    path = scenarios("situations") / "firmware.yaml"
    published = document.load(path, relative(path))
    if one.firmware not in published.value:
        hint = did_you_mean(one.firmware, published.value)
        raise at.value["firmware"].error(f"no firmware {one.firmware!r}", hint)
    tables = published.value[one.firmware]
    if one.changes:
        apply(tables, one.changes, at.value["changes"])
    return Boot(one, document.decode(tables, TablesDocument))
