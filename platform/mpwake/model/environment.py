"""What an AP loop of the model declares beside its program, and what an observer would see of it.

A program has no processor under it: no paging, no segments, no host. An agent declares them, and a trace of the model
carries them as the same facts that a target with a real processor reads from it. ``docs/evidence.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from mpwake.evidence.trace import OPS, SENDER, Event, Fact, Kind, Region, Trace
from mpwake.spec.document import described

FAILED = 1 << 63
USES = ("wait", "entry", "reset")
REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
Source = Literal["madt", "devicetree"]
# The registers in which the host answers a call, by its function (GHCI): 10 is CPUID, 31 RDMSR.
ANSWERS = {10: ("r10", "r12", "r13", "r14", "r15"), 31: ("r10", "r11")}
# Where a host that changes registers keeps its forged mailboxes, one page for each processor; the vector is in it too.
FORGED = 0x1800000
FORGED_VECTOR = 0x800


@attrs.frozen
class Segment:
    """A segment register."""

    base: int = described("Base", 0)
    limit: int = described("Last byte", 0xFFFFFFFF)


@attrs.frozen
class Landing:
    """The state of a processor that leaves for the vector; the defaults are what ACPI states."""

    interrupts: bool = described("RFLAGS.IF", False)
    long_mode: bool = described("EFER.LMA", True)
    code64: bool = described("CS.L", True)
    paging: bool = described("CR0.PG", True)
    write_protect: bool = described("CR0.WP", True)
    segments: dict[str, Segment] = described(
        "Segment registers by name", attrs.Factory(lambda: {name: Segment() for name in ("cs", "ds", "es", "ss")})
    )


@attrs.frozen
class Mapping:
    """A range of the page tables that the processors run on."""

    start: int = described("First address")
    end: int = described("Address after the last")
    access: str = described("Of rwx", "rwx")
    to: int | None = described("Physical address of the first byte: the same unless given", None)

    def __attrs_post_init__(self) -> None:
        if self.access not in ("r", "rw", "rx", "rwx"):
            raise ValueError(f"the access {self.access!r}; expected r, rw, rx or rwx")
        if not 0 <= self.start < self.end:
            raise ValueError(f"{self.start:#x} to {self.end:#x} is no range")


@attrs.frozen
class Memory:
    """Memory that the loop needs."""

    name: str = described("What is in it: mailbox, loop, page tables, gdt, stack")
    start: int = described("First address")
    end: int = described("Address after the last")
    memory: str = described("Its type in the memory map: usable, reserved, acpi-nvs, ...")
    used: tuple[Literal["wait", "entry", "reset"], ...] = described(
        "While polling, by the reset code before it has its own page tables, or by the reset code at all", ("wait",)
    )
    private: bool | None = described("Whether the page is private to a confidential guest", None)
    accepted: bool | None = described("Whether the guest has accepted it before hand-off", None)
    measured: bool | None = described("Whether measured code has written what stands in it", None)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"{self.start:#x} to {self.end:#x} is no range")


@attrs.frozen
class Tdvmcall:
    """A call to the host, made by each processor before it polls."""

    function: int = described("R11: 10 is CPUID, 31 RDMSR")
    mask: int = described("RCX: the registers that the host may read and write, bit 3 for RBX")
    r10: int = described("R10 at the call", 0)
    status: Literal["r10", "rax"] = described("The register in which the loop looks for a failure", "r10")
    registers: dict[str, int] = described(
        "What other registers hold at the call; 0 where none is named", attrs.Factory(dict)
    )

    def __attrs_post_init__(self) -> None:
        unknown = set(self.registers) - set(REGISTERS)
        if unknown:
            raise ValueError(f"no register {sorted(unknown)[0]!r}")


@attrs.frozen
class Environment:
    """What is around the loop. Without a key the model does not tell that, and what asks for it is not testable."""

    mailbox: int | None = described("Address of the mailbox at hand-off", None)
    announced: Source | None = described("Where the mailbox is announced, when the platform has no tables", None)
    reset_vector: int | None = described("Address of the reset vector", None)
    polls: int | None = described("Address of the page that is polled after hand-off, when it is another", None)
    low_memory: bool | None = described("Whether the memory map reports memory below 1 MiB", None)
    high_memory: bool | None = described("Whether it reports memory above 4 GiB", None)
    landing: Landing | None = described("The processor when it leaves for the vector", None)
    maps: tuple[Mapping, ...] = described("Its page tables", ())
    regions: tuple[Memory, ...] = described("The memory that the loop needs", ())
    confidential: bool | None = described("Whether this is a confidential guest", None)
    id_from: Literal["own", "host"] = described("Who tells a processor its APIC ID", "own")
    calls: tuple[Tdvmcall, ...] | None = described("Calls to the host before polling", None)
    halts: bool = described("Whether a processor that polls waits for an event of the host", False)
    entry: Literal["first", "appended"] | None = described(
        "Where firmware puts its wakeup entry in a MADT of the host: before others, or at the end", None
    )
    lost_cr4: int | None = described("CR4 bits under which the code at ResetVector is lost", None)


Point = Literal["call", "command", "id", "vector", "acknowledgement"]
# The bytes of the page whose load, or in the last case store, is such a point.
POINTS: dict[Point, tuple[int, int]] = {"command": (0, 2), "id": (4, 4), "vector": (8, 8), "acknowledgement": (0, 2)}


@attrs.frozen
class Pause:
    """A processor that the host does not let run for a while, in between two of its instructions."""

    after: Point = described(
        "Its call to the host, its load of Command, ApicId or WakeupVector, or its store to Command"
    )
    steps: int = described("For how many steps, each time")
    id: int | None = described("APIC ID of the processor; all of them unless given", None)

    def __attrs_post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a pause of {self.steps} steps")


@attrs.frozen
class Host:
    """What the host of a probe does; the default is an honest one."""

    events: bool = described("Whether it delivers events to a processor that has halted", True)
    ids: tuple[int, ...] = described(
        "APIC IDs that it tells the processors, in their order; the true ones unless given", ()
    )
    holds: tuple[int, ...] = described(
        "Steps for which it holds each processor back before it first polls, in their order", ()
    )
    refuses: tuple[int, ...] = described("APIC IDs of processors whose calls it refuses", ())
    changes: tuple[int, ...] = described(
        "APIC IDs of processors in whose calls it changes every register that it is shown and that carries no answer, "
        "to the address of a mailbox that it has forged",
        (),
    )
    pauses: tuple[Pause, ...] = described("Where it does not let processors run", ())
    seeds: bool = described("Whether it is the host that poisons the page, before the guest starts", False)
    entry: int = described("Mailbox address of a wakeup entry in the MADT that it hands over; none when 0", 0)


def lives(around: Environment, host: Host, apic: int) -> bool:
    """Say whether a processor gets into its loop and polls there, whatever the host does."""
    refused = apic in host.refuses and any(call.status == "r10" for call in around.calls or ())
    return not refused and (host.events or not around.halts)


def redirected(around: Environment, host: Host, apic: int) -> bool:
    """Say whether a processor goes on with an address of the host's: the host may change that by which it polls."""
    return apic in host.changes and any(_shows_mailbox(around, call) for call in around.calls or ())


