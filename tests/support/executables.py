"""Executable files with an AP loop in them, made for tests: ELF objects and PE32+ images."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTION_RVA, EXPORT_RVA, FIXUP_RVA = 0x1000, 0x2000, 0x3000


def elf_object(code: bytes, symbols: Mapping[str, tuple[int, int]], relocation: int | None = None) -> bytes:
    """Return an ELF object: the code in section 1, at address 0x100, and symbols by name: section and value."""
    names, table = b"\0", bytes(24)
    for name, (section, value) in symbols.items():
        table += struct.pack("<IBBHQQ", len(names), 0, 0, section, value, 0)
        names += name.encode() + b"\0"
    moved = b"" if relocation is None else struct.pack("<QQq", relocation, 0, 0)
    parts = ((1, 0x100, code, 0, 0), (2, 0, table, 3, 0), (3, 0, names, 0, 0), (4, 0, moved, 2, 1))
    at, heads, body = 64, bytes(64), b""
    for kind, address, data, link, info in parts:
        heads += struct.pack("<IIQQQQIIQQ", 0, kind, 0, address, at + len(body), len(data), link, info, 1, 0)
        body += data
    head = struct.pack(
        "<4sBB10xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 62, 1, 0, 0, at + len(body), 0, 64, 0, 0, 64, len(parts) + 1, 0
    )
    return head + body + heads


def _export_table(exports: Mapping[str, int]) -> bytes:
    count, names = len(exports), b""
    functions = 40
    pointers, ordinals = functions + 4 * count, functions + 8 * count
    first = functions + 10 * count
    places = []
    for name in sorted(exports):
        places.append(EXPORT_RVA + first + len(names))
        names += name.encode() + b"\0"
    rvas = [exports[name] for name in sorted(exports)]
    tables = (EXPORT_RVA + one for one in (functions, pointers, ordinals))
    head = struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, EXPORT_RVA + first, 1, count, count, *tables)
    return head + struct.pack(f"<{count}I{count}I{count}H", *rvas, *places, *range(count)) + names


def _symbol_table(symbols: Mapping[str, tuple[int, int]]) -> bytes:
    table, names = b"", b""
    for name, (section, value) in symbols.items():
        short = name.encode().ljust(8, b"\0") if len(name) <= 8 else struct.pack("<II", 0, 4 + len(names))
        names += b"" if len(name) <= 8 else name.encode() + b"\0"
        table += struct.pack("<8sIhHBB", short, value, section, 0x20, 2, 1) + bytes(18)  # with one auxiliary entry
    return table + (4 + len(names)).to_bytes(4, "little") + names


def pe_image(
    code: bytes,
    symbols: Mapping[str, tuple[int, int]] | None = None,
    exports: Mapping[str, int] | None = None,
    relocations: tuple[int, ...] = (),
    machine: int = 0x8664,
) -> bytes:
    """Return a PE32+ image: code at RVA 0x1000, COFF symbols (section, value), exports and base relocations (RVA)."""
    table, symbols = _export_table(exports) if exports else b"", symbols or {}
    entries = b"".join(struct.pack("<H", 10 << 12 | at & 0xFFF) for at in relocations)
    fixups = struct.pack("<II", SECTION_RVA, 8 + len(entries)) + entries if relocations else b""
    sections = [(b".text", code, SECTION_RVA), (b".edata", table, EXPORT_RVA), (b".reloc", fixups, FIXUP_RVA)]
    at, heads, body = 0x400, b"", b""
    for name, data, rva in sections:
        stored = data.ljust((len(data) + 0x1FF) // 0x200 * 0x200, b"\0")
        heads += struct.pack("<8sIIIIIIHHI", name, len(data), rva, len(stored), at + len(body), 0, 0, 0, 0, 0x60000020)
        body += stored
    directories = bytearray(16 * 8)
    struct.pack_into("<II", directories, 0, EXPORT_RVA if table else 0, len(table))
    struct.pack_into("<II", directories, 5 * 8, FIXUP_RVA if fixups else 0, len(fixups))
    places = (0, 0, SECTION_RVA, SECTION_RVA, 0, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x4000, 0x400, 0)
    optional = struct.pack("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 0, 0, 0x200, *places, 11, 0, 0, 0, 0, 0, 0, 16)
    where = at + len(body) if symbols else 0
    size = len(optional) + len(directories)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, where, 2 * len(symbols), size, 0x22)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + coff + optional + bytes(directories) + heads
    return head.ljust(0x400, b"\0") + body + (_symbol_table(symbols) if symbols else b"")
