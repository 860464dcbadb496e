"""The monitor for KVM without KVM: what is passed to the kernel, states, ports, firmware's side, and what is told."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from mpwake.checks import guest, selection, trampoline
from mpwake.checks.core import Unjudged
from mpwake.evidence.behaviour import Behaviour
from mpwake.spec.errors import ToolError
from mpwake.spec.requirements import Role
from mpwake.targets.kernel import faults
from mpwake.targets.kernel import open as open_module
from mpwake.targets.kernel.acpi import PM_BASE
from mpwake.targets.kernel.evidence import trace_of
from mpwake.targets.kernel.image import Image
from mpwake.targets.kernel.kvm import abi, cpuid, device, monitor, probe, run, state
from mpwake.targets.kernel.kvm.collect import Collector
from mpwake.targets.kernel.kvm.ports import Ports
from mpwake.targets.kernel.layout import BOOT, PAGE, POOLS, RAM, TELL
from mpwake.targets.kernel.observe import MAX_SEEN
from mpwake.targets.kernel.probe import EXPECTED
from mpwake.targets.kernel.recording import Entry, Fault, Machine, NotRealisable, Parking, Recording
from mpwake.targets.kernel.situate import trial
from support.kernel import machine

MAILBOX = 0x7F5E5000
VECTOR = 0x9A000

# Linux 6.1 on x86-64, by a C compiler.
SIZES = {
    abi.Regs: 144,
    abi.Segment: 24,
    abi.Table: 16,
    abi.Sregs: 312,
    abi.MemoryRegion: 32,
    abi.CpuidEntry: 40,
    abi.EnableCap: 104,
    abi.PitConfig: 64,
    abi.MpState: 4,
    abi.Lapic: 1024,
    abi.Events: 64,
}
NUMBERS = {
    "GET_API_VERSION": 0xAE00,
    "CREATE_VM": 0xAE01,
    "CHECK_EXTENSION": 0xAE03,
    "GET_VCPU_MMAP_SIZE": 0xAE04,
    "GET_SUPPORTED_CPUID": 0xC008AE05,
    "CREATE_VCPU": 0xAE41,
    "SET_USER_MEMORY_REGION": 0x4020AE46,
    "SET_TSS_ADDR": 0xAE47,
    "SET_IDENTITY_MAP_ADDR": 0x4008AE48,
    "CREATE_IRQCHIP": 0xAE60,
    "CREATE_PIT2": 0x4040AE77,
    "RUN": 0xAE80,
    "GET_REGS": 0x8090AE81,
    "SET_REGS": 0x4090AE82,
    "GET_SREGS": 0x8138AE83,
    "SET_SREGS": 0x4138AE84,
    "GET_LAPIC": 0x8400AE8E,
    "SET_LAPIC": 0x4400AE8F,
    "SET_CPUID2": 0x4008AE90,
    "GET_MP_STATE": 0x8004AE98,
    "SET_MP_STATE": 0x4004AE99,
    "GET_VCPU_EVENTS": 0x8040AE9F,
    "SET_VCPU_EVENTS": 0x4040AEA0,
    "ENABLE_CAP": 0x4068AEA3,
}


@pytest.mark.parametrize("kind", SIZES, ids=lambda kind: kind.__name__)
def test_structures_have_the_size_that_the_kernel_counts(kind: type[ctypes.Structure]) -> None:
    assert ctypes.sizeof(kind) == SIZES[kind]


@pytest.mark.parametrize("name", NUMBERS)
def test_requests_have_the_numbers_of_the_kernel(name: str) -> None:
    assert getattr(abi, name) == NUMBERS[name]


# CPUID

SUPPORTED = [
    abi.CpuidEntry(1, 0, 0, 0xC06F2, 0x55AA0800, cpuid.X2APIC | 1, 0),
    abi.CpuidEntry(4, 0, 1, 0xFC004121, 0, 0, 0),
    abi.CpuidEntry(7, 0, 1, 0, 0, 1 << 16, 0),
    abi.CpuidEntry(0xB, 0, 1, 1, 2, 0x100, 9),
    abi.CpuidEntry(0x1F, 0, 1, 1, 2, 0x100, 9),
    abi.CpuidEntry(0x40000001, 0, 0, 1 << 15 | 1, 0, 0, 0),
]


def leaves(ids: tuple[int, ...], x2apic: bool, apic_id: int) -> dict[tuple[int, int], abi.CpuidEntry]:
    found = cpuid.entries(SUPPORTED, cpuid.Machine(ids, x2apic), apic_id)
    return {(one.function, one.index): one for one in found}


def test_a_processor_says_its_own_id_and_the_topology() -> None:
    found = leaves((0, 1, 4, 0x1FF), True, 0x1FF)
    assert found[1, 0].ebx == 0xFF040800
    assert found[1, 0].ecx & cpuid.X2APIC and found[1, 0].ecx & cpuid.HYPERVISOR
    assert found[1, 0].edx & cpuid.HYPER_THREADING
    assert found[4, 0].eax == 0x121
    assert [found[0xB, index].edx for index in (0, 1, 2)] == [0x1FF] * 3
    assert (found[0xB, 1].eax, found[0xB, 1].ebx) == (9, 4)
    assert (0x1F, 0) not in found
    assert found[0x40000001, 0].eax == 1 << 15 | 1


def test_a_machine_with_small_ids_has_no_x2apic_mode() -> None:
    found = leaves((0, 1), False, 1)
    assert not found[1, 0].ecx & cpuid.X2APIC
    assert found[0x40000001, 0].eax == 1
    assert SUPPORTED[0].ecx & cpuid.X2APIC, "what KVM supports is not changed"


# The state at the vector


@pytest.fixture(scope="module")
def ram() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, RAM) as memory:
        yield memory


@pytest.mark.parametrize("la57", [False, True])
def test_the_pages_around_the_vector_are_mapped_and_no_other(la57: bool, ram: mmap.mmap) -> None:
    root = state.root_of(Entry(mapped=2, la57=la57), VECTOR + 0x123, ram, POOLS)
    mark = b"\xf4" * 16
    for page in range(-4, 5):
        at = VECTOR + page * PAGE
        ram[at : at + 16] = mark if abs(page) <= 2 else bytes(16)
        found = faults.code_at(at, root, la57, lambda at, size: ram[at : at + size])
        assert found == (mark if abs(page) <= 2 else b"")


def test_without_a_limit_the_page_tables_are_those_of_all_processors(ram: mmap.mmap) -> None:
    assert state.root_of(Entry(), VECTOR, ram, POOLS) == BOOT + 0x2000
    assert state.root_of(Entry(la57=True), VECTOR, ram, POOLS) == BOOT + 0x1000


def test_memory_is_mapped_without_pages_of_a_gibibyte(ram: mmap.mmap) -> None:
    ram[state.PML4 : state.PML4 + 8] = struct.pack("<Q", state.PDPT | 3)
    ram[state.PDPT : state.PDPT + PAGE] = bytes(PAGE)
    state.split(ram, [MAILBOX, 5 << 30])
    ram[0x123450:0x123460] = b"0123456789abcdef"
    assert faults.code_at(0x123450, state.PML4, False, lambda at, size: ram[at : at + size]) == b"0123456789abcdef"
    mapped = [one & 1 for one in struct.unpack_from("<8Q", ram, state.PDPT)]
    assert mapped == [1, 1, 1, 1, 0, 1, 0, 0]


def test_a_state_is_as_it_is_declared() -> None:
    entry = Entry(nxe=False, la57=True, cr0=8, cr4=0x600, junk=True, direction=True)
    sregs = state.system(abi.Sregs(apic_base=0xFEE00900), entry, 0x5000, True)
    assert (sregs.cr0, sregs.cr3, sregs.cr4) == (0x80010019, 0x5000, 0x1620)
    assert sregs.efer == 0x500
    assert sregs.apic_base == 0xFEE00D00
    assert (sregs.cs.l, sregs.cs.db, sregs.ss.l) == (1, 0, 0)
    regs = state.general(VECTOR, entry)
    assert (regs.rip, regs.rax, regs.rflags) == (VECTOR, VECTOR, 0x402)
    assert regs.rsp == regs.r15 == 0xA5A5A5A5A5A5A5A5
    plain = state.general(VECTOR, Entry(junk=False))
    assert (plain.rsp, plain.rflags) == (0, 2)
    assert state.system(abi.Sregs(), Entry(), 0, False).efer == 0xD00


# Ports


class Devices:
    def __init__(self) -> None:
        self.text = bytearray()
        self.ends: list[str] = []
        self.ports = Ports(self.text.append, self.ends.append)


def test_the_serial_port_is_one_that_linux_finds() -> None:
    one = Devices()
    one.ports.write(0x3FB, 1, 0x80)
    one.ports.write(0x3F8, 1, 1)  # the divisor is no text
    one.ports.write(0x3F9, 1, 0)
    one.ports.write(0x3FB, 1, 3)
    for character in b"text\n":
        assert one.ports.read(0x3FD, 1) & 0x20
        one.ports.write(0x3F8, 1, character)
    assert one.text == b"text\n"
    one.ports.write(0x3FF, 1, 0x5A)
    assert one.ports.read(0x3FF, 1) == 0x5A
    one.ports.write(0x3F9, 1, 0xF)
    assert one.ports.read(0x3F9, 1) == 0xF
    assert one.ports.read(0x3FA, 1) & 1
    assert one.ports.read(0x3F8, 1) == 0
    assert one.ports.read(0x3FE, 1) == 0xB0
    one.ports.write(0x3FC, 1, 0x1A)
    assert one.ports.read(0x3FE, 1) & 0xF0 == 0x90


@pytest.mark.parametrize(
    ("port", "size", "value", "end"),
    [(PM_BASE + 4, 2, 1 << 13, "off"), (0x64, 1, 0xFE, "reset"), (0xCF9, 1, 6, "reset"), (0x80, 1, 6, "")],
)
def test_a_machine_ends_itself_by_these_ports(port: int, size: int, value: int, end: str) -> None:
    one = Devices()
    one.ports.write(port, size, value)
    assert one.ends == ([end] if end else [])


def test_the_other_devices_are_a_clock_and_power_management() -> None:
    one = Devices()
    one.ports.write(0x70, 1, 0x8A)
    assert one.ports.read(0x71, 1) == 0x26
    first = one.ports.read(PM_BASE + 8, 4)
    time.sleep(0.01)
    assert 0 < one.ports.read(PM_BASE + 8, 4) - first & 0xFFFFFF < 3579545
    assert one.ports.read(PM_BASE + 4, 2) == 1
    assert one.ports.read(PM_BASE, 2) == 0
    assert one.ports.read(0xCFC, 4) == 0xFFFFFFFF


# Firmware's side, with processors that KVM does not run

Starter = Callable[..., tuple[monitor.Monitor, "Fake", list[list[object]]]]


@attrs.define
class Fake:
    """A machine whose processors do what a test says; ``exits`` are theirs by APIC ID, carried out one by one."""

    exits: dict[int, list[Callable[[FakeCpu], int]]] = attrs.Factory(dict)
    mp_states: dict[int, int] = attrs.Factory(dict)
    entered: list[tuple[int, int]] = attrs.Factory(list)
    done: list[tuple[int, str]] = attrs.Factory(list)


class FakeCpu:
    def __init__(self, fake: Fake, apic_id: int) -> None:
        self.fake, self.apic_id = fake, apic_id
        self.area = bytearray(PAGE)
        self.state = abi.Regs()
        self.system = abi.Sregs()

    def run(self) -> int:
        left = self.fake.exits.get(self.apic_id, [])
        if not left:
            time.sleep(0.01)
            return abi.EXITS_OF_NOTHING[0]
        return left.pop(0)(self)

    def settle(self) -> None:
        self.fake.done.append((self.apic_id, "settle"))

    def regs(self) -> abi.Regs:
        return self.state

    def sregs(self) -> abi.Sregs:
        return self.system

    def set(self, regs: abi.Regs, sregs: abi.Sregs) -> None:
        self.state, self.system = regs, sregs
        self.fake.entered.append((self.apic_id, regs.rip))

    def mp_state(self) -> int:
        self.fake.done.append((self.apic_id, "looked"))
        return self.fake.mp_states.get(self.apic_id, abi.RUNNABLE)

    def forget_events(self) -> None:
        self.fake.done.append((self.apic_id, "forget"))


def memory_exit(address: int, width: int, value: int | None = None) -> Callable[[FakeCpu], int]:
    def leave(cpu: FakeCpu) -> int:
        data = (value or 0).to_bytes(8, "little")
        struct.pack_into("<Q8sIB", cpu.area, abi.EXIT, address, data, width, value is not None)
        return abi.EXIT_MMIO

    return leave


def port_exit(port: int, value: int | None = None) -> Callable[[FakeCpu], int]:
    def leave(cpu: FakeCpu) -> int:
        struct.pack_into("<BBHIQ", cpu.area, abi.EXIT, value is not None, 1, port, 1, 0x800)
        cpu.area[0x800] = value or 0
        return abi.EXIT_IO

    return leave


def error_exit(reason: int, form: str, *values: int) -> Callable[[FakeCpu], int]:
    def leave(cpu: FakeCpu) -> int:
        struct.pack_into(form, cpu.area, abi.EXIT, *values)
        return reason

    return leave


def command(value: int, target: int = 1, vector: int = VECTOR) -> list[Callable[[FakeCpu], int]]:
    return [
        memory_exit(MAILBOX + 4, 4, target),
        memory_exit(MAILBOX + 8, 8, vector),
        memory_exit(MAILBOX, 2, value),
    ]


@pytest.fixture
def running(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., tuple[monitor.Monitor, Fake, list[list[object]]]]]:
    files: list[int] = []
    monitors: list[monitor.Monitor] = []

    class FakeVm:
        def __init__(self, *_: object) -> None: ...

        def add_memory(self, *_: object) -> None: ...

    class FakeKvm:
        def cpuid(self) -> list[abi.CpuidEntry]:
            return SUPPORTED

    def memory(size: int) -> int:
        files.append(os.memfd_create("test"))
        os.ftruncate(files[-1], size)
        return files[-1]

    def start(fake: Fake, **parked: Parking) -> tuple[monitor.Monitor, Fake, list[list[object]]]:
        told: list[list[object]] = []
        monkeypatch.setattr(monitor, "Kvm", FakeKvm)
        monkeypatch.setattr(monitor, "Vm", FakeVm)
        monkeypatch.setattr(monitor, "Vcpu", lambda _vm, apic, _cpuid: FakeCpu(fake, apic))
        monkeypatch.setattr(monitor.Teller, "_write", lambda _, line: told.append(json.loads(json.dumps(line))))
        pages = [(memory(PAGE), TELL, True, 0), (memory(PAGE), MAILBOX, True, 0xE0010000)]
        given = {int(name[1:]): one for name, one in parked.items()}
        question = monitor.Question(-1, memory(RAM), pages, 0, given or {1: Parking()}, MAILBOX, False, port=0xE9)
        one = monitor.Monitor(monitor.Question.decode(question.encode()), monitor.Processor)
        struct.pack_into("<QQ", one.ram, BOOT + 8, 0x1000200, 0x5000)
        monitors.append(one)
        one.start()
        return one, fake, told

    yield start
    for one in monitors:
        one.ended.set()
    for thread in threading.enumerate():
        if thread.daemon and "work" in thread.name:
            thread.join(5)
    for file in files:
        os.close(file)


def soon(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + 10
    while not holds() and time.monotonic() < limit:
        time.sleep(0.005)
    assert holds()


def until(told: list[list[object]], what: str, count: int = 1) -> list[list[object]]:
    """Wait for something to be told, and return all, without pages and times."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit and sum(one[0] == what for one in told) < count:
        time.sleep(0.005)
    found = [one[:2] + one[3:6] for one in told if one[0] in ("load", "store", "jump", "reset")]
    assert sum(one[0] == what for one in told) >= count, told
    return found


