"""``mpwake fuzz``: anything that can be done, in any order."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpwake.cli import weights
from mpwake.fuzz.campaign import Found
from mpwake.fuzz.database import REDIS
from mpwake.fuzz.problem import Job, Problem
from mpwake.fuzz.run import SUMMARY, Campaign, Wanted, run, taken_up
from mpwake.spec.editions import ACPI_EDITIONS, Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, Weight, requirement
from mpwake.spec.verdicts import EXIT_INCOMPLETE, TABLE, Verdict
from mpwake.suite.errors import Interrupted
from mpwake.suite.interrupt import Interrupt

if TYPE_CHECKING:
    from mpwake.fuzz.cluster import Cluster

OUT = Path("reports/out/fuzz")
EXAMPLES = 2000
_TIME = re.compile(r"(\d{1,6})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Read a time such as ``90s``, ``10m`` or ``2h``. Raises ``InputError`` for anything else."""
    found = _TIME.fullmatch(text)
    if not found or not int(found[1]):
        raise InputError(f"--time: {text!r} is not a time", hint="for example 90s, 10m or 2h")
    return float(int(found[1]) * _SECONDS[found[2]])


def _mark(one: Problem) -> str:
    if not one.requirement:
        return "~"
    return "x" if one.weight is Weight.CONFORMANCE else "!"


def _head(one: Problem) -> str:
    if not one.requirement:
        return f"~ {one.kind}: {one.shape}"
    return f"{_mark(one)} {one.requirement}  {requirement(one.requirement).title}"


def finding(campaign: Campaign, one: Found) -> Iterator[str]:
    """Yield a finding as lines: all that its example shows, and the example."""
    yield ""
    for problem in one.problems:
        yield _head(problem)
    for line in one.told:
        yield f"    {line}"
    yield f"  found     {one.problems[0].found}"
    yield f"  expected  {one.problems[0].expected}"
    yield f"  files     {', '.join(str(campaign.wanted.out / name) for name in campaign.files_of(one))}"
    yield f"  seed      {one.seed}"


def lines(campaign: Campaign) -> Iterator[str]:
    """Yield a whole campaign as lines."""
    tally = campaign.tally
    yield f"{campaign.job.name}: {campaign.job.about}"
    yield f"  examples  {tally.examples} in {tally.seconds:.2f} s, seed {campaign.wanted.seed}"
    for name, count in sorted(tally.sometimes.items()):
        yield f"  sometimes {name}: {count} times" if count else f"  never     {name}"
    for name in campaign.missing:
        if name not in tally.sometimes:
            yield f"  never     {name}"
    if campaign.earlier:
        yield f"  before    {len(campaign.earlier)} findings, in {campaign.wanted.out / SUMMARY}"
    for one in tally.found:
        yield from finding(campaign, one)
    yield ""
    yield _verdict(campaign)


def _verdict(campaign: Campaign) -> str:
    failed = dict.fromkeys(one.requirement for one in campaign.problems if one.weight is Weight.CONFORMANCE)
    light = [one for one in campaign.problems if one.weight not in (None, Weight.CONFORMANCE)]
    counted = dict.fromkeys(one.requirement for one in light if one.weight in campaign.wanted.strict)
    other = dict.fromkeys(one.requirement for one in light if one.weight not in campaign.wanted.strict)
    kinds = [one for one in campaign.problems if one.weight is None]
    parts = []
    if failed:
        parts.append(
            f"non-conforming: {_counted(len(failed), 'requirement fails', 'requirements fail')} ({', '.join(failed)})"
        )
    if counted:
        parts.append(f"counted with --strict: {', '.join(counted)}")
    if other:
        parts.append(f"other findings: {', '.join(other)}")
    if kinds:
        parts.append(f"{_counted(len(kinds), 'difference', 'differences')} that no requirement covers")
    if not campaign.problems:
        nothing = "nothing was shown" if campaign.missing else "nothing was found"
        never = f": never {', never '.join(campaign.missing)}" if campaign.missing else ""
        parts.append(f"{nothing}{never}")
    return "; ".join(parts)


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _progress(campaign: Campaign, fresh: tuple[Found, ...]) -> None:
    if sys.stderr.isatty():
        tally = campaign.tally
        found = f"{len(tally.found)} findings"
        click.echo(
            f"\r{tally.examples} examples, {tally.reached} branches, {found}, {tally.seconds:.0f} s ",
            err=True,
            nl=False,
        )
        for one in fresh:
            click.echo(f"\r{_head(one.problems[0])}\n", err=True, nl=False)


