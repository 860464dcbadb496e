"""The composer: YAML to bytes, wrong values on purpose, and mistakes in the YAML told with their place."""

from __future__ import annotations

import re

import pytest

from mpwake.evidence import madt
from mpwake.evidence.acpi import decode_header
from mpwake.evidence.aml import find_mat
from mpwake.evidence.compose import PAGE, TablesDocument, compose, encode_mat, hex_bytes
from mpwake.evidence.fdt import Node, cells, reg, strings
from mpwake.evidence.memory_map import MemoryType
from mpwake.evidence.tables import Tables
from mpwake.spec import document
from mpwake.spec.editions import NEWEST, Edition
from mpwake.spec.errors import InputError

# Catalogue B.4: a whole MADT with a version 1 structure.
B4 = bytes.fromhex(
    "41 50 49 43 54 00 00 00  07 E8 4D 50 57 53 50 43  4D 50 57 54 45 53 54 53  01 00 00 00 4D 50 57 43"
    "01 00 00 00 00 00 E0 FE  01 00 00 00 00 08 00 00  01 00 00 00 00 08 01 01  01 00 00 00 10 18 01 00"
    "00 00 00 00 00 50 5E 7F  00 00 00 00 80 60 5E 7F  00 00 00 00"
)
B4_YAML = """
madt:
  revision: 7
  entries:
    - lapic: {uid: 0, apic_id: 0}
    - lapic: {uid: 1, apic_id: 1}
    - wakeup: {version: 1, address: 0x7F5E5000, reset_vector: 0x7F5E6080}
"""
WAKEUP = "wakeup: {version: 1, address: 0x1000"


def composed(text: str) -> Tables:
    return compose(document.decode(document.parse(text, "p.yaml"), TablesDocument))


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        composed(text)
    return caught.value


def madt_of(text: str) -> madt.Madt:
    found = composed(text).madt
    assert found is not None
    return found


def root_of(tree: str) -> Node:
    found = composed(f"fdt: {{tree: {tree}}}").fdt
    assert found is not None
    assert found.damage == ()
    return found.root


def test_a_madt_is_composed_byte_for_byte() -> None:
    assert madt_of(B4_YAML).data.hex(" ") == B4.hex(" ")


def test_nothing_is_made_of_an_empty_document() -> None:
    assert composed("{}") == Tables()


def test_every_piece_is_composed() -> None:
    text = (
        "madt: {revision: 6, entries: []}\nfdt: {tree: {a: 1}, boot_cpuid: 3}\ncommand_line: quiet acpi=off\n"
        "memory_map: [{start: 0x1000, end: 0x2000, type: acpi-nvs}]\nmailbox: [{at: 4, data: FF FF}]\n"
        "mat: ['00 08 00 00 01 00 00 00']\nboot_apic_id: 5\nreset_code_size: 0x98\n"
    )
    found = compose(document.decode(document.parse(text, "p.yaml"), TablesDocument), Edition.ACPI_6_5, "here")
    assert found.madt is not None
    assert found.fdt is not None
    assert found.memory_map is not None
    assert found.command_line is not None
    assert (found.madt.table.revision, found.fdt.boot_cpuid) == (6, 3)
    assert (found.command_line.text, found.memory_map.source) == ("quiet acpi=off", "here")
    assert found.memory_map.types_of(0x1000, 0x2000) == {MemoryType.ACPI_NVS}
    assert found.mailbox == bytes(4) + b"\xff\xff" + bytes(PAGE - 6)
    assert [table.signature for table in found.aml] == ["SSDT"]
    assert (found.boot_apic_id, found.reset_code_size, found.edition) == (5, 0x98, Edition.ACPI_6_5)
    assert composed(text).edition is NEWEST


