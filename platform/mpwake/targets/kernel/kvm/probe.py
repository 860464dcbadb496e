"""What is run before any verdict under KVM: the accesses that QEMU is proved by, and instructions that kernels use.

A KVM that is a software emulation tells accesses as the real one does, and breaks in the midst of a kernel for want of
an instruction. So each of them is carried out here first, and its result compared.
"""

from __future__ import annotations

import functools
from pathlib import Path

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import probe
from mpwake.targets.kernel.kvm.collect import Collector
from mpwake.targets.kernel.kvm.device import DEVICE, HINT
from mpwake.targets.kernel.kvm.run import MONITOR, watched
from mpwake.targets.kernel.layout import Layout, bare
from mpwake.targets.kernel.qemu import Files

# As in instructions.s: the names by number, and what it tells in the end.
INSTRUCTIONS = ("SSE2", "LDMXCSR", "FXRSTOR", "XRSTOR", "POPCNT", "CMPXCHG16B", "SHLX", "ANDN", "INT3")
PORT, DONE, WRONG = 0xE9, 0x7F, 0x80


@functools.cache
def proved() -> None:
    """Return where KVM can be trusted. Raises ``ToolError`` with the first access or instruction where it cannot."""
    accesses()
    instructions()


def accesses(monitor: str = MONITOR) -> None:
    """Return where every access is told as it is done. Raises ``ToolError`` with the first that is not."""
    collector = _run(probe.laid_out(), monitor)
    if collector.broken:
        raise ToolError(collector.broken, DEVICE, HINT)
    probe.compare(probe.told(collector.seen()), "KVM", DEVICE, HINT)


def instructions(monitor: str = MONITOR) -> None:
    """Return where every instruction does what it should. Raises ``ToolError`` with the first that does not."""
    code = (Path(__file__).parent / "instructions.bin").read_bytes()
    judge(_run(bare(probe.machine(), probe.ENTRY, code), monitor))


def judge(collector: Collector) -> None:
    """Raise ``ToolError`` unless every instruction was carried out."""
    told = collector.ports
    if told[-1:] == [DONE] and collector.end == "off":
        return
    number = told[-1] & ~WRONG if told else 0
    if not 0 < number <= len(INSTRUCTIONS):
        raise ToolError(collector.broken or "did not run the probe of instructions", DEVICE, HINT)
    name = INSTRUCTIONS[number - 1]
    if told[-1] & WRONG:
        raise ToolError(f"carries out {name} wrongly", DEVICE, HINT)
    why = collector.broken or ("a fault" if collector.fault else "nothing more was told")
    raise ToolError(f"cannot carry out {name}, which kernels use: {why}", DEVICE, HINT)


def _run(layout: Layout, monitor: str) -> Collector:
    with Files(layout) as files:
        return watched(probe.machine(), layout, files, monitor, PORT)
