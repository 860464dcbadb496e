"""Ctrl-C, so that none is lost and none spoils a verdict.

An exception that a signal handler raises can vanish: out of a callback of C, of a weak reference or of a finalizer it
is printed and gone, and whoever called goes on with half a result. So every Ctrl-C is counted, and what can end early
asks between its parts.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

import attrs

from mpwake.suite.errors import Interrupted

_STDERR = 2
_TOLD = b"mpwake: stopping after what is going on; Ctrl-C again stops at once\n"


@attrs.define(eq=False)
class Interrupt:
    """Counts Ctrl-C while it is ``caught``; each raises ``KeyboardInterrupt`` too, but the first of patient work."""

    asked: int = 0
    patient: bool = False

    @property
    def hurried(self) -> bool:
        """Whether an exception has gone through the work, so that what it comes to is worth nothing."""
        return self.asked > 1

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Take Ctrl-C over. A parent that has it ignored, or somebody else's handler, is left alone."""
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            self.patient = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Do patient work: it goes on after the first Ctrl-C, and asks ``check`` between its parts."""
        self.patient = True
        try:
            self.check()
            yield
        finally:
            self.patient = False

    def check(self) -> None:
        """Raise ``Interrupted`` where Ctrl-C was pressed."""
        if self.asked:
            raise Interrupted

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1
        if not self.patient or self.hurried:
            raise KeyboardInterrupt
        with contextlib.suppress(OSError):
            os.write(_STDERR, _TOLD)