def _there(
    scheduler: str | None, job: Job, location: str, role: Role | None, edition: Edition | None
) -> contextlib.AbstractContextManager[Cluster | None]:
    if scheduler is None:
        return contextlib.nullcontext()
    from mpwake.fuzz.cluster import on_cluster

    return on_cluster(scheduler, job, location, role, edition)


def _database(given: str | None, scheduler: str | None, out: Path) -> str:
    if given is None:
        return "" if scheduler else str(out / "examples")
    if scheduler and given and not given.startswith(REDIS):
        raise InputError(f"--database: the machines of a cluster do not share {given}", hint="redis://HOST:PORT")
    return given


@click.command("fuzz", short_help="Do anything that can be done, in any order.")
@click.argument("location", metavar="TARGET")
@click.option("--examples", type=click.IntRange(1), help=f"How many; {EXAMPLES} unless --time is given.")
@click.option("--time", "time_", metavar="TIME", help="How long: 90s, 10m, 2h.")
@click.option("--seed", type=click.IntRange(0, (1 << 40) - 1), default=0, show_default=True, help="To do it again.")
@click.option("--workers", type=click.IntRange(1, 4096), help="Processes; 1 unless given, or all of a cluster.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that does the work: tcp://HOST:PORT.")
@click.option(
    "--database",
    metavar="DIR|redis://...",
    help="Where examples are kept and tried first; beside the findings unless given.",
)
@click.option(
    "--role", type=click.Choice(["receiver", "sender"]), help="Which side of a model; its AP loop unless given."
)
@click.option("--edition", type=click.Choice([one.value for one in ACPI_EDITIONS]), help="Edition to be held against.")
@click.option("--strict", default="", metavar="WEIGHT,...", help=f"Fail on these too: {', '.join(weights.STRICT)}.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For what is found.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def fuzz_command(
    interrupt: Interrupt | None,
    location: str,
    examples: int | None,
    time_: str | None,
    seed: int,
    workers: int | None,
    scheduler: str | None,
    database: str | None,
    role: str | None,
    edition: str | None,
    strict: str,
    out: Path,
    form: str,
) -> int:
    """Do to a target anything that can be done, in any order, and keep the smallest example of whatever is wrong.

    TARGET is model:PLATFORM, mutant:NAME, firmware:IMAGE, runner:PROGRAM, or one of these declared in YAML. Its trials
    are judged by the requirements whose situation they are, and beside an AP loop that keeps to ACPI; a difference that
    no requirement covers is told, and is no failure. tables:madt, tables:dtb and tables:memory-map try the readers of
    tables; suite:yaml, suite:trace, suite:events, suite:image and suite:kernel those of the suite's own files.

    A campaign that was stopped goes on where it was when it is given the same directory.

    \b
    Exit codes: 0 nothing failed, 1 a requirement failed, 2 bad usage or input, 3 the suite or a target broke,
    4 nothing was shown: no AP loop, or none was ever woken, 130 interrupted: what was found is kept.
    """
    from mpwake.fuzz.jobs import job_named

    seconds = seconds_of(time_) if time_ else None
    counting = frozenset({Weight.CONFORMANCE, *map(Weight, weights.strict(strict))})
    count = examples if examples or seconds else EXAMPLES
    chosen = Edition(edition) if edition else None
    job = job_named(location, Role(role) if role else None, out, chosen)
    if job is None:
        click.echo(f"{location}: no AP loop that an operating system sees", err=True)
        return EXIT_INCOMPLETE
    interrupt = interrupt or Interrupt()
    kept = _database(database, scheduler, out)
    with _there(scheduler, job, location, Role(role) if role else None, chosen) as cluster:
        workers = workers or (cluster.workers if cluster else 1)
        campaign = taken_up(job, Wanted(out, seed, count, seconds, workers, kept, counting))
        run(campaign, interrupt, _progress, cluster.carry_out if cluster else None)
    click.echo(json.dumps(campaign.plain(), indent=2) if form == "json" else "\n".join(lines(campaign)))
    if interrupt.asked:
        raise Interrupted
    return TABLE[campaign.verdict()].exit_code if campaign.verdict() is not Verdict.PASS else 0
