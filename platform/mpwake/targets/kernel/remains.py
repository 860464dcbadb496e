"""What is found in a machine's memory when it has ended, whatever ran it."""

from __future__ import annotations

import attrs

from mpwake.targets.kernel.layout import Layout
from mpwake.targets.kernel.qemu import Files
from mpwake.targets.kernel.recording import AT_0, HEAD, Machine


@attrs.frozen
class Remains:
    """The polled page before and after, the MADT afterwards, and what of the rest is a fact."""

    before: bytes
    page: bytes
    madt: bytes
    facts: dict[str, str | int | bool]


def remains(files: Files, layout: Layout, machine: Machine) -> Remains:
    """Return what is left in memory."""
    polled = layout.polled
    size = len(machine.tables.madt.data) if layout.madt and machine.tables.madt else 0
    return Remains(
        before=b"" if polled is None else layout.pages[polled].data,
        page=b"" if polled is None else bytes(files.pages[polled].map),
        madt=bytes(files.ram.map[layout.madt : layout.madt + size]),
        facts={**layout.facts, **_written_at_0(files, layout)},
    )


def _written_at_0(files: Files, layout: Layout) -> dict[str, str]:
    """Return what was stored at address 0 of memory, where no access is seen and a mailbox would have its fields."""
    found = bytes(files.ram.map[:HEAD])
    before = next((data for at, data in layout.memory if at == 0), b"")[:HEAD]
    return {AT_0: found.hex()} if found != before.ljust(HEAD, b"\0") else {}
