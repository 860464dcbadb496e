"""The initramfs of a machine: busybox, and an init that does what the command line asks for and tells it."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

import attrs

from mpwake.spec.errors import ToolError

DONE = "mpwake: done"
VARIABLE = "MPWAKE_BUSYBOX"
INSTALL = "install a static busybox (Debian: busybox-static), or name one with MPWAKE_BUSYBOX"
_PLACES = ("/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static", "/bin/busybox.static")
_APPLETS = "sh mount mkdir sed paste tr od dd cat sleep taskset reboot poweroff".split()
_OURS = Path(__file__).parent / "rom"

# linux/elf.h and linux/elf-em.h
_ELF, _X86_64, _PT_INTERP = b"\x7fELF\x02\x01", 62, 3
_MAX_BUSYBOX = 16 << 20
_BLOCK = 512
_DEVICE_CONSOLE = (5, 1)


@attrs.frozen
class Member:
    """A member of an archive: a file, a directory, a symbolic link (its data is where to), or a character device."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def cpio(members: Iterable[Member]) -> bytes:
    """Return an archive in the format ``newc`` (Linux Documentation/driver-api/early-userspace/buffer-format.rst)."""
    parts = []
    for number, one in enumerate((*members, Member("TRAILER!!!", 0)), 1):
        name = one.name.encode() + b"\0"
        fields = (number, one.mode, 0, 0, 1, 0, len(one.data), 0, 0, *one.device, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        parts += [head, bytes(-len(head) % 4), one.data, bytes(-len(one.data) % 4)]
    archive = b"".join(parts)
    return archive + bytes(-len(archive) % _BLOCK)


def find_busybox() -> Path:
    """Return a busybox that needs no libraries. Raises ``ToolError`` with what to install where there is none."""
    named = os.environ.get(VARIABLE) or shutil.which("busybox")
    refused = ""
    for place in dict.fromkeys([named, *_PLACES] if named else _PLACES):
        path = Path(place)
        if path.is_file():
            if not (refused := _unfit(path)):
                return path
            if os.environ.get(VARIABLE):
                break
    raise ToolError(refused or "there is no busybox", named or _PLACES[0], INSTALL)


def _unfit(path: Path) -> str:
    """Return why a program cannot run alone in an initramfs, or nothing where it can."""
    data = path.read_bytes()[: _MAX_BUSYBOX + 1]
    if len(data) > _MAX_BUSYBOX or data[:6] != _ELF or len(data) < 64:
        return "is no 64-bit program"
    machine, table, size, count = (
        struct.unpack_from("<H", data, 18)[0],
        struct.unpack_from("<Q", data, 32)[0],
        *struct.unpack_from("<HH", data, 54),
    )
    if machine != _X86_64:
        return "is no program for x86-64"
    if table + size * count > len(data) or size < 4:
        return "is cut off"
    kinds = {struct.unpack_from("<I", data, table + number * size)[0] for number in range(count)}
    return "needs shared libraries" if _PT_INTERP in kinds else ""


def build(kernel: bytes | None = None) -> bytes:
    """Return the initramfs; with a kernel that it may start next, and the initramfs of that, where one is given.

    Raises ``ToolError`` where there is no busybox for it.
    """
    return _built(find_busybox(), kernel)


@functools.lru_cache(maxsize=4)
def _built(busybox: Path, kernel: bytes | None) -> bytes:
    folder, program, link = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777
    members = [Member(name, folder) for name in ("bin", "dev", "proc", "sys")]
    members.append(Member("dev/console", stat.S_IFCHR | 0o600, device=_DEVICE_CONSOLE))
    members.append(Member("init", program, (_OURS / "init.sh").read_bytes()))
    members.append(Member("bin/busybox", program, busybox.read_bytes()))
    members += [Member(f"bin/{name}", link, b"busybox") for name in _APPLETS]
    if kernel is not None:
        members.append(Member("bin/kexec", program, (_OURS / "kexec").read_bytes()))
        members.append(Member("kernel", program, kernel))
        members.append(Member("initramfs", program, _built(busybox, None)))
    return cpio(members)
