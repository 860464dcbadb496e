"""Operating systems of the model, as data: what a bring-up decides beside the mailbox (``scenarios/systems``).

The mailbox protocol itself is the sender's program; a system says how tables are read, which method starts processors,
where the wake routine lies, how the mailbox is mapped, and what happens at offline and kexec. The defaults are what a
careful operating system does; every other value is something that one has done, or might.
"""

from __future__ import annotations

from typing import Literal

import attrs

from mpwake.spec import document
from mpwake.spec.document import Node, described
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.resources import relative, scenarios

ResetCheck = Literal["version", "length", "zero"]
Feature = Literal["acpi", "of", "smp", "x86-64", "local-apic"]
Home = Literal["bare", "td", "vtl", "vtl-td"]


@attrs.frozen
class Parser:
    """How the MADT is read."""

    entries: tuple[Literal["lapic", "x2apic"], ...] = described("Processor entries that are read", ("lapic", "x2apic"))
    takes: Literal["enabled", "online-capable", "all"] = described("Processors that are taken", "enabled")
    counted: bool = described("Whether 1 to n-1 are woken, whatever the ids are", False)
    boot: Literal["own-id", "first-entry"] = described("Which processor is taken for the one that boots", "own-id")
    id_bits: int = described("Bits of an APIC ID that are kept", 32)
    repeats: bool = described("Whether an id that is listed twice is woken twice", False)
    bounds: bool = described("Whether an entry that runs past the end of the table is refused", True)
    shortest: int = described("Length of the shortest wakeup entry that is taken", 16)
    longest: int = described("Length of the longest", 255)
    newest: int = described("Highest MailBoxVersion that is taken", 0xFFFF)
    reset_checks: tuple[ResetCheck, ...] = described(
        "What is looked at before ResetVector is believed", ("version", "length", "zero")
    )
    which: Literal["first", "last"] = described("Which of several wakeup entries is taken", "first")
    zero: Literal["unsupported", "used"] = described("What MailBoxAddress 0 means", "unsupported")
    unaligned: Literal["refused", "warned", "used"] = described("What an unaligned MailBoxAddress leads to", "refused")
    malformed: Literal["skipped", "panic", "stops"] = described("What a malformed wakeup entry leads to", "skipped")


@attrs.frozen
class TreeParser:
    """How a DeviceTree is read."""

    alignment: bool = described("Whether an unaligned base is refused", True)
    size: bool = described("Whether any size but 0x1000 is refused", True)
    invalid: Literal["ignored", "panic"] = described("What a node that is refused leads to", "ignored")
    which: Literal["first", "last"] = described("Which of several mailbox nodes is taken", "first")
    status: Literal["ignored", "heeded"] = described("What the status of a mailbox node means", "ignored")
    method: str = described("The enable-method of cpu nodes without which the mailbox is not used", "")
    cpus_property: str = described("The property of /cpus that holds the address, where no node is looked for", "")
    no_reg: Literal["skipped", "used", "panic"] = described("What a cpu node without reg leads to", "skipped")
    failed: Literal["skipped", "used"] = described("What a cpu node with status fail leads to", "skipped")
    disabled: Literal["enumerated", "skipped"] = described("What status disabled leads to", "enumerated")
    ids: Literal["reg", "index"] = described("Where the APIC ID comes from", "reg")
    order: Literal["processors-first", "mailbox-first"] = described("What is set up first", "processors-first")
    resettable: bool = described("Whether a mailbox from the tree is taken for one of version 1", False)


@attrs.frozen
class Selection:
    """Which enumeration and which method of starting processors is used."""

    prefers: Literal["acpi", "tree", "both"] = described("What is read when both are there", "acpi")
    acpi_off: bool = described("Whether acpi=off is heeded", True)
    needs: tuple[Feature, ...] = described(
        "What must be built in for the mailbox", ("acpi", "smp", "x86-64", "local-apic")
    )
    unbuilt: Literal["ignored", "stub"] = described("What a mailbox means to a build that lacks it", "ignored")
    bare: Literal["ipi", "nothing", "mailbox"] = described("What starts processors without a mailbox", "ipi")
    td: Literal["nothing", "ipi", "hypercall"] = described("The same in a TD", "nothing")
    ipis_too: bool = described("Whether IPIs are sent although there is a mailbox", False)
    decides: Literal["mailbox", "isolation"] = described(
        "Whether a mailbox is used wherever there is one, or in a TD only", "mailbox"
    )
    running: Literal["asked", "ignored"] = described(
        "Whether a request to start a processor that runs reaches the bring-up", "asked"
    )
    unlisted: Literal["refused", "woken"] = described(
        "What a request for a processor that is not listed leads to", "refused"
    )