@pytest.mark.parametrize(
    ("entry", "encoded"),
    [
        ("lapic: {uid: 255, apic_id: 255, flags: 0xFFFFFFFF}", "00 08 FF FF FF FF FF FF"),
        ("lapic: {uid: 0, apic_id: 0, flags: 0, length: 0}", "00 00 00 00 00 00 00 00"),
        ("x2apic: {uid: 0xFFFFFFFF, apic_id: 0x100}", "09 10 00 00 00 01 00 00 01 00 00 00 FF FF FF FF"),
        ("x2apic: {uid: 1, apic_id: 2, length: 20}", "09 14 00 00 02 00 00 00 01 00 00 00 01 00 00 00"),
        (
            "wakeup: {version: 0xFFFF, address: 0xFFFFFFFFFFFFFFFF, reserved: 0xFFFFFFFF, type: 255, length: 255}",
            "FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF",
        ),
        (WAKEUP + ", reset_vector: 0}", "10 18 01 00 00 00 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
        ("raw: '7F 03 aa'", "7F 03 AA"),
        ("raw: ''", ""),
    ],
)
def test_every_field_of_an_entry_can_be_given(entry: str, encoded: str) -> None:
    found = madt_of(f"madt: {{revision: 255, entries: [{{{entry}}}]}}")
    assert found.data[44:] == bytes.fromhex(encoded)
    assert (found.table.revision, found.table.sum) == (255, 0)


@pytest.mark.parametrize("length", [0, 44, 83, 0xFFFFFFFF])
def test_a_length_of_the_header_can_be_given_with_a_checksum_over_all_bytes(length: int) -> None:
    data = madt_of(f"{B4_YAML}  length: {length}\n").data
    assert sum(data) % 256 == 0
    assert data == B4[:4] + length.to_bytes(4, "little") + B4[8:9] + data[9:10] + B4[10:]


def test_patches_are_written_in_order_after_the_checksum_was_made() -> None:
    data = madt_of(f"{B4_YAML}  patch: [{{at: 9, data: '00'}}, {{at: 9, data: '01 02'}}, {{at: 86, data: ff}}]\n").data
    assert data == B4[:9] + b"\x01\x02" + B4[11:] + b"\0\0\xff"


def test_a_patch_changes_a_blob_and_nothing_around_it() -> None:
    plain = composed("fdt: {tree: {a: 1}}").fdt
    patched = composed("fdt: {tree: {a: 1}, patch: [{at: 28, data: '00 00 00 07'}]}").fdt
    assert plain is not None
    assert patched is not None
    assert patched.boot_cpuid == 7
    assert patched.data == plain.data[:28] + b"\0\0\0\x07" + plain.data[32:]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("text", strings("text")),
        ('""', b"\0"),
        ("[a, b]", strings("a", "b")),
        ("0", cells(0)),
        ("0xFFFFFFFF", cells(0xFFFFFFFF)),
        ("[0, 0x7F5E5000, 0, 0x1000]", cells(0, 0x7F5E5000, 0, 0x1000)),
        ("true", b""),
        ("{bytes: '00 ff'}", b"\x00\xff"),
        ("{bytes: ''}", b""),
    ],
)
def test_a_property_is_text_cells_nothing_or_bytes(given: str, value: bytes) -> None:
    (found,) = root_of(f"{{a: {given}}}").properties
    assert (found.name, found.value) == ("a", value)


def test_a_mapping_is_a_node() -> None:
    root = root_of("{'#address-cells': 2, '#size-cells': 1, n@1000: {reg: [0, 0x1000, 0x20]}, empty: {}}")
    assert [child.name for child in root.children] == ["n@1000", "empty"]
    assert reg(root.children[0], root) == ((0x1000, 0x20),)


