"""The evidence of the ``receiver`` and ``sender`` roles: who did what to the mailbox, in the order that it was seen in.

A trace is what a target observed from outside: stores at the moment they became visible, loads, landings, what the
operating system's bring-up returned, and what it did beside the mailbox (IPIs, MSRs, mappings, console lines).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

SENDER = 0

# What a tester can be asked to do to an AP loop, and the number under which its program knows it
# (scenarios/agents/tester.yaml says what each means).
OPS = {
    "wake": 1,
    "test": 2,
    "fields": 3,
    "command": 4,
    "reset": 5,
    "settle": 6,
    "overwrite": 7,
    "reserved": 8,
    "send": 9,
    "clear": 10,
    "torn": 11,
    "vector": 12,
    "id": 13,
    "stale": 14,
    "byte": 15,
}

# What an operating system is asked to do, once it has booted.
ACTIONS = {"online": 1, "offline": 20, "park": 21, "kexec": 22, "crash": 23, "restart": 24, "poweroff": 25, "panic": 26}


class Kind(enum.Enum):
    """What an event is."""

    LOAD = "load"
    STORE = "store"
    LANDING = "landing"
    RETURN = "return"
    REQUEST = "request"
    RESET = "reset"
    EMIT = "emit"
    CONSOLE = "console"
    KERNEL = "kernel"
    CPU = "cpu"
    METHOD = "method"
    MAP = "map"
    ALLOC = "alloc"
    FREE = "free"
    TABLE = "table"
    ROUTINE = "routine"
    ALIVE = "alive"
    IPI = "ipi"
    APIC = "apic"
    HYPERCALL = "hypercall"
    PRIVATE = "private"
    TDCALL = "tdcall"
    STANDS = "stands"
    FAULT = "fault"


Fact = int | str | bool


@attrs.frozen
class Event:
    """One thing that was seen.

    ``agent`` is 0 for the operating system, else the number of an AP; ``offset`` and ``width`` are bytes of the page,
    and ``value`` is unsigned: what was loaded or stored, the vector of a landing, the code of a return (signed), the op
    of a request, the APIC ID of a reset. ``count`` tells how many equal loads in a row stand for one event, the first
    at ``time``, the last at ``until``. ``target`` and ``vector`` belong to a request; ``note`` is the kind of an emit,
    the text of a console line. ``facts`` are what else was seen there: the state of the processor at a landing, the
    attributes of a mapping (``docs/evidence.md`` lists them by kind of event).
    """

    time: int
    agent: int
    kind: Kind
    offset: int = 0
    width: int = 0
    value: int = 0
    count: int = 1
    until: int = 0
    target: int = 0
    vector: int = 0
    note: str = ""
    facts: Mapping[str, Fact] = attrs.field(factory=dict, hash=False)

    def later(self, by: int) -> Event:
        """Return the same event, so much later."""
        return Event(
            *(self.time + by, self.agent, self.kind, self.offset, self.width, self.value, self.count, self.until + by),
            *(self.target, self.vector, self.note, self.facts),
        )

    def touches(self, offset: int, width: int) -> bool:
        """Say whether a load or store overlaps bytes of the page."""
        return self.offset < offset + width and offset < self.offset + self.width


@attrs.frozen
class Region:
    """Memory that the waiting processors need; ``end`` is the byte after the last.

    ``memory`` is its type in the memory map that the operating system gets, ``access`` what the processors may do there
    (of "rwx"; with CR0.WP 0 they may write wherever they may read), ``used`` when they need it: ``wait`` while they
    poll, ``entry`` in the code at ResetVector before it has loaded its own page tables, ``reset`` in that code at all.
    ``private``, ``accepted`` and ``measured`` tell of a page of a confidential guest at hand-off, ``rip`` is the
    instruction that was seen to use it first. None and "" are what the target does not tell.
    """

    name: str
    start: int
    end: int
    memory: str = ""
    access: str | None = None
    used: tuple[str, ...] = ("wait",)
    private: bool | None = None
    accepted: bool | None = None
    measured: bool | None = None
    rip: int | None = None


@attrs.frozen
class Trace:
    """Everything that was seen of one run, under one memory model.

    ``ids`` are the APIC IDs of the agents by number (that of the operating system's own processor first); ``before``
    and ``after`` are the page at its ends; ``stuck`` tells that nothing could happen any more while a request was
    pending, ``spent`` that the budget ended first. ``end`` is the time at which observation ended. ``regions`` is the
    memory that an AP loop needs, and ``facts`` what else is known of its platform (``docs/evidence.md``). ``listing``
    is its code where that is machine code: text by address, for events that have the fact ``rip``.
    """

    ids: tuple[int, ...]
    events: tuple[Event, ...]
    before: bytes
    after: bytes
    end: int
    memory: str = "tso"
    stuck: bool = False
    spent: bool = False
    regions: tuple[Region, ...] = ()
    facts: Mapping[str, Fact] = attrs.field(factory=dict, hash=False)
    listing: Mapping[int, str] = attrs.field(factory=dict, hash=False, repr=False)

    def stores(self, agent: int | None = None) -> tuple[Event, ...]:
        """Return the stores, of one agent or of all."""
        return tuple(one for one in self.events if one.kind is Kind.STORE and (agent is None or one.agent == agent))

    def of(self, kind: Kind) -> tuple[Event, ...]:
        """Return the events of one kind."""
        return tuple(one for one in self.events if one.kind is kind)
