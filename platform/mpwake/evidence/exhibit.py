"""Exhibits: the pieces of evidence that a verdict shows, and the damage that a codec met."""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs

WINDOW = 64
LOAD = "load"
STORE = "store"
_NAME = 8


@attrs.frozen
class Mark:
    """A run of bytes that a reader's eye should fall on: offset from the start of the whole, and a length."""

    offset: int
    length: int


@attrs.frozen
class Lane:
    """A participant of mailbox traffic: the number of its agent and what it is called."""

    agent: int
    name: str


@attrs.frozen
class TrafficRow:
    """Something that a participant did, or ``count`` equal loads of it, the first at ``time``, the last at ``until``.

    ``lane`` is an index into the lanes, ``kind`` the name of a kind of event. ``place`` names the bytes of the page
    that a load or store touched. ``page`` are the first 16 bytes of the mailbox after a store that touched them.
    ``text`` is what else there is to say: all of it for an event that is neither load nor store.
    """

    time: int
    lane: int
    kind: str
    place: str = ""
    offset: int = 0
    width: int = 0
    value: int = 0
    count: int = 1
    until: int = 0
    marked: bool = False
    page: bytes = b""
    text: str = ""

    @property
    def access(self) -> bool:
        """Whether it is a load or a store."""
        return self.kind in (LOAD, STORE)


@attrs.frozen
class Traffic:
    """Who did what to the mailbox around one event, in the order that it was seen in.

    ``page`` are the first 16 bytes of the mailbox before the first row. ``earlier`` and ``later`` count what is not
    shown because it lies outside, loads and console lines left out; ``loads`` and ``console`` are those between the
    rows that are not shown.
    """

    lanes: tuple[Lane, ...]
    rows: tuple[TrafficRow, ...]
    page: bytes
    earlier: int = 0
    later: int = 0
    loads: int = 0
    console: int = 0

    def lines(self) -> list[str]:
        """Return a line of text for each row but unmarked loads; ``>`` stands before the marked one."""
        return [self._line(one) for one in self.rows if one.kind != LOAD or one.marked]

    def _line(self, one: TrafficRow) -> str:
        access = f"{one.width} bytes at {one.offset:#05x}  {one.value:#x}" if one.access else ""
        what = "  ".join(part for part in (access, one.text) if part)
        wide = max([_NAME, *(len(lane.name) for lane in self.lanes)])
        line = f"{'>' if one.marked else ' '} {one.time:>7}  {self.lanes[one.lane].name:<{wide}} {one.kind:<7} {what}"
        return line.rstrip()


@attrs.frozen
class Exhibit:
    """A piece of evidence: some bytes of an input with the relevant ones marked, or lines of text.

    ``offset`` is where ``data`` begins in the whole input called ``name``; ``marks`` count from the start of
    that input too. ``text`` stands for evidence that is not bytes: a line of a memory map, a command line; for mailbox
    traffic it is the lines of that. Traffic is put together when it is asked for: most findings are never shown.
    """

    name: str
    offset: int = 0
    data: bytes = b""
    marks: tuple[Mark, ...] = ()
    said: str = attrs.field(default="", alias="text")
    look: Callable[[], Traffic] | None = None

    @functools.cached_property
    def traffic(self) -> Traffic | None:
        """The mailbox traffic, where that is the evidence."""
        return self.look() if self.look else None

    @functools.cached_property
    def text(self) -> str:
        """The evidence as lines of text."""
        return "\n".join(self.traffic.lines()) if self.traffic else self.said


def bytes_exhibit(name: str, data: bytes, offset: int, length: int = 1) -> Exhibit:
    """Show ``length`` bytes at ``offset`` of ``data`` marked, with the lines of sixteen around them."""
    start = max(0, (offset & ~15) - 16)
    end = min(len(data), ((offset + min(length, WINDOW) + 15) & ~15) + 16)
    return Exhibit(name, start, data[start:end], (Mark(offset, length),))


def text_exhibit(name: str, text: str) -> Exhibit:
    """Show evidence that is text."""
    return Exhibit(name, text=text)


def traffic_exhibit(name: str, look: Callable[[], Traffic]) -> Exhibit:
    """Show the mailbox traffic that ``look`` puts together, as data and as text."""
    return Exhibit(name, look=look)


@attrs.frozen
class Damage:
    """Where a codec had to stop or to skip: the byte offset, what was expected there, what was found."""

    offset: int
    expected: str
    found: str

    def __str__(self) -> str:
        return f"byte {self.offset:#x}: expected {self.expected}, found {self.found}"


@attrs.frozen(auto_exc=True)
class CodecError(Exception):
    """Bytes or text that are not what a codec reads at all; nothing could be decoded.

    ``offset`` is the byte offset (or, in text, the line number: then ``unit`` is "line").
    """

    codec: str
    offset: int
    expected: str
    found: str
    unit: str = "byte"

    def __str__(self) -> str:
        at = f"line {self.offset}" if self.unit == "line" else f"byte {self.offset:#x}"
        return f"not {self.codec}: {at}: expected {self.expected}, found {self.found}"
