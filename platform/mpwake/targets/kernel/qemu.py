"""QEMU as a process: found, looked over, started on files that nobody else sees, and certainly ended."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import mmap
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel.layout import PAGE, RAM, Layout, slot_of
from mpwake.targets.kernel.observe import EVENTS

VARIABLE = "MPWAKE_QEMU"
PROGRAM = "qemu-system-x86_64"
OLDEST = (7, 2)
INSTALL = "install QEMU 7.2 or later for x86 (Debian: qemu-system-x86), or name one with MPWAKE_QEMU"
# One instruction takes 2**SHIFT ns of the machine's time.
SHIFT = 2
_CPU = "max,cx16=off"
_ASKED = 20.0
_CHUNK = 1 << 20
_PR_SET_PDEATHSIG = 1
_MAX_ERRORS = 4000


def find() -> str:
    """Return the path of QEMU. Raises ``ToolError`` with what to install where there is none."""
    named = os.environ.get(VARIABLE)
    path = shutil.which(named or PROGRAM)
    if path is None:
        raise ToolError(f"{named or PROGRAM} is not there, or cannot be run", hint=INSTALL)
    return path


def _asked(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # found on PATH, or named by a person
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASKED,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"cannot be asked for {arguments[0]}: {error}", program, INSTALL) from None
    return done.stdout + done.stderr


@functools.cache
def version(program: str) -> str:
    """Return QEMU's version once it is known to be fit. Raises ``ToolError`` with what it lacks."""
    found = re.search(r"version (\d+)\.(\d+)(?:\.\d+)*", _asked(program, "--version"))
    if found is None:
        raise ToolError("does not say which version of QEMU it is", program, INSTALL)
    if (int(found[1]), int(found[2])) < OLDEST:
        raise ToolError(f"is QEMU {found[0].removeprefix('version ')}, which is too old", program, INSTALL)
    known = _asked(program, "-trace", "help").split()
    for event in EVENTS:
        if event not in known:
            raise ToolError(f"has no trace event {event}", program, INSTALL)
    if '"ivshmem-plain"' not in _asked(program, "-device", "help"):
        raise ToolError("has no device ivshmem-plain", program, INSTALL)
    return found[0].removeprefix("version ")


class Memory:
    """A file of memory that only open descriptors name, and QEMU maps too."""

    def __init__(self, name: str, size: int) -> None:
        self.file = os.memfd_create(name)
        os.ftruncate(self.file, size)
        self.map = mmap.mmap(self.file, size)

    def close(self) -> None:
        """Let it go."""
        self.map.close()
        os.close(self.file)

    @property
    def path(self) -> str:
        """What names it in a process that has the descriptor."""
        return f"/proc/self/fd/{self.file}"


def command(program: str, layout: Layout, files: Files, interrupts: bool, la57: bool) -> list[str]:
    """Return the command line of a machine."""
    last = max(layout.apic_ids)
    arguments = [
        program,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-monitor", "none", "-parallel", "none"),
        *("-machine", "pc,memory-backend=ram,usb=off,vmport=off,hpet=off"),
        *("-accel", "tcg,thread=single", "-icount", f"shift={SHIFT},sleep=off"),
        *("-seed", "1", "-rtc", "base=2026-01-01T00:00:00,clock=vm"),
        *("-cpu", _CPU if la57 else f"{_CPU},la57=off"),
        *("-m", f"{RAM >> 20}M", "-smp", f"cpus=1,maxcpus={last + 1},sockets=1,dies=1,cores={last + 1},threads=1"),
        *("-object", f"memory-backend-file,id=ram,size={RAM},share=on,mem-path={files.ram.path}"),
        *("-bios", files.rom.path),
        *("-chardev", "null,id=console", "-serial", "chardev:console"),
    ]
    for apic_id in layout.apic_ids[1:]:
        arguments += ["-device", f"max-x86_64-cpu,socket-id=0,die-id=0,core-id={apic_id},thread-id=0"]
    number = 0
    for page, file in zip(layout.pages, files.pages, strict=True):
        for _ in range(2 if page.alias else 1):
            slot, function = slot_of(number)
            memory = f"memory-backend-file,id=page{number},size={PAGE},share=on,mem-path={file.path}"
            arguments += ["-object", memory, "-device", f"ivshmem-plain,memdev=page{number},addr={slot:#x}.{function}"]
            number += 1
    for event in EVENTS:
        arguments += ["-trace", event]
    return [*arguments, "-d", "int,cpu_reset" if interrupts else "cpu_reset", "-D", f"/proc/self/fd/{files.trace[1]}"]


