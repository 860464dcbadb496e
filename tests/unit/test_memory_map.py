"""Memory maps as Linux prints them, as /sys/firmware/memmap has them, and as YAML."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpwake.evidence import memory_map as m
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.memory_map import MemoryMap, MemoryRange, MemoryType, Range
from mpwake.spec import document
from mpwake.spec.errors import InputError

TOP = 1 << 64

DMESG = """\
[    0.000000] Linux version 6.10.0 (builder@host)
[    0.000000] BIOS-provided physical RAM map:
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000007f5e4fff] usable
[    0.000000] BIOS-e820: [mem 0x000000007f5e5000-0x000000007f5e6fff] ACPI NVS
[    0.000000] BIOS-e820: [mem 0x000000007f5e7000-0x000000007f5e8fff] ACPI data
[    0.000000] NX (Execute Disable) protection: active
[    0.000000] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved
[    0.000000] modified physical RAM map:
[    0.000000] modified: [mem 0x0000000000000000-0x0000000000000fff] reserved
[    0.000000] modified: [mem 0x0000000000001000-0x000000000009fbff] usable
[    0.000000] [mem 0x80000000-0xfebfffff] available for PCI devices
"""


def one_line(label: str, start: str = "0x1000", end: str = "0x1fff") -> str:
    return f"BIOS-e820: [mem {start}-{end}] {label}\n"


def kinds(found: MemoryMap) -> list[MemoryType]:
    return [one.type for one in found.ranges]


def yaml(text: str) -> document.Node:
    return document.parse(text, "map.yaml")


def fill(folder: Path, start: str = "0x1000\n", end: str = "0x1fff\n", kind: str = "System RAM\n") -> Path:
    folder.mkdir(parents=True)
    for name, text in (("start", start), ("end", end), ("type", kind)):
        (folder / name).write_text(text)
    return folder


def test_dmesg_gives_the_map_of_the_firmware_and_not_the_modified_one() -> None:
    found = m.parse_e820(DMESG)
    assert found.source == "BIOS-e820 map"
    assert found.ranges[0] == Range(0, 0x9FC00, MemoryType.USABLE, "usable", 3)
    assert found.ranges[3] == Range(0x7F5E5000, 0x7F5E7000, MemoryType.ACPI_NVS, "ACPI NVS", 6)
    assert len(found.ranges) == 5


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "[    0.000000] ",
        "[Mon Nov 21 01:15:00 2025] ",
        "Nov 21 01:15:00 host kernel: ",
        "<6>",
        "<6>[    0.000000] ",
        "kern  :info  : [    0.000000] ",
        " ",
    ],
)
def test_a_line_is_read_behind_whatever_dmesg_and_syslog_put_before_it(prefix: str) -> None:
    assert m.parse_e820(prefix + one_line("usable")).ranges[0].start == 0x1000


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("usable", MemoryType.USABLE),
        ("reserved", MemoryType.RESERVED),
        ("ACPI data", MemoryType.ACPI_RECLAIMABLE),
        ("ACPI NVS", MemoryType.ACPI_NVS),
        ("unusable", MemoryType.UNUSABLE),
        ("persistent (type 7)", MemoryType.PERSISTENT),
        ("persistent (type 12)", MemoryType.OTHER),
        ("persistent RAM (type 7)", MemoryType.PERSISTENT),
        ("soft reserved", MemoryType.OTHER),
        ("Soft Reserved", MemoryType.OTHER),
        ("device reserved", MemoryType.RESERVED),
        ("System RAM", MemoryType.USABLE),
        ("type 4", MemoryType.ACPI_NVS),
        ("type 6", MemoryType.OTHER),
        ("type 4294967295", MemoryType.OTHER),
    ],
)
def test_each_word_of_linux_has_its_type_and_stays_the_label(label: str, kind: MemoryType) -> None:
    found = m.parse_e820(one_line(label)).ranges[0]
    assert (found.type, found.label) == (kind, label)


def test_a_newer_kernel_prints_gaps_and_two_blanks() -> None:
    text = (
        "[    0.000000] BIOS-e820: [gap 0x0000000000000000-0x0000000000000fff]\n"
        "[    0.000000] BIOS-e820: [mem 0x0000000000001000-0x000000000009efff]  System RAM\r\n"
        "[    0.000000] BIOS-e820: [mem 0x000000000009f000-0x00000000000fffff]  device reserved\r\n"
    )
    assert kinds(m.parse_e820(text)) == [MemoryType.USABLE, MemoryType.RESERVED]


def test_the_last_byte_of_the_address_space_can_be_in_a_range() -> None:
    text = one_line("reserved", "0xffffffffffffffff", "0xffffffffffffffff")
    assert m.parse_e820(text).ranges[0].end == TOP


@pytest.mark.parametrize("printer", ["Xen", "BIOS-e801", "BIOS-88", "reserve setup_data", "e820", "user", "modified"])
def test_another_map_is_read_when_the_one_of_the_bios_is_missing(printer: str) -> None:
    found = m.parse_e820(f"[    0.000000] {printer}: [mem 0x1000-0x1fff] ACPI NVS\n")
    assert (found.source, kinds(found)) == (f"{printer} map", [MemoryType.ACPI_NVS])


def test_memory_left_for_pci_devices_is_no_range() -> None:
    with pytest.raises(CodecError):
        m.parse_e820("e820: [mem 0xc0000000-0xfebfffff] available for PCI devices\n")


def test_of_two_boots_in_one_log_the_last_counts() -> None:
    title = "BIOS-provided physical RAM map:\n"
    found = m.parse_e820(title + one_line("usable") + title + one_line("reserved"))
    assert kinds(found) == [MemoryType.RESERVED]


def test_a_line_that_is_repeated_counts_once() -> None:
    assert len(m.parse_e820(one_line("usable") * 3).ranges) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("BIOS-e820: [mem 0x1000-0xfff] usable", "an end of at least the start 0x1000"),
        ("BIOS-e820: [mem 0x0-0x10000000000000000] usable", "addresses of 64 bits"),
        ("BIOS-e820: [mem 0x1000-] usable", "[mem 0x<start>-0x<end>] <type>"),
        ("BIOS-e820: [mem 1000-1fff] usable", "[mem 0x<start>-0x<end>] <type>"),
        ("BIOS-e820: 0000000000000000 - 000000000009dc00 (usable)", "[mem 0x<start>-0x<end>] <type>"),
        ("BIOS-e820: [mem 0x1000-0x1fff] usabel", "a type as Linux prints it"),
        ("BIOS-e820: [mem 0x1000-0x1fff]", "a type as Linux prints it"),
    ],
)
def test_a_malformed_line_is_named_with_what_would_be_right(line: str, expected: str) -> None:
    with pytest.raises(CodecError) as caught:
        m.parse_e820(f"{one_line('usable')}\n{line}\n")
    assert (caught.value.unit, caught.value.offset, caught.value.expected) == ("line", 3, expected)


def test_a_misspelt_type_comes_with_a_suggestion() -> None:
    with pytest.raises(CodecError, match="did you mean 'ACPI NVS'"):
        m.parse_e820(one_line("ACPI NSV"))


@pytest.mark.parametrize("text", ["", "\n\n", "hello\n", "BIOS-e820: [gap 0x0-0xfff]\n"])
def test_text_without_a_map_is_an_error_in_lines(text: str) -> None:
    with pytest.raises(CodecError, match="none in the whole text") as caught:
        m.parse_e820(text)
    assert caught.value.unit == "line"


def test_the_number_of_ranges_and_the_size_of_the_text_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "".join(one_line("usable", hex(at << 12), hex((at << 12) + 1)) for at in range(m.MAX_RANGES + 1))
    with pytest.raises(CodecError, match="4096 ranges"):
        m.parse_e820(many)
    monkeypatch.setattr(m, "MAX_TEXT", 10)
    with pytest.raises(CodecError, match="at most 10 characters"):
        m.parse_e820(DMESG)


def test_what_is_encoded_is_what_linux_prints() -> None:
    found = m.encode_e820(m.parse_e820(DMESG)).splitlines()
    assert found == [line.split("] ", 1)[1] for line in DMESG.splitlines() if "BIOS-e820:" in line]


@pytest.mark.parametrize(("kind", "word"), [("EfiACPIMemoryNVS", "ACPI NVS"), ("EfiPalCode", "reserved")])
def test_a_label_that_linux_does_not_know_gives_way_when_encoded(kind: str, word: str) -> None:
    found = m.parse_uefi_yaml(yaml(f"uefi_memory_map: [{{type: {kind}, start: 0x1000, pages: 1}}]"))
    assert m.encode_e820(found) == f"BIOS-e820: [mem 0x0000000000001000-0x0000000000001fff] {word}\n"


@pytest.mark.parametrize(("start", "end"), [(2, 2), (2, 1), (-1, 5), (0, TOP + 1), (TOP, TOP + 1)])
def test_a_range_is_checked_at_once(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="0x"):
        Range(start, end, MemoryType.USABLE, "usable", 0)


def layout(*ranges: tuple[int, int, MemoryType]) -> MemoryMap:
    return m.memory_map_of(tuple(MemoryRange(*one) for one in ranges), "test")


MIXED = layout(
    (0x3000, 0x5000, MemoryType.ACPI_NVS),
    (0x0000, 0x2000, MemoryType.USABLE),
    (0x4000, 0x6000, MemoryType.RESERVED),
    (0x6000, TOP, MemoryType.USABLE),
)


def test_ranges_are_sorted_by_start() -> None:
    assert [one.start for one in MIXED.ranges] == [0, 0x3000, 0x4000, 0x6000]
    assert [one.line for one in MIXED.ranges] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("start", "end", "starts"),
    [
        (0x2000, 0x3000, []),
        (0x1FFF, 0x3001, [0, 0x3000]),
        (0x4000, 0x4001, [0x3000, 0x4000]),
        (0x4000, 0x4000, []),
        (TOP - 1, TOP + 5, [0x6000]),
    ],
)
def test_covering_takes_the_end_as_exclusive(start: int, end: int, starts: list[int]) -> None:
    assert [one.start for one in MIXED.covering(start, end)] == starts


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0x3000, 0x4000, {MemoryType.ACPI_NVS}),
        (0x4FFF, 0x5001, {MemoryType.ACPI_NVS, MemoryType.RESERVED}),
        (0x2000, 0x3000, {None}),
        (0x2800, 0x3800, {None, MemoryType.ACPI_NVS}),
        (0x1000, 0x4000, {MemoryType.USABLE, None, MemoryType.ACPI_NVS}),
        (TOP - 1, TOP + 1, {MemoryType.USABLE, None}),
        (0x1000, 0x1000, set()),
    ],
)
def test_types_of_tells_every_type_and_gaps(start: int, end: int, expected: set[MemoryType | None]) -> None:
    assert MIXED.types_of(start, end) == expected


def test_usable_below_is_clipped() -> None:
    assert [(one.start, one.end) for one in MIXED.usable_below(0x7000)] == [(0, 0x2000), (0x6000, 0x7000)]
    assert MIXED.usable_below(0) == ()


def test_usable_below_leaves_out_what_another_range_claims() -> None:
    found = layout(
        (0, 0x9000, MemoryType.USABLE), (0x1000, 0x2000, MemoryType.RESERVED), (0x8000, 0xA000, MemoryType.OTHER)
    )
    assert [(one.start, one.end) for one in found.usable_below(0x9000)] == [(0, 0x1000), (0x2000, 0x8000)]


def test_an_exhibit_marks_the_covering_lines_between_their_neighbours() -> None:
    found = m.parse_e820(DMESG).exhibit(0x7F5E5000, 0x7F5E6000)
    assert found.name == "BIOS-e820 map"
    assert found.text.splitlines() == [
        "  [mem 0x000000000009fc00-0x000000000009ffff] reserved",
        "  [mem 0x0000000000100000-0x000000007f5e4fff] usable",
        "> [mem 0x000000007f5e5000-0x000000007f5e6fff] ACPI NVS",
        "  [mem 0x000000007f5e7000-0x000000007f5e8fff] ACPI data",
    ]


def test_an_exhibit_of_a_gap_shows_the_lines_on_both_sides_unmarked() -> None:
    assert m.parse_e820(DMESG).exhibit(0xC0000, 0xC1000).text.splitlines() == [
        "  [mem 0x0000000000000000-0x000000000009fbff] usable",
        "  [mem 0x000000000009fc00-0x000000000009ffff] reserved",
        "  [mem 0x0000000000100000-0x000000007f5e4fff] usable",
        "  [mem 0x000000007f5e5000-0x000000007f5e6fff] ACPI NVS",
    ]


def test_an_exhibit_shows_the_label_where_it_says_more_than_the_type() -> None:
    found = m.parse_uefi_yaml(yaml("uefi_memory_map: [{type: EfiBootServicesData, start: 0, pages: 1}]"))
    line = "> [mem 0x0000000000000000-0x0000000000000fff] usable (EfiBootServicesData)"
    assert found.exhibit(0, 1).text == line


def test_an_exhibit_is_bounded_and_never_empty() -> None:
    many = layout(*((at << 12, (at << 12) + 1, MemoryType.USABLE) for at in range(100)))
    lines = many.exhibit(0, TOP).text.splitlines()
    assert len(lines) == m.SHOWN_AT_MOST + 1
    assert lines[-1] == "  ... and 52 more"
    assert MemoryMap("nothing", ()).exhibit(0, 1).text == "  no ranges"


def test_a_sysfs_folder_is_read_in_the_order_of_addresses(tmp_path: Path) -> None:
    fill(tmp_path / "10", "0x0\n", "0x9fbff\n")
    fill(tmp_path / "2", "0xffffffff00000000\n", "0xffffffffffffffff\n", "ACPI Non-volatile Storage\n")
    (tmp_path / "notes").mkdir()
    found = m.read_sysfs_memmap(tmp_path)
    assert found.source == str(tmp_path)
    assert [(one.start, one.end, one.label) for one in found.ranges] == [
        (0, 0x9FC00, "System RAM"),
        (0xFFFFFFFF00000000, TOP, "ACPI Non-volatile Storage"),
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("System RAM", MemoryType.USABLE),
        ("Reserved", MemoryType.RESERVED),
        ("Device reserved", MemoryType.RESERVED),
        ("ACPI Tables", MemoryType.ACPI_RECLAIMABLE),
        ("ACPI Non-volatile Storage", MemoryType.ACPI_NVS),
        ("Unusable memory", MemoryType.UNUSABLE),
        ("Persistent Memory", MemoryType.PERSISTENT),
        ("Persistent Memory (legacy)", MemoryType.OTHER),
        ("Soft Reserved", MemoryType.OTHER),
        ("Unknown E820 type", MemoryType.OTHER),
    ],
)
def test_each_type_of_sysfs_is_known(tmp_path: Path, kind: str, expected: MemoryType) -> None:
    fill(tmp_path / "0", kind=kind + "\n")
    assert kinds(m.read_sysfs_memmap(tmp_path)) == [expected]


@pytest.mark.parametrize(
    ("start", "end", "kind", "expected"),
    [
        ("", "0x1fff", "System RAM", "an address of 64 bits"),
        ("4096", "0x1fff", "System RAM", "an address of 64 bits"),
        ("0x11112222333344445", "0x1fff", "System RAM", "an address of 64 bits"),
        ("0x2000", "0x1fff", "System RAM", "an end of at least the start 0x2000"),
        ("0x1000", "0x1fff", "System RUM", "did you mean 'System RAM'"),
        ("0x1000", "0x1fff", "x" * 500, "at most 128 bytes"),
        ("0x1000", "0x1fff", "Systém RAM", "ASCII"),
    ],
)
def test_a_garbled_sysfs_file_names_its_folder(tmp_path: Path, start: str, end: str, kind: str, expected: str) -> None:
    fill(tmp_path / "7", start, end, kind)
    with pytest.raises(CodecError) as caught:
        m.read_sysfs_memmap(tmp_path)
    assert str(tmp_path / "7") in str(caught.value)
    assert expected in str(caught.value)


def test_a_missing_sysfs_file_names_its_folder(tmp_path: Path) -> None:
    (fill(tmp_path / "7") / "end").unlink()
    with pytest.raises(CodecError) as caught:
        m.read_sysfs_memmap(tmp_path)
    assert f"{tmp_path / '7'}, file end" in str(caught.value)


def test_a_pipe_in_place_of_a_sysfs_file_is_not_waited_for(tmp_path: Path) -> None:
    (fill(tmp_path / "0") / "end").unlink()
    os.mkfifo(tmp_path / "0" / "end")
    with pytest.raises(CodecError, match="a folder or a device"):
        m.read_sysfs_memmap(tmp_path)


def test_a_folder_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        m.read_sysfs_memmap(tmp_path / "missing")


def test_a_sysfs_file_that_cannot_be_read_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    fill(tmp_path / "0")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        m.read_sysfs_memmap(tmp_path)


def test_the_number_of_sysfs_folders_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CodecError, match="folders named 0"):
        m.read_sysfs_memmap(tmp_path)
    for name in "012":
        fill(tmp_path / name)
    monkeypatch.setattr(m, "MAX_RANGES", 2)
    with pytest.raises(CodecError, match="at most 2 folders"):
        m.read_sysfs_memmap(tmp_path)


def test_this_machine_has_a_map() -> None:
    folder = Path("/sys/firmware/memmap")
    if not (folder / "0" / "start").exists():
        pytest.skip("this machine has no /sys/firmware/memmap (the kernel needs CONFIG_FIRMWARE_MEMMAP)")
    if not os.access(folder / "0" / "start", os.R_OK):
        pytest.skip("/sys/firmware/memmap can be read by root only")
    assert MemoryType.USABLE in kinds(m.read_sysfs_memmap(folder))


UEFI_KINDS = {
    0: MemoryType.RESERVED,
    1: MemoryType.USABLE,
    2: MemoryType.USABLE,
    3: MemoryType.USABLE,
    4: MemoryType.USABLE,
    5: MemoryType.RESERVED,
    6: MemoryType.RESERVED,
    7: MemoryType.USABLE,
    8: MemoryType.UNUSABLE,
    9: MemoryType.ACPI_RECLAIMABLE,
    10: MemoryType.ACPI_NVS,
    11: MemoryType.RESERVED,
    12: MemoryType.RESERVED,
    13: MemoryType.RESERVED,
    14: MemoryType.PERSISTENT,
    15: MemoryType.RESERVED,
}


@pytest.mark.parametrize(("number", "kind"), UEFI_KINDS.items())
def test_a_uefi_type_is_known_by_name_and_number(number: int, kind: MemoryType) -> None:
    for word in (number, m.UEFI_TYPES[number]):
        found = m.parse_uefi_yaml(yaml(f"uefi_memory_map:\n- {{type: {word}, start: 0x7F5E5000, pages: 2}}\n"))
        assert found.ranges == (Range(0x7F5E5000, 0x7F5E7000, kind, str(word), 2),)


@pytest.mark.parametrize("word", ["16", "0x70000001", "0xffffffff", "EfiMaxMemoryType"])
def test_a_uefi_type_that_is_not_known_is_reserved(word: str) -> None:
    found = m.parse_uefi_yaml(yaml(f"uefi_memory_map: [{{type: {word}, start: 0, pages: 1}}]"))
    assert kinds(found) == [MemoryType.RESERVED]


def test_the_form_of_the_suite_is_read_with_its_lines() -> None:
    text = """\
