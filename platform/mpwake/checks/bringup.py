"""How a booted operating system wakes processors (areas SND, ORD, DUP and MEM)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.boot import (
    PAGE,
    TEST,
    WAKEUP,
    acknowledged,
    answers,
    booted,
    console,
    field,
    named,
    noted,
    ordered,
    pages,
    sees,
    sent,
)
from mpwake.checks.core import Finding, inconclusive, not_applicable
from mpwake.checks.traffic import OS_HEADER, OS_SECTION, each, place, told, trials
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import ACTIONS, SENDER, Event, Kind, Trace
from mpwake.model.agent import FIELDS

LOW = 0x100000
TWICE = 1
SILENT = 1
HELD_BACK = 2

THREE = "an operating system boots with three processors to start"
ON_2 = "an operating system boots on the processor with APIC ID 2"
AT_ONCE = "an operating system is asked for seven processors at the same time"
SLOW = "an operating system boots with processors that are slow to leave for the vector"
NO_LOW = "an operating system boots without usable memory below 1 MiB"
UNMAPPED = "an operating system boots with a mailbox that cannot be mapped"
DESCENDING = "an operating system boots with its processors listed in descending order"
LAST = "an operating system boots with its own processor listed last"
STRANGER = "an operating system is asked for a processor that runs and for one that is not listed"
DUPLICATE = "an operating system boots with a processor that is listed twice"
MUTE = "an operating system boots with a processor that acknowledges and never comes alive"
FILLED = "an operating system fills all free memory and then starts a processor that was held back"


def _mailbox(trace: Trace) -> int:
    mapped = noted(trace, Kind.MAP, "mailbox")
    if not mapped:
        raise inconclusive("no mapping of the mailbox was seen")
    return mapped[0].value


def _wakeups(trace: Trace) -> list[tuple[Event, int, int]]:
    found = sent(trace)
    if not found:
        raise inconclusive("no Wakeup was sent")
    return found


@booted("SND-09", ON_2, "no command is for the processor that boots")
def never_itself(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge ApicId at each Wakeup."""
    for trace in ordered(behaviour, ON_2):
        own = trace.ids[SENDER]
        for one, apic, _ in _wakeups(trace):
            yield Finding(
                apic != own, f"a Wakeup for APIC ID {apic:#x}", f"for another than {own:#x}", (told(trace, one),)
            )