WAKEUP = [
    ["store", 0, 4, 4, 1],
    ["store", 0, 8, 8, VECTOR],
    ["store", 0, 0, 2, 1],
    ["store", 1, 0, 2, 0],
    ["jump", 1, 0, 0, VECTOR],
]


def test_a_processor_is_woken_comes_back_is_tested_and_woken_again(running: Starter) -> None:
    one, fake, told = running(Fake({0: command(1)}))
    assert until(told, "jump") == WAKEUP
    assert (0, 0x1000200) in fake.entered and (1, VECTOR) in fake.entered
    assert told[0] == ["boots"]
    fake.exits[1] = [memory_exit(monitor.RETURNED, 4, 1)]
    assert until(told, "reset")[-1] == ["reset", 1, 0, 0, 0]
    assert (1, "settle") in fake.done
    fake.exits[0] = [*command(2), memory_exit(MAILBOX, 2)]
    found = until(told, "store", 8)
    assert found[-1] == ["store", 1, 0, 2, 0] or ["store", 1, 0, 2, 0] in found[6:]
    fake.exits[0] = command(1)
    assert until(told, "jump", 2)[-2:] == WAKEUP[-2:]
    assert one.polled()[0] == 0


@pytest.mark.parametrize(
    ("parking", "told_of"),
    [
        (Parking(takes="never"), []),
        (Parking(acknowledges=False), [["jump", 1, 0, 0, VECTOR]]),
        (Parking(starts=False), [["store", 1, 0, 2, 0]]),
        (Parking(before=30, after=30), WAKEUP[3:]),
    ],
    ids=["never", "no acknowledgement", "no start", "late"],
)
def test_a_processor_does_what_is_declared(running: Starter, parking: Parking, told_of: list[list[object]]) -> None:
    _, _, told = running(Fake({0: command(1)}), _1=parking)
    soon(lambda: len(until(told, "store", 3)) >= 3 + len(told_of))
    time.sleep(0.1)
    assert until(told, "store", 3)[3:] == told_of


