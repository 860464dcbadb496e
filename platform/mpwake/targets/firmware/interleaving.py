"""One interleaving of real instructions and of an operating system's program, in an order that is given step by step.

The processors have found their way to the polling loop before the first step. Time is no matter here: a wait of the
operating system ends only with what it waits for, and a delay with the next step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from mpwake.evidence.exploration import Step
from mpwake.evidence.trace import SENDER, Kind
from mpwake.model.agent import Agent, Operation, Span
from mpwake.model.explore.listing import place, places
from mpwake.model.probe import Probe
from mpwake.model.twin import RUNNING, Effect, Twin
from mpwake.spec import document
from mpwake.targets.firmware.drive import ASLEEP, AWAKE, GONE, LANDED, Side, Trial
from mpwake.targets.firmware.listing import instruction
from mpwake.targets.firmware.machine import PAGE, Access, Done, Processor
from mpwake.targets.firmware.stage import Stage
from mpwake.targets.firmware.tdx import Tdx

MAX_ROUNDS = 2_000
_LONGEST = 15
_SAYS = {"load": "loads", "visible": "stores"}


@attrs.frozen(auto_exc=True)
class AstrayError(Exception):
    """A processor that never gets to the polling loop, or a step that nobody can take: why."""

    reason: str


def timeless(agent: Agent) -> Agent:
    """Return a program whose waits have no bound and whose delays have no length."""
    return attrs.evolve(agent, program=tuple(map(_timeless, agent.program)))


def _timeless(one: Operation) -> Operation:
    if one.poll is not None:
        return attrs.evolve(one, poll=attrs.evolve(one.poll, tries=None))
    return one if one.delay is None else attrs.evolve(one, delay=0)


def os_state(twin: Twin) -> tuple[Any, ...]:
    """Return the state of the operating system's program without the page."""
    registers = tuple(twin.registers[SENDER].items())
    return twin.pc[SENDER], twin.status[SENDER], registers, frozenset(twin.woken), twin.position


def digest(one: Processor) -> bytes:
    """Return what stands for a processor's state where states are compared."""
    return hashlib.blake2b(repr(one.visible()).encode(), digest_size=16).digest()


