"""How an operating system reads a MADT (area MADT, parser side)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mpwake.checks.boot import TEST, about, answers, booted, console, like_linux, named, noted, ran, sent, uses_mailbox
from mpwake.checks.core import Finding, inconclusive, not_testable
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace

MAILBOX = 0x7F5E5000
LARGE_ID = 0x1FF
START = r"mailbox|processor|cpu ?#?\d"
NOT_ENABLED = (2, 3, 0x300)
UNALIGNED = 0x7F5E5010
BOOT_ID, OTHERS = 4, (0, 1, 5)
AROUND = (1, 2, 3)

SPARSE = "an operating system boots with sparse APIC IDs"
VERSION_0 = "an operating system boots with a wakeup entry of version 0"
VERSION_1 = "an operating system boots with a wakeup entry of version 1"
TOO_SHORT = "an operating system boots with a wakeup entry of 12 bytes at the end of the MADT"
ADDRESS_0 = "an operating system boots with MailBoxAddress 0"
VECTOR_0 = "an operating system boots with ResetVector 0 and is asked to take a processor offline"
DISABLED = "an operating system boots with processor entries that are not enabled"
NO_VECTOR = "an operating system boots with a version 1 entry of 16 bytes and is asked to take a processor offline"
VERSION_2 = "an operating system boots with a wakeup entry of version 2 and 32 bytes"
ASKEW = "an operating system boots with an unaligned MailBoxAddress"
MALFORMED = "an operating system boots with a wakeup entry of 12 bytes between processor entries"
BOOT_THIRD = "an operating system boots on a processor that the MADT lists third"


def woken(trace: Trace) -> list[int]:
    """Return the APIC IDs that a Wakeup was sent to, each once, in order of their numbers."""
    return sorted({apic for _, apic, _ in sent(trace)})


def processors(trace: Trace) -> list[int]:
    """Return the APIC IDs that the operating system has registered; raise where it did not come as far."""
    found = [one.value for one in trace.of(Kind.CPU)]
    if not found:
        raise inconclusive("the operating system did not come as far as the processors")
    return found


def adopted(trace: Trace) -> Event | None:
    """Return where a mailbox was taken for the way to start processors, or a page was mapped for one."""
    return next(iter((*noted(trace, Kind.METHOD, "mailbox"), *noted(trace, Kind.MAP, "mailbox"))), None)


def none_adopted(behaviour: Behaviour, sentence: str) -> Iterator[Finding]:
    """Judge that no mailbox is taken for the way to start processors, by a boot that comes as far as these."""
    for trace in each(behaviour, sentence):
        processors(trace)
        taken = adopted(trace)
        found = f"a mailbox at {taken.value:#x} adopted" if taken else "no mailbox adopted"
        yield Finding(taken is None, found, "no mailbox adopted", (told(trace, taken),))


def none_given_back(behaviour: Behaviour, sentence: str) -> Iterator[Finding]:
    """Judge that a request to take a processor offline leads to no jump to ResetVector and to no Test."""
    for trace in each(behaviour, sentence):
        if not sent(trace) or not answers(trace, "offline"):
            raise inconclusive("no processor was woken through the mailbox and then to be taken offline")
        signs = [*trace.of(Kind.RESET), *noted(trace, Kind.ALLOC, "reset environment")]
        signs += [one for one, _, _ in sent(trace, TEST)]
        found = "a processor is given back to firmware" if signs else "no processor is given back to firmware"
        yield Finding(not signs, found, "none is given back", (told(trace, signs[0] if signs else None),))


@booted("MADT-10", VECTOR_0, "the mailbox is not taken for one that can be reset")
def vector_0_is_no_vector(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what an offline request leads to."""
    yield from none_given_back(behaviour, VECTOR_0)


