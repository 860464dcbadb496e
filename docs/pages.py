"""The offline site: a page per requirement, one of all mutants, one of the editions, and an index.

``python docs/pages.py OUT`` writes it. Nothing is typed in here that the registry, the features, the checks or the
mutants say already, and no page asks the network for anything.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from mpwake import __version__
from mpwake.checks.core import everybodys
from mpwake.cli.mutants import row
from mpwake.cli.registry import Row, coverage_rows, explanation
from mpwake.reporting.files import write
from mpwake.reporting.html import MEANING, policy
from mpwake.spec import document
from mpwake.spec.editions import ACPI_EDITIONS, FACTS, Edition
from mpwake.spec.requirements import ID, Area, Requirement, Role, Weight, registry
from mpwake.spec.resources import suite_root
from mpwake.suite import catalogue
from mpwake.suite.catalogue import Scenario
from mpwake.suite.mutants import Change, Mutant, matrix

TEMPLATES = Path(__file__).parent / "templates"
CHAPTERS = {
    "enumeration": "How the mailbox is published and found",
    "mailbox": "The page itself",
    "protocol": "How a processor is woken",
    "failure": "When a wakeup fails, or comes twice",
    "reset": "Giving a processor back",
    "trampoline": "Where the code lies that a processor wakes up in",
    "confidential": "Guests that do not trust their host",
    "fallback": "Without a mailbox",
}
_MENTION = re.compile(rf"\b{ID.pattern}\b|`[^`]+`")


@attrs.frozen
class Named:
    """A source as the registry abbreviates it, and what that stands for."""

    id: str
    title: str
    where: str


@attrs.frozen
class Shown:
    """A mutant with its line of the matrix, and its changes in words."""

    mutant: Mutant
    row: Row
    changes: tuple[str, ...]


@attrs.frozen
class Claim:
    """A check as the command line names it, with what its function says of itself."""

    name: str
    doc: str


def page(requirement_id: str) -> str:
    """Return the file name of a requirement's page."""
    return f"{requirement_id}.html"


@functools.cache
def sources() -> dict[str, Named]:
    """Read what the abbreviations of ``scenarios/sources.yaml`` stand for."""
    path = suite_root() / "scenarios/sources.yaml"
    entries: Any = document.load(path).plain()
    return {name: Named(name, one["title"], one["where"]) for name, one in entries.items()}


@functools.cache
def mutants() -> tuple[Shown, ...]:
    """Judge every mutant, once."""
    outcomes = (outcome for role in Role for outcome in matrix(role))
    return tuple(
        Shown(outcome.mutant, row(outcome), tuple(map(in_words, outcome.mutant.changes))) for outcome in outcomes
    )


def in_words(change: Change) -> str:
    """Say what a change does to its base."""
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in change.path).removeprefix(".")
    if change.remove:
        return f"{place} is taken away"
    if change.add is not None:
        return f"{place} gets {plain(change.add.plain())} as well"
    if change.insert is not None:
        return f"{place} has {plain(change.insert.plain())} before it"
    return f"{place} = {plain(change.set.plain() if change.set else None)}"


def plain(value: Any) -> str:
    """Write a value in the flow style of YAML, integers of two digits and more in hex."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(plain, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and value > 9:
        return f"{value:#x}"
    return repr(value) if isinstance(value, str) else str(value).lower()


def gherkin(scenario: Scenario) -> str:
    """Return a scenario as it is written, the steps of its background included."""
    tags = " ".join(f"@{tag}" for tag in scenario.tags)
    steps = "".join(f"\n  {keyword} {sentence}" for keyword, sentence in scenario.steps)
    return f"{tags}\nScenario: {scenario.name}{steps}"


def claims(one: Requirement) -> tuple[Claim, ...]:
    """Return the checks of a requirement."""
    return tuple(
        Claim(f"{check.judge.__module__}.{check.judge.__name__}", (check.judge.__doc__ or "").split("\n\n")[0])
        for check in everybodys()
        if check.id == one.id
    )


def counted(weight: Weight) -> str:
    """Say what a failure of this weight does to a run."""
    if weight is Weight.CONFORMANCE:
        return "A failure makes the implementation non-conforming: the run exits with 1."
    return f"A failure is reported beside the verdict, and fails a run only with `--strict {weight.value}`."


def prose(text: str) -> Markup:
    """Return text with the requirements that it mentions as links, and what stands in backquotes as code."""
    parts = []
    at = 0
    for found in _MENTION.finditer(text):
        parts += [escape(text[at : found.start()]), _mention(found[0])]
        at = found.end()
    return Markup("").join([*parts, escape(text[at:])])


def _mention(word: str) -> Markup:
    if word.startswith("`"):
        return Markup("<code>{}</code>").format(word.strip("`"))
    if word not in registry().requirements:
        return escape(word)
    return Markup('<a href="{}">{}</a>').format(page(word), word)


@functools.cache
def environment() -> Environment:
    """Return the templates, with what all of them use."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(prose=prose, page=page, gherkin=gherkin)
    made.globals.update(
        MEANING=MEANING,
        CHAPTERS=CHAPTERS,
        FACTS=FACTS,
        ACPI_EDITIONS=ACPI_EDITIONS,
        counted=counted,
        version=__version__,
    )
    return made


