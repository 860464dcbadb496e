"""Mutants: implementations that break exactly one requirement, and the matrix that shows which check notices.

A mutant is a platform and a few named changes to its YAML, declared under ``scenarios/mutants``.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal

import attrs

from mpwake.checks.core import CHECKS, Check, Evidence, Judgement, checks_of, find, judge
from mpwake.spec import document
from mpwake.spec.changes import Change, apply
from mpwake.spec.document import Node, described
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role, registry
from mpwake.spec.resources import relative, scenarios
from mpwake.spec.verdicts import Verdict, merge
from mpwake.targets.model import behaviour_of, decode_platform, load_platform, tables_of


@attrs.frozen
class Mutant:
    """An implementation that breaks one requirement."""

    id: str = described("Permanent name")
    title: str = described("What is wrong with it, in one line")
    breaks: str = described("Id of the requirement that it breaks")
    base: str = described("Platform that it is made from")
    changes: tuple[Change, ...] = described("The named changes")
    role: Role = described("Role in which it is judged", Role.TABLES)
    seen: str = described("Where this was seen in the world", "")
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] | None = described(
        "Edition that it is held against, when not the base's", None
    )
    claim: str = described("The Then that it makes untrue, where its requirement has more than one", "")
    unkillable: str = described("Why no check can notice it, for one that is equivalent", "")


@attrs.frozen
class MutantFile:
    """One file of mutants."""

    mutants: tuple[Mutant, ...] = described("The mutants")


@attrs.frozen
class Outcome:
    """What the checks say of one mutant: requirement id to judgement, and what the check says that it is meant for."""

    mutant: Mutant
    judgements: dict[str, Judgement]
    own: Judgement

    @property
    def killed(self) -> bool:
        """Whether the check fails that it is meant for."""
        return self.own.verdict is Verdict.FAIL

    @property
    def also(self) -> tuple[str, ...]:
        """The other requirements whose checks fail."""
        return tuple(
            one
            for one, judgement in self.judgements.items()
            if judgement.verdict is Verdict.FAIL and one != self.mutant.breaks
        )


def _read(path: Path) -> list[tuple[Mutant, Node]]:
    node = document.load(path, relative(path))
    file = document.decode(node, MutantFile)
    return list(zip(file.mutants, node.value["mutants"].value, strict=True))


@functools.cache
def declared() -> tuple[tuple[Mutant, Node], ...]:
    """Return every mutant with its YAML, in the order of the files."""
    found: dict[str, tuple[Mutant, Node]] = {}
    for path in sorted(scenarios("mutants").glob("*.yaml")):
        for mutant, node in _read(path):
            if mutant.id in found:
                first = found[mutant.id][1].where
                raise node.error(f"the mutant {mutant.id!r} is declared twice", f"first at {first}")
            found[mutant.id] = (mutant, node)
    return tuple(found.values())


def breaking(requirement_id: str) -> tuple[Mutant, ...]:
    """Return the mutants that break a requirement, decoding no others."""
    files = (document.load(path, relative(path)) for path in sorted(scenarios("mutants").glob("*.yaml")))
    nodes = (node for file in files for node in file.value["mutants"].value)
    return tuple(document.decode(node, Mutant) for node in nodes if node.value["breaks"].value == requirement_id)


def mutants() -> tuple[tuple[Mutant, Node], ...]:
    """Return every mutant with its YAML, in the order of the requirements that they break."""
    order = list(registry().requirements)
    for mutant, node in declared():
        if mutant.breaks not in order:
            raise node.value["breaks"].error(f"no requirement {mutant.breaks!r}", did_you_mean(mutant.breaks, order))
    return tuple(sorted(declared(), key=lambda item: order.index(item[0].breaks)))


def mutated(mutant: Mutant, node: Node) -> Evidence:
    """Return the evidence of a mutant. Raises ``InputError`` at a change that does not fit its base."""
    base = load_platform(mutant.base)
    apply(base, mutant.changes, node.value["changes"])
    platform = decode_platform(base)
    evidence = tables_of(platform) if mutant.role is Role.TABLES else behaviour_of(platform, mutant.role)
    if evidence is None:
        raise node.value["base"].error(f"the platform {mutant.base!r} has nothing in the role {mutant.role.value}")
    return attrs.evolve(evidence, edition=Edition(mutant.edition or platform.edition))


def check_of(mutant: Mutant) -> Check:
    """Return the check that a mutant is meant for. Raises ``InputError`` when there is none."""
    known = {one.then: one for one in checks_of(mutant.breaks, mutant.role)}
    if mutant.claim and mutant.claim not in known:
        raise InputError(
            f"{mutant.id}: no check of {mutant.breaks} claims {mutant.claim!r}", hint=did_you_mean(mutant.claim, known)
        )
    return known[mutant.claim] if mutant.claim else find(mutant.breaks, mutant.role)


def judge_all(evidence: Evidence, role: Role) -> dict[str, Judgement]:
    """Ask every check of a role, and tell of each requirement what all its checks say together."""
    order = list(registry().requirements)
    ids = sorted((id for id, of in CHECKS if of is role), key=order.index)
    return {id: _together([judge(one, evidence) for one in checks_of(id, role)]) for id in ids}


def _together(judgements: list[Judgement]) -> Judgement:
    verdict = merge(one.verdict for one in judgements)
    reason = next(one.reason for one in judgements if one.verdict is verdict)
    return Judgement(verdict, reason, tuple(finding for one in judgements for finding in one.findings))


def of_role(role: Role) -> tuple[tuple[Mutant, Node], ...]:
    """Return the mutants of a role, with their YAML."""
    return tuple((mutant, node) for mutant, node in mutants() if mutant.role is role)


def matrix(role: Role) -> Iterator[Outcome]:
    """Judge every mutant of a role, in order, on every processor that there is.

    The judgements come without their findings: what those show is a whole trace for each.
    """
    count = len(of_role(role))
    if not count:
        return
    yield _outcome(role, 0)  # which compiles the model, where it has to be, before there are several of us
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_outcome, [role] * (count - 1), range(1, count), chunksize=4)


def _outcome(role: Role, number: int) -> Outcome:
    mutant, node = of_role(role)[number]
    evidence = mutated(mutant, node)
    judged = {one: attrs.evolve(judgement, findings=()) for one, judgement in judge_all(evidence, role).items()}
    return Outcome(mutant, judged, attrs.evolve(judge(check_of(mutant), evidence), findings=()))
