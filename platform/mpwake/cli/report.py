"""``mpwake report``: a report of an earlier run, from its stream."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from mpwake.reporting import files
from mpwake.suite import events

FORMS = ["table", "json", "junit", "html", "allure"]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpwake"


def _allure(run: events.Run, out: Path) -> Path:
    from mpwake.reporting import allure, allure_html

    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "allure-results"
        allure.write_results(run, results)
        return allure_html.render(results, out, _cache() / "allure")


@click.command("report", short_help="Make a report of an earlier run from its event stream.")
@click.argument("words", nargs=-1, required=True, metavar="[FORMAT] STREAM")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Where to write it; stdout, or for allure ./allure.")
def report_command(words: tuple[str, ...], out: Path | None) -> int:
    """Make a report from STREAM, an events.ndjson or the directory that holds one.

    FORMAT is table (the default), json, junit, html or allure. The exit code is that of the run; a run that was cut
    off reads as incomplete and exits with 4.
    """
    from mpwake.cli.run import show
    from mpwake.reporting import html, json_document, junit

    form = words[0] if words[0] in FORMS else "table"
    rest = words[1:] if words[0] in FORMS else words
    if len(rest) != 1:
        raise click.UsageError(f"write mpwake report [{'|'.join(FORMS)}] STREAM")
    run = events.load(Path(rest[0]))
    if form == "allure":
        click.echo(_allure(run, out or Path("allure")))
        return run.exit_code
    if form == "table" and out is None:
        show(run, form)
        return run.exit_code
    makers = {"json": json_document.text, "junit": junit.text, "html": html.text, "table": _table}
    text = makers[form](run)
    if out is None:
        click.echo(text, nl=False)
    else:
        files.write(out, text)
    return run.exit_code


def _table(run: events.Run) -> str:
    from mpwake.reporting import console

    return console.text(run, 100, False)
