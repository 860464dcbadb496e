"""The AP loop (areas RCV, ORD, DUP, MEM and RST, as far as its accesses and landings show it)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mpwake.checks.core import Condition, Finding, Judge, check, given, not_applicable, probe
from mpwake.checks.traffic import NAMES, OS_HEADER, OS_SECTION, TIMED_OUT, WAKES, each, folded, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.spec.editions import FACTS
from mpwake.spec.requirements import Role

RECEIVER = Role.RECEIVER
TEST = 2

IN_TURN = "the operating system wakes one processor after the other"
SPARSE = "the operating system wakes them in another order, with sparse APIC IDs"
ONE_OF_THREE = "the operating system wakes one processor of three"
FIELDS_ONLY = "the operating system fills ApicId and WakeupVector and leaves Command 0"
HIGH_VECTOR = "the operating system wakes a processor with a vector above 4 GiB"
OVERWRITTEN = "the operating system overwrites the vector as soon as Command is 0"
POISONED = "the operating system wakes a processor in a poisoned page"
RESERVED = "the operating system sends the reserved commands 3 and 0xFFFF"
TWICE = "the operating system sends a second Wakeup to a processor that runs"
TESTED = "the operating system sends Test with a vector to a processor that was never woken"
TEST_NOBODY = "the operating system sends Test to an APIC ID that nobody has"
RETARGETED = "the operating system tests one processor and wakes the next, over and over"
TEST_THEN_WAKE = "the operating system tests a processor and then wakes it"
CYCLES = "the operating system resets a processor, tests it, and wakes it again, three times"


@given("an AP loop that polls the mailbox")
def a_loop(_behaviour: Behaviour) -> None:
    """Every receiver has one."""


@given("an edition that defines Test")
def defines_test(behaviour: Behaviour) -> None:
    """ACPI 6.6 and later."""
    if TEST not in FACTS[behaviour.edition].commands:
        raise not_applicable(f"{behaviour.edition.value} does not define the command Test")


def _ap_stores(trace: Trace) -> tuple[Event, ...]:
    return tuple(one for one in trace.stores() if one.agent != SENDER)


def _landings(trace: Trace) -> list[tuple[int, int]]:
    return [(trace.ids[one.agent], one.value) for one in trace.of(Kind.LANDING)]


def _wakes(trace: Trace) -> list[tuple[int, int]]:
    return [(one.target, one.vector) for one in trace.of(Kind.REQUEST) if NAMES.get(one.value) in WAKES]


def _named(pairs: list[tuple[int, int]]) -> str:
    return ", ".join(f"{apic:#x} at {vector:#x}" for apic, vector in pairs) or "nobody"


def _landed_as_asked(behaviour: Behaviour, sentence: str) -> Iterator[Finding]:
    for trace in each(behaviour, sentence):
        found, want = _landings(trace), _wakes(trace)
        wrong = next((one for one in trace.of(Kind.LANDING) if (trace.ids[one.agent], one.value) not in want), None)
        yield Finding(found == want, f"landed: {_named(found)}", _named(want), (told(trace, wrong),))


def _nobody_acts(behaviour: Behaviour, sentence: str) -> Iterator[Finding]:
    for trace in each(behaviour, sentence):
        bad = next(iter(_acts(trace)), None)
        found = f"AP {trace.ids[bad.agent]:#x} acts" if bad else "no processor acts"
        yield Finding(bad is None, found, "no processor acts", (told(trace, bad),))


def _receiver(id: str, when: str, then: str, *also: Condition) -> Callable[[Judge], Judge]:
    declare = check(id, given=(a_loop, *also), when=probe(when), then=then, role=RECEIVER)
    return lambda judge: declare(folded(judge))


@_receiver("RCV-01", IN_TURN, "every processor lands")
def every_ap_answers(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that each of the parked processors takes its command."""
    for trace in each(behaviour, IN_TURN):
        missing = [hex(one) for one in trace.ids[1:] if one not in {apic for apic, _ in _landings(trace)}]
        yield Finding(not missing, f"never landed: {', '.join(missing) or 'none'}", "every processor", (told(trace),))


