"""``list``, ``explain``, ``coverage`` and ``schema``: what the suite holds."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import click

from mpwake.spec.requirements import Requirement, Role, registry, requirement
from mpwake.suite import catalogue

FORM = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
Row = dict[str, Any]


def print_rows(rows: list[Row], form: str, columns: Iterable[str]) -> None:
    """Print rows as aligned columns or as a JSON list."""
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    names = list(columns)
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[number]) for line in [names, *cells]) for number in range(len(names))]
    for line in [[name.replace("_", " ") for name in names], *cells]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _requirements() -> list[Row]:
    return [
        {
            "id": one.id,
            "roles": [role.value for role in one.roles],
            "basis": one.basis.value,
            "weight": one.weight.value,
            "title": one.title,
        }
        for one in registry().requirements.values()
    ]


def _scenarios() -> list[Row]:
    return [
        {"place": one.place, "ids": list(one.ids), "roles": [role.value for role in one.roles], "name": one.name}
        for one in catalogue.scenarios()
    ]


def _platforms() -> list[Row]:
    from mpwake.targets.model import load_platform, platform_names

    nodes = [load_platform(name).plain() for name in platform_names()]
    return [{"name": one["name"], "edition": one["edition"], "title": one["title"]} for one in nodes]  # type: ignore[index,call-overload]


def _mutants() -> list[Row]:
    from mpwake.suite.mutants import mutants

    return [{"id": one.id, "breaks": one.breaks, "base": one.base, "title": one.title} for one, _ in mutants()]


def _editions() -> list[Row]:
    from mpwake.spec.editions import FACTS

    return [
        {
            "id": edition.value,
            "title": facts.title,
            "MADT_revision": facts.madt_revision,
            "MailBoxVersion": facts.mailbox_version,
            "Length": facts.length,
            "commands": list(facts.commands),
        }
        for edition, facts in FACTS.items()
    ]


LISTS: dict[str, tuple[Callable[[], list[Row]], tuple[str, ...]]] = {
    "requirements": (_requirements, ("id", "roles", "basis", "title")),
    "scenarios": (_scenarios, ("ids", "place", "name")),
    "platforms": (_platforms, ("name", "edition", "title")),
    "mutants": (_mutants, ("id", "breaks", "base", "title")),
    "editions": (_editions, ("id", "title", "MADT_revision", "MailBoxVersion", "Length", "commands")),
}


@click.command("list")
@click.argument("what", type=click.Choice(list(LISTS)))
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Only requirements of this role.")
@FORM
def list_command(what: str, role: str | None, form: str) -> None:
    """List what the suite holds."""
    make, columns = LISTS[what]
    print_rows([row for row in make() if role is None or role in row.get("roles", [role])], form, columns)


def explanation(one: Requirement) -> Row:
    """Return all that is known of a requirement: its fields, and what serves it, derived."""
    from mpwake.checks.core import everybodys
    from mpwake.suite.mutants import breaking

    return {
        "id": one.id,
        "title": one.title,
        "statement": one.statement,
        "party": one.party.value,
        "roles": [role.value for role in one.roles],
        "kind": one.kind.value,
        "basis": one.basis.value,
        "strength": one.strength.value,
        "weight": one.weight.value,
        "clauses": {name: str(clause) for name, clause in one.clauses.items()},
        "rationale": one.rationale,
        "observed": one.observed,
        "mistakes": one.mistakes,
        "unobservable": one.unobservable,
        "sources": list(one.sources),
        "checks": [f"{own.judge.__module__}.{own.judge.__name__}" for own in everybodys() if own.id == one.id],
        "scenarios": [f"{found.place} {found.name}" for found in catalogue.of_requirement(one.id)],
        "mutants": [f"{mutant.id}: {mutant.title}" for mutant in breaking(one.id)],
    }


def _paragraph(heading: str, text: str) -> str:
    return f"{heading}\n{textwrap.fill(text, 96, initial_indent='  ', subsequent_indent='  ')}\n"


def _items(heading: str, items: Iterable[str], nothing: str) -> str:
    return f"{heading}\n" + "".join(f"  {item}\n" for item in items or [nothing])


def render(facts: Row) -> str:
    """Return an explanation as text."""
    counted = {
        "conformance": "a failure makes the implementation non-conforming",
        "guidance": "worded as guidance: a failure counts only with --strict guidance",
    }
    weight = facts["weight"]
    head = f"{facts['id']}  {facts['title']}\n"
    facets = (
        f"  party {facts['party']}, role {', '.join(facts['roles'])}, {facts['kind']}\n"
        f"  basis {facts['basis']}: {counted.get(weight, f'a failure counts only with --strict {weight}')}\n"
    )
    clauses = [f"{name:<11} {clause}" for name, clause in facts["clauses"].items()]
    return "\n".join(
        [
            head + facets,
            _paragraph("Requirement", facts["statement"]),
            _items("Clauses", clauses, "no specification states it") + f"  sources: {', '.join(facts['sources'])}\n",
            _paragraph("Why", facts["rationale"]),
            _paragraph("How it is observed", facts["observed"]),
            _paragraph("What typically goes wrong", facts["mistakes"]),
            *([_paragraph("Why no target can observe it", facts["unobservable"])] if facts["unobservable"] else []),
            _items("Scenarios", facts["scenarios"], "none yet"),
            _items("Checks", facts["checks"], "none yet"),
            _items("Mutants", facts["mutants"], "none yet").rstrip("\n"),
        ]
    )


@click.command("explain")
@click.argument("requirement_id", metavar="ID")
@FORM
def explain_command(requirement_id: str, form: str) -> None:
    """Tell all about one requirement."""
    facts = explanation(requirement(requirement_id))
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if form == "json" else render(facts))


def coverage_rows() -> list[Row]:
    """Count, by area, the requirements and those that have a scenario, a check and a mutant."""
    from mpwake.checks.core import CHECKS
    from mpwake.suite.mutants import mutants

    checked = {one for one, _ in CHECKS}
    mutated = {one.breaks for one, _ in mutants()}
    told = {one for scenario in catalogue.scenarios() for one in scenario.ids if not scenario.system}
    beyond = {one.id for one in registry().requirements.values() if one.unobservable}
    rows = []
    for area in registry().areas:
        ids = [one.id for one in area.requirements]
        served = [one for one in ids if one in told and (one in beyond or (one in checked and one in mutated))]
        rows.append(
            {
                "area": area.area,
                "requirements": len(ids),
                "scenarios": sum(one in told for one in ids),
                "checks": sum(one in checked for one in ids),
                "mutants": sum(one in mutated for one in ids),
                "unobservable": sum(one in beyond for one in ids),
                "missing": [one for one in ids if one not in served],
            }
        )
    return rows


@click.command("coverage")
@FORM
def coverage_command(form: str) -> None:
    """Show which requirements have scenarios, checks and mutants."""
    rows = coverage_rows()
    if form == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    names = ("requirements", "scenarios", "checks", "mutants", "unobservable")
    total: Row = {"area": "all", **{name: sum(row[name] for row in rows) for name in names}, "missing": []}
    shown = [{**row, "missing": _ranges(row["missing"])} for row in [*rows, total]]
    print_rows(shown, form, ("area", *names, "missing"))


def _ranges(ids: list[str]) -> str:
    """Write MADT-01, MADT-02, MADT-03, MADT-07 as 01..03, 07."""
    numbers = [int(one.split("-")[1]) for one in ids]
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]:02}" if len(part) == 1 else f"{part[0]:02}..{part[-1]:02}" for part in parts)


def schemas() -> dict[str, dict[str, Any]]:
    """Return every published schema by its name."""
    from mpwake.model.scenario import Drawn, Interleaving, ScenarioFile
    from mpwake.spec import document
    from mpwake.spec.requirements import Area
    from mpwake.suite import events
    from mpwake.suite.mutants import MutantFile
    from mpwake.targets.base import TargetDocument
    from mpwake.targets.firmware.corpus import CorpusFile
    from mpwake.targets.firmware.form import FORMS
    from mpwake.targets.model import Platform
    from mpwake.targets.trace.form import SCHEMA

    return {
        "requirement": document.schema("A file of the requirement registry", Area),
        "platform": document.schema("A platform of the model", Platform),
        "mutant": document.schema("A file of mutants", MutantFile),
        "scenario": document.schema("A scenario that can be run again", ScenarioFile, Interleaving, Drawn),
        "target": document.schema("A target declared in YAML", TargetDocument),
        "firmware": document.schema("An AP loop in machine code, declared in YAML", *FORMS),
        "corpus": document.schema("A file of the corpus of firmware images", CorpusFile),
        "events": document.schema("One line of an event stream", *events.KINDS.values()),
        "trace": document.schema("One line of a trace", *SCHEMA),
    }


@click.command("schema")
@click.argument(
    "name",
    type=click.Choice(
        ["requirement", "platform", "mutant", "scenario", "target", "firmware", "corpus", "events", "trace"]
    ),
)
def schema_command(name: str) -> None:
    """Print the JSON Schema of a document that the suite reads or writes."""
    click.echo(json.dumps(schemas()[name], indent=2))
