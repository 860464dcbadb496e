"""What a target opens and what it makes of it: files, directories, dumps, a running system's sysfs, target YAML."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from mpwake.evidence.acpi import MAX_TABLE, checksummed
from mpwake.evidence.acpidump import AcpiDumpTable, format_acpidump
from mpwake.evidence.command_line import acpi_disabled
from mpwake.evidence.fdt import cells, encode_fdt, strings
from mpwake.evidence.madt import encode_lapic, encode_madt, encode_wakeup
from mpwake.evidence.memory_map import MemoryType
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.resources import scenarios
from mpwake.suite.engine import Options, run
from mpwake.suite.events import Stream
from mpwake.suite.selection import select
from mpwake.targets import open_target
from mpwake.targets.base import Source, Target
from mpwake.targets.tables import MAX_FILES, NEITHER, open_tables

LAPICS = (encode_lapic(0, 0, 1), encode_lapic(1, 1, 1))
MADT = encode_madt((*LAPICS, encode_wakeup(1, 0x7F5E5000, 0x7F5E6080)), 7)
MADT_OF_6_4 = encode_madt((*LAPICS, encode_wakeup(0, 0x7F5E5000)), 5)
DTB = encode_fdt({"compatible": strings("acme,board"), "#address-cells": cells(2)})
E820 = b"[    0.000000] BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable\n"
MAP_YAML = b"memory_map:\n  - {start: 0x1000, end: 0x2000, type: acpi-nvs}\n"
UEFI_YAML = b"uefi_memory_map:\n  - {type: EfiACPIMemoryNVS, start: 0x1000, pages: 1}\n"


def acpi(signature: bytes, body: bytes = b"") -> bytes:
    return checksummed(signature + (36 + len(body)).to_bytes(4, "little") + b"\x02\0" + bytes(26) + body)


def dump(*tables: bytes) -> bytes:
    named = (AcpiDumpTable(data[:4].decode(), 0x1000, data, 0) for data in tables)
    return b"some text before\n\n" + format_acpidump(named).encode()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def opened(location: object, *extra: object) -> Target:
    return open_tables(str(location), tuple(map(str, extra)), Path())


def refused(call: Callable[..., object], *arguments: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value


def kinds(target: Target) -> list[str]:
    return [source.kind for source in target.sources]


# One file


@pytest.mark.parametrize(
    ("data", "kind", "field"),
    [
        (MADT, "MADT", "madt"),
        (MADT_OF_6_4[:50], "MADT", "madt"),
        (dump(MADT), "MADT", "madt"),
        (DTB, "DTB", "fdt"),
        (acpi(b"SSDT", b"\x10"), "AML", "aml"),
        (acpi(b"DSDT"), "AML", "aml"),
        (E820, "memory map", "memory_map"),
        (MAP_YAML, "memory map", "memory_map"),
        (UEFI_YAML, "memory map", "memory_map"),
    ],
)
def test_a_file_is_recognised_by_its_content(tmp_path: Path, data: bytes, kind: str, field: str) -> None:
    target = opened(write(tmp_path / "input", data))
    assert kinds(target) == [kind]
    assert getattr(target.tables, field)
    assert (target.kind, target.name, target.roles) == (
        "tables",
        f"tables:{tmp_path / 'input'}",
        frozenset({Role.TABLES}),
    )


def test_the_source_of_a_file_is_its_path_and_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", MADT)
    target = opened(path)
    assert target.sources == (Source(str(path), "MADT", MADT),)
    assert target.notes == ()


def test_a_dump_yields_each_of_its_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "acpi.txt", dump(acpi(b"FACP"), MADT, acpi(b"SSDT", b"1"), acpi(b"DSDT", b"2")))
    target = opened(path)
    assert target.sources == (
        Source(f"{path} (APIC)", "MADT", MADT),
        Source(f"{path} (SSDT)", "AML", acpi(b"SSDT", b"1")),
        Source(f"{path} (DSDT)", "AML", acpi(b"DSDT", b"2")),
    )
    assert [table.signature for table in target.tables.aml] == ["SSDT", "DSDT"]
    assert target.notes == (f"{path} (FACP): the table FACP says nothing of the mailbox, not judged",)


def test_another_table_alone_is_read_and_has_nothing_to_judge(tmp_path: Path) -> None:
    path = write(tmp_path / "facp.dat", acpi(b"FACP"))
    target = opened(path)
    assert (target.sources, target.tables.madt) == ((), None)
    assert target.notes == (f"{path}: the table FACP says nothing of the mailbox, not judged",)


@pytest.mark.parametrize(
    ("data", "edition", "reason"),
    [
        (MADT, Edition.ACPI_6_6, "the MADT declares it: revision 7, MailBoxVersion 1"),
        (MADT_OF_6_4, Edition.ACPI_6_4, "the MADT declares it: revision 5, MailBoxVersion 0"),
        (encode_madt(LAPICS, 6), None, ""),
        (DTB, None, ""),
    ],
)
def test_the_edition_is_the_one_that_the_madt_declares(
    tmp_path: Path, data: bytes, edition: Edition | None, reason: str
) -> None:
    target = opened(write(tmp_path / "a.dat", data))
    assert (target.edition, target.edition_reason) == (edition, reason)
    settled = target.settled()
    assert settled.edition is settled.tables.edition is (edition or NEWEST)
    assert settled.edition_reason == (reason or "the newest, because the target declares none")
    held = target.held_to(Edition.ACPI_6_5, "why")
    assert (held.edition, held.tables.edition, held.edition_reason) == (Edition.ACPI_6_5, Edition.ACPI_6_5, "why")


def test_damage_is_noted(tmp_path: Path) -> None:
    broken = encode_madt((LAPICS[0], b"\0\0"), 7)
    target = opened(write(tmp_path / "a.dat", broken), write(tmp_path / "b.dtb", DTB[:-4]))
    assert "MADT: damaged at byte 0x35: expected a Length of at least 2, found Length 0 in an entry of type 0x00" in (
        target.notes
    )
    assert any(note.startswith(f"DTB: damaged at byte {len(DTB) - 4:#x}") for note in target.notes)


# What is none of these


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello\n", b"\x7fELF" + bytes(100), b"APIK" + MADT[4:-1], MADT[1:], bytes(4096)]
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "input", data)
    error = refused(opened, path)
    assert (error.message, error.where, error.hint) == (NEITHER[0], str(path), NEITHER[1])


def test_the_password_file_is_refused() -> None:
    assert refused(opened, "/etc/passwd").where == "/etc/passwd"


@pytest.mark.parametrize("kind", ["", "acpi:", "mailbox:", "memory-map:"])
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    error = refused(opened, f"{kind}{tmp_path / 'fifo'}")
    assert (error.message, error.where) == ("not a regular file", str(tmp_path / "fifo"))


def test_a_device_is_refused() -> None:
    assert refused(opened, "/dev/zero").message == "not a regular file"


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", MADT)
    os.truncate(path, MAX_TABLE + 1)
    assert refused(opened, path).message == f"more than {MAX_TABLE} bytes"


def deny(monkeypatch: pytest.MonkeyPatch, method: str, denied: Path) -> None:
    """Make one path unreadable, for root as well."""
    real = getattr(Path, method)

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == denied:
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, method, refuse)


def test_a_file_that_may_not_be_read_says_what_may_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "d" / "APIC", MADT)
    deny(monkeypatch, "open", path)
    for location in (path, path.parent):
        error = refused(opened, location)
        assert (error.message, error.where) == ("cannot be read: Permission denied", str(path))
        assert error.hint == "reading it may need more rights (sudo)"


def test_a_folder_that_may_not_be_listed_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch, "iterdir", tmp_path)
    error = refused(opened, tmp_path)
    assert (error.message, error.where) == ("cannot be read: Permission denied", str(tmp_path))


def test_a_file_behind_a_folder_that_forbids_a_look_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "private" / "a.dat", MADT)
    deny(monkeypatch, "stat", path)
    assert refused(opened, path).where == str(path)


def test_a_name_too_long_to_exist_is_an_input_error() -> None:
    assert refused(opened, "a" * 300).where == "a" * 300


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("missing.dat", ""),
        ("memroy-map:x", "did you mean 'memory-map'?"),
        ("boot-apic:5", "did you mean 'boot-apic-id'?"),
        ("zzz:x", "known: acpi, acpidump, boot-apic-id"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, location: str, hint: str) -> None:
    error = refused(open_tables, location, (), tmp_path)
    assert (error.message, error.where) == ("no such file or directory", str(tmp_path / location))
    assert error.hint == hint or (hint and error.hint.startswith(hint))


def test_what_is_no_path_is_told(tmp_path: Path) -> None:
    assert "is not a path" in refused(open_tables, "a\0b", (), tmp_path).message


@pytest.mark.parametrize("kind", ["acpi", "mailbox"])
def test_a_file_of_a_known_kind_that_is_not_there_is_told(tmp_path: Path, kind: str) -> None:
    error = refused(open_tables, f"{kind}:missing.dat", (), tmp_path)
    assert (error.message, error.where) == ("no such file or directory", str(tmp_path / "missing.dat"))


def test_a_known_kind_is_not_suggested_to_who_wrote_it(tmp_path: Path) -> None:
    assert refused(open_tables, "acpi:missing.dat", (), tmp_path).hint == ""


# Directories


def test_a_directory_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    write(tmp_path / "c.dtb", DTB)
    write(tmp_path / "b.dat", acpi(b"SSDT"))
    write(tmp_path / "a.dat", MADT)
    write(tmp_path / "readme", b"hello")
    write(tmp_path / "folder" / "d.dat", MADT_OF_6_4)
    os.mkfifo(tmp_path / "fifo")
    target = opened(tmp_path)
    assert kinds(target) == ["MADT", "AML", "DTB"]
    assert target.notes == (f"{tmp_path / 'readme'}: not recognised, not read",)


def test_a_second_madt_is_noted_and_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a.dat", MADT)
    second = write(tmp_path / "b.dat", MADT_OF_6_4)
    target = opened(tmp_path)
    assert target.tables.madt is not None
    assert target.tables.madt.data == MADT
    assert target.notes == (f"{second}: a second MADT, not read",)
    assert kinds(target) == ["MADT"]


@pytest.mark.parametrize("data", [DTB, E820, dump(MADT)])
def test_a_second_piece_of_any_kind_is_noted(tmp_path: Path, data: bytes) -> None:
    first, second = write(tmp_path / "1", data), write(tmp_path / "2", data)
    (note,) = opened(tmp_path).notes
    assert note.startswith(str(second))
    assert note.endswith(f": a second {opened(first).sources[0].kind}, not read")


def test_every_aml_table_is_taken(tmp_path: Path) -> None:
    for name in ("DSDT", "SSDT1", "SSDT2"):
        write(tmp_path / name, acpi(name[:4].encode(), name.encode()))
    assert [table.body[36:] for table in opened(tmp_path).tables.aml] == [b"DSDT", b"SSDT1", b"SSDT2"]


@pytest.mark.parametrize("names", [(), ("a", "b.txt", "c.yaml")])
def test_a_directory_of_something_else_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write(tmp_path / name, b"hello: world\n")
    (tmp_path / "folder").mkdir()
    error = refused(opened, tmp_path)
    assert error.message == "no ACPI table, DeviceTree or memory map in this directory"
    assert (error.where, error.hint) == (str(tmp_path), NEITHER[1])


def test_a_directory_of_other_tables_is_read(tmp_path: Path) -> None:
    write(tmp_path / "FACP", acpi(b"FACP"))
    assert opened(tmp_path).notes == (f"{tmp_path / 'FACP'}: the table FACP says nothing of the mailbox, not judged",)


def test_a_broken_table_in_a_directory_is_told_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.dat", MADT)
    broken = write(tmp_path / "b.dat", b"APIC")
    error = refused(opened, tmp_path)
    assert error.where == str(broken)
    assert error.message.startswith("not an ACPI table: byte 0x4: expected a header of 36 bytes")


def test_a_file_too_long_in_a_directory_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "a.dat", MADT)
    os.truncate(write(tmp_path / "disk.img", MADT), MAX_TABLE + 1)
    assert opened(tmp_path).notes == (f"{tmp_path / 'disk.img'}: not recognised, not read",)


def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        (tmp_path / str(number)).touch()
    assert refused(opened, tmp_path).message == f"{MAX_FILES + 1} files, more than the {MAX_FILES} that are read"


def test_a_file_name_that_is_not_utf_8_does_not_break_the_run(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"madt\xff.dat")).write_bytes(MADT)
    target = opened(tmp_path).settled()
    with (tmp_path / "events.ndjson").open("w", encoding="utf-8") as file:
        assert run(target, select(("MADT-01",), target.roles), Options(), Stream(file)).complete


# A running system


CPUINFO = "".join(
    f"processor\t: {number}\napicid\t\t: {apic_id}\ninitial apicid\t: {apic_id}\nfpu\t\t: yes\n\n"
    for number, apic_id in enumerate((4, 0, 2))
)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Return the root of a file system like that of a running machine."""
    firmware = tmp_path / "sys" / "firmware"
    for name, data in (("APIC", MADT), ("DSDT", acpi(b"DSDT")), ("SSDT1", acpi(b"SSDT")), ("FACP", acpi(b"FACP"))):
        write(firmware / "acpi" / "tables" / name, data)
    write(firmware / "acpi" / "tables" / "dynamic" / "SSDT9", acpi(b"SSDT"))
    write(firmware / "fdt", DTB)
    ranges = ((0x1000, 0x9FBFF, "System RAM"), (0x7F5E5000, 0x7F5E7FFF, "ACPI Non-volatile Storage"))
    for number, (start, end, kind) in enumerate(ranges):
        for name, text in (("start", f"{start:#x}\n"), ("end", f"{end:#x}\n"), ("type", f"{kind}\n")):
            write(firmware / "memmap" / str(number) / name, text.encode())
    write(tmp_path / "proc" / "cmdline", b"quiet acpi=off\n")
    write(tmp_path / "proc" / "cpuinfo", CPUINFO.encode())
    return tmp_path


