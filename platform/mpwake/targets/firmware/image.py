"""A firmware image: its volumes, the module that holds the AP loop, and that module as a loader places it."""

from __future__ import annotations

import struct
from pathlib import Path

import attrs

from mpwake.spec.errors import InputError
from mpwake.spec.files import read_bounded
from mpwake.targets.firmware.child import ask

MAX_IMAGE = 64 << 20
MAX_MODULE = 4 << 20
SECONDS = 30
TDX_DXE = "e750224e-7bce-40af-b5bb-47e3611eb5c2"
BOOT_SERVICE_DRIVER = 11
_VOLUME = b"_FVH"
_PE32_PLUS = 0x20B
_DIR64, _ABSOLUTE = 10, 0
# Arrival of an AP in the loop that OVMF's SEC phase parks it in: lock xadd [rsp+0x900], eax.
SEC_ARRIVAL = bytes.fromhex("f00fc1842400090000")


@attrs.frozen
class Image:
    """A firmware image, and what was found in it; ``module`` is the PE image asked for, or empty."""

    path: str
    data: bytes
    kind: str
    volumes: int
    modules: int
    module: bytes

    @property
    def found_instead(self) -> str:
        """What there is in an image without a module that holds an AP loop."""
        sec = ", and the SEC phase's own AP loop, which ends before an operating system" * (SEC_ARRIVAL in self.data)
        return f"no module TdxDxe among {self.modules} in {self.volumes} volumes{sec}"


@attrs.frozen
class Module:
    """A PE image as a loader places it: its bytes at ``base``, relocated, and its kind."""

    base: int
    data: bytes
    subsystem: int

    def has(self, address: int) -> bool:
        """Say whether an address lies in it."""
        return self.base <= address < self.base + len(self.data)


def read_image(path: Path, guid: str = TDX_DXE) -> Image:
    """Open an image, with the module that has a GUID.

    Raises ``InputError`` for what is no firmware, is cut off, or cannot be unpacked.
    """
    data = read_bounded(path, MAX_IMAGE)
    _check_volumes(str(path), data)
    told, module = _unpacked(path, data, guid)
    if "error" in told:
        raise _wrong(path, int(str(told["offset"])), str(told["error"]))
    if len(module) > MAX_MODULE:
        raise InputError(f"a module of {len(module)} bytes, more than the {MAX_MODULE} that are read", str(path))
    return Image(str(path), data, str(told["type"]), int(str(told["volumes"])), int(str(told["modules"])), module)


def _wrong(path: Path | str, offset: int, message: str) -> InputError:
    hint = "firmware: takes a flash image (.fd, .rom) or a capsule"
    return InputError(message, f"{path}: byte {offset:#x}", hint)


def _check_volumes(path: str, data: bytes) -> None:
    """Raise where a volume whose header is sound (PI, EFI_FIRMWARE_VOLUME_HEADER) goes past the end of the file."""
    at = data.find(_VOLUME)
    while at >= 0:
        start = at - 40
        if start >= 0 and at + 12 <= len(data):
            length = int.from_bytes(data[start + 32 : start + 40], "little")
            size = int.from_bytes(data[at + 8 : at + 10], "little")
            header = data[start : start + size]
            sound = size >= 56 and size % 2 == 0 and len(header) == size
            if sound and sum(struct.unpack(f"<{size // 2}H", header)) % 0x10000 == 0 and start + length > len(data):
                here = len(data) - start
                raise _wrong(path, start, f"cut off: the volume here has {length} bytes, and {here} are there")
        at = data.find(_VOLUME, at + 1)


def _unpacked(path: Path, data: bytes, guid: str) -> tuple[dict[str, object], bytes]:
    try:
        return ask("mpwake.targets.firmware.unpack", guid, data, SECONDS)
    except ValueError as error:
        raise _wrong(path, 0, str(error)) from None


def load_module(path: str, pe: bytes, base: int) -> Module:
    """Place a PE32+ image at an address, as a UEFI loader does. Raises ``InputError`` for what is none."""
    try:
        return _loaded(pe, base)
    except (struct.error, IndexError, ValueError) as error:
        raise InputError(f"TdxDxe is no PE32+ image that can be loaded: {error}", path) from None


def _loaded(pe: bytes, base: int) -> Module:
    if pe[:2] != b"MZ":
        raise ValueError("byte 0x0: no MZ")
    start = struct.unpack_from("<I", pe, 0x3C)[0]
    if pe[start : start + 4] != b"PE\0\0":
        raise ValueError(f"byte {start:#x}: no PE signature")
    sections, optional = struct.unpack_from("<H", pe, start + 6)[0], struct.unpack_from("<H", pe, start + 20)[0]
    head = start + 24
    magic, size = struct.unpack_from("<H", pe, head)[0], struct.unpack_from("<I", pe, head + 56)[0]
    if magic != _PE32_PLUS or not 0 < size <= MAX_MODULE:
        raise ValueError(f"byte {head:#x}: magic {magic:#x}, {size} bytes in memory")
    memory = bytearray((size + 0xFFF) // 0x1000 * 0x1000)
    memory[: struct.unpack_from("<I", pe, head + 60)[0]] = pe[: struct.unpack_from("<I", pe, head + 60)[0]]
    for number in range(sections):
        length, rva, stored, at = struct.unpack_from("<IIII", pe, head + optional + 40 * number + 8)
        body = pe[at : at + min(stored, length or stored)]
        if rva + len(body) > len(memory):
            raise ValueError(f"section {number} ends at {rva + len(body):#x}, beyond the image")
        memory[rva : rva + len(body)] = body
    del memory[(size + 0xFFF) // 0x1000 * 0x1000 :]
    _relocate(memory, base - struct.unpack_from("<Q", pe, head + 24)[0], *struct.unpack_from("<II", pe, head + 152))
    return Module(base, bytes(memory), struct.unpack_from("<H", pe, head + 68)[0])


def _relocate(memory: bytearray, delta: int, start: int, size: int) -> None:
    """Apply the base relocations of a PE image (DIR64; nothing else is used in 64-bit images)."""
    at = start
    while at + 8 <= start + size:
        page, length = struct.unpack_from("<II", memory, at)
        if length < 8 or at + length > start + size:
            raise ValueError(f"relocation block at {at:#x} has {length} bytes")
        for (entry,) in struct.iter_unpack("<H", memory[at + 8 : at + length // 2 * 2]):
            if entry >> 12 == _DIR64:
                place = page + (entry & 0xFFF)
                value = struct.unpack_from("<Q", memory, place)[0]
                struct.pack_into("<Q", memory, place, (value + delta) % (1 << 64))
            elif entry >> 12 != _ABSOLUTE:
                raise ValueError(f"relocation of kind {entry >> 12} at {at:#x}")
        at += length
