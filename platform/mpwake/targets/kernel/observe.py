"""QEMU's trace, read as it comes: who did what to which page, what firmware told, and the console."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import attrs

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel.layout import REGISTERS
from mpwake.targets.kernel.recording import Seen

EVENTS = (
    "memory_region_subpage_read",
    "memory_region_subpage_write",
    "memory_region_ops_write",
    "qemu_system_shutdown_request",
)
MAX_SEEN = 200_000
MAX_LINE = 1 << 16

# As in rom.s: what firmware tells in its own page, and the time in every page.
_JUMP_LOW, _JUMP_HIGH, _RETURNED, _TIME, _BOOTS = (REGISTERS + at for at in (0x10, 0x14, 0x18, 0x1C, 0x20))
_HUNDREDTHS = (1 << 28) - 1
_UART, _UART_LINE_CONTROL, _DIVISOR = 0x3F8, 0x3FB, 1 << 7
_APIC = 0xFEE00000
_ICR, _ICR_HIGH = 0x300, 0x310
# Delivery modes that say something of a start or a stop: NMI, INIT, start-up.
_TOLD = (4, 5, 6)

_SUBPAGE = re.compile(
    rb"memory_region_subpage_(read|write) cpu (\d{1,4}) mr (0x[0-9a-f]{1,16}) offset 0x([0-9a-f]{1,4})"
    rb" value 0x([0-9a-f]{1,16}) size ([1248])"
)
_WRITE = re.compile(
    rb"memory_region_ops_write cpu (-?\d{1,4}) mr 0x[0-9a-f]{1,16} addr 0x([0-9a-f]{1,16}) value 0x([0-9a-f]{1,16})"
    rb" size (\d) name '([^']*)'"
)
_OURS = (b"memory_region_", b"qemu_system_")


@attrs.define
class _Access:
    """A load or store whose page may not be known yet: QEMU names a page by a number that it draws."""

    write: bool
    cpu: int
    region: bytes
    offset: int
    width: int
    value: int
    hundredths: int
    times: int = 1


class Observer:
    """Takes the bytes of a trace, and keeps what is evidence.

    ``apic_ids`` are those of QEMU's processors, which it numbers alike, the last of them the one that keeps the time;
    ``pages`` the addresses of the traced pages, firmware's own first. ``end`` is set once there is no more to wait for.
    """

    def __init__(self, apic_ids: Sequence[int], pages: Sequence[int], marks: Sequence[str], seconds: float) -> None:
        self.apic_ids, self.pages, self.marks = apic_ids, pages, marks
        self.budget = int(seconds * 100)
        self.end: Literal["", "mark", "budget", "off"] = ""
        self.triple_fault = False
        self.crowded = False
        self.booted = False
        self._kept: list[_Access | Seen] = []
        self._regions: dict[bytes, int] = {}
        self._now = self._start = 0
        self._rest = b""
        self._last = b""
        self._jumps: dict[int, int] = {}
        self._console = bytearray()
        self._divisor = False
        self._high: dict[int, int] = {}

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises ``ToolError`` for what a trace of QEMU cannot be."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise _garbled(self._rest)
        for line in lines:
            if self.end:
                return
            self._line(line)

    def _line(self, line: bytes) -> None:
        event = line.partition(b":")[2] if line[:1].isdigit() else line
        if self._last and event == self._last:
            self._repeat()
        elif found := _SUBPAGE.fullmatch(event):
            kind, cpu, region, offset, value, width = found.groups()
            self._subpage(
                _Access(kind == b"write", int(cpu), region, int(offset, 16), int(width), int(value, 16), self._now)
            )
            if kind == b"read" and self._kept and isinstance(self._kept[-1], _Access):
                self._last = event
        elif found := _WRITE.fullmatch(event):
            cpu, address, value, _, _ = found.groups()
            self._register(int(cpu), int(address, 16), int(value, 16))
        elif event.startswith(b"qemu_system_shutdown_request"):
            self.end = "off"
        elif event.startswith(_OURS):
            raise _garbled(line)
        elif b"Triple fault" in line:
            self.triple_fault = True

    def _repeat(self) -> None:
        last = self._kept[-1]
        assert isinstance(last, _Access)
        last.times += 1

    def _keep(self, one: _Access | Seen) -> None:
        if not self.booted:
            return
        self._kept.append(one)
        self._last = b""
        if len(self._kept) >= MAX_SEEN:
            self.crowded = True
            self.end = "budget"

    def _subpage(self, access: _Access) -> None:
        if access.cpu not in self.apic_ids or access.offset >= 0x1000:
            raise ToolError(f"QEMU's trace: processor {access.cpu} at offset {access.offset:#x}, which there is not")
        if access.cpu == self.apic_ids[-1]:
            self._tick(access)
        elif self._regions.get(access.region) == 0:
            self._told(access)
        else:
            self._keep(access)

    def _tick(self, access: _Access) -> None:
        page, now = access.value >> 28, access.value & _HUNDREDTHS
        if access.offset != _TIME or page >= len(self.pages) or self._regions.get(access.region, page) != page:
            raise ToolError("QEMU's trace: the processor that keeps the time did something else")
        self._regions[access.region] = page
        if page == 0:
            self._now = now
            if self.booted and now - self._start >= self.budget:
                self.end = "budget"

    def _told(self, access: _Access) -> None:
        if access.offset == _BOOTS:
            self.booted, self._start = True, self._now
        elif access.offset == _JUMP_LOW:
            self._jumps[access.cpu] = access.value
        elif access.offset == _JUMP_HIGH:
            self._tell(access, "jump", self._jumps.pop(access.cpu, 0) | access.value << 32)
        elif access.offset == _RETURNED:
            self._tell(access, "reset", 0)

    def _tell(self, access: _Access, what: Literal["jump", "reset"], value: int) -> None:
        self._keep(Seen(what, access.cpu, self._seconds(self._now), value=value))

    def _seconds(self, hundredths: int) -> float:
        return (hundredths - self._start) / 100

    def _register(self, cpu: int, address: int, value: int) -> None:
        if address == _UART_LINE_CONTROL:
            self._divisor = bool(value & _DIVISOR)
        elif address == _UART and not self._divisor:
            self._character(value & 0xFF)
        elif address == _APIC + _ICR_HIGH:
            self._high[cpu] = value
        elif address == _APIC + _ICR and value >> 8 & 7 in _TOLD and cpu in self.apic_ids:
            now = self._seconds(self._now)
            self._keep(Seen("apic", cpu, now, offset=_ICR_HIGH, width=4, value=self._high.get(cpu, 0)))
            self._keep(Seen("apic", cpu, now, offset=_ICR, width=4, value=value))

    def _character(self, value: int) -> None:
        self._console.append(value)
        if value == 0x0A or len(self._console) >= MAX_LINE:
            text = self._console.decode("utf-8", "replace").strip("\r\n")
            self._console.clear()
            self._keep(Seen("line", -1, self._seconds(self._now), text=text))
            if self.booted and any(mark in text for mark in self.marks):
                self.end = "mark"

    def seen(self) -> tuple[Seen, ...]:
        """Return everything that was kept. Raises ``ToolError`` where an access was to a page that nobody knows."""
        return tuple(self._settled(one) for one in self._kept)

    def _settled(self, one: _Access | Seen) -> Seen:
        if isinstance(one, Seen):
            return one
        page = self._regions.get(one.region)
        if page is None:
            raise ToolError(f"QEMU's trace: {one.region.decode()} is none of the traced pages")
        return Seen(
            "store" if one.write else "load",
            one.cpu,
            self._seconds(one.hundredths),
            one.offset,
            one.width,
            one.value,
            page=self.pages[page],
            times=one.times,
        )


def _garbled(line: bytes) -> ToolError:
    return ToolError(f"QEMU's trace has a line that cannot be read: {line[:200].decode('latin-1')!r}")
