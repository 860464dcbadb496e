"""The mailbox page as the AP loop treats it (areas MEM and DT)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.core import Finding, everybodys, inconclusive, judge, not_testable
from mpwake.checks.loop import (
    IN_TURN,
    RECEIVER,
    Seen,
    accesses,
    ap_stores,
    each_access,
    in_devicetree,
    landed_as_asked,
    landings,
    mailbox_region,
    needs_accesses,
    nobody_astray,
    placed,
    receiver,
    whole_receiver,
)
from mpwake.checks.traffic import NAMES, OS_HEADER, OS_SECTION
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.model.agent import FIELDS
from mpwake.spec.requirements import Weight, requirement
from mpwake.spec.verdicts import Verdict

POISONED = "the operating system wakes a processor in a poisoned page"
HIGH_VECTOR = "the operating system wakes a processor with a vector above 4 GiB"
HALVES = "the operating system sends the reserved commands 0x100 and 0x101"
ALIKE = "the operating system wakes processors whose APIC IDs have their low bytes in common"
REVERSED = "the operating system wakes processors whose APIC IDs are each other's bytes in reverse"


@receiver("MEM-03", IN_TURN, "every processor polls the page that was published")
@needs_accesses
def polls_published_page(trace: Trace) -> Iterator[Seen]:
    """Judge where each processor loads from."""
    for agent in range(1, len(trace.ids)):
        own = [one for one in accesses(trace) if one.agent == agent]
        away = next((one for one in own if _elsewhere(trace, one)), None)
        if own:
            page = f"the page at {away.facts['page']:#x}" if away else "the published page"
            yield Seen(away is None, f"{page} is polled", "the published page is polled", away)


def _elsewhere(trace: Trace, one: Event) -> bool:
    published = trace.facts.get("mailbox")
    return one.facts.get("page", published) != published


@receiver("MEM-04", POISONED, "the loop uses no byte of the OS section beyond the fields")
@needs_accesses
def halves_are_kept(trace: Trace) -> Iterator[Seen]:
    """Judge accesses of processors to bytes 16 to 2047, and their code: what firmware keeps is in the other half."""
    bad = next((one for one in accesses(trace) if one.touches(OS_HEADER, OS_SECTION - OS_HEADER)), None)
    found = f"a {bad.kind.value} of {bad.width} bytes at {bad.offset:#x}" if bad else "no access to bytes 16 to 2047"
    yield Seen(bad is None, found, "no access to bytes 16 to 2047", bad)
    page = next((one.start for one in trace.regions if one.name == "mailbox"), None)
    for one in trace.regions:
        if page is not None and one.name == "loop" and one.start < page + OS_SECTION and page < one.end:
            yield Seen(False, f"{placed(one)}, in the OS section", "no code in the OS section", one)


@receiver("MEM-06", POISONED, "firmware writes nothing in the OS section but Command")
@needs_accesses
def os_section_untouched(trace: Trace) -> Iterator[Seen]:
    """Judge every store of a processor to bytes 2 to 2047."""
    bad = [one for one in ap_stores(trace) if one.touches(2, OS_SECTION - 2)]
    where = f"{bad[0].width} bytes at {bad[0].offset:#x}" if bad else "none"
    yield Seen(not bad, f"stores beyond Command: {where}", "none", bad[0] if bad else None)


@receiver("MEM-07", POISONED, "only the processor that accepts a command writes Command, and only 0")
@needs_accesses
def command_written_by_acceptor(trace: Trace) -> Iterator[Seen]:
    """Judge who writes Command, and what."""
    landed = {one.agent for one in trace.of(Kind.LANDING)}
    for one in ap_stores(trace):
        if one.touches(0, 2):
            value = one.value & 0xFFFF
            found = f"AP {trace.ids[one.agent]:#x} writes Command {value:#x}"
            yield Seen(value == 0 and one.agent in landed, found, "0 by its acceptor", one)


@receiver("MEM-08", HALVES, "neither is taken for the command 1")
def command_is_16_bits(trace: Trace) -> Iterator[Seen]:
    """Judge that 0x101 is not taken for 1, by a loop that does not take just any command for one (RCV-10)."""
    taken: dict[int, Event] = {}
    sent = 0
    for one in trace.events:
        if one.kind is Kind.REQUEST:
            sent = one.vector if NAMES.get(one.value) == "command" else 0
        elif sent and one.agent != SENDER and one.kind in (Kind.STORE, Kind.LANDING):
            taken.setdefault(sent, one)
    if len(taken) > 1:
        raise inconclusive("the loop takes any command")
    for command, one in taken.items():
        yield Seen(False, f"Command {command:#x} is taken", "neither is taken", one)
    if not taken:
        yield Seen(True, "neither is taken", "neither is taken")


@receiver("MEM-10", ALIKE, "each takes the command that carries all 32 bits of its APIC ID")
def apic_id_is_32_bits(trace: Trace) -> Iterator[Seen]:
    """Judge who lands, and that whoever did has read all four bytes of ApicId."""
    yield from nobody_astray(trace)
    yield from _read_whole(trace, "ApicId")


@receiver("MEM-11", HIGH_VECTOR, "all eight bytes of WakeupVector are read, and decide")
def vector_is_64_bits(trace: Trace) -> Iterator[Seen]:
    """Judge where the processor lands, and what it has read for that."""
    yield from landed_as_asked(trace)
    yield from _read_whole(trace, "WakeupVector")


def _read_whole(trace: Trace, field: str) -> Iterator[Seen]:
    each_access(trace)
    start, width = FIELDS[field]
    for agent, apic in ((one.agent, trace.ids[one.agent]) for one in trace.of(Kind.LANDING)):
        loads = [one for one in accesses(trace) if one.agent == agent and one.kind is Kind.LOAD]
        read = {at for one in loads for at in range(one.offset, one.offset + one.width)}
        missing = sorted(set(range(start, start + width)) - read)
        found = f"AP {apic:#x} never reads byte {missing[0]:#x}" if missing else f"every byte of {field} is read"
        yield Seen(not missing, found, f"every byte of {field} is read")


@receiver("MEM-12", POISONED, "bytes 16 to 2047 keep their content")
def reserved_for_os_kept(trace: Trace) -> Iterator[Seen]:
    """Judge the poison in ReservedForOs after the processors have left."""
    before, after = trace.before[OS_HEADER:OS_SECTION], trace.after[OS_HEADER:OS_SECTION]
    changed = [OS_HEADER + at for at, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    found = f"{len(changed)} bytes changed" + (f", the first at {changed[0]:#x}" if changed else "")
    yield Seen(not changed, found, "no byte changed")


@receiver("MEM-14", REVERSED, "each takes the command whose bytes are its own in little-endian order")
def little_endian(trace: Trace) -> Iterator[Seen]:
    """Judge that no processor takes ApicId or WakeupVector with its bytes reversed."""
    yield from nobody_astray(trace)


@receiver("MEM-19", IN_TURN, "its page tables let it read and write the mailbox")
def mailbox_is_writable(trace: Trace) -> Iterator[Seen]:
    """Judge the access that the processors have to the mailbox page."""
    one = mailbox_region(trace)
    if one.access is None:
        raise not_testable("the target does not tell the page tables of the processors")
    found = f"{placed(one)} is mapped {one.access or 'not at all'}"
    yield Seen({"r", "w"} <= set(one.access), found, "readable and writable", one)


@receiver("DT-21", IN_TURN, "the memory map keeps the page out of usable memory too", in_devicetree)
def map_keeps_page(trace: Trace) -> Iterator[Seen]:
    """Judge the type of the mailbox page in the memory map."""
    one = mailbox_region(trace)
    if not one.memory:
        raise not_testable("the target does not tell the type of the mailbox page in the memory map")
    yield Seen(one.memory != "usable", f"{placed(one)} is {one.memory}", "any type but usable", one)


@whole_receiver("DT-24", IN_TURN, "the loop keeps to every rule of ACPI for receivers", in_devicetree)
def works_as_acpi_says(behaviour: Behaviour) -> Iterator[Finding]:
    """Ask the checks of the areas RCV and ORD whose failure is one of conformance."""
    landed = any(landings(trace) for trace in behaviour.trials(IN_TURN))
    for one in sorted(everybodys(), key=lambda one: one.id):
        rule = requirement(one.id)
        if one.role is not RECEIVER or rule.area not in ("RCV", "ORD") or rule.weight is not Weight.CONFORMANCE:
            continue
        judgement = judge(one, behaviour)
        bad = next((finding for finding in judgement.findings if not finding.ok and finding.weight is None), None)
        if bad:
            yield Finding(False, f"{one.id}: {bad.found}", bad.expected, bad.exhibits)
        elif judgement.verdict is Verdict.PASS:
            yield Finding(True, f"{one.id} passes", f"{one.id} passes")
    if not landed:
        raise inconclusive("no processor was seen to take a command")
