"""What the features of single systems (``features/systems``) claim beside the checks that everybody has.

Each claim tells how one implementation is known to behave, under the requirement that it belongs to most closely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mpwake.checks import conditions as c
from mpwake.checks.boot import (
    PAGE,
    TEST,
    a_system,
    answers,
    console,
    like_asterinas,
    like_linux,
    like_linux_at_vtl,
    named,
    noted,
    ordered,
    sent,
    takes_tree,
)
from mpwake.checks.bringup import THREE
from mpwake.checks.core import Condition, Finding, Judge, claim, inconclusive, probe
from mpwake.checks.devicetree import cpu_nodes
from mpwake.checks.enumeration import none_adopted, processors
from mpwake.checks.guest import AT_VTL, AT_VTL_WITHOUT, HELD_BACK, VBS, came_far, starts
from mpwake.checks.loop import Seen, a_loop, acts, over_trials
from mpwake.checks.receiver import BROADCAST
from mpwake.checks.selection import VTL_NO_TDX
from mpwake.checks.sender import NEVER, a_bring_up
from mpwake.checks.traffic import NAMES, each, folded, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.fdt import Node
from mpwake.evidence.tables import Tables
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.spec.requirements import Role

NOBODY_ASKED = "an operating system boots with a mailbox and maxcpus=1, and is asked for nothing"
BEYOND = "an operating system boots with a wakeup entry of 16 bytes of which the MADT holds 12"
AGAIN = "an operating system takes a processor offline and online again, with a wakeup entry of version 1"
LINUX_TRIES, IO_ERROR = 255, -5
ASTERINAS_TRIES = 1000
COUNTED = [1, 2, 3]
GIVEN = 1
CALLBACKS = ("mailbox", "hypercall", "ipi")
REAL_MODE = ("trampoline", "stub header", "first MiB")


def _booted(id: str, when: str, then: str, *also: Condition) -> Callable[[Judge], Judge]:
    declare = claim(id, given=(a_system, *also), when=probe(when), then=then, role=Role.SENDER)
    return lambda judge: declare(folded(judge))


def _brought_up(id: str, when: str, then: str) -> Callable[[Judge], Judge]:
    declare = claim(id, given=(a_bring_up,), when=probe(when), then=then, role=Role.SENDER)
    return lambda judge: declare(folded(judge))


# Linux


def _first_start(trace: Trace) -> tuple[list[Event], Event | None]:
    """Return what happens from the first start to its answer, and the answer, or None where it never comes."""
    found: list[Event] = []
    for one in trace.events:
        if one.kind is Kind.REQUEST or found:
            found.append(one)
        if found and one.kind is Kind.RETURN:
            return found, one
    if not found:
        raise inconclusive("no processor was asked for")
    return found, None


def _loads(events: list[Event]) -> int:
    own = [one for one in events if one.kind is Kind.LOAD and one.agent == SENDER and one.touches(0, 2)]
    return sum(one.count for one in own)


def _warnings(events: list[Event]) -> list[Event]:
    return [
        one
        for one in events
        if (one.kind is Kind.EMIT and one.note == "warning")
        or (one.kind is Kind.CONSOLE and one.facts.get("level") == "warning")
    ]


@_brought_up(
    "TMO-08", NEVER, "after 255 loads of Command there is one warning, Command is set to 0, and -5 is returned"
)
def linux_gives_up(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the start of a processor that never acknowledges."""
    for trace in each(behaviour, NEVER):
        events, back = _first_start(trace)
        loads, warnings = _loads(events), _warnings(events)
        released = _released(trace, warnings[0]) if warnings else None
        code = back.value if back else None
        found = (
            f"{loads} loads, {len(warnings)} warnings, Command {'' if released else 'not '}set to 0, returned {code}"
        )
        good = loads == LINUX_TRIES and len(warnings) == 1 and released is not None and code == IO_ERROR
        expected = f"{LINUX_TRIES} loads, 1 warnings, Command set to 0, returned {IO_ERROR}"
        yield Finding(good, found, expected, (told(trace, back),))


def _released(trace: Trace, warning: Event) -> Event | None:
    """Return the operating system's store of Command 0, which comes after the warning and before any other command."""
    later = trace.events[trace.events.index(warning) :]
    own = [one for one in later if one.kind is Kind.STORE and one.agent == SENDER and one.touches(0, 2)]
    return own[0] if own and own[0].value & 0xFFFF == 0 else None


