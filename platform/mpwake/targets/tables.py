"""The ``tables`` target: what firmware publishes, read from files, dumps, and a running system's sysfs.

A location is a file (a MADT, another ACPI table, an acpidump text, a DTB, a memory map), a directory of such files,
or ``/sys/firmware/acpi/tables``, beside which the same system's memory map, DeviceTree and command line are read
too. Files are recognised by their content; ``KIND:LOCATION`` says what a file is where content cannot.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from mpwake.evidence import acpidump, memory_map
from mpwake.evidence.acpi import MAX_TABLE, decode_header
from mpwake.evidence.command_line import parse
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.fdt import decode_fdt
from mpwake.evidence.madt import Madt, decode_madt
from mpwake.evidence.tables import Tables, declared_edition
from mpwake.spec import document
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.files import read_bounded
from mpwake.targets.base import Source, Target

MAX_FILES = 4096
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,8}|[0-9]{1,10}")
FDT_MAGIC = b"\xd0\x0d\xfe\xed"
SYSFS_TABLES = "sys/firmware/acpi/tables"
PAGE = 0x1000
NEITHER = (
    "not an ACPI table, an acpidump text, a flattened DeviceTree, or a memory map",
    "tables: takes a .dat or .aml file, a directory of them, acpidump's output, a .dtb, or /sys/firmware/acpi/tables",
)


class _Reader:
    """Collects the pieces one by one; the first MADT, DeviceTree and memory map count, others are noted."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.sources: list[Source] = []
        self.notes: list[str] = []

    def put(self, name: str, kind: str, data: bytes, **fields: Any) -> None:
        """Take one piece of evidence, unless one of its kind is there already."""
        if any(getattr(self.tables, field) for field in fields if field != "aml"):
            self.notes.append(f"{name}: a second {kind}, not read")
            return
        self.tables = attrs.evolve(self.tables, **fields)
        self.sources.append(Source(name, kind, data))


def _put_table(reader: _Reader, name: str, data: bytes) -> None:
    table = decode_header(data)
    if table.signature == "APIC":
        reader.put(name, "MADT", data, madt=decode_madt(data))
    elif table.signature in ("DSDT", "SSDT", "PSDT"):
        reader.put(name, "AML", data, aml=(*reader.tables.aml, table))
    else:
        reader.notes.append(f"{name}: the table {table.signature} says nothing of the mailbox, not judged")


def _put_fdt(reader: _Reader, name: str, data: bytes) -> None:
    reader.put(name, "DTB", data, fdt=decode_fdt(data))


def _put_dump(reader: _Reader, name: str, data: bytes) -> None:
    for table in acpidump.parse_acpidump(_text(data)):
        _put_table(reader, f"{name} ({table.name})", table.data)


def _put_map(reader: _Reader, name: str, data: bytes) -> None:
    if memory_map_words(data):
        reader.put(name, "memory map", data, memory_map=memory_map.parse_e820(_text(data)))
    else:
        parsed = memory_map.parse_uefi_yaml(document.parse(data, name))
        reader.put(name, "memory map", data, memory_map=parsed)


def _put_command_line(reader: _Reader, name: str, data: bytes) -> None:
    reader.put(name, "command line", data, command_line=parse(data.decode("latin-1").rstrip("\n")))


def _put_mailbox(reader: _Reader, name: str, data: bytes) -> None:
    if len(data) > PAGE:
        raise InputError(f"{len(data)} bytes, more than the {PAGE} of the mailbox page", name)
    reader.put(name, "mailbox", data, mailbox=data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def memory_map_words(data: bytes) -> bool:
    """Say whether a text has lines of a memory map as Linux prints them."""
    return re.search(rb"\[mem 0x[0-9a-fA-F]+-0x[0-9a-fA-F]+\]", data) is not None


def is_table(data: bytes) -> bool:
    """Say whether the bytes are an ACPI table: a MADT in any state, or another whose header is sound."""
    if data[:4] == b"APIC":
        return True
    try:
        table = decode_header(data)
    except CodecError:
        return False
    return len(data) == table.length or (36 <= table.length <= len(data) and table.sum == 0)


def _recognise(data: bytes) -> Callable[[_Reader, str, bytes], None] | None:
    if data[:4] == FDT_MAGIC:
        return _put_fdt
    if acpidump.is_acpidump(_text(data[:65536])):
        return _put_dump
    if is_table(data):
        return _put_table
    if memory_map_words(data) or re.search(rb"(?m)^(uefi_)?memory_map:", data):
        return _put_map
    return None


NAMED: dict[str, Callable[[_Reader, str, bytes], None]] = {
    "acpi": _put_table,
    "acpidump": _put_dump,
    "dtb": _put_fdt,
    "memory-map": _put_map,
    "command-line": _put_command_line,
    "mailbox": _put_mailbox,
}
NUMBERS: dict[str, Callable[[Tables, int], Tables]] = {
    "boot-apic-id": lambda tables, number: attrs.evolve(tables, boot_apic_id=number),
    "reset-code-size": lambda tables, number: attrs.evolve(tables, reset_code_size=number),
}


def _put_file(reader: _Reader, path: Path, kind: str | None = None) -> None:
    data = read_bounded(path, MAX_TABLE)
    put = NAMED[kind] if kind else _recognise(data)
    if put is None:
        raise InputError(NEITHER[0], str(path), NEITHER[1])
    try:
        put(reader, str(path), data)
    except CodecError as error:
        raise InputError(str(error), str(path)) from None


def _put_folder(reader: _Reader, folder: Path) -> None:
    if (folder / "0" / "start").is_file():
        _put_sysfs_map(reader, folder)
        return
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(folder)) from None
    if len(files) > MAX_FILES:
        raise InputError(f"{len(files)} files, more than the {MAX_FILES} that are read", str(folder))
    known = 0
    for path in files:
        if path.stat().st_size <= MAX_TABLE and _recognise(read_bounded(path, MAX_TABLE)):
            known += 1
            _put_file(reader, path)
        else:
            reader.notes.append(f"{path}: not recognised, not read")
    if not known:
        raise InputError("no ACPI table, DeviceTree or memory map in this directory", str(folder), NEITHER[1])


