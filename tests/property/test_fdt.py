"""The flattened DeviceTree codec: what it writes it reads, and no bytes lead to anything but a result or CodecError."""

from __future__ import annotations

import base64
import string

from hypothesis import example, given
from hypothesis import strategies as st

from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.fdt import (
    MAX_DAMAGE,
    MAX_DEPTH,
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

# The worked tree of the catalogue (B.7), compiled by dtc 1.6.1 with -b 256.
DTC_BLOB = base64.b64decode(
    """
    0A3+7QAAAi4AAAA4AAAB5AAAACgAAAARAAAAEAAAAQAAAABKAAABrAAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAMAAAAEAAAA
    AHgseQAAAAADAAAAAgAAAAttAAAAAAAAAwAAAAQAAAARAAAAAgAAAAMAAAAEAAAAIAAAAAIAAAABY3B1cwAAAAAAAAADAAAABAAA
    ABEAAAABAAAAAwAAAAQAAAAgAAAAAAAAAAFjcHVAMAAAAAAAAAMAAAAEAAAALGNwdQAAAAADAAAABAAAADgAAAAAAAAAAwAAAAUA
    AAA8b2theQAAAAAAAAACAAAAAWNwdUAxMDAAAAAAAwAAAAQAAAAsY3B1AAAAAAMAAAAEAAAAOAAAAQAAAAADAAAABQAAADxva2F5
    AAAAAAAAAAIAAAACAAAAAXJlc2VydmVkLW1lbW9yeQAAAAADAAAABAAAABEAAAACAAAAAwAAAAQAAAAgAAAAAgAAAAMAAAAAAAAA
    QwAAAAF3YWtldXAtbWFpbGJveEA3ZjVlNTAwMAAAAAADAAAAFQAAAABpbnRlbCx3YWtldXAtbWFpbGJveAAAAAAAAAADAAAAEAAA
    ADgAAAAAf15QAAAAAAAAABAAAAAAAgAAAAIAAAACAAAACWNvbXBhdGlibGUAbW9kZWwAI2FkZHJlc3MtY2VsbHMAI3NpemUtY2Vs
    bHMAZGV2aWNlX3R5cGUAcmVnAHN0YXR1cwByYW5nZXMA
    """
)
OPENVMM: Tree = {
    "compatible": strings("microsoft,openvmm"),
    "#address-cells": cells(2),
    "#size-cells": cells(2),
    "cpus": {
        "#address-cells": cells(1),
        "#size-cells": cells(0),
        "cpu@1": {"device_type": strings("cpu"), "reg": cells(1), "status": strings("okay")},
    },
    "reserved-memory": {
        "#address-cells": cells(2),
        "#size-cells": cells(1),
        "ranges": b"",
        "wakeup_table@fffff000": {
            "compatible": strings("intel,wakeup-mailbox"),
            "reg": cells(0, 0xFFFFF000, 0x1000),
        },
    },
}
REAL = (DTC_BLOB, encode_fdt(OPENVMM, 1, (Reservation(0x1000, 0x1000),)))

# Characters of the specification's tables 2.1 and 2.2.
names = st.text(string.ascii_letters + string.digits + ",._+-?#@", min_size=1, max_size=31)
values = st.binary(max_size=40)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(names, values, max_size=4),
    lambda inner: st.dictionaries(names, values | inner, max_size=4),
    max_leaves=12,
)
reservations = st.lists(st.builds(Reservation, u64, u64).filter(lambda one: one != Reservation(0, 0)), max_size=4)


def tree(node: Node) -> Tree:
    built: Tree = {one.name: one.value for one in node.properties}
    built.update((child.name, tree(child)) for child in node.children)
    return built


def blocks(given: Tree) -> list[object]:
    """A tree in the order in which it is to be written."""
    found: list[object] = [(name, value) for name, value in given.items() if isinstance(value, bytes)]
    return found + [(name, blocks(value)) for name, value in given.items() if isinstance(value, dict)]