@booted("MADT-17", SPARSE, "exactly the enabled processors of the table are woken, except its own")
def wakes_who_is_listed(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the APIC IDs of the Wakeups."""
    for trace in each(behaviour, SPARSE):
        ran(trace)
        ids, listed = woken(trace), sorted(trace.ids[1:])
        yield Finding(ids == listed, f"woken: {named(ids)}", named(listed), (told(trace),))


@booted("MADT-18", SPARSE, "a processor of a type 9 entry is addressed by all 32 bits of its APIC ID")
def takes_type_9(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the Wakeup for APIC ID 0x1FF, which type 0 cannot hold."""
    for trace in each(behaviour, SPARSE):
        if LARGE_ID not in trace.ids:
            raise not_testable("no processor of the machine has an APIC ID above 254")
        ids = woken(trace)
        if not ids:
            raise inconclusive("no processor was woken through the mailbox")
        yield Finding(LARGE_ID in ids, f"woken: {named(ids)}", f"{LARGE_ID:#x} among them", (told(trace),))


@booted("MADT-20", DISABLED, "no processor whose Enabled flag is clear is woken")
def leaves_disabled_alone(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the APIC IDs of the Wakeups against those of entries with flags 0 and 2."""
    for trace in each(behaviour, DISABLED):
        ids = woken(trace)
        if not ids:
            raise inconclusive("no processor was woken through the mailbox")
        wrong = [one for one in ids if one in NOT_ENABLED]
        bad = next((one for one, apic, _ in sent(trace) if apic in wrong), None)
        yield Finding(not wrong, f"not enabled and woken: {named(wrong)}", "nobody", (told(trace, bad),))


@booted("MADT-21", TOO_SHORT, "no mailbox is adopted from an entry that is too short", like_linux)
def refuses_short_entry(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether a mailbox is mapped or taken for the method."""
    yield from none_adopted(behaviour, TOO_SHORT)


@booted("MADT-22", NO_VECTOR, "the bytes of the next entry are not taken for a ResetVector", like_linux)
def believes_no_short_vector(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what an offline request leads to."""
    yield from none_given_back(behaviour, NO_VECTOR)


@booted("MADT-23", VERSION_0, "the mailbox of a version 0 entry is used", like_linux)
def takes_version_0(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether commands are sent through it."""
    yield from uses_mailbox(behaviour, VERSION_0, MAILBOX, True)


@booted("MADT-24", VERSION_1, "a version 1 entry of 24 bytes is not refused")
def takes_version_1(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether commands are sent through the mailbox, whatever else of version 1 is used."""
    yield from uses_mailbox(behaviour, VERSION_1, MAILBOX, True)


@booted("MADT-25", VERSION_2, "the mailbox of an entry that is newer and longer is used")
def takes_what_it_knows(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether commands are sent through it."""
    yield from uses_mailbox(behaviour, VERSION_2, MAILBOX, True)


@booted("MADT-26", ADDRESS_0, "each start is refused as not supported, and physical page 0 is not touched", like_linux)
def address_0_is_no_mailbox(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge mappings of page 0 and the codes of the starts."""
    for trace in each(behaviour, ADDRESS_0):
        mapped = [one for one in trace.of(Kind.MAP) if one.value == 0]
        if not mapped:
            ran(trace)
        codes = [back.value if back else None for _, back in answers(trace, "online")]
        told_of = about(console(trace), START)
        found = f"page 0 {'mapped' if mapped else 'not mapped'}, starts returned {codes}, {len(told_of)} console lines"
        good = not mapped and bool(codes) and all(code == -95 for code in codes) and bool(told_of)
        yield Finding(good, found, "page 0 not mapped, -95 for each, and a line that says so", (told(trace),))


@booted("MADT-27", ASKEW, "an unaligned MailBoxAddress is refused, or reported")
def notices_unaligned_address(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether the address is used, and what the console says of it."""
    for trace in each(behaviour, ASKEW):
        processors(trace)
        used = next(iter((*trace.of(Kind.MAP), *(one for one, _, _ in sent(trace)))), None)
        lines = [one for one in console(trace) if _speaks_of(one.note, UNALIGNED)]
        found = f"the mailbox {'used' if used else 'not used'}, {len(lines)} console lines about its address"
        yield Finding(not used or bool(lines), found, "not used, or a line about it", (told(trace, used),))


def _speaks_of(line: str, address: int) -> bool:
    return f"{address:x}" in line.lower() or {"mailbox", "align"} <= set(re.findall("mailbox|align", line.lower()))


@booted("MADT-28", MALFORMED, "a malformed wakeup entry costs neither the boot nor a processor")
def goes_on_after_malformed_entry(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the processors that are registered: those before that entry and those behind it."""
    for trace in each(behaviour, MALFORMED):
        panics = console(trace, "panic")
        if panics:
            yield Finding(False, panics[0].note, "no panic", (told(trace, panics[0]),))
            continue
        missing = [one for one in AROUND if one not in processors(trace)]
        yield Finding(not missing, f"not registered: {named(missing)}", "nobody", (told(trace),))


@booted("MADT-29", BOOT_THIRD, "the boot processor is known by its own APIC ID and not by its place")
def knows_itself(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the APIC IDs of the Wakeups."""
    for trace in each(behaviour, BOOT_THIRD):
        ids = woken(trace)
        if not ids:
            raise inconclusive("no processor was woken through the mailbox")
        itself = next((one for one, apic, _ in sent(trace) if apic == BOOT_ID), None)
        found = f"woken: {named(ids)}"
        yield Finding(tuple(ids) == OTHERS, found, named(list(OTHERS)), (told(trace, itself),))
