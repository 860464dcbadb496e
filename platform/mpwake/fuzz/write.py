"""The files of what was found: a scenario, and the feature that it would be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mpwake.checks.core import Check, checks_of
from mpwake.checks.situations import Plan, asks
from mpwake.fuzz.problem import Problem
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, requirement

Checks = Callable[[Problem], Check | None]


def atomically(path: Path, data: str | bytes) -> str:
    """Write a file so that whoever reads it sees all of it; return its name. Raises ``InputError`` where that fails."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data.encode() if isinstance(data, str) else data)
        beside.replace(path)
    except OSError as error:
        raise InputError(f"--out: {error.strerror}", str(path)) from None
    return path.name


def of_receivers(plan: Plan) -> Checks:
    """Return what finds the check of an AP loop that a trial is judged by."""

    def checks(one: Problem) -> Check | None:
        return next((check for check in checks_of(one.requirement, Role.RECEIVER) if asks(check, plan)), None)

    return checks


def save(path: Path, value: Any) -> str:
    """Write a document; return its name."""
    return atomically(path, document.dump(value))


def feature_of(path: Path, says: str, problems: tuple[Problem, ...], name: str, checks: Checks) -> str:
    """Write the scenarios, one for each requirement that fails, as a feature says them; return the file's name.

    ``checks`` returns the check of a problem's requirement, or None where it is a difference and no failure.
    """
    return atomically(path, "\n".join(_feature(path, says, problems, name, checks)) + "\n")


def _feature(path: Path, says: str, problems: tuple[Problem, ...], name: str, checks: Checks) -> Iterator[str]:
    scenario = path.with_suffix(".yaml").name
    yield f"# Found by mpwake fuzz {name}; `mpwake replay {scenario}` shows it again."
    yield f"# What the When says stands in {scenario}."
    yield "Feature: What a fuzzer found"
    for one in problems:
        check = checks(one)
        yield ""
        yield from _of_check(check, says) if check else _of_difference(one, says)


def _of_check(check: Check, says: str) -> Iterator[str]:
    yield f"  @{check.id} @{check.role.value}"
    yield f"  Scenario: {requirement(check.id).title}"
    for word, condition in zip(("Given", *["And"] * len(check.given)), check.given, strict=False):
        yield f"    {word} {condition.sentence}"
    yield f"    When {says}"
    yield f"    Then {check.then}"


def _of_difference(one: Problem, says: str) -> Iterator[str]:
    yield "  # No requirement covers this: it is an extension, or it wants one."
    yield "  @receiver"
    yield f"  Scenario: {one.shape}"
    yield "    Given an AP loop that polls the mailbox"
    yield f"    When {says}"
    yield f"    Then it does as {one.expected}"
