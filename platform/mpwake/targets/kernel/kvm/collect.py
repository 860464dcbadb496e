"""Takes what the monitor tells, and makes a recording's parts of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel.kvm.device import DEVICE, HINT
from mpwake.targets.kernel.observe import MAX_SEEN
from mpwake.targets.kernel.recording import Seen

_UNKNOWN = -1


class Collector:
    """Takes lines. ``end`` is set once there is no more to wait for; ``fault`` is where a triple fault was."""

    def __init__(self, marks: Sequence[str], seconds: float) -> None:
        self.marks = marks
        self.budget = int(seconds * 100)
        self.end: Literal["", "mark", "budget", "reset", "off"] = ""
        self.booted = self.crowded = False
        self.fault: tuple[int, int, int, int, int] | None = None
        self.ports: list[int] = []
        self.broken = ""
        self._seen: list[Seen] = []
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises ``ToolError`` for what the monitor does not write."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self.end or self.broken:
                return
            self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            what, *rest = json.loads(line)
            if what in ("load", "store", "jump", "reset"):
                self._access(what, *rest)
            else:
                self._told(what, *rest)
        except (ValueError, TypeError):
            raise ToolError(f"the monitor tells what cannot be read: {line[:200]!r}", DEVICE, HINT) from None

    def _told(self, what: str, *rest: Any) -> None:
        if what == "boots":
            self.booted = True
        elif what == "line":
            self._console(*rest)
        elif what == "port":
            self.ports.extend(rest)
        elif what == "fault":
            apic, rip, address, cr3, cr4 = rest
            self.fault = (apic, rip, address, cr3, cr4)
        elif what == "end":
            (self.end,) = rest
        elif what == "broken":
            (self.broken,) = rest
        else:
            raise ValueError(what)

    def _keep(self, one: Seen, hundredths: int) -> None:
        self._seen.append(one)
        if len(self._seen) >= MAX_SEEN:
            self.crowded = True
            self.end = "budget"
        elif hundredths >= self.budget:
            self.end = "budget"

    def _access(
        self, what: Any, apic: int, page: int, offset: int, width: int, value: int, times: int, at: int
    ) -> None:
        told = page if what in ("load", "store") else 0
        one = Seen(what, apic, at / 100, offset, width, value, page=told, times=times)
        last = self._seen[-1] if self._seen else None
        if what == "load" and last and attrs.evolve(last, seconds=one.seconds, times=times) == one:
            self._seen[-1] = attrs.evolve(last, times=last.times + times)
        else:
            self._keep(one, at)

    def _console(self, text: str, at: int) -> None:
        self._keep(Seen("line", _UNKNOWN, at / 100, text=text), at)
        if not self.end and any(mark in text for mark in self.marks):
            self.end = "mark"

    def seen(self) -> tuple[Seen, ...]:
        """Return everything that was kept."""
        return tuple(self._seen)
