"""PE32+ files, as far as one needs them to cut machine code out of one, in a process of its own.

The code lies between two symbols (of COFF, or exported) or two addresses relative to the image (RVA). Release binaries
have no COFF symbols. The file is read by pefile; the symbol table of COFF, which that leaves alone, is read here
(Microsoft's "PE Format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import attrs

from mpwake.targets.firmware.child import Answer, answer, ask

SECONDS = 30
MAX_SYMBOLS = 200_000
_X86_64, _PE32_PLUS = 0x8664, 0x20B
_SYMBOL = struct.Struct("<8sIhHBB")
_EXPORT, _BASERELOC = "IMAGE_DIRECTORY_ENTRY_EXPORT", "IMAGE_DIRECTORY_ENTRY_BASERELOC"
_LONGEST = 8  # bytes that a base relocation changes, at most


def between(data: bytes, start: str | int, end: str | int) -> bytes:
    """Return the bytes from one symbol, or RVA, up to another.

    Raises ``ValueError`` for what is no PE32+ file, has not both, or is not ready to run.
    """
    told, code = ask("mpwake.targets.firmware.pe", [start, end], data, SECONDS)
    if "error" in told:
        raise ValueError(str(told["error"]))
    return code


@attrs.frozen
class Section:
    """A section: its RVA, and where its bytes stand in the file."""

    rva: int
    size: int
    at: int


def cut(question: list[str | int], data: bytes) -> Answer:
    """Return the code, or an ``error``."""
    import pefile

    try:
        file = pefile.PE(data=data, fast_load=True)
    except pefile.PEFormatError as error:
        return {"error": f"not a PE file: {error.value}"}, b""
    try:
        return {}, _between(file, data, *question)
    except ValueError as error:
        return {"error": str(error)}, b""
    except struct.error:
        return {"error": "its tables lie outside the file"}, b""


def _between(file: Any, data: bytes, start: str | int, end: str | int) -> bytes:
    machine, magic = file.FILE_HEADER.Machine, file.OPTIONAL_HEADER.Magic
    if (machine, magic) != (_X86_64, _PE32_PLUS):
        raise ValueError(f"not PE32+ for x86-64: machine {machine:#x}, magic {magic:#x}")
    import pefile

    file.parse_data_directories([pefile.DIRECTORY_ENTRY[name] for name in (_EXPORT, _BASERELOC)])
    sections = [Section(one.VirtualAddress, one.SizeOfRawData, one.PointerToRawData) for one in file.sections]
    low, high = (_place(file, data, sections, one) for one in (start, end))
    section = next((one for one in sections if one.rva <= low < one.rva + one.size), None)
    at = 0 if section is None else section.at + low - section.rva
    if section is None or not low < high <= section.rva + section.size or at + high - low > len(data):
        raise ValueError(f"no bytes of one section lie from {_named(start)} up to {_named(end)}")
    _check_relocations(file, low, high)
    return data[at : at + high - low]


def _named(place: str | int) -> str:
    return repr(place) if isinstance(place, str) else f"{place:#x}"


def _place(file: Any, data: bytes, sections: list[Section], place: str | int) -> int:
    """Return the RVA of a symbol; a number is one."""
    if isinstance(place, int):
        return place
    name = place.encode()
    found = {*_exports(file, name), *_symbols(file, data, sections, name)}
    if len(found) != 1:
        raise ValueError(f"{len(found) or 'no'} symbols {place!r}, where one is needed")
    return found.pop()


def _exports(file: Any, name: bytes) -> Iterator[int]:
    table = getattr(file, "DIRECTORY_ENTRY_EXPORT", None)
    for one in table.symbols if table else ():
        if one.name == name and one.forwarder is None:
            yield int(one.address)


def _symbols(file: Any, data: bytes, sections: list[Section], name: bytes) -> Iterator[int]:
    table, count = file.FILE_HEADER.PointerToSymbolTable, file.FILE_HEADER.NumberOfSymbols
    if not table:
        return
    if count > MAX_SYMBOLS:
        raise ValueError(f"more than {MAX_SYMBOLS} symbols")
    names = table + count * _SYMBOL.size
    skip = 0
    for number in range(count):
        short, value, section, _, _, more = _SYMBOL.unpack_from(data, table + number * _SYMBOL.size)
        skip, auxiliary = (skip - 1, True) if skip else (more, False)
        if not auxiliary and _is(data, names, short, name) and 0 < section <= len(sections):
            yield sections[section - 1].rva + value


def _is(data: bytes, names: int, short: bytes, name: bytes) -> bool:
    # A name of more than eight bytes stands in the table behind the symbols.
    if short[:4] == bytes(4):
        return data.startswith(name + b"\0", names + int.from_bytes(short[4:], "little"))
    return short.rstrip(b"\0") == name


def _check_relocations(file: Any, low: int, high: int) -> None:
    """Raise for code that a loader changes: its bytes would not be those that run."""
    for block in getattr(file, "DIRECTORY_ENTRY_BASERELOC", ()):
        for one in block.entries:
            if one.type and low - _LONGEST < one.rva < high:
                raise ValueError(f"the code has a relocation at {one.rva:#x}: it runs only where a loader places it")


if __name__ == "__main__":
    answer(cut)