memory_map:
- {start: 0x2000, end: 0x3000, type: acpi-nvs}
- {start: 0, end: 0x1000, type: usable}
"""
    found = m.parse_uefi_yaml(yaml(text))
    assert found == MemoryMap(
        "map.yaml",
        (
            Range(0, 0x1000, MemoryType.USABLE, "usable", 3),
            Range(0x2000, 0x3000, MemoryType.ACPI_NVS, "acpi-nvs", 2),
        ),
    )


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("[]", "map.yaml:1:1", "expected a mapping"),
        ("{}", "map.yaml:1:1", "exactly one of the keys"),
        ("memory_map: []", "map.yaml:1:1", "0 ranges"),
        ("{memory_map: [], uefi_memory_map: []}", "map.yaml:1:1", "exactly one of the keys"),
        ("memory_mop: []", "map.yaml:1:1", "unknown key 'memory_mop'"),
        ("memory_map: 5", "map.yaml:1:13", "expected a list"),
        ("memory_map:\n- {start: 5, end: 5, type: usable}", "map.yaml:2:3", "the end 0x5 is not above"),
        ("memory_map:\n- {start: 5, end: 0x10000000000000001, type: usable}", "map.yaml:2:3", "at most"),
        ("memory_map:\n- {start: 5, end: 6, type: usabel}", "map.yaml:2:28", "not a known value"),
        ("memory_map:\n- {start: a, end: 6, type: usable}", "map.yaml:2:11", "expected an integer"),
        ("memory_map:\n- {end: 6, type: usable}", "map.yaml:2:3", "the key 'start' is missing"),
        ("uefi_memory_map:\n- {type: 7, start: 1, pages: 1}", "map.yaml:2:3", "not a multiple of 0x1000"),
        ("uefi_memory_map:\n- {type: 7, start: 0, pages: 0}", "map.yaml:2:3", "at least one"),
        ("uefi_memory_map:\n- {type: -7, start: 0, pages: 1}", "map.yaml:2:3", "32 bits"),
        ("uefi_memory_map:\n- {type: true, start: 0, pages: 1}", "map.yaml:2:10", "an integer or text"),
        ("uefi_memory_map:\n- {type: 7, start: -4096, pages: 1}", "map.yaml:2:3", "64 bits"),
        ("uefi_memory_map:\n- {type: 7, start: 0xfffffffffffff000, pages: 2}", "map.yaml:2:3", "at most"),
    ],
)
def test_a_mistake_in_yaml_is_told_with_its_place(text: str, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        m.parse_uefi_yaml(yaml(text))
    assert caught.value.where == where


def test_a_map_in_yaml_may_end_with_the_address_space() -> None:
    found = m.parse_uefi_yaml(yaml("uefi_memory_map: [{type: 0, start: 0xfffffffffffff000, pages: 1}]"))
    assert found.ranges[0].end == TOP


def test_the_document_has_a_schema() -> None:
    found = document.schema("memory map", m.MemoryMapDocument)
    assert set(found["$defs"]) == {"MemoryMapDocument", "MemoryRange", "UefiDescriptor"}
