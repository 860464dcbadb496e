"""Test, and the code at the reset vector (areas RST and KEX)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.core import not_applicable, not_testable
from mpwake.checks.loop import (
    IN_TURN,
    Seen,
    a_reset_vector,
    acts,
    answers,
    defines_test,
    landed_as_asked,
    landings,
    named,
    needed,
    nobody_acts,
    placed,
    receiver,
    reserved,
    timed_out,
    wakes,
)
from mpwake.checks.traffic import NAMES, TIMED_OUT
from mpwake.evidence.trace import SENDER, Event, Kind, Trace

TESTED = "the operating system sends Test with a vector to a processor that was never woken"
TEST_NOBODY = "the operating system sends Test to an APIC ID that nobody has"
TEST_THEN_WAKE = "the operating system tests a processor and then wakes it"
CYCLES = "the operating system resets a processor, tests it, and wakes it again, three times"
ONE_RESET = "the operating system resets one processor while another runs and a third is parked"
BITS = "the operating system sets bits of CR4 before it resets a processor"
PAGE = 4096
CR4 = {7: "PGE", 12: "LA57", 17: "PCIDE", 20: "SMEP", 21: "SMAP", 23: "CET"}


@receiver("RST-10", TESTED, "the addressed processor answers by setting Command to 0 and does not jump", defines_test)
def answers_test(trace: Trace) -> Iterator[Seen]:
    """Judge the answer to Test."""
    answered, landed = not timed_out(trace), landings(trace)
    found = ("answered" if answered else "never answered") + (f", and landed: {named(landed)}" if landed else "")
    yield Seen(answered and not landed, found, "answered, and nobody lands")


@receiver("RST-11", TEST_NOBODY, "no processor answers", defines_test)
def foreign_test_ignored(trace: Trace) -> Iterator[Seen]:
    """Judge that a Test for somebody else is left alone."""
    yield from nobody_acts(trace)


@receiver("RST-13", CYCLES, "each new Wakeup is taken with its new vector", defines_test)
def wakes_after_reset(trace: Trace) -> Iterator[Seen]:
    """Judge the landings over several rounds of reset, Test and Wakeup, unless firmware takes nobody back."""
    if trace.facts.get("reset vector") == 0:
        raise not_applicable("there is no reset vector")
    yield from landed_as_asked(trace)


@receiver(
    "RST-15", TEST_THEN_WAKE, "Test is answered before the first wake, and the wake is taken after it", defines_test
)
def test_before_first_wake(trace: Trace) -> Iterator[Seen]:
    """Judge that Test neither needs a wake before it nor spoils the one after it."""
    codes = [one.value for one in trace.of(Kind.RETURN)]
    found = f"the commands returned {codes}; landed: {named(landings(trace))}"
    good = not any(codes) and landings(trace) == wakes(trace)
    yield Seen(good, found, f"no time-out; {named(wakes(trace))}")


@receiver("RST-08", ONE_RESET, "the others go on as if nothing had happened", defines_test, a_reset_vector)
def others_go_on(trace: Trace) -> Iterator[Seen]:
    """Judge what the other processors do from the reset on: those that run nothing, the parked one its own Wakeup."""
    at, chosen = next((number, one) for number, one in enumerate(trace.events) if _is_reset(one))
    later = [one for one in trace.events[at:] if one.agent != SENDER and trace.ids[one.agent] != chosen.target]
    want = {one.target: one.vector for one in trace.events[at:] if NAMES.get(_op(one)) == "wake"}
    bad = next((one for one in later if one.kind is Kind.LANDING and want.get(trace.ids[one.agent]) != one.value), None)
    bad = bad or next((one for one in acts(trace) if one in later and trace.ids[one.agent] not in want), None)
    missing = want.keys() - {trace.ids[one.agent] for one in later if one.kind is Kind.LANDING} - {chosen.target}
    found = f"AP {trace.ids[bad.agent]:#x} acts" if bad else "the others act on their own commands only"
    yield Seen(bad is None, found, "the others act on their own commands only", bad)
    lost = ", ".join(f"{one:#x}" for one in sorted(missing))
    yield Seen(not missing, f"parked and never landed: {lost or 'none'}", "none")


def _op(one: Event) -> int:
    return one.value if one.kind is Kind.REQUEST else 0


def _is_reset(one: Event) -> bool:
    return NAMES.get(_op(one)) == "reset"


@receiver("RST-19", BITS, "it answers Test whatever was set", defines_test, a_reset_vector)
def copes_with_cr4(trace: Trace) -> Iterator[Seen]:
    """Judge the answer to the Test that follows each reset."""
    before: Event | None = None
    for one, code in answers(trace):
        if _is_reset(one):
            if "cr4" not in one.facts:
                raise not_testable("the target does not tell which bits of CR4 were set")
            before = one
        elif before is not None and NAMES.get(_op(one)) == "test":
            bits = int(before.facts["cr4"])
            names = ", ".join(name for bit, name in CR4.items() if bits >> bit & 1) or "no bit"
            answered = code != TIMED_OUT
            found = f"with {names} set Test is {'answered' if answered else 'never answered'}"
            yield Seen(answered, found, "an answer", one)
            before = None


@receiver(
    "RST-17", IN_TURN, "the code at the reset vector first needs no memory but the vector's own page", a_reset_vector
)
def needs_one_page(trace: Trace) -> Iterator[Seen]:
    """Judge the memory that it needs before it has loaded its own page tables."""
    page = int(trace.facts["reset vector"]) // PAGE * PAGE
    for one in needed(trace, "entry"):
        inside = page <= one.start and one.end <= page + PAGE
        yield Seen(inside, placed(one), f"within {page:#x} to {page + PAGE - 1:#x}", one)


@receiver(
    "RST-18", IN_TURN, "nothing that the reset code uses is in memory that the operating system gets", a_reset_vector
)
def reset_memory_is_reserved(trace: Trace) -> Iterator[Seen]:
    """Judge the type of all memory that the code at the reset vector uses."""
    yield from reserved(needed(trace, "entry", "reset"))


@receiver("KEX-08", IN_TURN, "all that the processors need to poll again survives the first operating system")
def memory_survives(trace: Trace) -> Iterator[Seen]:
    """Judge the type of all memory that is needed, in the loop or after a reset."""
    yield from reserved(needed(trace))
