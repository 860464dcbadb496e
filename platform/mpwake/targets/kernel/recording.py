"""What a machine is to boot, and what was seen of it: plain data between the machine and the evidence made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from mpwake.evidence.tables import Tables
from mpwake.spec.document import described


@attrs.frozen(auto_exc=True)
class NotRealisable(Exception):
    """What is to be booted takes a machine that the backend does not have: the reason, for a person."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@attrs.frozen
class Entry:
    """The state in which firmware hands a processor over at the vector."""

    nxe: bool = described("EFER.NXE", True)
    la57: bool = described("CR4.LA57: five-level page tables", False)
    cr0: int = described("Bits of CR0 that are set beside PE, ET, WP and PG", 0)
    cr4: int = described("Bits of CR4 that are set beside PAE", 0)
    junk: bool = described("Whether the general registers hold junk", True)
    direction: bool = described("RFLAGS.DF", False)
    mapped: int | None = described(
        "Pages on each side of the vector's that are mapped to themselves; the first 512 GiB unless given", None
    )


@attrs.frozen
class Parking:
    """How a processor waits, and what it does when it is addressed. Times are in milliseconds of the machine."""

    takes: Literal["own", "any", "never"] = described("Whose Wakeup it takes", "own")
    before: int = described("How long it waits between reading the vector and acknowledging", 0)
    acknowledges: bool = described("Whether it makes Command 0", True)
    after: int = described("How long it waits between that and the jump", 0)
    starts: bool = described("Whether it jumps to the vector", True)
    tests: bool = described("Whether it answers Test, once it came back by ResetVector", True)
    returns: bool = described("Whether a processor that jumps to ResetVector polls again", True)
    entry: Entry = described("Its state at the vector", Entry())


Backend = Literal["tcg", "kvm"]
# A fact of a recording: the first 16 bytes of memory in hex, where somebody has stored there.
AT_0, HEAD = "stored at 0", 16


@attrs.frozen
class Machine:
    """What is booted: the image, what firmware publishes, and the processors.

    ``tables`` are published as they are: the MADT and the blob byte for byte; of the memory map what the machine has
    memory for. ``mailbox`` is where the processors poll. ``processors`` are the APIC IDs of all of them with how each
    is parked, but the one that boots; one above 254 is nowhere, because QEMU has none, but under KVM. ``marks`` end the
    run where a console line holds one. ``seconds`` are the budget, in time of the machine; KVM's is ours.
    """

    kernel: Path
    initramfs: bytes
    tables: Tables
    mailbox: int
    boot_id: int
    processors: Mapping[int, Parking]
    command_line: str
    marks: tuple[str, ...]
    reset_vector: int = 0
    backend: Backend = "tcg"
    seconds: float = 60.0


@attrs.frozen
class Seen:
    """One thing that was seen, in the order of the machine.

    ``what`` is ``load`` or ``store`` of the mailbox page at ``offset``, ``apic`` a write to the local APIC's register
    at ``offset`` by which an INIT, a start-up or an NMI is sent, ``jump`` that firmware's code leaves for ``value``
    (the vector), ``reset`` that firmware's code at ResetVector was entered, ``line`` a line of the console.
    ``apic_id`` is that of the processor, -1 for a line.
    ``seconds`` is the time of the machine since the kernel was entered, in steps of a hundredth. ``page`` is the
    address of the page of a load or store; equal loads in a row are one, with their number in ``times``.
    """

    what: Literal["load", "store", "apic", "jump", "reset", "line"]
    apic_id: int
    seconds: float
    offset: int = 0
    width: int = 0
    value: int = 0
    text: str = ""
    page: int = 0
    times: int = 1


@attrs.frozen
class Fault:
    """A fault that nobody handled, after which the machine reset itself; -1 is what is not known of it.

    ``address`` is that of a page fault; ``code`` the bytes at ``rip``.
    """

    apic_id: int
    name: str
    error: int
    rip: int
    address: int
    code: bytes = b""


@attrs.frozen
class Recording:
    """Everything that was seen of one run, from the kernel's entry on.

    ``end`` is why it ended: a mark was read, the budget was used up, or the machine reset or turned itself off.
    ``before`` and ``page`` are the polled page before and after, empty where there is none; ``madt`` the table in
    memory afterwards.
    """

    seen: tuple[Seen, ...]
    end: Literal["mark", "budget", "reset", "off"]
    before: bytes
    page: bytes
    madt: bytes
    faults: tuple[Fault, ...] = ()
    facts: Mapping[str, str | int | bool] = attrs.field(factory=dict, hash=False)
