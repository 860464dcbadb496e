"""Many runs beside each other: requirements down, what was judged across."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from mpwake.reporting.evidence_text import OUTCOMES
from mpwake.reporting.html import page_environment, policy
from mpwake.reporting.results import Judged, Key, Results
from mpwake.spec.requirements import Role, Weight, registry
from mpwake.spec.resources import suite_root
from mpwake.spec.verdicts import EXIT_HARNESS, EXIT_INCOMPLETE, TABLE, Verdict, merge

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = "matrix.html.j2"
NOTHING = " "
MOST_LABEL = 40
_QUIET = frozenset({Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.NOT_TESTABLE})


@attrs.frozen
class Column:
    """What was judged, and its results; of an earlier run their ``source``, and ``reason`` says why there are none."""

    name: str
    results: Results | None = None
    reason: str = ""
    source: str = ""

    @property
    def title(self) -> str:
        """What was judged, and where its results are from."""
        return f"{self.name} ({self.source})" if self.source else self.name

    @property
    def label(self) -> str:
        """The last part of what was judged, for the head of a column."""
        return self.name.rstrip("/").rpartition("/")[2].rpartition(":")[2][-MOST_LABEL:]

    @functools.cached_property
    def judged(self) -> dict[Key, Judged]:
        """What is said of each requirement in each role."""
        return {one.key: one for one in self.results.judged} if self.results else {}

    @property
    def failing(self) -> tuple[Judged, ...]:
        """What makes it non-conforming."""
        return tuple(one for one in self.judged.values() if one.nonconforming)

    @property
    def verdict(self) -> Verdict:
        """What it comes to: as a run does, and what is not whole decides nothing."""
        if self.results is None or any(one.verdict is Verdict.ERROR for one in self.judged.values()):
            return Verdict.ERROR
        told = [one.verdict for one in self.judged.values() if one.weight is Weight.CONFORMANCE]
        verdict = merge(told) if told else Verdict.INCONCLUSIVE
        return verdict if self.results.complete or verdict is Verdict.FAIL else Verdict.INCONCLUSIVE

    @property
    def sentence(self) -> str:
        """What it comes to, in words."""
        if self.results is None:
            return f"not judged: {self.reason}"
        several = "requirement fails" if len(self.failing) == 1 else "requirements fail"
        words = {
            Verdict.ERROR: "the suite or the target broke",
            Verdict.FAIL: f"non-conforming: {len(self.failing)} {several}",
            Verdict.PASS: "conforming",
            Verdict.WAIVED: "conforming, with what was waived",
            Verdict.INCONCLUSIVE: "not everything could be decided",
        }
        cut = "" if self.results.complete else "; the run was cut off"
        return words.get(self.verdict, "nothing applies") + cut


@attrs.frozen
class Row:
    """One requirement in one role, and what each column says of it."""

    id: str
    role: str
    title: str
    cells: tuple[Judged | None, ...]

    @property
    def tells(self) -> bool:
        """Whether the columns differ in it, or one of them has more to say than that all is well."""
        verdicts = {one.verdict for one in self.cells if one is not None}
        return len(verdicts) > 1 or not verdicts <= _QUIET


@attrs.frozen
class Matrix:
    """Runs beside each other."""

    columns: tuple[Column, ...]

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """The requirements that any column has, in the order of the roles and of the registry."""
        titles: dict[Key, str] = {}
        for column in self.columns:
            for key, one in column.judged.items():
                titles.setdefault(key, one.title)
        roles = [role.value for role in Role]
        order = {id: number for number, id in enumerate(registry().requirements)}
        keys = sorted(titles, key=lambda key: (roles.index(key[1]), order.get(key[0], len(order))))
        return tuple(Row(*key, titles[key], tuple(one.judged.get(key) for one in self.columns)) for key in keys)

    @property
    def exit_code(self) -> int:
        """3 where something could not be judged, 1 where something is non-conforming, 4 where something is open."""
        codes = {TABLE[one.verdict].exit_code for one in self.columns}
        return next((code for code in (EXIT_HARNESS, 1, EXIT_INCOMPLETE) if code in codes), 0)


def mark(one: Judged | None) -> str:
    """Return the mark of a cell; a failure that makes nobody non-conforming has that of another finding."""
    if one is None:
        return NOTHING
    return "~" if one.verdict is Verdict.FAIL and not one.nonconforming else TABLE[one.verdict].mark


def outcome(one: Judged) -> str:
    """Return what a cell says, as a page colours it."""
    return "finding" if one.verdict is Verdict.FAIL and not one.nonconforming else one.verdict.value


def text(matrix: Matrix) -> str:
    """Return the matrix for a terminal: a line for each requirement that tells something."""
    return "\n".join(_lines(matrix)) + "\n"


def _lines(matrix: Matrix) -> Iterator[str]:
    for number, column in enumerate(matrix.columns, 1):
        yield f"{number:>3}  {column.title}: {column.sentence}"
    told = [row for row in matrix.rows if row.tells]
    if told:
        yield ""
        yield " " * 18 + "".join(f"{number:>3}" for number in range(1, len(matrix.columns) + 1))
    for row in told:
        yield f"{row.id:<8} {row.role:<9}" + "".join(f"{mark(one):>3}" for one in row.cells) + f"   {row.title}"
    yield ""
    yield f"{len(matrix.rows) - len(told)} of {len(matrix.rows)} requirements tell nothing: passed, or not applicable"
    words = {verdict.value: TABLE[verdict].mark for verdict in Verdict}
    used = Counter(outcome(one) for row in told for one in row.cells if one is not None)
    yield "  ".join(f"{words.get(name, '~')} {OUTCOMES[name]}" for name in used)


def json_text(matrix: Matrix) -> str:
    """Return the matrix as one JSON document."""
    columns = [
        {
            "name": one.name,
            "source": one.source,
            "verdict": one.verdict.value,
            "says": one.sentence,
            "edition": one.results and one.results.edition,
        }
        for one in matrix.columns
    ]
    rows = [
        {"id": row.id, "role": row.role, "title": row.title, "cells": [_plain(one) for one in row.cells]}
        for row in matrix.rows
    ]
    document = {"matrix": 1, "exit_code": matrix.exit_code, "columns": columns, "rows": rows}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plain(one: Judged | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {"verdict": one.verdict.value, "weight": one.weight.value, "message": one.message}


def html(matrix: Matrix) -> str:
    """Return the matrix as a page that needs no other file, and no script."""
    template, allowed = _template()
    return template.render(matrix=matrix, policy=allowed, mark=mark, outcome=outcome)


@functools.cache
def _template() -> tuple[Template, str]:
    source = (suite_root() / "reports/templates" / TEMPLATE).read_text(encoding="utf-8")
    return page_environment().from_string(source), policy(source)
