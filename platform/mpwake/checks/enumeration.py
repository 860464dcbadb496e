"""How an operating system reads what firmware publishes (areas MADT, DT and SEL, parser side)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.boot import answers, booted, console, like_linux, named, sent, uses_mailbox
from mpwake.checks.core import Finding, inconclusive
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Kind

MAILBOX = 0x7F5E5000
SPARSE_IDS = (1, 4, 0x1FF)

SPARSE = "an operating system boots with sparse APIC IDs"
VERSION_0 = "an operating system boots with a wakeup entry of version 0"
TOO_SHORT = "an operating system boots with a wakeup entry of 12 bytes at the end of the MADT"
ADDRESS_0 = "an operating system boots with MailBoxAddress 0"


@booted("MADT-17", SPARSE, "exactly the enabled processors of the table are woken, except its own")
def wakes_who_is_listed(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the APIC IDs of the Wakeups."""
    for trace in each(behaviour, SPARSE):
        woken = sorted({apic for _, apic, _ in sent(trace)})
        yield Finding(tuple(woken) == SPARSE_IDS, f"woken: {named(woken)}", named(list(SPARSE_IDS)), (told(trace),))


@booted("MADT-21", TOO_SHORT, "no mailbox is adopted from an entry that is too short", like_linux)
def refuses_short_entry(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether a mailbox is mapped or taken for the method."""
    for trace in each(behaviour, TOO_SHORT):
        if not trace.of(Kind.CPU):
            raise inconclusive("the operating system did not come as far as the processors")
        adopted = [one for one in trace.of(Kind.METHOD) if one.note == "mailbox"]
        found = f"a mailbox at {adopted[0].value:#x} adopted" if adopted else "no mailbox adopted"
        yield Finding(not adopted, found, "no mailbox adopted", (told(trace, adopted[0] if adopted else None),))


@booted("MADT-23", VERSION_0, "the mailbox of a version 0 entry is used", like_linux)
def takes_version_0(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether commands are sent through it."""
    yield from uses_mailbox(behaviour, VERSION_0, MAILBOX, True)


@booted("MADT-26", ADDRESS_0, "each start is refused as not supported, and physical page 0 is not touched", like_linux)
def address_0_is_no_mailbox(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge mappings of page 0 and the codes of the starts."""
    for trace in each(behaviour, ADDRESS_0):
        mapped = [one for one in trace.of(Kind.MAP) if one.value == 0]
        codes = [back.value if back else None for _, back in answers(trace, "online")]
        told_of = console(trace)
        found = f"page 0 {'mapped' if mapped else 'not mapped'}, starts returned {codes}, {len(told_of)} console lines"
        good = not mapped and bool(codes) and all(code == -95 for code in codes) and bool(told_of)
        yield Finding(good, found, "page 0 not mapped, -95 for each, and a line that says so", (told(trace),))
