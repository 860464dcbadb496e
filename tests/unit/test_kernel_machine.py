"""The machine of the kernel target, without QEMU: what lies where, the initramfs, traces, faults, assembled bytes."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence.acpi import decode_header
from mpwake.evidence.tables import Tables
from mpwake.spec.errors import InputError, ToolError
from mpwake.targets.kernel import acpi, bzimage, faults, initramfs, layout, qemu, recording
from mpwake.targets.kernel.observe import MAX_SEEN, Observer
from mpwake.targets.kernel.remains import remains
from support.kernel import machine

ROM = Path(layout.__file__).parent / "rom"
IMAGE_SIZE = 0x1000
REGION, OWN = "0x7f0000001000", "0x7f0000002000"
PAGES = (layout.TELL, 0x7F5E5000)


def image(**changes: int) -> bytes:
    data = bytearray(0x400 + IMAGE_SIZE)
    data[0x1F1], data[0x201] = 1, 0x6A
    data[0x202:0x206] = b"HdrS"
    fields = {
        "protocol": (0x206, "<H", 0x20F),
        "loadflags": (0x236, "<H", 3),
        "size": (0x1F4, "<I", IMAGE_SIZE // 16),
        "line": (0x238, "<I", 2047),
        "preferred": (0x258, "<Q", 0x1000000),
        "init_size": (0x260, "<I", 0x2000000),
    }
    for name, (offset, form, value) in fields.items():
        struct.pack_into(form, data, offset, changes.get(name, value))
    return bytes(data)


def laid_out(**changes: object) -> layout.Layout:
    return layout.lay_out(machine(**changes), bzimage.decode(image(), "image"))  # type: ignore[arg-type]


def piece(laid: layout.Layout, address: int) -> bytes:
    return next(data for at, data in laid.memory if at == address)


def boot_params(laid: layout.Layout) -> bytes:
    return next(data for _, data in laid.memory if data[0x202:0x206] == b"HdrS")


def e820(laid: layout.Layout) -> list[tuple[int, int, int]]:
    page = boot_params(laid)
    return [struct.unpack_from("<QQI", page, 0x2D0 + 20 * number) for number in range(page[0x1E8])]


def test_tables_are_published_byte_for_byte() -> None:
    one = machine()
    laid = laid_out()
    start, data = next((at, data) for at, data in laid.memory if at <= laid.madt < at + len(data))
    assert one.tables.madt is not None
    assert data[laid.madt - start :].startswith(one.tables.madt.data)
    rsdp = struct.unpack_from("<Q", boot_params(laid), 0x70)[0]
    assert data[rsdp - start :][:8] == b"RSD PTR "
    assert sum(data[rsdp - start :][:20]) & 0xFF == sum(data[rsdp - start :][:36]) & 0xFF == 0


def test_the_tables_around_them_have_right_checksums_and_name_each_other() -> None:
    table = acpi.publish(0x1000, b"APIC" + bytes(40), ())
    xsdt = struct.unpack_from("<Q", table.data, 24)[0] - 0x1000
    listed = struct.unpack_from("<2Q", table.data, xsdt + 36)
    assert listed[1] == table.madt
    for at in (xsdt, listed[0] - 0x1000):
        header = decode_header(table.data[at : at + struct.unpack_from("<I", table.data, at + 4)[0]])
        assert header.sum == 0
    facs, dsdt = struct.unpack_from("<2Q", table.data, listed[0] - 0x1000 + 132)
    assert table.data[facs - 0x1000 :][:4] == b"FACS"
    assert table.data[dsdt - 0x1000 :][:4] == b"DSDT"


def test_usable_memory_is_what_the_machine_has_of_it() -> None:
    ranges = e820(laid_out())
    assert all(start + size <= layout.RAM for start, size, kind in ranges if kind == 1)
    assert (0x7F5E5000, 0x6000, 4) in ranges
    assert (0, 0x9FC00, 1) in ranges


def test_the_mailbox_is_traced_and_polled_elsewhere() -> None:
    laid = laid_out()
    assert laid.polled is not None
    polled = laid.pages[laid.polled]
    assert (polled.address, polled.traced) == (0x7F5E5000, True)
    assert polled.alias not in (0, polled.address)
    assert laid.pages[0].address == layout.TELL


def test_two_mailboxes_are_both_traced() -> None:
    laid = laid_out(sentence="an operating system boots with a MADT and a DeviceTree")
    assert {one.address for one in laid.pages if one.traced} == {layout.TELL, 0x7F5E5000, 0x7F5E9000}


def test_of_the_processors_those_are_there_that_qemu_can_give() -> None:
    laid = laid_out(sentence="an operating system boots with a wakeup entry of version 0")
    assert {0, 1, 4} < set(laid.apic_ids)
    assert max(laid.apic_ids) <= layout.MAX_APIC_ID
    assert laid.apic_ids[::2] == (0, 1, 4, laid.apic_ids[-1])
    assert len(set(laid.apic_ids)) == len(laid.apic_ids)


def test_where_there_is_no_reset_vector_code_lies_at_0_that_tells_who_comes() -> None:
    sentence = "an operating system restarts, with a wakeup entry of version 0"
    assert piece(laid_out(sentence=sentence), 0) == layout.reset_code()
    assert 0 not in [at for at, _ in laid_out().memory]


def test_code_for_the_reset_vector_lies_there() -> None:
    laid = laid_out()
    page = next(one for one in laid.pages if one.address == 0x7F5E6000)
    assert not page.traced
    assert page.data[0x80:].startswith(layout.reset_code())


def test_no_device_of_firmware_can_be_found_by_an_operating_system() -> None:
    assert all(layout.slot_of(number)[1] != 0 for number in range(40))
    assert len({layout.slot_of(number) for number in range(40)}) == 40


@pytest.mark.parametrize(
    "changes",
    [
        {"boot_id": 4},
        {"mailbox": 0x100000},
        {"mailbox": 0x7F5E5FF8},
        {"reset_vector": 0x7F5E5080},
        {"reset_vector": 0x7F5E6FFF},
        {"command_line": "x" * 5000},
        {"initramfs": bytes(600 << 20)},
        {"processors": {one: recording.Parking() for one in range(1, 40)}},
    ],
    ids=["boot", "mailbox in memory", "mailbox at the end", "same page", "end of page", "line", "initramfs", "many"],
)
def test_what_qemu_has_no_machine_for_is_said(changes: dict[str, object]) -> None:
    with pytest.raises(recording.NotRealisable, match=r"\w"):
        laid_out(**changes)


def test_without_tables_there_is_no_acpi() -> None:
    laid = laid_out(tables=Tables(), mailbox=0, reset_vector=0)
    assert laid.madt == 0
    assert laid.polled is None
    assert struct.unpack_from("<Q", boot_params(laid), 0x70) == (0,)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "0x202"),
        (bytes(2000), "0x202"),
        (image(protocol=0x20A), "0x236"),
        (image(loadflags=0), "0x236"),
        (image(size=0x10000), "0x1400"),
        (image(size=1), "0x1f4"),
    ],
)
def test_what_is_no_image_is_said_with_its_offset(data: bytes, where: str) -> None:
    with pytest.raises(InputError) as caught:
        bzimage.decode(data, "image")
    assert caught.value.where == f"image: byte {where}"


def members(archive: bytes) -> dict[str, tuple[int, bytes]]:
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * number :][:8], 16) for number in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        data = (at + 110 + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = fields[1], archive[data : data + fields[6]]
        at = (data + fields[6] + 3) & ~3


def test_an_archive_holds_its_members() -> None:
    given = [
        initramfs.Member("a", 0o100755, b"abc"),
        initramfs.Member("bin", 0o40755),
        initramfs.Member("b", 0o120777, b"a"),
    ]
    archive = initramfs.cpio(given)
    assert members(archive) == {one.name: (one.mode, one.data) for one in given}
    assert len(archive) % 512 == 0


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio")
def test_an_archive_is_what_cpio_reads() -> None:
    archive = initramfs.cpio([initramfs.Member("a", 0o100644, b"abc"), initramfs.Member("dir", 0o40755)])
    listed = subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True, check=True)
    assert listed.stdout.split() == [b"a", b"dir"]


def elf(interpreter: bool = False, machine: int = 62) -> bytes:
    data = bytearray(64 + 56)
    data[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<H", data, 18, machine)
    struct.pack_into("<Q", data, 32, 64)
    struct.pack_into("<HH", data, 54, 56, 1)
    struct.pack_into("<I", data, 64, 3 if interpreter else 1)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"#!/bin/sh", "no 64-bit program"),
        (elf(interpreter=True), "shared libraries"),
        (elf(machine=183), "x86-64"),
        (elf()[:100], "cut off"),
    ],
)
def test_a_busybox_that_cannot_run_alone_is_refused(
    data: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "busybox").write_bytes(data)
    monkeypatch.setenv(initramfs.VARIABLE, str(tmp_path / "busybox"))
    with pytest.raises(ToolError, match=said) as caught:
        initramfs.find_busybox()
    assert "busybox-static" in caught.value.hint


def test_an_initramfs_that_starts_another_kernel_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").write_bytes(elf())
    monkeypatch.setenv(initramfs.VARIABLE, str(tmp_path / "busybox"))
    held = members(initramfs.build(b"the kernel"))
    assert held["kernel"][1] == b"the kernel"
    assert members(held["initramfs"][1]).keys() == held.keys() - {"kernel", "initramfs", "bin/kexec"}
    assert held["bin/busybox"] == (0o100755, elf())


# Traces


def observer(seconds: float = 10) -> Observer:
    one = Observer((0, 1, 9), PAGES, ("mpwake: done",), seconds)
    one.feed(tick(0, OWN, 0) + tick(0, REGION, 1) + access(0, "write", OWN, 0xF20, 1))
    return one


def access(cpu: int, kind: str, region: str, offset: int, value: int, size: int = 4) -> bytes:
    event = f"memory_region_subpage_{kind} cpu {cpu} mr {region} offset {offset:#x} value {value:#x} size {size}\n"
    return event.encode()


def tick(hundredths: int, region: str = OWN, page: int = 0) -> bytes:
    return access(9, "write", region, 0xF1C, page << 28 | hundredths)


def write(address: int, value: int, cpu: int = 0, name: str = "serial") -> bytes:
    return (
        f"memory_region_ops_write cpu {cpu} mr 0x1 addr {address:#x} value {value:#x} size 1 name '{name}'\n".encode()
    )


def console(text: str) -> bytes:
    return b"".join(write(0x3F8, byte) for byte in text.encode())


def test_accesses_are_seen_in_order_with_their_time() -> None:
    one = observer()
    one.feed(access(0, "write", REGION, 4, 1) + tick(7) + access(0, "write", REGION, 0, 1, 2))
    assert [(seen.offset, seen.width, seen.seconds, seen.page) for seen in one.seen()] == [
        (4, 4, 0.0, 0x7F5E5000),
        (0, 2, 0.07, 0x7F5E5000),
    ]


def test_equal_loads_in_a_row_are_counted_whatever_time_passes() -> None:
    one = observer()
    load = access(0, "read", REGION, 0, 1, 2)
    one.feed(
        load * 2
        + tick(3)
        + load
        + write(0xFEE000B0, 0, name="apic-msi")
        + load
        + access(1, "write", REGION, 0, 0, 2)
        + load
    )
    assert [(seen.what, seen.times) for seen in one.seen()] == [("load", 4), ("store", 1), ("load", 1)]


def test_lines_may_carry_what_newer_versions_put_before_them_and_come_in_any_pieces() -> None:
    one = observer()
    data = b"123@1700000000.123456:" + access(0, "write", REGION, 4, 1) + console("hello\r\n")
    for byte in data:
        one.feed(bytes([byte]))
    assert [(seen.what, seen.text) for seen in one.seen()] == [("store", ""), ("line", "hello")]


def test_what_firmware_tells_is_told() -> None:
    one = observer()
    one.feed(
        access(1, "write", OWN, 0xF10, 0x9A000) + access(1, "write", OWN, 0xF14, 1) + access(1, "write", OWN, 0xF18, 1)
    )
    assert [(seen.what, seen.apic_id, seen.value) for seen in one.seen()] == [("jump", 1, 0x10009A000), ("reset", 1, 0)]


def test_only_what_starts_or_stops_a_processor_is_told_of_its_local_apic() -> None:
    one = observer()
    one.feed(write(0xFEE00310, 1 << 24) + write(0xFEE00300, 0xFD) + write(0xFEE00300, 0x4500))
    assert [(seen.what, seen.offset, seen.value) for seen in one.seen()] == [
        ("apic", 0x310, 1 << 24),
        ("apic", 0x300, 0x4500),
    ]


def test_the_divisor_of_the_serial_port_is_no_text() -> None:
    one = observer()
    one.feed(write(0x3FB, 0x83) + write(0x3F8, 0x41) + write(0x3FB, 3) + console("b\n"))
    assert [seen.text for seen in one.seen()] == ["b"]


def test_a_mark_ends_it_and_what_follows_is_not_seen() -> None:
    one = observer()
    one.feed(console("mpwake: done\n") + access(0, "write", REGION, 4, 1))
    assert one.end == "mark"
    assert [seen.what for seen in one.seen()] == ["line"]


def test_a_mark_before_the_kernel_is_entered_is_none() -> None:
    one = Observer((0, 9), PAGES, ("mpwake: done",), 1)
    one.feed(console("mpwake: done\n"))
    assert one.end == ""
    assert one.seen() == ()


def test_the_budget_is_time_of_the_machine() -> None:
    one = observer(seconds=2)
    one.feed(tick(199))
    assert one.end == ""
    one.feed(tick(200))
    assert one.end == "budget"


def test_what_is_kept_is_bounded() -> None:
    one = observer()
    for _ in range(MAX_SEEN // 1000 + 1):
        one.feed((access(0, "write", REGION, 4, 1) + access(0, "write", REGION, 4, 2)) * 500)
    assert (one.end, one.crowded) == ("budget", True)
    assert len(one.seen()) == MAX_SEEN


@pytest.mark.parametrize(
    "line",
    [
        b"memory_region_subpage_write cpu 0 mr 0x1 offset 0x4 value\n",
        b"memory_region_subpage_write cpu 0 mr 0x1 offset 0x4 value 0x1 size 3\n",
        b"memory_region_ops_write cpu zero\n",
        b"1@2:memory_region_subpage_read\n",
        access(7, "write", REGION, 0, 0),
        access(0, "write", REGION, 0x1000, 0),
        access(9, "write", REGION, 0, 0),
        tick(1, REGION, 0),
        tick(1, REGION, 5),
        b"x" * (1 << 17),
    ],
)
def test_a_trace_that_cannot_be_is_an_error_of_the_tool(line: bytes) -> None:
    with pytest.raises(ToolError, match="QEMU's trace"):
        observer().feed(line)


def test_an_access_to_a_page_that_nobody_knows_is_an_error() -> None:
    one = observer()
    one.feed(access(0, "write", "0x3", 4, 1))
    with pytest.raises(ToolError, match="none of the traced pages"):
        one.seen()


WORDS = st.sampled_from(
    [b"memory_region_subpage_write ", b"cpu 0 ", b"mr 0x1 ", b"offset 0x0 ", b"value 0x1 ", b"size 4", b"\n", b":"]
)


@given(st.lists(WORDS | st.binary(max_size=20), max_size=40).map(b"".join))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    one = observer()
    try:
        one.feed(data)
        one.seen()
    except ToolError as error:
        assert "QEMU's trace" in error.message


# Faults

DUMP = b"RAX=0 RBX=0\nCR0=80050033 CR2=0000000000000000 CR3=0000000000001000 CR4=000006a0\n"
FIRST = (
    b"check_exception old: 0xffffffff new 0xe\n"
    b"    13: v=0e e=000a i=0 cpl=0 IP=0010:000000000009a31e pc=000000000009a31e SP=0018:000000000009e020 "
    b"CR2=000000000009e018\n" + DUMP
)
THEN = (
    b"check_exception old: 0xe new 0xd\n"
    b"    14: v=08 e=0000 i=0 cpl=0 IP=0010:000000000009a31e pc=000000000009a31e SP=0018:000000000009e020 "
    b"env->regs[R_EAX]=000000000009c000\n" + DUMP + b"check_exception old: 0x8 new 0xd\n"
)


def test_the_first_fault_of_a_triple_one_is_told() -> None:
    log = faults.FaultLog()
    log.feed(access(1, "write", OWN, 0xF10, 0x9A2D0) + FIRST + THEN)
    assert not log.fatal
    log.feed(b"Triple fault\n")
    assert log.fatal
    assert (log.vector, log.error, log.rip, log.address) == (14, 10, 0x9A31E, 0x9E018)
    assert (log.apic_id, log.cr3) == (1, 0x1000)


def test_a_fault_elsewhere_is_of_nobody_known() -> None:
    log = faults.FaultLog()
    log.feed(access(1, "write", OWN, 0xF10, 0x80000) + FIRST + THEN + b"Triple fault\n")
    assert log.apic_id == faults.UNKNOWN


def test_code_is_found_through_the_page_tables() -> None:
    memory = bytearray(0x8000)
    for table, index, entry in ((0x1000, 0, 0x2003), (0x2000, 0, 0x3003), (0x3000, 0, 0x4003), (0x4000, 5, 0x6003)):
        struct.pack_into("<Q", memory, table + 8 * index, entry)
    memory[0x6FFC:0x7000] = b"code"

    def read(address: int, size: int) -> bytes:
        return bytes(memory[address : address + size])

    assert faults.code_at(0x5FFC, 0x1000, False, read) == b"code"
    assert faults.code_at(0x6000, 0x1000, False, read) == b""
    assert faults.code_at(0x5FFC, 0x7FFFF000, False, read) == b""


# Tools


def test_without_qemu_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(qemu.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="is not there") as caught:
        qemu.find()
    assert "qemu-system-x86" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hello", "does not say which version"),
        ("echo QEMU emulator version 6.2.0", "is QEMU 6.2.0, which is too old"),
        ("echo QEMU emulator version 9.2.0", "has no trace event"),
        ("exit 1", "does not say which version"),
    ],
)
def test_a_qemu_that_is_unfit_is_refused(script: str, said: str, tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(ToolError, match=said):
        qemu.version(str(program))


def test_a_memory_is_one_that_only_descriptors_name() -> None:
    memory = qemu.Memory("test", 0x1000)
    path = Path(memory.path)
    memory.map[:4] = b"data"
    assert path.read_bytes()[:4] == b"data"
    memory.close()
    assert not path.exists()


def test_what_is_left_in_memory_is_found() -> None:
    one, laid = machine(reset_vector=0), laid_out(reset_vector=0)
    assert one.tables.madt is not None and laid.polled is not None
    with qemu.Files(laid) as files:
        first = remains(files, laid, one)
        files.ram.map[4:8] = b"\x01\0\0\0"
        files.ram.map[laid.madt] = 0x55
        files.pages[laid.polled].map[4] = 3
        last = remains(files, laid, one)
    assert first.madt == one.tables.madt.data
    assert first.page == first.before
    assert recording.AT_0 not in first.facts
    assert last.madt == b"\x55" + first.madt[1:]
    assert (last.page[4], last.before) == (3, first.before)
    assert str(last.facts[recording.AT_0])[8:16] == "01000000"


SOURCES = {
    "rom.bin": ("rom.s", ("-e", "0xf0000", "-Ttext=0xf0000"), True),
    "probe.bin": ("probe.s", ("-e", "0x100000", "-Ttext=0x100000"), True),
    "../kvm/instructions.bin": ("../kvm/instructions.s", ("-e", "0x100000", "-Ttext=0x100000"), True),
    "kexec": ("kexec.s", ("-N", "-n", "-e", "start"), False),
}


@pytest.mark.skipif(any(shutil.which(one) is None for one in ("as", "ld", "objcopy")), reason="no binutils")
@pytest.mark.parametrize("name", SOURCES)
def test_the_bytes_are_those_of_the_sources(name: str, tmp_path: Path) -> None:
    source, linked, flat = SOURCES[name]
    made, program, code = tmp_path / "made.o", tmp_path / "program", tmp_path / "code"
    subprocess.run(["as", "-o", made, ROM / source], check=True)
    subprocess.run(["ld", *linked, "-o", program, made], check=True)
    copied = ["-O", "binary", "-j", ".text"] if flat else ["--strip-all"]
    subprocess.run(["objcopy", *copied, program, code], check=True)
    if flat:
        assert code.read_bytes() == (ROM / name).read_bytes()
        return
    # What a linker leaves around them differs from one to the next; what is loaded and run does not.
    assert loaded(code) == loaded(ROM / name)


def loaded(program: Path) -> tuple[int, bytes]:
    data = program.read_bytes()
    (at,) = struct.unpack_from("<Q", data, struct.unpack_from("<Q", data, 32)[0] + 8)
    (size,) = struct.unpack_from("<Q", data, struct.unpack_from("<Q", data, 32)[0] + 32)
    return struct.unpack_from("<Q", data, 24)[0], data[at : at + size]


def test_the_layout_has_the_addresses_of_the_rom() -> None:
    source = (ROM / "rom.s").read_text()
    for name, value in (
        ("BOOT", layout.BOOT),
        ("TELL", layout.TELL + layout.REGISTERS),
        ("ROM_PAGE", layout.ROM_START),
    ):
        assert f".set {name}," in source
        line = next(line for line in source.splitlines() if line.startswith(f".set {name},"))
        assert int(line.split(",")[1].split()[0], 0) == value