class Files:
    """The memory of a machine, and the pipe of its trace."""

    def __init__(self, layout: Layout) -> None:
        with contextlib.ExitStack() as stack:
            self.ram = self._memory(stack, "ram", RAM)
            for address, data in layout.memory:
                self.ram.map[address : address + len(data)] = data
            self.rom = self._memory(stack, "rom", len(layout.rom))
            self.rom.map[:] = layout.rom
            self.pages = tuple(self._memory(stack, "page", PAGE) for _ in layout.pages)
            for file, page in zip(self.pages, layout.pages, strict=True):
                file.map[:] = page.data
            self.trace = list(os.pipe())
            for end in (0, 1):
                stack.callback(self.close_trace, end)
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.trace[0], fcntl.F_SETPIPE_SZ, _CHUNK)
            self.stack = stack.pop_all()

    @staticmethod
    def _memory(stack: contextlib.ExitStack, name: str, size: int) -> Memory:
        memory = Memory(f"mpwake-{name}", size)
        stack.callback(memory.close)
        return memory

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What QEMU inherits."""
        return (self.ram.file, self.rom.file, *(one.file for one in self.pages), self.trace[1])

    def close_trace(self, end: int) -> None:
        """Close the end of the trace that is read (0), or the one that is written to (1), once."""
        if self.trace[end] >= 0:
            os.close(self.trace[end])
            self.trace[end] = -1

    def __enter__(self) -> Files:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.stack.close()


@functools.cache
def _prctl() -> Callable[[int, int], int]:
    function = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: int(function(option, ctypes.c_ulong(value), 0, 0, 0))


def _dies_with(parent: int) -> Callable[[], None]:
    prctl = _prctl()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


class Process:
    """QEMU, started. Leaving the context kills it with its process group; so does the end of this process."""

    def __init__(self, arguments: Sequence[str], files: Files) -> None:
        self.program = arguments[0]
        self.errors = os.memfd_create("mpwake-stderr")
        try:
            self.child = subprocess.Popen(  # noqa: S603  # the program that find() found
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=self.errors,
                stderr=self.errors,
                pass_fds=files.descriptors,
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid()),
            )
        except OSError as error:
            os.close(self.errors)
            raise ToolError(f"cannot be started: {error.strerror}", self.program, INSTALL) from None
        self.trace = files.trace[0]
        files.close_trace(1)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.kill()
        os.close(self.errors)

    def kill(self) -> None:
        """End it, and all of its process group."""
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def output(self, until: float) -> Iterator[bytes]:
        """Yield the trace as it comes, until QEMU ends or ``until`` (monotonic) has passed."""
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self.trace], [], [], left)
            if not ready:
                return
            data = os.read(self.trace, _CHUNK)
            if not data:
                return
            yield data

    def ended(self) -> None:
        """Wait for an end of its own. Raises ``ToolError`` with what QEMU said where it failed."""
        try:
            code = self.child.wait(_ASKED)
        except subprocess.TimeoutExpired:
            raise ToolError("closed its trace and does not end", self.program, INSTALL) from None
        if code:
            said = os.pread(self.errors, _MAX_ERRORS, 0).decode("utf-8", "replace").strip()
            raise ToolError(f"exited with {code}: {said or 'it said nothing'}", self.program, INSTALL)