def test_one_that_takes_any_command_takes_that_of_another(running: Starter) -> None:
    _, _, told = running(Fake({0: command(1, target=1)}), _1=Parking(takes="never"), _2=Parking(takes="any"))
    assert until(told, "jump")[3:] == [["store", 2, 0, 2, 0], ["jump", 2, 0, 0, VECTOR]]


def test_one_that_does_not_answer_test_does_not(running: Starter) -> None:
    _, _, told = running(Fake({0: command(2)}), _1=Parking(tests=False))
    until(told, "store", 3)
    time.sleep(0.1)
    assert len(until(told, "store", 3)) == 3


def test_one_that_does_not_come_back_is_not_woken_again(running: Starter) -> None:
    _, fake, told = running(Fake({0: command(1)}), _1=Parking(returns=False))
    until(told, "jump")
    fake.exits[1] = [memory_exit(monitor.RETURNED, 4, 1)]
    until(told, "reset")
    fake.exits[0] = command(1)
    time.sleep(0.1)
    assert until(told, "store", 7)[-1] == ["store", 0, 0, 2, 1]


def test_a_processor_that_is_sent_an_init_polls_no_more_and_runs_after_the_start_up(running: Starter) -> None:
    fake = Fake(mp_states={1: abi.INIT_RECEIVED})
    _, fake, told = running(fake)
    soon(lambda: (1, "looked") in fake.done)
    fake.exits[0] = command(1)
    until(told, "store", 3)
    time.sleep(0.1)
    assert len(until(told, "store", 3)) == 3
    fake.exits[1] = [port_exit(0xE9, 0x55)]
    fake.mp_states[1] = abi.RUNNABLE
    until(told, "port")
    assert ["port", 0x55] in told


