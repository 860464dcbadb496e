"""``mpwake matrix``: many targets, or what they came to, on one page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from mpwake.reporting import files, matrix
from mpwake.reporting.matrix import Column, Matrix
from mpwake.reporting.results import DOCUMENT, STREAM, load
from mpwake.spec.editions import ACPI_EDITIONS
from mpwake.spec.requirements import Role
from mpwake.suite.elsewhere import Told, all_there, judged
from mpwake.suite.errors import Interrupted
from mpwake.suite.interrupt import Interrupt

OUT = Path("reports/out/matrix")
UNJUDGED = "it was stopped before"
_SLUG = re.compile(r"[^A-Za-z0-9.]+")


def _is_result(word: str) -> bool:
    path = Path(word)
    if path.is_dir():
        return any((path / name).exists() for name in (STREAM, DOCUMENT))
    return path.suffix in (".ndjson", ".json") and path.is_file()


def _folder(out: Path, number: int, location: str) -> Path:
    return out / f"{number + 1:02}-{_SLUG.sub('-', location).strip('-')[-60:]}"


def _here(
    locations: tuple[str, ...], words: tuple[str, ...], folders: list[Path], stops: Callable[[], bool]
) -> Iterator[tuple[int, Told]]:
    for number, location in enumerate(locations):
        if stops():
            return
        yield number, judged(location, words, folders[number])


def _judge(
    scheduler: str | None, locations: tuple[str, ...], words: tuple[str, ...], folders: list[Path], interrupt: Interrupt
) -> Iterator[tuple[int, Told]]:
    def stops() -> bool:
        return interrupt.asked > 0

    if not locations:
        return
    if scheduler is None:
        yield from _here(locations, words, folders, stops)
        return
    from mpwake.suite.cluster import connected

    with connected(scheduler) as client:
        yield from all_there(client, locations, words, stops)


def _column(name: str, told: Told, folder: Path) -> Column:
    if not told.stream:
        return Column(name, reason=told.reason)
    files.write(folder / STREAM, told.stream)
    return Column(name, load(folder))


def _earlier(word: str) -> Column:
    results = load(Path(word))
    return Column(results.name, results, source=word)


@click.command("matrix", short_help="Put many targets, or their results, beside each other.")
@click.argument("what", nargs=-1, required=True, metavar="TARGET|RESULT...")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that judges the targets: tcp://HOST:PORT.")
@click.option("--role", type=click.Choice([role.value for role in Role]), multiple=True, help="Only this role.")
@click.option("--edition", type=click.Choice([one.value for one in ACPI_EDITIONS]), help="Edition to be held against.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For the page.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def matrix_command(
    interrupt: Interrupt | None,
    what: tuple[str, ...],
    scheduler: str | None,
    role: tuple[str, ...],
    edition: str | None,
    out: Path,
    form: str,
) -> int:
    """Put many targets beside each other: requirements down, targets across.

    TARGET is what mpwake run takes; it is judged, here or on a cluster. RESULT is the directory of a run's --out, its
    events.ndjson or its results.json. The page is matrix.html in the directory that --out names; beside it lie
    matrix.json and a directory with the event stream of each target.

    \b
    Exit codes: 0 all conform, 1 something is non-conforming, 2 bad usage or input, 3 something could not be judged,
    4 something is undecided, 130 interrupted.
    """
    interrupt = interrupt or Interrupt()
    words = (*(word for one in role for word in ("--role", one)), *(("--edition", edition) if edition else ()))
    columns = {number: _earlier(one) for number, one in enumerate(what) if _is_result(one)}
    numbers = [number for number in range(len(what)) if number not in columns]
    folders = [_folder(out, number, what[number]) for number in numbers]
    with interrupt.awaited():
        for at, told in _judge(scheduler, tuple(what[one] for one in numbers), words, folders, interrupt):
            columns[numbers[at]] = _column(what[numbers[at]], told, folders[at])
    every = Matrix(tuple(columns.get(at, Column(one, reason=UNJUDGED)) for at, one in enumerate(what)))
    files.write(out / "matrix.html", matrix.html(every))
    files.write(out / "matrix.json", matrix.json_text(every))
    click.echo(matrix.json_text(every) if form == "json" else matrix.text(every), nl=False)
    if form == "text":
        click.echo(f"page: {out / 'matrix.html'}", err=True)
    if interrupt.asked:
        raise Interrupted
    return every.exit_code
