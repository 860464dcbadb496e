"""``mpwake run``: the main job."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mpwake.cli import weights
from mpwake.reporting import allure, files
from mpwake.spec.editions import ACPI_EDITIONS, Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.suite import events
from mpwake.suite.catalogue import Scenario
from mpwake.suite.engine import Options, run
from mpwake.suite.interrupt import Interrupt
from mpwake.suite.selection import select
from mpwake.targets import open_target
from mpwake.targets.base import Target
from mpwake.targets.trace.save import saving

STREAM = "events.ndjson"
REPORTS = ("results.json", "junit.xml", "report.html")
ALLURE = "allure-results"


def _is_target(word: str) -> bool:
    if word.endswith((".yaml", ".yml")) or re.match(r"[a-z]+:", word):
        return True
    return not re.search(r"\.feature(:\d+)?$", word) and ("/" in word or Path(word).is_file())


def _prepare(out: Path) -> Path:
    """Make the output directory, and take away what an earlier run left there, so that nothing stale can be read."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (STREAM, *REPORTS):
            (out / name).unlink(missing_ok=True)
        allure.clear(out / ALLURE)
    except OSError as error:
        raise InputError(f"--out: {error.strerror}", str(out)) from None
    return out


def write_reports(result: events.Run, out: Path) -> None:
    """Write every report of a run beside its stream."""
    from mpwake.reporting import html, json_document, junit

    files.write(out / "results.json", json_document.text(result))
    files.write(out / "junit.xml", junit.text(result))
    files.write(out / "report.html", html.text(result))
    allure.write_results(result, out / ALLURE)


def show(result: events.Run, form: str) -> None:
    """Print a run to stdout as a table for people or as one JSON document."""
    from mpwake.reporting import console, json_document

    if form == "json":
        click.echo(json_document.text(result), nl=False)
        return
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(console.text(result, width, colour), nl=False, color=colour)


def _announce_compilation(roles: frozenset[Role]) -> None:
    from mpwake.model.cache import cache_folder

    if roles - {Role.TABLES} and not cache_folder().is_dir():
        click.echo("compiling the model: once, for about half a minute", err=True)


@contextlib.contextmanager
def _progress(quiet: bool, total: int) -> Iterator[tuple[events.Listener, ...]]:
    if quiet or not sys.stderr.isatty() or total == 0:
        yield ()
        return
    from mpwake.reporting.console import Progress

    with Progress() as bar:
        yield (bar,)


def _open(words: tuple[str, ...], extra: tuple[str, ...], edition: str | None) -> tuple[Target, tuple[str, ...]]:
    named = bool(words) and _is_target(words[0])
    target = open_target(words[0] if named else "model", extra)
    if edition:
        target = target.held_to(Edition(edition), "chosen with --edition")
    return target, words[1:] if named else words


def _run(target: Target, scenarios: tuple[Scenario, ...], options: Options, out: Path, quiet: bool) -> events.Run:
    options.interrupt.check()
    stream = _prepare(out) / STREAM
    if not quiet and target.kind not in ("firmware", "runner", "trace"):
        _announce_compilation(frozenset(role for one in scenarios for role in one.roles))
    with stream.open("w", encoding="utf-8", newline="\n") as file, _progress(quiet, len(scenarios)) as bars:
        return run(target, scenarios, options, events.Stream(file), *bars)


@click.command("run", short_help="Judge a target, and report clause by clause.")
@click.argument("words", nargs=-1, metavar="[TARGET] [ID|AREA|FILE[:LINE]|TAG]...")
@click.option("--with", "extra", multiple=True, metavar="[KIND:]FILE", help="Further evidence for a tables: target.")
@click.option("--role", type=click.Choice([role.value for role in Role]), multiple=True, help="Only this role.")
@click.option("--edition", type=click.Choice([one.value for one in ACPI_EDITIONS]), help="Edition to be held against.")
@click.option("--strict", default="", metavar="WEIGHT,...", help=f"Fail on these too: {', '.join(weights.STRICT)}.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Seed of the run.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/out"), show_default=True)
@click.option("--save-traces", "traces", type=click.Path(path_type=Path), metavar="FILE", help="Save what is seen.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.pass_obj
def run_command(
    interrupt: Interrupt,
    words: tuple[str, ...],
    extra: tuple[str, ...],
    role: tuple[str, ...],
    edition: str | None,
    strict: str,
    seed: int,
    out: Path,
    traces: Path | None,
    form: str,
    quiet: bool,
) -> int:
    """Judge TARGET, and report clause by clause.

    TARGET is KIND:LOCATION (model:PLATFORM, tables:PATH, firmware:IMAGE) or a target .yaml; without one the reference
    platform is judged. What follows selects requirements. Reports are written to the directory that --out names.

    \b
    Kinds for --with: acpi, acpidump, dtb, memory-map, command-line, mailbox (files);
    boot-apic-id, reset-code-size (numbers). A file without a kind is recognised by its content.

    \b
    Exit codes: 0 conforming, 1 non-conforming, 2 bad usage or input, 3 the suite broke,
    4 nothing decided, 5 nothing selected, 130 interrupted.
    """
    with interrupt.awaited():
        target, selection = _open(words, extra, edition)
        roles = frozenset(Role(one) for one in role) & target.roles if role else target.roles
        scenarios = select(selection or target.selects, roles, target.platform)
        options = Options(weights.strict(strict), seed, tuple(sys.argv[1:]), interrupt)
        with saving(target, roles, seed, traces) as saved:
            result = _run(saved, scenarios, options, out, quiet)
        write_reports(result, out)
        show(result, form)
    if not quiet and form == "table":
        click.echo(f"reports: {out}/report.html, {', '.join(REPORTS[:2])}, {ALLURE}/, {STREAM}", err=True)
    return result.exit_code
