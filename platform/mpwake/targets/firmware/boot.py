"""From the reset of a TD to its processors in the AP loop, by the firmware's own instructions.

A TD's processors start in the image's last bytes. The firmware builds page tables, takes each processor into long mode
and parks it in a loop of its own (SEC). What the boot processor does after that, up to where its driver copies the AP
loop next to the mailbox and releases the others into it, is played here: four stores to the SEC mailbox.
"""

from __future__ import annotations

import re

import attrs

from mpwake.spec.errors import InputError
from mpwake.targets.firmware.image import SEC_ARRIVAL, Module
from mpwake.targets.firmware.machine import PAGE, Board, Done, Piece, Processor, reset

RAM = 32 << 20
TOP = 1 << 32
GDT_AT_RESET = 0x6000
# OVMF's SEC mailbox (OvmfPkg/Include/Library/TdxMailboxLib.h), at RSP of a processor that waits in SEC.
COMMAND, VECTOR, RELOCATED, ARRIVED = 0, 8, 0x800, 0x900
WAKEUP = 1
# What TdxDxe does so that ResetVector has a GDT: it copies one to the OVMF work area, and stores limit and base there.
# mov r8d, size; mov ecx, to; lea rdx, [rip + from]; call copy; ...; mov word [at], limit; ...; mov qword [at + 2], base
_GDT_FOR_RESET = re.compile(
    rb"\x41\xb8.{4}\xb9.{4}\x48\x8d\x15.{4}\xe8.{4}.{0,24}\x66\xc7\x04\x25.{6}.{0,16}\x48\xc7\x04\x25.{8}", re.DOTALL
)
_STACK = 0x5000
_SLICE = 4_000
_SLICES = 64
_RELEASE = 200


@attrs.frozen
class Placed:
    """Where the parts lie that the suite places, as the firmware's driver would."""

    mailbox: int
    loop: int


def rom(data: bytes) -> Piece:
    """Return the image as it is mapped: its last byte right below 4 GiB, read-only."""
    padding = -len(data) % PAGE
    return Piece(TOP - len(data) - padding, len(data) + padding, bytes(padding) + data, writable=False)


def arrival(data: bytes, path: str) -> int:
    """Return the address at which a processor arrives in the SEC phase's loop. Raises ``InputError`` without one."""
    at = data.find(SEC_ARRIVAL)
    if at < 0 or data.find(SEC_ARRIVAL, at + 1) >= 0:
        how = "none" if at < 0 else "more than one"
        raise InputError(f"the SEC phase has {how} of the loops that processors wait in until TdxDxe takes them", path)
    return TOP - len(data) + at


def build_tables(boot: Processor, ready: Processor, arrives: int) -> None:
    """Run the boot processor until another one gets to where it waits. Raises ``InputError`` when it never does."""
    reset(boot, GDT_AT_RESET)
    done = Done(0)
    for _ in range(_SLICES):
        done = boot.run(0, _SLICE)
        reset(ready, GDT_AT_RESET)
        waits = ready.run(arrives, _SLICE)
        if ready.rip == arrives:
            return
        if done.fault:
            break
    why = waits.fault or done.fault or "it does not get there"
    raise InputError(f"no processor reaches the SEC phase's loop at {arrives:#x}: {why}, at {ready.rip:#x}")


def park(one: Processor, board: Board, arrives: int, placed: Placed) -> None:
    """Bring a processor from reset to the first instruction of the AP loop. Raises ``InputError`` when it gets lost."""
    if one.rip != arrives:
        reset(one, GDT_AT_RESET)
        one.run(arrives, _SLICES * _SLICE)
    mailbox = one.registers()["rsp"]
    if one.rip == arrives and board.read(mailbox, ARRIVED + 4) is not None:
        board.write(mailbox + VECTOR, placed.loop.to_bytes(8, "little"))
        board.write(mailbox + RELOCATED, placed.mailbox.to_bytes(8, "little"))
        board.write(mailbox + ARRIVED, (one.who.processors - 1).to_bytes(4, "little"))
        board.write(mailbox + COMMAND, WAKEUP.to_bytes(4, "little"))
        one.run(placed.loop, _RELEASE)
    if one.rip != placed.loop:
        why = one.done.fault or "it goes on without end"
        raise InputError(f"processor {one.who.index} never reaches the AP loop: {why}, at {one.rip:#x}")


def prepare_reset(boot: Processor, module: Module) -> bool:
    """Have the boot processor carry out what the driver does for ResetVector; False when that is not found in it."""
    found = _GDT_FOR_RESET.findall(module.data)
    if len(found) != 1:
        return False
    start = module.base + module.data.index(found[0])
    boot.write(rsp=_STACK, rip=start)
    done = boot.run(start + len(found[0]), _SLICE)
    return boot.rip == start + len(found[0]) and not done.fault
