"""A comparison of two runs as text for people, as JSON for programs and as Markdown for a pull request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import attrs

from mpwake.reporting.comparison import MEANINGS, Change, Comparison, Entry, Strayed
from mpwake.reporting.evidence_text import one_line
from mpwake.reporting.results import Judged, Results
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import TABLE, Verdict

SCHEMA = "mpwake-compare/1"
SHORT_SHA = 12
HEADINGS = {
    Change.BROKE: "Broke",
    Change.NEWLY_FAILING: "Newly failing",
    Change.FIXED: "Fixed",
    Change.CHANGED: "Changed otherwise",
    Change.NOT_REACHED: "Not judged by one of the runs",
    Change.ONLY_NEW: "Only in the new run",
    Change.ONLY_OLD: "Only in the old run",
}
_COUNTED = {
    Change.BROKE: "broke",
    Change.NEWLY_FAILING: "newly failing",
    Change.FIXED: "fixed",
    Change.CHANGED: "changed otherwise",
    Change.NOT_REACHED: "not judged by one of the runs",
    Change.ONLY_NEW: "only in the new run",
    Change.ONLY_OLD: "only in the old run",
    Change.SAME: "unchanged",
}
_MARKDOWN = re.compile(r"[\\`*_\[\]#|~]")
_NAMES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"})


def sentence(comparison: Comparison) -> str:
    """Return the comparison in one line."""
    counts = comparison.counts
    parts = [f"{counts[change.value]} {word}" for change, word in _COUNTED.items() if counts[change.value]]
    told = ", ".join(parts) or "neither run judged anything"
    broke = comparison.exit_code == 1
    complete = comparison.old.complete and comparison.new.complete
    head = "something broke" if broke else "nothing broke" if complete else "incomplete"
    return f"{head}: {told}"


def text(comparison: Comparison) -> str:
    """Return the comparison for a terminal; what is unchanged is counted only."""
    lines = [*_side("old", comparison.old), *_side("new", comparison.new)]
    lines += [f"warning  {one_line(warning)}" for warning in comparison.warnings]
    for change, heading in HEADINGS.items():
        if entries := comparison.of(change):
            lines += ["", f"{heading} ({MEANINGS[change]})"]
            lines += [line for entry in entries for line in _entry(entry)]
    if comparison.strayed:
        lines += ["", "Scenarios that only one of the runs has"]
        lines += [f"  {_stray(one)}" for one in comparison.strayed]
    return "\n".join([*lines, "", sentence(comparison), ""])


def _side(word: str, run: Results) -> Iterator[str]:
    cut = "" if run.complete else "  incomplete"
    yield f"{word}  {one_line(run.name)}  held against {one_line(run.edition)}, mpwake {one_line(run.mpwake)}{cut}"
    for one in run.inputs:
        yield f"     {one_line(one.kind)}  {one_line(one.name)}  sha256 {one_line(one.sha256)[:SHORT_SHA]}"


def _entry(entry: Entry) -> Iterator[str]:
    one = entry.either
    mark = TABLE[entry.new.verdict].mark if entry.new else " "
    yield f"{mark} {one_line(one.id)}  {one_line(one.title)} ({one.role}, {one.weight.value})"
    yield f"    old  {_judged(entry.old)}"
    yield f"    new  {_judged(entry.new)}"


def _judged(one: Judged | None) -> str:
    if one is None:
        return "not in this run"
    weighs = one.verdict is Verdict.FAIL and one.weight is not Weight.CONFORMANCE
    verdict = one.verdict.value + (f" ({one.weight.value})" if weighs else "")
    return f"{verdict}: {one.message}" if one.message else verdict


def _stray(one: Strayed) -> str:
    return (
        f"{one_line(one.id)}  {one_line(one.name)}, {one_line(one.file)}: only in the {'new' if one.new else 'old'} run"
    )


def document(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as bare data."""
    return {
        "schema": SCHEMA,
        "exit_code": comparison.exit_code,
        "counts": comparison.counts,
        "warnings": list(comparison.warnings),
        "old": _run(comparison.old),
        "new": _run(comparison.new),
        "requirements": [_plain(entry) for entry in comparison.entries if entry.change is not Change.SAME],
        "scenarios": [attrs.asdict(one) for one in comparison.strayed],
    }


def _run(run: Results) -> dict[str, Any]:
    plain = attrs.asdict(run, filter=attrs.filters.exclude("judged"))
    return plain | {"roles": list(run.roles)}


def _plain(entry: Entry) -> dict[str, Any]:
    one = entry.either
    sides = {"old": _verdict(entry.old), "new": _verdict(entry.new)}
    return {"id": one.id, "role": one.role, "title": one.title, "change": entry.change.value, **sides}


def _verdict(one: Judged | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "verdict": one.verdict.value,
        "weight": one.weight.value,
        "message": one.message,
        "judged": one.reached,
    }


def json_text(comparison: Comparison) -> str:
    """Return the comparison as indented JSON in ASCII, with a line feed at its end."""
    return json.dumps(document(comparison), indent=2) + "\n"


def markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown, in which nothing of either run is markup."""
    lines = [f"## mpwake: {_plainly(sentence(comparison))}", "", "| run | target | edition | mpwake | inputs |"]
    lines += ["|---|---|---|---|---|", _cells("old", comparison.old), _cells("new", comparison.new)]
    lines += [f"\n> {_plainly(warning)}" for warning in comparison.warnings]
    for change, heading in HEADINGS.items():
        if entries := comparison.of(change):
            lines += ["", f"### {heading}", "", f"{MEANINGS[change].capitalize()}.", ""]
            lines += ["| requirement | role | old | new |", "|---|---|---|---|", *map(_row, entries)]
    if comparison.strayed:
        lines += ["", "### Scenarios that only one of the runs has", ""]
        lines += [f"* {_plainly(_stray(one))}" for one in comparison.strayed]
    return "\n".join([*lines, ""])


def _plainly(words: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", one_line(words)).translate(_NAMES)


def _cells(word: str, run: Results) -> str:
    inputs = "<br>".join(f"{_plainly(one.name)} {_plainly(one.sha256[:SHORT_SHA])}" for one in run.inputs)
    name = _plainly(run.name) + ("" if run.complete else " (incomplete)")
    return f"| {word} | {name} | {_plainly(run.edition)} | {_plainly(run.mpwake)} | {inputs} |"


def _row(entry: Entry) -> str:
    one = entry.either
    judged = f"{_plainly(_judged(entry.old))} | {_plainly(_judged(entry.new))}"
    return f"| {_plainly(one.id)} {_plainly(one.title)} | {one.role} | {judged} |"
