"""Which mailbox an operating system uses, and what it does without one (area SEL)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.boot import (
    answers,
    booted,
    console,
    like_linux,
    like_linux_at_vtl,
    named,
    noted,
    ran,
    sees,
    sent,
    takes_tree,
    uses_mailbox,
)
from mpwake.checks.core import Finding, inconclusive, not_testable
from mpwake.checks.cpunodes import TREE
from mpwake.checks.enumeration import MAILBOX, VERSION_1, none_adopted, processors
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace

IN_TREE = 0x7F5E9000
LATE_ID = 4
INIT, STARTUP = 5, 6

BOTH = "an operating system boots with a MADT and a DeviceTree"
ACPI_OFF = "an operating system boots with acpi=off, a MADT and a DeviceTree"
MADT_OFF = "an operating system boots with acpi=off and a MADT"
BUILDS = (
    "an operating system that was built without SMP boots with a wakeup entry of version 1",
    "an operating system that was built without ACPI boots with a wakeup entry of version 1",
    "an operating system that was built without the local APIC boots with a wakeup entry of version 1",
    "an operating system that was built for 32 bits boots with a wakeup entry of version 1",
)
BUILDS_WITH_TREE = (
    "an operating system that was built without SMP boots with a mailbox node in the DeviceTree",
    "an operating system that was built without ACPI boots with a mailbox node in the DeviceTree",
    "an operating system that was built without OF boots with a mailbox node in the DeviceTree",
)
NO_MAILBOX = "an operating system boots without a mailbox"
TD_NO_MAILBOX = "an operating system boots in a TD without a mailbox"
VTL_NO_TDX = "an operating system boots at a virtual trust level without TDX and with a mailbox node in the DeviceTree"
HELD_BACK = "an operating system boots with maxcpus=1 and is asked to start a processor later"


def _pages_apart(behaviour: Behaviour, sentence: str, used: int, left: int) -> Iterator[Finding]:
    yield from uses_mailbox(behaviour, sentence, used, True)
    for trace in each(behaviour, sentence):
        touched = next((one for one in trace.of(Kind.MAP) if one.value == left), None)
        found = f"the page at {left:#x} {'mapped' if touched else 'not mapped'}"
        yield Finding(touched is None, found, "not mapped", (told(trace, touched),))
        known = processors(trace)
        twice = sorted({one for one in known if known.count(one) > 1})
        yield Finding(not twice, f"registered twice: {named(twice)}", "nobody", (told(trace),))


@booted("SEL-01", BOTH, "the mailbox of the MADT alone is used, and each processor is registered once", like_linux)
def prefers_the_madt(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the pages that are mapped and used, and the list of processors."""
    yield from _pages_apart(behaviour, BOTH, MAILBOX, IN_TREE)


