"""``mpwake mutants``: the proof of the suite, requirement by requirement."""

from __future__ import annotations

import sys

import click

from mpwake.cli.registry import FORM, Row, print_rows
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import EXIT_HARNESS
from mpwake.suite.mutants import Outcome, matrix, of_role


def row(outcome: Outcome) -> Row:
    """Return one line of the matrix."""
    one = outcome.mutant
    state = "killed" if outcome.killed else "unkillable" if one.unkillable else "SURVIVES"
    return {
        "requirement": one.breaks,
        "mutant": one.id,
        "state": state,
        "also_trips": list(outcome.also),
        "title": one.title,
        "base": one.base,
        "seen": one.seen,
        "reason": one.unkillable or outcome.own.reason,
    }


@click.command("mutants")
@click.option("--role", type=click.Choice([role.value for role in Role]), multiple=True, help="Only this role.")
@FORM
def mutants_command(role: tuple[str, ...], form: str) -> int:
    """Print the matrix: each mutant, whether the check of what it breaks notices, and what else it trips.

    Exits with 3 when a mutant survives: then the suite is at fault.
    """
    roles = [Role(one) for one in role] or list(Role)
    rows: list[Row] = []
    for one in roles:
        number, label = len(of_role(one)), f"mutants, {one.value}"
        with click.progressbar(matrix(one), number, label, file=sys.stderr, hidden=not sys.stderr.isatty()) as outcomes:
            rows += [row(outcome) for outcome in outcomes]
    print_rows(rows, form, ("requirement", "mutant", "state", "also_trips", "title"))
    count = {state: sum(one["state"] == state for one in rows) for state in ("killed", "SURVIVES", "unkillable")}
    click.echo(
        f"{len(rows)} mutants: {count['killed']} killed, {count['SURVIVES']} surviving, "
        f"{count['unkillable']} unkillable",
        err=True,
    )
    return EXIT_HARNESS if count["SURVIVES"] else 0
