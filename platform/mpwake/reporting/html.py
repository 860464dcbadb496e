"""One page that holds a whole report: no other file, no network, readable without JavaScript.

The page forbids itself everything but its own style and script, which its policy names by their digests.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from mpwake.reporting import sequence
from mpwake.reporting.evidence_text import (
    FINDING,
    OUTCOMES,
    Row,
    excerpt,
    exhibit_name,
    headline,
    judgements,
    outcome,
    rows,
    sorted_out,
    visible,
)
from mpwake.spec.requirements import Weight
from mpwake.spec.resources import suite_root
from mpwake.spec.verdicts import TABLE, Verdict
from mpwake.suite.events import INCOMPLETE, Run, Shown, Traffic

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

TEMPLATE = "report.html.j2"
MEANING = {
    Weight.CONFORMANCE: "stated by a specification as an obligation: a failure makes the implementation non-conforming",
    Weight.GUIDANCE: "stated by a specification as advice or description",
    Weight.INTEROP: "what real implementations rely on, stated by no specification",
    Weight.ROBUSTNESS: "safe practice, stated nowhere",
}
_RULES = "/* What sequence.RULES says stands here in a page. */\n"
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


@attrs.frozen
class Line:
    """One line of a hex dump, cut where the marking begins or ends."""

    offset: str
    bytes: tuple[tuple[str, bool], ...]
    characters: tuple[tuple[str, bool], ...]


@attrs.frozen
class Facet:
    """One way to filter: its name in the page's address, its heading, and its values with how many have them."""

    name: str
    title: str
    values: tuple[tuple[str, str, int], ...]


def text(run: Run) -> str:
    """Return the whole page."""
    template, allowed = _template()
    head, detail = headline(run)
    return template.render(
        run=run,
        header=run.header,
        policy=allowed,
        headline=head,
        detail=detail,
        found=sorted_out(run),
        areas=list(dict.fromkeys(result.selected.area for result in run.results)),
        facets=facets(run),
    )


@functools.cache
def _template() -> tuple[Template, str]:
    """Return the compiled template and the policy of its pages."""
    source = (suite_root() / "reports/templates" / TEMPLATE).read_text(encoding="utf-8").replace(_RULES, sequence.RULES)
    return page_environment().from_string(source), policy(source)


def page_environment() -> Environment:
    """Return what renders pages: everything escaped, and what is no text shown as it is."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.globals.update(
        OUTCOMES=OUTCOMES,
        MEANING=MEANING,
        dump=dump,
        exhibit_name=exhibit_name,
        diagram=diagram,
        mark=_mark,
        judgements=judgements,
        verdict_class=verdict_class,
    )
    return environment


def _shown(value: Any) -> Any:
    return visible(value) if type(value) is str else value


def policy(source: str) -> str:
    """Return the content security policy that allows the inline style and script of a page and nothing else."""
    digests: dict[str, list[str]] = {"style": [], "script": []}
    for kind, content in _INLINE.findall(source):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        digests[kind].append(f"'sha256-{digest}'")
    allowed = [f"{kind}-src {' '.join(every)}" for kind, every in digests.items() if every]
    return "; ".join(["default-src 'none'", *allowed, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def verdict_class(run: Run) -> str:
    """Return the class that colours the page; only a finished run that exits with 0 has that of a pass."""
    if run.footer is None:
        return INCOMPLETE
    if run.footer.verdict not in (Verdict.PASS, Verdict.WAIVED):
        return run.verdict
    return Verdict.PASS.value if run.exit_code == 0 else Verdict.INCONCLUSIVE.value


def facets(run: Run) -> list[Facet]:
    """Return what the page filters by, values that no result has left out."""
    keys = [
        Facet("verdict", "Verdict", _values([outcome(run, one) for one in run.results], OUTCOMES)),
        Facet("weight", "Weight", _values([one.weight.value for one in run.results], [one.value for one in Weight])),
        Facet("role", "Role", _values([one.selected.role for one in run.results])),
        Facet("area", "Area", _values([one.selected.area for one in run.results])),
    ]
    return [key for key in keys if key.values]


def _values(found: list[str], order: Iterable[str] = ()) -> tuple[tuple[str, str, int], ...]:
    known = dict.fromkeys([*order, *found])
    return tuple((one, OUTCOMES.get(one, one), found.count(one)) for one in known if one in found)


def _mark(key: str) -> str:
    return TABLE[Verdict.FAIL if key == FINDING else Verdict(key)].mark


def diagram(traffic: Traffic, title: str) -> Markup:
    """Return a sequence diagram as a part of the page."""
    from markupsafe import Markup

    return Markup(sequence.fragment(traffic, title))  # noqa: S704 - every text in it is escaped


def dump(shown: Shown) -> list[Line | int]:
    """Return the hex dump of an exhibit; a number stands for that many lines left out."""
    return [part if isinstance(part, int) else _line(part) for part in excerpt(rows(shown))]


def _line(row: Row) -> Line:
    cells: list[tuple[str, bool]] = []
    before = False
    for at, (byte, mark) in enumerate(row.cells):
        gap = "" if at == 0 else "  " if at == 8 else " "
        cells += [(gap, mark and before), ("  " if byte is None else f"{byte:02x}", mark)]
        before = mark
    return Line(f"{row.offset:08x}", _joined(cells), _joined(row.ascii))


def _joined(cells: Iterable[tuple[str, bool]]) -> tuple[tuple[str, bool], ...]:
    runs = itertools.groupby(cells, key=lambda cell: cell[1])
    return tuple(("".join(part for part, _ in run), mark) for mark, run in runs)
