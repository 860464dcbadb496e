"""What the checks of booted operating systems share: their situations, and how their traces are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mpwake.checks.core import (
    Condition,
    Finding,
    Judge,
    check,
    further,
    given,
    inconclusive,
    not_applicable,
    not_testable,
    probe,
)
from mpwake.checks.traffic import each, folded, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import ACTIONS, SENDER, Event, Kind, Trace
from mpwake.spec.requirements import Role

WAKEUP, TEST = 1, 2
PAGE = 0x1000


@given("an operating system that boots")
def a_system(behaviour: Behaviour) -> None:
    """A whole one, not a bring-up alone."""
    if not behaviour.boots:
        raise not_testable("the target is a bring-up alone, and no operating system around it")


def _follows(name: str, title: str) -> Condition:
    def require(behaviour: Behaviour) -> None:
        if name not in behaviour.follows:
            raise not_applicable(f"the operating system does not claim to behave as {title} does")

    return given(f"an operating system that behaves as {title}")(require)


like_linux = _follows("linux", "Linux")
like_linux_at_vtl = _follows("hyperv-vtl", "Linux at a Hyper-V virtual trust level")
like_asterinas = _follows("asterinas", "Asterinas")
like_gramine = _follows("gramine", "Gramine")


@given("an operating system that takes a mailbox from a DeviceTree")
def takes_tree(behaviour: Behaviour) -> None:
    """One that claims to keep to the binding."""
    if "dt-binding" not in behaviour.follows:
        raise not_applicable("the operating system does not claim to take a mailbox from a DeviceTree")


def booted(id: str, when: str, then: str, *also: Condition) -> Callable[[Judge], Judge]:
    """Register the check of a sender's requirement that is judged on a boot into a situation."""
    declare = check(id, given=(a_system, *also), when=probe(when), then=then, role=Role.SENDER)
    return lambda judge: declare(folded(judge))


def beside(id: str, when: str, then: str, *also: Condition) -> Callable[[Judge], Judge]:
    """Register what is asked beside the check of a sender's requirement, on a boot into another situation."""
    declare = further(id, given=(a_system, *also), when=probe(when), then=then, role=Role.SENDER)
    return lambda judge: declare(folded(judge))


def ordered(behaviour: Behaviour, sentence: str) -> Iterator[Trace]:
    """Yield the trials in which stores become visible in order; in others ApicId may be older than Command."""
    yield from (trace for trace in each(behaviour, sentence) if trace.memory != "relaxed")


def field(page: bytes | bytearray, offset: int, width: int) -> int:
    """Return a little-endian field of the mailbox page."""
    return int.from_bytes(page[offset : offset + width], "little")


def pages(trace: Trace) -> Iterator[tuple[Event, bytes]]:
    """Yield every event with the page as it was before it."""
    page = bytearray(trace.before)
    for one in trace.events:
        yield one, bytes(page)
        if one.kind is Kind.STORE:
            page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")


def commands(trace: Trace) -> Iterator[tuple[Event, bytes]]:
    """Yield the operating system's stores that make Command something other than 0, with the page right after each."""
    for one, before in pages(trace):
        if one.kind is Kind.STORE and one.agent == SENDER and one.touches(0, 2):
            after = bytearray(before)
            after[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
            if field(after, 0, 2):
                yield one, bytes(after)


def sent(trace: Trace, command: int = WAKEUP) -> list[tuple[Event, int, int]]:
    """Return the stores of a command, each with the ApicId and the WakeupVector that stand beside it."""
    found = [(one, page) for one, page in commands(trace) if field(page, 0, 2) == command]
    return [(one, field(page, 4, 4), field(page, 8, 8)) for one, page in found]


def acknowledged(trace: Trace) -> list[Event]:
    """Return the stores of processors that make Command 0."""
    return [
        one
        for one, before in pages(trace)
        if one.kind is Kind.STORE and one.agent != SENDER and one.touches(0, 2) and field(before, 0, 2)
    ]


def noted(trace: Trace, kind: Kind, note: str = "") -> list[Event]:
    """Return the events of a kind, of one note or of all."""
    return [one for one in trace.of(kind) if note in ("", one.note)]


def answers(trace: Trace, op: str) -> list[tuple[Event, Event | None]]:
    """Return the requests of one op, each with its return, or None where it never came."""
    found: list[tuple[Event, Event | None]] = []
    asked: Event | None = None
    for one in trace.events:
        if one.kind is Kind.REQUEST:
            asked = one
            if one.value == ACTIONS[op]:
                found.append((one, None))
        elif one.kind is Kind.RETURN and asked is not None and asked.value == ACTIONS[op]:
            found[-1] = (asked, one)
    return found


def console(trace: Trace, level: str = "") -> list[Event]:
    """Return the console lines, of one level or of all."""
    return [one for one in trace.of(Kind.CONSOLE) if level in ("", one.facts.get("level"))]


# What a target may not see, by the name that its traces give it in the fact ``not seen``.
BLIND = {
    "free": "when memory may be used for something else",
    "routine": "what a wake routine touches",
    "hypercall": "calls of the hypervisor",
    "cache": "the memory type of a mapping",
    "entries": "the parts of a trampoline",
    "table": "what becomes of the tables in memory",
    "own use": "the memory that an operating system takes for itself",
    "reset state": "the state of a processor at the jump to ResetVector",
    "ipis": "interrupts between processors",
}


def sees(trace: Trace, *names: str) -> None:
    """Raise where the target does not see something at all, so that its absence proves nothing."""
    blind = str(trace.facts.get("not seen", "")).split(", ")
    for name in names:
        if name in blind:
            raise not_testable(f"the target does not see {BLIND[name]}")


def about(lines: list[Event], words: str) -> list[Event]:
    """Return the console lines that speak of something: a pattern, whatever the case of its letters."""
    return [one for one in lines if re.search(words, one.note, re.IGNORECASE)]


def named(ids: list[int]) -> str:
    """Return APIC IDs in words."""
    return ", ".join(hex(one) for one in ids) or "nobody"


def ran(trace: Trace) -> None:
    """Raise where nothing was seen of the operating system that could be held against it."""
    if not trace.of(Kind.CPU) and not console(trace, "panic"):
        raise inconclusive("the operating system did not come as far as the processors")


def uses_mailbox(behaviour: Behaviour, sentence: str, address: int, expected: bool) -> Iterator[Finding]:
    """Judge whether the operating system sends a command through the mailbox at ``address`` in each trial."""
    for trace in each(behaviour, sentence):
        ran(trace)
        mapped = [one for one in trace.of(Kind.MAP) if one.value == address]
        used = bool(mapped and sent(trace))
        found = f"commands sent through the page at {address:#x}" if used else "no command sent through it"
        wanted = "that the mailbox is used" if expected else "that it is not used"
        yield Finding(used is expected, found, wanted, (told(trace, mapped[0] if mapped else None),))