@attrs.frozen
class Vtl:
    """What a guest at a Hyper-V virtual trust level does differently; ``td`` is under TDX isolation."""

    td_limit: int = described("The trampoline lies below this address under TDX", 1 << 32)
    td_reserves: bool = described("Whether the trampoline is reserved and set up under TDX", True)
    td_hypercall: bool = described("Whether the hypercall is installed under TDX", False)
    stub: bool = described("Whether the other isolation types get a stub header and no trampoline", True)
    limits_first: bool = described("Whether the limits are set before the trampoline is reserved", True)
    hypercall_last: bool = described("Whether the hypercall replaces a mailbox outside TDX", True)


@attrs.frozen
class Touch:
    """One thing that the wake routine does, in order, before it runs on the operating system's own page tables."""

    what: Literal["execute", "read", "write", "stack", "push", "lgdt", "lidt", "cr3", "far-jump", "sti"] = described(
        "What it does"
    )
    at: int = described("Byte offset from the start of the trampoline", 0)
    width: int = described("Bytes", 8)


@attrs.frozen
class Trampoline:
    """Where the wake routine lies and what it is."""

    place: Literal["below", "fixed", "mailbox"] = described(
        "Allocated below the limit, at a fixed address, or in ReservedForOs", "below"
    )
    limit: int = described("It ends at or below this address", 0x100000)
    base: int = described("The fixed address", 0)
    size: int = described("Bytes that are allocated for it", 0x1000)
    length: int = described("Bytes of its code and data: what it takes of ReservedForOs", 0x400)
    align: int = described("Its alignment", 0x1000)
    entry16: int = described("Offset of the real-mode entry", 0)
    entry64: int = described("Offset of the 64-bit entry", 0x40)
    vector: Literal["entry64", "entry16"] = described("Which entry is the wakeup vector", "entry64")
    fallback: Literal["mailbox", "nothing", "panic", "anyway"] = described(
        "What happens without usable memory below the limit", "mailbox"
    )
    freed: Literal["never", "acknowledged", "alive", "timed-out"] = described("When its memory is used again", "never")
    low_megabyte: bool = described("Whether the first MiB is reserved after it was allocated there", True)
    fills: Literal["before", "after"] = described(
        "When what the routine reads is filled in, seen from Command", "before"
    )
    data: Literal["each", "shared"] = described(
        "Whether each processor has data of its own there, or the next one's are written over them", "each"
    )
    page_tables: int = described("Address of the page tables that the routine loads", 0x1000000)
    compat: bool = described("Whether a part of the routine is 32-bit code", True)
    nxe: bool = described("Whether the routine sets EFER.NXE before it loads page tables that need it", True)
    trusts: tuple[Literal["cr0", "cr4", "direction", "levels"], ...] = described(
        "What the routine takes to be as it likes it at the vector: no further bits of CR0 or CR4, RFLAGS.DF clear, "
        "page tables of four levels",
        (),
    )
    joins: tuple[int, int] = described(
        "Offset of the 64-bit code that is reached from the real-mode entry, and from the 64-bit entry", (0x80, 0x80)
    )
    touches: tuple[Touch, ...] = described(
        "What the routine does",
        (Touch("execute", 0x40, 0x60), Touch("lidt", 0xC0, 10), Touch("lgdt", 0xD0, 10), Touch("cr3", 0xE0, 8)),
    )


@attrs.frozen
class Mapping:
    """How the mailbox page is mapped."""

    private: bool = described("Whether as private memory, in a TD", True)
    cache: Literal["wb", "uc", "wc"] = described("Its memory type", "wb")
    when: Literal["first-use", "every-use", "boot"] = described("When", "first-use")
    checked: bool = described("Whether a failure is noticed before the first store", True)
    sealed: bool = described("Whether the pointer to it is read-only once the boot is over", False)
    private_pages: Literal["page", "too-long", "too-low", "page-or-0", "always", "none"] = described(
        "For which addresses is_private_mmio() answers yes", "page"
    )


@attrs.frozen
class Reset:
    """How a processor is given back to firmware."""

    supported: bool = described("Whether processors can go offline at all", False)
    without: Literal["refused", "halted"] = described("What offline does without a reset vector", "refused")
    tests: bool = described("Whether Test is sent after the jump", True)
    frees: Literal["answered", "at-once", "always"] = described("When the reset environment is freed", "answered")
    boot_too: bool = described("Whether the boot processor jumps as well, at kexec and at a restart", False)
    ends: Literal["nobody", "woken", "all"] = described(
        "Who jumps when the machine ends, but for the processor that ends it: those that were woken, or all", "nobody"
    )
    jumps: Literal["each", "together"] = described("Whether every processor jumps by itself, one by one", "each")
    failure: Literal["version-0", "goes-on"] = described("What a failed set-up leads to", "version-0")
    interrupts: bool = described("RFLAGS.IF at the jump", False)
    mode: Literal["long", "compatibility"] = described("Mode at the jump", "long")
    identity: bool = described("Whether the page of the vector is identity-mapped", True)
    executable: bool = described("Whether that page may be executed", True)
    flat: bool = described("Whether CS, SS, DS and ES are flat", True)
    global_pages: bool = described("CR4.PGE at the jump", False)
    code_mapped: bool = described("Whether the jump code is mapped in the page tables that it loads", True)
    nmi: Literal["blocked", "open"] = described("Whether NMIs can hit on the path", "blocked")


