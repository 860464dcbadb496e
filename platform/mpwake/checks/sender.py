"""The operating system's bring-up (areas SND, ORD, TMO, DUP, MEM and RST, as far as accesses and returns show it)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mpwake.checks.boot import answers, commands, field, pages
from mpwake.checks.core import Condition, Finding, Judge, check, given, inconclusive, not_applicable, probe
from mpwake.checks.traffic import OS_HEADER, OS_SECTION, each, folded, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import ACTIONS, SENDER, Event, Kind, Trace
from mpwake.spec.editions import FACTS
from mpwake.spec.requirements import Role

WAKEUP = 1
EINVAL = -22

IN_TURN = "three processors are woken one after the other"
LATE = "a processor acknowledges late"
NEVER = "a processor never acknowledges"
TWICE = "the operating system is asked to wake a processor twice"


@given("a bring-up through the mailbox")
def a_bring_up(_behaviour: Behaviour) -> None:
    """Every sender is one."""


@given("an edition whose mailbox has version 0")
def version_0_only(behaviour: Behaviour) -> None:
    """One use for each processor, without exception."""
    if FACTS[behaviour.edition].mailbox_version != 0:
        raise not_applicable(f"the mailbox of {behaviour.edition.value} has version 1")


def _sender(id: str, when: str, then: str, *also: Condition) -> Callable[[Judge], Judge]:
    declare = check(id, given=(a_bring_up, *also), when=probe(when), then=then, role=Role.SENDER)
    return lambda judge: declare(folded(judge))


def _asked(trace: Trace) -> list[tuple[int, int]]:
    return [(one.target, one.vector) for one in _starts(trace)]


def _acted(behaviour: Behaviour, sentence: str) -> Iterator[Trace]:
    """Yield the trials of a probe; raise where the operating system does nothing that could be judged."""
    for trace in each(behaviour, sentence):
        if not trace.stores(SENDER):
            raise inconclusive("the operating system stores nothing in the mailbox")
        yield trace


def _starts(trace: Trace) -> list[Event]:
    return [one for one in trace.of(Kind.REQUEST) if one.value == ACTIONS["online"]]


def _returns(trace: Trace) -> list[int]:
    return [one.value for one in trace.of(Kind.RETURN)]


@_sender("SND-01", IN_TURN, "each Wakeup finds the wakeup vector and the target's ApicId in their fields")
def fields_before_command(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the page at each Command, in the order of the program: under sequential consistency."""
    for trace in each(behaviour, IN_TURN):
        if trace.memory == "sc":
            yield from _filled(trace)


def _filled(trace: Trace) -> Iterator[Finding]:
    for (one, page), (target, vector) in zip(commands(trace), _asked(trace), strict=False):
        found = f"ApicId {field(page, 4, 4):#x} and WakeupVector {field(page, 8, 8):#x} at the command"
        good = (field(page, 4, 4), field(page, 8, 8)) == (target, vector)
        yield Finding(good, found, f"ApicId {target:#x} and WakeupVector {vector:#x}", (told(trace, one),))


