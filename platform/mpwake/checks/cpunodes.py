"""How an operating system reads a DeviceTree (area DT, parser side)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.boot import about, booted, console, like_linux, named, sent, takes_tree, uses_mailbox
from mpwake.checks.core import Finding, inconclusive, not_testable
from mpwake.checks.enumeration import MAILBOX, adopted, none_given_back, processors, woken
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour

LARGE_ID = 0x100
MISSING_ID = r"local apic id|cpu@|no_reg|\breg\b"
NO_APIC_ID = 0xFFFFFFFF
FAILED, DISABLED = (2, 3), 1

TREE = "an operating system boots with a mailbox node in the DeviceTree"
ASKEW = "an operating system boots with a mailbox node whose base is not aligned"
HALF = "an operating system boots with a mailbox node of 0x800 bytes"
TWICE = "an operating system boots with a mailbox node of 0x2000 bytes"
NO_PLACE = "an operating system boots with a mailbox node that has no reg"
OFFLINE = "an operating system boots from a DeviceTree and is asked to take a processor offline and online again"
NO_ID = "an operating system boots with a cpu node that has no reg"
STATUS = "an operating system boots with failed and disabled cpu nodes"
TWO_NODES = "an operating system boots with two mailbox nodes"
NODE_OFF = "an operating system boots with a mailbox node whose status is disabled"


def _takes_no_other(behaviour: Behaviour, sentence: str) -> Iterator[Finding]:
    # Says something of an operating system only that takes the mailbox of a node which is as it should be.
    if not all(sent(trace) for trace in each(behaviour, TREE)):
        raise inconclusive("the operating system does not use the mailbox of a valid node either")
    for trace in each(behaviour, sentence):
        processors(trace)
        taken = adopted(trace)
        found = f"a mailbox at {taken.value:#x} adopted" if taken else "no mailbox adopted"
        yield Finding(taken is None, found, "no mailbox adopted", (told(trace, taken),))


@booted("DT-05", ASKEW, "a node with an unaligned base gives no mailbox", like_linux, takes_tree)
def refuses_unaligned_base(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether the mailbox is adopted."""
    yield from _takes_no_other(behaviour, ASKEW)


@booted("DT-06", HALF, "a node of any size but 0x1000 gives no mailbox", like_linux, takes_tree)
def refuses_other_sizes(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether the mailbox is adopted, for a node of half a page and for one of two."""
    yield from _takes_no_other(behaviour, HALF)
    yield from _takes_no_other(behaviour, TWICE)


@booted("DT-12", OFFLINE, "no processor is given back, tested or woken again", takes_tree)
def one_use_each(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what an offline request leads to, and the number of Wakeups for each processor."""
    yield from none_given_back(behaviour, OFFLINE)
    for trace in each(behaviour, OFFLINE):
        targets = [apic for _, apic, _ in sent(trace)]
        again = sorted({one for one in targets if targets.count(one) > 1})
        yield Finding(not again, f"woken more than once: {named(again)}", "nobody", (told(trace),))


@booted("DT-13", TREE, "the mailbox is used although nothing but its node announces it", takes_tree)
def node_is_enough(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether commands are sent through it, with cpu nodes that have no enable-method."""
    yield from uses_mailbox(behaviour, TREE, MAILBOX, True)


@booted("DT-15", TREE, "ApicId is the reg of the cpu node, above 255 too", like_linux, takes_tree)
def reg_is_the_id(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the APIC IDs of the Wakeups."""
    for trace in each(behaviour, TREE):
        if LARGE_ID not in trace.ids:
            raise not_testable("no processor of the machine has an APIC ID above 254")
        ids, listed = woken(trace), sorted(trace.ids[1:])
        if not ids:
            raise inconclusive("no processor was woken through the mailbox")
        yield Finding(ids == listed, f"woken: {named(ids)}", named(listed), (told(trace),))


@booted(
    "DT-16", NO_ID, "a cpu node without reg is skipped with a warning, and the boot goes on", like_linux, takes_tree
)
def skips_cpu_without_id(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the processors that are registered and woken, and the console."""
    for trace in each(behaviour, NO_ID):
        panics = console(trace, "panic")
        if panics:
            yield Finding(False, panics[0].note, "no panic", (told(trace, panics[0]),))
            continue
        known, lines = processors(trace), about(console(trace, "warning"), MISSING_ID)
        nobody = NO_APIC_ID in (*known, *woken(trace))
        found = f"APIC ID {NO_APIC_ID:#x} {'taken' if nobody else 'not taken'}, {len(lines)} warnings"
        missing = [one for one in trace.ids[1:] if one not in known]
        good = not nobody and bool(lines) and not missing
        yield Finding(good, f"{found}, not registered: {named(missing)}", "skipped, with a warning", (told(trace),))


@booted("DT-17", STATUS, "failed cpu nodes are skipped and disabled ones enumerated", like_linux, takes_tree)
def reads_cpu_status(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the processors that are registered and woken."""
    for trace in each(behaviour, STATUS):
        known = processors(trace)
        failed = [one for one in FAILED if one in (*known, *woken(trace))]
        yield Finding(not failed, f"failed and taken: {named(failed)}", "nobody", (told(trace),))
        there = DISABLED in known
        found = f"the disabled processor {DISABLED:#x} is {'enumerated' if there else 'left out'}"
        yield Finding(there, found, "enumerated", (told(trace),))


@booted("DT-19", TWO_NODES, "the first mailbox node is used, whatever the status of one is", like_linux, takes_tree)
def takes_the_first_node(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge through which page commands are sent; no specification says which it should be."""
    yield from uses_mailbox(behaviour, TWO_NODES, MAILBOX, True)
    yield from uses_mailbox(behaviour, NODE_OFF, MAILBOX, True)


@booted("DT-20", NO_PLACE, "an invalid mailbox node costs the mailbox and not the boot", like_linux, takes_tree)
def goes_on_without_the_node(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the boot with a node that has no reg, an unaligned base, or another size."""
    for sentence in (NO_PLACE, ASKEW, HALF):
        for trace in each(behaviour, sentence):
            panics = console(trace, "panic")
            words = panics[0].note if panics else "no panic"
            yield Finding(not panics, words, "no panic", (told(trace, panics[0] if panics else None),))
        yield from _takes_no_other(behaviour, sentence)
