"""Finds the AP loop in its driver: the function that tells where it begins and how long it is, which is then executed.

EDK2's AsmGetRelocationMap stores the loop's address, its size and, in newer versions, the address of ResetVector into a
structure that RCX points to. Its first instructions are the same in all builds seen.
"""

from __future__ import annotations

import re

import attrs

from mpwake.spec.errors import InputError
from mpwake.targets.firmware.image import Module
from mpwake.targets.firmware.machine import Board, Piece, Processor, enter_long_mode
from mpwake.targets.firmware.paging import identity_map
from mpwake.targets.firmware.tdx import Identity, Tdx

# lea rax, [rip + rel32]; mov [rcx], rax; mov qword ptr [rcx + 8], imm32
_IDIOM = re.compile(rb"\x48\x8d\x05.{4}\x48\x89\x01\x48\xc7\x41\x08", re.DOTALL)
_JUNK = b"\x5e\xed\x0f\xf5\x5e\xed\x0f\xf5"
_RAM, _TABLES, _SCRATCH, _STACK, _HOME = 0x100000, 0x10000, 0x20000, 0x30000, 0x40000
_STEPS = 64
MAX_LOOP = 0x1000


@attrs.frozen
class Loop:
    """The AP loop: its place in the driver, its bytes after loading, and the offset of ResetVector or None."""

    start: int
    code: bytes
    reset: int | None


def locate(module: Module, path: str) -> Loop:
    """Return what the driver says of its AP loop. Raises ``InputError`` when that cannot be had."""
    hits = [found.start() for found in _IDIOM.finditer(module.data)]
    if len(hits) != 1:
        raise InputError(f"TdxDxe has {len(hits)} functions that could be AsmGetRelocationMap, not one", path)
    start, size, vector = _executed(module, module.base + hits[0], path)
    inside = module.has(start) and 0 < size <= MAX_LOOP and module.has(start + size - 1)
    if not inside:
        raise InputError(f"the relocation map says {size:#x} bytes at {start:#x}: not in the driver", path)
    if vector is not None and not start <= vector < start + size:
        raise InputError(f"the relocation map says a reset vector at {vector:#x}, outside the loop", path)
    at = start - module.base
    return Loop(at, module.data[at : at + size], None if vector is None else vector - start)


def _executed(module: Module, address: int, path: str) -> tuple[int, int, int | None]:
    board = Board(Piece(0, _RAM), Piece(module.base, len(module.data), module.data))
    one = Processor(board, Identity(0, 1, 0, 0), Tdx())
    for at, data in identity_map(_TABLES):
        board.write(at, data)
    enter_long_mode(one, _TABLES, 0x1000)
    board.write(_SCRATCH, _JUNK * 16)
    board.write(_STACK, _HOME.to_bytes(8, "little"))
    one.write(rcx=_SCRATCH, rsp=_STACK, rip=address)
    done = one.run(_HOME, _STEPS)
    if done.fault or one.rip != _HOME:
        raise InputError(f"the function at {address:#x} that tells of the AP loop does not return: {done.fault}", path)
    words = [board.read(_SCRATCH + 8 * number, 8) or b"" for number in range(3)]
    start, size, vector = (int.from_bytes(word, "little") for word in words)
    return start, size, None if words[2] == _JUNK else vector
