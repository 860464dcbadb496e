"""The lines of a trace file, ``mpwake-trace/1``: NDJSON, whose JSON Schema is ``mpwake schema trace``.

``docs/trace.md`` is the specification of the format. What comes from memory or a register is a number in hex, as text:
the numbers of JSON are exact up to 2**53 only. What is counted is a number of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs

from mpwake.evidence.trace import Event, Fact, Kind, Region, Trace
from mpwake.model.agent import PAGE
from mpwake.spec.document import Plain, Text, described, encode

FORMAT: Literal["mpwake-trace/1"] = "mpwake-trace/1"
COUNTED = 1 << 53
ACCESSES = (Kind.LOAD, Kind.STORE)
SIGNED = (Kind.RETURN,)
WIDEST = 8

# Facts that checks reckon with; docs/evidence.md says what each is. Any other name may hold any fact.
NUMBERS = frozenset(
    f"{segment} {what}" for segment in ("cs", "ds", "es", "ss", "fs", "gs") for what in ("base", "limit")
) | {
    *("rip", "mailbox", "reset vector", "page", "calls", "declared broadcast", "cr4", "mask", "checksum", "by"),
    *("jumps_to", "entry16", "entry64", "limit", "page_tables", "index", "tsc", "tsc_mhz"),
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{number}" for number in range(8, 16))),
}
TRUTHS = frozenset(
    {
        *("accesses", "low memory", "high memory", "confidential", "interrupts", "long mode", "64-bit code", "paging"),
        *("write protect", "mapped", "identity", "executable", "writable", "within the rules", "compat", "boot"),
        *("private", "flat", "global_pages", "code_mapped"),
    }
)


class Hex(Text):
    """A number of up to 64 bits."""

    __slots__ = ()
    pattern = "-?0x[0-9a-fA-F]{1,16}"
    words = 'a number in hex, such as "0x7f5e5000"'


class Bytes(Text):
    """Bytes in hex, two digits each."""

    __slots__ = ()
    pattern = "([0-9a-fA-F]{2})*"
    words = "bytes in hex, two digits each"


ZERO = Hex("0x0")


@attrs.frozen
class Said:
    """A fact that is text and looks like a number."""

    text: str = described("The text")


@attrs.frozen
class Side:
    """A role in which the target was driven."""

    role: Literal["receiver", "sender"] = described("What is under test: the AP loop, or the operating system")
    follows: tuple[str, ...] = described("The implementations whose behaviour it claims to have: linux, dt-binding", ())
    boots: bool = described("Whether a whole operating system was booted, and not a bring-up alone", False)


@attrs.frozen
class Header:
    """The first line."""

    line: Literal["header"]
    format: Literal["mpwake-trace/1"] = described("The format and its version")
    target: str = described("What was observed")
    roles: tuple[Side, ...] = described("The roles in which it was driven")
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] | None = described("Edition that it is held against", None)
    edition_reason: str = described("Why that edition", "")
    platform: str = described("The platform of the model that it is, whose own features are judged too", "")
    requirements: tuple[str, ...] = described("The requirements that it can be judged by, where these are not all", ())
    notes: tuple[str, ...] = described("What a person should know", ())
    seed: int = described("Seed of the run", 0)
    recorder: str = described("The program that wrote the file, and its version", "")


@attrs.frozen
class Memory:
    """Memory that the waiting processors need."""

    name: str = described("What it is; the mailbox page is called mailbox")
    start: Hex = described("Its first byte")
    end: Hex = described("The byte after its last")
    memory: str = described("Its type in the memory map that the operating system gets", "")
    access: str | None = described("What the processors may do there, of rwx", None)
    used: tuple[str, ...] = described("When they need it: wait, entry, reset", ("wait",))
    private: bool | None = described("In a confidential guest: whether it is private", None)
    accepted: bool | None = described("Whether it was accepted", None)
    measured: bool | None = described("Whether measured code has written it", None)
    rip: Hex | None = described("The instruction that was seen to use it first", None)


@attrs.frozen
class Trial:
    """A trial begins: one run, from hand-off on. The lines of its events follow, and its end."""

    line: Literal["trial"]
    role: Literal["receiver", "sender"] = described("The role in which it was driven")
    ids: tuple[Hex, ...] = described("APIC IDs by agent: that of the processor that boots first, then those parked")
    says: tuple[str, ...] = described(
        "Sentences of probes and situations that it stands for; none: a boot as it came", ()
    )
    memory: Literal["sc", "tso", "relaxed"] = described("The memory model under which it was run", "tso")
    before: Bytes = described("The mailbox page as it began; what is left out is 0", Bytes(""))
    regions: tuple[Memory, ...] = described("The memory that the processors need", ())
    facts: dict[str, bool | str | Said] = described("What else is known of the platform", {})
    listing: dict[str, str] = described("Machine code: text by address", {})

    def __attrs_post_init__(self) -> None:
        if not self.ids or any(not 0 <= int(one, 16) < 1 << 32 for one in self.ids):
            raise ValueError("ids are APIC IDs of 32 bits, one at least")
        if len(self.before) > 2 * PAGE:
            raise ValueError(f"before is longer than the page of {PAGE} bytes")
        for place in self.listing:
            if not re.fullmatch(Hex.pattern, place):
                raise ValueError(f"listing: {place[:40]!r} is not {Hex.words}")
        _known(self.facts)


@attrs.frozen
class Seen:
    """Something that was seen; docs/evidence.md says what each kind tells."""

    line: Kind = described("Its kind")
    time: int = described("When, in a unit of the recorder's; never less than in the line before")
    agent: int = described("Who: 0 is the operating system, another an index into ids", 0)
    offset: Hex = described("Of an access: its first byte in the page; of others what docs/evidence.md says", ZERO)
    width: int = described("How many bytes", 0)
    value: Hex = described("The value; of an access as wide as that, of a return signed", ZERO)
    count: int = described("How many equal loads in a row stand for one", 1)
    until: int = described("The time of the last of those", 0)
    target: Hex = described("Of a request: the APIC ID", ZERO)
    vector: Hex = described("Of a request: the wakeup vector", ZERO)
    note: str = described("Its kind, or the text of a console line", "")
    facts: dict[str, bool | str | Said] = described("What else was seen", {})

    def __attrs_post_init__(self) -> None:
        for name in ("time", "agent", "width", "count", "until"):
            if not 0 <= getattr(self, name) < COUNTED:
                raise ValueError(f"{name} is not a number from 0 to 2**53 - 1")
        for name in ("offset", "value", "target", "vector"):
            if getattr(self, name).startswith("-") and (name != "value" or self.line not in SIGNED):
                raise ValueError(f"{name} is not negative in a {self.line.value}")
        if int(self.value, 16) < -(1 << 63):
            raise ValueError("value does not fit in 64 bits")
        if self.line in ACCESSES:
            self._inside()
        _known(self.facts)

    def _inside(self) -> None:
        offset, width = int(self.offset, 16), self.width
        if not 1 <= width <= WIDEST or offset + width > PAGE:
            raise ValueError(f"a {self.line.value} has 1 to {WIDEST} bytes, and these lie in the page")
        if int(self.value, 16) >= 1 << 8 * width:
            raise ValueError(f"{self.value} does not fit in {width} bytes")


@attrs.frozen
class End:
    """A trial has ended."""

    line: Literal["end"]
    time: int = described("When observation ended")
    after: Bytes | None = described("The page at its end; what its stores make of it, unless given", None)
    stuck: bool = described("Nothing could happen any more while a request was pending", False)
    spent: bool = described("The budget ended first, so that what was not seen might have come", False)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.time < COUNTED:
            raise ValueError("time is not a number from 0 to 2**53 - 1")
        if self.after is not None and len(self.after) > 2 * PAGE:
            raise ValueError(f"after is longer than the page of {PAGE} bytes")


@attrs.frozen
class Carried:
    """A probe was carried out as often as it says, or was not, with the verdict that this gives and why."""

    line: Literal["probe"]
    role: Literal["receiver", "sender"] = described("The role")
    says: str = described("Its sentence")
    trials: int = described("How many trials above stand for it", 0)
    verdict: Literal["not-applicable", "not-testable", "inconclusive", "error"] | None = described(
        "What the target made of it instead", None
    )
    reason: str = described("Why", "")

    def __attrs_post_init__(self) -> None:
        if self.verdict and self.trials:
            raise ValueError("a probe has trials or a verdict, and not both")


@attrs.frozen
class Footer:
    """The last line: nothing is missing."""

    line: Literal["footer"]
    trials: int = described("How many trials the file has")


Line = Header | Trial | Seen | End | Carried | Footer
LINES: dict[str, type[Line]] = {
    "header": Header,
    "trial": Trial,
    "end": End,
    "probe": Carried,
    "footer": Footer,
    **{kind.value: Seen for kind in Kind},
}
SCHEMA = (Header, Trial, Seen, End, Carried, Footer)


def _known(facts: Mapping[str, bool | str | Said]) -> None:
    for name, value in facts.items():
        number = isinstance(value, str) and re.fullmatch(Hex.pattern, value)
        if name in NUMBERS and not number:
            raise ValueError(f"the fact {name!r} is not {Hex.words}")
        if name in TRUTHS and not isinstance(value, bool):
            raise ValueError(f"the fact {name!r} is not true or false")


def _hex(value: int) -> Hex:
    return Hex(hex(value))


def _told(facts: Mapping[str, Fact]) -> dict[str, bool | str | Said]:
    return {name: _told_one(value) for name, value in facts.items()}


def _told_one(value: Fact) -> bool | str | Said:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _hex(value)
    return Said(value) if re.fullmatch(Hex.pattern, value) else value


def _facts(told: Mapping[str, bool | str | Said]) -> dict[str, Fact]:
    return {name: _fact(value) for name, value in told.items()}


def _fact(value: bool | str | Said) -> Fact:
    if isinstance(value, Said):
        return value.text
    if isinstance(value, str) and re.fullmatch(Hex.pattern, value):
        return int(value, 16)
    return value


def _page(digits: str) -> bytes:
    return bytes.fromhex(digits).ljust(PAGE, b"\0")


def _short(page: bytes) -> Bytes:
    return Bytes(page.rstrip(b"\0").hex())


def stored(before: bytes, events: tuple[Event, ...]) -> bytes:
    """Return what the stores make of a page."""
    page = bytearray(before)
    for one in events:
        if one.kind is Kind.STORE:
            page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
    return bytes(page)


def event_of(line: Seen) -> Event:
    """Return the event that a line tells."""
    return Event(
        time=line.time,
        agent=line.agent,
        kind=line.line,
        offset=int(line.offset, 16),
        width=line.width,
        value=int(line.value, 16),
        count=line.count,
        until=line.until,
        target=int(line.target, 16),
        vector=int(line.vector, 16),
        note=line.note,
        facts=_facts(line.facts),
    )


def trace_of(trial: Trial, events: tuple[Event, ...], end: End) -> Trace:
    """Return the trace of a trial."""
    before = _page(trial.before)
    return Trace(
        ids=tuple(int(one, 16) for one in trial.ids),
        events=events,
        before=before,
        after=stored(before, events) if end.after is None else _page(end.after),
        end=end.time,
        memory=trial.memory,
        stuck=end.stuck,
        spent=end.spent,
        regions=tuple(_region(one) for one in trial.regions),
        facts=_facts(trial.facts),
        listing={int(place, 16): text for place, text in trial.listing.items()},
    )


def _region(one: Memory) -> Region:
    flags = (one.private, one.accepted, one.measured, None if one.rip is None else int(one.rip, 16))
    return Region(one.name, int(one.start, 16), int(one.end, 16), one.memory, one.access, one.used, *flags)


def lines_of(trace: Trace, role: Literal["receiver", "sender"], says: tuple[str, ...]) -> list[Plain]:
    """Return the lines of a trial, as bare data: its beginning, its events, its end."""
    told = [encode(_seen(one)) for one in trace.events]
    return [encode(_trial(trace, role, says)), *told, encode(_end(trace))]


def _trial(trace: Trace, role: Literal["receiver", "sender"], says: tuple[str, ...]) -> Trial:
    return Trial(
        line="trial",
        role=role,
        ids=tuple(map(_hex, trace.ids)),
        says=says,
        memory=trace.memory,  # type: ignore[arg-type]
        before=_short(trace.before),
        regions=tuple(_memory(one) for one in trace.regions),
        facts=_told(trace.facts),
        listing={hex(place): text for place, text in trace.listing.items()},
    )


def _memory(one: Region) -> Memory:
    flags = (one.private, one.accepted, one.measured, None if one.rip is None else _hex(one.rip))
    return Memory(one.name, _hex(one.start), _hex(one.end), one.memory, one.access, one.used, *flags)


def _seen(one: Event) -> Seen:
    return Seen(
        line=one.kind,
        time=one.time,
        agent=one.agent,
        offset=_hex(one.offset),
        width=one.width,
        value=_hex(one.value),
        count=one.count,
        until=one.until,
        target=_hex(one.target),
        vector=_hex(one.vector),
        note=one.note,
        facts=_told(one.facts),
    )


def _end(trace: Trace) -> End:
    after = None if trace.after == stored(trace.before, trace.events) else _short(trace.after)
    return End("end", trace.end, after, trace.stuck, trace.spent)
