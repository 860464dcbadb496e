"""Where an operating system puts its wake routine, and what that routine touches (area TRM)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.boot import (
    PAGE,
    about,
    beside,
    booted,
    commands,
    console,
    like_asterinas,
    like_linux,
    like_linux_at_vtl,
    noted,
    sees,
    sent,
)
from mpwake.checks.core import Finding, inconclusive, not_applicable
from mpwake.checks.guest import AT_VTL, came_far, fact, placed_at
from mpwake.checks.loop import machine_code
from mpwake.checks.traffic import OS_HEADER, OS_SECTION, each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.spec.requirements import Weight

LOW = "an operating system boots with memory below 1 MiB"
NO_LOW = "an operating system boots without memory below 1 MiB"
ONE_PAGE = "an operating system boots with nothing mapped around the page of the wakeup vector"
NO_NXE = "an operating system boots with EFER.NXE clear at the wakeup vector"
FIVE_LEVELS = "an operating system boots with page tables of five levels at the wakeup vector"
LEFT = "an operating system boots with bits of CR0 and CR4 and the direction flag set at the wakeup vector"
EACH_LEFT = (
    "an operating system boots with bits of CR0 set at the wakeup vector",
    "an operating system boots with bits of CR4 set at the wakeup vector",
    "an operating system boots with the direction flag set at the wakeup vector",
)
LOW_MEMORY_ENDS = 0x9FC00
MIB, GIB_4 = 0x100000, 1 << 32
AP_BOOT_START = 0x8000
_NOT_TOUCHED = ("fill", "enter", "join")


def _where(one: Event) -> str:
    return f"trampoline at {one.value:#x} to {one.value + one.width - 1:#x}"


def _mailbox(trace: Trace) -> int | None:
    return next((one.value for one in noted(trace, Kind.METHOD, "mailbox")), None)


def _vectors(trace: Trace) -> Iterator[tuple[Event, int]]:
    """Yield the Wakeups of a trial with their vectors."""
    wakeups = sent(trace)
    if not wakeups:
        raise inconclusive("no Wakeup was sent")
    yield from ((one, vector) for one, _, vector in wakeups)


@booted("TRM-01", LOW, "each wakeup vector lies in ReservedForOs, or in memory below 1 MiB that the map reports")
def in_a_place_that_firmware_maps(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the vectors against the mailbox and the memory map."""
    for trace in each(behaviour, LOW):
        mailbox = _mailbox(trace)
        for one, vector in _vectors(trace):
            inside = mailbox is not None and mailbox + OS_HEADER <= vector < mailbox + OS_SECTION
            expected = f"ReservedForOs, or below {LOW_MEMORY_ENDS:#x}"
            yield Finding(inside or vector < LOW_MEMORY_ENDS, f"vector {vector:#x}", expected, (told(trace, one),))