@pytest.mark.parametrize(
    ("entry", "column", "message"),
    [
        ("lapic: {uid: 0, apic_id: 256}", 31, "apic_id of a type 0 entry is 0x100, which does not fit into 8 bits"),
        ("lapic: {uid: 256, apic_id: 0}", 31, "uid of a type 0 entry is 0x100, which does not fit into 8 bits"),
        ("lapic: {uid: 0, apic_id: -1}", 39, "apic_id is -0x1, which does not fit into 32 bits"),
        ("lapic: {uid: 0, apic_id: 0, length: 256}", 39, "length is 0x100, which does not fit into 8 bits"),
        ("x2apic: {uid: 0, apic_id: 0x100000000}", 40, "apic_id is 0x100000000, which does not fit into 32 bits"),
        ("x2apic: {uid: 0, apic_id: 0, flags: -1}", 40, "flags is -0x1, which does not fit into 32 bits"),
        (WAKEUP + ", reset_vector: -1}", 40, "reset_vector is -0x1, which does not fit into 64 bits"),
        (WAKEUP + ", reserved: 0x100000000}", 40, "reserved is 0x100000000, which does not fit into 32 bits"),
        (WAKEUP + ", type: 256}", 40, "type is 0x100, which does not fit into 8 bits"),
        (WAKEUP + ", length: -1}", 40, "length is -0x1, which does not fit into 8 bits"),
        ("wakeup: {version: 65536, address: 0}", 40, "version is 0x10000, which does not fit into 16 bits"),
        ("wakeup: {version: 0, address: 1" + "0" * 20 + "}", 40, "which does not fit into 64 bits"),
        ("raw: '1'", 31, "'1' is not bytes in hex, such as '10 18 01 00'"),
        ("raw: 'zz'", 31, "'zz' is not bytes in hex"),
        ("raw: 0010", 37, "expected text, found 10"),
        ("", 31, "exactly one of the keys lapic, x2apic, wakeup, raw"),
        ("raw: '', wakeup: {version: 0, address: 0}", 31, "exactly one of the keys lapic, x2apic, wakeup, raw"),
        ("lapci: {uid: 0, apic_id: 0}", 32, "unknown key 'lapci'"),
        ("lapic: {uid: 0}", 39, "the key 'apic_id' is missing"),
    ],
)
def test_a_wrong_entry_is_told_with_its_place(entry: str, column: int, message: str) -> None:
    error = refused(f"madt: {{revision: 7, entries: [{{{entry}}}]}}")
    assert message in error.message
    assert error.where == f"p.yaml:1:{column}"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("madt: {revision: 256, entries: []}", "1:7", "revision is 0x100, which does not fit into 8 bits"),
        ("madt: {revision: -1, entries: []}", "1:7", "revision is -0x1"),
        ("madt: {revision: 7, entries: [], length: 0x100000000}", "1:7", "length is 0x100000000"),
        ("madt: {revision: 7, entries: [], length: -1}", "1:7", "length is -0x1"),
        (
            "madt: {revision: 7, entries: [], patch: [{at: -1, data: ''}]}",
            "1:42",
            "at is -0x1, which does not fit into 20 bits",
        ),
        ("madt:\n  revision: 7\n  entries: []\n  patch: [{at: 0, data: q}]", "4:11", "'q' is not bytes in hex"),
        ("mailbox: [{at: 0, data: '0'}]", "1:11", "'0' is not bytes in hex"),
        ("mailbox: [{at: 0, data: 0}]", "1:25", "expected text, found 0"),
        ("memory_map: [{start: 1, end: 1, type: usable}]", "1:14", "the end 0x1 is not above the start 0x1"),
        ("memory_map: [{start: -1, end: 1, type: usable}]", "1:14", "the start -0x1 is not an address of 64 bits"),
        ("memory_map: [{start: 0, end: 1, type: usbale}]", "1:39", "'usbale' is not a known value"),
        ("command_line: 5", "1:15", "expected text, found 5"),
        ("boot_apic_id: x", "1:15", "expected an integer, found 'x'"),
        ("reset_code_size: 1.5", "1:18", "expected an integer, found 1.5"),
        ("fdt: {tree: [1]}", "1:13", "a node of the tree is a mapping"),
        ("fdt: {tree: {a: -1}}", "1:17", "-1 is not a property"),
        ("fdt: {tree: {a: 0x100000000}}", "1:17", "4294967296 is not a property"),
        ("fdt: {tree: {a: 1.5}}", "1:17", "1.5 is not a property"),
        ("fdt: {tree: {a: false}}", "1:17", "False is not a property"),
        ("fdt: {tree: {a: ~}}", "1:17", "None is not a property"),
        ("fdt: {tree: {a: []}}", "1:17", "[] is not a property"),
        ("fdt: {tree: {a: [1, b]}}", "1:17", "[1, 'b'] is not a property"),
        ("fdt: {tree: {a: [true]}}", "1:17", "[True] is not a property"),
        ("fdt: {tree: {a: [[1]]}}", "1:17", "[[1]] is not a property"),
        ("fdt:\n  tree:\n    n:\n      a: {bytes: xx}", "4:18", "'xx' is not bytes in hex"),
        ("fdt: {tree: {n: {b: {bytes: '1'}}}}", "1:29", "'1' is not bytes in hex"),
        ("fdt: {boot_cpuid: 0}", "1:6", "the key 'tree' is missing"),
        ("mdat: {}", "1:1", "unknown key 'mdat'"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(text: str, place: str, message: str) -> None:
    error = refused(text)
    assert message in error.message
    assert error.where == f"p.yaml:{place}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("mat: ['zz']", id="bad hex in mat"),
        pytest.param(f"mat: ['{'00' * 256}']", id="a _MAT buffer of 256 bytes"),
        pytest.param("fdt: {tree: {a: é}}", id="text that is not ASCII"),
        pytest.param("fdt: {tree: {é: 1}}", id="a property name that is not ASCII"),
        pytest.param("fdt: {tree: {}, boot_cpuid: -1}", id="boot_cpuid below 0"),
        pytest.param("fdt: {tree: {}, boot_cpuid: 0x100000000}", id="boot_cpuid above 32 bits"),
        pytest.param("fdt: {tree: {}, patch: [{at: 0, data: '00'}]}", id="a patch over the magic number"),
        pytest.param("madt: {revision: 7, entries: [], patch: [{at: 0, data: '00'}]}", id="a patch over the signature"),
        pytest.param("mailbox: [{at: 100000000000000000000, data: '00'}]", id="a patch at no offset of any table"),
        pytest.param(f"command_line: '{'a' * 65537}'", id="a command line above 64 KiB"),
    ],
)
def test_what_cannot_be_composed_is_an_input_error_with_its_place(text: str) -> None:
    assert refused(text).where.startswith("p.yaml:")


