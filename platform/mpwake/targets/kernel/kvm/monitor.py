"""The monitor, in a process of its own: processors as threads, firmware's side, and a line for all that is seen.

``python -m mpwake.targets.kernel.kvm.monitor JSON`` runs until it is killed. JSON is a ``Question``; the answer goes to
the pipe that it names, as JSON lists, one to a line.
"""

from __future__ import annotations

import functools
import json
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel.kvm import abi, cpuid, state
from mpwake.targets.kernel.kvm.device import Kvm, Vcpu, Vm
from mpwake.targets.kernel.kvm.ports import Ports
from mpwake.targets.kernel.layout import BOOT, PAGE, POOL_PAGES, POOLS, RAM, REGISTERS, ROM_START, TELL
from mpwake.targets.kernel.recording import Entry, Parking

RETURNED = TELL + REGISTERS + 0x18
WAKEUP, TEST = 1, 2
MAX_LINE = 1 << 16
# How often a parked processor looks whether it was sent an INIT, and how often what is counted is told.
_LOOKS, _TELLS = 0.02, 0.25


@attrs.frozen
class Question:
    """What the monitor is asked to run. Descriptors are of memory that it inherits, ``told`` of the pipe.

    ``pages`` are descriptor, address, whether accesses are told, and a second address or 0; ``parked`` the processors
    beside the one that boots. ``mailbox`` is where they poll, or 0; ``port`` one at which accesses are told.
    """

    told: int
    ram: int
    pages: list[tuple[int, int, bool, int]]
    boot_id: int
    parked: dict[int, Parking]
    mailbox: int
    x2apic: bool
    rom: int = -1
    port: int = -1

    def encode(self) -> str:
        """Return it as JSON."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def decode(cls, text: str) -> Question:
        """Return what ``encode`` returned."""
        given: dict[str, Any] = json.loads(text)
        parked = {int(apic): _parking(one) for apic, one in given.pop("parked").items()}
        return cls(parked=parked, **given)


def _parking(given: dict[str, Any]) -> Parking:
    return Parking(entry=Entry(**given.pop("entry")), **given)


class Teller:
    """Writes what is seen, in its order; equal loads in a row are one, with their number."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.start = time.monotonic()
        self._load: tuple[str | int, ...] = ()
        self._times = self._at = 0
        self._since = 0.0
        self._console = bytearray()

    def tell(self, *what: str | int) -> None:
        """Write a line."""
        self.flush()
        self._write(what)

    def _write(self, line: Sequence[str | int]) -> None:
        os.write(self.file, json.dumps(line).encode() + b"\n")

    def hundredths(self) -> int:
        """Return the time since the kernel was entered."""
        return int((time.monotonic() - self.start) * 100)

    def flush(self) -> None:
        """Write what was only counted so far."""
        if self._load:
            self._write((*self._load, self._times, self._at))
            self._load = ()

    def access(self, what: str, apic_id: int, page: int, offset: int, width: int, value: int) -> None:
        """Tell a load or a store, or what firmware does."""
        key = (what, apic_id, page, offset, width, value)
        if what != "load":
            self.tell(*key, 1, self.hundredths())
        elif self._load == key:
            self._times += 1
            if time.monotonic() - self._since > _TELLS:
                self.flush()
        else:
            self.flush()
            self._load, self._times, self._at = key, 1, self.hundredths()
            self._since = time.monotonic()

    def character(self, value: int) -> None:
        """Take a byte of the console, and tell a line of it."""
        self._console.append(value)
        if value == 0x0A or len(self._console) >= MAX_LINE:
            self.tell("line", self._console.decode("utf-8", "replace").strip("\r\n"), self.hundredths())
            self._console.clear()


@attrs.frozen
class Page:
    """A page outside of RAM whose accesses are answered here."""

    address: int
    memory: mmap.mmap


