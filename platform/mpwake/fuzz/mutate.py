"""Bytes and texts that are nearly right: drawn by their structure, then changed in a few places."""

from __future__ import annotations

import functools
import json
from typing import Any

from hypothesis import strategies as st

from mpwake.evidence.acpi import checksummed
from mpwake.evidence.fdt import Tree, cells, encode_fdt, strings
from mpwake.evidence.madt import encode_lapic, encode_madt, encode_wakeup, encode_x2apic
from mpwake.evidence.memory_map import MemoryType
from mpwake.fuzz.samples import bzimage, volume
from mpwake.spec.resources import scenarios

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
ODD_BYTES = st.sampled_from((0, 1, 2, 0x10, 0x7F, 0x80, 0xFF)) | U8
PLACES = st.integers(0, 1 << 16)
MAILBOX = 0x7F5E5000


@st.composite
def changed(draw: st.DrawFn, whole: st.SearchStrategy[bytes], most: int = 4) -> bytes:
    """Draw bytes, and change a few of them: other values, some left out, some put in, or the end cut off."""
    data = bytearray(draw(whole))
    for kind, at, value in draw(
        st.lists(st.tuples(st.sampled_from(("set", "drop", "put", "cut")), PLACES, ODD_BYTES), max_size=most)
    ):
        place = at % (len(data) + 1)
        if kind == "set" and place < len(data):
            data[place] = value
        elif kind == "drop":
            del data[place : place + 1 + value % 8]
        elif kind == "put":
            data[place:place] = bytes([value])
        elif kind == "cut" and value >= 0x80:
            del data[place:]
    return bytes(data)


def madts() -> st.SearchStrategy[bytes]:
    """Draw MADTs: any entries with any lengths, mended or not."""
    length = st.none() | st.none() | U8
    address = st.sampled_from((MAILBOX, 0, MAILBOX + 0x10)) | U64
    entry = st.one_of(
        st.builds(encode_lapic, U8, U8, st.integers(0, 3) | U32, length),
        st.builds(encode_x2apic, U32, U32, st.integers(0, 3) | U32, length),
        st.builds(encode_wakeup, st.integers(0, 2), address, st.none() | address, st.just(0) | U32, length),
        st.builds(lambda kind, body: bytes([kind, len(body) + 2]) + body, U8, st.binary(max_size=30)),
    )
    table = st.builds(encode_madt, st.lists(entry, max_size=8).map(tuple), st.sampled_from((7, 6, 5, 1)) | U8)
    mended = changed(table).map(lambda data: checksummed(data) if len(data) > 9 else data)
    return st.one_of(table, changed(table), mended)


def _mailbox_node() -> st.SearchStrategy[dict[str, Any]]:
    compatible = st.sampled_from(("intel,wakeup-mailbox", "intel,wakeup-mailbo", "", "x,y"))
    reg = st.lists(st.sampled_from((0, MAILBOX, 0x1000, 0xFFF, 0xFFFFFFFF)), max_size=6)
    return st.fixed_dictionaries(
        {"compatible": compatible.map(strings), "reg": reg.map(lambda some: cells(*some))},
        optional={"no-map": st.just(b""), "status": st.sampled_from((b"okay\0", b"disabled\0", b"okay", b""))},
    )


def trees() -> st.SearchStrategy[bytes]:
    """Draw DeviceTree blobs with reserved memory and processors in them, and change a few bytes."""
    count = st.sampled_from((0, 1, 2, 3, 0xFFFFFFFF)).map(cells)
    odd = st.dictionaries(st.text("abc,-@#0", min_size=1, max_size=6), st.binary(max_size=9), max_size=3)
    parts = {"#address-cells": count, "#size-cells": count}
    name = st.sampled_from(("wakeup-mailbox@7f5e5000", "wakeup_table@0", "x"))
    memory = st.tuples(st.fixed_dictionaries(parts), st.dictionaries(name, _mailbox_node(), max_size=3))
    cpu = st.fixed_dictionaries(
        {"device_type": st.just(strings("cpu")), "reg": st.lists(U32, max_size=3).map(lambda s: cells(*s))}
    )
    cpus = st.tuples(
        st.fixed_dictionaries(parts), st.dictionaries(st.sampled_from(("cpu@0", "cpu@1", "cpu")), cpu, max_size=3)
    )

    def tree(root: Tree, more: Tree, memory: tuple[Tree, Tree], cpus: tuple[Tree, Tree]) -> bytes:
        inner: Tree = {"reserved-memory": {**memory[0], **memory[1]}, "cpus": {**cpus[0], **cpus[1]}}
        return encode_fdt({**root, **more, **inner})

    blob = st.builds(tree, st.fixed_dictionaries(parts), odd, memory, cpus)
    return blob | changed(blob)


