"""Starting processors without a mailbox, by INIT and Start-Up IPIs (area IPI)."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mpwake.checks.boot import PAGE, answers, booted, like_asterinas, like_gramine, noted, sees, sent
from mpwake.checks.core import Finding, inconclusive, not_applicable
from mpwake.checks.guest import IN_TD, INIT, START_UP, available, fact, placed_at, starts
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace

BARE = "an operating system boots without a mailbox, outside a TD"
X2APIC = "an operating system boots without a mailbox, with its APICs in x2APIC mode"
WRAPS = "an operating system boots without a mailbox while the TSC wraps"
ABSENT = "an operating system boots without a mailbox, and a processor does not come alive"
MIB = 0x100000
ALL, OTHERS = 2, 3
# The steps of Asterinas: the low word of the ICR, and the TSC cycles to wait after it.
STEPS = ((0x000CC500, 100_000_000), (0x00088500, 20_000_000), (0x000C4608, 20_000_000), (0x000C4608, 20_000_000))
# Those of Gramine, with microseconds.
GRAMINE = ((0x000C4500, 10_000), (0x000C4608, 200), (0x000C4608, 100))
ESR, ICR_LOW, ICR_HIGH = 0x280, 0x300, 0x310
MSR_ESR, MSR_ICR = 0x828, 0x830
_LOW = 1 << 32
_WRAP = 1 << 64
_RESERVED = 1 << 13 | 3 << 16 | 0xFFF << 20


@attrs.frozen
class Icr:
    """The interrupt command register, by its fields (Intel SDM volume 3, Local APIC)."""

    vector: int
    mode: int
    logical: bool
    pending: bool
    level: bool
    trigger: bool
    shorthand: int
    destination: int
    reserved: int


def decode_icr(value: int, x2apic: bool) -> Icr:
    """Decode the 64 bits of an ICR in one of the two modes of the local APIC.

    >>> decode_icr(0x000C4608, False).mode, decode_icr(0x02 << 56 | 0xC500, False).destination
    (6, 2)
    """
    return Icr(
        vector=value & 0xFF,
        mode=value >> 8 & 7,
        logical=bool(value >> 11 & 1),
        pending=bool(value >> 12 & 1),
        level=bool(value >> 14 & 1),
        trigger=bool(value >> 15 & 1),
        shorthand=value >> 18 & 3,
        destination=value >> 32 if x2apic else value >> 56,
        reserved=value & (_RESERVED | (0 if x2apic else 0xFFFFFF << 32)),
    )


def _sequence(trace: Trace) -> list[Event]:
    """Return the INIT and Start-Up IPIs of a trial, of which there must be some."""
    found = starts(trace)
    if not found:
        raise inconclusive("no INIT or Start-Up IPI was seen")
    return found


def _gap(trace: Trace, number: int) -> int:
    """Return the TSC cycles between an IPI and what came after it, the last of them: the answer to the start."""
    sequence = starts(trace)
    later = [one for one in trace.of(Kind.RETURN) if "tsc" in one.facts]
    after = sequence[number + 1] if number + 1 < len(sequence) else later[0] if later else None
    if after is None:
        raise inconclusive("what came after the last IPI was not seen")
    return (fact(after, "tsc") - fact(sequence[number], "tsc")) % _WRAP


def _icr_is(behaviour: Behaviour, number: int) -> Iterator[Finding]:
    wanted = STEPS[number][0]
    for trace in each(behaviour, BARE):
        sequence = _sequence(trace)
        one = sequence[number] if number < len(sequence) else None
        found = f"ICR {one.value % _LOW:#010x}" if one else f"{len(sequence)} IPIs"
        good = one is not None and one.value % _LOW == wanted
        yield Finding(good, found, f"ICR {wanted:#010x}", (told(trace, one),))


def _waits(behaviour: Behaviour, sentence: str, numbers: tuple[int, ...]) -> Iterator[Finding]:
    for trace in each(behaviour, sentence):
        sequence = _sequence(trace)
        for number in numbers:
            wanted = STEPS[number][1]
            if number >= len(sequence):
                yield Finding(False, f"{len(sequence)} IPIs", f"{len(STEPS)}", (told(trace, sequence[-1]),))
                continue
            gap = _gap(trace, number)
            yield Finding(
                gap >= wanted, f"{gap} cycles after it", f"{wanted} or more", (told(trace, sequence[number]),)
            )


@booted("IPI-01", IN_TD, "INIT and SIPI are sent outside a TD only")
def only_outside_a_td(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the IPIs in a TD, of an operating system that sends them elsewhere."""
    if not behaviour.trials(BARE) or not any(starts(trace) for trace in each(behaviour, BARE)):
        raise not_applicable("the operating system has no such sequence")
    for trace in each(behaviour, IN_TD):
        if not sent(trace):
            raise inconclusive("no processor was started in the TD")
        found = starts(trace)
        yield Finding(not found, f"{len(found)} INIT and SIPI", "none", (told(trace, found[0] if found else None),))


