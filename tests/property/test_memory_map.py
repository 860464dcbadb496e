"""Properties of memory maps: round trips, agreement with a byte-wise reading, and no error of an unknown kind."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence import memory_map as m
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.memory_map import MemoryMap, MemoryRange, MemoryType, Range
from mpwake.spec import document
from mpwake.spec.errors import InputError

TOP = 1 << 64
LABELS = {
    "usable": MemoryType.USABLE,
    "reserved": MemoryType.RESERVED,
    "device reserved": MemoryType.RESERVED,
    "ACPI data": MemoryType.ACPI_RECLAIMABLE,
    "ACPI NVS": MemoryType.ACPI_NVS,
    "unusable": MemoryType.UNUSABLE,
    "persistent (type 7)": MemoryType.PERSISTENT,
    "soft reserved": MemoryType.OTHER,
    "type 99": MemoryType.OTHER,
}


@st.composite
def spans(draw: st.DrawFn, limit: int = TOP) -> tuple[int, int]:
    start = draw(st.integers(0, limit - 1))
    return start, draw(st.integers(start + 1, limit))


@st.composite
def printed_ranges(draw: st.DrawFn) -> Range:
    start, end = draw(spans())
    label = draw(st.sampled_from(sorted(LABELS)))
    return Range(start, end, LABELS[label], label, 0)


@st.composite
def small_maps(draw: st.DrawFn) -> MemoryMap:
    pairs = draw(st.lists(st.tuples(spans(64), st.sampled_from(MemoryType)), max_size=6))
    return m.memory_map_of(tuple(MemoryRange(*span, kind) for span, kind in pairs), "small")


def bare(found: MemoryMap) -> list[tuple[int, int, MemoryType, str]]:
    return [(one.start, one.end, one.type, one.label) for one in found.ranges]


PRINTED = st.lists(printed_ranges(), min_size=1, max_size=12, unique_by=lambda one: (one.start, one.end))
PREFIXES = st.sampled_from(["", "[    0.000000] ", "Nov 21 01:15:00 host kernel: ", "<6>[    1.234567] "])
NOISE = st.sampled_from(["", "NX protection: active", "modified: [mem 0x0-0xfff] reserved", "BIOS-e820: [gap 0x0-0xf]"])


@given(PRINTED, PREFIXES, NOISE)
def test_what_is_encoded_is_read_back_behind_any_prefix(ranges: list[Range], prefix: str, noise: str) -> None:
    given_map = MemoryMap("given", ranges)
    lines = m.encode_e820(given_map).splitlines()
    text = "\n".join(f"{prefix}{noise}\n{prefix}{line}" for line in lines)
    assert bare(m.parse_e820(text)) == bare(given_map)


@given(st.lists(st.tuples(spans(), st.sampled_from(MemoryType)), min_size=1, unique_by=lambda one: one[0]))
def test_types_survive_being_encoded(pairs: list[tuple[tuple[int, int], MemoryType]]) -> None:
    given_map = m.memory_map_of(tuple(MemoryRange(*span, kind) for span, kind in pairs), "given")
    found = m.parse_e820(m.encode_e820(given_map))
    assert [one[:3] for one in bare(found)] == [one[:3] for one in bare(given_map)]


@given(st.lists(st.tuples(spans(), st.sampled_from(MemoryType)), min_size=1))
def test_ranges_in_yaml_are_read_as_written(pairs: list[tuple[tuple[int, int], MemoryType]]) -> None:
    lines = [f"- {{start: {span[0]:#x}, end: {span[1]}, type: {kind.value}}}\n" for span, kind in pairs]
    found = m.parse_uefi_yaml(document.parse("memory_map:\n" + "".join(lines), "map.yaml"))
    for one in found.ranges:
        assert pairs[one.line - 2] == ((one.start, one.end), one.type)


@given(small_maps(), st.integers(0, 70), st.integers(0, 70))
def test_types_of_agrees_with_every_single_byte(small: MemoryMap, start: int, end: int) -> None:
    expected: set[MemoryType | None] = set()
    for at in range(start, end):
        expected |= {one.type for one in small.ranges if one.start <= at < one.end} or {None}
    assert small.types_of(start, end) == expected


@given(small_maps(), st.integers(0, 70))
def test_usable_below_agrees_with_every_single_byte(small: MemoryMap, limit: int) -> None:
    usable = {at for at in range(limit) if small.types_of(at, at + 1) == {MemoryType.USABLE}}
    assert {at for one in small.usable_below(limit) for at in range(one.start, one.end)} == usable


@given(small_maps(), st.integers(0, 70), st.integers(0, 70))
def test_an_exhibit_marks_exactly_the_covering_ranges(small: MemoryMap, start: int, end: int) -> None:
    end = max(end, start + 1)
    lines = small.exhibit(start, end).text.splitlines()
    assert [line[2:] for line in lines if line.startswith("> ")] == [str(one) for one in small.covering(start, end)]


FRAGMENTS = st.sampled_from(
    [
        "BIOS-e820: ",
        "modified: ",
        "e820: ",
        "[mem ",
        "[gap ",
        "0x0",
        "0xffffffffffffffff",
        "-",
        "] ",
        "usable",
        "\n",
        "\r",
    ]
)


@given(st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=3))).map("".join)))
def test_any_text_is_a_map_or_a_codec_error(text: str) -> None:
    with contextlib.suppress(CodecError):
        assert m.parse_e820(text).ranges


@given(st.one_of(st.text(), st.binary()))
def test_any_yaml_is_a_map_or_an_input_error(text: str | bytes) -> None:
    with contextlib.suppress(InputError):
        m.parse_uefi_yaml(document.parse(text, "map.yaml"))


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("EfiACPIMemoryNVS")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["type", "start", "pages", "end"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["memory_map", "uefi_memory_map", "other"]), st.one_of(PLAIN, st.lists(PLAIN, max_size=2))
    )
)
def test_any_document_is_a_map_or_an_input_error(plain: dict[str, object]) -> None:
    with contextlib.suppress(InputError):
        m.parse_uefi_yaml(document.from_plain(plain, "map.yaml"))


HEX = st.one_of(st.binary(max_size=40), st.integers(0, TOP).map(lambda value: f"{value:#x}\n".encode()))
WORD = st.one_of(st.binary(max_size=40), st.sampled_from([b"System RAM\n", b"Reserved\n", b"Unknown E820 type\n"]))


@given(HEX, HEX, WORD, st.sampled_from(["0", "17", "x"]))
def test_any_sysfs_folder_is_a_map_or_one_of_our_errors(start: bytes, end: bytes, kind: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / name
        folder.mkdir()
        for file, data in (("start", start), ("end", end), ("type", kind)):
            (folder / file).write_bytes(data)
        with contextlib.suppress(CodecError, InputError):
            assert len(m.read_sysfs_memmap(Path(root)).ranges) == 1
