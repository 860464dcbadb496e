"""The state in which firmware hands a processor over: registers, and page tables where few pages are mapped."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable

from mpwake.targets.kernel.kvm import abi
from mpwake.targets.kernel.layout import BOOT, PAGE, PDPT, PML4, PML5
from mpwake.targets.kernel.recording import Entry

GDT = BOOT + 0xF00
GDT_DATA = struct.pack("<4Q", 0, 0x00CF9A000000FFFF, 0x00AF9A000000FFFF, 0x00CF92000000FFFF)
_CODE64, _DATA = 0x10, 0x18
_JUNK = 0xA5A5A5A5A5A5A5A5
_PE_ET_WP_PG, _PAE, LA57 = 0x80010011, 1 << 5, 1 << 12
_LME, _LMA, _NXE = 1 << 8, 1 << 10, 1 << 11
_ENABLED, _X2APIC = 1 << 11, 1 << 10
_DIRECTION, _ALWAYS = 1 << 10, 1 << 1
_CODE_TYPE, _DATA_TYPE, _TSS_TYPE = 11, 3, 11
_PRESENT, _LARGE = 3, 1 << 7
_DIRECTORIES, _MOST_DIRECTORIES = BOOT + 0x4000, 12


def _segment(selector: int, kind: int, wide: bool) -> abi.Segment:
    return abi.Segment(
        limit=0xFFFFFFFF, selector=selector, type=kind, present=1, s=1, l=int(wide), db=int(not wide), g=1
    )


def system(sregs: abi.Sregs, entry: Entry, root: int, x2apic: bool) -> abi.Sregs:
    """Return the registers of the system in 64-bit mode on page tables; of ``sregs`` the APIC's base is kept."""
    sregs.cs = _segment(_CODE64, _CODE_TYPE, True)
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = _segment(_DATA, _DATA_TYPE, False)
    sregs.tr = abi.Segment(limit=0x67, type=_TSS_TYPE, present=1)
    sregs.ldt = abi.Segment(unusable=1)
    sregs.gdt = abi.Table(GDT, len(GDT_DATA) - 1)
    sregs.idt = abi.Table(0, 0)
    sregs.cr0 = _PE_ET_WP_PG | entry.cr0
    sregs.cr2 = sregs.cr8 = 0
    sregs.cr3 = root
    sregs.cr4 = _PAE | entry.cr4 | (LA57 if entry.la57 else 0)
    sregs.efer = _LME | _LMA | (_NXE if entry.nxe else 0)
    sregs.apic_base |= _ENABLED | (_X2APIC if x2apic else 0)
    return sregs


def general(rip: int, entry: Entry) -> abi.Regs:
    """Return the general registers of a processor at the vector."""
    value = _JUNK if entry.junk else 0
    regs = abi.Regs(*([value] * 16), rip, _ALWAYS | (_DIRECTION if entry.direction else 0))
    regs.rax = rip
    return regs


def split(ram: mmap.mmap, addresses: Iterable[int]) -> None:
    """Map the first 4 GiB, and those with other addresses, in pages of 2 MiB: not every processor has larger ones."""
    needed = sorted({0, 1, 2, 3, *(one >> 30 for one in addresses)})
    for number, one in enumerate(needed[:_MOST_DIRECTORIES]):
        at = _DIRECTORIES + number * PAGE
        base = one << 30
        ram[at : at + PAGE] = struct.pack("<512Q", *(base + (two << 21) | _LARGE | _PRESENT for two in range(512)))
        struct.pack_into("<Q", ram, PDPT + one * 8, at | _PRESENT)


def root_of(entry: Entry, vector: int, ram: mmap.mmap, pool: int) -> int:
    """Return the page tables for a processor: all memory, or what is declared around its vector, in ``pool``."""
    if entry.mapped is None:
        return PML5 if entry.la57 else PML4
    tables = [pool]
    ram[pool : pool + PAGE] = bytes(PAGE)
    for number in range(-entry.mapped, entry.mapped + 1):
        page = (vector & ~(PAGE - 1)) + number * PAGE
        if page >= 0:
            _map(page, 48 if entry.la57 else 39, ram, tables)
    return pool


def _map(page: int, shift: int, ram: mmap.mmap, tables: list[int]) -> None:
    """Map a page to itself; ``tables`` are those that there are, the root first."""
    table = tables[0]
    for level in range(shift, 12, -9):
        at = table + (page >> level & 511) * 8
        (entry,) = struct.unpack_from("<Q", ram, at)
        if not entry:
            entry = tables[0] + len(tables) * PAGE | _PRESENT
            tables.append(entry & ~(PAGE - 1))
            ram[tables[-1] : tables[-1] + PAGE] = bytes(PAGE)
            struct.pack_into("<Q", ram, at, entry)
        table = entry & ~(PAGE - 1)
    struct.pack_into("<Q", ram, table + (page >> 12 & 511) * 8, page | _PRESENT)
