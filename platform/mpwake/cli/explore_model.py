"""``mpwake explore`` of a platform of the model: every order of loads and stores, with progress and checkpoints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mpwake.cli.explore import show, write
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.suite.interrupt import Interrupt

if TYPE_CHECKING:
    from mpwake.model.explore.search import Progress
    from mpwake.targets.exploration import Explored

OFTEN = 0.25


def explore_model(
    platform: str,
    out: Path,
    form: str,
    interrupt: Interrupt,
    *,
    aps: int | Literal["all"],
    agent: str | None,
    states: int | None,
    memory: Literal["sc", "tso", "relaxed"],
    order: str,
    tests: bool,
    twice: bool,
    callers: int,
    symmetry: bool,
    por: bool,
    memory_limit: int,
    threads: int,
    checkpoint: Path | None,
    every: float,
    resume: Path | None,
) -> int:
    """Explore a platform of the model, print what was found, and return the exit code."""
    from mpwake.model.explore.exploring import Reductions
    from mpwake.model.explore.search import STATES, Bounds
    from mpwake.targets.exploration import Task, explore

    asked = order == "fixed" or tests or twice or callers > 1
    if aps == "all" and (asked or checkpoint or resume):
        text = "--aps all: not with --order fixed, --tests, --twice, --callers, --checkpoint or --resume"
        raise InputError(text, hint="give a number")
    if tests and (twice or callers > 1):
        raise InputError("--tests: not with --twice or --callers", hint="leave one of them out")
    reductions, bounds = Reductions(symmetry, por), Bounds(states or STATES, memory_limit << 20, threads=threads)
    task = Task(
        platform,
        aps,
        memory,
        agent,
        order == "any",
        tests,
        reductions,
        bounds,
        checkpoint,
        resume,
        every,
        twice,
        callers,
    )
    began = time.perf_counter()
    with interrupt.awaited():
        explored = explore(task, _listener(interrupt))
    seconds = time.perf_counter() - began
    file = None
    if explored.scenario:
        file = out
        for path, text in _files(explored, out):
            write(path, text)
    return show(explored.exploration, seconds, file, form)


def _files(explored: Explored, out: Path) -> Iterator[tuple[Path, str]]:
    # The scenario, a feature with the requirements that fail in it, and the traffic around the first of these.
    from mpwake.reporting import sequence
    from mpwake.suite.engine import traffic_of
    from mpwake.targets.exploration import offence, snippet

    one = explored.exploration.violation
    assert one and explored.scenario
    yield out, document.dump(explored.scenario)
    yield out.with_suffix(".feature"), snippet(one, out.name)
    traffic = offence(one.trace, one.role, explored.edition, one.requirements[0])
    if traffic:
        yield out.with_suffix(".svg"), sequence.document(traffic_of(traffic), one.what)


def _listener(interrupt: Interrupt) -> Callable[[Progress], None]:
    last = 0.0
    live = sys.stderr.isatty()

    def listen(one: Progress) -> None:
        nonlocal last
        interrupt.check()
        if live and one.seconds - last > OFTEN:
            last = one.seconds
            rate = one.states / one.seconds / 1e6
            size = f"{one.frontier:,} next, {one.bytes >> 20} MiB"
            line = f"{one.states:,} states, {rate:.2f} million/s, depth {one.depth}, {size}"
            click.echo(f"\r{line}\033[K", err=True, nl=False)

    return listen
