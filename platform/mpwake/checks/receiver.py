"""The AP loop's protocol (areas RCV, ORD, DUP and SND, as far as its accesses and landings show it)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.core import Finding, inconclusive
from mpwake.checks.loop import (
    IN_TURN,
    Seen,
    accesses,
    acknowledgements,
    acts,
    answerable,
    ap_stores,
    defines_test,
    landed_as_asked,
    landings,
    named,
    needed,
    needs_accesses,
    nobody_acts,
    nobody_astray,
    over_trials,
    receiver,
    reserved,
    wakes,
    whole_receiver,
)
from mpwake.checks.page import HIGH_VECTOR, POISONED
from mpwake.checks.traffic import NAMES, OS_HEADER, OS_SECTION
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.model.agent import FIELDS

SPARSE = "the operating system wakes them in another order, with sparse APIC IDs"
BACKWARDS = "the operating system wakes the processors from the last to the first"
ONE_OF_THREE = "the operating system wakes one processor of three"
FIELDS_ONLY = "the operating system fills ApicId and WakeupVector and leaves Command 0"
OVERWRITTEN = "the operating system overwrites the vector as soon as Command is 0"
RESERVED = "the operating system sends the reserved commands 3 and 0xFFFF"
RESERVED_WORD = "the operating system sends Wakeup with 1 in Reserved"
BROADCAST = "the operating system sends Wakeup to the APIC ID 0xFFFFFFFE"
TWICE = "the operating system sends a second Wakeup to a processor that runs"
RETARGETED = "the operating system tests one processor and wakes the next, over and over"
FIELDS_CHANGED = "the operating system fills the fields for one processor and wakes another, over and over"
HELD_BEFORE_ACK = (
    "the host holds a processor back at its call, and between its load of the vector and its acknowledgement"
)
HELD_AFTER_ACK = "the host holds processors back after their acknowledgements, while others are woken"
HELD_AFTER_COMMAND = (
    "the host holds processors back after each load of Command, while one is tested and others are woken"
)
NO_EVENTS = "the host delivers no events while the operating system wakes processors"


@receiver("RCV-01", IN_TURN, "every processor lands")
def every_ap_answers(trace: Trace) -> Iterator[Seen]:
    """Judge that each of the parked processors takes its command."""
    missing = [hex(one) for one in trace.ids[1:] if one not in {apic for apic, _ in landings(trace)}]
    fault = next((one for one in trace.of(Kind.EMIT) if one.agent and "rip" in one.facts), None)
    why = f" ({fault.note})" if missing and fault else ""
    yield Seen(not missing, f"never landed: {', '.join(missing) or 'none'}{why}", "every processor", fault)


@receiver("RCV-02", SPARSE, "each processor takes the command that carries its own APIC ID")
def compares_apic_id(trace: Trace) -> Iterator[Seen]:
    """Judge who lands where, with APIC IDs that are neither dense nor in order."""
    yield from landed_as_asked(trace)


@receiver("RCV-03", ONE_OF_THREE, "the other processors neither jump nor write")
@needs_accesses
def others_ignore(trace: Trace) -> Iterator[Seen]:
    """Judge everything that the processors do that were not addressed."""
    target = wakes(trace)[0][0]
    bad = next((one for one in acts(trace) if trace.ids[one.agent] != target), None)
    found = f"AP {trace.ids[bad.agent]:#x} acts" if bad else "the addressed processor alone acts"
    yield Seen(bad is None, found, "the addressed processor alone", bad)


@receiver("RCV-03", HELD_BEFORE_ACK, "the others leave it its command until it runs again", beside=True)
@needs_accesses
def others_are_patient(trace: Trace) -> Iterator[Seen]:
    """Judge what the processors do that were not addressed, until the one that was has taken its command."""
    target = trace.ids.index(wakes(trace)[0][0])
    takes = next((one.time for one in acts(trace) if one.agent == target), trace.end)
    bad = next((one for one in acts(trace) if one.agent != target and one.time <= takes), None)
    found = f"AP {trace.ids[bad.agent]:#x} acts" if bad else "the addressed processor alone acts"
    yield Seen(bad is None, found, "the addressed processor alone", bad)
    if not bad and takes == trace.end:
        raise inconclusive("the addressed processor was not seen to take its command")


@receiver("RCV-04", FIELDS_ONLY, "no processor acts")
def noop_is_no_command(trace: Trace) -> Iterator[Seen]:
    """Judge that ApicId and WakeupVector alone start nothing."""
    yield from nobody_acts(trace)


@receiver("RCV-05", HIGH_VECTOR, "it lands at all 64 bits of the vector")
def lands_at_vector(trace: Trace) -> Iterator[Seen]:
    """Judge where the processor lands."""
    yield from landed_as_asked(trace)


@receiver("RCV-06", IN_TURN, "it acknowledges by setting Command to 0")
def acknowledges(trace: Trace) -> Iterator[Seen]:
    """Judge that after each landing Command was cleared, by the processor that landed."""
    acked = {one.agent for one in acknowledgements(trace)}
    silent = [one for one in trace.of(Kind.LANDING) if one.agent not in acked]
    yield Seen(not silent, f"{len(silent)} landings without an acknowledgement", "an acknowledgement for each")


@receiver("RCV-07", OVERWRITTEN, "it still lands at the vector of its command")
def vector_is_cached(trace: Trace) -> Iterator[Seen]:
    """Judge that nothing is read from the mailbox that the operating system may have changed after the ack."""
    yield from landed_as_asked(trace)


@receiver("RCV-07", HELD_AFTER_ACK, "each lands at the vector of its own command, however late", beside=True)
def vector_is_kept(trace: Trace) -> Iterator[Seen]:
    """Judge where those land who have acknowledged and are held back, with other commands taken in between."""
    yield from nobody_astray(trace)


@receiver("RCV-08", IN_TURN, "the acknowledgement comes from firmware, before the vector is entered")
@needs_accesses
def acknowledges_before_leaving(trace: Trace) -> Iterator[Seen]:
    """Judge program order, in the trials under sequential consistency, and that no acknowledgement is missing."""
    for landing in trace.of(Kind.LANDING):
        acks = [one for one in ap_stores(trace) if one.agent == landing.agent and one.touches(0, 2)]
        found = f"AP {trace.ids[landing.agent]:#x} left " + ("after its acknowledgement" if acks else "without one")
        yield Seen(bool(acks), found, "an acknowledgement by the loop", landing)


@receiver("RCV-09", POISONED, "the acknowledgement changes Command and nothing else")
@needs_accesses
def ack_is_command_only(trace: Trace) -> Iterator[Seen]:
    """Judge the width and place of every store of a processor to the mailbox header."""
    for one in (one for one in ap_stores(trace) if one.touches(0, OS_HEADER)):
        good = (one.offset, one.width) == (0, 2)
        yield Seen(good, f"a store of {one.width} bytes at {one.offset:#x}", "2 bytes at 0, Command", one)


@receiver("RCV-10", RESERVED, "it does not react")
def reserved_commands_ignored(trace: Trace) -> Iterator[Seen]:
    """Judge that a command that no edition defines is neither acknowledged nor acted on, and loses no processor."""
    yield from nobody_acts(trace)
    if landings(trace):
        yield from _none_lost(trace)


@receiver("RCV-16", TWICE, "it no longer looks at the mailbox")
def acts_once(trace: Trace) -> Iterator[Seen]:
    """Judge what a processor does after it has left the loop."""
    left = next(iter(trace.of(Kind.LANDING)), None)
    later = [one for one in trace.of(Kind.LANDING) if left and one.agent == left.agent]
    found = f"{len(later)} landings of one processor"
    yield Seen(len(later) == 1, found, "one", later[-1] if later else None)


@receiver("RCV-17", IN_TURN, "the others go on using the mailbox")
def mailbox_stays_in_use(trace: Trace) -> Iterator[Seen]:
    """Judge that commands after the first are taken too."""
    yield from landed_as_asked(trace)


@receiver("RCV-18", RETARGETED, "no processor takes a command with the ApicId of another", defines_test)
def no_stale_id(trace: Trace) -> Iterator[Seen]:
    """Judge every landing against the command that was pending, over all schedules."""
    yield from _none_on_anothers(trace)


def _none_on_anothers(trace: Trace) -> Iterator[Seen]:
    wanted = dict(wakes(trace))
    wrong = answerable(trace, (one for one in trace.of(Kind.LANDING) if wanted.get(trace.ids[one.agent]) != one.value))
    yield Seen(not wrong, f"{len(wrong)} landings at another's vector", "none", wrong[0] if wrong else None)


@receiver("RCV-19", RESERVED_WORD, "it takes the command as it is, or leaves it as it is")
def reserved_word_is_harmless(trace: Trace) -> Iterator[Seen]:
    """Tell what Reserved does, which each loop may decide; a processor that answers must have landed too."""
    given_up = next((one.time for one in trace.of(Kind.RETURN) if one.value), trace.end)
    early = [one for one in acts(trace) if one.time <= given_up]
    landed = {one.agent for one in trace.of(Kind.LANDING)}
    half = next((one for one in early if one.agent not in landed), None)
    want = wakes(trace)
    stray = next((one for one in trace.of(Kind.LANDING) if (trace.ids[one.agent], one.value) not in want), None)
    choice = "takes the command" if early else "takes no action until Reserved is 0"
    found = f"AP {trace.ids[half.agent]:#x} answers and stays" if half else f"with Reserved 1 the processor {choice}"
    yield Seen(not (half or stray), found, "the command taken, or no action", half or stray)


@receiver("RCV-20", BROADCAST, "whoever takes it lands at its vector, and no processor is lost by it")
def broadcast_is_whole(trace: Trace) -> Iterator[Seen]:
    """Tell whether the private broadcast is there, which ACPI does not define; where it is, it must wake."""
    sent, *ordinary = [one for one in trace.of(Kind.REQUEST) if NAMES.get(one.value) == "wake"]
    landed = {one.agent: one for one in trace.of(Kind.LANDING)}
    early = [one for one in acts(trace) if one.time < ordinary[0].time]
    half = next((one for one in early if one.agent not in landed or landed[one.agent].time > ordinary[0].time), None)
    stray = next((one for one in landed.values() if one.value != sent.vector), None)
    as_declared = ", as declared" if trace.facts.get("declared broadcast") == sent.target else ""
    found = f"taken: a private extension of this firmware{as_declared}" if early else "taken by nobody"
    bad = half or stray
    if bad:
        found = f"AP {trace.ids[bad.agent]:#x} {'answers and stays' if half else f'lands at {bad.value:#x}'}"
    yield Seen(bad is None, found, f"nobody, or landings at {sent.vector:#x}", bad)
    yield from _none_lost(trace)


def _none_lost(trace: Trace) -> Iterator[Seen]:
    landed = {one.agent for one in trace.of(Kind.LANDING)}
    lost = [f"{apic:#x}" for agent, apic in enumerate(trace.ids) if agent and agent not in landed]
    yield Seen(not lost, f"lost by it: {', '.join(lost) or 'none'}", "none")


@receiver("RCV-21", IN_TURN, "all that the loop uses is in reserved or ACPI NVS memory")
def loop_is_self_contained(trace: Trace) -> Iterator[Seen]:
    """Judge the type of the memory that the loop uses while it polls."""
    yield from reserved(needed(trace, "wait"))


@whole_receiver("RCV-22", NO_EVENTS, "they land all the same")
def needs_no_events(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that each lands, if it does where the host delivers events."""
    if not any(landings(trace) for trace in behaviour.trials(IN_TURN)):
        raise inconclusive("no processor was seen to take a command, with events or without")
    yield from over_trials(behaviour, NO_EVENTS, landed_as_asked)


