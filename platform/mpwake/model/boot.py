"""An operating system of the model, booted: everything that can be seen of it, as traces.

What the kernel decides (``model/kernel.py``) and what the simulator saw of the mailbox are merged into one ``Trace``
for each schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from mpwake.evidence.trace import ACTIONS, Event, Kind, Trace
from mpwake.model.agent import PAGE
from mpwake.model.environment import regions
from mpwake.model.kernel import Ask, Item, Kernel, data_of, joins, plan, reset_state
from mpwake.model.probe import MEMORIES, Schedule, agent
from mpwake.model.program import Program
from mpwake.model.simulator import Simulation, simulate
from mpwake.model.situation import Boot, settled
from mpwake.model.system import System, Touch


@attrs.define
class Merge:
    """Puts what was planned and what the simulator saw of the mailbox into one order."""

    system: System
    kernel: Kernel
    items: list[Item]
    events: list[Event] = attrs.Factory(list)
    landed: list[Event] = attrs.Factory(list)
    time: int = 0
    asked: Ask | None = None
    unanswered: bool = False
    faulted: bool = False

    def put(self, one: Event) -> None:
        """Add an event at the time that has come; its own is 0."""
        self.events.append(one.later(self.time))

    def until_ask(self) -> None:
        """Add what was planned before the next request."""
        while self.items:
            one = self.items.pop(0)
            if isinstance(one, Ask):
                self.asked = one
                return
            if one.kind is Kind.KERNEL and one.note == "leaves" and self._called_off():
                return
            self.put(one)

    def _called_off(self) -> bool:
        # Whether there is no next kernel, because a processor that was given back has not answered.
        if not self.unanswered or self.system.kexec.unanswered == "goes-on":
            return False
        self.items.clear()
        self.put(Event(0, 0, Kind.REQUEST, value=ACTIONS["kexec"]))
        self.put(Event(0, 0, Kind.RETURN, value=BUSY))
        self.put(Event(0, 0, Kind.CONSOLE, note="no next kernel: processors have not returned", facts=_ERROR))
        return True

    def seen(self, one: Event, ids: tuple[int, ...]) -> bool:
        """Add what the simulator saw; False where the operating system has given up."""
        self.time = one.time
        if one.kind is Kind.REQUEST:
            self.until_ask()
        if one.kind is Kind.RESET:
            vector = self.kernel.reset_vector or 0
            one = attrs.evolve(one, facts=reset_state(self.system, one.value, vector))
        self.events.append(one)
        if one.kind is Kind.RESET and self.system.reset.frees == "at-once":
            self.put(Event(0, 0, Kind.FREE, note="reset environment", target=one.value))
        if one.kind is Kind.LANDING:
            self.landed.append(one)
            if self.asked is None:
                self._arrive(ids)
        if one.kind is Kind.RETURN:
            return self._returned(one, ids) and not self.faulted
        return not self.faulted

    def _returned(self, one: Event, ids: tuple[int, ...]) -> bool:
        asked = self.asked
        assert asked is not None
        self.asked = None
        freed, base = self.system.trampoline.freed, self.kernel.base
        waking = asked.op == ACTIONS["online"]
        if waking and base is not None and (freed == "acknowledged" or (freed == "timed-out" and one.value < 0)):
            self.put(Event(0, 0, Kind.FREE, value=base, note="trampoline", target=asked.id))
        if asked.op == ACTIONS["offline"]:
            answered = one.value == 0
            self.unanswered = self.unanswered or not answered
            if self.system.reset.frees == "always" or (answered and self.system.reset.frees == "answered"):
                self.put(Event(0, 0, Kind.FREE, note="reset environment", target=asked.id))
        self._arrive(ids)
        if one.value >= 0:
            return True
        self.put(Event(0, 0, Kind.CONSOLE, value=asked.id, note=f"APIC ID {asked.id:#x}: {one.value}", facts=_ERROR))
        if waking and self.system.failure == "panic":
            self.put(Event(0, 0, Kind.CONSOLE, note="panic: a processor did not start", facts={"level": "panic"}))
            return False
        return True

    def _arrive(self, ids: tuple[int, ...]) -> None:
        # The processors that have landed carry the wake routine out, and tell that they live.
        for one in self.landed:
            apic = ids[one.agent]
            base = self.kernel.base or 0
            if self.system.trampoline.fills == "after":
                self.put(Event(0, 0, Kind.ROUTINE, value=data_of(self.kernel, apic), note="fill", target=apic))
            for touch in self.system.trampoline.touches:
                where = base + touch.at
                if self._faults(one, touch, where) or self._upset(one):
                    return
                self.put(
                    Event(0, one.agent, Kind.ROUTINE, value=where, width=touch.width, note=touch.what, target=apic)
                )
                if touch.what == "cr3" and self._lacks_nxe(one):
                    return
            joined = base + joins(self.system.trampoline, one.value - base)
            self.put(Event(0, one.agent, Kind.ROUTINE, value=joined, note="join", target=apic))
            if apic not in self.kernel.situation.host.mute:
                self.put(Event(0, one.agent, Kind.ALIVE, value=apic, note="counted"))
                if self.system.trampoline.freed == "alive":
                    self.put(Event(0, 0, Kind.FREE, value=base, note="trampoline", target=apic))
        self.landed.clear()

    def _faults(self, landing: Event, touch: Touch, where: int) -> bool:
        """Tell of a page fault where the routine touches what firmware has not mapped; nobody handles it."""
        mapped = self.kernel.situation.host.mapped
        if mapped is None:
            return False
        first = landing.value // PAGE - mapped
        pages = range(where // PAGE, (where + touch.width - 1) // PAGE + 1)
        bad = next((page for page in pages if not first <= page <= first + 2 * mapped), None)
        if bad is not None:
            self._fault(landing, max(where, bad * PAGE), _WRITE if touch.what in ("write", "push") else 0)
        return bad is not None

    def _upset(self, landing: Event) -> bool:
        """Tell of a fault where firmware has left something that the routine takes for granted."""
        host = self.kernel.situation.host
        left = {"cr0": host.cr0, "cr4": host.cr4, "direction": host.direction, "levels": host.levels == FIVE}
        upset = any(left[one] for one in self.system.trampoline.trusts)
        if upset:
            self._fault(landing, landing.value, 0)
        return upset

    def _lacks_nxe(self, landing: Event) -> bool:
        """Tell of a page fault where page tables need EFER.NXE that nobody has set."""
        faults = not (self.kernel.situation.host.nxe or self.system.trampoline.nxe)
        if faults:
            self._fault(landing, landing.value, _PRESENT | _RESERVED)
        return faults

    def _fault(self, landing: Event, address: int, error: int) -> None:
        facts = {"rip": landing.value, "error": error}
        self.put(Event(0, landing.agent, Kind.FAULT, value=address, note="page fault", facts=facts))
        self.faulted = True


# Error code of a page fault (Intel SDM volume 3, Interrupt 14).
_PRESENT, _WRITE, _RESERVED = 1, 2, 8
FIVE = 5
_ERROR = {"level": "error"}
BUSY = -16
Simulate = Callable[[Kernel, list[Ask], frozenset[int], bytes], Trace]


def run(system: System, boot: Boot, carry_out: Simulate) -> Trace:
    """Boot the operating system, and do what the situation asks; return everything that was seen.

    ``carry_out`` carries requests out against the processors that are not parked any more and a page.
    """
    boot = settled(boot, system) or boot
    tables = boot.tables
    madt = tables.madt.data if tables.madt else b""
    situation = boot.situation
    page, gone = bytes(4) + b"\xff" * 4 + bytes(PAGE - 8), frozenset[int]()
    before, events, actions, number, leaves = page, list[Event](), list(situation.actions), 1, ""
    while True:
        kernel = Kernel(system, tables, boot, madt, number, crashed=leaves == "crash")
        leaves = plan(kernel, actions)
        trace = _merged(kernel, carry_out(kernel, [one for one in kernel.items if isinstance(one, Ask)], gone, page))
        offset = events[-1].time if events else 0
        events += [one.later(offset) for one in trace.events] if offset else trace.events
        page, end = trace.after, trace.end + offset
        if not leaves or trace.stuck or trace.spent or not _left(trace):
            break
        back = {one.value for one in trace.of(Kind.RESET)}
        gone = frozenset((gone | {trace.ids[one.agent] for one in trace.of(Kind.LANDING)}) - back)
        if leaves == "kexec" and system.kexec.tree == "erased" and not madt:
            tables = attrs.evolve(tables, fdt=None)
        madt, number = kernel.madt, number + 1
    needed = regions(agent((*situation.loops, situation.loop)[0]).agent.environment)
    return attrs.evolve(trace, events=tuple(events), before=before, end=end, regions=needed)


def _left(trace: Trace) -> bool:
    return any(one.kind is Kind.KERNEL and one.note == "leaves" for one in trace.events)


def _merged(kernel: Kernel, trace: Trace) -> Trace:
    merge = Merge(kernel.system, kernel, list(kernel.items))
    whole = True
    for one in trace.events:
        whole = merge.seen(one, trace.ids)
        if not whole:
            break
    if whole and not trace.stuck and not trace.spent:
        merge.time = trace.end
        merge.until_ask()
    return attrs.evolve(trace, events=tuple(merge.events))


SEEDS = 2


def booted(sender: Program, system: System, boot: Boot, schedule: Schedule) -> Trace:
    """Boot an operating system into a situation under one schedule."""
    return run(system, boot, _simulator(sender, boot, schedule))


def boots(sender: Program, system: System, boot: Boot, seed: int = 0) -> Iterator[Trace]:
    """Boot an operating system into a situation, under every memory model with several schedules.

    There is no trace of one that does not run in it.
    """
    if settled(boot, system) is None:
        return
    for number in range(len(MEMORIES) * SEEDS):
        drawn = (seed * len(MEMORIES) * SEEDS + number) % (1 << 64)
        yield booted(sender, system, boot, Schedule(MEMORIES[number // SEEDS], drawn))


def _simulator(sender: Program, boot: Boot, schedule: Schedule) -> Simulate:
    situation = boot.situation
    ids = (situation.boot_id, *situation.ids)

    def carry_out(kernel: Kernel, asked: list[Ask], gone: frozenset[int], page: bytes) -> Trace:
        if not asked:
            return Trace(ids, (), page, page, 0, schedule.memory)
        there = kernel.mailbox is not None and kernel.mailbox.address == situation.mailbox
        loops = situation.loops or [situation.loop] * len(situation.ids)
        parked = [there and apic not in gone for apic in situation.ids]
        programs = [agent(loop) if polls else agent("ap-dead") for loop, polls in zip(loops, parked, strict=True)]
        return simulate(
            Simulation(
                programs=(sender, *programs),
                ids=ids,
                requests=tuple((one.op, one.id, one.vector) for one in asked),
                memory=schedule.memory,
                seed=schedule.seed,
                page=page,
            )
        )

    return carry_out