def maps() -> st.SearchStrategy[bytes]:
    """Draw memory maps as Linux prints them, and change a few bytes."""
    words = [one.value for one in MemoryType] + ["usable", "reserved", "type 20", "ACPI data", ""]
    line = st.builds(
        lambda start, size, word, prefix: (
            f"{prefix} [mem {start:#018x}-{min(start + size, (1 << 64) - 1):#018x}] {word}"
        ),
        U64 | st.sampled_from((0, 0x9F000, MAILBOX, 0x100000000)),
        U32 | st.sampled_from((0, 0xFFF)),
        st.sampled_from(words),
        st.sampled_from(("BIOS-e820:", "[    0.000000] BIOS-e820:", "user:", "")),
    )
    text = st.lists(line, max_size=8).map(lambda lines: "\n".join(lines).encode())
    return text | changed(text)


@functools.cache
def _documents() -> tuple[bytes, ...]:
    names = ("platforms", "agents", "probes", "systems", "situations", "corpus")
    found = (path.read_bytes() for name in names for path in sorted(scenarios(name).glob("*.yaml")))
    return tuple(data for data in found if len(data) < 4000)


_LINES = (
    b"",
    b"  - x",
    b"kind: scenario",
    b"x: &a [*a]",
    b"y: !!python/object {}",
    b"- {",
    b"name: 0x",
    b"ids: [1, 1, 2]",
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw documents of the suite's own with lines left out, doubled, moved in, and bytes changed."""
    lines = draw(st.sampled_from(_documents())).split(b"\n")
    for kind, at, line in draw(
        st.lists(
            st.tuples(st.sampled_from(("drop", "double", "put", "indent")), PLACES, st.sampled_from(_LINES)), max_size=4
        )
    ):
        place = at % len(lines)
        if kind == "drop" and len(lines) > 1:
            del lines[place]
        elif kind == "double":
            lines.insert(place, lines[place])
        elif kind == "put":
            lines.insert(place, line)
        else:
            lines[place] = b"  " + lines[place]
    return draw(changed(st.just(b"\n".join(lines)), 3))


def recordings(lines: tuple[dict[str, Any], ...]) -> st.SearchStrategy[bytes]:
    """Draw trace files: lines of one that is sound, in other orders and with other values, and bytes changed."""
    value = st.one_of(st.integers(-2, 1 << 70), st.none(), st.text(max_size=5), st.just([]), st.just({}), st.booleans())
    keys = sorted({key for line in lines for key in line})
    other = st.tuples(st.sampled_from(lines), st.sampled_from(keys), value).map(
        lambda parts: {**parts[0], parts[1]: parts[2]}
    )
    line = st.sampled_from(lines) | st.sampled_from(lines) | other
    places = st.integers(1, len(lines) - 1)

    def edited(changes: list[tuple[int, int, Any]]) -> list[dict[str, Any]]:
        some = list(lines)
        for at, key, new in changes:
            some[at] = {**some[at], list(some[at])[key % len(some[at])]: new}
        return some[1:]

    likely = st.integers(0, 9) | st.integers(0, 1 << 40).map(hex) | value
    edits = st.lists(st.tuples(places, st.integers(0, 20), likely), max_size=3).map(edited)
    rest = st.lists(line, max_size=10) | edits
    text = rest.map(lambda some: "\n".join(json.dumps(one) for one in (lines[0], *some)).encode() + b"\n")
    return text | changed(text, 2)


def images() -> st.SearchStrategy[bytes]:
    """Draw flash images: volumes, sound or with headers of any lengths, and what may be files in them."""
    guid = st.sampled_from((bytes(16), bytes.fromhex("78e58c8c3d8a1c4f9935896185c32dd3")))
    header = st.builds(
        lambda guid, length, size, body: (
            bytes(16) + guid + length.to_bytes(8, "little") + b"_FVH" + bytes(4) + size.to_bytes(2, "little") + body
        ),
        guid,
        st.sampled_from((0, 0x48, 0x1000, 1 << 40)) | U16,
        st.sampled_from((0x48, 0, 7)) | U16,
        st.binary(max_size=200),
    )
    sound = st.builds(volume, st.just(b"") | st.binary(max_size=60))
    return sound | changed(sound) | changed(st.lists(header, min_size=1, max_size=2).map(b"".join))


def kernels() -> st.SearchStrategy[bytes]:
    """Draw kernel images: a header with a version and something packed, and bytes changed in it."""
    packed = st.sampled_from((b"", b"\xfd7zXZ\0", b"\x1f\x8b\x08", b"intel,wakeup-mailbox"))
    kernel = st.builds(lambda head, rest: (head + rest).ljust(1024, b"\0"), packed, st.binary(max_size=100))
    version = st.sampled_from((b"6.6.6 (x) #1", b"6.6.6")) | st.binary(max_size=20)
    image = st.builds(bzimage, version, kernel)
    field = st.tuples(image, st.sampled_from((0x1F1, 0x1F4, 0x201, 0x206, 0x20E, 0x236, 0x248, 0x24C)), U16)

    def stored(parts: tuple[bytes, int, int]) -> bytes:
        data, at, value = parts
        return data[:at] + value.to_bytes(2, "little") + data[at + 2 :]

    return image | field.map(stored) | changed(image)