@_booted("MEM-18", THREE, "the mailbox is mapped once, and only when a processor is to be started")
def linux_maps_at_first_use(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the mappings of a boot that starts three processors, and of one that starts none."""
    for trace in each(behaviour, THREE):
        if not sent(trace):
            raise inconclusive("no processor was woken through the mailbox")
        yield _mapped(trace, 1)
    for trace in each(behaviour, NOBODY_ASKED):
        if not noted(trace, Kind.METHOD, "mailbox"):
            raise inconclusive("the mailbox was not taken for the way to start processors")
        yield _mapped(trace, 0)


def _mapped(trace: Trace, expected: int) -> Finding:
    found = noted(trace, Kind.MAP, "mailbox")
    awake = len(sent(trace))
    words = f"mapped {len(found)} times, with {awake} processors started"
    wanted = f"mapped {expected} times, with {awake} processors started"
    return Finding(len(found) == expected, words, wanted, (told(trace, found[-1] if found else None),))


@_booted("MADT-21", BEYOND, "no mailbox is adopted from an entry that the table does not hold whole", like_linux)
def linux_looks_at_the_end(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether a mailbox is mapped or taken for the method."""
    yield from none_adopted(behaviour, BEYOND)


def _wakeups(trace: Trace) -> list[tuple[Event, int]]:
    """Return the Wakeups for the processor that goes and comes again, with their vectors."""
    found = [(one, vector) for one, apic, vector in sent(trace) if apic == GIVEN]
    if not found:
        raise inconclusive("the processor was not woken")
    return found


@_booted("RST-01", AGAIN, "the processor jumps to ResetVector and lands again at the vector of a second Wakeup")
def lands_again(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what becomes of a processor that is taken offline and asked for again."""
    for trace in ordered(behaviour, AGAIN):
        vectors = [vector for _, vector in _wakeups(trace)]
        agent = trace.ids.index(GIVEN)
        landed = [one.value for one in trace.of(Kind.LANDING) if one.agent == agent]
        jumps = [one for one in trace.of(Kind.RESET) if one.value == GIVEN]
        codes = [back.value if back else None for one, back in answers(trace, "online") if one.target == GIVEN]
        found = f"{len(vectors)} Wakeups, {len(landed)} landings, {len(jumps)} jumps, starts returned {codes}"
        good = len(vectors) == 2 and landed == vectors and len(jumps) == 1 and codes == [0, 0]
        expected = "2 Wakeups, 2 landings at their vectors, 1 jumps, starts returned [0, 0]"
        yield Finding(good, found, expected, (told(trace, jumps[0] if jumps else None),))


@_booted("RST-09", AGAIN, "Test follows the jump, and is answered before the processor is woken again")
def offline_is_verified(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the order of the jump, the Test, its answer and the second Wakeup."""
    for trace in ordered(behaviour, AGAIN):
        steps = {id(one): "Wakeup" for one, _ in _wakeups(trace)}
        steps |= {id(one): "Test" for one, apic, _ in sent(trace, TEST) if apic == GIVEN}
        steps |= {id(one): "jump" for one in trace.of(Kind.RESET) if one.value == GIVEN}
        agent = trace.ids.index(GIVEN)
        steps |= {id(one): "answer" for one in trace.stores(agent) if one.touches(0, 2)}
        order = ", ".join(steps[id(one)] for one in trace.events if id(one) in steps)
        wanted = "Wakeup, answer, jump, Test, answer, Wakeup, answer"
        yield Finding(order == wanted, order, wanted, (told(trace),))


# OpenHCL's kernel at VTL2


def _installed(trace: Trace) -> list[Event]:
    return [one for one in trace.of(Kind.METHOD) if one.note in CALLBACKS]


@_booted("TDX-02", AT_VTL, "the mailbox is set up once, and code outside ACPI is told its address", like_linux_at_vtl)
def address_is_shared(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the set-up, the page that is mapped, and the page that is_private_mmio() knows of."""
    for trace in each(behaviour, AT_VTL):
        came_far(trace)
        places = [one.value for one in noted(trace, Kind.METHOD, "mailbox")]
        known = {one.value // PAGE * PAGE for one in trace.of(Kind.PRIVATE) if one.facts["answer"] is True}
        mapped = {one.value for one in noted(trace, Kind.MAP, "mailbox")}
        found = f"set up at {named(places)}, told {named(sorted(known))}, mapped at {named(sorted(mapped))}"
        good = len(places) == 1 and known == mapped == set(places)
        yield Finding(good, found, "one set-up, and its address told and mapped", (told(trace),))


@_booted(
    "HVL-04", AT_VTL, "the wake callback is replaced where there is a mailbox, and nowhere else", like_linux_at_vtl
)
def replaced_with_mailbox_only(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the callbacks that are installed with a mailbox and without one."""
    for sentence, wanted in ((AT_VTL, ["mailbox"]), (AT_VTL_WITHOUT, [])):
        for trace in each(behaviour, sentence):
            came_far(trace)
            found = _installed(trace)
            notes = [one.note for one in found]
            words, expected = (", ".join(one) or "nothing" for one in (notes, wanted))
            exhibit = told(trace, found[-1] if found else None)
            yield Finding(notes == wanted, f"installed: {words}", f"installed: {expected}", (exhibit,))


def _in_one_place(trace: Trace, wanted: str) -> Finding:
    came_far(trace)
    events = list(trace.events)
    steps = [
        at
        for at, one in enumerate(events)
        if (one.kind is Kind.METHOD and one.note == "realmode limit")
        or (one.kind is Kind.ALLOC and one.note in REAL_MODE)
    ]
    notes = [events[at].note for at in steps]
    together = steps == list(range(steps[0], steps[0] + len(steps))) if steps else False
    first = next(at for at, one in enumerate(events) if one.kind is Kind.CPU)
    good = together and steps[-1] < first and notes[:2] == ["realmode limit", wanted]
    good = good and all(note == "first MiB" for note in notes[2:])
    where = "together" if together else "apart"
    shown = events[steps[-1]] if steps else None
    return Finding(
        good, f"{', '.join(notes) or 'nothing'}, {where}", f"realmode limit, {wanted}, together", (told(trace, shown),)
    )


@_booted(
    "HVL-05", AT_VTL, "memory for real mode is set up in one place, before any processor is listed", like_linux_at_vtl
)
def real_mode_in_one_place(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what comes between the limit and the trampoline, and before them."""
    for trace in each(behaviour, AT_VTL):
        yield _in_one_place(trace, "trampoline")


@_booted(
    "HVL-02", VBS, "the stub header is set up where the limit is, before any processor is listed", like_linux_at_vtl
)
def stub_in_one_place(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what comes between the limit and the stub header, and before them."""
    for trace in each(behaviour, VBS):
        yield _in_one_place(trace, "stub header")


@_booted(
    "HVL-03",
    VTL_NO_TDX,
    "each processor is started by one hypercall, and by nothing else",
    like_linux_at_vtl,
    takes_tree,
)
def started_by_hypercall(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the hypercalls, and whatever else starts processors, in a guest that has a mailbox node as well."""
    for trace in each(behaviour, VTL_NO_TDX):
        came_far(trace)
        calls = [one.value for one in trace.of(Kind.HYPERCALL)]
        others = [*starts(trace), *(one for one, _, _ in sent(trace))]
        found = f"hypercalls for {named(calls)}, {len(others)} IPIs and Wakeups"
        good = calls == list(trace.ids[1:]) and not others
        expected = f"hypercalls for {named(list(trace.ids[1:]))}, 0 IPIs and Wakeups"
        yield Finding(good, found, expected, (told(trace, others[0] if others else None),))


# Asterinas


@_booted(
    "MADT-17", THREE, "four entries of type 0 make APIC IDs 1 to 3, each woken once, in this order", like_asterinas
)
def asterinas_counts(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the APIC IDs of the Wakeups."""
    for trace in ordered(behaviour, THREE):
        processors(trace)
        ids = [apic for _, apic, _ in sent(trace)]
        yield Finding(ids == COUNTED, f"woken: {named(ids)}", named(COUNTED), (told(trace),))


@_booted("TMO-08", HELD_BACK, "after 1000 loads of Command the start has failed, which is a panic", like_asterinas)
def asterinas_gives_up(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the start of a processor that does not acknowledge in time."""
    for trace in each(behaviour, HELD_BACK):
        events, back = _first_start(trace)
        loads, panics = _loads(events), console(trace, "panic")
        code = back.value if back else None
        found = f"{loads} loads, returned {code}, {len(panics)} panics"
        good = loads == ASTERINAS_TRIES and code is not None and code < 0 and len(panics) == 1
        yield Finding(good, found, f"{ASTERINAS_TRIES} loads, an error, 1 panics", (told(trace, back),))


# AP loops


def _looped(id: str, when: str, then: str) -> Callable[[Callable[[Trace], Iterator[Seen]]], Judge]:
    declare = claim(id, given=(a_loop,), when=probe(when), then=then, role=Role.RECEIVER)
    return lambda judge: declare(lambda behaviour: over_trials(behaviour, when, judge))


def _before_others(trace: Trace) -> tuple[Event, list[Event]]:
    """Return the request with the private APIC ID, and what processors do until the next request."""
    asked = [one for one in trace.of(Kind.REQUEST) if NAMES.get(one.value) == "wake"]
    if len(asked) < 2:
        raise inconclusive("an ordinary command after the one with the private APIC ID was not seen")
    return asked[0], [one for one in acts(trace) if one.time < asked[1].time]


@_looped("RCV-20", BROADCAST, "whoever sees it first takes it, and lands at its vector")
def broadcast_is_known(trace: Trace) -> Iterator[Seen]:
    """Judge who lands before an ordinary command is sent; the acknowledgement takes it away from those who are late."""
    asked, early = _before_others(trace)
    landed = [one for one in early if one.kind is Kind.LANDING]
    stray = next((one for one in landed if one.value != asked.vector), None)
    woken = named(sorted(trace.ids[one.agent] for one in landed))
    found = f"a landing at {stray.value:#x}" if stray else f"woken by it: {woken}"
    yield Seen(bool(landed) and stray is None, found, f"at least one, at {asked.vector:#x}", stray)


@_looped("RCV-20", BROADCAST, "no processor takes it")
def broadcast_is_unknown(trace: Trace) -> Iterator[Seen]:
    """Judge what processors do before an ordinary command is sent, which shows that they live."""
    _, early = _before_others(trace)
    taken = [trace.ids[one.agent] for one in early]
    yield Seen(not taken, f"acted on by {named(sorted(set(taken)))}", "nobody", early[0] if early else None)


# Rejected designs of the binding


def _draft(tables: Tables, words: str) -> list[tuple[Node, str]]:
    return [(node, what) for node, what in c.rejected_designs(c.fdt_of(tables)) if words in what]


@claim(
    "HVL-06",
    given=(),
    when=c.read_fdt,
    then="the address in /cpus is named as the first two drafts of the binding, and no node announces a mailbox",
    role=Role.TABLES,
)
def first_drafts_are_named(tables: Tables) -> Iterator[Finding]:
    """Judge what of the rejected design is recognised: the address and the enable-method in /cpus."""
    fdt, nodes = c.fdt_of(tables), c.mailbox_nodes(c.fdt_of(tables))
    found = _draft(tables, "of the first two drafts")
    at = (fdt.exhibit(found[0][0].offset if found else fdt.root.offset, 4),)
    named_so = "; ".join(f"{node.path} has {what}" for node, what in found) or "nothing of these drafts"
    good = any("mailbox-addr" in what for _, what in found) and {node.path for node, _ in found} == {"/cpus"}
    yield Finding(good, named_so, "an address in /cpus, of the first two drafts", at)
    yield Finding(not nodes, f"{len(nodes)} mailbox nodes", "0 mailbox nodes", at)


@claim(
    "DT-18",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="the enable-method of each cpu is named as the third draft of the binding",
    role=Role.TABLES,
)
def third_draft_is_named(tables: Tables) -> Iterator[Finding]:
    """Judge what of the rejected design is recognised: an enable-method in every cpu node."""
    fdt = c.fdt_of(tables)
    found = {node.path for node, _ in _draft(tables, "of the third draft")}
    cpus = cpu_nodes(fdt)
    if not cpus:
        raise inconclusive("the DeviceTree has no cpu node")
    for node in cpus:
        words = f"{node.path} {'follows' if node.path in found else 'does not follow'} the third draft"
        expected = f"{node.path} follows the third draft"
        yield Finding(node.path in found, words, expected, (fdt.exhibit(node.offset, 4 + len(node.name)),))