@booted("SEL-02", ACPI_OFF, "the mailbox of the DeviceTree alone is used", like_linux, takes_tree)
def turns_to_the_tree(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the pages that are mapped and used, and the list of processors."""
    yield from _pages_apart(behaviour, ACPI_OFF, IN_TREE, MAILBOX)


@booted("SEL-04", BUILDS[0], "the mailbox is used by a build that has what it needs, and by no other", like_linux)
def build_has_what_it_needs(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge a matrix of builds: where something is missing, no mailbox may be taken for the way to start processors."""
    tree = "dt-binding" in behaviour.follows
    for sentence in (VERSION_1, *(TREE,) * tree):
        yield from uses_mailbox(behaviour, sentence, MAILBOX, True)
    for sentence in (*BUILDS, *BUILDS_WITH_TREE * tree):
        yield from none_adopted(behaviour, sentence)


@booted("SEL-05", VERSION_1, "no INIT and no SIPI is sent beside the mailbox", like_linux)
def sends_no_ipis_beside(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the interrupts of a bring-up through the mailbox."""
    for trace in each(behaviour, VERSION_1):
        if not sent(trace):
            raise inconclusive("no processor was woken through the mailbox")
        starts = _starts(trace)
        found = f"{len(starts)} INIT and SIPI"
        yield Finding(not starts, found, "none", (told(trace, starts[0] if starts else None),))


def _mode(one: Event) -> int:
    return one.value >> 8 & 7


def _starts(trace: Trace) -> list[Event]:
    sees(trace, "ipis")
    return [one for one in trace.of(Kind.IPI) if _mode(one) in (INIT, STARTUP)]


@booted("SEL-06", NO_MAILBOX, "processors are started by INIT and SIPI, and no mailbox is touched")
def starts_by_ipis(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the interrupts, in order, and whether a page was mapped."""
    for trace in each(behaviour, NO_MAILBOX):
        processors(trace)
        modes = [_mode(one) for one in _starts(trace)]
        good = INIT in modes and STARTUP in modes[modes.index(INIT) :]
        words = " ".join("INIT" if mode == INIT else "SIPI" for mode in modes) or "no INIT and no SIPI"
        yield Finding(good, words, "INIT, then SIPI", (told(trace),))
        touched = next(iter((*trace.of(Kind.MAP), *(one for one, _, _ in sent(trace)))), None)
        yield Finding(touched is None, f"a mailbox {'touched' if touched else 'not touched'}", "none", (told(trace),))


@booted("SEL-07", TD_NO_MAILBOX, "the starts fail with an error, nothing else is tried, and the boot goes on")
def fails_cleanly_in_td(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge interrupts, hypercalls, and what is said of the processors that were not started."""
    for trace in each(behaviour, TD_NO_MAILBOX):
        panics = console(trace, "panic")
        tried = [*_starts(trace), *trace.of(Kind.HYPERCALL), *panics]
        words = f"{len(tried) - len(panics)} INIT, SIPI or hypercalls, {'a' if panics else 'no'} panic"
        yield Finding(not tried, words, "none, and no panic", (told(trace, tried[0] if tried else None),))
        if not panics:
            processors(trace)
        refused = [back for _, back in answers(trace, "online") if back and back.value < 0]
        lines = console(trace, "error")
        found = f"{len(refused)} starts refused, {len(lines)} lines of level error"
        yield Finding(bool(refused) and bool(lines), found, "each start refused, and told", (told(trace),))


@booted(
    "SEL-08", VTL_NO_TDX, "the platform's own way of starting processors is in force", like_linux_at_vtl, takes_tree
)
def platform_has_the_last_word(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the last method that was installed, and what was used."""
    for trace in each(behaviour, VTL_NO_TDX):
        installed = [one for one in trace.of(Kind.METHOD) if one.note in ("mailbox", "hypercall", "ipi", "nothing")]
        if not installed:
            raise inconclusive("the operating system installed no way of starting processors")
        used = "mailbox" if sent(trace) else "hypercall" if trace.of(Kind.HYPERCALL) else "nothing"
        last = installed[-1]
        found = f"{last.note} in force, {used} used"
        good = last.note == "hypercall" and used == "hypercall"
        yield Finding(good, found, "hypercall in force, and used", (told(trace, last),))


@booted("SEL-09", TREE, "every processor is registered before the mailbox is set up", like_linux, takes_tree)
def lists_processors_first(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the order of registrations and of the installed method."""
    for trace in each(behaviour, TREE):
        processors(trace)
        methods = noted(trace, Kind.METHOD, "mailbox")
        if not methods:
            raise inconclusive("the operating system does not use the mailbox of the tree")
        if any(one.facts.get("reported") for one in trace.of(Kind.CPU)):
            raise not_testable("the target does not see when a processor is registered")
        behind = trace.events[trace.events.index(methods[0]) :]
        late = [one for one in behind if one.kind is Kind.CPU]
        found = f"{len(late)} processors registered after the mailbox was set up"
        yield Finding(not late, found, "none", (told(trace, late[0] if late else None),))


@booted("SEL-10", MADT_OFF, "the mailbox of the MADT is not used", like_linux)
def heeds_acpi_off(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether the mailbox is adopted, by an operating system that adopts it without acpi=off."""
    if not all(sent(trace) for trace in each(behaviour, VERSION_1)):
        raise inconclusive("the operating system does not use the mailbox without acpi=off either")
    yield from none_adopted(behaviour, MADT_OFF)


@booted("SEL-12", HELD_BACK, "a processor that maxcpus= held back is woken when it is asked for", like_linux)
def wakes_late(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the start of a processor that was not started at boot."""
    for trace in each(behaviour, HELD_BACK):
        ran(trace)
        panics = console(trace, "panic")
        asked = [(one, back) for one, back in answers(trace, "online") if one.target == LATE_ID]
        codes = [back.value for _, back in asked if back]
        there = [one for one, apic, _ in sent(trace) if apic == LATE_ID]
        words = panics[0].note if panics else f"{len(there)} Wakeups for {LATE_ID:#x}, which returned {codes}"
        good = not panics and len(there) == 1 and codes == [0]
        yield Finding(good, words, "one Wakeup, which returned [0]", (told(trace, panics[0] if panics else None),))
