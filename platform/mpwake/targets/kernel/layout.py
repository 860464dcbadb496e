"""What lies where in a machine's memory before it starts: firmware's own, tables, the kernel, the traced pages."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from pathlib import Path

import attrs

from mpwake.evidence.fdt import reg
from mpwake.evidence.memory_map import MemoryMap, MemoryType, Range
from mpwake.evidence.tables import Tables
from mpwake.targets.kernel import acpi
from mpwake.targets.kernel.bzimage import BzImage
from mpwake.targets.kernel.recording import Machine, NotRealisable, Parking

PAGE = 0x1000
RAM = 512 << 20
MAX_APIC_ID = 254
MAX_PROCESSORS = 16

# As in rom.s.
ROM_START = 0xF0000
BOOT = 0x1FC00000
_PAGES, _CONFIG = BOOT + 0x20, BOOT + 0x100
PML5, PML4, PDPT = BOOT + 0x1000, BOOT + 0x2000, BOOT + 0x3000
_BLOCKS, _BLOCK = BOOT + 0x10000, 256
POOL_PAGES = 12
TELL = 0xE0000000
REGISTERS = 0xF00
BOOTS, PARKS, KEEPS_TIME = 1, 0, 2
# Time-stamp counts in a millisecond: QEMU counts nanoseconds under -icount.
MILLISECOND = 1_000_000

_ZERO_PAGE = BOOT + 0x20000
_COMMAND_LINE = BOOT + 0x21000
_MAX_COMMAND_LINE = 0x1000
_SETUP_DATA = BOOT + 0x30000
POOLS = BOOT + 0x200000
_ACPI = BOOT - 0x100000
_SLOT = 4
_BAR0, _BAR2, _COMMAND = 0x10, 0x18, 0x04
_MEMORY_DECODE = 1 << 1
_E820_AT, _E820_MOST = 0x2D0, 128
_SETUP_DTB = 2
_PRESENT, _LARGE = 3, 1 << 7

_E820 = {
    MemoryType.USABLE: 1,
    MemoryType.RESERVED: 2,
    MemoryType.ACPI_RECLAIMABLE: 3,
    MemoryType.ACPI_NVS: 4,
    MemoryType.UNUSABLE: 5,
    MemoryType.PERSISTENT: 7,
    MemoryType.OTHER: 2,
}
_DEFAULT_MAP = MemoryMap(
    "of the machine",
    (Range(0, 0x9FC00, MemoryType.USABLE, "usable", 0), Range(0x100000, RAM, MemoryType.USABLE, "usable", 0)),
)


@attrs.frozen
class Page:
    """A page outside of RAM, in a file of its own: traced or not, with a second and untraced address or 0."""

    address: int
    traced: bool
    alias: int = 0
    data: bytes = bytes(PAGE)


@attrs.frozen
class Layout:
    """Everything that a machine is started with.

    ``memory`` are pieces of RAM by address. ``pages`` begin with firmware's own, in which it tells what it does.
    ``apic_ids`` are those of the processors in the order of their turns; the last keeps the time, and behind each that
    the operating system may run on is one that is halted. ``madt`` is where the MADT lies, or 0;
    ``polled`` which of the pages is the one that the processors poll.
    """

    rom: bytes
    memory: tuple[tuple[int, bytes], ...]
    pages: tuple[Page, ...]
    apic_ids: tuple[int, ...]
    madt: int
    polled: int | None
    facts: dict[str, str | int | bool] = attrs.field(hash=False)


def lay_out(machine: Machine, image: BzImage) -> Layout:
    """Return what a machine is started with. Raises ``NotRealisable`` where QEMU has no such machine."""
    ids = _present(machine)
    pages = _pages(machine)
    madt = machine.tables.madt
    table = acpi.publish(_ACPI, madt.data if madt else None, tuple(one.data for one in machine.tables.aml))
    has_acpi = madt is not None or bool(machine.tables.aml)
    ranges = _ranges(machine.tables.memory_map or _DEFAULT_MAP)
    entry, kernel = _kernel(machine, image, ranges, table.rsdp if has_acpi else 0)
    memory = [*kernel, *firmware(machine, ids, pages, entry)]
    if has_acpi:
        memory.append((table.start, table.data))
    stub = _reset_stub(machine)
    if stub[0] + len(stub[1]) <= RAM:
        memory.append(stub)
    facts: dict[str, str | int | bool] = {"memory": RAM}
    polled = next((number for number, one in enumerate(pages) if one.alias), None)
    return Layout(rom(), tuple(memory), pages, ids, table.madt if has_acpi else 0, polled, facts)


def bare(machine: Machine, entry: int, code: bytes) -> Layout:
    """Return what a machine is started with that enters ``code`` in place of a kernel."""
    ids, pages = _present(machine), _pages(machine)
    memory = (*firmware(machine, ids, pages, entry), (entry, code))
    return Layout(rom(), memory, pages, ids, 0, None, {})


@functools.cache
def _code() -> bytes:
    return (Path(__file__).parent / "rom" / "rom.bin").read_bytes()


def rom() -> bytes:
    """Return the 64 KiB that end at 4 GiB: the code, and a far jump to its start where every processor begins."""
    return _code().ljust(0xFFF0, b"\0") + b"\xea\0\0\0\xf0".ljust(16, b"\0")


def reset_code() -> bytes:
    """Return the code that is copied to ResetVector."""
    start, size = struct.unpack("<HH", _code()[-4:])
    return _code()[start : start + size]


# Processors


def _listed(tables: Tables) -> set[int]:
    ids = {one.apic_id for one in tables.madt.processors} if tables.madt else set()
    cpus = tables.fdt.find("/cpus") if tables.fdt else None
    if cpus is not None:
        ids |= {pair[0] for node in cpus.children for pair in reg(node, cpus) or ()}
    return ids


def _present(machine: Machine) -> tuple[int, ...]:
    """The APIC IDs of the processors that there are, the one that keeps the time last."""
    if machine.boot_id:
        raise NotRealisable(f"QEMU's bootstrap processor has APIC ID 0, and {machine.boot_id:#x} cannot be made it")
    wanted = {0, *(one for one in machine.processors if one <= MAX_APIC_ID)}
    if len(wanted) > MAX_PROCESSORS:
        raise NotRealisable(f"{len(wanted)} processors: the machine takes {MAX_PROCESSORS}")
    taken = wanted | _listed(machine.tables)
    # Under -icount, QEMU before 8.1 gives no turn to the one behind one that never pauses: a halted one stands there.
    free = [one for one in range(1, MAX_APIC_ID + 1) if one not in taken]
    spare = sorted(free, key=lambda one: (one < max(wanted), one))[: len(wanted) + 1]
    if len(spare) <= len(wanted):
        raise NotRealisable("too few APIC IDs are left for firmware's own processors")
    return (*(one for pair in zip(sorted(wanted), spare, strict=False) for one in pair), spare[-1])


def _block(machine: Machine, apic_id: int, role: int, pool: int) -> bytes:
    parking = machine.processors.get(apic_id) or Parking(takes="never")
    entry = parking.entry
    side = -1 if entry.mapped is None else entry.mapped
    polls = role == PARKS and apic_id in machine.processors and machine.mailbox
    return struct.pack(
        "<10B6xQQQQqQQQ",
        role,
        ("own", "any", "never").index(parking.takes),
        parking.acknowledges,
        parking.starts,
        parking.tests,
        parking.returns,
        entry.junk,
        entry.direction,
        entry.nxe,
        entry.la57,
        parking.before * MILLISECOND,
        parking.after * MILLISECOND,
        entry.cr0,
        entry.cr4,
        side,
        pool,
        _alias(machine.mailbox) if polls else 0,
        machine.mailbox,
    )


def _alias(address: int) -> int:
    return 0xE0010000 + address % PAGE


def firmware(
    machine: Machine, ids: tuple[int, ...], pages: tuple[Page, ...], entry: int
) -> Iterable[tuple[int, bytes]]:
    """Yield what the ROM reads: its boot block, the page tables, and a block for each processor."""
    yield BOOT, struct.pack("<IIQQ", 0, len(ids) - 1, entry, _ZERO_PAGE)
    yield _PAGES, b"".join(struct.pack("<Q", one.address + REGISTERS) for one in pages if one.traced) + bytes(8)
    yield _CONFIG, b"".join(struct.pack("<II", *pair) for pair in _configuration(pages)) + bytes(8)
    yield PML5, struct.pack("<Q", PML4 | _PRESENT)
    yield PML4, struct.pack("<Q", PDPT | _PRESENT)
    yield PDPT, struct.pack("<512Q", *(number << 30 | _LARGE | _PRESENT for number in range(512)))
    for number, one in enumerate(ids):
        role = KEEPS_TIME if number == len(ids) - 1 else BOOTS if one == machine.boot_id else PARKS
        pool = POOLS + number * POOL_PAGES * PAGE
        yield _BLOCKS + one * _BLOCK, _block(machine, one, role, pool)


# Pages outside of RAM


def _pages(machine: Machine) -> tuple[Page, ...]:
    addresses = [machine.mailbox, *_named(machine.tables)]
    traced = list(dict.fromkeys(one & ~(PAGE - 1) for one in addresses if one and _outside(one)))
    if machine.mailbox and not _outside(machine.mailbox):
        raise NotRealisable(f"the mailbox at {machine.mailbox:#x} lies in memory, where no access is seen")
    if machine.mailbox % PAGE > REGISTERS - 16:
        raise NotRealisable(f"the mailbox at {machine.mailbox:#x} ends where the machine's page has no memory")
    polled = machine.mailbox & ~(PAGE - 1)
    before = machine.tables.mailbox or b""
    pages = [Page(TELL, True)]
    for one in traced:
        data = before.ljust(PAGE, b"\0") if one == polled else bytes(PAGE)
        pages.append(Page(one, True, _alias(0) if one == polled else 0, data))
    stub = _reset_stub(machine)
    if stub[0] >= RAM:
        page = stub[0] & ~(PAGE - 1)
        if page in traced:
            raise NotRealisable(f"ResetVector {machine.reset_vector:#x} lies in a mailbox page")
        pages.append(Page(page, False, 0, (bytes(stub[0] - page) + stub[1]).ljust(PAGE, b"\0")))
    return tuple(pages)


def _outside(address: int) -> bool:
    return (
        RAM <= address < 1 << 39 and not 0xE0000000 <= address < 0xE0020000 and not 0xFEC00000 <= address < 0xFEF00000
    )


def _named(tables: Tables) -> Iterable[int]:
    """The mailboxes that the tables name."""
    if tables.madt:
        yield from (one.address for one in tables.madt.wakeups if one.address)
    for node in tables.fdt.walk() if tables.fdt else ():
        compatible, parent = node.prop("compatible"), tables.fdt.parent(node) if tables.fdt else None
        if parent and compatible and b"intel,wakeup-mailbox\0" in compatible.value:
            yield from (pair[0] for pair in reg(node, parent) or ())


def _reset_stub(machine: Machine) -> tuple[int, bytes]:
    at, code = machine.reset_vector, reset_code()
    if not at:
        # A ResetVector that is 0 is none, and version 0 has none. What jumps to address 0 nevertheless tells so.
        return 0, code
    if at % PAGE + len(code) > PAGE or (at >= RAM and not _outside(at)) or at < 0x100000:
        raise NotRealisable(f"the machine has no room for code at ResetVector {at:#x}")
    return at, code


def _configuration(pages: tuple[Page, ...]) -> Iterable[tuple[int, int]]:
    """PCI configuration writes that put the pages in their places, and switch the power management block on."""
    number = 0
    for page in pages:
        yield from _placed(number, page.address, page.address + REGISTERS if page.traced else 0)
        number += 1
        if page.alias:
            yield from _placed(number, page.alias, 0)
            number += 1
    power = 0x80000000 | 1 << 11 | 3 << 8
    yield power | 0x40, acpi.PM_BASE | 1
    yield power | 0x80, 1


def _placed(number: int, memory: int, registers: int) -> Iterable[tuple[int, int]]:
    # Of two that overlap, the one that was placed last is above.
    slot, function = slot_of(number)
    device = 0x80000000 | slot << 11 | function << 8
    yield device | _BAR2, memory & 0xFFFFFFFF
    yield device | _BAR2 + 4, memory >> 32
    if not registers:
        yield device | _BAR0, 0xE0020000 + number * 0x100
    yield device | _COMMAND, _MEMORY_DECODE
    if registers:
        yield device | _BAR0, registers


def slot_of(number: int) -> tuple[int, int]:
    """Return PCI slot and function of a page's device.

    None of them has function 0, so that an operating system that looks for devices meets none: it would move them.
    """
    return _SLOT + number // 7, number % 7 + 1


# The kernel


def _ranges(published: MemoryMap) -> list[tuple[int, int, int]]:
    """The memory map as (start, end, type): usable memory is what the machine has of it, all else as published."""
    found = []
    for one in published.ranges:
        if one.type is not MemoryType.USABLE:
            found.append((one.start, one.end, _E820[one.type]))
            continue
        for start, end in ((0, 0xA0000), (0x100000, _ACPI)):
            if max(start, one.start) < min(end, one.end):
                found.append((max(start, one.start), min(end, one.end), _E820[one.type]))
    found.append((_ACPI, BOOT, _E820[MemoryType.ACPI_RECLAIMABLE]))
    found.append((BOOT, RAM, _E820[MemoryType.RESERVED]))
    if len(found) > _E820_MOST:
        raise NotRealisable(f"a memory map of {len(found)} ranges: the kernel's boot protocol takes {_E820_MOST}")
    return sorted(found)


def _kernel(
    machine: Machine, image: BzImage, ranges: list[tuple[int, int, int]], rsdp: int
) -> tuple[int, list[tuple[int, bytes]]]:
    """Return the 64-bit entry, and image, initramfs, command line, blob and boot_params by address."""
    load = image.preferred
    usable = [(start, end) for start, end, kind in ranges if kind == _E820[MemoryType.USABLE]]
    if not any(start <= load and load + image.init_size <= end for start, end in usable):
        raise NotRealisable(f"no usable memory at {load:#x}, where the kernel is to be loaded")
    size = len(machine.initramfs)
    places = [
        (end - size) & ~(PAGE - 1) for start, end in usable if end - size - PAGE >= max(start, load + image.init_size)
    ]
    if not places:
        raise NotRealisable(f"no usable memory for an initramfs of {size} bytes")
    line = machine.command_line.encode() + b"\0"
    if len(line) > min(_MAX_COMMAND_LINE, image.max_command_line):
        raise NotRealisable(f"a command line of {len(line)} bytes")
    pieces = [(load, image.kernel), (places[-1], machine.initramfs), (_COMMAND_LINE, line)]
    blob = machine.tables.fdt.data if machine.tables.fdt else b""
    if len(blob) > POOLS - _SETUP_DATA - 16:
        raise NotRealisable(f"a DeviceTree of {len(blob)} bytes")
    if blob:
        pieces.append((_SETUP_DATA, struct.pack("<QII", 0, _SETUP_DTB, len(blob)) + blob))
    zero = _boot_params(image, ranges, (places[-1], size), _SETUP_DATA if blob else 0, rsdp)
    return load + 0x200, [*pieces, (_ZERO_PAGE, zero)]


def _boot_params(
    image: BzImage, ranges: list[tuple[int, int, int]], initramfs: tuple[int, int], setup_data: int, rsdp: int
) -> bytes:
    page = bytearray(PAGE)
    page[0x1F1 : 0x1F1 + len(image.header)] = image.header
    fields = {
        0x70: struct.pack("<Q", rsdp),
        0x1E8: bytes([len(ranges)]),
        0x1FA: struct.pack("<H", 0xFFFF),  # vid_mode: normal
        0x210: b"\xff",  # type_of_loader: not registered
        0x211: bytes([page[0x211] | 1]),  # loadflags: LOADED_HIGH
        0x214: struct.pack("<I", image.preferred),
        0x218: struct.pack("<II", *initramfs),
        0x228: struct.pack("<I", _COMMAND_LINE),
        0x250: struct.pack("<Q", setup_data),
        _E820_AT: b"".join(struct.pack("<QQI", start, end - start, kind) for start, end, kind in ranges),
    }
    for offset, value in fields.items():
        page[offset : offset + len(value)] = value
    return bytes(page)