def test_a_running_system_is_read_with_what_lies_beside_its_tables(system: Path) -> None:
    folder = system / "sys/firmware/acpi/tables"
    target = opened(folder)
    assert kinds(target) == ["MADT", "AML", "AML", "memory map", "DTB", "command line"]
    tables = target.tables
    assert tables.madt is not None
    assert tables.memory_map is not None
    assert tables.command_line is not None
    assert tables.memory_map.types_of(0x7F5E5000, 0x7F5E6000) == {MemoryType.ACPI_NVS}
    assert (tables.command_line.text, tables.boot_apic_id) == ("quiet acpi=off", 4)
    info = system / "proc/cpuinfo"
    assert target.notes == (
        f"{folder / 'FACP'}: the table FACP says nothing of the mailbox, not judged",
        f"the boot processor's APIC ID 4 is that of the first processor in {info}",
    )


def test_a_link_to_the_tables_of_a_running_system_leads_there(system: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(system / "sys/firmware/acpi/tables")
    assert "memory map" in kinds(opened(tmp_path / "link"))


def test_a_copy_of_the_tables_has_nothing_beside_it(system: Path) -> None:
    copy = system / "copy"
    (system / "sys/firmware/acpi/tables").rename(copy)
    target = opened(copy)
    assert kinds(target) == ["MADT", "AML", "AML"]
    assert target.tables.boot_apic_id is None


@pytest.mark.parametrize("name", ["sys/firmware/memmap", "sys/firmware/fdt", "proc/cmdline", "proc/cpuinfo"])
def test_what_a_running_system_does_not_have_is_not_missed(system: Path, name: str) -> None:
    (system / name).rename(system / "elsewhere")
    target = opened(system / "sys/firmware/acpi/tables")
    lost = {"sys/firmware/memmap": "memory map", "sys/firmware/fdt": "DTB", "proc/cmdline": "command line"}
    assert (lost.get(name) in kinds(target)) is False
    assert (target.tables.boot_apic_id is None) is (name == "proc/cpuinfo")


def test_what_was_given_counts_before_what_the_system_says(system: Path) -> None:
    own = write(system / "map.txt", E820)
    target = opened(system / "sys/firmware/acpi/tables", own, "boot-apic-id:0")
    assert target.tables.memory_map is not None
    assert target.tables.memory_map.source == "BIOS-e820 map"
    assert target.tables.boot_apic_id == 0
    assert not any("boot processor" in note or "memory map" in note for note in target.notes)


def test_a_garbled_memory_map_of_the_system_is_told(system: Path) -> None:
    folder = system / "sys/firmware/memmap"
    write(folder / "1" / "end", b"none\n")
    error = refused(opened, system / "sys/firmware/acpi/tables")
    assert error.where == str(folder)
    assert f"{folder / '1'}, file end" in error.message


# --with


@pytest.mark.parametrize(
    ("kind", "data", "field"),
    [
        ("acpi", MADT, "madt"),
        ("dtb", DTB, "fdt"),
        ("memory-map", E820, "memory_map"),
        ("memory-map", MAP_YAML, "memory_map"),
        ("command-line", b"acpi=off\n", "command_line"),
        ("mailbox", b"\0" * 16, "mailbox"),
    ],
)
def test_a_file_can_be_told_what_it_is(tmp_path: Path, kind: str, data: bytes, field: str) -> None:
    facp = write(tmp_path / "facp.dat", acpi(b"FACP"))
    target = opened(facp, f"{kind}:{write(tmp_path / 'input', data)}")
    assert [source.data for source in target.sources] == [data]
    given = {name for name, value in attrs.asdict(target.tables, recurse=False).items() if value}
    assert given - {"edition"} == {field}


def test_a_folder_can_be_told_to_be_a_memory_map(system: Path) -> None:
    target = opened(system / "sys/firmware/fdt", f"memory-map:{system / 'sys/firmware/memmap'}")
    assert target.tables.memory_map is not None
    assert len(target.tables.memory_map.ranges) == 2
    assert opened(system / "sys/firmware/memmap").tables.memory_map == target.tables.memory_map


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("acpi", DTB, "not an ACPI table: byte 0x0: expected a signature"),
        ("acpi", MADT[:40], "not a MADT: byte 0x28: expected 44 bytes before the first entry"),
        ("acpidump", MADT, "not an acpidump text: line 1: expected a table"),
        ("acpidump", b"APIC @ 0x0\n    0010: 00\n", "not an acpidump text: line 2: expected offset 0000"),
        ("dtb", MADT, "not a flattened DeviceTree: byte 0x0: expected the magic number"),
        ("memory-map", MADT, "not valid YAML"),
        ("memory-map", b"BIOS-e820: [mem 0x0-0x1] usbale\n", "not an e820 memory map: line 1: expected a type"),
        ("memory-map", b"memory_map: []\n", "0 ranges, where 1 to 4096 are read"),
        ("command-line", b"a" * 70000, "not a kernel command line: byte 0x10000"),
        ("mailbox", bytes(4097), "4097 bytes, more than the 4096 of the mailbox page"),
    ],
)
def test_what_is_not_what_it_was_called_is_refused(tmp_path: Path, kind: str, data: bytes, message: str) -> None:
    path = write(tmp_path / "input", data)
    error = refused(opened, f"{kind}:{path}")
    assert error.message.startswith(message)
    assert error.where.startswith(str(path))


