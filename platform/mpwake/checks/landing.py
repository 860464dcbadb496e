"""The processor as it arrives at the vector (areas RCV and TRM)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.core import Finding
from mpwake.checks.loop import (
    HIGH,
    IN_TURN,
    LOW,
    Seen,
    fact,
    over_trials,
    receiver,
    whole_receiver,
)
from mpwake.checks.traffic import OS_HEADER, OS_SECTION
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.spec.editions import NEWEST
from mpwake.spec.requirements import Weight

PLACES = "the operating system wakes processors in the mailbox page, below 1 MiB and above 4 GiB"
EDGES = "the operating system wakes processors at the ends of the mailbox's OS section and of the memory below 1 MiB"
FLAT = {"base": 0, "limit": 0xFFFFFFFF}


def _each(trace: Trace, name: str, want: bool, good: str, bad: str) -> Iterator[Seen]:
    for one in trace.of(Kind.LANDING):
        is_good = fact(one, name, "the state of the processor at the vector") is want
        yield Seen(is_good, good if is_good else f"AP {trace.ids[one.agent]:#x} {bad}", good, one, state=True)


@receiver("RCV-11", IN_TURN, "interrupts are disabled at the vector")
def interrupts_off(trace: Trace) -> Iterator[Seen]:
    """Judge RFLAGS.IF."""
    yield from _each(trace, "interrupts", False, "interrupts disabled", "arrives with RFLAGS.IF 1")


@receiver("RCV-12", IN_TURN, "the processor runs 64-bit code in long mode at the vector")
def long_mode(trace: Trace) -> Iterator[Seen]:
    """Judge EFER.LMA and CS.L."""
    yield from _each(trace, "long mode", True, "long mode", "arrives with EFER.LMA 0")
    yield from _each(trace, "64-bit code", True, "64-bit code", "arrives with CS.L 0")


@whole_receiver("RCV-13", PLACES, "paging is on, and the vector's page is mapped to itself and executable")
def vector_is_mapped(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the page of each vector.

    ACPI 6.6 names two places for the vector, so a page above 4 GiB that is not mapped is then no more than fragile.
    """
    beyond = Weight.ROBUSTNESS if behaviour.edition is NEWEST else None

    def judge(trace: Trace) -> Iterator[Seen]:
        yield from _each(trace, "paging", True, "paging on", "arrives with CR0.PG 0")
        for one in _reported(trace):
            promised = one.value < HIGH or _in_mailbox(trace, one.value)
            yield _mapped(trace, one, None if promised else beyond)

    yield from over_trials(behaviour, PLACES, judge)


def _reported(trace: Trace) -> Iterator[Event]:
    # A vector where the memory map reports no memory is one that an operating system cannot use.
    for one in trace.of(Kind.LANDING):
        low = one.value < LOW and trace.facts.get("low memory") is False
        high = one.value >= HIGH and trace.facts.get("high memory") is not True
        if _in_mailbox(trace, one.value) or not (low or high):
            yield one


def _mapped(trace: Trace, one: Event, weight: Weight | None) -> Seen:
    words = "the page tables of the processor"
    wrong = (
        "is not mapped"
        if not fact(one, "mapped", words)
        else "is not mapped to itself"
        if not fact(one, "identity", words)
        else "is not executable"
        if not fact(one, "executable", words)
        else ""
    )
    place = _place(trace, one.value)
    found = f"the vector {one.value:#x} {place} {wrong or 'is mapped to itself and executable'}"
    return Seen(not wrong, found, "mapped to itself and executable", one, weight, state=True)


def _in_mailbox(trace: Trace, vector: int) -> bool:
    mailbox = int(trace.facts.get("mailbox", 0))
    return bool(mailbox) and mailbox + OS_HEADER <= vector < mailbox + OS_SECTION


def _place(trace: Trace, vector: int) -> str:
    if _in_mailbox(trace, vector):
        return "in ReservedForOs"
    return "below 1 MiB" if vector < LOW else "above 4 GiB" if vector >= HIGH else "below 4 GiB"


@receiver("RCV-14", IN_TURN, "the selectors are flat at the vector")
def selectors_are_flat(trace: Trace) -> Iterator[Seen]:
    """Judge base and limit; those of FS and GS, which 64-bit code takes from elsewhere, count as good practice."""
    for one in trace.of(Kind.LANDING):
        fact(one, "cs base", "the segments of the processor at the vector")
        for name in ("cs", "ds", "es", "ss", "fs", "gs"):
            wrong = [f"{name} {what} {one.facts[f'{name} {what}']:#x}" for what in FLAT if _bent(one, name, what)]
            found = f"AP {trace.ids[one.agent]:#x} has {', '.join(wrong)}" if wrong else "flat selectors"
            weight = Weight.ROBUSTNESS if name in ("fs", "gs") else None
            yield Seen(not wrong, found, "base 0 and limit 0xffffffff", one, weight, state=True)


def _bent(one: Event, name: str, what: str) -> bool:
    return one.facts.get(f"{name} {what}", FLAT[what]) != FLAT[what]


@receiver("RCV-15", EDGES, "each vector's page is mapped")
def both_places_are_mapped(trace: Trace) -> Iterator[Seen]:
    """Judge the two places that ACPI 6.6 names: the mailbox's OS section, and reported memory below 1 MiB."""
    for one in _reported(trace):
        yield _mapped(trace, one, None)


@receiver("TRM-07", PLACES, "the routine may be executed there, and written to")
def routine_is_writable(trace: Trace) -> Iterator[Seen]:
    """Judge that code at the vector may run and set its lock bit; pages that are not mapped are RCV-13's."""
    words = "the page tables of the processor"
    for one in _reported(trace):
        if not fact(one, "mapped", words):
            continue
        read_only = not fact(one, "writable", words) and bool(fact(one, "write protect", words))
        runs = bool(fact(one, "executable", words))
        wrong = "is not executable" if not runs else "is read-only with CR0.WP 1" if read_only else ""
        found = f"the vector {one.value:#x} {_place(trace, one.value)} {wrong or 'can be executed and written'}"
        yield Seen(not wrong, found, "executable and writable", one, state=True)
