"""ELF files, as far as one needs them to cut machine code out of one (System V ABI, chapters 4 and 5).

It lies between two symbols, or two offsets in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs

_HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_CLASS_64, _LITTLE, _X86_64 = 2, 1, 62
_PROGBITS, _SYMTAB, _RELA, _REL = 1, 2, 4, 9
_OBJECT, _OF_PROGRAM = 1, 0  # a file that is not linked; the sh_info of relocations that are for a loader
_SPECIAL = 0xFF00  # section indices from here on are no sections
MAX_ENTRIES = 200_000


@attrs.frozen
class Section:
    """A section: its kind, its address, where it stands in the file, its link and info fields."""

    kind: int
    address: int
    at: int
    size: int
    link: int
    info: int


def between(data: bytes, start: str | int, end: str | int) -> bytes:
    """Return the bytes from one symbol, or offset in the file, up to another.

    Raises ``ValueError`` for what is no ELF file, has not both, or is not ready to run.
    """
    try:
        return _between(data, start, end)
    except (struct.error, IndexError, OverflowError):
        raise ValueError("its tables lie outside the file") from None


def _between(data: bytes, start: str | int, end: str | int) -> bytes:
    sections = list(_sections(data))
    first, last = (_place(data, sections, one) for one in (start, end))
    if first[0] != last[0]:
        raise ValueError(f"{_named(start)} and {_named(end)} lie in different sections")
    section = sections[first[0]]
    low, high = first[1] - section.address, last[1] - section.address
    if section.kind != _PROGBITS or not 0 <= low < high <= section.size or section.at + high > len(data):
        raise ValueError(f"no bytes lie from {_named(start)} up to {_named(end)}")
    _check_relocations(data, sections, first[0], range(first[1], last[1]))
    return data[section.at + low : section.at + high]


def _named(place: str | int) -> str:
    return repr(place) if isinstance(place, str) else f"{place:#x}"


def _place(data: bytes, sections: list[Section], place: str | int) -> tuple[int, int]:
    """Return the section and the address of a symbol or an offset."""
    if isinstance(place, str):
        return _find(data, sections, place)
    for number, one in enumerate(sections):
        if one.kind == _PROGBITS and one.at <= place <= one.at + one.size:
            return number, one.address + place - one.at
    raise ValueError(f"the offset {place:#x} lies in no section with code or data")


def _sections(data: bytes) -> Iterator[Section]:
    magic, wide, order, _, machine, *rest = _HEADER.unpack_from(data.ljust(_HEADER.size, b"\0"))
    if (magic, wide, order, machine) != (b"\x7fELF", _CLASS_64, _LITTLE, _X86_64):
        raise ValueError("not an ELF file of 64 bits for x86")
    table, size, count = rest[3], rest[8], rest[9]
    if size != _SECTION.size:
        raise ValueError(f"section headers of {size} bytes, not {_SECTION.size}")
    for number in range(count):
        _, kind, _, address, at, length, link, info, _, _ = _SECTION.unpack_from(data, table + number * size)
        yield Section(kind, address, at, length, link, info)


def _find(data: bytes, sections: list[Section], name: str) -> tuple[int, int]:
    """Return the section and the value of the one symbol of a name."""
    found = set(_symbols(data, sections, name.encode()))
    if len(found) != 1:
        raise ValueError(f"{len(found) or 'no'} symbols {name!r}, where one is needed")
    section, value = found.pop()
    if not 0 < section < min(len(sections), _SPECIAL):
        raise ValueError(f"the symbol {name!r} lies in no section")
    return section, value


def _symbols(data: bytes, sections: list[Section], name: bytes) -> Iterator[tuple[int, int]]:
    tables = [one for one in sections if one.kind == _SYMTAB]
    _check_count(tables, _SYMBOL.size)
    for table in tables:
        names = sections[table.link]
        for number in range(table.size // _SYMBOL.size):
            at, _, _, section, value, _ = _SYMBOL.unpack_from(data, table.at + number * _SYMBOL.size)
            if data.startswith(name + b"\0", names.at + at):
                yield section, value


def _check_count(tables: list[Section], size: int) -> None:
    if sum(one.size // size for one in tables) > MAX_ENTRIES:
        raise ValueError(f"more than {MAX_ENTRIES} symbols or relocations")


def _check_relocations(data: bytes, sections: list[Section], target: int, code: range) -> None:
    """Raise for code that a linker has not finished: its bytes would not be those that run."""
    own = (target,) if struct.unpack_from("<H", data, 16)[0] == _OBJECT else (target, _OF_PROGRAM)
    tables = [one for one in sections if one.kind in (_REL, _RELA) and one.info in own]
    _check_count(tables, 16)
    for table in tables:
        step = 24 if table.kind == _RELA else 16
        for at in range(table.at, table.at + table.size // step * step, step):
            (place,) = struct.unpack_from("<Q", data, at)
            if place in code:
                raise ValueError(f"the code has a relocation at {place:#x}: link it first")
