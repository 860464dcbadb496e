"""Boots a machine under KVM, and returns what was seen of it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import faults
from mpwake.targets.kernel.bzimage import read_image
from mpwake.targets.kernel.kvm import abi
from mpwake.targets.kernel.kvm.collect import Collector
from mpwake.targets.kernel.kvm.device import DEVICE, HINT, Kvm
from mpwake.targets.kernel.kvm.monitor import Question
from mpwake.targets.kernel.layout import MAX_APIC_ID, RAM, Layout, lay_out
from mpwake.targets.kernel.qemu import Files, Process
from mpwake.targets.kernel.recording import Fault, Machine, NotRealisable, Recording
from mpwake.targets.kernel.remains import remains

MONITOR = "mpwake.targets.kernel.kvm.monitor"
STARTING = 20.0
# KVM_MAX_VCPU_IDS is 4096: an APIC ID is that of a processor in KVM.
HIGHEST_ID = 0xFFF
_LOW = 0xFF
_EXTENDED, _LA57 = 7, 1 << 16
TRIPLE, UNKNOWN = "a triple fault", -1


def run(machine: Machine, monitor: str = MONITOR) -> Recording:
    """Boot a machine until a mark, its budget in seconds of ours, or its own end.

    Raises as ``targets.kernel.run.run`` does, with ``ToolError`` where KVM is missing, unfit or broken.
    """
    layout = lay_out(machine, read_image(machine.kernel))
    with contextlib.closing(Kvm()) as kvm:
        check(machine, kvm.capability(abi.MAX_VCPU_ID), kvm.cpuid())
    with Files(layout) as files:
        collector = watched(machine, layout, files, monitor)
        if collector.broken:
            raise ToolError(collector.broken, DEVICE, HINT)
        left = remains(files, layout, machine)
        found = faults_of(collector, files)
    return Recording(
        seen=collector.seen(),
        end=collector.end or "budget",
        before=left.before,
        page=left.page,
        madt=left.madt,
        faults=found,
        facts={**left.facts, "kvm": True, "crowded": collector.crowded},
    )


def check(machine: Machine, ids: int, cpuid: Iterable[abi.CpuidEntry]) -> None:
    """Raise ``NotRealisable`` where KVM, which has ``ids`` APIC IDs and such processors, has no such machine."""
    present = (machine.boot_id, *machine.processors)
    if max(present) >= ids:
        raise NotRealisable(f"KVM has APIC IDs below {ids:#x}, and none of {max(present):#x}")
    # The code at ResetVector takes its stack by these.
    low = [one & _LOW for one in machine.processors]
    if len(set(low)) < len(low):
        raise NotRealisable("two APIC IDs are equal in their lowest eight bits")
    has_la57 = any(one.function == _EXTENDED and one.index == 0 and one.ecx & _LA57 for one in cpuid)
    if not has_la57 and any(one.entry.la57 for one in machine.processors.values()):
        raise NotRealisable("the processor has no five-level page tables")


def watched(machine: Machine, layout: Layout, files: Files, monitor: str = MONITOR, port: int = -1) -> Collector:
    """Run what is laid out in ``files``, and return what was told, ``broken`` where KVM broke.

    ``port`` is one at which accesses are kept. Raises ``ToolError`` where nothing was run.
    """
    question = Question(
        told=files.trace[1],
        ram=files.ram.file,
        rom=files.rom.file,
        pages=[
            (file.file, page.address, page.traced, page.alias)
            for file, page in zip(files.pages, layout.pages, strict=True)
        ],
        boot_id=machine.boot_id,
        parked=dict(machine.processors),
        mailbox=machine.mailbox,
        x2apic=max(machine.processors, default=0) > MAX_APIC_ID,
        port=port,
    )
    collector = Collector(machine.marks, machine.seconds)
    arguments = [sys.executable, "-m", monitor, question.encode()]
    with Process(arguments, files) as process:
        _watch(process, collector, STARTING)
        if collector.booted and not (collector.end or collector.broken):
            _watch(process, collector, machine.seconds)
    if not collector.booted:
        raise ToolError(collector.broken or "the machine was not entered in time", DEVICE, HINT)
    return collector


def _watch(process: Process, collector: Collector, seconds: float) -> None:
    """Take what is told for so long, or until the next thing to wait for: that the machine is entered, or its end."""
    was = collector.booted
    until = time.monotonic() + seconds
    for data in process.output(until):
        collector.feed(data)
        if collector.end or collector.broken or collector.booted != was:
            return
    if time.monotonic() < until:
        process.ended()
        raise ToolError("the monitor ended without a word", DEVICE, HINT)


def faults_of(collector: Collector, files: Files) -> tuple[Fault, ...]:
    """Return the fault that ended a machine, if one did."""
    if collector.fault is None:
        return ()
    apic_id, rip, address, cr3, cr4 = collector.fault

    def memory(at: int, size: int) -> bytes:
        return bytes(files.ram.map[at : at + size]) if at + size <= RAM else b""

    return (Fault(apic_id, TRIPLE, UNKNOWN, rip, address, faults.code_at(rip, cr3, bool(cr4 & 1 << 12), memory)),)