def _put_sysfs_map(reader: _Reader, folder: Path) -> None:
    try:
        found = memory_map.read_sysfs_memmap(folder)
    except CodecError as error:
        raise InputError(str(error), str(folder)) from None
    reader.put(str(folder), "memory map", memory_map.encode_e820(found).encode(), memory_map=found)


def _put_neighbours(reader: _Reader, folder: Path) -> None:
    root = Path(str(folder.resolve())[: -len(SYSFS_TABLES)])
    if reader.tables.memory_map is None and (root / "sys/firmware/memmap/0/start").is_file():
        _put_sysfs_map(reader, root / "sys/firmware/memmap")
    for name, kind in (("sys/firmware/fdt", "dtb"), ("proc/cmdline", "command-line")):
        if (root / name).is_file():
            _put_file(reader, root / name, kind)
    info = root / "proc/cpuinfo"
    found = re.search(rb"(?m)^initial apicid\s*: (\d+)$", read_bounded(info, MAX_TABLE)) if info.is_file() else None
    if found and reader.tables.boot_apic_id is None:
        reader.tables = attrs.evolve(reader.tables, boot_apic_id=int(found[1]))
        reader.notes.append(f"the boot processor's APIC ID {int(found[1])} is that of the first processor in {info}")


def _put_number(reader: _Reader, kind: str, text: str) -> None:
    number = int(text, 16 if text[:2] == "0x" else 10) if _NUMBER.fullmatch(text) else 1 << 32
    if number >= 1 << 32:
        raise InputError(f"{kind}: {text!r} is not a number below 2**32")
    reader.tables = NUMBERS[kind](reader.tables, number)


def _shape(path: Path, hint: str) -> str:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        raise InputError("no such file or directory", str(path), hint) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    except ValueError:
        raise InputError(f"{str(path)!r} is not a path") from None
    return "folder" if stat.S_ISDIR(kind) else "file"


def _put(reader: _Reader, location: str, base: Path) -> None:
    kind, colon, rest = location.partition(":")
    if colon and kind in NUMBERS:
        _put_number(reader, kind, rest)
        return
    named = kind if colon and kind in NAMED else None
    path = base / (rest if named else location)
    hint = did_you_mean(kind, [*NAMED, *NUMBERS]) if colon and not named and "/" not in kind else ""
    shape = _shape(path, hint)
    if shape == "file":
        _put_file(reader, path, named)
    elif named == "memory-map":
        _put_sysfs_map(reader, path)
    elif named:
        raise InputError(f"a directory, where {named}: needs a file", str(path))
    else:
        _put_folder(reader, path)
        if str(path.resolve()).endswith("/" + SYSFS_TABLES):
            _put_neighbours(reader, path)


def _damage_notes(madt: Madt | None, tables: Tables) -> list[str]:
    notes = [f"MADT: damaged at {madt.broken}"] if madt and madt.broken else []
    return notes + [f"DTB: damaged at {damage}" for damage in (tables.fdt.damage[:8] if tables.fdt else ())]


def open_tables(location: str, extra: tuple[str, ...], base: Path, evidence: tuple[str, ...] = ()) -> Target:
    """Read a location and further pieces of evidence.

    ``location`` and ``evidence`` count from ``base``, ``extra`` from the current directory. What is named expressly
    goes before what a location happens to hold. Raises ``InputError`` for a location that is not there, cannot be
    read, or is nothing that this target knows.
    """
    reader = _Reader()
    for one, folder in (*((one, Path()) for one in extra), *((one, base) for one in evidence), (location, base)):
        _put(reader, one, folder)
    tables = reader.tables
    edition = declared_edition(tables.madt)
    reason = ""
    if tables.madt and edition:
        version = tables.madt.wakeups[0].version
        reason = f"the MADT declares it: revision {tables.madt.table.revision}, MailBoxVersion {version}"
    return Target(
        kind="tables",
        name=f"tables:{location}",
        sources=tuple(reader.sources),
        tables=tables,
        edition=edition,
        edition_reason=reason,
        notes=(*reader.notes, *_damage_notes(tables.madt, tables)),
    )
