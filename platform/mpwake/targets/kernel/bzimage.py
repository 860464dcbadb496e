"""The header of a bzImage, as far as it takes to enter it (Linux Documentation/arch/x86/boot.rst)."""

from __future__ import annotations

import struct
from pathlib import Path

import attrs

from mpwake.spec.errors import InputError
from mpwake.spec.files import read_bounded

SECTOR = 512
MAX_IMAGE = 256 << 20
_OLDEST = 0x020C
_HAS_64_BIT_ENTRY = 1 << 0
_HEADER_START = 0x1F1


@attrs.frozen
class BzImage:
    """An image: its setup header, the protected-mode kernel, and where that wants to be."""

    header: bytes
    kernel: bytes
    version: str
    protocol: int
    preferred: int
    init_size: int
    max_command_line: int


def read_image(path: Path) -> BzImage:
    """Read an image. Raises ``InputError`` with the offset where it is none that has a 64-bit entry."""
    return decode(read_bounded(path, MAX_IMAGE), str(path))


def decode(data: bytes, name: str) -> BzImage:
    """Decode an image's bytes; ``name`` is for errors."""

    def refuse(offset: int, message: str) -> InputError:
        return InputError(message, f"{name}: byte {offset:#x}", "a Linux bzImage for x86-64, 3.8 or later")

    if len(data) < 2 * SECTOR or data[0x202:0x206] != b"HdrS":
        raise refuse(0x202, "not a bzImage: there is no HdrS")
    protocol, xloadflags = struct.unpack_from("<H", data, 0x206)[0], struct.unpack_from("<H", data, 0x236)[0]
    if protocol < _OLDEST or not xloadflags & _HAS_64_BIT_ENTRY:
        raise refuse(0x236, f"boot protocol {protocol >> 8}.{protocol & 0xFF:02}, without a 64-bit entry")
    start = (1 + (data[_HEADER_START] or 4)) * SECTOR
    size = struct.unpack_from("<I", data, 0x1F4)[0] * 16
    if len(data) < start + size:
        raise refuse(len(data), f"the image ends here; its header says {start + size:#x} bytes")
    if size <= SECTOR:
        raise refuse(0x1F4, f"a protected-mode kernel of {size} bytes")
    version_at = struct.unpack_from("<H", data, 0x20E)[0] + SECTOR
    version = data[version_at : version_at + SECTOR].split(b"\0")[0].decode("ascii", "replace")
    return BzImage(
        header=data[_HEADER_START : 0x202 + data[0x201]],
        kernel=data[start:],
        version=version,
        protocol=protocol,
        preferred=struct.unpack_from("<Q", data, 0x258)[0],
        init_size=struct.unpack_from("<I", data, 0x260)[0],
        max_command_line=struct.unpack_from("<I", data, 0x238)[0],
    )
