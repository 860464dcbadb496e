"""Firmware images, as the PI specification has them, made for tests."""

from __future__ import annotations

import struct
import uuid

FFS = uuid.UUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3").bytes_le
PE32 = 0x10


def section(kind: int, data: bytes) -> bytes:
    body = (4 + len(data)).to_bytes(3, "little") + bytes([kind]) + data
    return body + bytes(-len(body) % 4)


def file(name: str, *sections: bytes) -> bytes:
    data = b"".join(sections)
    size = (24 + len(data)).to_bytes(3, "little")
    head = bytearray(uuid.UUID(name).bytes_le + b"\0\0" + b"\x07\0" + size + b"\0")
    head[16] = -sum(head) % 256
    head[17] = 0xAA
    head[23] = 0xF8
    whole = bytes(head) + data
    return whole + b"\xff" * (-len(whole) % 8)


def volume(*files: bytes, size: int = 0x10000) -> bytes:
    blocks = struct.pack("<IIII", size // 0x1000, 0x1000, 0, 0)
    head = bytearray(bytes(16) + FFS + struct.pack("<Q4sIHHHBB", size, b"_FVH", 0x4FEFF, 72, 0, 0, 0, 2) + blocks)
    struct.pack_into("<H", head, 50, -sum(struct.unpack("<36H", head)) % 0x10000)
    return (bytes(head) + b"".join(files)).ljust(size, b"\xff")
