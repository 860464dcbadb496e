"""The devices of the machine behind I/O ports: a serial port, a clock, power management, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from mpwake.targets.kernel.acpi import PM_BASE

_UART = 0x3F8
_DATA, _INTERRUPTS, _IDENTITY, _LINE_CONTROL, _MODEM_CONTROL, _LINE_STATUS, _MODEM_STATUS, _SCRATCH = range(8)
_DIVISOR, _LOOP, _EMPTY, _NO_INTERRUPT, _CONNECTED = 1 << 7, 1 << 4, 0x60, 1, 0xB0
_KEYBOARD, _KEYBOARD_RESET = 0x64, 0xFE
_RESET, _RESET_VALUE = 0xCF9, 1 << 2
_CLOCK_INDEX, _CLOCK = 0x70, 0x71
# MC146818: 2026-01-01 00:00:00 in BCD, no update under way, 24 hours, a battery.
_CLOCK_REGISTERS = {7: 0x01, 8: 0x01, 9: 0x26, 0xA: 0x26, 0xB: 0x02, 0xD: 0x80, 0x32: 0x20}
_PM_CONTROL, _PM_TIMER = PM_BASE + 4, PM_BASE + 8
_ACPI_ENABLED, _SLEEP = 1, 1 << 13
_PM_FREQUENCY = 3579545
_PM_MASK = 0xFFFFFF

End = Literal["reset", "off"]


class Ports:
    """Answers accesses: ``put`` is called with each byte of the serial port, ``end`` where the machine ends itself."""

    def __init__(self, put: Callable[[int], None], end: Callable[[End], None]) -> None:
        self.put, self.end = put, end
        self._serial = dict.fromkeys(range(8), 0)
        self._index = 0

    def read(self, port: int, size: int) -> int:
        """Return what is read from a port: ones where there is nothing."""
        if _UART <= port < _UART + 8 and size == 1:
            return self._status(port - _UART)
        if port == _CLOCK:
            return _CLOCK_REGISTERS.get(self._index, 0)
        if port == _PM_TIMER:
            return time.monotonic_ns() * _PM_FREQUENCY // 1_000_000_000 & _PM_MASK
        if port == _PM_CONTROL:
            return _ACPI_ENABLED
        if PM_BASE <= port < _PM_CONTROL:
            return 0
        return (1 << 8 * size) - 1

    def write(self, port: int, size: int, value: int) -> None:
        """Take what is written to a port."""
        if _UART <= port < _UART + 8 and size == 1:
            self._set(port - _UART, value)
        elif port == _CLOCK_INDEX:
            self._index = value & 0x7F
        elif port == _PM_CONTROL and value & _SLEEP:
            self.end("off")
        elif (port, value) == (_KEYBOARD, _KEYBOARD_RESET) or (port == _RESET and value & _RESET_VALUE):
            self.end("reset")

    def _status(self, register: int) -> int:
        if register == _LINE_STATUS:
            return _EMPTY
        if register == _IDENTITY:
            return _NO_INTERRUPT
        if register == _MODEM_STATUS:
            modem = self._serial[_MODEM_CONTROL]
            # In loop mode the outputs are the inputs: DTR is DSR, RTS is CTS, the two others RI and DCD.
            looped = (modem & 1) << 5 | (modem & 2) << 3 | (modem & 0xC) << 4
            return looped if modem & _LOOP else _CONNECTED
        if register == _DATA:
            return 0
        return self._serial[register]

    def _set(self, register: int, value: int) -> None:
        if register == _DATA:
            if not self._serial[_LINE_CONTROL] & _DIVISOR:
                self.put(value)
        elif register != _INTERRUPTS or not self._serial[_LINE_CONTROL] & _DIVISOR:
            self._serial[register] = value
