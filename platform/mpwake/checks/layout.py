"""The layout of the mailbox page, as the accesses of an operating system show it (area MEM)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mpwake.checks.boot import PAGE, WAKEUP, booted, commands, field, noted, sent
from mpwake.checks.core import Finding, Judge, check, inconclusive, not_applicable, probe
from mpwake.checks.sender import a_bring_up
from mpwake.checks.traffic import OS_HEADER, OS_SECTION, each, folded, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.model.agent import FIELDS
from mpwake.spec.requirements import Role, Weight

POISONED = "three processors are woken in a page whose fields are poisoned"
NO_LOW_MEMORY = "an operating system boots without usable memory below 1 MiB"


def _layout(id: str, then: str) -> Callable[[Judge], Judge]:
    declare = check(id, given=(a_bring_up,), when=probe(POISONED), then=then, role=Role.SENDER)
    return lambda judge: declare(folded(judge))


def _wakeups(behaviour: Behaviour) -> Iterator[tuple[Trace, Event, bytes, Event]]:
    # Each Wakeup of the trials in which the order of stores is that of the program, with the page and the request.
    for trace in each(behaviour, POISONED):
        found = [(one, page) for one, page in commands(trace) if field(page, 0, 2) == WAKEUP]
        if not found:
            raise inconclusive("no Wakeup was sent")
        if trace.memory == "sc":
            for (one, page), asked in zip(found, trace.of(Kind.REQUEST), strict=False):
                yield trace, one, page, asked


def _own(trace: Trace) -> list[Event]:
    accesses = [one for one in trace.events if one.agent == SENDER and one.kind in (Kind.LOAD, Kind.STORE)]
    if not any(one.kind is Kind.STORE for one in accesses):
        raise inconclusive("the operating system stores nothing in the mailbox")
    return accesses


def _at(one: Event) -> str:
    return f"a {one.kind.value} of {one.width} bytes at {one.offset:#x}"


@_layout("MEM-04", "every store of the operating system lies wholly in bytes 0 to 2047")
def stays_in_its_half(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge where each store of the operating system ends."""
    for trace in each(behaviour, POISONED):
        stores = [one for one in _own(trace) if one.kind is Kind.STORE]
        bad = next((one for one in stores if one.offset + one.width > OS_SECTION), None)
        yield Finding(bad is None, _at(bad) if bad else "no store beyond it", "no store beyond it", (told(trace, bad),))


@_layout("MEM-08", "no access to Command goes beyond bytes 0 and 1")
def command_is_two_bytes(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge each access to Command; one that is too wide and changes nothing beyond it is no breach of ACPI."""
    start, width = FIELDS["Reserved"]
    for trace in each(behaviour, POISONED):
        page = bytearray(trace.before)
        for one in trace.events:
            if one.kind is Kind.STORE:
                page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
            if one.agent != SENDER or one.kind not in (Kind.LOAD, Kind.STORE) or not one.touches(0, 2):
                continue
            kept = field(page, start, width) == field(trace.before, start, width)
            good = one.offset + one.width <= start
            weight = Weight.ROBUSTNESS if kept and not good else None
            yield Finding(good, _at(one), "nothing beyond byte 1", (told(trace, one),), weight)


@_layout("MEM-10", "all four bytes at offset 4 are the target's APIC ID")
def apic_id_is_four_bytes(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge bytes 4 to 7 at each Wakeup, which held something else before."""
    yield from _field_is("ApicId", behaviour, lambda asked: asked.target)


@_layout("MEM-11", "all eight bytes at offset 8 are the wakeup vector")
def vector_is_eight_bytes(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge bytes 8 to 15 at each Wakeup, which held something else before; one of the vectors is above 4 GiB."""
    yield from _field_is("WakeupVector", behaviour, lambda asked: asked.vector)


def _field_is(name: str, behaviour: Behaviour, wanted: Callable[[Event], int]) -> Iterator[Finding]:
    start, width = FIELDS[name]
    for trace, one, page, asked in _wakeups(behaviour):
        value = field(page, start, width)
        yield Finding(value == wanted(asked), f"{name} {value:#x}", f"{wanted(asked):#x}", (told(trace, one),))


@booted("MEM-12", NO_LOW_MEMORY, "what the operating system puts into the mailbox page lies in bytes 16 to 2047")
def keeps_to_reserved_for_os(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the wake routine of an operating system that has it in the mailbox page."""
    for trace in each(behaviour, NO_LOW_MEMORY):
        base = next((one.value for one in noted(trace, Kind.MAP, "mailbox")), None)
        if base is None or not sent(trace):
            raise not_applicable("the operating system starts no processor without memory below 1 MiB")
        inside = [one for one in trace.of(Kind.ALLOC) if one.note == "trampoline" and _overlaps(one, base)]
        vectors = [vector - base for _, _, vector in sent(trace) if 0 <= vector - base < PAGE]
        if not inside and not vectors:
            raise not_applicable("the operating system keeps nothing in the mailbox page")
        for vector in vectors:
            good = OS_HEADER <= vector < OS_SECTION
            yield Finding(good, f"a wakeup vector at byte {vector:#x}", "in bytes 0x10 to 0x7ff", (told(trace),))
        for one in inside:
            start, end = one.value - base, one.value - base + one.width
            good = start >= OS_HEADER and end <= OS_SECTION
            found = f"its routine in bytes {start:#x} to {end - 1:#x}"
            yield Finding(good, found, "in bytes 0x10 to 0x7ff", (told(trace, one),))


def _overlaps(one: Event, base: int) -> bool:
    return one.value < base + PAGE and base < one.value + one.width


@_layout("MEM-14", "no field has its bytes in reverse")
def least_byte_first(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the bytes of ApicId and WakeupVector at each Wakeup against the target and vector in both orders."""
    for trace, one, page, asked in _wakeups(behaviour):
        for name, value in (("ApicId", asked.target), ("WakeupVector", asked.vector)):
            start, width = FIELDS[name]
            image, little = page[start : start + width], value.to_bytes(width, "little")
            if image in (little, little[::-1]):
                yield Finding(image == little, f"{name} {image.hex(' ')}", little.hex(" "), (told(trace, one),))
