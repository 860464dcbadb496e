"""The AP loop as text: addresses, bytes and instructions."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from capstone import CS_ARCH_X86, CS_MODE_64, Cs

from mpwake.targets.firmware.tdx import TDCALL

_ACROSS = 12


def listing(code: bytes, address: int) -> dict[int, str]:
    """Return the instructions of 64-bit code by address. What is none is a byte of data."""
    return dict(_lines(code, address))


def instruction(code: bytes, address: int) -> tuple[str, str]:
    """Return the bytes and the text of the instruction that code begins with."""
    size, text = _one(_engine(), code, address)
    return code[:size].hex(" "), text


@functools.cache
def _engine() -> Cs:
    return Cs(CS_ARCH_X86, CS_MODE_64)


def _lines(code: bytes, address: int) -> Iterator[tuple[int, str]]:
    engine = _engine()
    at = 0
    while at < len(code):
        size, text = _one(engine, code[at:], address + at)
        yield address + at, f"{code[at : at + size].hex(' '):<{3 * _ACROSS - 1}}  {text}"
        at += size


def _one(engine: Cs, code: bytes, address: int) -> tuple[int, str]:
    # capstone 5 takes TDCALL for something else.
    if code.startswith(TDCALL):
        return len(TDCALL), "tdcall"
    found = next(engine.disasm(code[:15], address, 1), None)
    return (1, f"db {code[0]:#04x}") if found is None else (found.size, f"{found.mnemonic} {found.op_str}".rstrip())