@pytest.mark.parametrize("kind", ["acpi", "dtb", "mailbox"])
def test_a_directory_is_none_of_these(tmp_path: Path, kind: str) -> None:
    assert refused(opened, f"{kind}:{tmp_path}").message == f"a directory, where {kind}: needs a file"


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ("boot-apic-id:0", "boot_apic_id", 0),
        ("boot-apic-id:0x1FF", "boot_apic_id", 0x1FF),
        ("boot-apic-id:4294967295", "boot_apic_id", 0xFFFFFFFF),
        ("reset-code-size:152", "reset_code_size", 152),
    ],
)
def test_a_number_can_be_given(tmp_path: Path, given: str, field: str, value: int) -> None:
    assert getattr(opened(write(tmp_path / "a.dat", MADT), given).tables, field) == value


@pytest.mark.parametrize("number", ["", "-1", "4294967296", "0x100000000", "1.5", "one", "1 ", "\u0663", "0b1", "1_0"])
@pytest.mark.parametrize("kind", ["boot-apic-id", "reset-code-size"])
def test_what_is_no_number_of_32_bits_is_refused(tmp_path: Path, kind: str, number: str) -> None:
    error = refused(opened, write(tmp_path / "a.dat", MADT), f"{kind}:{number}")
    assert error.message == f"{kind}: {number!r} is not a number below 2**32"