@_sender("SND-02", NEVER, "no command is sent while Command is not 0")
def waits_for_noop(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge Command before each command."""
    for trace in each(behaviour, NEVER):
        for one, before in pages(trace):
            if one.kind is Kind.STORE and one.agent == SENDER and one.touches(0, 2) and one.value & 0xFFFF:
                pending = field(before, 0, 2)
                found = f"a command over Command {pending:#x}"
                yield Finding(pending == 0, found, "Command 0 before it", (told(trace, one),))


@_sender("SND-03", IN_TURN, "every command is one that the edition defines")
def commands_are_defined(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the values of Command."""
    known = FACTS[behaviour.edition].commands
    for trace in each(behaviour, IN_TURN):
        for one, page in commands(trace):
            command = field(page, 0, 2)
            yield Finding(command in known, f"Command {command:#x}", f"one of {known}", (told(trace, one),))


@_sender("SND-04", IN_TURN, "ApicId is the target's APIC ID, all 32 bits")
def apic_id_is_whole(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge ApicId at each command of a trial under sequential consistency."""
    for trace in each(behaviour, IN_TURN):
        for (one, page), (target, _) in zip(commands(trace), _asked(trace), strict=False):
            if trace.memory == "sc":
                apic = field(page, 4, 4)
                yield Finding(apic == target, f"ApicId {apic:#x}", f"{target:#x}", (told(trace, one),))


@_sender("SND-05", LATE, "ApicId and WakeupVector stay as they are while Command is not 0")
def fields_are_kept(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge every store to the fields."""
    for trace in each(behaviour, LATE):
        for one, before in pages(trace):
            if one.kind is Kind.STORE and one.agent == SENDER and one.touches(4, 12):
                pending = field(before, 0, 2)
                found = f"a store to the fields at Command {pending:#x}"
                yield Finding(pending == 0, found, "at Command 0", (told(trace, one),))


@_sender("SND-06", IN_TURN, "Command is stored with 16 bits")
def command_is_16_bits(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the width of every store that touches Command."""
    for trace in each(behaviour, IN_TURN):
        for one in trace.stores(SENDER):
            if one.touches(0, 2):
                found = f"a store of {one.width} bytes at {one.offset:#x}"
                yield Finding((one.offset, one.width) == (0, 2), found, "2 bytes at 0", (told(trace, one),))


@_sender("SND-07", NEVER, "the operating system does not set Command to 0 itself")
def no_cancel(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the sender's stores of 0 to Command."""
    for trace in _acted(behaviour, NEVER):
        own = [one for one in trace.stores(SENDER) if one.touches(0, 2)]
        cancels = [one for one in own if one.value & 0xFFFF == 0]
        found = f"{len(cancels)} stores of Command 0"
        yield Finding(not cancels, found, "none", (told(trace, cancels[0] if cancels else None),))


@_sender("SND-08", IN_TURN, "every ApicId is that of a listed processor")
def no_broadcast(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge ApicId at each command of a trial under sequential consistency."""
    for trace in each(behaviour, IN_TURN):
        for one, page in commands(trace):
            if trace.memory == "sc":
                apic = field(page, 4, 4)
                found = f"a command for ApicId {apic:#x}"
                yield Finding(apic in trace.ids[1:], found, "a listed processor", (told(trace, one),))


@_sender("SND-11", LATE, "success is returned after Command has become 0")
def waits_for_ack(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what stands in Command when a wake returns success."""
    for trace in _acted(behaviour, LATE):
        for one, page in pages(trace):
            if one.kind is Kind.RETURN and one.value == 0:
                found = f"success returned at Command {field(page, 0, 2):#x}"
                yield Finding(field(page, 0, 2) == 0, found, "Command 0", (told(trace, one),))
        if not _returns(trace):
            yield Finding(True, "no success returned", "none before the acknowledgement", (told(trace),))


@_sender("ORD-01", IN_TURN, "ApicId and WakeupVector are visible before Command under every memory model")
def release_order(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the page at each Command as other processors see it."""
    for trace in each(behaviour, IN_TURN):
        yield from _filled(trace)


@_sender("ORD-06", IN_TURN, "nothing of the next command is stored before Command was seen to be 0")
def next_after_ack(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the stores to the fields against the sender's own loads of Command."""
    for trace in each(behaviour, IN_TURN):
        seen = True
        for one in trace.events:
            if one.agent != SENDER or not one.touches(0, OS_HEADER):
                continue
            if one.kind is Kind.LOAD and one.touches(0, 2):
                seen = seen or one.value & 0xFFFF == 0
            elif one.kind is Kind.STORE and one.touches(4, 12):
                found = "a field stored " + ("after" if seen else "before") + " Command was seen to be 0"
                yield Finding(seen, found, "after Command was seen to be 0", (told(trace, one),))
            elif one.kind is Kind.STORE:
                seen = False


@_sender("TMO-03", NEVER, "the operating system is still waiting when nothing happens any more")
def waits_without_limit(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether the wake of a silent processor ever returns."""
    for trace in each(behaviour, NEVER):
        codes = _returns(trace)
        found = f"the wake returned {codes[0]}" if codes else "still waiting"
        last = trace.of(Kind.RETURN)[0] if codes else None
        yield Finding(trace.stuck and not codes, found, "still waiting", (told(trace, last),))


@_sender("TMO-04", NEVER, "after a time-out it stores nothing to the mailbox any more")
def quarantines(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the stores after the first wake that failed."""
    for trace in each(behaviour, NEVER):
        failed = next((one for one in trace.of(Kind.RETURN) if one.value < 0), None)
        if failed is None:
            raise not_applicable("no wake timed out")
        later = [one for one in trace.stores(SENDER) if one.time > failed.time]
        found = f"{len(later)} stores after the time-out"
        yield Finding(not later, found, "none", (told(trace, later[0] if later else failed),))


@_sender("TMO-06", NEVER, "a wake that was never acknowledged does not return success")
def exhausted_is_no_success(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the code of the wake of a silent processor."""
    for trace in _acted(behaviour, NEVER):
        codes = _returns(trace)
        first = trace.of(Kind.RETURN)[0] if codes else None
        found = f"the wake returned {codes[0]}" if codes else "the wake does not return"
        yield Finding(not codes or codes[0] != 0, found, "an error, or no return", (told(trace, first),))


@_sender("TMO-07", LATE, "a processor that is slow is still accepted")
def slow_is_accepted(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the codes of wakes that are acknowledged after 3000 steps."""
    for trace in each(behaviour, LATE):
        codes = _returns(trace)
        bad = next((one for one in trace.of(Kind.RETURN) if one.value != 0), None)
        yield Finding(codes == [0, 0], f"the wakes returned {codes}", "[0, 0]", (told(trace, bad),))


@_sender("TMO-08", NEVER, "it reports the failure and goes on with the next processor")
def failure_is_reported(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge that a wake that failed has an error code and does not end the bring-up."""
    for trace in each(behaviour, NEVER):
        codes = _returns(trace)
        if not codes:
            raise not_applicable("the operating system waits without limit")
        found = f"the wakes returned {codes}"
        yield Finding(codes[0] < 0 and len(codes) == 2, found, "an error, and a second return", (told(trace),))


def _asked_twice(trace: Trace) -> int:
    """Return the processor that the operating system is asked to wake twice."""
    targets = [one.target for one in _starts(trace)]
    return next((one for one in targets if targets.count(one) > 1), targets[0] if targets else 0)


@_sender("DUP-01", TWICE, "at most one Wakeup is sent to it", version_0_only)
def one_wakeup(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the number of Wakeup commands."""
    for trace in _acted(behaviour, TWICE):
        target = _asked_twice(trace)
        sent = [one for one, page in commands(trace) if (field(page, 0, 2), field(page, 4, 4)) == (WAKEUP, target)]
        yield Finding(len(sent) <= 1, f"{len(sent)} Wakeups", "at most 1", (told(trace, sent[-1] if sent else None),))


@_sender("DUP-04", TWICE, "the second wake is refused with an invalid-argument error before any store")
def second_wake_refused(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the code of the second wake and what it stored."""
    for trace in each(behaviour, TWICE):
        if any(back and back.value < 0 for _, back in answers(trace, "offline")):
            raise not_applicable("the processor is not taken offline, so that nothing comes of a second wake")
        target = _asked_twice(trace)
        wakes = [(one, back) for one, back in answers(trace, "online") if one.target == target]
        asked, back = wakes[-1] if len(wakes) > 1 else (None, None)
        later = [one for one in trace.stores(SENDER) if asked and one.time >= asked.time]
        found = f"the second wake returned {back.value if back else 'nothing'} after {len(later)} stores"
        good = back is not None and back.value == EINVAL and not later
        yield Finding(good, found, f"{EINVAL} after none", (told(trace, later[0] if later else None),))


@_sender("MEM-05", IN_TURN, "the operating system writes nothing in bytes 2048 to 4095")
def firmware_half_untouched(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge every store of the sender."""
    for trace in _acted(behaviour, IN_TURN):
        bad = [one for one in trace.stores(SENDER) if one.touches(OS_SECTION, OS_SECTION)]
        where = f"a store at {bad[0].offset:#x}" if bad else "no store there"
        yield Finding(not bad, where, "no store there", (told(trace, bad[0] if bad else None),))


@_sender("MEM-09", IN_TURN, "Reserved is 0 whenever a command is visible")
def reserved_is_zero(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge bytes 2 and 3 at each command."""
    for trace in each(behaviour, IN_TURN):
        for one, page in commands(trace):
            word = field(page, 2, 2)
            yield Finding(word == 0, f"Reserved {word:#x} at a command", "Reserved 0", (told(trace, one),))


@_sender("RST-14", IN_TURN, "Test is never sent", version_0_only)
def no_test_in_version_0(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the values of Command."""
    for trace in _acted(behaviour, IN_TURN):
        sent = [one for one, page in commands(trace) if field(page, 0, 2) == 2]
        yield Finding(not sent, f"{len(sent)} Tests", "none", (told(trace, sent[0] if sent else None),))
