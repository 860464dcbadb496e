"""Plain text that several reports share: evidence with its bytes, and the verdict of a run in words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

import attrs

from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite.events import Finished, Judged, Result, Run, Seen, Shown

MAX_ROWS = 32
FINDING = "finding"
OUTCOMES: dict[str, str] = {
    Verdict.FAIL.value: "fail",
    Verdict.ERROR.value: "error",
    Verdict.INCONCLUSIVE.value: "inconclusive",
    FINDING: "other findings",
    Verdict.WAIVED.value: "waived",
    Verdict.PASS.value: "pass",
    Verdict.NOT_APPLICABLE.value: "not applicable",
    Verdict.NOT_TESTABLE.value: "not testable",
}
"""What a report sorts requirements by, the most urgent first, and what each is called."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff"
    "\ufff9-\ufffb\ufffe\uffff]"
)
_UNNAMED = (Verdict.PASS.value, Verdict.NOT_APPLICABLE.value, Verdict.NOT_TESTABLE.value)
_LAYOUTS = ((16, True), (16, False), (8, True), (8, False))


def visible(text: str) -> str:
    r"""Replace what a terminal obeys, XML 1.0 forbids or a reader cannot see by an escape such as ``\x1b``.

    Control characters other than tab and line feed, direction marks, characters of no width, halves of
    surrogate pairs and noncharacters.
    """
    return _UNSEEN.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: str) -> str:
    """Return text as one line that is safe to show."""
    return visible(" ".join(text.split()))


@attrs.frozen
class Row:
    """One line of a hex dump: the offset of its first cell, and each cell's byte and whether it is marked.

    A cell whose byte is None lies outside the exhibit.
    """

    offset: int
    cells: tuple[tuple[int | None, bool], ...]

    @property
    def marked(self) -> bool:
        """Whether any of its bytes is."""
        return any(mark for _, mark in self.cells)

    @property
    def ascii(self) -> tuple[tuple[str, bool], ...]:
        """The bytes as characters, each with whether it is marked."""
        return tuple((_character(byte), mark) for byte, mark in self.cells)


def _character(byte: int | None) -> str:
    if byte is None:
        return " "
    return chr(byte) if 0x20 <= byte < 0x7F else "."


def _decoded(shown: Shown) -> tuple[bytes, bytearray]:
    try:
        data = bytes.fromhex(shown.data)
    except ValueError:
        raise InputError("the bytes of an exhibit are not hex", one_line(shown.name)) from None
    marked = bytearray(len(data))
    for offset, length in _pairs(shown):
        start, end = (min(max(0, at - shown.offset), len(data)) for at in (offset, offset + length))
        marked[start:end] = b"\x01" * (end - start)
    return data, marked


def _pairs(shown: Shown) -> list[tuple[int, int]]:
    try:
        return [(offset, max(0, length)) for offset, length in shown.marks]
    except ValueError:
        raise InputError("a mark of an exhibit is not an offset and a length", one_line(shown.name)) from None


def rows(shown: Shown, columns: int = 16) -> list[Row]:
    """Lay the bytes of an exhibit out in lines that begin at multiples of ``columns``.

    Raises ``InputError`` when its data is not hex or a mark is not a pair.
    """
    data, marked = _decoded(shown)
    lead = shown.offset % columns
    cells: list[tuple[int | None, bool]] = [(None, False)] * lead
    cells += [(byte, bool(mark)) for byte, mark in zip(data, marked, strict=True)]
    cells += [(None, False)] * (-len(cells) % columns)
    start = shown.offset - lead
    return [Row(start + at, tuple(cells[at : at + columns])) for at in range(0, len(cells), columns)] if data else []


def excerpt(every: list[Row], limit: int = MAX_ROWS) -> list[Row | int]:
    """Return the rows worth showing; a number stands for that many left out.

    All of them when they are few, else those with marks and their neighbours, or the first ones.
    """
    if len(every) <= limit:
        return [*every]
    near = {at + by for at, row in enumerate(every) if row.marked for by in (-1, 0, 1)} or set(range(limit))
    chosen = sorted(near & set(range(len(every))))[:limit]
    parts: list[Row | int] = []
    for before, at in zip([-1, *chosen], [*chosen, len(every)], strict=True):
        parts += [at - before - 1] if at - before > 1 else []
        parts += [every[at]] if at < len(every) else []
    return parts


