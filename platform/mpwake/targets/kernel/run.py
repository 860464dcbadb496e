"""Boots a machine, and returns what was seen of it."""

from __future__ import annotations

import time
from typing import Literal

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import faults, qemu
from mpwake.targets.kernel.bzimage import read_image
from mpwake.targets.kernel.kvm import run as kvm
from mpwake.targets.kernel.layout import Layout, lay_out
from mpwake.targets.kernel.observe import Observer
from mpwake.targets.kernel.probe import proved
from mpwake.targets.kernel.recording import Machine, Recording
from mpwake.targets.kernel.remains import remains

# A second of the machine takes at most so many of ours, and starting it so many more.
_PACE, _STARTING = 3.0, 30.0


def run(machine: Machine) -> Recording:
    """Boot a machine until a mark, its budget, or its own end.

    Raises ``NotRealisable`` where QEMU has no such machine, ``InputError`` for an image that is none, and ``ToolError``
    where QEMU, or KVM where that is asked for, is missing, unfit or broken.
    """
    if machine.backend == "kvm":
        return kvm.run(machine)
    layout = lay_out(machine, read_image(machine.kernel))
    program = qemu.find()
    proved(program)
    return observed(program, layout, machine)


def observed(program: str, layout: Layout, machine: Machine) -> Recording:
    """Boot what is laid out."""
    observer = _observer(layout, machine)
    limit = machine.seconds * _PACE + _STARTING
    la57 = any(one.entry.la57 for one in machine.processors.values())
    with qemu.Files(layout) as files:
        with qemu.Process(qemu.command(program, layout, files, False, la57), files) as process:
            end = _watch(process, observer, time.monotonic() + limit)
        if not observer.booted:
            raise ToolError("did not reach the kernel's entry", program, qemu.INSTALL)
        left = remains(files, layout, machine)
    found = faults.fatal(program, layout, limit, la57) if observer.triple_fault else ()
    return Recording(
        seen=observer.seen(),
        end=end,
        before=left.before,
        page=left.page,
        madt=left.madt,
        faults=found,
        facts={**left.facts, "qemu": qemu.version(program), "crowded": observer.crowded},
    )


def _observer(layout: Layout, machine: Machine) -> Observer:
    traced = tuple(one.address for one in layout.pages if one.traced)
    return Observer(layout.apic_ids, traced, machine.marks, machine.seconds)


def _watch(process: qemu.Process, observer: Observer, until: float) -> Literal["mark", "budget", "reset", "off"]:
    for data in process.output(until):
        observer.feed(data)
        if observer.end in ("mark", "budget"):
            return observer.end
    if time.monotonic() >= until:
        return "budget"
    process.ended()
    return "off" if observer.end == "off" else "reset"
