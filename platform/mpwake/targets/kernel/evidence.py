"""From what was seen of a machine to a trace: the same events that an operating system of the model shows.

Nothing is put in that was not seen. Who is asked for at boot is known from the kernel's own lines where it prints them
("CPU UP"), else from the order in which it numbers processors; a start has returned when the kernel goes on to the next
thing. ``NOT_SEEN`` are the kinds of events that no machine of QEMU shows.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterator, Mapping

import attrs

from mpwake.evidence.trace import ACTIONS, SENDER, Event, Fact, Kind, Trace
from mpwake.targets.kernel.console import MARK, Line, code_of, pairs, read_line
from mpwake.targets.kernel.recording import AT_0, Fault, Recording, Seen
from mpwake.targets.kernel.situate import Trial

PAGE = 0x1000
COMMAND, VECTOR = (0, 2), (8, 8)
WAKEUP = 1
ICR_LOW, ICR_HIGH = 0x300, 0x310
INIT, START_UP = 5, 6
NOT_TOLD = -1
MIB = 0x100000
# A Test is polled so often by an operating system that gives up at last; what has gone on for longer has no end.
POLLS = 1_100_000
# What is not to be had from outside an unmodified kernel.
NOT_SEEN = ("free", "routine", "hypercall", "cache", "entries", "own use", "reset state")
# The interrupt controllers are in the kernel, and tell nothing.
NOT_SEEN_BY_KVM = ("ipis",)
_OPS = {"on": "online", "off": "offline"} | {one: one for one in ("kexec", "crash", "restart", "poweroff", "panic")}
_UP = re.compile(r".*CPU UP +(\d+)")
_FAILED = re.compile(r".*do_boot_cpu failed\((-?\d+)\) to wakeup CPU#(\d+)")
_SILENT = re.compile(r"CPU(\d+) failed to report alive state")
# What a processor says itself, once it has begun to run.
_RUNS = re.compile(r"(smpboot: )?Stack at about ")
_DONE = re.compile(rf"{MARK} (\w+)(?: (\d+))? -> (\d+)(.*)")
_PLACED = re.compile(r"(?:__)?memblock_reserve: \[(?:mem )?(0x[0-9a-f]+)-(0x[0-9a-f]+)\]")
_MEMBLOCK = re.compile(r"(__)?memblock_|\s*(memory|reserved)(\[0x|\.cnt)|MEMBLOCK ")
_ASKED_FOR = re.compile(r"memblock_phys_alloc_range: .* max_addr=(0x[0-9a-f]+) reserve_real_mode")


@attrs.frozen
class Report:
    """What the init of one kernel tells of its processors: APIC IDs by number, online and known, and who it lists."""

    online: Mapping[int, int] = attrs.field(factory=dict)
    known: Mapping[int, int] = attrs.field(factory=dict)
    present: int = 0
    announced: bool = False


def reports(recording: Recording, trial: Trial) -> list[Report]:
    """Return a report for each kernel that was seen to start."""
    found: list[Report] = []
    for one in recording.seen:
        if one.what != "line":
            continue
        line = read_line(one.text)
        if line.text.startswith("Linux version "):
            found.append(Report())
        elif found:
            found[-1] = _reported(found[-1], line)
    return [attrs.evolve(one, known=_known(one, trial)) for one in found]


def _reported(report: Report, line: Line) -> Report:
    if _UP.match(line.text):
        return attrs.evolve(report, announced=True)
    words = line.words
    if words[:1] == ["cpus"]:
        return attrs.evolve(report, online={**report.online, **pairs(words[1:])})
    if words[:1] == ["known"]:
        return attrs.evolve(report, known={**report.known, **pairs(words[1:])})
    if words[:1] == ["present"] and len(words) > 1 and words[1].isdigit():
        return attrs.evolve(report, present=int(words[1]))
    return report


def _known(report: Report, trial: Trial) -> Mapping[int, int]:
    """Return the processors that a kernel has found: those that it names, and those that only the table names to it.

    A kernel that has as many as the table enables, and numbers the ones that are online as the table lists them, has
    found those of the table.
    """
    known = {**report.known, **report.online}
    listed = dict(enumerate(trial.numbers))
    same = all(listed.get(number) == apic for number, apic in known.items())
    return listed if known and same and report.present == len(listed) else known


@attrs.define
class Request:
    """A request that has not ended yet: an action of init, or the start of a processor at boot."""

    op: str
    cpu: int = -1
    own: bool = False
    acknowledged: bool = False
    commanded: bool = False


@attrs.define
class Teller:
    """Goes through a recording once and tells it as events."""

    trial: Trial
    recording: Recording
    ids: tuple[int, ...]
    reports: list[Report]
    events: list[Event] = attrs.Factory(list)
    time: int = 0
    kernel: int = 0
    page: bytearray = attrs.Factory(bytearray)
    running: set[int] = attrs.Factory(set)
    alive: set[int] = attrs.Factory(set)
    asked: Request | None = None
    started: list[int] = attrs.Factory(list)
    used: bool = False
    others: set[int] = attrs.Factory(set)
    ipis: bool = False
    high: dict[int, int] = attrs.Factory(dict)
    limit: int = 0
    madt: bytes = b""

    @property
    def report(self) -> Report:
        """What the init of this kernel tells."""
        return self.reports[self.kernel - 1] if 0 < self.kernel <= len(self.reports) else Report()

    @property
    def one_by_one(self) -> bool:
        """Whether the kernel was told to wait for each processor before it starts the next, by whatever means."""
        return bool(self.trial.absent)

    def put(self, agent: int, kind: Kind, value: int = 0, note: str = "", **more: Fact) -> None:
        """Add an event at the time that has come; ``offset``, ``width`` and ``target`` are its own, the rest facts."""
        places = {name: int(more.pop(name)) for name in ("offset", "width", "target") if name in more}
        self.events.append(Event(self.time, agent, kind, value=value, note=note, facts=more, **places))

    def agent(self, apic: int) -> int:
        """Return who acts: the operating system, or a processor that is firmware's."""
        if apic == self.ids[SENDER] or apic in self.running or apic not in self.ids:
            return SENDER
        return self.ids.index(apic)

    def number(self, apic: int) -> int:
        """Return the number of a processor, whoever it belongs to."""
        return self.ids.index(apic) if apic in self.ids else SENDER

    def see(self, one: Seen) -> None:
        """Tell one thing that was seen."""
        self.time = max(self.time + 1, round(one.seconds * 1_000_000))
        {
            "line": self._line,
            "load": self._access,
            "store": self._access,
            "apic": self._apic,
            "jump": self._jump,
            "reset": self._reset,
        }[one.what](one)

    # Accesses to the page

    def _access(self, one: Seen) -> None:
        if one.page != self.trial.mailbox // PAGE * PAGE:
            self._other_page(one)
            return
        agent, offset = self.agent(one.apic_id), one.offset - self.trial.mailbox % PAGE
        if agent == SENDER:
            self._use()
            if one.what == "store" and self.asked is None and not self.report.announced:
                self._begin_next()
            elif one.what == "store" and self.asked and not self.asked.own and self.asked.acknowledged:
                self._next_start()
        kind = Kind.LOAD if one.what == "load" else Kind.STORE
        if kind is Kind.LOAD and self._repeats(agent, offset, one):
            return
        count = one.times if kind is Kind.LOAD else 1
        self.events.append(Event(self.time, agent, kind, offset, one.width, one.value, count, until=self.time))
        if kind is Kind.STORE:
            self._stored(offset, one)

    def _repeats(self, agent: int, offset: int, one: Seen) -> bool:
        """Count a load that is equal to the event before it."""
        last = self.events[-1] if self.events else None
        if last is None or (last.kind, last.agent, last.offset) != (Kind.LOAD, agent, offset):
            return False
        if (last.width, last.value) != (one.width, one.value):
            return False
        self.events[-1] = attrs.evolve(last, count=last.count + one.times, until=self.time)
        return True

    def _other_page(self, one: Seen) -> None:
        """Tell that a page is used that the tables name for a mailbox too, and that no processor polls."""
        if one.page not in self.others:
            self.others.add(one.page)
            self.put(SENDER, Kind.METHOD, one.page, "mailbox")
            self.put(SENDER, Kind.MAP, one.page, "mailbox", width=PAGE, mapped=True)

    def _stored(self, offset: int, one: Seen) -> None:
        if 0 <= offset <= len(self.page) - one.width:
            self.page[offset : offset + one.width] = one.value.to_bytes(one.width, "little")
        if self.asked and offset < COMMAND[1]:
            command = int.from_bytes(self.page[:2], "little")
            self.asked.commanded = self.asked.commanded or command != 0
            self.asked.acknowledged = self.asked.commanded and command == 0

    def _use(self) -> None:
        """Tell of the first access of a kernel: the page is mapped, and the mailbox is what it uses."""
        if not self.used:
            self.used = True
            base = self.trial.mailbox // PAGE * PAGE
            self.put(SENDER, Kind.METHOD, self.trial.mailbox, "mailbox")
            self.put(SENDER, Kind.MAP, base, "mailbox", width=PAGE, mapped=True)

    # Processors

    def _jump(self, one: Seen) -> None:
        self.put(self.number(one.apic_id), Kind.LANDING, one.value)
        self.running.add(one.apic_id)
        self.alive.discard(one.apic_id)

    def _reset(self, one: Seen) -> None:
        where = self.trial.reset_vector
        self.put(self.number(one.apic_id), Kind.RESET, one.apic_id, by=one.apic_id, jumps_to=where)
        self.running.discard(one.apic_id)
        self.alive.discard(one.apic_id)

    def _apic(self, one: Seen) -> None:
        if not self.kernel:
            return
        if one.apic_id in self.running:
            self._lives(one.apic_id, "its local APIC is set up")
        if one.offset == ICR_HIGH:
            self.high[one.apic_id] = one.value
        elif one.offset == ICR_LOW and one.value >> 8 & 7 in (INIT, START_UP):
            if not self.ipis:
                self.ipis = True
                self.put(SENDER, Kind.METHOD, 0, "ipi")
            self.put(SENDER, Kind.IPI, self.high.get(one.apic_id, 0) << 32 | one.value, "xapic")

    def _lives(self, apic: int, how: str) -> None:
        if apic != self.ids[SENDER] and apic in self.ids and apic not in self.alive:
            self.alive.add(apic)
            self.put(self.number(apic), Kind.ALIVE, apic, how)

    # The console

    def _line(self, one: Seen) -> None:
        line = read_line(one.text)
        if line.text.startswith("Linux version "):
            self._begin()
        if line.own:
            self._own(line)
            return
        if self._placed(line):
            return
        if line.text:
            self.put(SENDER, Kind.CONSOLE, note=line.text, level=line.level)
        if up := _UP.match(line.text):
            self._announced(int(up[1]))
        elif failed := _FAILED.match(line.text):
            self._failed(int(failed[2]), int(failed[1]))
        elif re.match(r"(smp: )?Brought up ", line.text):
            self._end_start()
        elif self.one_by_one and (silent := _SILENT.match(line.text)):
            self._failed(int(silent[1]), NOT_TOLD)
        elif self.one_by_one and self.asked and _RUNS.match(line.text):
            self._lives(self._named(self.asked.cpu), "it says where its stack is")

    def _begin(self) -> None:
        """Tell that a kernel begins, and whom it finds, as its init will tell."""
        if self.kernel:
            self.put(SENDER, Kind.KERNEL, self.kernel, "leaves")
        self.kernel += 1
        self.asked, self.used, self.ipis, self.started = None, False, False, []
        self.others.clear()
        if self.kernel > 1:
            self.alive.clear()
        self.put(SENDER, Kind.KERNEL, self.kernel)
        for index, apic in sorted(self.report.known.items()):
            self.put(SENDER, Kind.CPU, apic, boot=index == 0, index=index, reported=True)

    def _placed(self, line: Line) -> bool:
        """Tell what the kernel says of memory for its wake routine; return whether a line is of ``memblock=debug``."""
        limit, self.limit = self.limit, 0
        if asked := _ASKED_FOR.match(line.text):
            self.limit = int(asked[1], 16)
        elif found := _PLACED.match(line.text):
            start, end = int(found[1], 16), int(found[2], 16) + 1
            if limit:
                self.put(SENDER, Kind.ALLOC, start, "trampoline", width=end - start, limit=limit)
            elif start == 0 and end >= MIB:
                self.put(SENDER, Kind.ALLOC, start, "first MiB", width=end)
        return _MEMBLOCK.match(line.text) is not None

    # Requests

    def _ask(self, request: Request, target: int) -> None:
        self.asked = request
        self.put(SENDER, Kind.REQUEST, ACTIONS[request.op], target=target)

    def _return(self, code: int) -> None:
        self.put(SENDER, Kind.RETURN, code)
        self.asked = None

    def _named(self, cpu: int) -> int:
        listed = self.report.known or dict(enumerate(self.trial.numbers))
        return listed.get(cpu, -1)

    def _end_start(self) -> None:
        """Tell that the start before has returned, as the kernel has gone on; by IPIs it may not be complete then."""
        if self.asked and not self.asked.own:
            if self.used or self.one_by_one:
                self._return(0)
            self.asked = None

    def _announced(self, cpu: int) -> None:
        if self.asked and self.asked.own:
            return
        self._end_start()
        self.started.append(cpu)
        self._ask(Request("online", cpu), self._named(cpu))

    def _begin_next(self) -> None:
        cpu = max(self.started, default=0) + 1
        self.started.append(cpu)
        self._ask(Request("online", cpu), self._named(cpu))

    def _next_start(self) -> None:
        """Tell of the next start where the kernel does not announce any: the one before was acknowledged."""
        if not self.report.announced:
            self._end_start()
            self._begin_next()

    def _failed(self, cpu: int, code: int) -> None:
        if self.asked and self.asked.own:
            return
        if not self.asked or self.asked.cpu != cpu:
            self._end_start()
            self.started.append(cpu)
            self._ask(Request("online", cpu), self._named(cpu))
        self._return(code)

    def _own(self, line: Line) -> None:
        """Tell what init says: what it is about to do, how that ended, who is online, and the table in memory."""
        words = line.words
        self._end_start()
        if words[:1] == ["do"] and len(words) > 1 and words[1] in _OPS:
            cpu = int(words[2]) if len(words) > 2 and words[2].isdigit() else -1
            self._ask(Request(_OPS[words[1]], cpu, own=True), self._target(cpu) if cpu >= 0 else 0)
        elif done := _DONE.fullmatch(line.text):
            if self.asked and self.asked.op == _OPS.get(done[1]):
                code = int(done[3])
                self._return(code_of(done[4]) if code else 0)
        elif words[:1] == ["cpus"]:
            for apic in pairs(words[1:]).values():
                if apic in self.running or self.ipis:
                    self._lives(apic, "online")
        elif words[:1] == ["madt"] and len(words) > 1 and re.fullmatch(r"(?:[0-9a-f]{2})+", words[1]):
            self.table(bytes.fromhex(words[1]))

    def _target(self, cpu: int) -> int:
        """Return the APIC ID of a processor that init names, or its number where the kernel has none of that number."""
        found = self._named(cpu)
        asked = [one.id for one in self.trial.actions if one.id not in self.trial.numbers]
        return found if found >= 0 else asked[0] if asked else cpu

    # The table in memory

    def table(self, data: bytes) -> None:
        """Tell what has changed in the MADT since it was last seen."""
        before, self.madt = self.madt, data
        if len(data) != len(before):
            return
        for start, end in _changed(before, data, self._address()):
            value = int.from_bytes(data[start:end][:8], "little")
            self.put(*(SENDER, Kind.TABLE, value, "madt"), offset=start, width=end - start, checksum=sum(data) & 0xFF)

    def _address(self) -> int:
        madt = self.trial.tables.madt
        wakeups = madt.wakeups if madt else ()
        return next((one.entry.offset + 8 for one in wakeups if one.entry.length >= 16), -8)


