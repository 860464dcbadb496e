"""A static search of AML for ``_MAT``, the object that returns MADT entries (ACPI 6.6 section 6.2.10).

Nothing is executed and nothing is parsed as a whole: definitions of the name are found by their bytes. Encodings
are those of ACPI 6.6 sections 20.2.2 (names), 20.2.3 (data), 20.2.4 (PkgLength) and 20.2.5 (terms).
"""

from __future__ import annotations

import re
from typing import Literal

import attrs

from mpwake.evidence.acpi import HEADER, AcpiTable

MAX_FOUND = 4096
BUFFER_OP = 0x11

# A NameOp, or a MethodOp and its PkgLength, and a path that ends in _MAT. The path is the segment alone or behind
# others: DualNamePrefix 0x2E and one more, or MultiNamePrefix 0x2F, a count (here up to 16) and that many.
_PACKAGE = rb"[\x00-\x3F]|[\x40-\x4F].|[\x80-\x8F]..|[\xC0-\xCF]..."
_SEGMENT = rb"[A-Z_][A-Z0-9_]{3}"
_PATH = rb"(?:\\|\^{0,16})(?:\x2E" + _SEGMENT + rb"|\x2F([\x03-\x10])((?:" + _SEGMENT + rb"){2,15}))?_MAT"
_DEFINITION = re.compile(rb"(?:\x08|\x14(" + _PACKAGE + rb"))" + _PATH, re.DOTALL)
_INTEGER_SIZES = {0x0A: 1, 0x0B: 2, 0x0C: 4}


@attrs.frozen
class MatObject:
    """A definition of ``_MAT``.

    ``offset`` is that of its NameOp or MethodOp in the table. ``buffers`` are the constant buffers in it: the offset
    of the bytes in the table, and the bytes as written there (a BufferSize above their number means zeros behind
    them). ``complete`` is False when no constant buffer was found, so that what it returns is not known.
    """

    offset: int
    kind: Literal["name", "method"]
    buffers: tuple[tuple[int, bytes], ...]
    complete: bool


@attrs.frozen
class _Buffer:
    """A constant buffer: where its bytes begin and end, and its BufferSize."""

    start: int
    end: int
    size: int


def find_mat(table: AcpiTable) -> tuple[MatObject, ...]:
    """Return the definitions of ``_MAT`` in a DSDT or SSDT, in order.

    Takes any bytes: what only looks like a definition is returned too, with ``complete`` False unless a constant
    buffer follows. The search goes on behind each definition and ends after ``MAX_FOUND``, so it is bounded.
    """
    data = table.body
    found: list[MatObject] = []
    at = HEADER.size
    while len(found) < MAX_FOUND and (match := _DEFINITION.search(data, at)):
        one, at = _definition(data, match)
        if one:
            found.append(one)
    return tuple(found)


def _definition(data: bytes, match: re.Match[bytes]) -> tuple[MatObject | None, int]:
    # What the match defines, and where the search goes on.
    if match[2] and match[2][0] != len(match[3]) // 4 + 1:
        return None, match.start() + 1
    if match[1] is None:
        return _name(data, match.start(), match.end())
    end = _package_end(data, match.start(1), len(data))
    if end is None or end <= match.end():
        return None, match.start() + 1
    return _method(data, match.start(), match.end() + 1, end), end


def _name(data: bytes, offset: int, at: int) -> tuple[MatObject, int]:
    found = _buffer(data, at, len(data))
    if found is None:
        return MatObject(offset, "name", (), False), at
    return MatObject(offset, "name", ((found.start, data[found.start : found.end]),), True), found.end


def _method(data: bytes, offset: int, at: int, end: int) -> MatObject:
    # The body follows the byte of MethodFlags. A byte 0x11 in it need not be a BufferOp, so one counts only if its
    # PkgLength stays in the body and its bytes do not outnumber its BufferSize.
    buffers: list[tuple[int, bytes]] = []
    at = data.find(BUFFER_OP, at, end)
    candidates = 0
    while at >= 0 and candidates < MAX_FOUND:
        candidates += 1
        found = _buffer(data, at, end)
        real = found is not None and found.end - found.start <= found.size
        if found and real:
            buffers.append((found.start, data[found.start : found.end]))
        at = data.find(BUFFER_OP, found.end if found and real else at + 1, end)
    return MatObject(offset, "method", tuple(buffers), bool(buffers) and at < 0)


def _buffer(data: bytes, at: int, limit: int) -> _Buffer | None:
    # DefBuffer := BufferOp PkgLength BufferSize ByteList (20.2.5.4), where BufferSize is a constant.
    if at >= limit or data[at] != BUFFER_OP:
        return None
    end = _package_end(data, at + 1, limit)
    if end is None:
        return None
    size = _integer(data, at + 1 + _width(data[at + 1]), end)
    return None if size is None else _Buffer(size[1], end, size[0])


def _width(lead: int) -> int:
    # How many bytes a PkgLength takes: bits 7 and 6 of its first tell.
    return (lead >> 6) + 1


def _package_end(data: bytes, at: int, limit: int) -> int | None:
    # Where the package ends whose PkgLength is at ``at``, or None when it is malformed or ends behind ``limit``.
    width = _width(data[at]) if at < limit else 0
    if not width or at + width > limit:
        return None
    length = data[at]
    if width > 1:
        length = data[at] & 0x0F | int.from_bytes(data[at + 1 : at + width], "little") << 4
        if data[at] & 0x30:
            return None
    return at + length if width <= length <= limit - at else None


def _integer(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    # A constant integer (20.2.3): its value, and where it ends.
    if at >= end:
        return None
    if data[at] in (0, 1):
        return data[at], at + 1
    size = _INTEGER_SIZES.get(data[at], 0)
    if not size or at + 1 + size > end:
        return None
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size