@receiver("ORD-04", FIELDS_CHANGED, "no processor joins the ApicId of one command with the Command of another")
def values_of_one_command(trace: Trace) -> Iterator[Seen]:
    """Judge every landing against the command that was pending, and that none is taken before it is sent."""
    yield from _none_on_anothers(trace)
    yield from _taken_unsent(trace)


def _taken_unsent(trace: Trace) -> Iterator[Seen]:
    # A processor that has seen the Command of another's command takes the ApicId of its own, which is not sent yet.
    command, acknowledged = int.from_bytes(trace.before[:2], "little"), set()
    for one in trace.stores():
        first = one.agent != SENDER and one.agent not in acknowledged
        if first and one.touches(0, 2) and not command and not one.value & 0xFFFF:
            found = f"AP {trace.ids[one.agent]:#x} acknowledges while Command is 0"
            yield Seen(False, found, "an acknowledgement of a command that was sent", one)
        if (one.offset, one.width >= 2) == (0, True):
            command = one.value & 0xFFFF
            acknowledged |= {one.agent}


@receiver(
    "ORD-04",
    HELD_AFTER_COMMAND,
    "no processor takes the fields of a Test for those of a Wakeup",
    defines_test,
    beside=True,
)
def test_is_no_wakeup(trace: Trace) -> Iterator[Seen]:
    """Judge every landing against the Wakeups, with processors that may be held back from one field to the next."""
    yield from _none_on_anothers(trace)


