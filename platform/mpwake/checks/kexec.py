"""What an operating system leaves to the kernel that comes after it (area KEX)."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mpwake.checks.boot import (
    TEST,
    about,
    answers,
    beside,
    booted,
    commands,
    console,
    field,
    like_linux,
    named,
    noted,
    pages,
    sees,
    sent,
)
from mpwake.checks.core import Finding, inconclusive, not_applicable
from mpwake.checks.enumeration import START
from mpwake.checks.guest import fact
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace

HELD_BACK = "an operating system boots with a version 0 mailbox, wakes a held-back processor, and starts a next kernel"
NO_RESET = "an operating system boots with a version 1 mailbox, and the set-up for resets fails"
NEXT = "an operating system boots with a version 1 mailbox, and starts a next kernel"
UNANSWERED = (
    "an operating system boots with a version 1 mailbox, takes a processor offline that does not answer Test, "
    "and starts a next kernel"
)
TREE = "an operating system boots with a mailbox in the DeviceTree, and starts a next kernel"
CRASH = "an operating system boots with a version 1 mailbox, and crashes"
MAILBOX = 0x7F5E5000
ADDRESS_AT = 44 + 3 * 8 + 8
LEFT_BY_ZEROING = -sum(MAILBOX.to_bytes(8, "little")) & 0xFF
NOT_SUPPORTED = -95
NO_NEXT = "the operating system starts no next kernel"


def _kernels(trace: Trace) -> list[Trace]:
    """Cut a trial where a kernel begins."""
    starts = [at for at, one in enumerate(trace.events) if one.kind is Kind.KERNEL and one.note != "leaves"]
    if not starts:
        raise inconclusive("no kernel was seen to start")
    heads = [page for one, page in pages(trace) if one.kind is Kind.KERNEL and one.note != "leaves"]
    ends = [*starts[1:], len(trace.events)]
    parts = zip(starts, ends, heads, strict=True)
    return [attrs.evolve(trace, events=trace.events[at:end], before=page) for at, end, page in parts]


def _next(trace: Trace) -> tuple[Trace, Trace]:
    """Return the first kernel's part of a trial and the second's."""
    found = _kernels(trace)
    if len(found) < 2 and any(back is None for _, back in (*answers(trace, "kexec"), *answers(trace, "crash"))):
        raise inconclusive("the next kernel was asked for, and neither it nor a refusal was seen")
    if len(found) < 2:
        raise not_applicable(NO_NEXT)
    return found[0], found[1]


def _left(kernel: Trace) -> list[tuple[Event, bytes]]:
    return [(one, page) for one, page in pages(kernel) if one.kind is Kind.KERNEL and one.note == "leaves"]


def _erased(trace: Trace) -> list[Event]:
    """Return the stores of 0 to MailBoxAddress in the MADT in memory. Raises where tables are not watched."""
    sees(trace, "table")
    erased = [one for one in noted(trace, Kind.TABLE, "madt") if one.value == 0]
    return [one for one in erased if one.offset <= ADDRESS_AT and one.offset + one.width >= ADDRESS_AT + 8]


@booted("KEX-01", HELD_BACK, "MailBoxAddress in memory is 0 before the next kernel starts", like_linux)
def erases_the_address(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the table in memory with a version 0 mailbox."""
    yield from _address_is_erased(behaviour, HELD_BACK)