def _hex(row: Row) -> str:
    line = ""
    before = False
    for at, (byte, mark) in enumerate(row.cells):
        middle = at == 8
        if mark != before:
            line += (" [" if mark else "] ") if middle else ("[" if mark else "]")
        else:
            line += "  " if middle else " "
        line += "  " if byte is None else f"{byte:02x}"
        before = mark
    return line + ("]" if before else " ")


def _layout(shown: Shown, width: int) -> tuple[int, bool, int]:
    digits = max(8, len(f"{shown.offset + len(shown.data) // 2:x}"))
    for columns, characters in _LAYOUTS:
        size = digits + 2 + 3 * columns + columns // 16 + (columns + 3) * characters
        if size <= width:
            break
    return columns, characters, digits


def hex_lines(shown: Shown, width: int = 80) -> list[str]:
    """Return a hex dump, marked bytes in square brackets, in lines no longer than ``width`` if it is 34 or more.

    A line is an offset, sixteen bytes and their characters; where that is too wide, fewer.
    """
    columns, characters, digits = _layout(shown, width)
    lines = []
    for row in excerpt(rows(shown, columns)):
        if isinstance(row, int):
            lines.append(f"{'...':>{digits}}  {row} more {'line' if row == 1 else 'lines'}")
            continue
        tail = f" |{''.join(character for character, _ in row.ascii)}|" if characters else ""
        lines.append(f"{row.offset:0{digits}x} {_hex(row)}{tail}".rstrip())
    return lines


def exhibit_lines(shown: Shown, width: int = 80) -> list[str]:
    """Return an exhibit: its name, and its bytes, or its text set in by two."""
    text = [f"  {line}" for line in visible(shown.text).splitlines()]
    return [f"{exhibit_name(shown)}:", *hex_lines(shown, width), *text]


def exhibit_name(shown: Shown) -> str:
    """Return what an exhibit was taken from, and which bytes are marked."""
    pairs = _pairs(shown)
    if not pairs or not shown.data:
        return one_line(shown.name)
    marks = [f"{at:#x}" + (f" to {at + length - 1:#x}" if length > 1 else "") for at, length in pairs[:4]]
    unit = "byte" if len(pairs) == 1 and pairs[0][1] <= 1 else "bytes"
    return f"{one_line(shown.name)}, {unit} {', '.join(marks)}{' and more' if len(pairs) > 4 else ''}"


def _labelled(label: str, text: str, width: int) -> list[str]:
    indent = " " * 10
    return textwrap.wrap(one_line(text), max(width, 24), initial_indent=f"{label:10}", subsequent_indent=indent) or [
        label
    ]


def seen_lines(seen: Seen, width: int = 80) -> list[str]:
    """Return one thing that a check looked at: found, expected, and the exhibits."""
    lines = [*_labelled("found", seen.found, width), *_labelled("expected", seen.expected, width)]
    return [*lines, *(line for shown in seen.exhibits for line in exhibit_lines(shown, width))]


def evidence_lines(every: Iterable[Seen], width: int = 80) -> list[str]:
    """Return everything that checks looked at, what is not as required first, an empty line between."""
    lines: list[str] = []
    for seen in sorted(every, key=lambda one: one.ok):
        lines += [""] if lines else []
        lines += [*(["as required"] if seen.ok else []), *seen_lines(seen, width)]
    return lines


def scenarios(results: Iterable[Result]) -> list[Finished]:
    """Return the scenarios that judged any of the results, each once."""
    return list({id(scenario): scenario for result in results for scenario in result.scenarios}.values())


def judgements(result: Result) -> list[tuple[Finished, Judged]]:
    """Return each scenario of a result with its verdict on that requirement."""
    pairs = [(scenario, one) for scenario in scenarios([result]) for one in scenario.judged]
    return [(scenario, one) for scenario, one in pairs if one.id == result.selected.id]


def outcome(run: Run, result: Result) -> str:
    """Return the key in ``OUTCOMES``: the verdict, but ``finding`` for a failure that does not fail the run."""
    if result.verdict is Verdict.FAIL and not run.counts_against(result):
        return FINDING
    return result.verdict.value