def _shows_mailbox(around: Environment, call: Tdvmcall) -> bool:
    theirs = changed(call.mask, call.function)
    return around.mailbox is not None and any(call.registers.get(name) == around.mailbox for name in theirs)


def forged_page(number: int) -> int:
    """Return the address of the mailbox that the host forges for a processor, by its number."""
    return FORGED + number * 0x1000


def forged_mailbox(number: int, apic: int) -> bytes:
    """Return what stands in it: a Wakeup of that processor, to a vector in the same page."""
    vector = forged_page(number) + FORGED_VECTOR
    return (1).to_bytes(4, "little") + apic.to_bytes(4, "little") + vector.to_bytes(8, "little")


def poisoned(around: Environment, host: Host) -> bool:
    """Say whether what the host wrote into the mailbox page before the guest started is still there."""
    if not host.seeds:
        return True
    return any(one.name == "mailbox" and one.measured is False for one in around.regions)


def _permission(around: Environment, address: int) -> tuple[str, bool]:
    # What may be done at an address, and whether it is mapped to itself.
    for one in around.maps:
        if one.start <= address < one.end:
            return one.access, one.to in (None, one.start)
    return "", False


def landing_facts(around: Environment, vector: int) -> dict[str, Fact]:
    """Return what is seen of a processor that arrives at a vector."""
    if around.landing is None:
        return {}
    state = around.landing
    facts: dict[str, Fact] = {
        "interrupts": state.interrupts,
        "long mode": state.long_mode,
        "64-bit code": state.code64,
        "paging": state.paging,
        "write protect": state.write_protect,
    }
    for name, segment in state.segments.items():
        facts |= {f"{name} base": segment.base, f"{name} limit": segment.limit}
    if around.maps:
        access, same = _permission(around, vector)
        facts |= {"mapped": bool(access), "identity": same, "executable": "x" in access, "writable": "w" in access}
    return facts


