"""What dt-schema says of a wakeup mailbox in a DeviceTree, held against the binding's demands.

Starting dt-validate takes a second, and so one process of its Python, ``binding_child.py``, is asked again and again.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import shutil
import subprocess
import time
from pathlib import Path

import attrs

from mpwake.fuzz.others import SECONDS

SCHEMA = Path(__file__).with_name("wakeup-mailbox-schema.yaml")
CHILD = Path(__file__).with_name("binding_child.py")
_CHUNK = 1 << 16


def interpreter() -> str | None:
    """Return the Python that dt-schema is installed for: that of dt-validate, where a variable or the path names it."""
    script = shutil.which("dt-validate", path=os.environ.get("MPWAKE_DTSCHEMA") or None)
    if script is None:
        return None
    try:
        with Path(script).open("rb") as file:
            first = file.readline(500).decode("utf-8", "replace").strip()
    except OSError:
        return None
    python = first.removeprefix("#!").strip()
    return python if first.startswith("#!") and os.access(python, os.X_OK) else None


@attrs.define
class Asked:
    """A process that answers what dt-schema says of blobs, one after the other."""

    process: subprocess.Popen[bytes]

    def complaints(self, data: bytes) -> tuple[str, ...] | None:
        """Return what is wrong with the mailbox in a blob; None where it gave no answer in time."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(len(data).to_bytes(4, "little") + data)
            self.process.stdin.flush()
            answer = json.loads(self._line())
        except (OSError, ValueError):
            self.end()
            return None
        return tuple(map(str, answer)) if isinstance(answer, list) else None

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        until, line = time.monotonic() + SECONDS, b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not waiting.select(until - time.monotonic()):
                    raise OSError("no answer in time")
                part = os.read(self.process.stdout.fileno(), _CHUNK)
                if not part:
                    raise OSError("it has ended")
                line += part
        return line

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # a pipe that nobody reads
                stream.close()
        self.process.wait()


_ASKED: dict[int, Asked] = {}


def complaints_of_dtschema(data: bytes) -> tuple[str, ...] | None:
    """Return what dt-schema says of the mailbox in a blob; None where it is not there, or does not answer."""
    own = os.getpid()
    if own not in _ASKED or _ASKED[own].process.poll() is not None:
        python = interpreter()
        if python is None:
            return None
        if own in _ASKED:
            _ASKED[own].end()
        # The other end of its input closes when this process ends, and then it ends too.
        command = [python, str(CHILD), str(SCHEMA)]
        pipe = subprocess.PIPE
        try:
            started = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)  # noqa: S603
        except OSError:
            return None
        _ASKED[own] = Asked(started)
        atexit.register(_ASKED[own].end)
    return _ASKED[own].complaints(data)
