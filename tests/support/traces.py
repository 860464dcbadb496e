"""Runs that are saved and judged again from the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from mpwake.spec.requirements import Role
from mpwake.suite import events
from mpwake.suite.engine import Options, run
from mpwake.suite.selection import select
from mpwake.targets import open_target
from mpwake.targets.base import Target
from mpwake.targets.trace.save import saving

DRIVEN = frozenset({Role.RECEIVER, Role.SENDER})


def saved(spec: str, path: Path, *words: str, roles: frozenset[Role] = DRIVEN) -> events.Run:
    """Judge a target in the roles that it is driven in, and keep what was seen."""
    target = open_target(spec)
    with saving(target, roles & target.roles, 0, path) as one:
        return judged(one, *words, roles=roles)


def judged(target: Target, *words: str, roles: frozenset[Role] = DRIVEN) -> events.Run:
    """Judge a target in the roles that it is driven in."""
    return run(target, select(words or target.selects, roles & target.roles, target.platform), Options())


def told(one: events.Run) -> list[Any]:
    """Return what a run says of each requirement: verdicts, reasons, findings and exhibits, but how long it took."""
    return [
        (result.selected, result.verdict, result.reason, [attrs.evolve(each, duration=0) for each in result.scenarios])
        for result in one.results
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a trace file."""
    return [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, these: list[dict[str, Any]]) -> Path:
    """Write the lines of a trace file."""
    path.write_text("".join(json.dumps(one) + "\n" for one in these), encoding="utf-8")
    return path
