"""The fault that nobody handled: the run once more, the same to the instruction, with every exception logged."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable

from mpwake.targets.kernel import qemu
from mpwake.targets.kernel.layout import RAM, ROM_START, Layout, rom
from mpwake.targets.kernel.recording import Fault

NAMES = {
    0: "#DE",
    1: "#DB",
    2: "NMI",
    3: "#BP",
    6: "#UD",
    7: "#NM",
    8: "#DF",
    10: "#TS",
    11: "#NP",
    12: "#SS",
    13: "#GP",
    14: "#PF",
    16: "#MF",
    17: "#AC",
    18: "#MC",
    19: "#XM",
}
PAGE_FAULT = 14
UNKNOWN = -1
_CODE = 16
_LA57 = 1 << 12
_PRESENT, _LARGE, _ADDRESS = 1, 1 << 7, 0x000FFFFFFFFFF000

# What helper code of QEMU writes with -d int: the exception that was raised, and the one that is delivered.
_RAISED = re.compile(rb"check_exception old: 0x([0-9a-f]{1,8}) new 0x([0-9a-f]{1,8})")
_DELIVERED = re.compile(
    rb" *\d+: v=([0-9a-f]{2}) e=([0-9a-f]{4}) i=\d cpl=\d IP=[0-9a-f]{4}:([0-9a-f]{16}) .*?(?:CR2=([0-9a-f]{16}))?"
)
_CONTROL = re.compile(rb"CR0=[0-9a-f]{8} CR2=[0-9a-f]{16} CR3=([0-9a-f]{16}) CR4=([0-9a-f]{8})")
_JUMP = re.compile(
    rb".*memory_region_subpage_write cpu (\d+) mr 0x[0-9a-f]+ offset 0xf10 value 0x([0-9a-f]{1,8}) size 4"
)
_FIRST = 0xFFFFFFFF


class FaultLog:
    """Takes the lines of a run, and keeps the first fault of the chain that ended in a triple one."""

    def __init__(self) -> None:
        self.fatal = False
        self.vector, self.error, self.rip, self.address = 0, 0, 0, 0
        self.cr3, self.cr4 = 0, 0
        self.jumps: dict[int, int] = {}
        self._rest = b""
        self._armed = self._wants_control = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if found := _RAISED.fullmatch(line):
            self._armed = int(found[1], 16) == _FIRST
        elif self._armed and (found := _DELIVERED.fullmatch(line)):
            self.vector, self.error = int(found[1], 16), int(found[2], 16)
            self.rip, self.address = int(found[3], 16), int(found[4] or b"0", 16)
            self._armed, self._wants_control = False, True
        elif self._wants_control and (found := _CONTROL.fullmatch(line)):
            self.cr3, self.cr4 = int(found[1], 16), int(found[2], 16)
            self._wants_control = False
        elif found := _JUMP.fullmatch(line):
            self.jumps[int(found[1])] = int(found[2], 16)
        elif line == b"Triple fault":
            self.fatal = True

    @property
    def apic_id(self) -> int:
        """The processor: one that firmware has sent to where the fault is; QEMU does not tell which it was."""
        near = [one for one, vector in self.jumps.items() if vector and 0 <= self.rip - vector < 0x1000]
        return near[-1] if near else UNKNOWN


def fatal(program: str, layout: Layout, limit: float, la57: bool) -> tuple[Fault, ...]:
    """Return the fault that made a machine reset itself; none where it does not do so a second time."""
    log = FaultLog()
    until = time.monotonic() + limit
    with qemu.Files(layout) as files:
        with qemu.Process(qemu.command(program, layout, files, True, la57), files) as process:
            for data in process.output(until):
                log.feed(data)
                if log.fatal:
                    break
        if not log.fatal:
            return ()
        code = code_at(log.rip, log.cr3, bool(log.cr4 & _LA57), lambda at, size: _memory(files, at, size))
    name = NAMES.get(log.vector, f"vector {log.vector}")
    address = log.address if log.vector == PAGE_FAULT else 0
    return (Fault(log.apic_id, name, log.error, log.rip, address, code),)


def _memory(files: qemu.Files, address: int, size: int) -> bytes:
    if ROM_START <= address < ROM_START + len(rom()):
        return rom()[address - ROM_START :][:size]
    return bytes(files.ram.map[address : address + size]) if address + size <= RAM else b""


def code_at(rip: int, cr3: int, la57: bool, memory: Callable[[int, int], bytes]) -> bytes:
    """Return the bytes at an address of the processor as its page tables map it; none where they do not."""
    table = cr3 & _ADDRESS
    for shift in (48, 39, 30, 21, 12)[0 if la57 else 1 :]:
        data = memory(table + (rip >> shift & 511) * 8, 8)
        if len(data) < 8:
            return b""
        (entry,) = struct.unpack("<Q", data)
        if not entry & _PRESENT:
            return b""
        table = entry & _ADDRESS
        if shift == 12 or (shift <= 30 and entry & _LARGE):
            low = rip & ((1 << shift) - 1)
            return memory((table & ~((1 << shift) - 1)) + low, min(_CODE, (1 << shift) - low))
    return b""
