"""The MADT: header, entry chain, and in full the entries of types 0, 9 and 0x10.

Written from ACPI 6.6 section 5.2.12: Table 5.19 (header), Table 5.21 (types), 5.2.12.2 (type 0), 5.2.12.12
(type 9) and Table 5.45 (type 0x10; version 0 of it is Table 5.43 of ACPI 6.4 and 6.5). All values are little-endian.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator

import attrs

from mpwake.evidence.acpi import AcpiTable, checksummed, decode_header
from mpwake.evidence.exhibit import CodecError, Damage, Exhibit, bytes_exhibit

FIRST_ENTRY = 44
LOCAL_APIC, LOCAL_X2APIC, WAKEUP = 0x00, 0x09, 0x10
ENABLED, ONLINE_CAPABLE = 1, 2
MAX_ENTRIES = 65536
MINIMUM = "a Length of at least 2"

_FIXED = struct.Struct("<II")
_LAPIC = struct.Struct("<BBBBI")
_X2APIC = struct.Struct("<BBHIII")
_WAKEUP = struct.Struct("<BBHIQ")


@attrs.frozen
class Entry:
    """Any entry: where it stands in the table, its type, its own Length byte, and its bytes as given."""

    offset: int
    type: int
    length: int
    data: bytes


@attrs.frozen
class Processor:
    """A processor entry, of type 0 (Local APIC) or type 9 (Local x2APIC)."""

    entry: Entry
    apic_id: int
    uid: int
    flags: int

    @property
    def enabled(self) -> bool:
        """Flags bit 0."""
        return bool(self.flags & ENABLED)

    @property
    def online_capable(self) -> bool:
        """Flags bit 1: may be enabled later."""
        return bool(self.flags & ONLINE_CAPABLE)

    @property
    def usable(self) -> bool:
        """Enabled now, or may be later; an entry that is neither is to be ignored."""
        return self.enabled or self.online_capable


@attrs.frozen
class WakeupStructure:
    """A Multiprocessor Wakeup Structure (type 0x10). A field that the entry's Length does not cover is None."""

    entry: Entry
    version: int | None
    reserved: int | None
    address: int | None
    reset_vector: int | None


@attrs.frozen
class Madt:
    """A MADT as given.

    ``entries`` are those before the chain breaks, ``broken`` is where and how it does; ``end`` is where the walk
    had to end: at the header's Length, or at the end of the input where that comes first.
    """

    table: AcpiTable
    local_apic_address: int
    flags: int
    entries: tuple[Entry, ...]
    broken: Damage | None
    end: int

    @property
    def data(self) -> bytes:
        """All bytes of the input."""
        return self.table.data

    @property
    def cut(self) -> bool:
        """Whether the input ends before the header's Length does."""
        return len(self.data) < self.table.length

    @functools.cached_property
    def processors(self) -> tuple[Processor, ...]:
        """The processor entries that are long enough to be read, in table order."""
        return tuple(one for entry in self.entries if (one := _processor(entry)) is not None)

    @functools.cached_property
    def wakeups(self) -> tuple[WakeupStructure, ...]:
        """The type 0x10 entries, in table order."""
        return tuple(decode_wakeup(entry) for entry in self.entries if entry.type == WAKEUP)

    def exhibit(self, offset: int, length: int = 1) -> Exhibit:
        """Show bytes of this table."""
        return bytes_exhibit("MADT", self.data, offset, length)


def _processor(entry: Entry) -> Processor | None:
    if entry.type == LOCAL_APIC and len(entry.data) >= _LAPIC.size:
        _, _, uid, apic_id, flags = _LAPIC.unpack_from(entry.data)
        return Processor(entry, apic_id, uid, flags)
    if entry.type == LOCAL_X2APIC and len(entry.data) >= _X2APIC.size:
        _, _, _, apic_id, flags, uid = _X2APIC.unpack_from(entry.data)
        return Processor(entry, apic_id, uid, flags)
    return None


def decode_wakeup(entry: Entry) -> WakeupStructure:
    """Read an entry as a Multiprocessor Wakeup Structure, whatever its type and however short it is."""

    def field(offset: int, size: int) -> int | None:
        part = entry.data[offset : offset + size]
        return int.from_bytes(part, "little") if len(part) == size else None

    return WakeupStructure(entry, field(2, 2), field(4, 4), field(8, 8), field(16, 8))