class Interleaved(Trial):
    """A trial whose schedule is given; ``steps`` tell of all that were taken."""

    def __init__(self, stage: Stage, probe: Probe, agent: Agent, tdx: Tdx) -> None:
        super().__init__(stage, probe, tdx, 0, timeless(agent))
        self.taken: list[Step] = []
        self.places = dict(places(self.twin.agents[SENDER]))

    def arrive(self) -> None:
        """Bring each processor to its polling loop. Raises ``AstrayError`` for one that does not get there."""
        for one in self.sides.values():
            self._arrive(one)

    def _arrive(self, one: Side) -> None:
        for _ in range(self.stage.budget):
            self._awake()
            if not one.busy:
                break
            self._ap(one)
        name = self.named(one.number)
        if one.status == GONE:
            note = next(event.note for event in reversed(self.record.events) if event.kind is Kind.EMIT)
            raise AstrayError(f"{name} does not come to poll: {note}")
        if one.status == LANDED:
            raise AstrayError(f"{name} leaves for {self.stage.processors[one.number].rip:#x}, and nobody woke it")
        if not any(event.agent == one.number and event.kind is Kind.LOAD for event in self.record.events):
            raise AstrayError(f"{name} does not read the mailbox at {self.stage.placed.mailbox:#x}")

    @property
    def breaks_rules(self) -> bool:
        """Whether a processor has made a call to the host that breaks a rule."""
        return any(one.facts.get("within the rules") is False for one in self.record.events)

    def named(self, number: int) -> str:
        """Name an agent as a listing does."""
        return "OS" if number == SENDER else f"AP {self.probe.ids[number - 1]:#x}"

    def can(self, number: int) -> bool:
        """Say whether an agent can take a step."""
        if number == SENDER:
            return self.twin.status[SENDER] == RUNNING
        return number in self.sides and self.sides[number].status in (AWAKE, ASLEEP)

    def take(self, number: int) -> Step:
        """Take one step. Raises ``AstrayError`` when the agent cannot."""
        if not self.can(number):
            who = self.named(number) if number <= len(self.sides) else f"agent {number}"
            raise AstrayError(f"step {len(self.taken) + 1}: {who} has ended, or was never there")
        step = self._os_step() if number == SENDER else self._ap_step(self.sides[number])
        self.taken.append(step)
        return step

    def follow(self, schedule: Iterable[int]) -> None:
        """Take the steps of a schedule. Raises ``AstrayError`` for one that cannot be taken."""
        for number in schedule:
            self.take(number)

    def finish(self) -> bool:
        """Give everybody a step in turn until nothing new happens; return whether it came to that."""
        seen: set[tuple[Any, ...]] = set()
        for _ in range(MAX_ROUNDS):
            state = (self.stage.board.version, *self.snapshot())
            turn = [number for number in (*self.sides, SENDER) if self.can(number)]
            if state in seen or not turn:
                return True
            seen.add(state)
            for number in turn:
                self.take(number)
        return False

    def snapshot(self) -> tuple[Any, ...]:
        """Return the state of the mailbox page, of the operating system and of each processor."""
        page = self.stage.board.read(self.stage.placed.mailbox, PAGE)
        return page, os_state(self.twin), *(self._local(one) for one in self.sides.values())

    def _local(self, one: Side) -> tuple[int, bytes]:
        processor = self.stage.processors[one.number]
        if one.status in (LANDED, GONE):
            return one.status, processor.rip.to_bytes(8, "little")
        return AWAKE, digest(processor)

    def _wait(self, busy: bool) -> None:
        """Let no time pass."""

    def _os_step(self) -> Step:
        operation, at = self._operation(), self.twin.pc[SENDER]
        effect = self._os(busy=False)
        text = "end" if operation is None else _written(operation)  # type: ignore[arg-type]
        return Step(SENDER, self.places[at], text, did=tuple(self._did(effect)))

    def _did(self, effect: Effect) -> Iterator[str]:
        if effect.kind in _SAYS:
            yield f"{_SAYS[effect.kind]} {place(effect.offset, effect.width)} = {effect.value:#x}"
        elif effect.kind == "request":
            event = self.record.events[-1]
            yield f"asked: {event.target:#x} to {event.vector:#x}"

    def _ap_step(self, one: Side) -> Step:
        rip = self.stage.processors[one.number].rip
        code, text = instruction(self._bytes(rip), rip)
        done = self._ap(one)
        return Step(one.number, self.stage.named(rip), self._placed(text), code, tuple(self._seen(one, done)))

    def _placed(self, text: str) -> str:
        target = re.fullmatch(r"(\w+ )(0x[0-9a-f]+)", text)
        if target is None or not self.stage.is_firmware(int(target[2], 16)):
            return text
        return target[1] + self.stage.named(int(target[2], 16))

    def _bytes(self, rip: int) -> bytes:
        sizes = range(_LONGEST, 0, -1)
        return next((data for size in sizes if (data := self.stage.board.read(rip, size))), b"\0")

    def _seen(self, one: Side, done: Done) -> Iterator[str]:
        for access in done.accesses:
            yield f"{'stores' if access.store else 'loads'} {self._address(access)} = {access.value:#x}"
        if done.fault:
            yield done.fault
        elif one.status == LANDED:
            yield f"lands at {self.stage.processors[one.number].rip:#x}"

    def _address(self, access: Access) -> str:
        offset = access.address - self.stage.placed.mailbox
        return place(offset, access.width) if 0 <= offset < PAGE else f"[{self.stage.named(access.address)}]"


def started(stage: Stage, probe: Probe, agent: Agent) -> Interleaved:
    """Park processors and bring them to their polling loops. Raises ``AstrayError`` for one that does not get there.

    The host is the strict one, or the lenient one where a call breaks a rule on the way.
    """
    for strict in (True, False):
        one = Interleaved(stage, probe, agent, Tdx(strict))
        try:
            one.arrive()
        except AstrayError:
            stage.board.restore()
            if not (strict and one.breaks_rules):
                raise
        else:
            if not (strict and one.breaks_rules):
                return one
            stage.board.restore()
    raise AssertionError("the lenient host is the last")


def _written(one: Operation) -> str:
    given = document.encode(one)
    assert isinstance(given, dict)
    ((name, value),) = given.items()
    if name == "next" or value is True:
        return name
    if not isinstance(value, dict):
        return f"{name} {value}"
    return f"{name} {', '.join(_word(key, item) for key, item in value.items())}"


def _word(key: str, value: Any) -> str:
    if value is True:
        return key
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        span = Span(**value)
        return place(span.at, span.width)
    return f"{value:#x}" if type(value) is int and value > 9 else str(value)
