"""Machine code, cut out of the file that it comes in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from mpwake.targets.firmware import elf, pe

Cut = Callable[[bytes, str | int, str | int], bytes]


def slice_of(data: bytes, start: str | int, end: str | int) -> bytes:
    """Return the bytes from one offset up to another."""
    assert isinstance(start, int)
    assert isinstance(end, int)
    if not 0 <= start < end <= len(data):
        raise ValueError(f"no bytes lie from {start:#x} up to {end:#x}, in {len(data)} bytes")
    return data[start:end]


CUTS: Mapping[str, Cut] = {"raw": slice_of, "elf": elf.between, "pe": pe.between}


def check_digest(data: bytes, expected: str) -> None:
    """Raise ``ValueError`` where the SHA-256 of data is another one."""
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise ValueError(f"{expected!r} is not a SHA-256: 64 digits of 0 to 9 and a to f")
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ValueError(f"its SHA-256 is {found}, and {expected} is declared")