def walk(data: bytes, start: int, end: int) -> Iterator[Entry | Damage]:
    """Walk a chain of entries by their own Length bytes, and stop at the first that cannot be followed."""
    offset = start
    for _ in range(MAX_ENTRIES):
        if offset >= end:
            return
        if end - offset < 2:
            yield Damage(offset, "an entry of at least 2 bytes", f"{end - offset} byte to the table's end")
            return
        kind, length = data[offset], data[offset + 1]
        if length < 2:
            yield Damage(offset + 1, MINIMUM, f"Length {length} in an entry of type {kind:#04x}")
            return
        if offset + length > end:
            yield Damage(
                offset + 1,
                f"an entry that ends at or before byte {end:#x}",
                f"type {kind:#04x} with Length {length}, which ends at byte {offset + length:#x}",
            )
            return
        yield Entry(offset, kind, length, data[offset : offset + length])
        offset += length
    if offset < end:
        yield Damage(offset, f"at most {MAX_ENTRIES} entries", "more")


def decode_madt(data: bytes) -> Madt:
    """Decode a MADT as far as its bytes allow.

    Raises ``CodecError`` when the input has no MADT header at all; any later damage is recorded in the result.
    """
    table = decode_header(data)
    if table.signature != "APIC":
        raise CodecError("a MADT", 0, "the signature 'APIC'", repr(table.signature))
    if len(data) < FIRST_ENTRY:
        raise CodecError("a MADT", len(data), f"{FIRST_ENTRY} bytes before the first entry", f"{len(data)} bytes")
    address, flags = _FIXED.unpack_from(data, 36)
    end = min(table.length, len(data))
    entries: list[Entry] = []
    broken: Damage | None = None
    if table.length < FIRST_ENTRY:
        broken = Damage(4, f"a Length of at least {FIRST_ENTRY}", f"Length {table.length}")
    for item in walk(data, FIRST_ENTRY, end):
        if isinstance(item, Damage):
            broken = broken or item
        else:
            entries.append(item)
    return Madt(table, address, flags, tuple(entries), broken, end)


def encode_lapic(uid: int, apic_id: int, flags: int, length: int | None = None) -> bytes:
    """Return a Processor Local APIC entry (type 0, 8 bytes)."""
    return _LAPIC.pack(LOCAL_APIC, _LAPIC.size if length is None else length, uid, apic_id, flags)


def encode_x2apic(uid: int, apic_id: int, flags: int, length: int | None = None) -> bytes:
    """Return a Processor Local x2APIC entry (type 9, 16 bytes)."""
    return _X2APIC.pack(LOCAL_X2APIC, _X2APIC.size if length is None else length, 0, apic_id, flags, uid)


def encode_wakeup(
    version: int,
    address: int,
    reset_vector: int | None = None,
    reserved: int = 0,
    length: int | None = None,
    kind: int = WAKEUP,
) -> bytes:
    """Return a Multiprocessor Wakeup Structure: 16 bytes, or 24 when a reset vector is given."""
    tail = b"" if reset_vector is None else reset_vector.to_bytes(8, "little")
    size = _WAKEUP.size + len(tail) if length is None else length
    return _WAKEUP.pack(kind, size, version, reserved, address) + tail


def encode_madt(
    entries: tuple[bytes, ...],
    revision: int,
    oem_id: bytes = b"MPWSPC",
    oem_table_id: bytes = b"MPWTESTS",
    local_apic_address: int = 0xFEE00000,
    flags: int = 1,
    oem_revision: int = 1,
    creator_id: bytes = b"MPWC",
    creator_revision: int = 1,
) -> bytes:
    """Return a whole MADT with its Length and checksum."""
    body = _FIXED.pack(local_apic_address, flags) + b"".join(entries)
    header = b"APIC" + (36 + len(body)).to_bytes(4, "little") + bytes([revision, 0])
    header += oem_id.ljust(6, b"\0")[:6] + oem_table_id.ljust(8, b"\0")[:8] + oem_revision.to_bytes(4, "little")
    header += creator_id.ljust(4, b"\0")[:4] + creator_revision.to_bytes(4, "little")
    return checksummed(header + body)