def test_a_number_with_a_leading_zero_is_no_error_of_ours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dat", MADT)
    try:
        assert opened(path, "boot-apic-id:010").tables.boot_apic_id == 10
    except InputError as error:
        assert "010" in error.message


def test_a_file_whose_name_has_a_colon_is_found(tmp_path: Path) -> None:
    assert kinds(opened(write(tmp_path / "dump:1.dat", MADT))) == ["MADT"]
    assert kinds(open_tables("zzz:1", (), write(tmp_path / "zzz:1", MADT).parent)) == ["MADT"]


def test_a_command_line_ends_before_its_line_feed(tmp_path: Path) -> None:
    path = write(tmp_path / "cmdline", b"quiet acpi=off\n")
    line = opened(write(tmp_path / "a.dat", MADT), f"command-line:{path}").tables.command_line
    assert line is not None
    assert (line.text, acpi_disabled(line)) == ("quiet acpi=off", True)


def test_a_byte_that_linux_takes_for_a_blank_separates_in_a_file_too(tmp_path: Path) -> None:
    path = write(tmp_path / "cmdline", b"quiet\xa0acpi=off\n")
    line = opened(write(tmp_path / "a.dat", MADT), f"command-line:{path}").tables.command_line
    assert line is not None
    assert acpi_disabled(line)