def test_a_processor_whose_start_up_comes_right_behind_the_init_runs(running: Starter) -> None:
    one, fake, told = running(Fake())
    soon(lambda: (1, BOOT) in fake.entered)
    fake.exits[1] = [port_exit(0xE9, 0x66)]
    one.cpus[1].vcpu.state.rip = 0
    until(told, "port")
    assert ["port", 0x66] in told
    assert (1, VECTOR) not in fake.entered


def test_loads_are_answered_and_counted(running: Starter) -> None:
    loads = [memory_exit(MAILBOX + 8, 8)] * 3
    answers: list[int] = []

    def look(cpu: FakeCpu) -> int:
        answers.append(int.from_bytes(cpu.area[abi.EXIT + 8 : abi.EXIT + 16], "little"))
        return abi.EXITS_OF_NOTHING[1]

    stored = memory_exit(MAILBOX + 8, 8, 0x1122334455667788)
    outside = [memory_exit(0xD0000000, 4), look, memory_exit(0xD0000000, 4, 1)]
    _, _, told = running(Fake({0: [stored, *loads, look, *outside, memory_exit(MAILBOX, 2, 0)]}))
    until(told, "store", 2)
    assert answers[0] == 0x1122334455667788
    assert answers[1] & 0xFFFFFFFF == 0xFFFFFFFF
    (load,) = [one for one in told if one[0] == "load"]
    assert load[5:7] == [0x1122334455667788, 3]


