"""What the checks of driven implementations share: their trials, and how mailbox traffic is shown."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import attrs

from mpwake.checks.core import Finding, Judge, Unjudged, inconclusive
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exhibit import Exhibit, text_exhibit
from mpwake.evidence.trace import OPS, SENDER, Event, Kind, Trace

OS_HEADER = 16
OS_SECTION = 2048
TIMED_OUT = -110
NAMES = {number: name for name, number in OPS.items()}
WAKES = ("wake", "overwrite", "send")
_SHOWN = 24


def told(trace: Trace, marked: Event | None = None) -> Exhibit:
    """Show the accesses of a trial around one of them, who did what in which order."""
    events = [one for one in trace.events if one.kind is not Kind.LOAD or one is marked]
    at = events.index(marked) if marked in events else len(events) - 1
    first = max(0, at - _SHOWN // 2)
    lines = [_line(trace, one, one is marked) for one in events[first : first + _SHOWN]]
    return text_exhibit("mailbox traffic", "\n".join(lines))


def _line(trace: Trace, one: Event, marked: bool) -> str:
    who = "OS" if one.agent == SENDER else f"AP {trace.ids[one.agent]:#x}"
    if one.kind in (Kind.LOAD, Kind.STORE):
        what = f"{one.kind.value:<7} {one.width} bytes at {one.offset:#05x}  {one.value:#x}"
    elif one.kind is Kind.REQUEST:
        what = f"request {NAMES.get(one.value, one.value)}  APIC ID {one.target:#x}  {one.vector:#x}"
    elif one.kind is Kind.RETURN:
        what = f"return  {one.value}"
    else:
        what = f"{one.kind.value:<7} {one.value:#x}"
    return f"{'>' if marked else ' '} {one.time:>7}  {who:<8} {what}"


def each(behaviour: Behaviour, sentence: str) -> Iterator[Trace]:
    """Yield the trials of a probe; raise where one did not come to its end."""
    for trace in behaviour.trials(sentence):
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