# Targets by their kind, and target YAML


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("tabels:x", "no target of kind 'tabels'", "did you mean 'tables'?"),
        ("modle:reference", "no target of kind 'modle'", "did you mean 'model'?"),
        ("zzz:x", "no target of kind 'zzz'", "known: firmware, kernel, model"),
        (
            "/sys/firmware/acpi/tables",
            "'/sys/firmware/acpi/tables' is not a target",
            "tables:/sys/firmware/acpi/tables",
        ),
        ("a/b:c", "'a/b:c' is not a target", "write KIND:LOCATION"),
        ("", "'' is not a target", "write KIND:LOCATION"),
        ("tables", "tables: names no place", "tables:/sys/firmware/acpi/tables"),
        ("tables:", "tables: names no place", "tables:/sys/firmware/acpi/tables"),
        ("model:referense", "no platform 'referense'", "did you mean 'reference'?"),
        ("model:../requirements/madt", "no platform '../requirements/madt'", ""),
        ("missing.yaml", "cannot be read: No such file or directory", ""),
    ],
)
def test_what_is_no_target_says_what_would_be(spec: str, message: str, hint: str) -> None:
    error = refused(open_target, spec)
    assert error.message == message
    assert hint in error.hint


@pytest.mark.parametrize("spec", ["model", "model:", "model:reference"])
def test_the_model_opens_the_reference_platform_unless_told_otherwise(spec: str) -> None:
    target = open_target(spec)
    assert (target.name, target.edition) == ("model:reference", Edition.ACPI_6_6)
    assert target.sources[0].name == "scenarios/platforms/reference.yaml"
    assert kinds(target) == ["platform", "agent", "agent", "system", "MADT", "memory map", "mailbox", "AML"]
    assert target.tables.edition is Edition.ACPI_6_6