def test_the_console_and_ports_are_told(running: Starter) -> None:
    text = [port_exit(0x3F8, one) for one in b"a line\r\n"]
    _, _, told = running(Fake({0: [*text, port_exit(0x3FD), port_exit(0x64, 0xFE)]}))
    until(told, "end")
    assert [one[1] for one in told if one[0] == "line"] == ["a line"]
    assert told[-1] == ["end", "reset"]


ERRORS = {
    "emulation": (error_exit(17, "<II2Q", 1, 2, 0xCC, 5), "KVM_EXIT_INTERNAL_ERROR 1 at 0x1000200: 0xcc 0x5"),
    "entry": (error_exit(9, "<Q", 0x80000021), "KVM_EXIT_FAIL_ENTRY with 0x80000021"),
    "other": (error_exit(37, "<Q", 0), "exit 37 at 0x1000200"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_breaks_is_told_as_what_it_is(running: Starter, name: str) -> None:
    leave, words = ERRORS[name]
    _, _, told = running(Fake({0: [leave]}))
    until(told, "broken")
    assert str(told[-1][1]).startswith(f"processor 0x0: {words}")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(14, "Bad address"), "an ioctl failed: Bad address"),
        (ValueError("no"), "the monitor failed: ValueError('no')"),
    ],
)
def test_a_failure_of_the_monitor_itself_is_told(running: Starter, error: Exception, words: str) -> None:
    def fail(_: FakeCpu) -> int:
        raise error

    _, _, told = running(Fake({0: [fail]}))
    until(told, "broken")
    assert told[-1] == ["broken", f"processor 0x0: {words}"]


