"""The text that acpidump writes and acpixtract reads: ACPI tables in hex.

Written from what ACPICA's acpixtract accepts (source/tools/acpixtract/axutils.c), and stricter: the offset of each
line must be right, so that a dump which lost lines on its way is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from mpwake.evidence.exhibit import CodecError

MAX_TEXT = 16 << 20
MAX_TABLES = 1024
ROW = 16

_NAME = r"(?:RSD PTR|[A-Z0-9_!]{4})"
_ADDRESS = r"(?:(?:0x)?[0-9A-Fa-f]{1,16}|\(nil\))"
_HEADER = re.compile(rf"({_NAME}) @ (.*)")
_BYTES = rf"((?: [0-9A-Fa-f]{{2}}){{1,{ROW}}})"
# Two blanks end the bytes: what follows them is the ASCII column, which may itself look like bytes.
_HEX_LINE = re.compile(rf"[ \t]*([0-9A-Fa-f]{{4,8}}):{_BYTES}(?:  .*)?")
_OFFSET = re.compile(r"[ \t]*[0-9A-Fa-f]{4,8}:(?: |$)")
_SNIFF = re.compile(rf"^{_NAME} @ {_ADDRESS}[ \t]*\r?\n[ \t]*0{{4,8}}:(?: [0-9A-Fa-f]{{2}}){{1,{ROW}}}", re.MULTILINE)


@attrs.frozen
class AcpiDumpTable:
    """A table in a dump.

    ``name`` is its signature ("RSD PTR" is given as RSDP), ``address`` the physical address it was read from (0 for
    "(nil)"), ``line`` the line of its header, counted from one.
    """

    name: str
    address: int
    data: bytes
    line: int


def is_acpidump(head: str) -> bool:
    """Say whether text, of which the first kilobytes are enough, looks like a dump: a header and a line of hex."""
    return _SNIFF.search(head) is not None


def parse_acpidump(text: str) -> tuple[AcpiDumpTable, ...]:
    """Read the tables of a dump in their order. Other text before, between and after them is passed over.

    A table ends at a blank line, at the next header or at the end of the text. Raises ``CodecError`` with the line
    for a malformed header, a line in a table that is not hex, an offset other than the number of bytes so far, a
    table without bytes, no table at all, more than 16 MiB of text, or more than 1024 tables.
    """
    if len(text) > MAX_TEXT:
        raise _error(1, f"at most {MAX_TEXT} characters", f"{len(text)}")
    reader = _Reader()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        reader.feed(number, line.rstrip())
    reader.finish()
    if not reader.tables:
        raise _error(len(lines), "a table such as 'APIC @ 0x000000007F5E3000'", "none in the whole text")
    return tuple(reader.tables)


def _error(line: int, expected: str, found: str) -> CodecError:
    return CodecError("an acpidump text", line, expected, found, "line")


class _Reader:
    """The tables so far, and the one that is being read."""

    def __init__(self) -> None:
        self.tables: list[AcpiDumpTable] = []
        self.name = ""
        self.address = self.line = 0
        self.data: bytearray | None = None

    def feed(self, number: int, line: str) -> None:
        header = _HEADER.fullmatch(line)
        if header:
            self.finish()
            self.begin(number, header[1], header[2])
        elif self.data is None:
            if _OFFSET.match(line):
                raise _error(number, "a header such as 'APIC @ 0x000000007F5E3000' before the bytes", _shown(line))
        elif line:
            self.data += _row(number, line, len(self.data))
        else:
            self.finish()

    def begin(self, number: int, name: str, address: str) -> None:
        if not re.fullmatch(_ADDRESS, address):
            raise _error(number, "a physical address such as 0x000000007F5E3000", _shown(address))
        if len(self.tables) >= MAX_TABLES:
            raise _error(number, f"at most {MAX_TABLES} tables", "more")
        self.name = "RSDP" if name.startswith("RSD ") else name
        self.address = 0 if address == "(nil)" else int(address, 16)
        self.line, self.data = number, bytearray()

    def finish(self) -> None:
        if self.data is None:
            return
        if not self.data:
            raise _error(self.line, f"bytes of the table {self.name} on the next line", "none")
        self.tables.append(AcpiDumpTable(self.name, self.address, bytes(self.data), self.line))
        self.data = None


def _row(number: int, line: str, size: int) -> bytes:
    found = _HEX_LINE.fullmatch(line)
    if found is None:
        raise _error(number, "'<offset>: <1 to 16 bytes in hex>  <ASCII>' or a blank line", _shown(line))
    if int(found[1], 16) != size:
        raise _error(number, f"offset {size:04X}", f"offset {found[1]}")
    return bytes.fromhex(found[2])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def format_acpidump(tables: Iterable[AcpiDumpTable]) -> str:
    """Return tables as acpidump writes them, each followed by a blank line."""
    return "".join(f"{one.name} @ 0x{one.address:016X}\n{_rows(one.data)}\n" for one in tables)


def _rows(data: bytes) -> str:
    return "".join(_format_row(offset, data[offset : offset + ROW]) for offset in range(0, len(data), ROW))


def _format_row(offset: int, row: bytes) -> str:
    ascii_column = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
    return f"{format(offset, '04X'):>8}: {row.hex(' ').upper():<{ROW * 3 - 1}}  {ascii_column}\n"