def sorted_out(run: Run) -> dict[str, list[Result]]:
    """Return the results by outcome, all outcomes in the order of ``OUTCOMES``."""
    found: dict[str, list[Result]] = {key: [] for key in OUTCOMES}
    for result in run.results:
        found[outcome(run, result)].append(result)
    return found


def ids(results: Iterable[Result], limit: int = 8) -> str:
    """Return requirement ids in one phrase, the first ``limit`` of them."""
    unique = list(dict.fromkeys(one_line(result.selected.id) for result in results))
    more = f" and {len(unique) - limit} more" if len(unique) > limit else ""
    return ", ".join(unique[:limit]) + more


def _count(results: list[Result], singular: str, plural: str, named: bool = True) -> str:
    number = len({result.selected.id for result in results})
    return f"{number} {singular if number == 1 else plural}" + (f" ({ids(results)})" if named else "")


def _besides(found: dict[str, list[Result]], keys: Iterable[str]) -> str:
    words = {
        FINDING: ("other finding", "other findings"),
        "inconclusive": ("stays open", "stay open"),
        "pass": ("passes", "pass"),
    }
    parts = []
    for key in keys:
        if found[key]:
            singular, plural = words.get(key, (OUTCOMES[key], OUTCOMES[key]))
            parts.append(_count(found[key], singular, plural, named=key not in _UNNAMED))
    return ", ".join(parts)


def _incomplete(run: Run, found: dict[str, list[Result]]) -> tuple[str, str]:
    due = {(result.selected.role, file) for result in run.results for file in result.selected.scenarios}
    done = {(one.role, one.file) for result in run.results for one in result.scenarios}
    text = f"the run ended before it was finished, after {len(done)} of {len(due | done)} scenarios"
    so_far = _besides(found, [key for key in ("fail", "error", FINDING) if found[key]])
    return "incomplete", f"{text}; so far: {so_far}" if so_far else text


def _failing(run: Run, found: dict[str, list[Result]]) -> tuple[str, str]:
    conformance = any(result.weight is Weight.CONFORMANCE for result in found["fail"])
    head = "non-conforming" if conformance else f"failing under --strict {','.join(run.header.strict)}"
    return head, _count(found["fail"], "requirement fails", "requirements fail")


def _open(run: Run, found: dict[str, list[Result]]) -> tuple[str, str]:
    counted = [result for result in found["inconclusive"] if run.counts_against(result)]
    return "inconclusive", _count(counted, "requirement stays open", "requirements stay open")


def _broken(_run: Run, found: dict[str, list[Result]]) -> tuple[str, str]:
    text = _count(found["error"], "requirement was not judged", "requirements were not judged")
    failing = _count(found["fail"], "requirement fails", "requirements fail")
    return "the harness or the target broke", f"{text}; {failing}" if found["fail"] else text


def _nothing(_run: Run, found: dict[str, list[Result]]) -> tuple[str, str]:
    uncounted = [key for key in (Verdict.PASS.value, FINDING, "inconclusive", "waived") if found[key]]
    text = _besides(found, (*uncounted, "not-applicable", "not-testable"))
    head = "nothing that counts could be judged" if uncounted else "nothing could be judged"
    return head, text or "nothing was selected"


def _conforming(run: Run, found: dict[str, list[Result]]) -> tuple[str, str]:
    waived = ", but for what is waived" if run.verdict == Verdict.WAIVED.value else ""
    passes = _count(found["pass"], "requirement passes", "requirements pass", named=False)
    besides = _besides(found, (FINDING, "inconclusive", "waived", "not-applicable", "not-testable"))
    return f"conforming with {one_line(run.header.edition)}{waived}", f"{passes}; {besides}" if besides else passes


_HEADLINES = {
    Verdict.PASS: _conforming,
    Verdict.WAIVED: _conforming,
    Verdict.FAIL: _failing,
    Verdict.INCONCLUSIVE: _open,
    Verdict.ERROR: _broken,
    Verdict.NOT_APPLICABLE: _nothing,
    Verdict.NOT_TESTABLE: _nothing,
}


def headline(run: Run) -> tuple[str, str]:
    """Return the verdict of a run in words, and what it rests on."""
    found = sorted_out(run)
    return _HEADLINES[run.footer.verdict](run, found) if run.footer else _incomplete(run, found)


def sentence(run: Run) -> str:
    """Return the verdict of a run and what it rests on, in one line."""
    return ": ".join(headline(run))