@pytest.mark.parametrize(("reason", "told_of"), [(abi.EXIT_SHUTDOWN, ["fault", "end"]), (24, ["end"])])
def test_a_machine_that_resets_itself_has_ended(running: Starter, reason: int, told_of: list[str]) -> None:
    _, _, told = running(Fake({0: [lambda _: reason]}))
    until(told, "end")
    assert [one[0] for one in told[1:]] == told_of
    assert told[-1] == ["end", "reset"]


# What is told, read


def collected(*lines: list[object], marks: tuple[str, ...] = (), seconds: float = 10.0) -> Collector:
    found = Collector(marks, seconds)
    data = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    for start in range(0, len(data), 7):
        found.feed(data[start : start + 7])
    return found


def test_equal_loads_are_one_however_they_are_told() -> None:
    load = ["load", 0, MAILBOX, 0, 2, 1]
    found = collected(["boots"], [*load, 5, 3], [*load, 2, 4], ["store", 1, MAILBOX, 0, 2, 0, 1, 5], [*load, 1, 6])
    assert found.booted
    assert [(one.what, one.times) for one in found.seen()] == [("load", 7), ("store", 1), ("load", 1)]


def test_a_mark_ends_a_run() -> None:
    found = collected(["line", "mpwake: done", 5], ["line", "more", 6], marks=("done",))
    assert found.end == "mark"
    assert [one.text for one in found.seen()] == ["mpwake: done"]


