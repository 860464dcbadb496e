"""The registry: every requirement of the catalogue, from ``scenarios/requirements/*.yaml``."""

from __future__ import annotations

import enum
import functools
import itertools
import re
from pathlib import Path

import attrs

from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.editions import ACPI_EDITIONS, Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.resources import relative, scenarios

ID = re.compile(r"[A-Z]{2,4}-[0-9]{2}")


class Role(enum.Enum):
    """The side that is under test; the suite plays the rest of the platform."""

    TABLES = "tables"
    RECEIVER = "receiver"
    SENDER = "sender"


class Party(enum.Enum):
    """Who is obliged."""

    FIRMWARE = "firmware"
    AP = "ap"
    OS = "os"
    BOOT_LOADER = "boot-loader"
    BOTH = "both"
    SPECIFICATION = "specification"


class Kind(enum.Enum):
    """How a requirement can be observed."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    ORDERING = "ordering"
    ENVIRONMENT = "environment"
    NONE = "none"


class Basis(enum.Enum):
    """What a requirement rests on. Only the first three are specifications."""

    ACPI_6_4 = "acpi-6.4"
    ACPI_6_6 = "acpi-6.6"
    DT_BINDING = "dt-binding"
    INTEROP = "interop"
    ROBUSTNESS = "robustness"


class Strength(enum.Enum):
    """How a specification words it: an obligation, or advice and description."""

    SHALL = "shall"
    SHOULD = "should"


class Weight(enum.Enum):
    """What a failure counts as. Only ``CONFORMANCE`` makes an implementation non-conforming."""

    CONFORMANCE = "conformance"
    GUIDANCE = "guidance"
    INTEROP = "interop"
    ROBUSTNESS = "robustness"


@attrs.frozen
class Clause:
    """Where one edition states a requirement."""

    section: str = described("Section of the document, for example 5.2.12.19, or the file and property of a binding")
    table: str = described("Number of the table, for example 5.45", "")

    def __attrs_post_init__(self) -> None:
        if not self.section:
            raise ValueError("the section is empty")

    def __str__(self) -> str:
        numbered = f"section {self.section}" if self.section[0].isdigit() else self.section
        return numbered + (f", Table {self.table}" if self.table else "")


@attrs.frozen
class Requirement:
    """One requirement, in our words."""

    id: str = described("Permanent id: area, hyphen, two digits, for example MADT-07")
    title: str = described("The requirement in one short sentence")
    party: Party = described("Who is obliged")
    roles: tuple[Role, ...] = described("The roles in which an implementation can be held to it")
    kind: Kind = described("How it can be observed")
    basis: Basis = described("What it rests on; only acpi-* and dt-binding can make an implementation non-conforming")
    statement: str = described("The requirement in full, in our own words")
    rationale: str = described("Why it exists: what happens to whom when it is broken")
    observed: str = described("How the suite observes it")
    mistakes: str = described("What typically goes wrong, with real cases where there are any")
    sources: tuple[str, ...] = described("Abbreviations from scenarios/sources.yaml")
    clauses: dict[str, Clause] = described(
        "Edition to clause; empty when no specification states it", attrs.Factory(dict)
    )
    strength: Strength = described("shall, or should for guidance and descriptive wording", Strength.SHALL)
    unobservable: str = described("Why no target whatever can observe it, for one that none can", "")

    def __attrs_post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is not an id such as MADT-07")
        if not self.roles:
            raise ValueError(f"{self.id} names no role")
        known = {edition.value for edition in Edition}
        for name in self.clauses:
            if name not in known:
                raise ValueError(f"{name!r} is not an edition; {did_you_mean(name, known)}")
        stated = self.basis in (Basis.ACPI_6_4, Basis.ACPI_6_6, Basis.DT_BINDING)
        if stated != bool(self.clauses):
            raise ValueError(f"{self.id}: basis {self.basis.value} {'needs' if stated else 'has no'} clauses")

    @property
    def area(self) -> str:
        """The part of the id before the hyphen."""
        return self.id.split("-")[0]

    @property
    def weight(self) -> Weight:
        """What a failure counts as."""
        return weight(self.basis, self.strength)

    def applies(self, edition: Edition) -> bool:
        """Say whether the edition states it; what no ACPI edition states applies under every one."""
        acpi = {one.value for one in ACPI_EDITIONS} & self.clauses.keys()
        return not acpi or edition.value in acpi

    def clause(self, edition: Edition) -> str:
        """Return the clause that a verdict under ``edition`` cites, or what the requirement rests on."""
        for name in (edition.value, Edition.DT_BINDING.value, *reversed(self.clauses)):
            if name in self.clauses:
                return f"{name}: {self.clauses[name]}"
        return f"{self.basis.value}: {', '.join(self.sources)}"


def weight(basis: Basis, strength: Strength = Strength.SHALL) -> Weight:
    """Return what a failure of a requirement with this basis and strength counts as."""
    if basis in (Basis.INTEROP, Basis.ROBUSTNESS):
        return Weight(basis.value)
    return Weight.CONFORMANCE if strength is Strength.SHALL else Weight.GUIDANCE


@attrs.frozen
class Area:
    """One file of the registry."""

    area: str = described("The letters that its ids begin with")
    title: str = described("The area's name")
    chapter: str = described("The folder under features/ that holds its scenarios")
    requirements: tuple[Requirement, ...] = described("Its requirements, in the order of their ids")

    def __attrs_post_init__(self) -> None:
        ids = [requirement.id for requirement in self.requirements]
        for one in ids:
            if not one.startswith(self.area + "-"):
                raise ValueError(f"{one} does not belong to area {self.area}")
        for first, second in itertools.pairwise(ids):
            if second <= first:
                raise ValueError(f"{second} stands after {first}; ids are unique and in order")


@attrs.frozen
class Registry:
    """All areas."""

    areas: tuple[Area, ...]

    @property
    def requirements(self) -> dict[str, Requirement]:
        """Id to requirement, in the order of the registry."""
        return {one.id: one for area in self.areas for one in area.requirements}

    def area_of(self, requirement_id: str) -> Area:
        """Return the area that an id belongs to."""
        prefix = requirement_id.split("-")[0]
        return next(area for area in self.areas if area.area == prefix)

    def __getitem__(self, requirement_id: str) -> Requirement:
        known = self.requirements
        if requirement_id not in known:
            raise InputError(f"no requirement {requirement_id!r}", hint=did_you_mean(requirement_id, known))
        return known[requirement_id]


ORDER = ("MADT", "DT", "SEL", "MEM", "SND", "RCV", "ORD", "TMO", "DUP", "RST", "TRM", "TDX", "KEX", "HVL", "IPI")


def load_area(path: Path) -> Area:
    """Read one file of the registry."""
    return document.decode(document.load(path, relative(path)), Area)


@functools.cache
def registry() -> Registry:
    """Read the whole registry, in the catalogue's order."""
    folder = scenarios("requirements")
    files = [load_area(path) for path in sorted(folder.glob("*.yaml"))]
    areas = {area.area: area for area in files}
    if sorted(area.area for area in files) != sorted(ORDER):
        found = ", ".join(area.area for area in files)
        raise InputError(f"one file for each area is needed, and there are {found}", relative(folder), ", ".join(ORDER))
    return Registry(tuple(areas[name] for name in ORDER))


def requirement(requirement_id: str) -> Requirement:
    """Return one requirement, reading no more than its area; raises ``InputError`` for an id that is none."""
    path = scenarios("requirements") / f"{requirement_id.split('-')[0].lower()}.yaml"
    found = _area(path).requirements if ID.fullmatch(requirement_id) and path.is_file() else ()
    return next((one for one in found if one.id == requirement_id), None) or registry()[requirement_id]


@functools.cache
def _area(path: Path) -> Area:
    return load_area(path)