@booted("SND-10", AT_ONCE, "one command is in flight at a time, and its fields are those of one request")
def one_in_flight(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge each Wakeup against the requests that have none yet."""
    for trace in ordered(behaviour, AT_ONCE):
        _wakeups(trace)
        yield from _unmixed(trace)


def _unmixed(trace: Trace) -> Iterator[Finding]:
    wanted = "Command 0 before it, and the fields of a request that has had no command"
    filled = {id(one): (apic, vector) for one, apic, vector in sent(trace)}
    asked: list[tuple[int, int]] = []
    for one, before in pages(trace):
        if one.kind is Kind.REQUEST and one.value == ACTIONS["online"]:
            asked.append((one.target, one.vector))
        elif id(one) in filled:
            pair, pending = filled[id(one)], field(before, 0, 2)
            found = f"a Wakeup for APIC ID {pair[0]:#x} at Command {pending}"
            found += "" if pair in asked else ", which no open request asks for"
            yield Finding(pending == 0 and pair in asked, found, wanted, (told(trace, one),))
            asked = [other for other in asked if other != pair]


@booted("SND-12", SLOW, "the wake routine and its data are kept until the processor has told that it lives")
def routine_is_kept(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what happens to the routine's memory between a Wakeup and the sign of life of its processor."""
    for trace in ordered(behaviour, SLOW):
        sees(trace, "free", "routine")
        if not trace.of(Kind.ALIVE):
            raise inconclusive("no processor came alive")
        yield from _kept(trace)


def _kept(trace: Trace) -> Iterator[Finding]:
    called = {id(event): apic for event, apic, _ in _wakeups(trace)}
    data: dict[int, int] = {}
    due: set[int] = set()
    bad: Event | None = None
    for one in trace.events:
        if id(one) in called:
            due.add(called[id(one)])
        elif one.kind is Kind.ALIVE:
            due.discard(one.value)
        elif one.kind is Kind.FREE and one.note == "trampoline" and one.target in due:
            bad = bad or one
        elif one.kind is Kind.ROUTINE and one.note == "fill":
            bad = bad or (one if data.get(one.value) in due - {one.target} else None)
            data[one.value] = one.target
    found = "the routine and its data kept"
    if bad:
        found = "the routine freed" if bad.kind is Kind.FREE else "its data written over"
        found += " while a processor needs it"
    yield Finding(bad is None, found, "kept until the processor has told that it lives", (told(trace, bad),))


@booted("SND-13", THREE, "each wakeup vector is in ReservedForOs or below 1 MiB")
def vector_in_place(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge WakeupVector at each Wakeup."""
    for trace in ordered(behaviour, THREE):
        for one, _, vector in _wakeups(trace):
            good = vector < LOW or _inside(trace, vector)
            yield Finding(good, f"WakeupVector {vector:#x}", "in ReservedForOs, or below 0x100000", (told(trace, one),))


def _inside(trace: Trace, address: int) -> bool:
    return OS_HEADER <= address - _mailbox(trace) < OS_SECTION


@booted("SND-14", NO_LOW, "no wakeup vector is below 1 MiB, where the memory map reports no memory")
def low_only_if_reported(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge WakeupVector at each Wakeup, where all memory below 1 MiB is reserved."""
    for trace in ordered(behaviour, NO_LOW):
        wakeups = sent(trace)
        if not wakeups:
            raise not_applicable("without usable memory below 1 MiB the operating system wakes nobody")
        for one, _, vector in wakeups:
            yield Finding(vector >= LOW, f"WakeupVector {vector:#x}", "0x100000 or above", (told(trace, one),))


def _routines(trace: Trace) -> list[tuple[Event, list[Event]]]:
    """Return each landing with what the processor does after it, its load of CR3 included."""
    sees(trace, "routine")
    found: list[tuple[Event, list[Event]]] = []
    running: dict[int, list[Event]] = {}
    for one in trace.events:
        if one.kind is Kind.LANDING:
            running[one.agent] = []
            found.append((one, running[one.agent]))
        elif one.kind is Kind.ROUTINE and one.agent in running:
            running[one.agent].append(one)
            if one.note == "cr3":
                del running[one.agent]
    if not any(steps for _, steps in found):
        raise inconclusive("nothing that a wake routine does was seen")
    return [(landing, steps) for landing, steps in found if steps]


def _within(trace: Trace, steps: list[Event], start: int, end: int) -> Finding:
    outside = [one for one in steps if not start <= one.value <= one.value + one.width <= end]
    found = "every byte inside"
    if outside:
        found = f"{outside[0].note} of {outside[0].width} bytes at {outside[0].value:#x}"
    expected = f"inside {start:#x} to {end - 1:#x}"
    return Finding(not outside, found, expected, (told(trace, outside[0] if outside else None),))


@booted("SND-15", THREE, "all that the wake routine needs until it has loaded CR3 is in the page of the vector")
def routine_in_one_page(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the addresses of its instructions and data."""
    for trace in each(behaviour, THREE):
        for landing, steps in _routines(trace):
            page = landing.value & -PAGE
            yield _within(trace, steps, page, page + PAGE)


@booted("SND-16", NO_LOW, "a wake routine in ReservedForOs uses nothing of the mailbox page beyond it")
def routine_in_os_section(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what is allocated for the routine, its data, and all that the processors do in it."""
    for trace in ordered(behaviour, NO_LOW):
        wakeups = sent(trace)
        if not any(_inside(trace, vector) for _, _, vector in wakeups):
            raise not_applicable("no wakeup vector is in ReservedForOs")
        base = _mailbox(trace)
        placed = noted(trace, Kind.ALLOC, "trampoline") + noted(trace, Kind.ROUTINE, "fill")
        for _, steps in _routines(trace):
            yield _within(trace, placed + steps, base + OS_HEADER, base + OS_SECTION)


@booted("SND-17", THREE, "the wake routine uses no stack and no descriptor before it has its own")
def own_descriptors(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge pushes and far jumps against the stack and the GDT that the routine has loaded by then."""
    needs = {"push": "stack", "far-jump": "lgdt"}
    for trace in each(behaviour, THREE):
        for _, steps in _routines(trace):
            done = [one.note for one in steps]
            early = [one for at, one in enumerate(steps) if one.note in needs and needs[one.note] not in done[:at]]
            found = f"a {early[0].note} with what firmware has left" if early else "nothing of firmware used"
            yield Finding(not early, found, "nothing of firmware used", (told(trace, early[0] if early else None),))


@booted("SND-18", THREE, "the wake routine does not enable interrupts before it has loaded its own IDT")
def interrupts_stay_off(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge where interrupts are enabled."""
    for trace in each(behaviour, THREE):
        for _, steps in _routines(trace):
            done = [one.note for one in steps]
            early = "sti" in done and "lidt" not in done[: done.index("sti")]
            found = f"interrupts {'enabled before the load of an IDT' if early else 'kept off'}"
            yield Finding(not early, found, "kept off", (told(trace, steps[done.index("sti")] if early else None),))


@booted("SND-19", UNMAPPED, "each start fails with an error, and nothing is stored to the mailbox")
def map_failure_is_noticed(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what follows the mapping that failed."""
    for trace in each(behaviour, UNMAPPED):
        if not any(one.facts.get("mapped") is False for one in noted(trace, Kind.MAP, "mailbox")):
            raise inconclusive("no mapping of the mailbox was seen to fail")
        codes = [back.value if back else None for _, back in answers(trace, "online")]
        stored, panics = trace.stores(SENDER), console(trace, "panic")
        failed = bool(codes) and all(code is not None and code < 0 for code in codes)
        found = f"starts returned {codes}, {len(stored)} stores, {len(panics)} panics"
        exhibit = told(trace, (*stored, *panics, None)[0])
        yield Finding(failed and not stored and not panics, found, "errors, no store, no panic", (exhibit,))


@booted("SND-20", DESCENDING, "the same processors come alive in whatever order they are listed")
def order_is_free(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who comes alive when the table lists the processors in other orders than the ascending one."""
    usual = [_alive(trace) for trace in ordered(behaviour, THREE)]
    if not usual or not usual[0]:
        raise inconclusive("no processor came alive, in whatever order")
    for sentence in (DESCENDING, LAST):
        for trace in ordered(behaviour, sentence):
            alive = _alive(trace)
            yield Finding(alive == usual[0], f"alive: {named(alive)}", f"{named(usual[0])}", (told(trace),))


def _alive(trace: Trace) -> list[int]:
    return sorted({one.value for one in trace.of(Kind.ALIVE)})


@booted("SND-21", STRANGER, "every command is for a listed processor that polls")
def targets_poll(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge ApicId at each command against who is listed, was woken and was given back."""
    for trace in ordered(behaviour, STRANGER):
        commands = {id(one): apic for number in (WAKEUP, TEST) for one, apic, _ in sent(trace, number)}
        if not commands:
            raise inconclusive("no command was sent")
        yield from _aimed(trace, commands)


def _aimed(trace: Trace, commands: dict[int, int]) -> Iterator[Finding]:
    listed, running = set[int](), set[int]()
    for one in trace.events:
        if one.kind is Kind.CPU:
            listed.add(one.value)
        elif one.kind is Kind.RESET:
            running.discard(one.value)
        elif id(one) in commands:
            apic = commands[id(one)]
            who = "is not listed" if apic not in listed else "runs" if apic in running else "polls"
            found = f"a command for a processor that {who}"
            yield Finding(who == "polls", found, "for one that polls", (told(trace, one),))
            running.add(apic)


@booted("ORD-02", THREE, "the operating system notices an acknowledgement that comes while it waits")
def polls_afresh(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether each acknowledgement is followed by a load of Command, or by the end of the wait."""
    for trace in trials(behaviour, THREE):
        acks = _awaited(trace)
        if not acks:
            raise inconclusive("no Wakeup was acknowledged while the operating system waited")
        for one in acks:
            good = _looks_after(trace, one)
            found = "noticed" if good else "Command is not loaded again, and the wait does not end"
            yield Finding(good, found, "the acknowledgement is noticed", (told(trace, one),))
        if trace.spent:
            raise inconclusive("a trial was not finished within its budget")


def _awaited(trace: Trace) -> list[Event]:
    """Return the acknowledgements that come while a request is pending."""
    acks = {id(one) for one in acknowledged(trace)}
    found, pending = [], False
    for one in trace.events:
        if one.kind in (Kind.REQUEST, Kind.RETURN):
            pending = one.kind is Kind.REQUEST
        elif id(one) in acks and pending:
            found.append(one)
    return found


def _looks_after(trace: Trace, ack: Event) -> bool:
    later = [one for one in trace.events if max(one.time, one.until) > ack.time]
    return any(
        one.kind is Kind.RETURN or (one.kind is Kind.LOAD and one.agent == SENDER and one.touches(0, 2))
        for one in later
    )


@booted("ORD-03", THREE, "what the wake routine reads is written before Command")
def data_before_command(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge when the data of each processor are written, seen from its Wakeup."""
    for trace in ordered(behaviour, THREE):
        sees(trace, "routine")
        if not noted(trace, Kind.ROUTINE, "fill"):
            raise inconclusive("nobody was seen to write what the wake routine reads")
        called = {id(one): apic for one, apic, _ in _wakeups(trace)}
        filled, late = set[int](), set[int](called.values())
        for one in trace.events:
            if one.kind is Kind.ROUTINE and one.note == "fill":
                filled.add(one.target)
            elif id(one) in called and called[id(one)] in filled:
                late.discard(called[id(one)])
        for apic in sorted(set(called.values())):
            found = f"data for APIC ID {apic:#x} written {'after' if apic in late else 'before'} Command"
            yield Finding(apic not in late, found, "written before Command", (told(trace),))


@booted("ORD-07", THREE, "each access of the operating system is that of one whole field")
def whole_fields(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge offset and width of every access to the fields."""
    for trace in each(behaviour, THREE):
        for one in trace.events:
            if one.kind in (Kind.LOAD, Kind.STORE) and one.agent == SENDER and one.touches(0, OS_HEADER):
                good = (one.offset, one.width) in FIELDS.values()
                found = f"a {one.kind.value} of {place(one.offset, one.width)}"
                yield Finding(good, found, "of one whole field", (told(trace, one),))


@booted("DUP-05", MUTE, "it is not sent a second Wakeup")
def mute_is_not_retried(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the Wakeups for a processor that has acknowledged one."""
    for trace in ordered(behaviour, MUTE):
        if SILENT in {one.value for one in trace.of(Kind.ALIVE)}:
            raise inconclusive("the processor came alive")
        yield _once(trace, SILENT)


@booted("DUP-06", DUPLICATE, "it is woken once")
def duplicate_is_woken_once(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the Wakeups for a processor that stands in the table in both forms."""
    for trace in ordered(behaviour, DUPLICATE):
        yield _once(trace, TWICE)


def _once(trace: Trace, wanted: int) -> Finding:
    wakeups = [one for one, apic, _ in _wakeups(trace) if apic == wanted]
    if not wakeups:
        raise inconclusive(f"no Wakeup was sent to APIC ID {wanted:#x}")
    found = f"{len(wakeups)} Wakeups for APIC ID {wanted:#x}"
    return Finding(len(wakeups) == 1, found, "1", (told(trace, wakeups[-1]),))


@booted("MEM-17", FILLED, "no memory that waiting processors need is used, and the processor comes alive")
def memory_is_preserved(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what the operating system takes for itself, and whether the processor that was held back comes."""
    for trace in ordered(behaviour, FILLED):
        sees(trace, "own use")
        taken = noted(trace, Kind.ALLOC, "own use")
        if not taken or not trace.regions:
            raise inconclusive("what is taken, or what the processors need, was not seen")
        yield from _untouched(trace, taken)
        asked = any(apic == HELD_BACK for _, apic, _ in sent(trace))
        if not asked:
            raise inconclusive("the processor that was held back was not woken")
        alive = HELD_BACK in {one.value for one in trace.of(Kind.ALIVE)}
        found = f"the processor {'came' if alive else 'did not come'} alive"
        yield Finding(alive, found, "the processor came alive", (told(trace),))


def _untouched(trace: Trace, taken: list[Event]) -> Iterator[Finding]:
    for region in trace.regions:
        used = next((one for one in taken if one.value < region.end and region.start < one.value + one.width), None)
        found = f"{region.name} {'used' if used else 'left alone'}"
        yield Finding(used is None, found, f"{region.name} left alone", (told(trace, used),))


@booted("MEM-18", THREE, "the mailbox is mapped write-back")
def mapped_write_back(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the memory type of each mapping of the mailbox."""
    costs = {"uc": "uncached: slow", "wc": "write-combining: the order of the stores is lost"}
    for trace in each(behaviour, THREE):
        sees(trace, "cache")
        types = [(one, str(one.facts["cache"])) for one in noted(trace, Kind.MAP, "mailbox") if "cache" in one.facts]
        if not types:
            raise inconclusive("the memory type of the mapping was not seen")
        for one, kind in types:
            yield Finding(kind == "wb", costs.get(kind, kind), "wb", (told(trace, one),))