@booted("IPI-02", BARE, "the first IPI is INIT to all others, level-triggered", like_asterinas)
def begins_with_init(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the low word of the first ICR."""
    yield from _icr_is(behaviour, 0)


@booted("IPI-03", BARE, "100,000,000 TSC cycles or more pass after INIT", like_asterinas)
def waits_after_init(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the distance to the second IPI."""
    yield from _waits(behaviour, BARE, (0,))


@booted("IPI-04", BARE, "the second IPI de-asserts INIT, to all including itself", like_asterinas)
def deasserts(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the low word of the second ICR."""
    yield from _icr_is(behaviour, 1)


@booted("IPI-05", BARE, "20,000,000 TSC cycles or more pass after the de-assert", like_asterinas)
def waits_after_deassert(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the distance to the third IPI."""
    yield from _waits(behaviour, BARE, (1,))


@booted("IPI-06", BARE, "the third IPI is SIPI with vector 0x08 to all others", like_asterinas)
def sends_sipi(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the low word of the third ICR."""
    yield from _icr_is(behaviour, 2)


@booted("IPI-07", BARE, "an equal SIPI follows in every case, with 20,000,000 cycles after each", like_asterinas)
def repeats_sipi(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the fourth IPI, that none follows, and both waits."""
    yield from _icr_is(behaviour, 3)
    yield from _waits(behaviour, BARE, (2, 3))
    for trace in each(behaviour, BARE):
        sequence = _sequence(trace)
        yield Finding(len(sequence) == len(STEPS), f"{len(sequence)} IPIs", f"{len(STEPS)}", (told(trace),))


@booted("IPI-08", BARE, "the vector of each SIPI is the number of the page in which processors start")
def vector_is_the_page(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the vectors against the real-mode entry of the trampoline."""
    for trace in each(behaviour, BARE):
        sees(trace, "entries")
        placed = placed_at(trace)
        sipis = [one for one in _sequence(trace) if decode_icr(one.value, False).mode == START_UP]
        if not sipis:
            raise inconclusive("no SIPI was seen")
        entry = fact(placed, "entry16")
        for one in sipis:
            vector = one.value & 0xFF
            good = vector * PAGE == entry < MIB
            found = f"vector {vector:#04x}, real-mode entry {entry:#x}"
            yield Finding(good, found, "the entry >> 12, page aligned and below 1 MiB", (told(trace, one),))


def _well_formed(icr: Icr, targets: set[int]) -> bool:
    addressed = icr.shorthand in (ALL, OTHERS) or (icr.shorthand == 0 and icr.destination in targets)
    plain = not (icr.reserved or icr.logical or icr.pending) and icr.mode in (INIT, START_UP)
    asserted = icr.level or (icr.mode == INIT and icr.trigger)
    return addressed and plain and asserted and (icr.mode == START_UP or icr.vector == 0)


@booted("IPI-09", X2APIC, "every field of each ICR stands at its place, in x2APIC and in xAPIC mode")
def encodes_the_icr(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the fields of every ICR: destination or shorthand, mode, level and trigger, and what is reserved."""
    for sentence, trace in available(behaviour, X2APIC, BARE):
        targets = {one.value for one in trace.of(Kind.CPU) if not fact(one, "boot")}
        for one in _sequence(trace):
            icr = decode_icr(one.value, sentence == X2APIC)
            good = _well_formed(icr, targets) and one.note == ("x2apic" if sentence == X2APIC else "xapic")
            found = f"ICR {one.value:#018x} in {one.note} mode: to {icr.destination:#x}, shorthand {icr.shorthand}"
            yield Finding(good, found, "INIT or SIPI, to a listed processor or a shorthand", (told(trace, one),))


def _accesses(trace: Trace) -> Iterator[tuple[Event, list[tuple[str, int, int]]]]:
    """Yield each IPI with the accesses to APIC registers that sent it: what, where, width."""
    accesses: list[tuple[str, int, int]] = []
    for one in trace.events:
        if one.kind is Kind.APIC:
            accesses.append((one.note, one.offset, one.width))
        elif one.kind is Kind.IPI:
            yield one, accesses
            accesses = []


def _written_as(behaviour: Behaviour, sentence: str, status: int, *writes: tuple[int, int]) -> Iterator[Finding]:
    for trace in each(behaviour, sentence):
        sends = list(_accesses(trace))
        if not any(accesses for _, accesses in sends):
            raise inconclusive("no access to the APIC was seen")
        for one, accesses in sends:
            before, after = accesses[: len(writes)], accesses[len(writes) :]
            polled = any(at == status for _, at, _ in after) and all(what == "read" for what, _, _ in after)
            good = before == [("write", at, width) for at, width in writes] and polled
            found = ", ".join(f"{what} {8 * width} bits at {at:#x}" for what, at, width in accesses)
            wanted = ", ".join(f"write {8 * width} bits at {at:#x}" for at, width in writes)
            yield Finding(good, found, f"{wanted}, read {status:#x}", (told(trace, one),))


@booted(
    "IPI-10",
    BARE,
    "the ESR is cleared, the high word written, then the low word, and the status polled",
    like_asterinas,
)
def writes_high_before_low(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the accesses to the registers of the xAPIC, in order."""
    yield from _written_as(behaviour, BARE, ICR_LOW, (ESR, 4), (ICR_HIGH, 4), (ICR_LOW, 4))


@booted("IPI-11", X2APIC, "the ESR is cleared, and the ICR written by one access of 64 bits", like_asterinas)
def writes_one_msr(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the accesses to the registers of the x2APIC, in order."""
    yield from _written_as(behaviour, X2APIC, MSR_ICR, (MSR_ESR, 8), (MSR_ICR, 8))


@booted("IPI-12", WRAPS, "each wait is as long as without the wrap", like_asterinas)
def waits_over_a_wrap(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the waits of a sequence in which the TSC begins again at 0."""
    for trace in each(behaviour, WRAPS):
        counts = [fact(one, "tsc") for one in _sequence(trace)]
        if counts[0] + sum(cycles for _, cycles in STEPS) < _WRAP:
            raise inconclusive("the TSC was too far from its end to wrap between the IPIs")
    yield from _waits(behaviour, WRAPS, tuple(range(len(STEPS))))


def _as_gramine(trace: Trace, steps: int) -> Iterator[Finding]:
    sequence = _sequence(trace)
    words = [one.value % _LOW for one in sequence]
    wanted = [word for word, _ in GRAMINE[:steps]]
    found = ", ".join(f"{word:#010x}" for word in words)
    yield Finding(words == wanted, found, ", ".join(f"{word:#010x}" for word in wanted), (told(trace),))
    if words == wanted:
        for number, (_, micros) in enumerate(GRAMINE[:steps]):
            one = sequence[number]
            gap = _gap(trace, number) // fact(one, "tsc_mhz")
            yield Finding(gap >= micros, f"{gap} us after it", f"{micros} us or more", (told(trace, one),))


@booted("IPI-13", ABSENT, "a second SIPI is sent if a processor has not been counted, and only then", like_gramine)
def second_sipi_if_missing(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the sequence and its waits, with a processor missing and with none."""
    for trace in each(behaviour, ABSENT):
        yield from _as_gramine(trace, 3)
    for trace in each(behaviour, BARE):
        yield from _as_gramine(trace, 2)


def _joined(trace: Trace) -> set[int]:
    found = {one.value for one in noted(trace, Kind.ROUTINE, "join")}
    if not found:
        raise inconclusive("the 64-bit code that a processor reaches was not seen")
    return found


@booted(
    "IPI-14",
    BARE,
    "processors enter at offset 0 after SIPI, behind it from the mailbox, and meet in one place",
    like_asterinas,
)
def entries_differ(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge where processors enter after a SIPI and from the mailbox, and the 64-bit code that they reach."""
    met: set[int] = set()
    for trace in each(behaviour, BARE):
        base = placed_at(trace).value
        met |= _joined(trace)
        entered = noted(trace, Kind.ROUTINE, "enter")
        if not entered:
            raise inconclusive("no processor was seen to enter after SIPI")
        for one in entered:
            yield Finding(one.value == base, f"SIPI enters at {one.value - base:#x}", "0x0", (told(trace, one),))
    for trace in each(behaviour, IN_TD):
        placed = placed_at(trace)
        if not trace.of(Kind.LANDING):
            raise inconclusive("no processor was seen to enter from the mailbox")
        for one in trace.of(Kind.LANDING):
            offset = one.value - placed.value
            good = offset > 0 and one.value == fact(placed, "entry64")
            yield Finding(good, f"the mailbox enters at {offset:#x}", "the 64-bit entry", (told(trace, one),))
        found = _joined(trace)
        here = f"64-bit code at {', '.join(hex(at) for at in sorted(found))}"
        yield Finding(found == met, here, f"{', '.join(hex(at) for at in sorted(met))} as after SIPI", (told(trace),))


@booted("IPI-15", ABSENT, "a processor counts as started once it says so itself")
def started_by_its_own_word(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the answers to the starts against what the processors have told."""
    for trace in each(behaviour, ABSENT):
        _sequence(trace)
        asked = answers(trace, "online")
        alive = {one.value: at for at, one in enumerate(trace.events) if one.kind is Kind.ALIVE}
        if not alive or all(one.target in alive for one, _ in asked):
            raise inconclusive("there was not one processor that runs and one that does not")
        if all(back is None for _, back in asked):
            raise inconclusive("no start was answered")
        for one, back in asked:
            started = back is not None and back.value == 0
            told_us = back is not None and one.target in alive and alive[one.target] < trace.events.index(back)
            found = f"processor {one.target:#x} {'started' if started else 'not started'}"
            yield Finding(started is told_us, found, "started" if told_us else "not started", (told(trace, one),))