@booted("TRM-02", LOW, "the trampoline is page aligned and ends at or below 1 MiB", like_linux)
def below_1_mib(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the allocation, where nothing has raised the limit."""
    for trace in each(behaviour, LOW):
        if noted(trace, Kind.METHOD, "realmode limit"):
            raise not_applicable("the platform sets a limit of its own")
        one = placed_at(trace)
        good = one.value % PAGE == 0 and one.value + one.width <= MIB
        yield Finding(good, _where(one), f"page aligned, and below {MIB:#x}", (told(trace, one),))


@booted("TRM-03", AT_VTL, "the trampoline lies below 4 GiB, although there is no memory below 1 MiB", like_linux_at_vtl)
def below_4_gib(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the allocation at a virtual trust level with TDX isolation."""
    for trace in each(behaviour, AT_VTL):
        came_far(trace)
        found = noted(trace, Kind.ALLOC, "trampoline")
        good = bool(found) and all(one.value + one.width <= GIB_4 for one in found)
        text = _where(found[-1]) if found else "no trampoline"
        yield Finding(good, text, f"one below {GIB_4:#x}", (told(trace, found[-1] if found else None),))


@booted("TRM-04", NO_LOW, "a line names the limit, the boot goes on, and no processor is woken", like_linux)
def boots_without_trampoline(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the console, the trampoline and the Wakeups, of an operating system that uses the mailbox elsewhere."""
    if not all(sent(trace) for trace in each(behaviour, LOW)):
        raise inconclusive("the operating system does not use the mailbox with memory below 1 MiB either")
    for trace in each(behaviour, NO_LOW):
        placed = noted(trace, Kind.ALLOC, "trampoline")
        if any(one.value >= MIB for one in placed):
            raise not_applicable("the operating system has another place for its trampoline")
        lines = about(about(console(trace), "trampoline"), rf"\b0x0*{MIB:x}\b|\bsub-1M\b")
        panics = console(trace, "panic")
        if not panics:
            came_far(trace)
        woken = list(commands(trace))
        found = (
            f"{len(lines)} lines name the limit, {len(panics)} panics, {len(placed)} trampolines, {len(woken)} Wakeups"
        )
        good = bool(lines) and not panics and not placed and not woken
        yield Finding(good, found, "a line that names the limit, and nothing else", (told(trace),))


@booted("TRM-05", LOW, "each wakeup vector is the 64-bit entry of the trampoline")
def enters_64_bit_code(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the vectors of a trial under sequential consistency against the entries of the trampoline."""
    for trace in each(behaviour, LOW):
        if trace.memory != "sc":
            continue
        for one, vector in _vectors(trace):
            sees(trace, "entries")
            entry = fact(placed_at(trace), "entry64")
            yield Finding(vector == entry, f"vector {vector:#x}", f"the 64-bit entry {entry:#x}", (told(trace, one),))


@booted("TRM-06", LOW, "32-bit code of the trampoline, and the page tables that it loads, lie below 4 GiB")
def compat_code_below_4_gib(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge where the code and its page tables lie."""
    for trace in each(behaviour, LOW):
        sees(trace, "entries")
        one = placed_at(trace)
        if not fact(one, "compat"):
            raise not_applicable("no part of the trampoline is 32-bit code")
        tables = fact(one, "page_tables")
        good = one.value + one.width <= GIB_4 and tables < GIB_4
        yield Finding(good, f"{_where(one)}, page tables at {tables:#x}", f"below {GIB_4:#x}", (told(trace, one),))


def _touched(trace: Trace) -> Iterator[tuple[Event, list[Event]]]:
    """Yield each landing with what the wake routine touched until it loaded page tables of its own."""
    sees(trace, "routine")
    for landing in trace.of(Kind.LANDING):
        own = [one for one in trace.of(Kind.ROUTINE) if one.agent == landing.agent and one.note not in _NOT_TOUCHED]
        loads = [number for number, one in enumerate(own) if one.note == "cr3"]
        if not loads:
            raise inconclusive("the load of CR3 in the wake routine was not seen")
        yield landing, own[: loads[0] + 1]


def _outside(touched: list[Event], page: int) -> list[Event]:
    return [one for one in touched if one.value < page or one.value + one.width > page + PAGE]


def _strays(trace: Trace, page: int, touched: list[Event]) -> Finding:
    bad = _outside(touched, page)
    found = f"{bad[0].note} at {bad[0].value:#x}" if bad else "nothing touched outside the page"
    expected = f"{page:#x} to {page + PAGE - 1:#x} until CR3 is loaded"
    return Finding(not bad, found, expected, (told(trace, bad[0] if bad else None),))


@booted("TRM-08", LOW, "until it loads CR3 the wake routine touches the page of the wakeup vector only")
def touches_one_page(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what each processor touches."""
    for trace in each(behaviour, LOW):
        landings = list(_touched(trace))
        if not landings:
            raise inconclusive("no processor has landed")
        for landing, touched in landings:
            yield _strays(trace, landing.value // PAGE * PAGE, touched)


def _survives(behaviour: Behaviour, sentence: str, weight: Weight | None = None) -> Iterator[Finding]:
    """Judge whether each processor that lands comes alive, by a fault that nobody handled or by its sign of life."""
    for trace in each(behaviour, sentence):
        faults = trace.of(Kind.FAULT)
        for one in faults:
            code = fact(one, "error")
            told_of = f" with error code {code:#x} at address {one.value:#x}" if code >= 0 else ""
            found = f"{one.note or 'a fault'}{told_of}"
            yield Finding(False, found, "no fault", (told(trace, one), *machine_code(trace, one)), weight)
        if faults:
            continue
        landed = {trace.ids[one.agent] for one in trace.of(Kind.LANDING)}
        if not landed:
            raise inconclusive("no processor has landed")
        if landed - {one.value for one in trace.of(Kind.ALIVE)}:
            raise inconclusive("a processor neither faulted nor came alive")
        yield Finding(True, "every processor that lands comes alive", "no fault", (told(trace),), weight)


@beside("TRM-08", ONE_PAGE, "a processor comes alive where the page of the vector alone is mapped")
def lives_in_one_page(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge a wake where every touch of another page is a fault."""
    yield from _survives(behaviour, ONE_PAGE)


@beside("SND-17", NO_NXE, "a processor comes alive where firmware has not set EFER.NXE")
def lives_without_nxe(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge a wake in a state that ACPI does not speak of; page tables with NX bits need EFER.NXE."""
    yield from _survives(behaviour, NO_NXE, Weight.ROBUSTNESS)


@beside("SND-17", LEFT, "a processor comes alive whatever else CR0, CR4, RFLAGS and the general registers hold")
def lives_with_what_is_left(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge a wake with much left at once, and where that is too much, with a part of it at a time."""
    together = list(_survives(behaviour, LEFT, Weight.ROBUSTNESS))
    yield from together
    if not all(one.ok for one in together):
        for sentence in EACH_LEFT:
            yield from _survives(behaviour, sentence, Weight.ROBUSTNESS)


@beside("SND-17", FIVE_LEVELS, "a processor comes alive on page tables of five levels")
def lives_on_five_levels(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge a wake where the wake routine has to leave five-level paging first, or to go on with it."""
    yield from _survives(behaviour, FIVE_LEVELS, Weight.ROBUSTNESS)


@booted(
    "TRM-09",
    LOW,
    "the boot code lies in the page at 0x8000, and its 64-bit entry behind the first byte",
    like_asterinas,
)
def boots_at_0x8000(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge place and size of the boot code, its entry, and what runs under firmware's page tables."""
    for trace in each(behaviour, LOW):
        one = placed_at(trace)
        entry = fact(one, "entry64")
        good = one.value == AP_BOOT_START and one.width <= PAGE and AP_BOOT_START < entry < AP_BOOT_START + PAGE
        expected = f"inside {AP_BOOT_START:#x} to {AP_BOOT_START + PAGE - 1:#x}"
        yield Finding(good, f"{_where(one)}, entry {entry:#x}", expected, (told(trace, one),))
        for _, touched in _touched(trace):
            yield _strays(trace, AP_BOOT_START, touched)


@booted("TRM-10", LOW, "the first MiB is reserved once the trampoline has its place", like_linux)
def reserves_first_mib(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the reservation, and that it comes after the allocation."""
    for trace in each(behaviour, LOW):
        allocated = trace.of(Kind.ALLOC)
        placed = allocated.index(placed_at(trace))
        whole = [n for n, one in enumerate(allocated) if one.note == "first MiB" and not one.value and one.width >= MIB]
        order = "not reserved" if not whole else f"reserved {'after' if whole[0] > placed else 'before'} the trampoline"
        found = f"the first MiB is {order}"
        yield Finding(bool(whole) and whole[0] > placed, found, "reserved after the trampoline", (told(trace),))