class Monitor:
    """A machine: memory, pages, ports, and a thread for each processor. One lock orders what is seen."""

    def __init__(self, question: Question, processor: type[Processor]) -> None:
        self.question = question
        self.changed = threading.Condition()
        self.teller = Teller(question.told)
        self.ended = threading.Event()
        self.ram = mmap.mmap(question.ram, 0)
        self.pages: dict[int, Page] = {}
        self.ports = Ports(self.teller.character, self.end)
        self.kvm = Kvm()
        self.vm = Vm(self.kvm, question.x2apic)
        self.vm.add_memory(0, self.ram)
        for file, address, traced, alias in question.pages:
            memory = mmap.mmap(file, PAGE)
            if traced:
                self.pages[address] = Page(address, memory)
            if not traced or alias:
                self.vm.add_memory((alias or address) & ~(PAGE - 1), memory)
        if question.rom >= 0:
            rom = mmap.mmap(question.rom, 0)
            self.ram[ROM_START : ROM_START + len(rom)] = rom[:]
        state.split(self.ram, [address for _, address, _, _ in question.pages])
        self.ram[state.GDT : state.GDT + len(state.GDT_DATA)] = state.GDT_DATA
        ids = (question.boot_id, *question.parked)
        machine = cpuid.Machine(ids, question.x2apic)
        supported = self.kvm.cpuid()
        vcpus = [Vcpu(self.vm, one, cpuid.entries(supported, machine, one)) for one in ids]
        pools = range(POOLS, RAM, POOL_PAGES * PAGE)
        self.cpus = [processor(self, vcpu, pool) for vcpu, pool in zip(vcpus, pools, strict=False)]

    def start(self) -> None:
        """Run the machine from the entry that firmware's boot block names."""
        for one in self.cpus[1:]:
            threading.Thread(target=one.work, args=(one.park,), daemon=True).start()
        entry, zero_page = struct.unpack_from("<QQ", self.ram, BOOT + 8)
        self.teller.start = time.monotonic()
        self.tell("boots")
        first = self.cpus[0]
        first.enter(entry, Entry(nxe=False, junk=False), zero_page)
        threading.Thread(target=first.work, args=(first.run,), daemon=True).start()

    def tell(self, *what: str | int) -> None:
        """Tell something between accesses."""
        with self.changed:
            self.teller.tell(*what)

    def end(self, why: str) -> None:
        """Tell the end of the machine."""
        if not self.ended.is_set():
            self.teller.tell("end", why)
            self.ended.set()

    def access(self, apic_id: int, address: int, width: int, value: int | None) -> int:
        """Answer a load (``value`` is ``None``) or take a store, outside of memory."""
        page = self.pages.get(address & ~(PAGE - 1))
        offset = address % PAGE
        with self.changed:
            if page is None or offset + width > PAGE:
                return (1 << 8 * width) - 1
            if value is not None:
                page.memory[offset : offset + width] = value.to_bytes(width, "little")
                if page.address != TELL:
                    self.teller.access("store", apic_id, page.address, offset, width, value)
                self.changed.notify_all()
                return 0
            found = int.from_bytes(page.memory[offset : offset + width], "little")
            if page.address != TELL:
                self.teller.access("load", apic_id, page.address, offset, width, found)
            return found

    def polled(self) -> tuple[int, int, int]:
        """Return command, APIC ID and vector, zeros where nobody polls."""
        if not self.question.mailbox:
            return 0, 0, 0
        page = self.pages[self.question.mailbox & ~(PAGE - 1)]
        found: tuple[int, int, int] = struct.unpack_from("<HxxIQ", page.memory, self.question.mailbox % PAGE)
        return found

    def acknowledge(self, apic_id: int) -> None:
        """Make the command 0, as a parked processor does."""
        self.access(apic_id, self.question.mailbox, 2, 0)


# One thing after the other that a processor does: each returns the next, or nothing where it rests for ever.
Step = Callable[[], "Step | None"]