@attrs.frozen
class Kexec:
    """What happens before the next kernel."""

    supported: bool = described("Whether there is kexec", False)
    erases: bool = described("Whether MailBoxAddress is set to 0 where processors cannot be reset", True)
    resets: bool = described("Whether every processor jumps to ResetVector where it can", True)
    tests: bool = described("Whether each is verified by Test", True)
    rereads: bool = described("Whether the first kernel reads the address from the table again at each use", False)
    tree: Literal["kept", "erased"] = described("What happens to a mailbox node of a DeviceTree", "erased")
    checksum: Literal["left", "corrected"] = described("What becomes of the checksum of the table", "left")
    unanswered: Literal["called-off", "goes-on"] = described("What a Test without an answer leads to", "called-off")
    crash: Literal["one", "all"] = described("Processors that a crash kernel starts", "one")


@attrs.frozen
class Ipi:
    """One inter-processor interrupt, and the wait after it."""

    icr: int = described("The interrupt command register, without the destination field")
    wait: int = described("TSC cycles to wait after it", 0)
    directed: bool = described("Whether it has a destination, and is sent to every processor", False)
    if_missing: bool = described("Whether it is sent only when a processor has not started", False)
    micros: int = described("Microseconds to wait after it, beside the cycles", 0)


@attrs.frozen
class Ipis:
    """How processors are started without a mailbox."""

    sequence: tuple[Ipi, ...] = described(
        "The interrupts",
        (Ipi(0xC500, 20_000_000, True), Ipi(0x8500, 0, True), Ipi(0x4600, 400_000, True), Ipi(0x4600, 400_000, True)),
    )
    vector: bool = described("Whether the page of the trampoline is put into a SIPI's vector", True)
    order: Literal["high-low", "low-high"] = described("Order of the two xAPIC writes", "high-low")
    esr: bool = described("Whether the ESR is cleared first", True)
    polls: bool = described("Whether the delivery status is polled afterwards", True)
    msr_writes: int = described("Writes of the ICR in x2APIC mode", 1)
    shift: int = described("Bit at which the destination begins in xAPIC mode", 56)
    x2apic_shift: int = described("Bit at which it begins in x2APIC mode", 32)
    wrap_safe: bool = described("Whether a wait is right when the TSC wraps", True)
    confirmed: Literal["flags", "assumed"] = described("How a start is confirmed", "flags")


@attrs.frozen
class System:
    """An operating system."""

    name: str = described("Its name: that of its file")
    title: str = described("What it is, in one line")
    description: str = described("What it stands for", "")
    follows: tuple[Literal["linux", "hyperv-vtl", "asterinas", "gramine", "dt-binding"], ...] = described(
        "Implementations whose observable contract it claims to keep; dt-binding: that of the DeviceTree binding", ()
    )
    hosts: tuple[Home, ...] = described(
        "Where it runs; the first that has a mailbox is taken where a situation leaves it open",
        ("bare", "td", "vtl", "vtl-td"),
    )
    parser: Parser = described("How the MADT is read", Parser())
    tree: TreeParser | None = described("How a DeviceTree is read, if it is", TreeParser())
    selection: Selection = described("Which enumeration and method are used", Selection())
    vtl: Vtl | None = described("What it does at a virtual trust level, if it can run there", None)
    trampoline: Trampoline = described("The wake routine", Trampoline())
    mapping: Mapping = described("How the mailbox is mapped", Mapping())
    reset: Reset = described("How processors are given back", Reset())
    kexec: Kexec = described("What happens before the next kernel", Kexec())
    ipis: Ipis = described("How processors are started without a mailbox", Ipis())
    nvs: Literal["kept", "reclaimed"] = described("What becomes of NVS and reserved memory", "kept")
    failure: Literal["goes-on", "panic"] = described("What a wake that fails leads to", "goes-on")
    retries: int = described("How often a processor that does not come alive is sent another Wakeup", 0)


def load_system(name: str) -> Node:
    """Read the YAML of a system that comes with the suite, undecoded, so that a mutant can change it."""
    path = scenarios("systems") / f"{name}.yaml"
    if "/" in name or not path.is_file():
        known = sorted(one.stem for one in scenarios("systems").glob("*.yaml"))
        raise InputError(f"no system {name!r}", hint=did_you_mean(name, known))
    return document.load(path, relative(path))
