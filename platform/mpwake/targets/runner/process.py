"""A program under test as a process: its messages, bounded in number, length and time, and its certain end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType

from mpwake.spec.errors import InputError
from mpwake.targets.runner.protocol import MAX_LINE, Bye, Message, ProtocolError, decode, encode

MAX_MESSAGES = 1000
STARTS = 10.0
ENDS = 2.0
_CHUNK = 1 << 16


class Process:
    """A started program. Leaving the context kills it with its whole process group."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.rest = b""
        self.count = 0
        pipe = subprocess.PIPE
        try:
            self.child = subprocess.Popen(  # noqa: S603  # a person named this program, to be run
                command, stdin=pipe, stdout=pipe, start_new_session=True, bufsize=0
            )
        except (OSError, ValueError) as error:
            raise self.broken(f"cannot be started: {getattr(error, 'strerror', None) or error}") from None
        assert self.child.stdin and self.child.stdout
        self.input, self.output = self.child.stdin, self.child.stdout
        for stream in (self.input, self.output):
            os.set_blocking(stream.fileno(), False)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.kill()

    def kill(self) -> int:
        """End it, and everything that it started in its process group; return the exit code of the program."""
        if self.child.returncode is None:
            # Its leader is not yet waited for, so that the number of its group cannot belong to anybody else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
        self.input.close()
        self.output.close()
        return self.child.wait()

    def broken(self, what: str) -> InputError:
        """Return the error that the program, and not the AP loop in it, is at fault."""
        return InputError(what, self.name)

    def _gone(self) -> InputError:
        # Its end of the pipe is closed before it can be waited for.
        time.sleep(0.05)
        code = self.kill()
        how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        return self.broken(f"the program closed its connection without a bye, and {how}")

    def send(self, message: str, **fields: object) -> None:
        """Send a message. Raises ``InputError`` where the program does not take it."""
        line = encode(message, **fields)
        try:
            written = os.write(self.input.fileno(), line)
        except BlockingIOError:
            written = 0
        except BrokenPipeError:
            raise self._gone() from None
        if written != len(line):
            raise self.broken("the program does not read its messages")

    def received(self) -> list[Message]:
        """Return the messages that have come in; at once. Raises ``InputError`` for what is none."""
        try:
            data = os.read(self.output.fileno(), _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise self._gone()
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > MAX_LINE:
            raise self.broken(f"message {self.count + len(lines) + 1}: a line of more than {MAX_LINE} bytes")
        return [self._decoded(line) for line in lines]

    def _decoded(self, line: bytes) -> Message:
        self.count += 1
        if self.count > MAX_MESSAGES:
            raise self.broken(f"more than {MAX_MESSAGES} messages in one trial")
        try:
            return decode(line)
        except ProtocolError as error:
            raise self.broken(f"message {self.count}: {error}") from None

    def first(self) -> Message:
        """Return its first message. Raises ``InputError`` where none comes in time."""
        until = time.monotonic() + STARTS
        while time.monotonic() < until:
            if messages := self.received():
                if len(messages) > 1:
                    raise self.broken("the program says more than hello before it is asked anything")
                return messages[0]
            time.sleep(0.001)
        raise self.broken(f"the program says nothing within {STARTS:g} s")

    def end(self) -> None:
        """Say bye, and wait for the answer: a program that gives none hangs."""
        self.send("bye")
        until = time.monotonic() + ENDS
        while time.monotonic() < until:
            if any(isinstance(one, Bye) for one in self.received()):
                return
            time.sleep(0.001)
        raise self.broken(f"the program does not answer bye within {ENDS:g} s")
