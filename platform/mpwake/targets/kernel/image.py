"""A kernel image: the header of a bzImage, what it calls itself, and what its configuration says."""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from pathlib import Path

import attrs

from mpwake.spec.errors import InputError
from mpwake.spec.files import read_bounded
from mpwake.targets.kernel.bzimage import MAX_IMAGE, BzImage, decode

MAX_UNPACKED = 256 << 20
MAX_CONFIG = 1 << 20
# Documentation/arch/x86/boot.rst: the offset and length of what is packed, in the protected-mode kernel.
PAYLOAD, VERSION = 0x248, 0x20E
_BINDING = b"intel,wakeup-mailbox"


@attrs.frozen
class Image:
    """A bzImage that has a 64-bit entry.

    ``version`` is the whole text that it calls itself by. ``takes_tree`` tells whether it takes a mailbox from a
    DeviceTree, and None is what could not be found out; ``source`` is where that is known from.
    """

    path: Path
    data: bytes
    protocol: int
    version: str
    takes_tree: bool | None = None
    source: str = ""

    @property
    def release(self) -> str:
        """The first word of the version: what ``uname -r`` prints."""
        return self.version.split(" ", 1)[0]


def _payload(data: bytes, image: BzImage) -> bytes:
    """Return the kernel proper, where Python can unpack it; else nothing."""
    offset, length = struct.unpack_from("<II", data, PAYLOAD)
    packed = image.kernel[offset : offset + length]
    try:
        if packed[:6] == b"\xfd7zXZ\0":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_UNPACKED).decompress(packed, MAX_UNPACKED)
        if packed[:2] == b"\x1f\x8b":
            return zlib.decompressobj(31).decompress(packed, MAX_UNPACKED)
    except (lzma.LZMAError, zlib.error):
        pass
    return b""


def _has_of(configuration: bytes) -> bool:
    return re.search(rb"(?m)^CONFIG_OF=y$", configuration) is not None


def _tree(path: Path, kernel: bytes, release: str) -> tuple[bool | None, str]:
    """Return whether the kernel takes a mailbox from a DeviceTree, and where that is known from."""
    if kernel:
        return _BINDING in kernel, f"the image {'names' if _BINDING in kernel else 'does not name'} {_BINDING.decode()}"
    beside = path.parent / f"config-{release}"
    if "/" not in release and beside.is_file() and not _has_of(read_bounded(beside, MAX_CONFIG)):
        return False, f"{beside.name} has no CONFIG_OF"
    return None, ""


def read_image(path: Path) -> Image:
    """Open a bzImage. A ``config-RELEASE`` beside it, as distributions have it, is taken for its configuration.

    Raises ``InputError`` for what is none, is cut off, or has no 64-bit entry; it names the offset.
    """
    data = read_bounded(path, MAX_IMAGE)
    image = decode(data, str(path))
    if not re.fullmatch(r"[!-~][ -~]*", image.version):
        raise InputError("its version is no printable text", f"{path}: byte {VERSION:#x}")
    release = image.version.split(" ", 1)[0]
    takes_tree, source = _tree(path, _payload(data, image), release)
    return Image(path, data, image.protocol, image.version, takes_tree, source)
