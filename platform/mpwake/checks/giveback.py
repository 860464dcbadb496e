"""How a booted operating system gives processors back to firmware, or keeps them (areas RST, DUP and TMO)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs

from mpwake.checks.boot import (
    TEST,
    WAKEUP,
    answers,
    beside,
    booted,
    field,
    like_linux,
    noted,
    ordered,
    pages,
    sees,
    sent,
)
from mpwake.checks.core import Finding, inconclusive, not_applicable
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Event, Fact, Kind, Trace

GIVEN = 1
USEC_PER_SEC = 1_000_000

OFFLINE = "an operating system takes a processor offline and then starts another kernel"
SILENT = "an operating system takes two processors offline, and the first never answers Test"
VERSION_0 = "an operating system takes a processor offline and online again, with a wakeup entry of version 0"
TREE = "an operating system takes a processor offline and online again, with a mailbox from a DeviceTree"
VECTOR_0 = "an operating system takes a processor offline and online again, with ResetVector 0"
RESTART = "an operating system restarts, with a wakeup entry of version 1"
RESTART_0 = "an operating system restarts, with a wakeup entry of version 0"
POWER_OFF = "an operating system turns the machine off, with a wakeup entry of version 1"
PANIC = "an operating system panics on a processor that was woken, with a wakeup entry of version 1"
NO_TABLES = "an operating system cannot build the page tables for the jump to ResetVector"


def _jumps(trace: Trace) -> tuple[Event, ...]:
    """Return the jumps to ResetVector; raise where no processor makes one."""
    found = trace.of(Kind.RESET)
    if not found:
        _refusals(trace)
        raise not_applicable("the operating system gives no processor back through ResetVector")
    return found


def _codes(trace: Trace) -> list[int]:
    """Return the codes of the requests to take a processor offline that came to an end."""
    return [back.value for _, back in answers(trace, "offline") if back is not None]


def _refusals(trace: Trace) -> list[int]:
    """Return the codes of the requests to take a processor offline; raise where there is none."""
    codes = _codes(trace)
    if not codes:
        raise inconclusive("no request to take a processor offline came to its end")
    return codes


def _state(
    behaviour: Behaviour, names: tuple[str, ...], good: Callable[[dict[str, Fact]], bool], expected: str
) -> Iterator[Finding]:
    """Judge the state of the processor at each jump by some of its facts."""
    for trace in each(behaviour, OFFLINE):
        for one in _jumps(trace):
            sees(trace, "reset state")
            seen = {name: one.facts[name] for name in names if name in one.facts}
            if len(seen) < len(names):
                raise inconclusive("the state of the processor at the jump was not seen")
            found = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in seen.items())
            yield Finding(good(seen), found, expected, (told(trace, one),))


@booted("RST-01", VERSION_0, "no processor jumps to a reset vector that mailbox version 0 does not have")
def version_0_has_no_way_back(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the jumps where there is nowhere to jump to."""
    for trace in each(behaviour, VERSION_0):
        codes, jumps = _refusals(trace), trace.of(Kind.RESET)
        found = f"offline returned {codes}, {len(jumps)} jumps to a reset vector"
        yield Finding(not jumps, found, "no jump", (told(trace, jumps[0] if jumps else None),))