def test_a_platform_of_ones_own_is_opened_by_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "own.yaml", (scenarios("platforms") / "acpi-6.4.yaml").read_bytes())
    target = open_target(f"model:{path}")
    assert (target.name, target.edition, target.tables.madt is not None) == (f"model:{path}", Edition.ACPI_6_4, True)
    error = refused(open_target, f"model:{write(tmp_path / 'bad.yaml', b'name: bad')}")
    assert (error.message, error.where) == ("the key 'title' is missing", f"{tmp_path / 'bad.yaml'}:1:1")


def test_a_platform_takes_no_further_evidence() -> None:
    assert refused(open_target, "model", ("a.dat",)).message == "a platform of the model takes no further evidence"


def test_a_target_file_names_what_lies_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "lab" / "dumps" / "a.dat", MADT)
    write(tmp_path / "lab" / "map.txt", E820)
    path = tmp_path / "lab" / "target.yaml"
    write(path, b"kind: tables\nlocation: dumps\nevidence: [memory-map:map.txt, 'boot-apic-id:0']\nedition: acpi-6.5\n")
    target = open_target(str(path))
    assert kinds(target) == ["memory map", "MADT"]
    assert (target.name, target.tables.boot_apic_id) == ("tables:dumps", 0)
    assert (target.edition, target.tables.edition) == (Edition.ACPI_6_5, Edition.ACPI_6_5)
    assert target.edition_reason == f"{path} says so"


