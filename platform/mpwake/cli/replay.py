"""``mpwake replay``: a scenario file shown again, with what was seen in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mpwake.checks.core import checks_of
from mpwake.checks.traffic import told
from mpwake.evidence.trace import Kind, Trace
from mpwake.fuzz.judge import of_check
from mpwake.fuzz.loops import phrase
from mpwake.fuzz.problem import BREAKS, Examined, Problem
from mpwake.fuzz.reference import differences
from mpwake.model.probe import Probe
from mpwake.model.scenario import Reading
from mpwake.spec import document
from mpwake.spec.errors import InputError, ToolError, did_you_mean
from mpwake.spec.files import read_bounded
from mpwake.spec.requirements import Role, Weight, requirement
from mpwake.spec.verdicts import TABLE, Verdict
from mpwake.targets.base import Target
from mpwake.targets.scenario import open_whole

MAX_INPUT = 1 << 24
ACTS = (Kind.STORE, Kind.LANDING, Kind.FAULT)


def _probe(path: Path) -> Probe | None:
    node = document.load(path)
    return document.decode(node.value["probe"], Probe) if "probe" in node.value else None


def _problems(target: Target, role: Role) -> Iterator[Problem]:
    for id in target.selects:
        for check in checks_of(id, role):
            yield from of_check(check, target.driven[role])


def _compared(path: Path, target: Target, probe: Probe | None, trace: Trace) -> tuple[Problem, ...]:
    from mpwake.checks.situations import plan_of

    if probe is None or "reference" not in document.load(path).value or target.edition is None:
        return ()
    return differences(plan_of(probe, target.edition), trace)[0]


def _lines(target: Target, probe: Probe | None, trace: Trace, problems: tuple[Problem, ...]) -> Iterator[str]:
    yield f"{target.name}: held against {target.edition.value if target.edition else 'no edition'}"
    for note in target.notes:
        yield f"  {note}"
    if probe is not None:
        yield f"  parked: {', '.join(f'{one:#x}' for one in probe.ids)}"
        yield from (f"  {number:>2}  {phrase(one)}" for number, one in enumerate(probe.requests, start=1))
    yield ""
    yield from told(
        trace, next((one for one in trace.events if one.agent and one.kind in ACTS), None)
    ).text.splitlines()
    for one in problems:
        yield ""
        yield (
            f"x {one.requirement}  {requirement(one.requirement).title}"
            if one.requirement
            else f"~ {one.kind}: {one.shape}"
        )
        yield f"  found     {one.found}"
        yield f"  expected  {one.expected}"
    yield ""
    yield _end(problems)


def _end(problems: tuple[Problem, ...]) -> str:
    failed = list(dict.fromkeys(one.requirement for one in problems if one.requirement))
    if any(one.weight is Weight.CONFORMANCE for one in problems):
        return f"non-conforming: {', '.join(failed)}"
    if failed:
        return f"other findings: {', '.join(failed)}"
    return (
        "differs from the reference, which no requirement forbids" if problems else "nothing is wrong with it any more"
    )


def _trials(path: Path, target: Target, role: Role) -> tuple[Trace, ...]:
    """Run the trial. A program that broke when it was fuzzed, and breaks again, is an error and no bad usage."""
    try:
        return target.driven[role].trials("")
    except InputError as error:
        if target.kind != "runner":
            raise
        raise ToolError(f"the program breaks: {error}", str(path)) from None


def _read_again(path: Path, node: document.Node) -> int:
    """Read an input again, as the fuzzer did; return the exit code."""
    from mpwake.fuzz.inputs import READERS, examined
    from mpwake.fuzz.inputs import told as shown

    one = document.decode(node, Reading)
    if one.reader not in READERS:
        raise node.value["reader"].error(f"no reader {one.reader!r}", did_you_mean(one.reader, READERS))
    data = read_bounded(path.parent / one.file, MAX_INPUT)
    if (digest := hashlib.sha256(data).hexdigest()) != one.sha256:
        raise node.value["sha256"].error(f"{one.file} has other bytes, with sha256 {digest}", "fuzz it again")
    seen = examined(READERS[one.reader], data)
    click.echo("\n".join(_input_lines(path, one, shown(data), seen)))
    broken = any(problem.kind == BREAKS for problem in seen.problems)
    return TABLE[Verdict.ERROR if broken else Verdict.PASS].exit_code


def _input_lines(path: Path, one: Reading, shown: Sequence[str], seen: Examined) -> Iterator[str]:
    yield f"scenario:{path}: {one.file}, read as {one.reader}"
    yield from (f"  {note}" for note in (one.found.told()[:1] if one.found else ()))
    yield ""
    yield from (f"    {line}" for line in shown)
    yield from (f"  {name}" for name, count in sorted(seen.sometimes.items()) if count)
    for problem in seen.problems:
        yield ""
        yield f"~ {problem.kind}: {problem.shape}"
        yield f"  found     {problem.found}"
        yield f"  expected  {problem.expected}"
    yield ""
    missing = [key for key in one.shows if key not in {problem.key for problem in seen.problems}]
    yield from (f"{_why_not(key, seen)}: {key}" for key in missing)
    if not missing:
        yield "it shows the same again"


def _why_not(key: str, seen: Examined) -> str:
    other = key.partition(": ")[0].removeprefix("differs from ")
    asked = key.startswith("differs from ") and not seen.sometimes[f"{other} was asked"]
    return f"cannot be shown, because {other} is not there" if asked else "not shown any more"


@click.command("replay", short_help="Show a scenario file again.")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def replay_command(path: Path) -> int:
    """Run the one trial that a scenario file tells of, and show what is done in it, and what is seen.

    It is judged by the requirements that the file names; where it names a reference it is compared with that. mpwake
    run takes the same files and writes reports. A file that names a reader has its bytes read again.

    \b
    Exit codes: 0 nothing failed, 1 a requirement failed, 2 bad usage or input, 3 the suite or a target broke.
    """
    node = document.load(path)
    if isinstance(node.value, dict) and "reader" in node.value:
        return _read_again(path, node)
    target = open_whole(path).settled()
    role = next(iter(target.driven))
    trials = _trials(path, target, role)
    if not trials:
        raise InputError("is a trial that the implementation does not run in", str(path))
    probe = _probe(path)
    problems = (*_problems(target, role), *_compared(path, target, probe, trials[0]))
    click.echo("\n".join(_lines(target, probe, trials[0], problems)))
    failed = any(one.weight is Weight.CONFORMANCE for one in problems)
    return TABLE[Verdict.FAIL if failed else Verdict.PASS].exit_code
