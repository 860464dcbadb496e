"""The header that every ACPI system description table begins with (ACPI 6.6 section 5.2.6, Table 5.4)."""

from __future__ import annotations

import struct

import attrs

from mpwake.evidence.exhibit import CodecError

HEADER = struct.Struct("<4sIBB6s8sI4sI")
MAX_TABLE = 16 << 20


@attrs.frozen
class AcpiTable:
    """A table as given: its header's fields and all bytes of the input, which may be more or fewer than Length."""

    data: bytes
    signature: str
    length: int
    revision: int
    checksum: int
    oem_id: bytes
    oem_table_id: bytes
    oem_revision: int
    creator_id: bytes
    creator_revision: int

    @property
    def body(self) -> bytes:
        """The bytes that the header's Length covers, as far as the input has them."""
        return self.data[: self.length]

    @property
    def sum(self) -> int:
        """The sum of those bytes modulo 256, which must be 0."""
        return sum(self.body) & 0xFF


def decode_header(data: bytes) -> AcpiTable:
    """Decode the 36-byte header.

    Raises ``CodecError`` when the input is shorter, longer than 16 MiB, or its first four bytes are no signature.
    """
    if len(data) < HEADER.size:
        raise CodecError("an ACPI table", len(data), f"a header of {HEADER.size} bytes", f"{len(data)} bytes")
    if len(data) > MAX_TABLE:
        raise CodecError("an ACPI table", 0, f"at most {MAX_TABLE} bytes", f"{len(data)} bytes")
    signature = data[:4]
    if not all(0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or byte in b"_!" for byte in signature):
        raise CodecError("an ACPI table", 0, "a signature of four capital letters or digits", repr(signature))
    fields = HEADER.unpack_from(data)
    return AcpiTable(data, signature.decode("ascii"), *fields[1:])


def checksummed(data: bytes) -> bytes:
    """Return a table with its checksum byte (offset 9) set so that all bytes sum to 0 modulo 256."""
    cleared = data[:9] + b"\0" + data[10:]
    return data[:9] + bytes([-sum(cleared) & 0xFF]) + data[10:]