class Processor:
    """A processor and its thread: it is parked here, and runs what it is handed over to in KVM."""

    def __init__(self, monitor: Monitor, vcpu: Vcpu, pool: int) -> None:
        self.monitor, self.vcpu, self.pool = monitor, vcpu, pool
        self.apic_id = vcpu.apic_id
        self.parking = monitor.question.parked.get(self.apic_id, Parking(takes="never"))

    def work(self, step: Step | None) -> None:
        """Carry out one step after the other until the machine ends."""
        try:
            while step and not self.monitor.ended.is_set():
                step = step()
        except OSError as error:
            self.broken(f"an ioctl failed: {error.strerror}")
        except Exception as error:
            self.broken(f"the monitor failed: {error!r}")

    def broken(self, why: str) -> None:
        """Tell that the machine cannot go on, which says nothing of what runs on it."""
        with self.monitor.changed:
            self.monitor.teller.tell("broken", f"processor {self.apic_id:#x}: {why}")
            self.monitor.ended.set()

    # Parked

    def enter(self, rip: int, entry: Entry, rsi: int | None = None) -> None:
        """Put it at an address in a state."""
        root = state.root_of(entry, rip, self.monitor.ram, self.pool)
        sregs = state.system(self.vcpu.sregs(), entry, root, self.monitor.question.x2apic)
        regs = state.general(rip, entry)
        if rsi is not None:
            regs.rsi = rsi
        self.vcpu.forget_events()
        self.vcpu.set(regs, sregs)

    def park(self) -> Step | None:
        """Wait for a command or a start-up; return what comes next."""
        monitor = self.monitor
        self.enter(BOOT, Entry())
        while not monitor.ended.is_set():
            with monitor.changed:
                monitor.changed.wait(_LOOKS)
                vector = self._addressed()
            if vector is not None:
                return functools.partial(self.hand_over, vector)
            # An INIT takes it away from where it is parked, and so does a start-up that has come behind one already.
            if self.vcpu.mp_state() != abi.RUNNABLE or self.vcpu.regs().rip != BOOT:
                return self.wait_for_start_up
        return None

    def _addressed(self) -> int | None:
        """Answer a Test, or take a Wakeup and return its vector, as is declared."""
        command, target, vector = self.monitor.polled()
        parking, own = self.parking, target == self.apic_id
        if command == TEST and own and parking.tests:
            self.monitor.acknowledge(self.apic_id)
        if command != WAKEUP or parking.takes not in ("any", "own" if own else "any"):
            return None
        if parking.acknowledges and not parking.before:
            self.monitor.acknowledge(self.apic_id)
        return vector

    def hand_over(self, vector: int) -> Step | None:
        """Acknowledge late and jump, or what else is declared; return what comes next."""
        if self.parking.before:
            time.sleep(self.parking.before / 1000)
            if self.parking.acknowledges:
                self.monitor.acknowledge(self.apic_id)
        time.sleep(self.parking.after / 1000)
        if not self.parking.starts:
            return None
        self.enter(vector, self.parking.entry)
        with self.monitor.changed:
            self.monitor.teller.access("jump", self.apic_id, TELL, 0, 0, vector)
        return self.run

    def wait_for_start_up(self) -> Step | None:
        """Wait, once an INIT came, for the start-up after it; return what comes next."""
        while not self.monitor.ended.is_set():
            if self.vcpu.mp_state() == abi.RUNNABLE:
                return self.run
            time.sleep(_LOOKS / 4)
        return None

    # Running

    def run(self) -> Step | None:
        """Run until something is to be answered; return what comes next."""
        reason = self.vcpu.run()
        area = self.vcpu.area
        if reason == abi.EXIT_MMIO:
            address, data, width, is_write = struct.unpack_from("<Q8sIB", area, abi.EXIT)
            return self._memory(address, int.from_bytes(data[:width], "little"), width, bool(is_write))
        if reason == abi.EXIT_IO:
            self._port(*struct.unpack_from("<BBHIQ", area, abi.EXIT))
        elif reason == abi.EXIT_SHUTDOWN:
            self._triple_fault()
        elif reason == abi.EXIT_SYSTEM_EVENT:
            with self.monitor.changed:
                self.monitor.end("reset")
        elif reason not in abi.EXITS_OF_NOTHING:
            self.unanswered(reason)
        return self.run

    def unanswered(self, reason: int) -> None:
        """Take an exit after which there is no going on."""
        self.broken(self._reason(reason))

    def _memory(self, address: int, value: int, width: int, is_write: bool) -> Step | None:
        if address == RETURNED and is_write:
            return self.come_back
        found = self.monitor.access(self.apic_id, address, width, value if is_write else None)
        if not is_write:
            self.vcpu.area[abi.EXIT + 8 : abi.EXIT + 8 + width] = found.to_bytes(width, "little")
        return self.run

    def come_back(self) -> Step | None:
        """Take a processor that jumped to ResetVector."""
        self.vcpu.settle()
        with self.monitor.changed:
            self.monitor.teller.access("reset", self.apic_id, TELL, 0, 0, 0)
        return self.park if self.parking.returns else None

    def _port(self, out: int, size: int, port: int, count: int, offset: int) -> None:
        for at in range(offset, offset + size * count, size):
            with self.monitor.changed:
                if out:
                    value = int.from_bytes(self.vcpu.area[at : at + size], "little")
                    if port == self.monitor.question.port:
                        self.monitor.teller.tell("port", value)
                    self.monitor.ports.write(port, size, value)
                else:
                    found = self.monitor.ports.read(port, size)
                    self.vcpu.area[at : at + size] = found.to_bytes(size, "little")

    def _triple_fault(self) -> None:
        regs, sregs = self.vcpu.regs(), self.vcpu.sregs()
        with self.monitor.changed:
            self.monitor.teller.tell("fault", self.apic_id, regs.rip, sregs.cr2, sregs.cr3, sregs.cr4)
            self.monitor.end("reset")

    def _reason(self, reason: int) -> str:
        rip = self.vcpu.regs().rip
        if reason == abi.EXIT_INTERNAL_ERROR:
            suberror, count = struct.unpack_from("<II", self.vcpu.area, abi.EXIT)
            data = struct.unpack_from(f"<{min(count, 16)}Q", self.vcpu.area, abi.EXIT + 8)
            return f"KVM_EXIT_INTERNAL_ERROR {suberror} at {rip:#x}: {' '.join(f'{one:#x}' for one in data)}"
        if reason == abi.EXIT_FAIL_ENTRY:
            (why,) = struct.unpack_from("<Q", self.vcpu.area, abi.EXIT)
            return f"KVM_EXIT_FAIL_ENTRY with {why:#x} at {rip:#x}"
        return f"exit {reason} at {rip:#x}, which this monitor has no answer to"


def main(processor: type[Processor] = Processor) -> None:
    """Run what is asked for, with processors of a class."""
    question = Question.decode(sys.argv[1])
    try:
        monitor = Monitor(question, processor)
        monitor.start()
    except (OSError, ToolError) as error:
        Teller(question.told).tell("broken", str(error))
        return
    monitor.ended.wait()
    with monitor.changed:
        os._exit(0)


if __name__ == "__main__":
    main()