@beside("RST-01", RESTART_0, "no processor jumps to a reset vector at a restart with mailbox version 0")
def version_0_is_left_at_a_restart(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the jumps where there is nowhere to jump to."""
    for trace in each(behaviour, RESTART_0):
        _ended(trace, "restart")
        jumps = trace.of(Kind.RESET)
        marked = jumps[0] if jumps else None
        yield Finding(not jumps, f"{len(jumps)} jumps to a reset vector", "no jump", (told(trace, marked),))


@booted("RST-02", VECTOR_0, "taking a processor offline is refused, and nothing is set up at address 0")
def vector_0_is_looked_at(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the code of the request, and what is set up for a jump."""
    for trace in each(behaviour, VECTOR_0):
        used = [*noted(trace, Kind.ALLOC, "reset environment"), *trace.of(Kind.RESET)]
        codes = _codes(trace) if used else _refusals(trace)
        found = f"offline returned {codes}, {'a jump to 0 prepared' if used else 'no jump prepared'}"
        good = not used and all(code < 0 for code in codes)
        yield Finding(good, found, "an error, and no jump prepared", (told(trace, used[0] if used else None),))


@booted("RST-03", OFFLINE, "interrupts are disabled at the jump to ResetVector")
def interrupts_are_off(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge RFLAGS.IF."""
    yield from _state(behaviour, ("interrupts",), lambda seen: seen["interrupts"] is False, "interrupts: False")


@booted("RST-04", OFFLINE, "the processor is in long mode at the jump to ResetVector, and in no compatibility mode")
def mode_is_long(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the mode."""
    yield from _state(behaviour, ("mode",), lambda seen: seen["mode"] == "long", "mode: long")


@booted("RST-05", OFFLINE, "the page of ResetVector is mapped at its own address and may be executed")
def page_is_mapped(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the translation of the vector in the page tables that are loaded."""
    names = ("identity", "executable")
    yield from _state(behaviour, names, lambda seen: all(seen.values()), "identity: True, executable: True")


@booted("RST-06", OFFLINE, "CS, SS, DS and ES are flat at the jump to ResetVector")
def selectors_are_flat(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the segments."""
    yield from _state(behaviour, ("flat",), lambda seen: seen["flat"] is True, "flat: True")


@booted("RST-20", OFFLINE, "global pages are off at the jump, and the code that jumps stays mapped", like_linux)
def translations_are_dropped(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge CR4.PGE, and the mapping of the code that jumps."""
    names = ("global_pages", "code_mapped")
    expected = "global pages: False, code mapped: True"
    yield from _state(behaviour, names, lambda seen: seen["code_mapped"] is True and not seen["global_pages"], expected)


@booted("RST-23", OFFLINE, "no NMI can be delivered between the operating system's IDT and ResetVector")
def nmi_is_blocked(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether NMIs are blocked on the path."""
    yield from _state(behaviour, ("nmi",), lambda seen: seen["nmi"] == "blocked", "nmi: blocked")


@booted("RST-07", OFFLINE, "each processor makes its own jump, one after the other")
def each_jumps_itself(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who makes each jump."""
    for trace in each(behaviour, OFFLINE):
        jumps = _jumps(trace)
        for one in jumps:
            if "by" not in one.facts:
                raise inconclusive("who makes the jump was not seen")
            own = one.facts["by"] == one.value
            alone = sum(other.time == one.time for other in jumps) == 1
            found = f"the jump made {'by itself' if own else 'by another'}, {'alone' if alone else 'with others'}"
            yield Finding(own and alone, found, "by itself, alone", (told(trace, one),))


@booted("RST-22", OFFLINE, "the processor that boots does not jump to ResetVector")
def boot_processor_stays(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who is sent to ResetVector."""
    for trace in each(behaviour, OFFLINE):
        own = [one for one in _jumps(trace) if one.value == trace.ids[SENDER]]
        found = f"{len(own)} jumps of the processor that boots"
        yield Finding(not own, found, "none", (told(trace, own[0] if own else None),))


def _ended(trace: Trace, op: str) -> None:
    """Raise where processors were not woken first, or the machine was not asked to end, or refused to."""
    if not trace.of(Kind.ALIVE):
        raise inconclusive("no processor was woken")
    asked = answers(trace, op)
    if not asked or any(back is not None for _, back in asked):
        raise inconclusive("the machine was not seen to end")


def _boot_processor_stays(behaviour: Behaviour, sentence: str, op: str) -> Iterator[Finding]:
    for trace in each(behaviour, sentence):
        _ended(trace, op)
        jumps = trace.of(Kind.RESET)
        own = [one for one in jumps if one.value == trace.ids[SENDER]]
        found = f"{len(own)} jumps of the processor that boots, {len(jumps) - len(own)} of others"
        yield Finding(not own, found, "none of it", (told(trace, own[0] if own else None),))


@beside("RST-22", RESTART, "the processor that boots does not jump to ResetVector at a restart")
def boot_processor_stays_at_a_restart(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who is sent to ResetVector when the machine is to start again."""
    yield from _boot_processor_stays(behaviour, RESTART, "restart")


@beside("RST-22", POWER_OFF, "the processor that boots does not jump to ResetVector when the machine is turned off")
def boot_processor_stays_at_the_end(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who is sent to ResetVector when the machine is to go off."""
    yield from _boot_processor_stays(behaviour, POWER_OFF, "poweroff")


@beside("RST-22", PANIC, "the processor that boots does not jump to ResetVector at a panic elsewhere")
def boot_processor_stays_at_a_panic(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who is sent to ResetVector when another processor stops all others."""
    yield from _boot_processor_stays(behaviour, PANIC, "panic")


@booted("RST-09", OFFLINE, "each jump to ResetVector is followed by a Test for that processor")
def jump_is_verified(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the commands after each jump, up to the next one of the same processor."""
    for trace in ordered(behaviour, OFFLINE):
        jumps, tests = _jumps(trace), sent(trace, TEST)
        for one in jumps:
            again = min(
                (other.time for other in jumps if other.value == one.value and other.time > one.time), default=None
            )
            after = [test for test, apic, _ in tests if apic == one.value and test.time > one.time]
            good = any(again is None or test.time < again for test in after)
            yield Finding(good, f"{'a' if good else 'no'} Test after the jump", "a Test", (told(trace, one),))


def _by_processor(one: Event) -> bool:
    """Say whether a processor stores to Command."""
    return one.kind is Kind.STORE and one.agent != SENDER and one.touches(0, 2)


@attrs.define
class _Ledger:
    """What is known at each point of a trace about the processors that have jumped."""

    away: set[int] = attrs.Factory(set)
    pending: int | None = None

    def see(self, one: Event, before: bytes, tests: dict[int, int]) -> None:
        """Take an event into account."""
        if one.kind is Kind.RESET:
            self.away.add(one.value)
        elif id(one) in tests:
            self.pending = tests[id(one)]
        elif self.pending is not None and _by_processor(one) and field(before, 0, 2) == TEST:
            self.away.discard(self.pending)
            self.pending = None


def _tests(trace: Trace) -> dict[int, int]:
    return {id(one): apic for one, apic, _ in sent(trace, TEST)}


@booted("RST-12", OFFLINE, "the reset environment is freed only after Test was answered")
def environment_is_kept(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what is freed against the processors that have jumped and not answered yet."""
    for trace in ordered(behaviour, OFFLINE):
        _jumps(trace)
        sees(trace, "free")
        ledger, tests, early = _Ledger(), _tests(trace), list[Event]()
        for one, before in pages(trace):
            ledger.see(one, before, tests)
            if one.kind is Kind.FREE and one.note == "reset environment" and one.target in ledger.away:
                early.append(one)
        found = "freed before the answer" if early else "kept until the answer"
        yield Finding(not early, found, "kept until the answer", (told(trace, early[0] if early else None),))


@booted("RST-16", SILENT, "Test is sent only while Command is 0")
def test_waits_for_noop(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge Command before each Test."""
    for trace in each(behaviour, SILENT):
        _jumps(trace)
        tests = _tests(trace)
        if not tests:
            raise not_applicable("no Test is sent")
        for one, before in pages(trace):
            if id(one) in tests:
                pending = field(before, 0, 2)
                yield Finding(pending == 0, f"Test sent at Command {pending}", "at Command 0", (told(trace, one),))


@attrs.frozen
class _Wait:
    """A Test that no processor answers: for whom, where it was sent, and where its request ended, if it did."""

    apic: int
    test: Event
    back: Event | None = None
    command: int = TEST


def _unanswered(trace: Trace) -> _Wait:
    _jumps(trace)
    tests = _tests(trace)
    if not tests:
        raise not_applicable("no Test is sent")
    wait: _Wait | None = None
    for one, before in pages(trace):
        if wait is None:
            wait = _Wait(tests[id(one)], one) if id(one) in tests else None
        elif _by_processor(one):
            raise inconclusive("Test was answered")
        elif one.kind is Kind.RETURN:
            return attrs.evolve(wait, back=one, command=field(before, 0, 2))
    assert wait is not None
    return wait


@booted(
    "TMO-05", SILENT, "the wait for Test ends within a million polls, an error is told, and Command stays 2", like_linux
)
def test_is_given_up(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge how the first request ends whose processor never answers."""
    for trace in ordered(behaviour, SILENT):
        wait = _unanswered(trace)
        if wait.back is None:
            yield Finding(False, "still waiting", "the end of the wait", (told(trace, wait.test),))
            continue
        polls, lines = _polls(trace, wait), _lines(trace, wait)
        found = f"ended {'within' if polls <= USEC_PER_SEC else 'after'} {USEC_PER_SEC} polls at Command {wait.command}"
        found += f", {'told' if lines else 'not told'}"
        good = polls <= USEC_PER_SEC and lines > 0 and wait.command == TEST
        expected = f"ended within {USEC_PER_SEC} polls at Command {TEST}, told"
        yield Finding(good, found, expected, (told(trace, wait.back),))


def _polls(trace: Trace, wait: _Wait) -> int:
    loads = [one for one in trace.of(Kind.LOAD) if one.agent == SENDER and one.touches(0, 2)]
    return sum(one.count for one in loads if wait.back and wait.test.time < one.time <= wait.back.time)


def _lines(trace: Trace, wait: _Wait) -> int:
    """Count what was told from the Test to the request after it."""
    events = list(trace.events)
    later = itertools.takewhile(lambda one: one.kind is not Kind.REQUEST, events[events.index(wait.test) :])
    return sum(
        (one.kind is Kind.CONSOLE and one.facts.get("level") == "error")
        or (one.kind is Kind.EMIT and one.note == "warning")
        for one in later
    )


@booted("TMO-09", SILENT, "the reset environment of the processor that did not answer is not freed")
def environment_outlives_silence(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what is freed after a Test was given up."""
    for trace in ordered(behaviour, SILENT):
        wait = _unanswered(trace)
        if wait.back is None:
            raise not_applicable("the operating system waits for the answer to Test without limit")
        sees(trace, "free")
        freed = [one for one in noted(trace, Kind.FREE, "reset environment") if one.target == wait.apic]
        found = "freed without an answer" if freed else "kept"
        yield Finding(not freed, found, "kept", (told(trace, freed[0] if freed else wait.back),))


@booted("RST-21", NO_TABLES, "taking a processor offline is refused, and MailBoxAddress in memory is 0", like_linux)
def falls_back_to_version_0(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what an operating system that gives processors back does without the page tables for it."""
    if not any(trace.of(Kind.RESET) for trace in each(behaviour, OFFLINE)):
        raise not_applicable("the operating system gives no processor back through ResetVector")
    for trace in each(behaviour, NO_TABLES):
        sees(trace, "table")
        codes = [back.value if back else None for _, back in answers(trace, "offline")]
        erased = any(one.value == 0 for one in noted(trace, Kind.TABLE, "madt"))
        refused = bool(codes) and all(code is not None and code < 0 for code in codes)
        found = f"offline returned {codes}, the address {'erased' if erased else 'left in the table'}"
        yield Finding(refused and erased, found, "an error, the address erased", (told(trace),))


@booted("DUP-02", VECTOR_0, "the processor is sent one Wakeup and does not jump")
def vector_0_is_one_use(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the Wakeups and jumps of a processor that is to go and come again."""
    for trace in ordered(behaviour, VECTOR_0):
        jumps = trace.of(Kind.RESET)
        if not jumps:
            _refusals(trace)
        wakeups = [one for one, apic, _ in sent(trace, WAKEUP) if apic == GIVEN]
        if not wakeups:
            raise inconclusive("the processor was not woken")
        found = f"{len(wakeups)} Wakeups, {len(jumps)} jumps"
        good = len(wakeups) == 1 and not jumps
        yield Finding(good, found, "1 Wakeup, no jump", (told(trace, (*jumps, wakeups[-1])[0]),))


@booted("DUP-03", VERSION_0, "taking a processor offline is refused where it could not be woken again")
def offline_is_refused(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the codes, with a mailbox of version 0 and with one from a DeviceTree."""
    tree = "dt-binding" in behaviour.follows
    for sentence in (VERSION_0, *(TREE,) * tree):
        for trace in each(behaviour, sentence):
            if noted(trace, Kind.METHOD, "mailbox"):
                codes = _refusals(trace)
                found = f"offline returned {codes}"
                yield Finding(all(code < 0 for code in codes), found, "an error", (told(trace),))
