"""A bzImage that is unpacked already: on a KVM that is a software emulation unpacking takes minutes."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

from mpwake.targets.kernel.bzimage import decode

PAGE = 0x1000
XZ = b"\xfd7zXZ\0"
LOAD = 1


def unpacked(path: Path, folder: Path) -> Path:
    """Return the same kernel in a bzImage whose code only jumps to where the kernel proper lies."""
    data = path.read_bytes()
    image = decode(data, str(path))
    offset, length = struct.unpack_from("<II", data, 0x248)
    packed = image.kernel[offset : offset + length]
    assert packed.startswith(XZ)
    elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed)
    entry, at = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    pieces = [struct.unpack_from("<IIQQQQQ", elf, at + size * number) for number in range(count)]
    loaded = [(one[4], elf[one[2] : one[2] + one[5]], one[6]) for one in pieces if one[0] == LOAD]
    start, end = min(one[0] for one in loaded), max(one[0] + one[2] for one in loaded)
    flat = bytearray(PAGE + max(address + len(code) for address, code, _ in loaded) - start)
    # At the 64-bit entry, 0x200: mov rax, entry; jmp rax.
    flat[0x200:0x20C] = b"\x48\xb8" + struct.pack("<Q", entry) + b"\xff\xe0"
    for address, code, _ in loaded:
        flat[PAGE + address - start : PAGE + address - start + len(code)] = code
    flat += bytes(-len(flat) % 16)
    head = bytearray(data[: (1 + (data[0x1F1] or 4)) * 512])
    struct.pack_into("<I", head, 0x1F4, len(flat) // 16)
    struct.pack_into("<Q", head, 0x258, start - PAGE)
    struct.pack_into("<I", head, 0x260, end - start + PAGE)
    found = folder / "unpacked.bzImage"
    found.write_bytes(bytes(head) + bytes(flat))
    return found
