"""Four-level page tables: the walk that a processor does, and the identity map that the suite makes for its own use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

PRESENT, WRITABLE, LARGE, NO_EXECUTE = 1, 2, 1 << 7, 1 << 63
_ADDRESS = 0x000FFFFFFFFFF000
_LEVELS = (39, 30, 21, 12)
Read = Callable[[int, int], int | None]


@attrs.frozen
class Page:
    """What a walk finds at an address; ``tables`` are the tables that it went through."""

    mapped: bool
    physical: int = 0
    writable: bool = False
    executable: bool = False
    tables: tuple[int, ...] = ()

    @property
    def access(self) -> str:
        """What may be done there, of rwx; nothing where it is not mapped."""
        return f"{'r' * self.mapped}{'w' * self.writable}{'x' * self.executable}"


def walk(read: Read, root: int, address: int) -> Page:
    """Follow the page tables from CR3 to the page of an address (SDM, volume 3A, 4.5)."""
    if (address >> 47) not in (0, 0x1FFFF):
        return Page(False)
    table, writable, executable, tables = root & _ADDRESS, True, True, []
    for shift in _LEVELS:
        tables.append(table)
        entry = read(table + (address >> shift & 0x1FF) * 8, 8)
        if entry is None or not entry & PRESENT:
            return Page(False, tables=tuple(tables))
        writable = writable and bool(entry & WRITABLE)
        executable = executable and not entry & NO_EXECUTE
        table = entry & _ADDRESS
        if shift == 12 or (entry & LARGE and shift in (30, 21)):
            inside = (1 << shift) - 1
            return Page(True, table & ~inside | address & inside, writable, executable, tuple(tables))
    return Page(False, tables=tuple(tables))


def identity_map(at: int, pages: int = 4) -> Iterator[tuple[int, bytes]]:
    """Yield page tables that map so many GiB to themselves in pages of 2 MiB, by address; they begin at ``at``."""
    flags = PRESENT | WRITABLE
    yield at, (at + 0x1000 | flags).to_bytes(8, "little").ljust(0x1000, b"\0")
    directories = (at + 0x2000 + 0x1000 * number | flags for number in range(pages))
    yield at + 0x1000, b"".join(one.to_bytes(8, "little") for one in directories).ljust(0x1000, b"\0")
    for number in range(pages):
        entries = (number << 30 | one << 21 | flags | LARGE for one in range(512))
        yield at + 0x2000 + 0x1000 * number, b"".join(one.to_bytes(8, "little") for one in entries)
