"""What the checks of driven implementations share: their trials, and how mailbox traffic is shown."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import attrs

from mpwake.checks.core import Finding, Judge, Unjudged, inconclusive, not_applicable
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exhibit import Exhibit, Lane, Traffic, TrafficRow, traffic_exhibit
from mpwake.evidence.trace import ACTIONS, OPS, SENDER, Event, Fact, Kind, Trace
from mpwake.model.agent import FIELDS

OS_HEADER = 16
OS_SECTION = 2048
TIMED_OUT = -110
NAMES = {number: name for name, number in (ACTIONS | OPS).items()}
AREAS = {
    **FIELDS,
    "ReservedForOs": (OS_HEADER, OS_SECTION - OS_HEADER),
    "ReservedForFirmware": (OS_SECTION, OS_SECTION),
}
WAKES = ("wake", "overwrite", "send", "torn")
_ADDRESSED = tuple(OPS[name] for name in (*WAKES, "test", "reset"))
REGISTERS = "registers"
_ACTS = 24
_BESIDE = 16
_LINES = 6
_FACTS = 4
# There may be a great many of these, and what they are beside is what a finding is about.
_MANY = (Kind.LOAD, Kind.CONSOLE)
_TEXT = 96
_HEAD = 16


def told(trace: Trace, marked: Event | None = None) -> Exhibit:
    """Show what happened in a trial around one event: who did what in which order.

    Loads are shown of those who take part in it, and of the console an excerpt: the nearest to that event first.
    """
    return traffic_exhibit("mailbox traffic", functools.partial(_around, trace, marked))


def _around(trace: Trace, marked: Event | None) -> Traffic:
    acts = [at for at, one in enumerate(trace.events) if one.kind not in _MANY or one is marked]
    about = next((number for number, at in enumerate(acts) if trace.events[at] is marked), len(acts) - 1)
    centre = acts[about] if acts else len(trace.events)
    first = max(0, about - _ACTS // 2)
    shown = acts[first : first + _ACTS]
    later = len(acts) - first - len(shown)
    start = shown[0] if first else 0
    end = shown[-1] + 1 if later else len(trace.events)
    lines = [at for at in range(start, end) if trace.events[at].kind is Kind.CONSOLE and trace.events[at] is not marked]
    excerpt = sorted(lines, key=lambda at: (trace.events[at].facts.get("level") != "panic", abs(at - centre)))[:_LINES]
    loads = _loads(trace, frozenset(shown), range(start, end))
    nearest = sorted(loads, key=lambda at: abs(at - centre))[: _BESIDE - len(excerpt)]
    chosen = {at: loads.get(at, trace.events[at]) for at in sorted([*shown, *excerpt, *nearest])}
    agents = sorted({one.agent for one in chosen.values()})
    page = _head(trace, next(iter(chosen), 0))
    return Traffic(
        lanes=tuple(Lane(agent, _called(trace, agent)) for agent in agents),
        rows=tuple(_rows(chosen.values(), marked, agents, page)),
        page=page,
        earlier=first,
        later=later,
        loads=_count(trace.events[start:end]) - _count(chosen.values()),
        console=len(lines) - len(excerpt),
    )


def _loads(trace: Trace, acts: frozenset[int], within: range) -> dict[int, Event]:
    """Return the loads of those who take part, equal ones between two acts as one, by the first index."""
    agents = _partakers(trace, [trace.events[at] for at in acts])
    loads: dict[int, Event] = {}
    equal: dict[tuple[int, int, int, int], int] = {}
    for at in within:
        one = trace.events[at]
        key = (one.agent, one.offset, one.width, one.value)
        if at in acts:
            equal.clear()
        elif one.kind is Kind.LOAD and one.agent in agents:
            first = equal.setdefault(key, at)
            count = one.count + (loads[first].count if first in loads else 0)
            loads[first] = attrs.evolve(loads.get(first, one), count=count, until=one.until)
    return loads


def _partakers(trace: Trace, acts: list[Event]) -> set[int]:
    """Return who does more than load there, and whom a request is for."""
    targets = {one.target for one in acts if one.kind is Kind.REQUEST and one.value in _ADDRESSED}
    return {one.agent for one in acts} | {agent for agent, id in enumerate(trace.ids) if id in targets}


def _count(events: Iterable[Event]) -> int:
    return sum(one.count for one in events if one.kind is Kind.LOAD)


def _called(trace: Trace, agent: int) -> str:
    known = SENDER < agent < len(trace.ids)
    return "OS" if agent == SENDER else f"AP {trace.ids[agent]:#x}" if known else f"agent {agent}"


def _rows(chosen: Iterable[Event], marked: Event | None, agents: list[int], head: bytes) -> Iterator[TrafficRow]:
    page = bytearray(head)
    for one in chosen:
        access = one.kind in (Kind.LOAD, Kind.STORE)
        stored = one.kind is Kind.STORE and one.offset < _HEAD
        if stored:
            _store(page, one)
        yield TrafficRow(
            time=one.time,
            lane=agents.index(one.agent),
            kind=one.kind.value,
            place=place(one.offset, one.width) if access else "",
            offset=one.offset,
            width=one.width,
            value=one.value,
            count=one.count,
            until=max(one.time, one.until),
            marked=one is marked,
            page=bytes(page) if stored else b"",
            text=_text(one),
        )


def _head(trace: Trace, until: int) -> bytes:
    """Return the first bytes of the page as they were before an event."""
    page = bytearray(trace.before[:_HEAD].ljust(_HEAD, b"\0"))
    for one in trace.events[:until]:
        if one.kind is Kind.STORE and one.offset < _HEAD:
            _store(page, one)
    return bytes(page)


def head_at(trace: Trace, about: Event) -> tuple[bytes, bytes]:
    """Return the first bytes of the page before an event, and after it."""
    at = next(number for number, one in enumerate(trace.events) if one is about)
    return _head(trace, at), _head(trace, at + 1)


def _store(page: bytearray, one: Event) -> None:
    """Make a store visible in the first bytes of the page."""
    value = (one.value & ((1 << 8 * one.width) - 1)).to_bytes(one.width, "little")
    end = min(one.offset + one.width, len(page))
    page[one.offset : end] = value[: end - one.offset]


def place(offset: int, width: int) -> str:
    """Name bytes of the mailbox by the field that they are, or are part of.

    >>> place(0, 2), place(4, 2), place(0, 8), place(0x800, 4)
    ('Command', 'ApicId[0x4-0x5]', 'Command to ApicId', 'ReservedForFirmware[0x800-0x803]')
    """
    touched = [name for name, (at, size) in AREAS.items() if at < offset + width and offset < at + size]
    if not touched:
        return f"bytes {offset:#x}-{offset + width - 1:#x}"
    named = touched[0] if len(touched) == 1 else f"{touched[0]} to {touched[-1]}"
    (start, _), (last, size) = AREAS[touched[0]], AREAS[touched[-1]]
    whole = (offset, width) == (start, last + size - start)
    return named if whole else f"{named}[{offset:#x}-{offset + width - 1:#x}]"


def _text(one: Event) -> str:
    """Return what there is to say of an event beside the bytes that it touched."""
    words = []
    if one.kind is Kind.REQUEST:
        words = [str(NAMES.get(one.value, one.value)), f"APIC ID {one.target:#x}", f"{one.vector:#x}"]
    elif one.kind is Kind.RETURN:
        words = [f"{one.value}"]
    elif one.kind is Kind.RESET:
        words = [f"APIC ID {one.value:#x}"]
    elif one.kind not in (Kind.LOAD, Kind.STORE):
        words = [one.note] * bool(one.note) + [f"{one.value:#x}"] * bool(one.value or not one.note)
    facts = [(name, value) for name, value in one.facts.items() if name != REGISTERS]
    words += [name if value is True else f"{name} {_fact(value)}" for name, value in facts[:_FACTS]]
    words += ["..."] * (len(facts) > _FACTS)
    text = "  ".join(" ".join(word.split()) for word in words)
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}..."


def _fact(value: Fact) -> str:
    return f"{value:#x}" if type(value) is int else str(value)


def trials(behaviour: Behaviour, sentence: str) -> tuple[Trace, ...]:
    """Return the trials of a probe, finished or not; raise where there is none."""
    found = behaviour.trials(sentence)
    if not found:
        raise not_applicable("the target does not run in this situation")
    return found


def each(behaviour: Behaviour, sentence: str) -> Iterator[Trace]:
    """Yield the trials of a probe; raise where there is none, or one did not come to its end."""
    for trace in trials(behaviour, sentence):
        if trace.spent:
            raise inconclusive("a trial was not finished within its budget")
        yield trace


def folded(judge: Judge) -> Judge:
    """Let equal findings of several trials stand as one, the first, and say in how many it was so."""

    @functools.wraps(judge)
    def fold(behaviour: Behaviour) -> Iterator[Finding]:
        found: dict[tuple[bool, str, str], list[Finding]] = {}
        unjudged: Unjudged | None = None
        try:
            for one in judge(behaviour):
                found.setdefault((one.ok, one.found, one.expected), []).append(one)
        except Unjudged as reason:
            unjudged = reason
        total = sum(map(len, found.values()))
        for same in found.values():
            often = "" if len(same) == total else f" ({len(same)} times of {total})"
            yield attrs.evolve(same[0], found=same[0].found + often)
        if unjudged:
            raise unjudged

    return fold