@_receiver("RCV-02", SPARSE, "each processor takes the command that carries its own APIC ID")
def compares_apic_id(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who lands where, with APIC IDs that are neither dense nor in order."""
    yield from _landed_as_asked(behaviour, SPARSE)


@_receiver("RCV-03", ONE_OF_THREE, "the other processors neither jump nor write")
def others_ignore(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge everything that the processors do that were not addressed."""
    for trace in each(behaviour, ONE_OF_THREE):
        target = _wakes(trace)[0][0]
        bad = next((one for one in _acts(trace) if trace.ids[one.agent] != target), None)
        found = f"AP {trace.ids[bad.agent]:#x} acts" if bad else "the addressed processor alone acts"
        yield Finding(bad is None, found, "the addressed processor alone", (told(trace, bad),))


def _acts(trace: Trace) -> tuple[Event, ...]:
    kinds = (Kind.STORE, Kind.LANDING)
    return tuple(one for one in trace.events if one.kind in kinds and one.agent != SENDER)


@_receiver("RCV-04", FIELDS_ONLY, "no processor acts")
def noop_is_no_command(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that ApicId and WakeupVector alone start nothing."""
    yield from _nobody_acts(behaviour, FIELDS_ONLY)


@_receiver("RCV-05", HIGH_VECTOR, "it lands at all 64 bits of the vector")
def lands_at_vector(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge where the processor lands."""
    yield from _landed_as_asked(behaviour, HIGH_VECTOR)


@_receiver("RCV-06", IN_TURN, "it acknowledges by setting Command to 0")
def acknowledges(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that after each landing Command was cleared, by the processor that landed."""
    for trace in each(behaviour, IN_TURN):
        acked = {one.agent for one in _ap_stores(trace) if one.touches(0, 2) and one.value & 0xFFFF == 0}
        silent = [one for one in trace.of(Kind.LANDING) if one.agent not in acked]
        left = [one for one in trace.of(Kind.RETURN) if one.value == TIMED_OUT]
        found = f"{len(silent)} landings without an acknowledgement, {len(left)} commands left unanswered"
        yield Finding(not silent and not left, found, "an acknowledgement for each", (told(trace),))


@_receiver("RCV-07", OVERWRITTEN, "it still lands at the vector of its command")
def vector_is_cached(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that nothing is read from the mailbox that the operating system may have changed after the ack."""
    yield from _landed_as_asked(behaviour, OVERWRITTEN)


@_receiver("RCV-08", IN_TURN, "the acknowledgement comes from firmware, before the vector is entered")
def acknowledges_before_leaving(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge program order, in the trials under sequential consistency, and that no acknowledgement is missing."""
    for trace in each(behaviour, IN_TURN):
        for landing in trace.of(Kind.LANDING):
            acks = [one for one in _ap_stores(trace) if one.agent == landing.agent and one.touches(0, 2)]
            found = f"AP {trace.ids[landing.agent]:#x} left " + ("after its acknowledgement" if acks else "without one")
            yield Finding(bool(acks), found, "an acknowledgement by the loop", (told(trace, landing),))


@_receiver("RCV-09", POISONED, "the acknowledgement changes Command and nothing else")
def ack_is_command_only(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the width and place of every store of a processor to the mailbox header."""
    for trace in each(behaviour, POISONED):
        header = [one for one in _ap_stores(trace) if one.touches(0, OS_HEADER)]
        for one in header:
            good = (one.offset, one.width) == (0, 2)
            found = f"a store of {one.width} bytes at {one.offset:#x}"
            yield Finding(good, found, "2 bytes at 0, Command", (told(trace, one),))


@_receiver("RCV-10", RESERVED, "it does not react")
def reserved_commands_ignored(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that a command that no edition defines is neither acknowledged nor acted on, and the loop goes on."""
    yield from _nobody_acts(behaviour, RESERVED)


@_receiver("RCV-16", TWICE, "it no longer looks at the mailbox")
def acts_once(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what a processor does after it has left the loop."""
    for trace in each(behaviour, TWICE):
        landings = _landings(trace)
        left = trace.of(Kind.LANDING)[0] if landings else None
        later = [one for one in _acts(trace) if left and one.agent == left.agent and one.kind is Kind.LANDING]
        found = f"{len(later)} landings of one processor"
        yield Finding(len(later) == 1, found, "one", (told(trace, later[-1] if later else None),))


@_receiver("RCV-17", IN_TURN, "the others go on using the mailbox")
def mailbox_stays_in_use(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that commands after the first are taken too."""
    yield from _landed_as_asked(behaviour, IN_TURN)


@_receiver("RCV-18", RETARGETED, "no processor takes a command with the ApicId of another", defines_test)
def no_stale_id(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge every landing against the command that was pending, over all schedules."""
    for trace in each(behaviour, RETARGETED):
        wanted = dict(_wakes(trace))
        wrong = [one for one in trace.of(Kind.LANDING) if wanted.get(trace.ids[one.agent]) != one.value]
        found = f"{len(wrong)} landings at another's vector"
        yield Finding(not wrong, found, "none", (told(trace, wrong[0] if wrong else None),))


@_receiver("MEM-06", POISONED, "firmware writes nothing in the OS section but Command")
def os_section_untouched(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge every store of a processor to bytes 2 to 2047."""
    for trace in each(behaviour, POISONED):
        bad = [one for one in _ap_stores(trace) if one.touches(2, OS_SECTION - 2)]
        where = f"{bad[0].width} bytes at {bad[0].offset:#x}" if bad else "none"
        yield Finding(not bad, f"stores beyond Command: {where}", "none", (told(trace, bad[0] if bad else None),))


@_receiver("MEM-07", POISONED, "only the processor that accepts a command writes Command, and only 0")
def command_written_by_acceptor(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who writes Command, and what."""
    for trace in each(behaviour, POISONED):
        landed = {one.agent for one in trace.of(Kind.LANDING)}
        for one in _ap_stores(trace):
            if one.touches(0, 2):
                value = one.value & 0xFFFF
                found = f"AP {trace.ids[one.agent]:#x} writes Command {value:#x}"
                yield Finding(value == 0 and one.agent in landed, found, "0 by its acceptor", (told(trace, one),))


@_receiver("MEM-12", POISONED, "bytes 16 to 2047 keep their content")
def reserved_for_os_kept(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the poison in ReservedForOs after the processors have left."""
    for trace in each(behaviour, POISONED):
        before, after = trace.before[OS_HEADER:OS_SECTION], trace.after[OS_HEADER:OS_SECTION]
        changed = [OS_HEADER + at for at, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
        found = f"{len(changed)} bytes changed" + (f", the first at {changed[0]:#x}" if changed else "")
        yield Finding(not changed, found, "no byte changed", (told(trace),))


@_receiver("ORD-05", OVERWRITTEN, "the vector was loaded before the acknowledgement became visible")
def vector_before_ack(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the order of a processor's last load of WakeupVector and its acknowledgement."""
    yield from _read_after_ack(behaviour, 8, 8)


def _acks(trace: Trace) -> list[Event]:
    return [one for one in _ap_stores(trace) if one.touches(0, 2) and one.value & 0xFFFF == 0]


def _loads_after(trace: Trace, ack: Event) -> list[Event]:
    at = trace.events.index(ack)
    return [one for one in trace.events[at + 1 :] if one.agent == ack.agent and one.kind is Kind.LOAD]


@_receiver("ORD-09", OVERWRITTEN, "nothing of the OS section is read between the acknowledgement and the jump")
def nothing_read_after_ack(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge every load of a processor after its acknowledgement."""
    yield from _read_after_ack(behaviour, 0, OS_SECTION)


def _read_after_ack(behaviour: Behaviour, offset: int, width: int) -> Iterator[Finding]:
    for trace in each(behaviour, OVERWRITTEN):
        for ack in _acks(trace):
            late = [one for one in _loads_after(trace, ack) if one.touches(offset, width)]
            found = f"a load of {late[0].width} bytes at {late[0].offset:#x} after it" if late else "no load after it"
            yield Finding(not late, found, "no load after it", (told(trace, late[0] if late else ack),))


@_receiver("ORD-10", POISONED, "the acknowledgement does not reach into ApicId")
def ack_keeps_off_apic_id(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the bytes of every acknowledgement."""
    for trace in each(behaviour, POISONED):
        for ack in _acks(trace):
            found = f"an acknowledgement of {ack.width} bytes at {ack.offset:#x}"
            yield Finding(not ack.touches(4, 4), found, "none that overlaps bytes 4 to 7", (told(trace, ack),))


@_receiver("DUP-07", TWICE, "the second command stays unacknowledged")
def second_wake_is_left(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge Command at the end of the trial."""
    for trace in each(behaviour, TWICE):
        command = int.from_bytes(trace.after[:2], "little")
        yield Finding(command == 1, f"Command {command:#x} at the end", "Command 1", (told(trace),))


@_receiver("RST-10", TESTED, "the addressed processor answers by setting Command to 0 and does not jump", defines_test)
def answers_test(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the answer to Test."""
    for trace in each(behaviour, TESTED):
        answered = not any(one.value == TIMED_OUT for one in trace.of(Kind.RETURN))
        landed = _landings(trace)
        found = ("answered" if answered else "never answered") + (f", and landed: {_named(landed)}" if landed else "")
        yield Finding(answered and not landed, found, "answered, and nobody lands", (told(trace),))


@_receiver("RST-11", TEST_NOBODY, "no processor answers", defines_test)
def foreign_test_ignored(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that a Test for somebody else is left alone."""
    yield from _nobody_acts(behaviour, TEST_NOBODY)


@_receiver("RST-13", CYCLES, "each new Wakeup is taken with its new vector", defines_test)
def wakes_after_reset(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the landings over several rounds of reset, Test and Wakeup."""
    yield from _landed_as_asked(behaviour, CYCLES)


@_receiver(
    "RST-15", TEST_THEN_WAKE, "Test is answered before the first wake, and the wake is taken after it", defines_test
)
def test_before_first_wake(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that Test neither needs a wake before it nor spoils the one after it."""
    for trace in each(behaviour, TEST_THEN_WAKE):
        codes = [one.value for one in trace.of(Kind.RETURN)]
        found = f"the commands returned {codes}; landed: {_named(_landings(trace))}"
        good = not any(codes) and _landings(trace) == _wakes(trace)
        yield Finding(good, found, f"no time-out; {_named(_wakes(trace))}", (told(trace),))
