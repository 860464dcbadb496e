"""Exhibits: the pieces of evidence that a verdict shows, and the damage that a codec met."""

from __future__ import annotations

import attrs

WINDOW = 64


@attrs.frozen
class Mark:
    """A run of bytes that a reader's eye should fall on: offset from the start of the whole, and a length."""

    offset: int
    length: int


@attrs.frozen
class Exhibit:
    """A piece of evidence: some bytes of an input with the relevant ones marked, or lines of text.

    ``offset`` is where ``data`` begins in the whole input called ``name``; ``marks`` count from the start of
    that input too. ``text`` stands for evidence that is not bytes: a line of a memory map, a command line.
    """

    name: str
    offset: int = 0
    data: bytes = b""
    marks: tuple[Mark, ...] = ()
    text: str = ""


def bytes_exhibit(name: str, data: bytes, offset: int, length: int = 1) -> Exhibit:
    """Show ``length`` bytes at ``offset`` of ``data`` marked, with the lines of sixteen around them."""
    start = max(0, (offset & ~15) - 16)
    end = min(len(data), ((offset + min(length, WINDOW) + 15) & ~15) + 16)
    return Exhibit(name, start, data[start:end], (Mark(offset, length),))


def text_exhibit(name: str, text: str) -> Exhibit:
    """Show evidence that is text."""
    return Exhibit(name, text=text)


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