@receiver("ORD-05", OVERWRITTEN, "the vector was loaded before the acknowledgement became visible")
@needs_accesses
def vector_before_ack(trace: Trace) -> Iterator[Seen]:
    """Judge the order of a processor's last load of WakeupVector and its acknowledgement."""
    yield from _read_after_ack(trace, 8, 8)


@receiver("ORD-07", POISONED, "each access is that of one whole field")
@needs_accesses
def accesses_are_whole(trace: Trace) -> Iterator[Seen]:
    """Judge place and width of every load and store of the fields."""
    kinds: dict[tuple[Kind, int, int], Event] = {}
    for one in accesses(trace):
        if one.touches(0, OS_HEADER):
            kinds.setdefault((one.kind, one.offset, one.width), one)
    for one in kinds.values():
        good = (one.offset, one.width) in FIELDS.values()
        found = f"a {one.kind.value} of {one.width} bytes at {one.offset:#x}"
        yield Seen(good, found, "a whole field", one)


@receiver("ORD-09", OVERWRITTEN, "nothing of the OS section is read between the acknowledgement and the jump")
@needs_accesses
def nothing_read_after_ack(trace: Trace) -> Iterator[Seen]:
    """Judge every load of a processor after its acknowledgement."""
    yield from _read_after_ack(trace, 0, OS_SECTION)


