"""The terminal: the report at the end of a run, and a progress bar while it lasts.

rich is imported inside the functions, so that a command that prints neither does not pay for it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from mpwake.reporting.evidence_text import (
    FINDING,
    OUTCOMES,
    judgements,
    one_line,
    seen_lines,
    sentence,
    sorted_out,
    visible,
)
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import TABLE, Verdict
from mpwake.suite.events import Event, Finished, Header, Result, Run, Seen, Started

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

MAX_SEEN = 6
SHORT_SHA = 12
_OPEN = Verdict.INCONCLUSIVE.value
_HEADINGS = {Verdict.FAIL.value: "Failures", Verdict.ERROR.value: "Errors", _OPEN: "Inconclusive"}
_GROUPED = (Verdict.WAIVED.value, Verdict.NOT_APPLICABLE.value, Verdict.NOT_TESTABLE.value)
_ALWAYS = (Verdict.PASS.value, Verdict.FAIL.value, FINDING, _OPEN)
_COLUMNS = (*_ALWAYS, Verdict.ERROR.value, *_GROUPED)
_COLUMN_NAMES = OUTCOMES | {"not-applicable": "n/a"}


def text(run: Run, width: int = 80, colour: bool = False) -> str:
    """Return the report of a run, for a terminal ``width`` columns wide.

    Its last line is the verdict in words and is never broken; every other line keeps to the width.
    """
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out,
        width=max(width, 40),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    _head(console, run)
    _areas(console, run)
    _findings(console, run)
    _unjudged(console, run)
    console.print(sentence(run), style=_verdict_style(run), soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _style(key: str) -> str:
    return "yellow" if key == FINDING else TABLE[Verdict(key)].colour


def _verdict_style(run: Run) -> str:
    return f"bold {TABLE[run.footer.verdict].colour}" if run.footer else "bold reverse yellow"


def _indented(console: Console, line: str, by: int, style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(line, style=style, overflow="fold"), (0, 0, 0, by)))


def _head(console: Console, run: Run) -> None:
    from rich.table import Table
    from rich.text import Text

    header = run.header
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, style="bright_black")
    table.add_column(overflow="fold")
    table.add_row("tested", Text(one_line(header.subject.name), style="bold"))
    for one in header.subject.inputs:
        size = f"{one.size} byte{'' if one.size == 1 else 's'}"
        table.add_row(one_line(one.kind), f"{one_line(one.name)}  {size}  sha256 {one_line(one.sha256)[:SHORT_SHA]}")
    for note in header.subject.notes:
        table.add_row("note", one_line(note))
    table.add_row("held against", one_line(f"{header.edition}: {header.edition_reason}"))
    if header.strict:
        table.add_row("strict", one_line(", ".join(header.strict)))
    table.add_row("seed", str(header.seed))
    console.print(table)
    console.print()


def _areas(console: Console, run: Run) -> None:
    from rich.table import Table

    found = sorted_out(run)
    columns = [key for key in _COLUMNS if key in _ALWAYS or found[key]]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bright_black", collapse_padding=True)
    table.add_column("area", no_wrap=True)
    for key in columns:
        table.add_column(_COLUMN_NAMES[key], justify="right", style=_style(key) if run.complete else "")
    for area in dict.fromkeys(result.selected.area for result in run.results):
        counts = [sum(one.selected.area == area for one in found[key]) for key in columns]
        table.add_row(one_line(area), *(str(count or "") for count in counts))
    table.add_row("all", *(str(len(found[key]) or "") for key in columns), style="bold")
    console.print(table)
    console.print()


def _findings(console: Console, run: Run) -> None:
    found = sorted_out(run)
    for key, heading in _HEADINGS.items():
        _section(console, heading, key, [result for result in found[key] if key != _OPEN or result.judged])
    weights = ",".join(weight.value for weight in Weight if any(one.weight is weight for one in found[FINDING]))
    _section(console, f"Other findings (do not fail this run; --strict {weights})", FINDING, found[FINDING])


def _section(console: Console, heading: str, key: str, results: list[Result]) -> None:
    if results:
        console.print(heading, style="bold")
        console.print()
    for result in results:
        _entry(console, key, result)


def _entry(console: Console, key: str, result: Result) -> None:
    selected = result.selected
    mark = TABLE[result.verdict].mark
    weight = "" if selected.clause.startswith(result.weight.value) else f", {result.weight.value}"
    _indented(console, f"{mark} {one_line(selected.id)}  {one_line(selected.title)}", 0, f"bold {_style(key)}")
    _indented(console, one_line(f"{selected.clause} ({selected.role}{weight})"), 2, "bright_black")
    bad = [seen for seen in dict.fromkeys(result.seen) if not seen.ok]
    if result.reason and not any(seen.found in result.reason and seen.expected in result.reason for seen in bad):
        _indented(console, one_line(result.reason), 2)
    for scenario, one in judgements(result):
        if one.verdict is result.verdict:
            _indented(console, f"{one_line(scenario.file)}  {one_line(scenario.name)}", 2, "bright_black")
    _evidence(console, bad)
    console.print()


def _evidence(console: Console, every: list[Seen]) -> None:
    from rich.text import Text

    for seen in every[:MAX_SEEN]:
        for line in seen_lines(seen, console.width - 2):
            shown = Text(f"  {line}", overflow="fold")
            shown.highlight_regex(r"\[[0-9a-f ]+\]", "bold red")
            shown.highlight_regex(r"^  (found|expected)  ", "bright_black")
            console.print(shown)
    if len(every) > MAX_SEEN:
        _indented(console, f"... and {len(every) - MAX_SEEN} more; the other reports show all", 2)


def _unjudged(console: Console, run: Run) -> None:
    found = sorted_out(run)
    _reasons(console, "Never judged", [result for result in found[_OPEN] if not result.judged])
    for key in _GROUPED:
        _reasons(console, OUTCOMES[key].capitalize(), found[key])


def _reasons(console: Console, heading: str, results: list[Result]) -> None:
    reasons: dict[str, list[str]] = {}
    for result in results:
        reasons.setdefault(one_line(result.reason) or "no reason given", []).append(result.selected.id)
    if reasons:
        console.print(heading, style="bold")
        for reason, names in reasons.items():
            _indented(console, f"{reason}: {_compact(names)}", 2)
        console.print()


def _compact(names: Iterable[str]) -> str:
    """Return ids with each area named once: ``MADT-02 16, TDX-01``."""
    areas: dict[str, dict[str, None]] = {}
    for name in map(one_line, names):
        area, _, number = name.partition("-")
        areas.setdefault(area, {})[number] = None
    return ", ".join(f"{area}-{' '.join(numbers)}" for area, numbers in areas.items())


class Progress:
    """A listener that shows on a terminal how far a run has come; on anything else it shows nothing."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._bad = 0

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._bar = _bar(self._stream)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        if self._bar is None:
            return
        if isinstance(event, Header):
            due = {(one.role, file) for one in event.selected for file in one.scenarios}
            self._task = self._bar.add_task("", total=len(due), bad="")
        elif self._task is not None and isinstance(event, Started):
            self._bar.update(self._task, description=visible(event.name))
        elif self._task is not None and isinstance(event, Finished):
            self._bad += any(one.verdict in (Verdict.FAIL, Verdict.ERROR) for one in event.judged)
            self._bar.update(self._task, advance=1, bad=f"{self._bad} with findings" if self._bad else "")


def _bar(stream: TextIO) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    return Bar(
        BarColumn(bar_width=24, table_column=Column(min_width=24)),
        MofNCompleteColumn(table_column=Column(min_width=9, no_wrap=True)),
        TextColumn("{task.fields[bad]}", markup=False, style="red", table_column=Column(no_wrap=True)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=Console(file=stream, markup=False, emoji=False),
        transient=True,
    )