def decode(data: bytes) -> Fdt | None:
    """Decode bytes that may be anything; hold the result against the bounds of the work that made it."""
    try:
        fdt = decode_fdt(data)
    except CodecError as error:
        assert error.codec == "a flattened DeviceTree"
        assert 0 <= error.offset <= len(data)
        return None
    nodes = list(fdt.walk())
    properties = [one for node in nodes for one in node.properties]
    assert fdt.data == data
    assert 8 * (len(nodes) - 1) + 12 * len(properties) + sum(len(one.value) for one in properties) <= len(data)
    assert 16 * len(fdt.reservations) <= len(data)
    assert len(fdt.damage) <= MAX_DAMAGE + 1
    assert all(len(one.name) <= 4 * 255 for one in properties)
    assert all(node.path.count("/") <= MAX_DEPTH or "/" in node.name for node in nodes)
    for node in nodes:
        use(fdt, node)
    return fdt


def use(fdt: Fdt, node: Node) -> None:
    """Ask a node everything; nothing may raise."""
    parent = fdt.parent(node)
    assert (parent is None) == (node is fdt.root)
    assert parent is None or any(child is node for child in parent.children)
    assert isinstance(reg(node, parent or node), tuple | None)
    assert node.base_name == node.name or node.unit_address is not None
    assert min(node.address_cells, node.size_cells) >= 0
    for one in node.properties:
        use_property(fdt, one)


def use_property(fdt: Fdt, one: Property) -> None:
    assert fdt.data[one.offset : one.offset + len(one.value)] == one.value
    assert fdt.exhibit(one.offset, max(1, len(one.value))).name == "DTB"
    assert (one.cells is None) == (one.cells_little is None) == (len(one.value) % 4 != 0)
    assert one.cells is None or cells(*one.cells) == one.value
    assert one.strings is None or strings(*one.strings) == one.value


@given(trees, u32, reservations)
def test_what_is_written_is_read(root: Tree, boot_cpuid: int, reserved: list[Reservation]) -> None:
    fdt = decode(encode_fdt(root, boot_cpuid, reserved))
    assert fdt is not None
    assert (fdt.damage, fdt.boot_cpuid, fdt.reservations) == ((), boot_cpuid, tuple(reserved))
    assert blocks(tree(fdt.root)) == blocks(root)
    assert encode_fdt(tree(fdt.root), boot_cpuid, reserved) == fdt.data


@given(trees)
def test_every_node_is_found_by_its_path(root: Tree) -> None:
    fdt = decode_fdt(encode_fdt(root))
    for node in fdt.walk():
        assert fdt.find(node.path) is node


@given(st.lists(st.tuples(st.integers(0, 2**128 - 1), u64), max_size=4), st.integers(2, 4))
def test_reg_is_what_its_cells_say(pairs: list[tuple[int, int]], count: int) -> None:
    pairs = [(address % (1 << 32 * count), size) for address, size in pairs]
    value = b"".join(address.to_bytes(4 * count, "big") + cells64(size) for address, size in pairs)
    fdt = decode_fdt(encode_fdt({"#address-cells": cells(count), "#size-cells": cells(2), "n": {"reg": value}}))
    assert reg(fdt.root.children[0], fdt.root) == tuple(pairs)


@given(st.binary(max_size=400))
@example(b"")
@example(b"\xd0\x0d\xfe\xed" * 10)
def test_any_bytes(data: bytes) -> None:
    decode(data)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]) | u32, max_size=60), st.binary(min_size=1, max_size=40))
def test_any_structure_block(words: list[int], block: bytes) -> None:
    structure = cells(*words)
    at = 56 + len(structure)
    header = cells(0xD00DFEED, at + len(block), 56, at, 40, 17, 16, 0, len(block), len(structure))
    assert decode(header + bytes(16) + structure + block) is not None


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A real blob after some changes: bytes flipped, put in, taken out, cut off, or words overwritten."""
    data = bytearray(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "insert", "delete", "truncate", "header", "word"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "delete":
            del data[at : at + draw(st.integers(1, 16))]
        elif kind == "truncate":
            del data[at:]
        else:
            word = 4 * (draw(st.integers(0, 9)) if kind == "header" else at // 4)
            data[word : word + 4] = cells(draw(u32 | st.integers(0, 1024) | st.sampled_from([1, 2, 3, 4, 9])))
    return bytes(data)


@given(mutants())
def test_mutated_blobs(data: bytes) -> None:
    decode(data)


@given(st.sampled_from(REAL), st.integers(0, 2000))
def test_truncated_blobs_say_so(data: bytes, length: int) -> None:
    fdt = decode(data[:length])
    if fdt is not None:
        assert bool(fdt.damage) == (length < len(data))