def render(template: str, **values: Any) -> str:
    """Return a page; its policy allows its own style and nothing else."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    values |= {"style": Markup(style), "policy": policy(f"<style>{style}</style>")}
    return environment().get_template(template).render(values)


def requirement_page(one: Requirement, before: Requirement | None, after: Requirement | None) -> str:
    """Return the page of one requirement."""
    return render(
        "requirement.html.j2",
        one=one,
        area=registry().area_of(one.id),
        facts=explanation(one),
        sources=[sources()[name] for name in one.sources],
        scenarios=catalogue.of_requirement(one.id),
        claims=claims(one),
        mutants=[shown for shown in mutants() if shown.mutant.breaks == one.id],
        others=[shown for shown in mutants() if one.id in shown.row["also_trips"]],
        before=before,
        after=after,
    )


def requirement_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every requirement's page, each linked with its neighbours."""
    every = [None, *registry().requirements.values(), None]
    for before, one, after in zip(every, every[1:], every[2:], strict=False):
        if one is not None:
            yield page(one.id), requirement_page(one, before, after)


def chapters() -> list[tuple[str, list[tuple[Area, Row]]]]:
    """Return the areas with their counts, by chapter, in the order of the registry."""
    counts = {one["area"]: one for one in coverage_rows()}
    areas = registry().areas
    order = list(dict.fromkeys(area.chapter for area in areas))
    return [(name, [(area, counts[area.area]) for area in areas if area.chapter == name]) for name in order]


def total(rows: Iterable[Row]) -> Row:
    """Add up the counts of all areas."""
    every = list(rows)
    return {name: sum(one[name] for one in every) for name in ("requirements", "scenarios", "checks", "mutants")}


def stated_by() -> list[tuple[str, list[Requirement]]]:
    """Return the requirements by the editions that state them, in words."""
    found: dict[tuple[str, ...], list[Requirement]] = {}
    for one in registry().requirements.values():
        found.setdefault(tuple(one.clauses), []).append(one)
    documents = [edition.value for edition in (*ACPI_EDITIONS, Edition.DT_BINDING)]
    order = [pick for size in range(len(documents), -1, -1) for pick in itertools.combinations(documents, size)]
    return [(", ".join(pick), found[pick]) for pick in order if pick in found]


def whole_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of the pages that are not a requirement's."""
    parts = chapters()
    counts = total(one for _, areas in parts for _, one in areas)
    yield "index.html", render("index.html.j2", chapters=parts, total=counts)
    yield "mutants.html", render("mutants.html.j2", mutants=mutants(), platforms=platforms())
    yield "editions.html", render("editions.html.j2", stated=stated_by())


def platforms() -> list[Row]:
    """Return the platforms that mutants are made from."""
    from mpwake.targets.model import load_platform, platform_names

    used = {shown.mutant.base for shown in mutants()}
    every: list[Any] = [load_platform(name).plain() for name in platform_names() if name in used]
    return every


def write_site(out: Path) -> int:
    """Write every page into a folder, which is made, and return how many there are."""
    count = 0
    for name, text in itertools.chain(requirement_pages(), whole_pages()):
        write(out / name, text)
        count += 1
    return count


def main() -> None:
    """Read the command line and write the site."""
    parser = argparse.ArgumentParser(description="Write the offline site of the suite.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the pages")
    out = parser.parse_args().out
    print(f"{write_site(out)} pages: {out / 'index.html'}")


if __name__ == "__main__":
    main()