def _changed(before: bytes, after: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches that differ; a change of nothing but MailBoxAddress is one of the whole field."""
    places = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    if places and address <= places[0] and places[-1] < address + 8:
        yield address, address + 8
        return
    start = 0
    for number, at in enumerate(places):
        if number + 1 == len(places) or places[number + 1] != at + 1:
            yield places[start], at + 1
            start = number + 1


def _with_vectors(events: list[Event]) -> Iterator[Event]:
    """Give each request to start a processor the vector that the operating system stores for it, the last one."""
    for at, one in enumerate(events):
        if one.kind is not Kind.REQUEST or one.value != ACTIONS["online"]:
            yield one
            continue
        page = bytearray(PAGE)
        stored = False
        for later in events[at + 1 :]:
            if later.kind is Kind.REQUEST:
                break
            if later.kind is Kind.STORE and later.agent == SENDER and later.touches(*VECTOR):
                page[later.offset : later.offset + later.width] = later.value.to_bytes(later.width, "little")
                stored = True
        vector = int.from_bytes(page[VECTOR[0] : sum(VECTOR)], "little")
        yield attrs.evolve(one, vector=vector) if stored else one


def _pending(recording: Recording, trial: Trial, events: list[Event]) -> bool:
    """Say whether the operating system was still waiting for an answer to a command when the budget was used up."""
    at = trial.mailbox % PAGE
    command = int.from_bytes(recording.page[at : at + 2], "little")
    if recording.end == "budget" and _at_0(recording, trial)[:2] == WAKEUP.to_bytes(2, "little"):
        return True
    own = [one for one in events if one.kind in (Kind.LOAD, Kind.STORE) and one.agent == SENDER]
    loads = list(itertools.takewhile(lambda one: one.kind is Kind.LOAD and one.touches(*COMMAND), reversed(own)))
    enough = command == WAKEUP or sum(one.count for one in loads) > POLLS
    return recording.end == "budget" and command != 0 and bool(loads) and enough


def _at_0(recording: Recording, trial: Trial) -> bytes:
    """Return what was stored at address 0, where the MADT has that for MailBoxAddress; else nothing."""
    madt = trial.tables.madt
    named = madt is not None and any(one.address == 0 for one in madt.wakeups)
    return bytes.fromhex(str(recording.facts.get(AT_0, ""))) if named else b""


def _faulted(teller: Teller, fault: Fault) -> None:
    """Tell of a fault that nobody handled; one in a page 0 that is no code is what a jump to ResetVector 0 leads to."""
    number = teller.number(fault.apic_id)
    offline = teller.asked is not None and teller.asked.op == "offline"
    if offline and teller.trial.reset_vector == 0 and fault.rip < PAGE:
        teller.put(number, Kind.RESET, fault.apic_id, by=fault.apic_id, jumps_to=0)
    code = fault.code[:16].hex(" ")
    teller.put(number, Kind.FAULT, fault.address, fault.name, rip=fault.rip, error=fault.error, code=code)


def _listing(faults: tuple[Fault, ...]) -> dict[int, str]:
    if importlib.util.find_spec("capstone") is None:
        return {}
    from mpwake.targets.firmware.listing import listing

    return {at: text for one in faults for at, text in listing(one.code[:48], one.rip).items()}


def trace_of(recording: Recording, trial: Trial) -> Trace:
    """Return what was seen of a machine as a trace of the operating system that it booted."""
    ids = (trial.boot_id, *trial.processors, *trial.absent)
    at = trial.mailbox % PAGE
    teller = Teller(trial, recording, ids, reports(recording, trial))
    teller.page = bytearray(recording.before[at:])
    teller.madt = trial.tables.madt.data if trial.tables.madt else b""
    for one in recording.seen:
        teller.see(one)
    for fault in recording.faults:
        teller.time += 1
        _faulted(teller, fault)
    if _at_0(recording, trial):
        teller.put(SENDER, Kind.METHOD, 0, "mailbox")
        teller.put(SENDER, Kind.MAP, 0, "mailbox", width=PAGE, mapped=True)
    if recording.madt and teller.madt:
        teller.time += 1
        teller.table(recording.madt)
    events = list(_with_vectors(teller.events))
    # A next kernel has nothing to do but to boot: where it does not come to its end, there is none.
    stuck = _pending(recording, trial, events) or (recording.end == "budget" and teller.kernel > 1)
    return Trace(
        ids=ids,
        events=tuple(events),
        before=recording.before[at:].ljust(PAGE, b"\0"),
        after=recording.page[at:].ljust(PAGE, b"\0"),
        end=teller.time + 1,
        memory="sc",
        stuck=stuck,
        spent=recording.end == "budget" and not stuck,
        facts={**_facts(trial, recording), **recording.facts},
        listing=_listing(recording.faults),
    )


def _facts(trial: Trial, recording: Recording) -> dict[str, Fact]:
    return {
        "mailbox": trial.mailbox,
        "reset vector": trial.reset_vector,
        "not seen": ", ".join((*NOT_SEEN, *(NOT_SEEN_BY_KVM if recording.facts.get("kvm") else ()))),
    }
