"""``mpwake corpus``: firmware and kernels that ship, fetched from Debian, and what is known of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

import attrs
import click

from mpwake.cli.registry import FORM, Row, print_rows
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import EXIT_HARNESS, EXIT_INCOMPLETE, Verdict
from mpwake.suite.engine import Options, run
from mpwake.suite.selection import select
from mpwake.targets import open_target
from mpwake.targets.base import Target
from mpwake.targets.firmware.archive import UnavailableError
from mpwake.targets.firmware.corpus import (
    Changed,
    Comparison,
    Fetched,
    Specimen,
    cache_folder,
    catch,
    changed_loops,
    compare,
    corpus,
    fetch,
    image_in,
)

EXIT_DIFFERS = 1
T = TypeVar("T")
ROLES = {"firmware": Role.RECEIVER, "kernel": Role.SENDER}
NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")


@attrs.frozen
class Outcome:
    """One image of the corpus, judged, or the reason why it was not."""

    specimen: Specimen
    comparison: Comparison | None = None
    skipped: str = ""

    @property
    def state(self) -> str:
        """The word for it in the table."""
        if self.comparison is None:
            return "skipped"
        return "as known" if self.comparison.as_known else "differs"


def _chosen(names: tuple[str, ...]) -> tuple[Specimen, ...]:
    return _named(names, {one.name: one for one in corpus()}, "image")


def _named(names: tuple[str, ...], known: dict[str, T], what: str) -> tuple[T, ...]:
    for name in names:
        if name not in known:
            raise InputError(f"no {what} {name!r} in the corpus", hint=did_you_mean(name, known))
    return tuple(known[name] for name in dict.fromkeys(names)) or tuple(known.values())


def _told(rows: list[Row], states: tuple[str, ...], what: str = "images") -> None:
    counted = [f"{sum(row['state'] == state for row in rows)} {state}" for state in states]
    click.echo(f"{len(rows)} {what}: {', '.join(counted)}", err=True)


def _fetched(one: Fetched) -> Row:
    return {"name": one.specimen.name, "state": one.state, "image": str(one.image or ""), "reason": one.reason}


@click.group("corpus", short_help="Firmware and kernels that ship: fetch, and compare with what is known.")
def corpus_command() -> None:
    """Fetch firmware and kernels that ship, and compare them with what is known of them."""


@corpus_command.command("fetch")
@NAMES
@FORM
def fetch_command(names: tuple[str, ...], form: str) -> int:
    """Bring images of the corpus into the cache, all of them or those named.

    Packages come through this machine's own apt, from the suites that the corpus names, with a state directory of its
    own. Nothing is installed. What cannot be had is skipped, with the reason. Exits with 4 when there is no image.
    """
    try:
        rows = [_fetched(one) for one in fetch(_chosen(names), cache_folder())]
    except OSError as error:
        raise InputError(f"the cache cannot be used: {error.strerror}", str(error.filename or cache_folder())) from None
    print_rows(rows, form, ("name", "state", "reason"))
    _told(rows, ("fetched", "cached", "skipped"))
    return 0 if any(row["image"] for row in rows) else EXIT_INCOMPLETE


def outcome(specimen: Specimen, cache: Path) -> Outcome:
    """Judge one image of the cache in its role, and compare it with what is known of it.

    Raises ``InputError`` for an image that cannot be opened.
    """
    try:
        image = image_in(cache, specimen)
    except UnavailableError as error:
        return Outcome(specimen, skipped=error.reason)
    return Outcome(specimen, compare(specimen, _verdicts(open_target(f"{specimen.kind}:{image}"), specimen)))


def _verdicts(target: Target, specimen: Specimen) -> dict[str, Verdict]:
    held = target.held_to(Edition(specimen.edition), "the corpus says so")
    scenarios = select((), frozenset({ROLES[specimen.kind]}), held.platform)
    judged = run(held, scenarios, Options(command=tuple(sys.argv[1:])))
    return {one.selected.id: one.verdict for one in judged.results}


def row(one: Outcome) -> Row:
    """Return one line of what ``corpus run`` prints."""
    found = one.comparison or Comparison(reason=one.skipped)
    return {
        "name": one.specimen.name,
        "state": one.state,
        "news": list(found.news),
        "no_longer_fails": list(found.gone),
        "undecided": list(found.undecided),
        "known": list(one.specimen.fails),
        "reason": found.reason,
    }


@corpus_command.command("run")
@NAMES
@FORM
def run_command(names: tuple[str, ...], form: str) -> int:
    """Judge the images in the cache, and compare with the results known for them.

    Prints failures that are not known, and known failures that are none any more. Exits with 0 when all is as known, 1
    when it is not, and 4 when no image was there.
    """
    cache, chosen = cache_folder(), _chosen(names)
    with click.progressbar(chosen, label="images", file=sys.stderr, hidden=not sys.stderr.isatty()) as specimens:
        rows = [row(outcome(one, cache)) for one in specimens]
    print_rows(rows, form, ("name", "state", "news", "no_longer_fails", "undecided", "reason"))
    _told(rows, ("as known", "differs", "skipped"))
    states = {one["state"] for one in rows}
    if "differs" in states:
        return EXIT_DIFFERS
    return 0 if "as known" in states else EXIT_INCOMPLETE


def changed_row(one: Changed, cache: Path) -> Row:
    """Judge one changed loop, and return its line. Raises ``InputError`` for a change that does not fit."""
    from mpwake.targets.firmware.declared import open_changed

    specimen = {each.name: each for each in corpus()}[one.specimen]
    plain: Row = {"name": one.name, "title": one.title, "image": one.specimen}
    try:
        image = image_in(cache, specimen)
    except UnavailableError as error:
        return {**plain, "state": "skipped", "caught": [], "missed": [], "also_trips": [], "reason": error.reason}
    found = catch(one, specimen, _verdicts(open_changed(image, one.patches, one.name), specimen))
    told = {"caught": list(found.caught), "missed": list(found.missed), "also_trips": list(found.also)}
    return {**plain, "state": found.state, **told, "undecided": list(found.undecided), "reason": ""}


@corpus_command.command("mutants")
@NAMES
@FORM
def mutants_command(names: tuple[str, ...], form: str) -> int:
    """Judge AP loops of images with bytes changed: each fault must be caught, and what conforms must pass.

    Exits with 3 when a fault survives, since the suite is at fault then, with 1 when a loop that was made better is not
    found so, and with 4 when no image was there.
    """
    cache, chosen = cache_folder(), _named(names, {one.name: one for one in changed_loops()}, "changed loop")
    with click.progressbar(chosen, label="loops", file=sys.stderr, hidden=not sys.stderr.isatty()) as loops:
        rows = [changed_row(one, cache) for one in loops]
    print_rows(rows, form, ("name", "state", "caught", "missed", "also_trips", "reason", "title"))
    _told(rows, ("caught", "made good", "SURVIVES", "differs", "skipped"), "changed loops")
    states = {one["state"] for one in rows}
    if "SURVIVES" in states:
        return EXIT_HARNESS
    return EXIT_DIFFERS if "differs" in states else 0 if states - {"skipped"} else EXIT_INCOMPLETE