def test_a_target_file_takes_absolute_places_and_leaves_the_edition_to_the_tables(tmp_path: Path) -> None:
    madt = write(tmp_path / "a.dat", MADT_OF_6_4)
    path = write(tmp_path / "lab" / "target.yml", f"kind: tables\nlocation: {madt}\n".encode())
    assert open_target(str(path)).edition is Edition.ACPI_6_4


def test_a_target_file_can_name_a_platform(tmp_path: Path) -> None:
    path = write(tmp_path / "target.yaml", b"kind: model\nlocation: acpi-6.4\nedition: acpi-6.6\n")
    target = open_target(str(path))
    assert (target.name, target.edition) == ("model:acpi-6.4", Edition.ACPI_6_6)


def test_a_target_file_can_name_a_platform_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "own.yaml", (scenarios("platforms") / "acpi-6.4.yaml").read_bytes())
    path = write(tmp_path / "target.yaml", b"kind: model\nlocation: own.yaml\n")
    assert open_target(str(path)).edition is Edition.ACPI_6_4


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("kind: table\nlocation: x\n", "1:7", "no target of kind 'table'", "did you mean 'tables'?"),
        ("kind: tables\n", "1:1", "the key 'location' is missing", "What to open"),
        ("kind: tables\nlocaton: x\n", "2:1", "unknown key 'locaton'", "did you mean 'location'?"),
        ("kind: tables\nlocation: [x]\n", "2:11", "expected text, found a list", ""),
        ("kind: tables\nlocation: x\nevidence: y\n", "3:11", "expected a list, found 'y'", ""),
        ("kind: tables\nlocation: x\nedition: acpi-6.7\n", "3:10", "'acpi-6.7' is not a known value", "did you mean"),
        (
            "kind: tables\nlocation: x\nedition: dt-binding\n",
            "3:10",
            "'dt-binding' is not a known value",
            "known: acpi",
        ),
        ("- tables\n", "1:1", "expected a mapping, found a list", ""),
    ],
)
def test_a_mistake_in_a_target_file_is_told_with_its_place(
    tmp_path: Path, text: str, place: str, message: str, hint: str
) -> None:
    path = write(tmp_path / "target.yaml", text.encode())
    error = refused(open_target, str(path))
    assert error.message == message
    assert error.where == f"{path}:{place}"
    assert hint in error.hint


def test_what_a_target_file_names_and_is_not_there_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "target.yaml", b"kind: tables\nlocation: a.dat\n")
    error = refused(open_target, str(path))
    assert (error.message, error.where) == ("no such file or directory", str(tmp_path / "a.dat"))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("arguments", "[a]", "takes no arguments"),
        ("follows", "[dt-binding]", "does not say whom it follows"),
        ("backend", "kvm", "is not booted"),
        ("next", "b", "starts no next kernel"),
    ],
)
def test_an_option_of_another_kind_of_target_is_refused(tmp_path: Path, option: str, value: str, said: str) -> None:
    (tmp_path / "t.yaml").write_text(f"kind: tables\nlocation: APIC.dat\n{option}: {value}\n")
    error = refused(open_target, str(tmp_path / "t.yaml"))
    assert said in str(error)
    assert "t.yaml:3:" in str(error)
