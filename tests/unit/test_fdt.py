"""The flattened DeviceTree reader and writer: the worked tree, dtc's opinion of it, and one test per kind of damage."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import Any, SupportsIndex

import pytest

from mpwake.evidence import fdt as format_
from mpwake.evidence.exhibit import CodecError, Mark
from mpwake.evidence.fdt import (
    BEGIN_NODE,
    END,
    END_NODE,
    MAX_DAMAGE,
    MAX_DEPTH,
    NOP,
    PROP,
    Fdt,
    Node,
    Property,
    Reservation,
    Tree,
    cells,
    cells64,
    decode_fdt,
    encode_fdt,
    reg,
    strings,
)

WORKED_DTS = """
/dts-v1/;
/ {
    compatible = "x,y"; model = "m";
    #address-cells = <2>; #size-cells = <2>;
    cpus {
        #address-cells = <1>; #size-cells = <0>;
        cpu@0   { device_type = "cpu"; reg = <0>;     status = "okay"; };
        cpu@100 { device_type = "cpu"; reg = <0x100>; status = "okay"; };
    };
    reserved-memory {
        #address-cells = <2>; #size-cells = <2>; ranges;
        wakeup-mailbox@7f5e5000 {
            compatible = "intel,wakeup-mailbox";
            reg = <0x0 0x7f5e5000 0x0 0x1000>;
        };
    };
};
"""

WORKED: Tree = {
    "compatible": strings("x,y"),
    "model": strings("m"),
    "#address-cells": cells(2),
    "#size-cells": cells(2),
    "cpus": {
        "#address-cells": cells(1),
        "#size-cells": cells(0),
        "cpu@0": {"device_type": strings("cpu"), "reg": cells(0), "status": strings("okay")},
        "cpu@100": {"device_type": strings("cpu"), "reg": cells(0x100), "status": strings("okay")},
    },
    "reserved-memory": {
        "#address-cells": cells(2),
        "#size-cells": cells(2),
        "ranges": b"",
        "wakeup-mailbox@7f5e5000": {
            "compatible": strings("intel,wakeup-mailbox"),
            "reg": cells64(0x7F5E5000, 0x1000),
        },
    },
}
MAILBOX = "/reserved-memory/wakeup-mailbox@7f5e5000"

needs_dtc = pytest.mark.skipif(
    shutil.which("dtc") is None, reason="dtc is not installed (Debian package device-tree-compiler)"
)


def dtc(source: bytes, read: str, write: str, *options: str) -> bytes:
    command = ["dtc", "-q", "-I", read, "-O", write, *options, "-"]
    return subprocess.run(command, input=source, capture_output=True, check=True, timeout=60).stdout


def tree(node: Node) -> Tree:
    built: Tree = {one.name: one.value for one in node.properties}
    built.update((child.name, tree(child)) for child in node.children)
    return built


def order(fdt: Fdt) -> list[tuple[str, list[str]]]:
    return [(node.path, [one.name for one in node.properties]) for node in fdt.walk()]


def begin(name: bytes = b"") -> bytes:
    name += b"\0"
    return cells(BEGIN_NODE) + name + bytes(-len(name) % 4)


def prop(offset: int = 0, value: bytes = b"") -> bytes:
    return cells(PROP, len(value), offset) + value + bytes(-len(value) % 4)


NAMES = b"a\0b\0"


def blob(structure: bytes, names: bytes = NAMES, entries: bytes = bytes(16), /, **fields: int) -> bytes:
    """A blob of a raw structure block, strings block and reservation block; ``fields`` overrides header fields."""
    at = 40 + len(entries)
    header = {
        "magic": 0xD00DFEED,
        "totalsize": at + len(structure) + len(names),
        "off_dt_struct": at,
        "off_dt_strings": at + len(structure),
        "off_mem_rsvmap": 40,
        "version": 17,
        "last_comp_version": 16,
        "boot_cpuid_phys": 0,
        "size_dt_strings": len(names),
        "size_dt_struct": len(structure),
    }
    assert not set(fields) - set(header)
    return cells(*(header | fields).values()) + entries + structure + names


CLOSE = cells(END_NODE, END)
FIRST = 56  # where blob() puts the structure block


def only_damage(fdt: Fdt) -> tuple[int, str]:
    (damage,) = fdt.damage
    return damage.offset, f"expected {damage.expected}, found {damage.found}"


# The worked tree


def test_worked_tree_is_decoded() -> None:
    fdt = decode_fdt(encode_fdt(WORKED, boot_cpuid=0x100))
    assert (fdt.version, fdt.last_compatible, fdt.boot_cpuid, fdt.damage) == (17, 16, 0x100, ())
    assert [node.path for node in fdt.walk()] == [
        "/",
        "/cpus",
        "/cpus/cpu@0",
        "/cpus/cpu@100",
        "/reserved-memory",
        MAILBOX,
    ]
    assert tree(fdt.root) == WORKED


def test_mailbox_reg_has_the_bytes_of_the_catalogue() -> None:
    fdt = decode_fdt(encode_fdt(WORKED))
    node = fdt.find(MAILBOX)
    assert node
    found, parent = node.prop("reg"), fdt.parent(node)
    assert found
    assert parent
    assert parent.name == "reserved-memory"
    assert found.value == bytes.fromhex("00 00 00 00 7F 5E 50 00 00 00 00 00 00 00 10 00")
    assert fdt.data[found.offset : found.offset + 16] == found.value
    assert reg(node, parent) == ((0x7F5E5000, 0x1000),)
    assert (node.base_name, node.unit_address) == ("wakeup-mailbox", "7f5e5000")


@needs_dtc
def test_dtc_compiles_the_worked_source_to_the_same_tree() -> None:
    theirs = decode_fdt(dtc(WORKED_DTS.encode(), "dts", "dtb"))
    ours = decode_fdt(encode_fdt(WORKED))
    assert theirs.damage == ours.damage == ()
    assert tree(theirs.root) == tree(ours.root)
    assert order(theirs) == order(ours)


@needs_dtc
def test_dtc_compiles_version_16_to_the_same_tree() -> None:
    theirs = decode_fdt(dtc(WORKED_DTS.encode(), "dts", "dtb", "-V", "16"))
    assert (theirs.version, theirs.damage) == (16, ())
    assert tree(theirs.root) == WORKED


@needs_dtc
def test_dtc_reads_back_an_encoded_blob() -> None:
    source = dtc(encode_fdt(WORKED, 7, (Reservation(0x1000, 0x2000),)), "dtb", "dts")
    assert b"/memreserve/\t0x0000000000001000 0x0000000000002000;" in source
    assert b"wakeup-mailbox@7f5e5000 {" in source
    again = decode_fdt(dtc(source, "dts", "dtb", "-b", "7"))
    assert (again.boot_cpuid, again.reservations) == (7, (Reservation(0x1000, 0x2000),))
    assert tree(again.root) == WORKED


@needs_dtc
def test_dtc_padding_and_free_space_are_no_damage() -> None:
    padded = decode_fdt(dtc(WORKED_DTS.encode(), "dts", "dtb", "-p", "64", "-R", "3"))
    assert (padded.damage, padded.reservations) == ((), ())
    assert tree(padded.root) == WORKED


# Properties and nodes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"okay\0", ("okay",)),
        (b"a\0b c~\0", ("a", "b c~")),
        (b"", None),
        (b"okay", None),
        (b"\0", None),
        (b"\0\0\0\0", None),
        (b"a\0\0", None),
        (b"\0a\0", None),
        (b"a\n\0", None),
        (b"\xe9\0", None),
        (b"\x7f\0", None),
    ],
)
def test_strings_of_a_value(value: bytes, expected: tuple[str, ...] | None) -> None:
    assert Property("p", value, 0).strings == expected


def test_cells_of_a_value() -> None:
    found = Property("reg", bytes.fromhex("00000001 78563412"), 0)
    assert found.cells == (1, 0x78563412)
    assert found.cells_little == (0x01000000, 0x12345678)


def test_cells_of_an_empty_value_are_none_at_all() -> None:
    assert Property("ranges", b"", 0).cells == Property("ranges", b"", 0).cells_little == ()


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_no_cells_in_a_value_of_an_odd_length(length: int) -> None:
    assert Property("reg", bytes(length), 0).cells is Property("reg", bytes(length), 0).cells_little is None


@pytest.mark.parametrize(
    ("name", "base", "address"),
    [("cpus", "cpus", None), ("cpu@1f", "cpu", "1f"), ("cpu@", "cpu", ""), ("a@b@c", "a", "b@c"), ("", "", None)],
)
def test_parts_of_a_node_name(name: str, base: str, address: str | None) -> None:
    node = Node(name, "/", (), (), 0)
    assert (node.base_name, node.unit_address) == (base, address)


@pytest.mark.parametrize("value", [None, b"", b"\0\0\1", cells64(1)])
def test_cell_counts_fall_back_to_the_defaults(value: bytes | None) -> None:
    root: Tree = {} if value is None else {"#address-cells": value, "#size-cells": value}
    node = decode_fdt(encode_fdt(root)).root
    assert (node.address_cells, node.size_cells) == (2, 1)
    assert node.has_address_cells is node.has_size_cells is (value is not None)


def test_find_and_parent() -> None:
    fdt = decode_fdt(encode_fdt(WORKED))
    cpu = fdt.find("/cpus/cpu@100")
    assert cpu
    assert fdt.parent(cpu) is fdt.find("/cpus")
    assert fdt.find("/") is fdt.root
    assert fdt.parent(fdt.root) is None
    assert fdt.parent(Node("cpu@100", "/other/cpu@100", (), (), cpu.offset)) is None


@pytest.mark.parametrize("path", ["", "cpus", "/cpu", "/cpus/", "//cpus", "/cpus/cpu", "/cpus/cpu@100/x/y"])
def test_find_takes_whole_names_only(path: str) -> None:
    assert decode_fdt(encode_fdt(WORKED)).find(path) is None


def test_exhibit_marks_bytes_of_the_blob() -> None:
    fdt = decode_fdt(encode_fdt(WORKED))
    shown = fdt.exhibit(8, 4)
    assert (shown.name, shown.offset, shown.marks) == ("DTB", 0, (Mark(8, 4),))
    assert shown.data == fdt.data[:32]


# reg


def reg_of(value: bytes | None, address_cells: int, size_cells: int) -> tuple[tuple[int, int], ...] | None:
    child: Tree = {} if value is None else {"reg": value}
    counts: Tree = {"#address-cells": cells(address_cells), "#size-cells": cells(size_cells)}
    fdt = decode_fdt(encode_fdt({**counts, "n": child}))
    return reg(fdt.root.children[0], fdt.root)


@pytest.mark.parametrize(
    ("value", "address_cells", "size_cells", "expected"),
    [
        (cells(0x100), 1, 0, ((0x100, 0),)),
        (cells(1, 2, 3, 4), 1, 1, ((1, 2), (3, 4))),
        (cells(0, 0xFFFFF000, 0x1000), 2, 1, ((0xFFFFF000, 0x1000),)),
        (cells(1, 0, 0, 0x1000), 2, 2, ((1 << 32, 0x1000),)),
        (cells(1, 0, 0, 0, 0, 0, 0, 5), 4, 4, ((1 << 96, 5),)),
        (b"", 1, 1, ()),
        (None, 1, 1, None),
        (cells(1, 2, 3), 1, 1, None),
        (b"\0\0\1", 1, 0, None),
        (cells(1), 0, 1, None),
        (cells(*range(6)), 5, 1, None),
        (cells(*range(6)), 1, 5, None),
        (cells(1), 0xFFFFFFFF, 0xFFFFFFFF, None),
    ],
)
def test_reg(
    value: bytes | None, address_cells: int, size_cells: int, expected: tuple[tuple[int, int], ...] | None
) -> None:
    assert reg_of(value, address_cells, size_cells) == expected


# No header that can be used

GOOD = encode_fdt(WORKED)


@pytest.mark.parametrize(
    ("data", "offset", "expected", "found"),
    [
        (b"", 0, "a header of 40 bytes", "0 bytes"),
        (GOOD[:39], 39, "a header of 40 bytes", "39 bytes"),
        (bytes(64), 0, "the magic number 0xd00dfeed", "0x00000000"),
        (GOOD[3::-1] + GOOD[4:], 0, "the magic number 0xd00dfeed", "0xedfe0dd0"),
        (GOOD + bytes(4 << 20), 0, "at most 4194304 bytes", f"{len(GOOD) + (4 << 20)} bytes"),
        (blob(begin() + CLOSE, version=15), 20, "version 16 or later", "version 15"),
        (blob(begin() + CLOSE, totalsize=39), 4, "a totalsize of at least 40", "39"),
        (blob(begin() + CLOSE, off_dt_struct=76), 8, "an off_dt_struct below 76, the input's end", "0x4c"),
    ],
    ids=["empty", "short", "zeros", "little-endian", "too-long", "version", "totalsize", "off_dt_struct"],
)
def test_input_without_a_usable_header(data: bytes, offset: int, expected: str, found: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode_fdt(data)
    assert str(caught.value) == f"not a flattened DeviceTree: byte {offset:#x}: expected {expected}, found {found}"


# Damage


def test_raw_blob_is_good() -> None:
    fdt = decode_fdt(blob(begin() + prop(0, b"v") + cells(NOP) + begin(b"n") + prop(2) + cells(END_NODE) + CLOSE))
    assert fdt.damage == ()
    assert tree(fdt.root) == {"a": b"v", "n": {"b": b""}}


HEADER_DAMAGE: list[tuple[dict[str, int], int, str]] = [
    ({"totalsize": 77}, 76, "expected 77 bytes, the header's totalsize, found the input's end after 76"),
    ({"last_comp_version": 18}, 24, "expected a last_comp_version of at most 17, found 18"),
    ({"version": 16, "last_comp_version": 17}, 24, "expected a last_comp_version of at most 16, found 17"),
    ({"off_mem_rsvmap": 44}, 16, "expected an off_mem_rsvmap that is a multiple of 8, found 0x2c"),
    ({"off_mem_rsvmap": 8}, 16, "expected a block that starts at or after byte 0x28, found one at 0x8"),
    ({"size_dt_strings": 5}, 32, "expected a block that ends at or before byte 0x4c, found bytes 0x48 to 0x4d"),
    ({"off_dt_strings": 0x1000}, 32, "expected a block that ends at or before byte 0x4c, found bytes 0x1000 to 0x1004"),
    ({"size_dt_struct": 21}, 36, "expected a block that ends at or before byte 0x4c, found bytes 0x38 to 0x4d"),
    ({"size_dt_struct": 20}, 36, "expected size_dt_struct 16, which ends with FDT_END, found 20"),
]


@pytest.mark.parametrize(("fields", "offset", "text"), HEADER_DAMAGE)
def test_damage_in_the_header_leaves_the_tree(fields: dict[str, int], offset: int, text: str) -> None:
    fdt = decode_fdt(blob(begin() + CLOSE, **fields))
    assert fdt.root == Node("", "/", (), (), FIRST)
    assert fdt.damage[0].offset == offset
    assert text == f"expected {fdt.damage[0].expected}, found {fdt.damage[0].found}"


def test_structure_block_off_its_alignment_is_read_from_where_it_is() -> None:
    fdt = decode_fdt(blob(begin() + prop(0, b"v") + CLOSE, NAMES, bytes(18)))
    assert only_damage(fdt) == (8, "expected an off_dt_struct that is a multiple of 4, found 0x3a")
    assert tree(fdt.root) == {"a": b"v"}


def test_bytes_after_totalsize_are_not_of_the_blob() -> None:
    fdt = decode_fdt(GOOD + b"rest")
    assert fdt.damage == ()
    assert fdt.data.endswith(b"rest")


def test_version_16_has_no_size_of_the_structure_block() -> None:
    data = blob(begin() + CLOSE, version=16, size_dt_struct=0xFFFFFFFF)
    assert decode_fdt(data).damage == ()


def test_version_16_with_nothing_after_its_header_of_36_bytes() -> None:
    header = struct.pack(">9I", 0xD00DFEED, 36, 35, 36, 36, 16, 16, 0, 0)
    assert len(decode_fdt(header).damage) >= 1


def test_reservations() -> None:
    given = (Reservation(0x1000, 0x2000), Reservation(0, 1), Reservation(1 << 63, 0))
    fdt = decode_fdt(encode_fdt({}, reservations=given))
    assert (fdt.reservations, fdt.damage) == (given, ())


def test_reservations_without_an_end_stop_at_the_structure_block() -> None:
    fdt = decode_fdt(blob(begin() + CLOSE, NAMES, cells64(1, 2, 3, 4)))
    assert fdt.reservations == (Reservation(1, 2), Reservation(3, 4))
    assert only_damage(fdt)[0] == 72


def test_reservations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_, "MAX_RESERVATIONS", 2)
    fdt = decode_fdt(encode_fdt({}, reservations=[Reservation(1, 1)] * 3))
    assert len(fdt.reservations) == 2
    assert only_damage(fdt) == (72, "expected at most 2 memory reservations, found more")


ROOT_A: Tree = {"a": b"v"}
TOKENS = "expected FDT_BEGIN_NODE, FDT_END_NODE, FDT_PROP or FDT_NOP, found "
ROOT = "expected FDT_BEGIN_NODE of the root node, found "


@pytest.mark.parametrize(
    ("structure", "offset", "text", "kept"),
    [
        (b"", 0, ROOT + "the end of the structure block at byte 0x38", {}),
        (cells(END), 0, ROOT + "FDT_END", {}),
        (prop(), 0, ROOT + "token 0x3", {}),
        (cells(END_NODE), 0, ROOT + "token 0x2", {}),
        (begin() + prop(0, b"v"), 24, TOKENS + "the end of the structure block at byte 0x50", ROOT_A),
        (begin() + prop(0, b"v") + cells(END), 24, TOKENS + "FDT_END", ROOT_A),
        (begin() + prop(0, b"v") + cells(5) + prop(2), 24, TOKENS + "token 0x5", ROOT_A),
        (begin() + prop(0, b"v") + b"\0\0", 24, TOKENS + "the end of the structure block at byte 0x52", ROOT_A),
        (
            begin() + begin(b"n") + prop(0, b"v") + cells(7),
            32,
            TOKENS + "token 0x7",
            {"n": ROOT_A},
        ),
        (
            begin() + cells(END_NODE) + begin(b"n"),
            12,
            "expected FDT_END after the root node, found token 0x1",
            {},
        ),
        (
            begin() + prop(0, b"v") + cells(PROP, 9),
            28,
            "expected a property's length and name offset, found the end of the structure block",
            ROOT_A,
        ),
        (
            begin() + prop(0, b"v") + cells(PROP, 9, 0, 0, 0),
            28,
            "expected a value of at most the 8 bytes that are left, found length 9",
            ROOT_A,
        ),
        (
            begin() + prop(0, b"v") + cells(PROP, 0xFFFFFFFF, 0),
            28,
            "expected a value of at most the 0 bytes that are left, found length 4294967295",
            ROOT_A,
        ),
        (
            begin() + prop(0, b"v") + cells(BEGIN_NODE) + b"name",
            28,
            "expected a node name that ends inside the structure block, found no NUL",
            ROOT_A,
        ),
    ],
)
def test_damage_that_stops_the_walk_keeps_what_came_before(
    structure: bytes, offset: int, text: str, kept: Tree
) -> None:
    fdt = decode_fdt(blob(structure))
    assert only_damage(fdt) == (FIRST + offset, text)
    assert tree(fdt.root) == kept


@pytest.mark.parametrize(
    ("structure", "offset", "text", "names"),
    [
        (
            prop(4) + prop(2),
            16,
            "expected a name inside the strings block of 4 bytes, found name offset 0x4",
            ["b"],
        ),
        (
            prop(0xFFFFFFFF) + prop(2),
            16,
            "expected a name inside the strings block of 4 bytes, found name offset 0xffffffff",
            ["b"],
        ),
        (prop(1), 16, "expected a property name of at least 1 character, found an empty name", [""]),
        (prop(0) + prop(0), 20, "expected one property of a name, found another 'a'", ["a", "a"]),
        (
            begin(b"n") + cells(END_NODE) + prop(0),
            20,
            "expected a node's properties before its child nodes, found 'a' after one",
            ["a"],
        ),
    ],
)
def test_damaged_properties(structure: bytes, offset: int, text: str, names: list[str]) -> None:
    fdt = decode_fdt(blob(begin() + structure + CLOSE))
    assert only_damage(fdt) == (FIRST + offset, text)
    assert [one.name for one in fdt.root.properties] == names


def test_name_without_an_end_in_the_strings_block() -> None:
    fdt = decode_fdt(blob(begin() + prop(0) + prop(2) + CLOSE, b"a\0bb") + b"after\0")
    assert only_damage(fdt) == (
        FIRST + 28,
        "expected a name that ends inside the strings block, found no NUL after name offset 0x2",
    )
    assert [one.name for one in fdt.root.properties] == ["a"]


@pytest.mark.parametrize(("length", "damaged"), [(31, False), (32, False), (255, False), (256, True), (1000, True)])
def test_long_property_names_are_cut(length: int, damaged: bool) -> None:
    fdt = decode_fdt(blob(begin() + prop(0, b"v") + CLOSE, b"x" * length + b"\0"))
    assert [(one.name, one.value) for one in fdt.root.properties] == [("x" * min(length, 255), b"v")]
    assert [damage.expected for damage in fdt.damage] == ["a property name of at most 255 characters"] * damaged


@pytest.mark.parametrize(("length", "damaged"), [(31, False), (256, False), (257, True), (1000, True)])
def test_long_node_names_are_cut(length: int, damaged: bool) -> None:
    fdt = decode_fdt(blob(begin() + begin(b"x" * length) + prop(0, b"v") + cells(END_NODE) + CLOSE))
    assert tree(fdt.root) == {"x" * min(length, 256): ROOT_A}
    assert [damage.expected for damage in fdt.damage] == ["a node name of at most 256 characters"] * damaged


@pytest.mark.parametrize(
    ("raw", "name", "expected"),
    [
        (b"caf\xe9", "caf\\xe9", "a name of printable ASCII characters"),
        (b"\x1b[2J", "\\x1b[2J", "a name of printable ASCII characters"),
        (b"", "", "a node name of at least 1 character"),
        (b"a/b", "a/b", "a node name without '/'"),
    ],
)
def test_odd_node_names_are_kept(raw: bytes, name: str, expected: str) -> None:
    fdt = decode_fdt(blob(begin() + begin(raw) + cells(END_NODE) + CLOSE))
    assert [child.name for child in fdt.root.children] == [name]
    assert [(damage.offset, damage.expected) for damage in fdt.damage] == [(FIRST + 12, expected)]


def test_odd_property_name_is_kept_and_noted_once() -> None:
    fdt = decode_fdt(blob(begin() + prop(0) + begin(b"n") + prop(0) + cells(END_NODE) + CLOSE, b"\xff\0"))
    assert [[one.name for one in node.properties] for node in fdt.walk()] == [["\\xff"], ["\\xff"]]
    assert len(fdt.damage) == 1


def test_root_node_with_a_name() -> None:
    fdt = decode_fdt(blob(begin(b"root") + CLOSE))
    assert (fdt.root.name, fdt.root.path) == ("root", "/")
    assert only_damage(fdt) == (FIRST + 4, "expected a root node without a name, found 'root'")


def test_two_children_of_one_name_are_both_kept() -> None:
    twin = begin(b"cpu@0") + prop(0) + cells(END_NODE)
    fdt = decode_fdt(blob(begin() + twin + twin + CLOSE))
    assert [child.path for child in fdt.root.children] == ["/cpu@0", "/cpu@0"]
    assert only_damage(fdt)[1] == "expected one child node of a name, found another 'cpu@0'"
    assert [fdt.parent(child) for child in fdt.root.children] == [fdt.root] * 2
    assert fdt.find("/cpu@0") is fdt.root.child("cpu@0") is fdt.root.children[0]


def test_long_names_are_shortened_in_damage() -> None:
    twin = begin(b"x" * 200) + cells(END_NODE)
    (damage,) = decode_fdt(blob(begin() + twin + twin + CLOSE)).damage
    assert damage.found == f"another '{'x' * 40}' and 160 characters more"


# Bounds


def test_depth_is_bounded() -> None:
    fdt = decode_fdt(blob(begin() + begin(b"n") * 70 + cells(END_NODE) * 70 + CLOSE))
    assert len(list(fdt.walk())) == MAX_DEPTH == 64
    assert only_damage(fdt)[1] == "expected at most 64 nodes inside each other, found one more"
    again = decode_fdt(fdt.data)
    assert again == fdt
    assert hash(again) == hash(fdt)
    assert repr(again) == repr(fdt)


def test_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_, "MAX_NODES", 2)
    fdt = decode_fdt(encode_fdt({"m": {}, "n": {}}))
    assert tree(fdt.root) == {"m": {}}
    assert only_damage(fdt)[1] == "expected at most 2 nodes, found more"


def test_properties_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_, "MAX_PROPERTIES", 2)
    fdt = decode_fdt(encode_fdt({"a": b"", "b": b"", "c": b""}))
    assert tree(fdt.root) == {"a": b"", "b": b""}
    assert only_damage(fdt)[1] == "expected at most 2 properties, found more"


def test_paths_are_bounded() -> None:
    deep = begin() + begin(b"y" * 256) * 62
    fdt = decode_fdt(blob(deep + (begin(b"z") + cells(END_NODE)) * 65_000))
    assert sum(len(node.path) for node in fdt.walk()) <= 16 << 20
    assert fdt.damage[-1].expected == "paths of at most 16777216 characters in all"


def test_damage_is_bounded() -> None:
    fdt = decode_fdt(blob(begin() + prop(9) * 2000 + CLOSE))
    assert len(fdt.damage) == MAX_DAMAGE + 1
    assert fdt.damage[-1].expected == "at most 1024 damaged places"


class Scanned(bytes):
    """Bytes that count how many of them searches looked at."""

    total = 0

    def find(self, sub: Any, start: SupportsIndex | None = None, end: SupportsIndex | None = None, /) -> int:
        found = super().find(sub, start, end)
        stop = found if found >= 0 else min(int(end or len(self)), len(self))
        Scanned.total += stop - int(start or 0)
        return found


def test_names_in_one_endless_string_are_not_scanned_to_its_end() -> None:
    count, size = 60_000, 2 << 20
    structure = begin() + b"".join(prop(offset) for offset in range(count)) + CLOSE
    Scanned.total = 0
    fdt = decode_fdt(Scanned(blob(structure, b"x" * size)))
    assert len(fdt.root.properties) == count
    assert {len(one.name) for one in fdt.root.properties} == {255}
    assert Scanned.total <= 256 * (count + 1)


def test_node_names_are_scanned_once() -> None:
    data = Scanned(blob(begin() + begin(b"n" * 3000) * 60))
    Scanned.total = 0
    decode_fdt(data)
    assert Scanned.total <= len(data)


# The writer


def test_property_names_share_the_strings_block() -> None:
    data = encode_fdt(WORKED)
    assert data.count(b"#address-cells\0") == data.count(b"reg\0") == data.count(b"status\0") == 1


def test_properties_come_before_child_nodes() -> None:
    fdt = decode_fdt(encode_fdt({"n": {}, "b": b"1", "m": {}, "a": b"2"}))
    assert fdt.damage == ()
    assert [one.name for one in fdt.root.properties] == ["b", "a"]
    assert [child.name for child in fdt.root.children] == ["n", "m"]


def test_blocks_are_in_order_and_aligned() -> None:
    data = encode_fdt(WORKED, reservations=(Reservation(1, 2),))
    _, total, structure, names, reserved, _, _, _, names_size, structure_size = struct.unpack_from(">10I", data)
    assert (total, reserved, structure) == (len(data), 40, 72)
    assert structure + structure_size == names
    assert names + names_size == total


def test_values() -> None:
    assert cells(1, 0xFFFFFFFF) == bytes.fromhex("00000001 ffffffff")
    assert cells64(0x123456789) == bytes.fromhex("00000001 23456789")
    assert strings("okay", "") == b"okay\0\0"
    assert cells() == cells64() == strings() == b""


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cells(-1), "a value of 32 bits is expected, not -0x1"),
        (lambda: cells(1 << 32), "a value of 32 bits is expected, not 0x100000000"),
        (lambda: cells64(1 << 64), "a value of 64 bits is expected, not 0x10000000000000000"),
        (lambda: strings("caf\u00e9"), "ASCII text without NUL is expected, not 'caf\u00e9'"),
        (lambda: strings("a\0b"), r"ASCII text without NUL is expected, not 'a\x00b'"),
        (lambda: encode_fdt({"a\0": b""}), r"ASCII text without NUL is expected, not 'a\x00'"),
        (lambda: encode_fdt({"\u00e9": {}}), "ASCII text without NUL is expected, not '\u00e9'"),
        (lambda: encode_fdt({}, boot_cpuid=-1), "a value of 32 bits is expected, not -0x1"),
    ],
)
def test_values_that_do_not_fit(build: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value) == message
