"""The model's machine a second time, in plain Python and from ``docs/model.md`` alone.

It carries out the documents of the agents, not their compiled rows, and keeps every value as an unsigned integer.
Tests hold ``core`` to it state by state; nothing else needs it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import attrs

from mpwake.evidence.trace import SENDER
from mpwake.model.agent import (
    EMITS,
    FIELDS,
    PAGE,
    Add,
    Agent,
    Assign,
    Branch,
    Emit,
    Load,
    Next,
    Operation,
    Place,
    Poll,
    Span,
    Store,
    Swap,
    Value,
    WokenTest,
)
from mpwake.spec.requirements import Role

Memory = Literal["sc", "tso", "relaxed"]
RUNNING, LANDED, HALTED, DEAD = range(4)
BUFFER = 8
BITS = 64

_HOLDS: dict[Value, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "ge": operator.ge,
}


@attrs.frozen
class Effect:
    """What a step tells: its kind, and what goes with that; ``value`` is unsigned."""

    kind: str
    offset: int = 0
    width: int = 0
    value: int = 0
    number: int = 0


NONE = Effect("none")
IMPOSSIBLE = Effect("impossible")


class Buffered(NamedTuple):
    """A store that the other agents do not see yet; ``value`` is what its bytes hold, no more."""

    offset: int
    width: int
    value: int
    release: bool

    def overlaps(self, other: Buffered) -> bool:
        """Tell whether both hold one byte of the page."""
        return self.offset < other.offset + other.width and other.offset < self.offset + self.width

    def holds(self, at: int) -> bool:
        """Tell whether one of its bytes is the byte ``at`` of the page."""
        return self.offset <= at < self.offset + self.width

    def byte(self, at: int) -> int:
        """Return what it puts at the byte ``at`` of the page, which it holds."""
        return self.value >> 8 * (at - self.offset) & 0xFF


@attrs.define
class Twin:
    """The whole state of the machine; agent 0 is the sender. One step is one call of ``step``."""

    agents: Sequence[Agent]
    ids: Sequence[int]
    requests: Sequence[tuple[int, int, int]]
    memory: Memory
    page: bytearray = attrs.field(factory=lambda: bytearray(PAGE), converter=bytearray)
    pc: list[int] = attrs.field(init=False)
    status: list[int] = attrs.field(init=False)
    wait: list[int] = attrs.field(init=False)
    registers: list[dict[str, int]] = attrs.field(init=False)
    buffers: list[list[Buffered]] = attrs.field(init=False)
    woken: set[int] = attrs.field(init=False, factory=set)
    room: int = attrs.field(init=False, default=64)
    position: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        while self.room < 4 * (len(self.agents) + len(self.requests)):
            self.room *= 2
        self.pc = [0 if agent.entry is None else agent.labels[agent.entry] for agent in self.agents]
        self.status = [RUNNING for _ in self.agents]
        self.wait = [0 for _ in self.agents]
        self.registers = [
            {**dict.fromkeys(_named(agent), 0), "self": _low(apic_id, BITS), "index": index}
            for index, (agent, apic_id) in enumerate(zip(self.agents, self.ids, strict=True))
        ]
        self.buffers = [[] for _ in self.agents]

    def possible(self, agent: int, action: int) -> bool:
        """Tell whether the agent can take the action now."""
        if action == 0:
            return self.status[agent] == RUNNING
        if not 1 <= action <= len(self.buffers[agent]):
            return False
        if self.memory == "relaxed":
            earlier, one = self.buffers[agent][: action - 1], self.buffers[agent][action - 1]
            return not (one.release and earlier) and not any(one.overlaps(other) for other in earlier)
        return self.memory == "tso" and action == 1

    def actions(self, agent: int) -> list[int]:
        """Return all actions that the agent can take now, in ascending order."""
        return [action for action in range(len(self.buffers[agent]) + 1) if self.possible(agent, action)]

    def step(self, agent: int, action: int) -> Effect:
        """Take one action of one agent; one that is not possible changes nothing."""
        if not self.possible(agent, action):
            return IMPOSSIBLE
        if action:
            return self._write(self.buffers[agent].pop(action - 1))
        if self.wait[agent]:
            self.wait[agent] -= 1
            return NONE
        return self._operate(agent)

    def _operate(self, agent: int) -> Effect:
        operations = self.agents[agent].operations
        if self.pc[agent] == len(operations):
            self.status[agent] = HALTED
            return NONE
        one = operations[self.pc[agent]]
        self.pc[agent] += 1  # what stays takes it back, what goes elsewhere sets it
        return _OPERATIONS[one.name](self, agent, _argument(one))

    def _value(self, agent: int, operand: Value) -> int:
        return self.registers[agent][operand] if isinstance(operand, str) else _low(operand, BITS)

    def _assign(self, agent: int, register: str, value: int, bits: int = BITS) -> None:
        self.registers[agent][register] = _low(value, bits)

    def _go(self, agent: int, label: str) -> None:
        self.pc[agent] = self.agents[agent].labels[label]

    def _stay(self, agent: int) -> None:
        self.pc[agent] -= 1

    def _leave(self, agent: int, status: int) -> None:
        self._stay(agent)
        self.status[agent] = status

    def _byte(self, agent: int, at: int) -> int:
        for one in reversed(self.buffers[agent]):
            if one.holds(at):
                return one.byte(at)
        return self.page[at]

    def _read(self, agent: int, place: Place) -> Effect:
        offset, width = _span(place)
        data = bytes(self._byte(agent, at) for at in range(offset, offset + width))
        return Effect("load", offset, width, int.from_bytes(data, "little"))

    def _write(self, one: Buffered) -> Effect:
        self.page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
        return Effect("visible", one.offset, one.width, one.value)

    def _load(self, agent: int, it: Load) -> Effect:
        found = self._read(agent, it.from_)
        self._assign(agent, it.to, found.value)
        return found

    def _store(self, agent: int, it: Store) -> Effect:
        offset, width = _span(it.to)
        one = Buffered(offset, width, _low(self._value(agent, it.value), 8 * width), it.release)
        if self.memory == "sc":
            return self._write(one)
        if len(self.buffers[agent]) == BUFFER:
            self._stay(agent)
            return NONE
        self.buffers[agent].append(one)
        return Effect("store", offset, width, one.value)

    def _swap(self, agent: int, it: Swap) -> Effect:
        if self.buffers[agent]:
            self._stay(agent)
            return NONE
        offset, width = _span(it.place)
        value = _low(self._value(agent, it.value), 8 * width)
        self._assign(agent, it.to, self._read(agent, it.place).value)
        return self._write(Buffered(offset, width, value, False))

    def _branch(self, agent: int, it: Branch) -> Effect:
        if it.if_ is not None:
            left, word, right = it.if_
            if not _HOLDS[word](self._value(agent, left), self._value(agent, right)):
                return NONE
        self._go(agent, it.to)
        return NONE

    def _set(self, agent: int, it: Assign) -> Effect:
        self._assign(agent, it.to, self._value(agent, it.value))
        return NONE

    def _add(self, agent: int, it: Add) -> Effect:
        self._assign(agent, it.to, self.registers[agent][it.to] + self._value(agent, it.value), 8 * it.width)
        return NONE

    def _poll(self, agent: int, it: Poll) -> Effect:
        found = self._read(agent, it.from_)
        word, right = it.until
        if _HOLDS[word](found.value, self._value(agent, right)):
            self._go(agent, it.to)
        elif it.tries is None or self._count(agent, it.tries):
            self._stay(agent)
        return found

    def _count(self, agent: int, register: str) -> int:
        self._assign(agent, register, self.registers[agent][register] - 1)
        return self.registers[agent][register]

    def _jump(self, agent: int, vector: Value) -> Effect:
        self._leave(agent, LANDED)
        return Effect("landing", value=self._value(agent, vector))

    def _enter(self, agent: int, vector: Value) -> Effect:
        return Effect("landing", value=self._value(agent, vector))

    def _next(self, agent: int, it: Next) -> Effect:
        asks = agent == SENDER or self.agents[agent].role is Role.SENDER
        if not asks or self.position == len(self.requests):
            self._go(agent, it.none)
            return NONE
        request = self.requests[self.position]
        self.position += 1
        for register, value in zip((it.op, it.target, it.vector), request, strict=True):
            self._assign(agent, register, value)
        return Effect("request", value=_low(request[0], BITS))

    def _return(self, agent: int, code: Value) -> Effect:
        return Effect("return", value=self._value(agent, code))

    def _woken_test(self, agent: int, it: WokenTest) -> Effect:
        if self._value(agent, it.id) in self.woken:
            self._go(agent, it.to)
        return NONE

    def _woken_add(self, agent: int, apic_id: Value) -> Effect:
        if len(self.woken) < self.room:
            self.woken.add(self._value(agent, apic_id))
        return NONE

    def _woken_remove(self, agent: int, apic_id: Value) -> Effect:
        self.woken.discard(self._value(agent, apic_id))
        return NONE

    def _emit(self, agent: int, it: Emit) -> Effect:
        return Effect("emit", value=self._value(agent, it.value), number=EMITS.index(it.kind))

    def _reset(self, agent: int, apic_id: Value) -> Effect:
        wanted = self._value(agent, apic_id)
        landed = [
            one
            for one in range(1, len(self.agents))
            if self.status[one] == LANDED and self.registers[one]["self"] == wanted
        ]
        label = self.agents[landed[0]].reset if landed else None
        if label is None:
            return NONE
        self._go(landed[0], label)
        self.status[landed[0]] = RUNNING
        return Effect("reset", value=wanted, number=landed[0])

    def _fence(self, agent: int, _: bool) -> Effect:
        if self.buffers[agent]:
            self._stay(agent)
        return NONE

    def _delay(self, agent: int, steps: Value) -> Effect:
        self.wait[agent] = self._value(agent, steps)
        return NONE

    def _halt(self, agent: int, _: bool) -> Effect:
        self._leave(agent, HALTED)
        return NONE

    def _die(self, agent: int, _: bool) -> Effect:
        self._leave(agent, DEAD)
        return NONE


_OPERATIONS: dict[str, Callable[[Twin, int, Any], Effect]] = {
    "load": Twin._load,
    "store": Twin._store,
    "swap": Twin._swap,
    "branch": Twin._branch,
    "set": Twin._set,
    "add": Twin._add,
    "poll": Twin._poll,
    "jump": Twin._jump,
    "enter": Twin._enter,
    "next": Twin._next,
    "return": Twin._return,
    "woken_test": Twin._woken_test,
    "woken_add": Twin._woken_add,
    "woken_remove": Twin._woken_remove,
    "emit": Twin._emit,
    "reset": Twin._reset,
    "fence": Twin._fence,
    "delay": Twin._delay,
    "halt": Twin._halt,
    "die": Twin._die,
}


def _low(value: int, bits: int) -> int:
    return value & (1 << bits) - 1


def _span(place: Place) -> tuple[int, int]:
    return (place.at, place.width) if isinstance(place, Span) else FIELDS[place]


def _argument(one: Operation) -> Any:
    return next(value for value in attrs.astuple(one, recurse=False) if value is not None)


def _named(agent: Agent) -> Iterator[str]:
    for one in map(_argument, agent.operations):
        if isinstance(one, (Load, Swap, Assign, Add)):
            yield one.to
        elif isinstance(one, Next):
            yield from (one.op, one.target, one.vector)
        elif isinstance(one, Poll) and one.tries is not None:
            yield one.tries
