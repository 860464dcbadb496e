"""Mailbox traffic as a sequence diagram: SVG of our own, part of a page, or with its style inside a file.

A lifeline for each participant and one for the mailbox, a row for each thing that was done. Every text is told its
length in a font of fixed pitch, so that what has room here has it in any font.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator

import attrs

from mpwake.reporting.evidence_text import one_line
from mpwake.suite.events import Traffic, TrafficRow

MAX_LABEL = 100
MAX_NAME = 20
RULES = """
.sequence { font: 11px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-variant-ligatures: none; }
.sequence text { fill: var(--q-ink); stroke: var(--q-halo); stroke-width: 4px; stroke-linejoin: round; }
.sequence text { paint-order: stroke; }
.sequence .ground { fill: var(--q-ground); }
.sequence .band { fill: var(--q-halo); stroke: var(--q-mark); }
.sequence .life { stroke: var(--q-line); stroke-dasharray: 2 3; }
.sequence .mailbox { fill: var(--q-panel); stroke: var(--q-line); }
.sequence .box { fill: var(--q-panel); stroke: var(--q-soft); }
.sequence .box + text, .sequence .box + text + text { stroke: none; }
.sequence .arrow { fill: none; stroke: var(--q-tone); stroke-width: 1.5px; }
.sequence .load { stroke-dasharray: 5 3; }
.sequence .full { fill: var(--q-tone); stroke: var(--q-tone); stroke-width: 1.5px; stroke-linejoin: round; }
.sequence .open { fill: var(--q-ground); stroke: var(--q-tone); stroke-width: 1.5px; stroke-linejoin: round; }
.sequence .small { font-size: 10px; }
.sequence .soft { fill: var(--q-soft); }
.sequence .bold, .sequence .marked text { font-weight: 700; }
.sequence .call { fill: var(--q-ground); stroke: none; }
.sequence { --q-tone: var(--q-ink); --q-halo: var(--q-ground); }
.sequence .marked { --q-tone: var(--q-mark); --q-halo: color-mix(in srgb, var(--q-mark) 12%, var(--q-ground)); }
"""
"""How a diagram looks. The page around it sets its colours: what ``LIGHT`` names, as properties that begin ``--q-``."""

LIGHT = {
    "ground": "#ffffff",
    "panel": "#eef0f2",
    "line": "#b4bac1",
    "ink": "#1b1f23",
    "soft": "#565e67",
    "mark": "#b01620",
}
DARK = {
    "ground": "#15181b",
    "panel": "#272c32",
    "line": "#565e67",
    "ink": "#e3e6e9",
    "soft": "#9ca5ae",
    "mark": "#ff8680",
}

_LOAD, _STORE = "load", "store"
_FIELDS = (("Command", 0, 2), ("Reserved", 2, 2), ("ApicId", 4, 4), ("WakeupVector", 8, 8))
_PITCH, _SMALL = 6.7, 6.1
_ROW, _TOP, _FIRST = 26, 8, 68
_BADGE, _EDGE, _BESIDE, _BETWEEN = 24, 12, 12, 10
_NARROW, _WIDE, _HANDY = 110, 300, 1060
_HEAD = 36
_SHAPES = {
    "request": "M{0},{1}m-5,-6l11,6l-11,6z",
    "return": "M{0},{1}m5,-6l-11,6l11,6z",
    "landing": "M{0},{1}m-6,0a6,6 0 1 0 12,0a6,6 0 1 0 -12,0z",
    "reset": "M{0},{1}m-5,-5h10v10h-10z",
}
_OTHER = "M{0},{1}m0,-7l7,7l-7,7l-7,-7z"


@attrs.frozen
class _Layout:
    """Where everything stands: right edge of the times, lifelines, right edges of the fields, and the size."""

    time: int
    lanes: tuple[int, ...]
    mailbox: int
    fields: tuple[int, ...]
    width: int
    height: int


def document(traffic: Traffic, title: str) -> str:
    """Return a diagram as an SVG file of its own, light or dark as its reader has it."""
    dark = f"@media (prefers-color-scheme: dark) {{\n{_colours(DARK)}}}\n"
    style = f"<style>\n{_colours(LIGHT)}{dark}{RULES.lstrip()}</style>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{fragment(traffic, title, style)}\n'


def fragment(traffic: Traffic, title: str, style: str = "") -> str:
    """Return a diagram for a page whose style has ``RULES`` and sets the colours."""
    layout = _layout(traffic)
    kind = "sequence handy" if layout.width <= _HANDY else "sequence"
    size = f'width="{layout.width}" height="{layout.height}" viewBox="0 0 {layout.width} {layout.height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" role="img" {size}>',
        f"<title>{_escaped(title)}</title>",
        f"<desc>{_escaped(describe(traffic))}</desc>{style}",
        f'<rect class="ground" width="{layout.width}" height="{layout.height}"/>',
        *_bands(traffic, layout),
        *_lifelines(traffic, layout),
        *_fields(traffic.page, "", layout, _FIRST),
        *_rows(traffic, layout),
        *_foot(traffic),
        "</svg>",
    ]
    return "\n".join(parts)


def describe(traffic: Traffic) -> str:
    """Return in words what a diagram shows, with the marked row in full and what is left out."""
    names = ", ".join(one_line(lane.name) for lane in traffic.lanes)
    marked = [
        f"Marked: {one_line(traffic.lanes[row.lane].name)} at {row.time}: {one_line(f'{row.kind} {label(row)}')}."
        for row in traffic.rows
        if row.marked
    ]
    number = len(traffic.rows)
    return " ".join([f"{number} row{'' if number == 1 else 's'} by {names or 'nobody'}.", *marked, *notes(traffic)])


def notes(traffic: Traffic) -> list[str]:
    """Return what is not shown, a sentence for each."""
    counted = (
        (traffic.earlier, "event", "before these"),
        (traffic.later, "event", "after these"),
        (traffic.loads, "load", "among these"),
        (traffic.console, "console line", "among these"),
    )
    return [
        f"{number} {what}{'' if number == 1 else 's'} {where} {'is' if number == 1 else 'are'} not shown."
        for number, what, where in counted
        if number
    ]


def label(row: TrafficRow) -> str:
    """Return what was done in one line, the kind left out for a load or store."""
    if row.kind not in (_LOAD, _STORE):
        return one_line(row.text)
    size = f"{row.width} byte{'' if row.width == 1 else 's'}"
    inside = ", ".join(part for part in (size, row.text) if part)
    often = f" x {row.count}" if row.count > 1 else ""
    value = f"{row.value:#x}" if abs(row.value) > 9 else f"{row.value}"
    return one_line(f"{row.place} {'=' if row.kind == _STORE else 'is'} {value} ({inside}){often}")


def _shown(row: TrafficRow) -> str:
    """Return what stands beside an arrow or a marker."""
    access = row.kind in (_LOAD, _STORE)
    return _cut(label(row) if access else one_line(f"{row.kind} {label(row)}"), MAX_LABEL)


def _colours(named: dict[str, str]) -> str:
    return f".sequence {{ {' '.join(f'--q-{name}: {value};' for name, value in named.items())} }}\n"


def _escaped(text: str) -> str:
    return html.escape(one_line(text))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _wide(text: str, pitch: float = _PITCH) -> int:
    return round(len(text) * pitch)


def _text(text: str, x: int, y: int, kind: str = "", anchor: str = "start") -> str:
    wide = _wide(text, _SMALL if "small" in kind else _PITCH)
    length = f' textLength="{wide}" lengthAdjust="spacingAndGlyphs"' if text else ""
    classes = f' class="{kind}"' if kind else ""
    place = f'x="{x}" y="{y}"' + ("" if anchor == "start" else f' text-anchor="{anchor}"')
    return f"<text{classes} {place}{length}>{html.escape(text)}</text>"


# Where things stand


def _head(name: str, index: str = "") -> int:
    return max(_wide(name), _wide(index), 40) + 16


def _heads(traffic: Traffic) -> list[tuple[str, str]]:
    """Return what stands in the box over each lifeline, in two lines."""
    cut = [(lane.agent, _cut(one_line(lane.name), MAX_NAME)) for lane in traffic.lanes]
    return [(name, _cut(f"index {agent}", MAX_NAME) if agent else "") for agent, name in cut]


def _gap(labels: list[int], least: int) -> int:
    """Return how far a lifeline stands from that of the mailbox, so that most labels have room between them."""
    return max(least, min(max([_NARROW, *(wide + 2 * _BESIDE for wide in labels)]), _WIDE))


def _lanes(traffic: Traffic, left: int) -> tuple[tuple[int, ...], int]:
    """Place the lifelines: the operating system, the mailbox, the processors."""
    boxes = [_head(*head) for head in _heads(traffic)]
    before = 1 if traffic.lanes and traffic.lanes[0].agent == 0 else 0
    mailbox = _head("Mailbox")
    places = []
    at = left + mailbox // 2
    if before:
        labels = [_wide(_shown(row)) for row in traffic.rows if row.lane == 0]
        places.append(left + boxes[0] // 2)
        at = places[0] + _gap(labels, (boxes[0] + mailbox) // 2 + _BETWEEN)
    centre = at
    others = boxes[before:]
    for number, box in enumerate(others):
        apart = ((others[number - 1] if number else mailbox) + box) // 2 + _BETWEEN
        at += apart if number else _gap(_first_gap(traffic, before, others), apart)
        places.append(at)
    return tuple(places), centre


def _first_gap(traffic: Traffic, before: int, boxes: list[int]) -> list[int]:
    """Return how much of each label of a processor must have room before the first processor's lifeline."""
    beyond = list(
        itertools.accumulate(((one + two) // 2 + _BETWEEN for one, two in itertools.pairwise(boxes)), initial=0)
    )
    return [_wide(_shown(row)) - beyond[row.lane - before] for row in traffic.rows if row.lane >= before]


def _layout(traffic: Traffic) -> _Layout:
    times = max((_wide(_cut(str(row.time), MAX_NAME)) for row in traffic.rows), default=0)
    time = _BADGE + max(times, _wide("before"))
    lanes, mailbox = _lanes(traffic, time + _BESIDE)
    boxes = [_head(*head) // 2 for head in _heads(traffic)]
    right = max([mailbox + _head("Mailbox") // 2, *(at + box for at, box in zip(lanes, boxes, strict=True))])
    for row in traffic.rows:
        text = _shown(row)
        right = max(right, _label_at(row, time, lanes[row.lane], mailbox, _wide(text)) + _wide(text))
    fields, edge = [], right + _BESIDE + _BETWEEN
    for _, _, width in _FIELDS:
        edge += _wide("0" * 2 * width, _SMALL) + _BETWEEN
        fields.append(edge)
    below = max(_wide(line) for line in _below(traffic))
    width = max(edge + _EDGE, _BADGE + below + _EDGE)
    height = _FIRST + _ROW * len(traffic.rows) + 18 * len(_below(traffic)) + 30
    return _Layout(time, lanes, mailbox, tuple(fields), width, height)


def _label_at(row: TrafficRow, time: int, lane: int, mailbox: int, wide: int) -> int:
    """Return where the label of a row begins: over its arrow, or beside its marker where it has room."""
    left, right = min(lane, mailbox), max(lane, mailbox)
    if row.kind in (_LOAD, _STORE):
        return left + max(_BESIDE, (right - left - wide) // 2)
    before = lane - _BESIDE - wide
    return before if lane > mailbox and before > time + _BESIDE else lane + _BESIDE


# What is drawn


def _bands(traffic: Traffic, layout: _Layout) -> Iterator[str]:
    """Yield what marks a row: a frame around all of it, and a flag with an exclamation mark."""
    for number, row in enumerate(traffic.rows):
        if row.marked:
            y = _y(number)
            frame = f'x="1" y="{y - 18}" width="{layout.width - 2}" height="{_ROW + 2}"'
            yield f'<g class="marked"><rect class="band" {frame}/>{_flag(y)}</g>'


def _flag(y: int) -> str:
    return f'<path class="full" d="M5,{y - 8}h9l7,8l-7,8h-9z"/>' + _text("!", 11, y + 4, "call", "middle")


def _y(number: int) -> int:
    return _FIRST + (number + 1) * _ROW


def _lifelines(traffic: Traffic, layout: _Layout) -> Iterator[str]:
    end = _y(len(traffic.rows) - 1) + 14
    yield _text("time", layout.time, _TOP + 22, "soft", "end")
    yield f'<rect class="mailbox" x="{layout.mailbox - 4}" y="{_TOP + _HEAD}" width="8" height="{end - _TOP - _HEAD}"/>'
    yield from _box(layout.mailbox, "Mailbox", "")
    for (name, index), at in zip(_heads(traffic), layout.lanes, strict=True):
        yield f'<path class="life" d="M{at},{_TOP + _HEAD}V{end}"/>'
        yield from _box(at, name, index)
    yield _text("before", layout.time, _FIRST + 4, "soft", "end")
    for number, ((name, _, _), edge) in enumerate(zip(_FIELDS, layout.fields, strict=True)):
        yield _text(name, edge, _TOP + (29 if number % 2 else 15), "small soft", "end")


def _box(at: int, name: str, index: str) -> Iterator[str]:
    wide = _head(name, index)
    yield f'<rect class="box" x="{at - wide // 2}" y="{_TOP}" width="{wide}" height="{_HEAD}" rx="3"/>'
    yield _text(name, at, _TOP + (15 if index else 22), "bold", "middle")
    if index:
        yield _text(index, at, _TOP + 29, "soft", "middle")


def _rows(traffic: Traffic, layout: _Layout) -> Iterator[str]:
    page = traffic.page
    for number, row in enumerate(traffic.rows):
        y = _y(number)
        yield '<g class="marked">' if row.marked else "<g>"
        yield _text(_cut(str(row.time), MAX_NAME), layout.time, y + 4, "soft", "end")
        yield from _done(row, layout, y)
        yield from _fields(row.page, page, layout, y)
        yield "</g>"
        page = row.page or page


def _done(row: TrafficRow, layout: _Layout, y: int) -> Iterator[str]:
    """Yield the arrow or the marker of a row with its label."""
    lane, text = layout.lanes[row.lane], _shown(row)
    at = _label_at(row, layout.time, lane, layout.mailbox, _wide(text))
    access = row.kind in (_LOAD, _STORE)
    yield _text(text, at, y - 5 if access else y + 4)
    if access:
        yield from _arrow(lane, layout.mailbox, y, row.kind)
    else:
        yield f'<path class="full" d="{_SHAPES.get(row.kind, _OTHER).format(lane, y)}"/>'


def _arrow(lane: int, mailbox: int, y: int, kind: str) -> Iterator[str]:
    """Yield the arrow of a store, or the dashed one with an open head of a load."""
    side = 1 if lane > mailbox else -1
    edge = mailbox + 4 * side
    start, end, towards = (lane, edge, side) if kind == _STORE else (edge, lane, -side)
    yield f'<path class="arrow {kind}" d="M{start},{y}H{end}"/>'
    yield f'<path class="{"full" if kind == _STORE else "open"}" d="M{end},{y}l{8 * towards},-4v8z"/>'


def _fields(page: str, before: str, layout: _Layout, y: int) -> Iterator[str]:
    """Yield the fields of the mailbox, those in bold that are not as they were."""
    data, old = bytes.fromhex(page), bytes.fromhex(before)
    for (_, at, width), edge in zip(_FIELDS, layout.fields, strict=True):
        if data:
            part = data[at : at + width]
            changed = bool(old) and part != old[at : at + width]
            yield _text(part[::-1].hex(), edge, y + 4, f"small {'bold' if changed else 'soft'}", "end")


def _below(traffic: Traffic) -> list[str]:
    """Return the lines under a diagram."""
    marked = ["what the finding is about"] * any(row.marked for row in traffic.rows)
    return [
        *marked,
        "Solid arrow: a store. Dashed arrow: a load. At the right: the mailbox after a store.",
        *notes(traffic),
    ]


def _foot(traffic: Traffic) -> Iterator[str]:
    y = _y(len(traffic.rows) - 1) + 34
    if any(row.marked for row in traffic.rows):
        yield f'<g class="marked">{_flag(y)}</g>'
    for number, line in enumerate(_below(traffic)):
        yield _text(line, _BADGE + 4, y + 4 + 18 * number, "soft")