def _read_after_ack(trace: Trace, offset: int, width: int) -> Iterator[Seen]:
    for ack in acknowledgements(trace):
        late = [one for one in _loads_after(trace, ack) if one.touches(offset, width)]
        found = f"a load of {late[0].width} bytes at {late[0].offset:#x} after it" if late else "no load after it"
        yield Seen(not late, found, "no load after it", late[0] if late else ack)


def _loads_after(trace: Trace, ack: Event) -> list[Event]:
    at = trace.events.index(ack)
    return [one for one in trace.events[at + 1 :] if one.agent == ack.agent and one.kind is Kind.LOAD]


@receiver("ORD-10", POISONED, "the acknowledgement does not reach into ApicId")
@needs_accesses
def ack_keeps_off_apic_id(trace: Trace) -> Iterator[Seen]:
    """Judge the bytes of every acknowledgement."""
    for ack in acknowledgements(trace):
        found = f"an acknowledgement of {ack.width} bytes at {ack.offset:#x}"
        yield Seen(not ack.touches(4, 4), found, "none that overlaps bytes 4 to 7", ack)


@receiver("DUP-07", TWICE, "the second command stays unacknowledged")
def second_wake_is_left(trace: Trace) -> Iterator[Seen]:
    """Judge Command at the end of the trial."""
    command = int.from_bytes(trace.after[:2], "little")
    yield Seen(command == 1, f"Command {command:#x} at the end", "Command 1")


@receiver("SND-20", BACKWARDS, "each lands, whatever the order")
def order_is_free(trace: Trace) -> Iterator[Seen]:
    """Judge the landings when the last comes first."""
    found, want = landings(trace), wakes(trace)
    missing = [one for one in want if one not in found]
    yield Seen(not missing, f"never landed: {named(missing)}", "nobody")
