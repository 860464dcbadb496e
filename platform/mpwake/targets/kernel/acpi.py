"""The ACPI tables around those of a situation: RSDP, XSDT, FADT, FACS and a DSDT, for QEMU's ``pc`` machine."""

from __future__ import annotations

import struct

import attrs

from mpwake.evidence.acpi import checksummed

# PIIX4's power management block, which layout.py has the ROM switch on at this port.
PM_BASE = 0x600
_RESET_PORT, _RESET_VALUE = 0xCF9, 0x06
_SCI = 9
_ALIGN = 64
_RSDP_SIZE, _FADT_SIZE, _FACS_SIZE = 36, 276, 64
# ACPI 6.6 Table 5.9: the flags WBINVD, PROC_C1, SLP_BUTTON (there is none), RESET_REG_SUP.
_FADT_FLAGS = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 10
# Name (_S5, Package (4) {0, 0, 0, 0}): PIIX4 is off at sleep type 0.
_DSDT_BODY = b"\x08_S5_\x12\x06\x04\0\0\0\0"


@attrs.frozen
class Published:
    """Where the tables lie: the RSDP, the MADT (0 where there is none), and all bytes from ``start`` on."""

    start: int
    rsdp: int
    madt: int
    data: bytes


def publish(start: int, madt: bytes | None, others: tuple[bytes, ...]) -> Published:
    """Lay out the tables from ``start``: the MADT and the others byte for byte, and what an XSDT needs around them."""
    room = _Room(start)
    rsdp = room.add(bytes(_RSDP_SIZE))
    facs = room.add(_facs())
    dsdt = room.add(_table(b"DSDT", 2, _DSDT_BODY))
    fadt = room.add(_fadt(facs, dsdt))
    at = room.add(madt) if madt is not None else 0
    rest = tuple(room.add(one) for one in others)
    listed = (fadt, *((at,) if at else ()), *rest)
    xsdt = room.add(_table(b"XSDT", 1, struct.pack(f"<{len(listed)}Q", *listed)))
    head = _rsdp(xsdt)
    return Published(start, rsdp, at, head + bytes(room.data[len(head) :]))


class _Room:
    def __init__(self, start: int) -> None:
        self.start = start
        self.data = bytearray()

    def add(self, data: bytes) -> int:
        self.data += bytes(-len(self.data) % _ALIGN)
        at = self.start + len(self.data)
        self.data += data
        return at


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    head = signature + struct.pack("<IBB6s8sI4sI", 36 + len(body), revision, 0, b"MPWAKE", b"MPWAKE  ", 1, b"MPWK", 1)
    return checksummed(head + body)


def _rsdp(xsdt: int) -> bytes:
    # ACPI 6.6 Table 5.3: the first checksum covers 20 bytes, the extended one all 36.
    first = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"MPWAKE", 2, 0))
    first[8] = -sum(first) & 0xFF
    whole = bytearray(bytes(first) + struct.pack("<IQB3x", _RSDP_SIZE, xsdt, 0))
    whole[32] = -sum(whole) & 0xFF
    return bytes(whole)


def _facs() -> bytes:
    return struct.pack("<4sI", b"FACS", _FACS_SIZE).ljust(32, b"\0") + b"\x02".ljust(_FACS_SIZE - 32, b"\0")


def _port(address: int, bits: int) -> bytes:
    # ACPI 6.6 Table 5.1: a register in I/O space.
    return struct.pack("<BBBBQ", 1, bits, 0, bits // 16 + 1, address) if address else bytes(12)


def _fadt(facs: int, dsdt: int) -> bytes:
    # ACPI 6.6 Table 5.9, by offset.
    fields: dict[int, bytes] = {
        36: struct.pack("<II", facs, dsdt),
        46: struct.pack("<H", _SCI),
        56: struct.pack("<I", PM_BASE),
        64: struct.pack("<I", PM_BASE + 4),
        76: struct.pack("<I", PM_BASE + 8),
        88: bytes([4, 2, 0, 4]),
        96: struct.pack("<HH", 0xFFFF, 0xFFFF),
        109: struct.pack("<H", 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4),
        112: struct.pack("<I", _FADT_FLAGS),
        116: _port(_RESET_PORT, 8) + bytes([_RESET_VALUE]),
        131: bytes([4]),
        132: struct.pack("<QQ", facs, dsdt),
        148: _port(PM_BASE, 32),
        172: _port(PM_BASE + 4, 16),
        208: _port(PM_BASE + 8, 32),
    }
    data = bytearray(_FADT_SIZE)
    for offset, value in fields.items():
        data[offset : offset + len(value)] = value
    return _table(b"FACP", 6, bytes(data[36:]))