@pytest.mark.parametrize("text", ["boot_apic_id: -1", "boot_apic_id: 0x100000000", "reset_code_size: -1"])
def test_a_number_out_of_its_range_is_refused(text: str) -> None:
    refused(text)


def test_bytes_that_yaml_takes_for_a_number_are_refused() -> None:
    refused("fdt: {tree: {a: {bytes: 0010}}}")


def test_the_mailbox_page_stays_a_page() -> None:
    refused("mailbox: [{at: 4096, data: '00'}]")


@pytest.mark.parametrize(
    ("text", "data"),
    [("", b""), ("00", b"\0"), (" 00  fF\n", b"\x00\xff"), ("DEADbeef", b"\xde\xad\xbe\xef"), ("de ad", b"\xde\xad")],
)
def test_hex_is_read_in_either_case_with_blanks(text: str, data: bytes) -> None:
    assert hex_bytes(text) == data


@pytest.mark.parametrize("text", ["0", "0 0", "0x00", "zz", "00,00"])
def test_what_is_not_hex_is_a_value_error_that_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not bytes in hex")):
        hex_bytes(text)


BUFFERS = (
    b"",
    bytes.fromhex("00 08 02 04 01 00 00 00"),
    # At 58 and 59 bytes the lengths of the buffer and of the device pass from one byte to two.
    *(bytes(size) for size in (48, 49, 50, 51, 58, 59, 60, 61, 62, 63, 64, 65)),
    bytes(range(255)),
)


@pytest.mark.parametrize("data", BUFFERS, ids=len)
def test_a_mat_buffer_is_found_by_the_search(data: bytes) -> None:
    table = decode_header(encode_mat((data,)))
    assert (table.signature, table.sum, table.length) == ("SSDT", 0, len(table.data))
    (found,) = find_mat(table)
    assert (found.kind, found.complete, [content for _, content in found.buffers]) == ("name", True, [data])


def test_every_mat_buffer_is_found_in_order() -> None:
    table = decode_header(encode_mat(BUFFERS))
    assert [one.buffers[0][1] for one in find_mat(table)] == list(BUFFERS)
    for one in find_mat(table):
        offset, data = one.buffers[0]
        assert table.data[offset : offset + len(data)] == data


def test_no_buffers_make_an_empty_table() -> None:
    assert find_mat(decode_header(encode_mat(()))) == ()