def test_the_budget_ends_a_run() -> None:
    assert collected(["line", "late", 1001]).end == "budget"
    assert collected(["line", "in time", 999]).end == ""


def test_too_much_ends_a_run_and_is_told() -> None:
    found = Collector((), 1.0)
    found.feed(b"".join(b'["line", "", 0]\n' for _ in range(MAX_SEEN + 10)))
    assert (found.end, found.crowded, len(found.seen())) == ("budget", True, MAX_SEEN)


@pytest.mark.parametrize(
    "line", [b"", b"text", b"[]", b'["what", 1]', b'["load", 0, 1]', b'["line"]', b'{"a": 1}', b"5"]
)
def test_what_the_monitor_does_not_write_is_refused(line: bytes) -> None:
    with pytest.raises(ToolError, match="cannot be read"):
        Collector((), 1.0).feed(line + b"\n")


# The probe

GOOD = [*range(1, 10), probe.DONE]


def probed(ports: list[int], end: str = "off", broken: str = "") -> Collector:
    found = collected(["boots"], *([["port", one] for one in ports]))
    if broken:
        found.feed(json.dumps(["broken", broken]).encode() + b"\n")
    else:
        found.feed(json.dumps(["end", end]).encode() + b"\n")
    return found


def test_a_kvm_that_carries_everything_out_is_trusted() -> None:
    probe.judge(probed(GOOD))
    probe.judge(probed([one for one in GOOD if one not in (4, 7)]))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (probed([1, 2, 3], broken="KVM_EXIT_INTERNAL_ERROR"), "cannot carry out FXRSTOR, .*KVM_EXIT_INTERNAL_ERROR"),
        (probed([1, 0x81]), "carries out SSE2 wrongly"),
        (probed([*range(1, 8)], "reset"), "cannot carry out SHLX"),
        (probed(GOOD, "reset"), "did not run the probe"),
        (probed([]), "did not run the probe"),
        (probed([], broken="KVM_EXIT_FAIL_ENTRY"), "KVM_EXIT_FAIL_ENTRY"),
        (probed([0x30]), "did not run the probe"),
    ],
)
def test_any_other_is_not(found: Collector, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        probe.judge(found)


@pytest.mark.parametrize("change", ["missing", "other", "more", "broken"])
def test_a_kvm_that_tells_other_accesses_is_not_trusted(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    accesses = [(*one[:4], 0x100020 if one[4] == -1 else one[4]) for one in EXPECTED]
    told: list[list[object]] = [[one[0], one[1], MAILBOX, one[2], one[3], one[4], 1, 0] for one in accesses]
    ends: list[object] = ["broken", "KVM_EXIT_FAIL_ENTRY"] if change == "broken" else ["end", "off"]
    monkeypatch.setattr(probe, "_run", lambda *_: collected(["boots"], *told, ends))
    if change == "missing":
        del told[5]
    elif change == "other":
        told[7][5] = 0
    elif change == "more":
        told.append(told[-1])
    with pytest.raises(ToolError, match=r"KVM does not tell what the probe did: access|FAIL_ENTRY"):
        probe.accesses()


# What is there, and what can be had


@pytest.mark.parametrize("name", ["missing", "a file"])
def test_without_kvm_the_reason_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kvm"
    if name == "a file":
        path.write_bytes(b"")
    monkeypatch.setattr(device, "DEVICE", str(path))
    with pytest.raises(ToolError, match=r"cannot be opened: No such file|is not KVM") as refused:
        device.Kvm()
    assert refused.value.hint == device.HINT


@pytest.mark.parametrize(
    ("version", "capability", "words"),
    [(11, 1, "speaks version 11"), (12, 0, r"lacks an interrupt controller .*KVM_CAP_IRQCHIP")],
)
def test_a_kvm_that_is_unfit_is_refused(
    version: int, capability: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kvm").write_bytes(b"")
    monkeypatch.setattr(device, "DEVICE", str(tmp_path / "kvm"))
    monkeypatch.setattr(
        device.fcntl, "ioctl", lambda _file, code, _value: version if code == abi.GET_API_VERSION else capability
    )
    with pytest.raises(ToolError, match=words):
        device.Kvm()


@pytest.mark.parametrize(
    ("processors", "ids", "words"),
    [
        ({0x12345: Parking()}, 0x1000, "none of 0x12345"),
        ({1: Parking(), 0x101: Parking()}, 0x1000, "equal in their lowest"),
        ({1: Parking(entry=Entry(la57=True))}, 0x1000, "five-level"),
    ],
)
def test_what_kvm_has_no_machine_for_is_said(processors: dict[int, Parking], ids: int, words: str) -> None:
    with pytest.raises(NotRealisable, match=words):
        run.check(machine(processors=processors), ids, [])
    run.check(machine(processors={1: Parking(entry=Entry(la57=True)), 0x1FF: Parking()}), 0x1000, SUPPORTED)


def test_processors_keep_the_ids_that_kvm_can_give() -> None:
    sentence = "an operating system boots with sparse APIC IDs"
    assert 0x1FF in trial(sentence, run.HIGHEST_ID).processors
    assert 0x1FF not in trial(sentence).processors


def test_interrupts_between_processors_are_not_seen_and_nothing_passes_on_that() -> None:
    one = trial("an operating system boots with a wakeup entry of version 1")
    facts: dict[str, str | int | bool] = {"kvm": True}
    trace = trace_of(Recording((), "mark", bytes(PAGE), bytes(PAGE), b"", facts=facts), one)
    assert str(trace.facts["not seen"]).endswith(", ipis")
    for starts in (guest.starts, selection._starts):
        with pytest.raises(Unjudged, match="does not see interrupts between processors"):
            starts(trace)
        assert starts(attrs.evolve(trace, facts={})) == []


def test_of_a_triple_fault_nothing_is_said_that_is_not_known() -> None:
    fault = Fault(1, run.TRIPLE, run.UNKNOWN, VECTOR + 0x4E, 0, b"\x0f\x20\xe0")
    facts: dict[str, str | int | bool] = {"kvm": True}
    recording = Recording((), "reset", bytes(PAGE), bytes(PAGE), b"", (fault,), facts)
    trace = trace_of(recording, trial(trampoline.NO_NXE))
    (found,) = trampoline._survives(Behaviour(lambda *_: (trace,), boots=True), trampoline.NO_NXE)
    assert not found.ok
    assert found.found == "a triple fault"


def test_a_target_that_asks_for_kvm_is_proved_by_and_booted_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_qemu() -> str:
        raise AssertionError("QEMU was looked for")

    asked: list[object] = []
    empty = Recording((), "budget", b"", b"", b"", facts={"kvm": True})
    image = Image(Path("bzImage"), b"", 0x20F, "7.2.13 of nobody", True, "the image names it")
    monkeypatch.setattr(open_module, "read_image", lambda _: image)
    monkeypatch.setattr(open_module.qemu, "find", no_qemu)
    monkeypatch.setattr(open_module.kvm, "proved", lambda: asked.append("proved"))
    monkeypatch.setattr(open_module.initramfs, "build", lambda *_: b"")
    monkeypatch.setattr(run, "run", lambda one: asked.append(one) or empty)
    target = open_module.open_kernel(Path("bzImage"), backend="kvm")
    (trace,) = target.driven[Role.SENDER].drive("an operating system boots with sparse APIC IDs", 0)
    proved, booted = asked
    assert proved == "proved"
    assert isinstance(booted, Machine)
    assert booted.backend == "kvm"
    assert 0x1FF in booted.processors and 0x1FF in trace.ids
    assert any("KVM" in note for note in target.notes)