def _access(around: Environment, one: Memory) -> str | None:
    if not around.maps:
        return None
    first, last = (_permission(around, address)[0] for address in (one.start, one.end - 1))
    access = "".join(letter for letter in first if letter in last)
    supervisor = around.landing is not None and not around.landing.write_protect
    return access.replace("r", "rw") if supervisor and "w" not in access else access


def regions(around: Environment) -> tuple[Region, ...]:
    """Return the memory that the loop needs, with what its page tables allow there."""
    return tuple(
        Region(
            one.name,
            one.start,
            one.end,
            one.memory,
            _access(around, one),
            one.used,
            one.private,
            one.accepted,
            one.measured,
        )
        for one in around.regions
    )


def platform_facts(around: Environment, resettable: bool, announced: str) -> dict[str, Fact]:
    """Return what is known of the platform as a whole."""
    known: dict[str, Fact | None] = {
        "mailbox": around.mailbox,
        "announced": announced or around.announced,
        "reset vector": around.reset_vector if resettable else 0,
        "low memory": around.low_memory,
        "high memory": around.high_memory,
        "confidential": around.confidential,
        "calls": None if around.calls is None else len(around.calls),
    }
    return {name: value for name, value in known.items() if value is not None}


def changed(mask: int, function: int) -> Iterator[str]:
    """Yield the registers that a host may change in a call, those apart in which it answers."""
    for bit, name in enumerate(REGISTERS):
        if mask >> bit & 1 and name not in ANSWERS.get(function, ("r10",)):
            yield name


def _calls(around: Environment, host: Host, ids: tuple[int, ...]) -> Iterator[Event]:
    for agent, apic in enumerate(ids):
        for call in (around.calls or ()) if agent != SENDER else ():
            facts: dict[str, Fact] = {"mask": call.mask, "r10": call.r10, **call.registers}
            facts["answer"] = FAILED if apic in host.refuses else 0
            if apic in host.changes:
                facts["changed"] = ", ".join(changed(call.mask, call.function))
            yield Event(0, agent, Kind.TDCALL, value=call.function, note="TDG.VP.VMCALL", facts=facts)


def _tables(around: Environment, host: Host) -> Iterator[Event]:
    if host.entry and around.entry and around.mailbox is not None:
        first, last = around.mailbox, host.entry
        if around.entry == "appended":
            first, last = last, first
        for address in (first, last):
            yield Event(0, SENDER, Kind.TABLE, value=address, note="wakeup entry")


def _seen(around: Environment, one: Event) -> Event:
    if one.kind is Kind.LANDING:
        return attrs.evolve(one, facts={**one.facts, **landing_facts(around, one.value)})
    if one.kind is Kind.REQUEST and one.value == OPS["reset"] and around.lost_cr4 is not None:
        return attrs.evolve(one, facts={"cr4": one.vector})
    return one


def observed(around: Environment, host: Host, trace: Trace, resettable: bool, announced: str = "") -> Trace:
    """Return a trace with what an observer would see of the processors, their memory and their host."""
    events = [*_tables(around, host), *_calls(around, host, trace.ids), *(_seen(around, one) for one in trace.events)]
    facts = platform_facts(around, resettable, announced)
    return attrs.evolve(trace, events=tuple(events), regions=regions(around), facts=facts)
