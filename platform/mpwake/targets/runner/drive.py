"""Carries a probe out on a program's own processors: the suite's tester is the operating system, on the real page.

The tester is the program that the model's tester is; each of its stores becomes one aligned store of the same width to
the shared page, and time is real. What processors do is seen in two ways: the page changes, and the program tells of
landings. A load, a store of what stands there already, the width of a store and who made it are not seen, and the fact
``accesses`` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from mpwake.checks.core import not_testable
from mpwake.evidence.trace import OPS, SENDER, Event, Fact, Kind, Trace
from mpwake.model.agent import FIELDS, PAGE, Agent, load_agent
from mpwake.model.environment import Host
from mpwake.model.probe import BOOT_ID, Probe, page_of
from mpwake.model.twin import HALTED, Effect, Twin
from mpwake.spec import document
from mpwake.targets.runner.process import STARTS, Process
from mpwake.targets.runner.protocol import PROTOCOL, Fault, Hello, Landed, Message, Parked

TRIALS = 2
ATTEMPTS = 4
LIMIT = 5.0  # seconds that an answer may take
# Seconds of silence that count as silence: this, and so many times the slowest answer that was ever seen.
QUIET = 0.05
PATIENCE = 10
MAX_EVENTS = 20_000
WAITING, POLLS, RESETTING, LEFT, GONE = range(5)
ANSWERED = tuple(OPS[name] for name in ("wake", "overwrite", "test"))
UNSEEN: dict[str, Fact] = {"width": "not seen", "author": "not seen"}
_BODY = 16
_TRIES = 1 << 32
_SIGN = 1 << 63
_WORDS = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}
_KINDS = {"load": Kind.LOAD, "visible": Kind.STORE, "request": Kind.REQUEST, "return": Kind.RETURN}


@attrs.define
class Runner:
    """A program under test, what it offers, and what is known of its pace: the seconds of its slowest answer."""

    name: str
    command: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    slowest: float = 0.0

    @property
    def quiet(self) -> float:
        """Seconds without anything that count as silence."""
        return min(max(QUIET, PATIENCE * self.slowest), LIMIT)


@attrs.define
class Page:
    """The mailbox page, shared with the program: its file, and the memory."""

    path: str
    memory: mmap.mmap

    def read(self) -> bytes:
        """Return a copy of the whole page."""
        return self.memory[:]

    def store(self, offset: int, width: int, value: int) -> None:
        """Store a value with one aligned access."""
        _WORDS[width].from_buffer(self.memory, offset).value = value


@contextlib.contextmanager
def mailbox(content: bytes = bytes(PAGE)) -> Iterator[Page]:
    """Make a page with that content; it is taken away again at the end."""
    with tempfile.TemporaryDirectory(prefix="mpwake-") as folder:
        path = Path(folder) / "mailbox"
        path.write_bytes(content)
        with path.open("r+b") as file, mmap.mmap(file.fileno(), PAGE) as memory:
            yield Page(str(path), memory)


def greeted(process: Process, page: Page) -> Hello:
    """Exchange hellos. Raises ``InputError`` for a program that does not begin with one."""
    process.send("hello", protocol=PROTOCOL, page=page.path)
    first = process.first()
    if not isinstance(first, Hello):
        raise process.broken("message 1: the program does not begin with hello")
    return first


@attrs.define
class Wait:
    """What the tester waits for: an answer of one processor, since when, and whether one is owed at all.

    ``astray`` tells that another processor has landed since.
    """

    op: int
    agent: int
    since: float
    owed: bool
    astray: bool = False


class Trial:
    """One probe on one start of the program."""

    def __init__(self, runner: Runner, probe: Probe, process: Process, page: Page, hello: Hello) -> None:
        self.probe = probe
        self.process = process
        self.page = page
        self.hello = hello
        self.quiet = runner.quiet
        self.slowest = 0.0
        self.spent = False
        self.events: list[Event] = []
        self.status = dict.fromkeys(range(1, len(probe.ids) + 1), WAITING)
        base = {None: 0, "mailbox": hello.mailbox or 0}
        self.requests = tuple((OPS[one.op], one.id, base[one.base] + one.value) for one in probe.requests)
        self.twin = Twin([document.decode(load_agent("tester"), Agent)], [BOOT_ID], self.requests, "sc", page.read())
        self.shadow = self.before = page.read()
        self.started = self.idle = time.monotonic()
        self.wait = Wait(0, 0, self.started, owed=False)

    @property
    def lagged(self) -> bool:
        """Whether an answer took so long that silence may have been no more than slowness."""
        return 2 * self.slowest > self.quiet

    def run(self) -> Trace:
        """Have the processors parked, go on until the tester has done everything, and say bye."""
        self._park()
        while self.twin.status[SENDER] != HALTED and not self.spent:
            self._hear()
            if self._holds():
                os.sched_yield()
            else:
                self._step()
            self.spent = self.spent or len(self.events) > MAX_EVENTS
        self._hear()
        self.process.end()
        return Trace(
            ids=(BOOT_ID, *self.probe.ids),
            events=tuple(_authored(self.events)),
            before=self.before,
            after=self.shadow,
            end=self._now(),
            spent=self.spent or self.lagged,
            facts=self._facts(),
        )

    def _facts(self) -> dict[str, Fact]:
        known = {"mailbox": self.hello.mailbox, "reset vector": self.hello.reset_vector}
        return {"accesses": False, **{name: value for name, value in known.items() if value is not None}}

    def _now(self) -> int:
        return int((time.monotonic() - self.started) * 1e6)

    def _park(self) -> None:
        for one in self.probe.ids:
            self.process.send("park", id=one)
        self.process.send("go")
        while WAITING in self.status.values():
            self._hear()
            if time.monotonic() - self.started > STARTS:
                missing = ", ".join(hex(self.probe.ids[one - 1]) for one in self.status if self.status[one] == WAITING)
                raise self.process.broken(f"no parked within {STARTS:g} s from {missing}")
            os.sched_yield()

    def _add(self, agent: int, kind: Kind, **more: object) -> None:
        now = self._now()
        last = self.events[-1] if self.events else None
        one = Event(now, agent, kind, until=now, **more)  # type: ignore[arg-type]
        if last and kind is Kind.LOAD and attrs.evolve(one, time=last.time, until=last.until, count=last.count) == last:
            self.events[-1] = attrs.evolve(last, count=last.count + 1, until=now)
        else:
            self.events.append(one)

    def _hear(self) -> None:
        # The messages first: whatever a processor did before its landing is then in the page that is looked at.
        messages = self.process.received()
        self._look()
        for one in messages:
            self._heard(one)

    def _look(self) -> None:
        now = self.page.read()
        if now == self.shadow:
            return
        agent = self.wait.agent or self._anybody()
        for offset, width in _changed(self.shadow, now):
            value = int.from_bytes(now[offset : offset + width], "little")
            self._add(agent, Kind.STORE, offset=offset, width=width, value=value, facts=UNSEEN)
        self.shadow = now

    def _anybody(self) -> int:
        return next((one for one, status in self.status.items() if status == POLLS), 1)

    def _agent(self, apic: int) -> int:
        if apic not in self.probe.ids:
            raise self.process.broken(f"the program tells of a processor {apic:#x}, which was never named")
        return self.probe.ids.index(apic) + 1

    def _heard(self, message: Message) -> None:
        match message:
            case Parked(id=apic):
                agent = self._agent(apic)
                if self.status[agent] not in (WAITING, RESETTING):
                    raise self.process.broken(f"parked from processor {apic:#x}, which was not asked")
                self.status[agent] = POLLS
            case Landed(id=apic):
                agent = self._agent(apic)
                self.status[agent] = LEFT
                self._landed(agent)
                self._add(agent, Kind.LANDING, value=message.vector, facts=message.facts)
            case Fault(id=None):
                raise self.process.broken(f"the program reports: {message.text}")
            case Fault(id=int(apic)):
                self.status[self._agent(apic)] = GONE
                self._add(self._agent(apic), Kind.EMIT, note=message.text)
            case _:
                raise self.process.broken(f"{type(message).__name__.lower()} in the middle of a trial")

    def _landed(self, agent: int) -> None:
        if agent != self.wait.agent:
            self.wait.astray = True
        elif self.wait.owed:
            self._answered()

    def _answered(self) -> None:
        self.slowest = max(self.slowest, time.monotonic() - self.wait.since)

    def _operation(self) -> object:
        operations = self.twin.agents[SENDER].operations
        at = self.twin.pc[SENDER]
        return operations[at] if at < len(operations) else None

    def _holds(self) -> bool:
        """Say whether the tester waits; what ends without the answer that is owed ends the trial."""
        now = time.monotonic()
        if self.twin.wait[SENDER]:
            if now - self.idle < self.quiet:
                return True
            self.twin.wait[SENDER] = 0
        one = self.wait
        resetting = self.status.get(one.agent) == RESETTING
        if getattr(self._operation(), "poll", None) is not None:
            self.twin.registers[SENDER]["tries"] = 1 if self._given_up(now) else _TRIES
            return False
        leaving = one.owed and one.op != OPS["test"] and not self._settled()
        if getattr(self._operation(), "next", None) is None or not (resetting or leaving):
            return False
        self.spent = now - one.since > LIMIT
        return True

    def _settled(self) -> bool:
        return self.wait.astray or self.status[self.wait.agent] != POLLS

    def _given_up(self, now: float) -> bool:
        one = self.wait
        if not one.owed or self._settled():
            return now - one.since > self.quiet
        self.spent = now - one.since > LIMIT
        return False

    def _step(self) -> None:
        twin = self.twin
        if getattr(self._operation(), "reset", None) is not None:
            self._reset(twin.registers[SENDER]["target"])
        twin.page[:] = self.shadow
        effect = twin.step(SENDER, 0)
        if twin.wait[SENDER]:
            self.idle = time.monotonic()
        if effect.kind == "visible":
            self._look()
            self.page.store(effect.offset, effect.width, effect.value)
            place = slice(effect.offset, effect.offset + effect.width)
            self.shadow = self.shadow[: place.start] + bytes(twin.page[place]) + self.shadow[place.stop :]
        if effect.kind in _KINDS:
            self._told(effect)

    def _told(self, effect: Effect) -> None:
        kind, value = _KINDS[effect.kind], effect.value
        if kind is Kind.REQUEST:
            op, target, vector = self.requests[self.twin.position - 1]
            agent = self.probe.ids.index(target) + 1 if target in self.probe.ids else 0
            owed = op in ANSWERED and self.status.get(agent) == POLLS and not any(self.shadow[2:4])
            self.wait = Wait(op, agent, time.monotonic(), owed)
            self._add(SENDER, kind, value=value, target=target, vector=vector)
        elif kind is Kind.RETURN:
            value -= 2 * _SIGN * (value >= _SIGN)
            if self.wait.op == OPS["test"] and self.wait.owed and not value:
                self._answered()
            self._add(SENDER, kind, value=value)
        else:
            self._add(SENDER, kind, offset=effect.offset, width=effect.width, value=value)

    def _reset(self, target: int) -> None:
        if self.status.get(self.wait.agent) == LEFT:
            self.status[self.wait.agent] = RESETTING
            self.process.send("reset", id=target)
            self._add(SENDER, Kind.RESET, value=target)


def _changed(before: bytes, after: bytes) -> Iterator[tuple[int, int]]:
    """Yield what has changed: a field as a whole, because its width is not seen, and runs of other bytes."""
    for offset, width in FIELDS.values():
        if before[offset : offset + width] != after[offset : offset + width]:
            yield offset, width
    at = _BODY
    while at < PAGE:
        end = at
        while end < min(PAGE, at + 8) and before[end] != after[end]:
            end += 1
        if end > at:
            yield at, end - at
        at = max(end, at + 1)


def _authored(events: list[Event]) -> Iterator[Event]:
    """Take changes for those of the processor that lands next, where it was another than the one addressed."""
    author: dict[int, int] = {}
    lander = 0
    for at in reversed(range(len(events))):
        one = events[at]
        if one.kind is Kind.REQUEST:
            lander = 0
        elif one.kind is Kind.LANDING:
            lander = one.agent
        elif one.agent != SENDER and one.kind is Kind.STORE and lander:
            author[at] = lander
    for at, one in enumerate(events):
        yield attrs.evolve(one, agent=author.get(at, one.agent))


def trials(runner: Runner, probe: Probe) -> Iterator[Trace]:
    """Run a probe several times, each on a start of its own. Raises ``InputError`` where the program breaks.

    Raises ``Unjudged`` for a probe that the protocol has no words for.
    """
    if probe.host != Host():
        raise not_testable("the protocol has no words for what a host does")
    if any(one.op == "reset" and one.value for one in probe.requests):
        raise not_testable("the protocol has no words for the bits of CR4 at a reset")
    for _ in range(TRIALS):
        trace = _paced(runner, probe)
        yield trace
        if trace.spent:
            return


def _paced(runner: Runner, probe: Probe) -> Trace:
    # A trial whose answers were slow is made again, with silence that lasts longer.
    for _ in range(ATTEMPTS):
        with mailbox(page_of(probe)) as page, Process(runner.name, (*runner.command, page.path)) as process:
            hello = greeted(process, page)
            _offers(hello, probe)
            one = Trial(runner, probe, process, page, hello)
            trace = one.run()
        runner.slowest = max(runner.slowest, one.slowest)
        if not one.lagged:
            break
    return trace


def _offers(hello: Hello, probe: Probe) -> None:
    if any(one.op == "reset" for one in probe.requests) and "reset" not in hello.capabilities:
        raise not_testable("the program does not offer reset")
    if any(one.base == "mailbox" for one in probe.requests) and hello.mailbox is None:
        raise not_testable("the program does not tell the address of its mailbox")