@beside("KEX-01", NO_RESET, "MailBoxAddress in memory is 0, because no processor can be given back", like_linux)
def erases_after_a_failure(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the table in memory where the set-up for resets has failed."""
    yield from _address_is_erased(behaviour, NO_RESET)


def _address_is_erased(behaviour: Behaviour, sentence: str) -> Iterator[Finding]:
    if not any(_left(trace) for trace in each(behaviour, HELD_BACK)):
        raise not_applicable(NO_NEXT)
    for trace in each(behaviour, sentence):
        if not sent(trace):
            raise inconclusive("the operating system has not used the mailbox")
        erased = _erased(_kernels(trace)[0])
        found = "the address was set to 0" if erased else "the address stays in the table"
        yield Finding(bool(erased), found, "it is set to 0", (told(trace, erased[0] if erased else None),))


@booted("KEX-02", HELD_BACK, "the held-back processor is woken after the address was erased", like_linux)
def keeps_its_copy(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the start that was asked for after the store to the table."""
    for trace in each(behaviour, HELD_BACK):
        first = _kernels(trace)[0]
        erased = _erased(first)
        if not erased:
            raise not_applicable("the address stays in the table")
        after = first.events.index(erased[0])
        late = [(one, back) for one, back in answers(first, "online") if first.events.index(one) > after]
        if not late:
            raise inconclusive("no processor was asked for after that")
        for one, back in late:
            woken = any(apic == one.target for _, apic, _ in sent(first))
            found = f"a Wakeup {'sent' if woken else 'not sent'}, the start returned {back.value if back else None}"
            good = woken and back is not None and back.value == 0
            yield Finding(good, found, "a Wakeup sent, and 0", (told(trace, one),))


@booted("KEX-03", HELD_BACK, "the next kernel warns once, fails each start, and runs on one processor", like_linux)
def next_kernel_is_alone(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what the second kernel says, maps and returns."""
    for trace in each(behaviour, HELD_BACK):
        first, second = _next(trace)
        if not _erased(first):
            raise not_applicable("the address stays in the table")
        codes = [back.value if back else None for _, back in answers(second, "online")]
        warnings = about(console(second, "warning"), "mailbox")
        errors = about(console(second, "error"), START)
        mapped, alive = second.of(Kind.MAP), second.of(Kind.ALIVE)
        found = (
            f"{len(warnings)} warnings, {len(errors)} errors, starts returned {codes}, "
            f"{len(mapped)} mappings, {len(alive)} processors woken"
        )
        refused = bool(codes) and all(code == NOT_SUPPORTED for code in codes) and len(errors) == len(codes)
        good = len(warnings) == 1 and refused and not mapped and not alive
        yield Finding(good, found, f"1 warning, {NOT_SUPPORTED} and an error for each start", (told(trace),))


@booted(
    "KEX-04", HELD_BACK, "the table differs from firmware's in the address alone, and its sum shows that", like_linux
)
def leaves_the_checksum(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the sum of the table's bytes after MailBoxAddress was erased: the mark by which a tool knows Linux."""
    for trace in each(behaviour, HELD_BACK):
        erased = _erased(_kernels(trace)[0])
        if not erased:
            raise not_applicable("the address stays in the table")
        for one in erased:
            total = fact(one, "checksum")
            good = total == LEFT_BY_ZEROING and one.width == 8
            found = f"{one.width} bytes changed, and the sum is {total:#x}"
            yield Finding(good, found, f"8 bytes, and {LEFT_BY_ZEROING:#x}", (told(trace, one),))


def _verified(kernel: Trace) -> set[int]:
    """Return who was given back by a jump to ResetVector and has answered a Test after it."""
    found = set()
    jumped: set[int] = set()
    tested: int | None = None
    tests = {id(one): apic for one, apic, _ in sent(kernel, TEST)}
    for one in kernel.events:
        if one.kind is Kind.RESET:
            jumped.add(one.value)
        elif id(one) in tests:
            tested = tests[id(one)]
        elif one.kind is Kind.STORE and one.touches(0, 2) and tested is not None and kernel.ids[one.agent] == tested:
            found |= {tested} & jumped
    return found


@booted("KEX-05", NEXT, "each processor has jumped to ResetVector and answered Test before the next kernel starts")
def gives_every_processor_back(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge who has been given back when the first kernel leaves."""
    for trace in each(behaviour, NEXT):
        first, _ = _next(trace)
        awake = {one.value for one in first.of(Kind.ALIVE)}
        if not awake:
            raise inconclusive("no processor was woken")
        missing = sorted(awake - _verified(first))
        left = _left(first)[0][0]
        yield Finding(not missing, f"not given back: {named(missing)}", "nobody", (told(trace, left),))


@booted("KEX-06", TREE, "no Wakeup goes to processors that have left the mailbox of the DeviceTree")
def offers_no_used_mailbox(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the Wakeups of the second kernel, and whether it hangs."""
    for trace in each(behaviour, TREE):
        first, second = _next(trace)
        gone = {apic for _, apic, _ in sent(first)}
        if not gone:
            raise not_applicable("the operating system does not use the mailbox of the DeviceTree")
        again = [one for one, apic, _ in sent(second) if apic in gone]
        found = f"{len(again)} Wakeups of the next kernel" + (", which waits for ever" if trace.stuck else "")
        yield Finding(not again, found, "none", (told(trace, again[0] if again else None),))


@booted("KEX-07", UNANSWERED, "Command is 0 whenever a next kernel takes over")
def mailbox_is_idle(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge Command at the hand-over, with processors that answer Test and with one that does not."""
    if not any(_left(trace) for trace in each(behaviour, NEXT)):
        raise not_applicable(NO_NEXT)
    for sentence in (NEXT, UNANSWERED):
        for trace in each(behaviour, sentence):
            left = _left(trace)
            for one, page in left:
                found = f"Command {field(page, 0, 2):#x} at the hand-over"
                yield Finding(field(page, 0, 2) == 0, found, "Command 0", (told(trace, one),))
            if not left:
                yield _called_off(trace)


def _called_off(trace: Trace) -> Finding:
    refused = [one for one, back in answers(trace, "kexec") if back is not None and back.value < 0]
    if not refused:
        raise inconclusive("neither a next kernel nor a refusal was seen")
    return Finding(True, "the next kernel was called off", "Command 0, or no hand-over", (told(trace, refused[0]),))


@booted("KEX-09", CRASH, "the crash kernel comes up, with one processor or with more")
def crash_kernel_boots(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge whether the second kernel gets through its bring-up; processors that it lacks do not count."""
    for trace in each(behaviour, CRASH):
        _, second = _next(trace)
        hangs = trace.stuck or bool(console(second, "panic"))
        found = f"it {'hangs or panics' if hangs else 'boots'}, {len(list(commands(second)))} commands sent"
        yield Finding(not hangs, found, "it boots", (told(trace, second.events[0]),))
