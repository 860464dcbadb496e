"""What is run before any verdict: a payload whose trace is known, on the machine that kernels are run on.

A QEMU that reports nothing, or reports something else than was done, must never let a kernel pass.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from mpwake.evidence.tables import Tables
from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import layout, qemu
from mpwake.targets.kernel.observe import Observer
from mpwake.targets.kernel.recording import Machine, Parking, Seen

_MAILBOX = 0x7F5E5000
ENTRY = 0x100000
_SECONDS, _LIMIT = 10.0, 30.0
_FOUR_FIVES = 0x4444444455555555
_VECTOR = -1
_MISALIGNED = range(0x31, 0x35)

Access = tuple[str, int, int, int, int]


def _each(what: str, offset: int, *values: int) -> list[Access]:
    return [(what, 0, offset + number, 1, value) for number, value in enumerate(values)]


# What rom/probe.s does, access by access: what, which processor, offset, width and value.
EXPECTED: tuple[Access, ...] = (
    ("store", 0, 0x10, 1, 0x11),
    ("store", 0, 0x12, 2, 0x2222),
    ("store", 0, 0x14, 4, 0x33333333),
    ("store", 0, 0x18, 8, _FOUR_FIVES),
    ("load", 0, 0x10, 1, 0x11),
    ("load", 0, 0x12, 2, 0x2222),
    ("load", 0, 0x14, 4, 0x33333333),
    ("load", 0, 0x18, 8, _FOUR_FIVES),
    ("load", 0, 0x20, 4, 0),
    ("store", 0, 0x20, 4, 0x66),
    ("load", 0, 0x20, 2, 0x66),
    ("store", 0, 0x20, 2, 0x77),
    ("load", 0, 0x20, 4, 0x77),
    ("store", 0, 0x20, 4, 0x88),
    ("load", 0, 0x20, 4, 0x88),
    ("store", 0, 0x20, 4, 0x88),
    *_each("store", 0x31, 1, 2, 3, 4),
    *_each("load", 0x31, 1, 2, 3, 4),
    ("load", 0, 0x10, 8, 0x3333333322220011),
    ("load", 0, 0x18, 8, _FOUR_FIVES),
    ("store", 0, 0x40, 8, 0x3333333322220011),
    ("store", 0, 0x48, 8, _FOUR_FIVES),
    *_each("store", 0x50, 0x99, 0x99, 0x99),
    ("store", 0, 0x7FC, 4, 0x7FC),
    ("store", 0, 0x800, 4, 0x800),
    ("store", 0, 0xFFF, 1, 0xFF),
    ("store", 0, 4, 4, 1),
    ("store", 0, 8, 8, _VECTOR),
    ("store", 0, 0, 2, 1),
    ("store", 1, 0, 2, 0),
    ("jump", 1, 0, 0, _VECTOR),
    ("store", 1, 0x100, 4, 0xAA),
)


@functools.cache
def proved(program: str) -> None:
    """Return where QEMU tells what is done. Raises ``ToolError`` with the first difference where it does not."""
    version = qemu.version(program)
    compare(_run(program), f"QEMU {version}", program, qemu.INSTALL)


def compare(found: Sequence[Access], who: str, program: str, hint: str) -> None:
    """Return where what was told is what the probe does. Raises ``ToolError`` with the first difference."""
    for number, (got, expected) in enumerate(itertools.zip_longest(found, EXPECTED)):
        if got is None or expected is None or not _equal(got, expected):
            raise ToolError(_differs(who, number, expected, got), program, hint)


def _equal(got: Access, expected: Access) -> bool:
    if expected[4] == _VECTOR:
        return got[:4] == expected[:4] and ENTRY <= got[4] < ENTRY + layout.PAGE
    return got == expected


def _text(one: Access | None) -> str:
    if one is None:
        return "nothing"
    what, apic_id, offset, width, value = one
    shown = "the vector" if value == _VECTOR else f"{value:#x}"
    return f"{what} of {shown} by processor {apic_id}" + (f" at {offset:#x}, {width} bytes" if width else "")


def _differs(who: str, number: int, expected: Access | None, got: Access | None) -> str:
    return (
        f"{who} does not tell what the probe did: access {number + 1} was {_text(expected)}, and it told {_text(got)}"
    )


def machine() -> Machine:
    """Return the machine on which the probe is run: two processors, and a mailbox."""
    return Machine(
        kernel=Path(),
        initramfs=b"",
        tables=Tables(),
        mailbox=_MAILBOX,
        boot_id=0,
        processors={1: Parking()},
        command_line="",
        marks=(),
        seconds=_SECONDS,
    )


def laid_out() -> layout.Layout:
    """Return the probe in the memory of its machine."""
    return layout.bare(machine(), ENTRY, (Path(__file__).parent / "rom" / "probe.bin").read_bytes())


def _run(program: str) -> list[Access]:
    bare = laid_out()
    observer = Observer(bare.apic_ids, tuple(one.address for one in bare.pages if one.traced), (), _SECONDS)
    with qemu.Files(bare) as files, qemu.Process(qemu.command(program, bare, files, False, False), files) as process:
        until = time.monotonic() + _LIMIT
        for data in process.output(until):
            observer.feed(data)
            if observer.end:
                break
        else:
            if time.monotonic() < until:
                process.ended()
    return told(observer.seen())


def told(seen: Iterable[Seen]) -> list[Access]:
    """Return what was seen as it is compared."""
    return [part for one in seen for _ in range(one.times) for part in _parts(one)]


def _parts(one: Seen) -> list[Access]:
    """An access as it is compared: a misaligned one in bytes, because in which parts QEMU tells it is no matter."""
    if one.what not in ("load", "store") or not 0x30 <= one.offset < 0x38:
        return [(one.what, one.apic_id, one.offset, one.width, one.value)]
    data = one.value.to_bytes(one.width, "little")
    parts = [(one.what, one.apic_id, one.offset + number, 1, byte) for number, byte in enumerate(data)]
    return [part for part in parts if part[2] in _MISALIGNED]
