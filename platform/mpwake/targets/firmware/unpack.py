"""Takes a firmware image apart, in a process of its own: what others' decompressors do with hostile bytes stays here.

The question is the GUID of a module. The answer tells what was found, or an ``error`` with its ``offset``, and has the
PE image of that module, if it is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from mpwake.targets.firmware.child import answer

DEPTH = 64
OBJECTS = 100_000
_PE32 = 0x10
_COMPRESSED, _GUIDED = 0x01, 0x02
_PROCESSING_REQUIRED = 0x01  # in the attributes of a GUID-defined section


def _objects(root: Any) -> Iterator[Any]:
    pending = [(root, 0)]
    seen = 0
    while pending:
        one, depth = pending.pop()
        seen += 1
        if depth > DEPTH or seen > OBJECTS:
            raise RecursionError
        yield one
        pending += [(below, depth + 1) for below in getattr(one, "objects", None) or () if below is not None]


def _is_packed(one: Any) -> bool:
    """Say whether this is a section that holds others in a form that had to be unpacked, and was not."""
    if type(one).__name__ != "FirmwareFileSystemSection" or one.type not in (_COMPRESSED, _GUIDED):
        return False
    required = one.type == _COMPRESSED or any(byte & _PROCESSING_REQUIRED for byte in one.data[18:19])
    return bool(required) and not getattr(one.parsed_object, "subsections", None)


def _module(one: Any) -> bytes | None:
    return next((bytes(part.data) for part in one.objects if getattr(part, "type", None) == _PE32), None)


def unpack(image: bytes, guid: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what is in an image, and the PE image of the module with a GUID: empty when it is not there."""
    from uefi_firmware import AutoParser

    parser = AutoParser(image)
    root = parser.parse()
    if root is None:
        return {"error": "no firmware volume, capsule or flash image begins here", "offset": parser.offset}, b""
    modules: dict[bytes, Any] = {}
    volumes = 0
    packed: list[int] = []
    for one in _objects(root):
        volumes += type(one).__name__ == "FirmwareVolume"
        if type(one).__name__ == "FirmwareFile":
            modules.setdefault(bytes(one.guid), one)
        elif _is_packed(one):
            packed.append(image.find(bytes(one.data[:32])))
    found = _module(modules[guid]) if guid in modules else None
    if not found and packed:
        return {"error": "a compressed section could not be unpacked", "offset": max(0, packed[0])}, b""
    if not volumes:
        return {"error": "no firmware volume in this image", "offset": parser.offset}, b""
    return {"type": parser.type(), "volumes": volumes, "modules": len(modules)}, found or b""


if __name__ == "__main__":
    answer(lambda guid, image: unpack(image, uuid.UUID(guid).bytes_le))
