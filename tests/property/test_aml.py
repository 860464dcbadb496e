"""Properties of the search for _MAT: it finds what is there, and no bytes make it raise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence.acpi import AcpiTable, decode_header
from mpwake.evidence.aml import find_mat


def table(body: bytes) -> AcpiTable:
    head = b"DSDT" + (36 + len(body)).to_bytes(4, "little") + b"\x02\0MPWSPCMPWTESTS" + bytes(12)
    return decode_header(head + body)


def package(content: bytes) -> bytes:
    if len(content) + 1 < 64:
        return bytes([len(content) + 1]) + content
    length = len(content) + 3
    return bytes([0x80 | length & 0xF]) + (length >> 4).to_bytes(2, "little") + content


def buffer(data: bytes) -> bytes:
    return b"\x11" + package(b"\x0b" + len(data).to_bytes(2, "little") + data)


def name(data: bytes) -> bytes:
    return b"\x08_MAT" + buffer(data)


def method(parts: list[bytes]) -> bytes:
    return b"\x14" + package(b"_MAT\0" + b"".join(b"\xa4" + buffer(part) for part in parts))


# What stands between definitions in these tests has no byte that could begin one.
FILLER = st.binary(max_size=20).map(lambda data: data.translate(None, b"\x08\x11\x14"))
DATA = st.binary(max_size=200)
PATHS = st.sampled_from([b"_MAT", b"\\_MAT", b"^^_MAT", b"\x2eC000_MAT", b"\x2f\x03_SB_C000_MAT"])


@given(st.lists(st.tuples(FILLER, DATA)))
def test_every_name_is_found_with_its_bytes(parts: list[tuple[bytes, bytes]]) -> None:
    found = find_mat(table(b"".join(filler + name(data) for filler, data in parts)))
    assert [(one.kind, one.complete, [data for _, data in one.buffers]) for one in found] == [
        ("name", True, [data]) for _, data in parts
    ]


@given(FILLER, st.lists(DATA, max_size=5))
def test_every_constant_buffer_of_a_method_is_found(filler: bytes, parts: list[bytes]) -> None:
    (found,) = find_mat(table(filler + method(parts)))
    assert [data for _, data in found.buffers] == parts
    assert found.complete is bool(parts)


FRAGMENTS = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"\x08", b"\x14", b"\x11", b"_MAT", b"\x08_MAT\x11", b"\x14\x0c_MAT\0", b"\x0a\x05", b"\xc0", b"\xff"]
    ),
    PATHS,
    DATA.map(name),
)


def check(one: AcpiTable) -> None:
    end = 36
    for found in find_mat(one):
        assert found.offset >= end
        assert found.complete is bool(found.buffers)
        end = found.offset + 1
        for offset, data in found.buffers:
            assert end <= offset <= len(one.body)
            assert one.data[offset : offset + len(data)] == data
            end = offset + len(data)


@given(st.one_of(st.binary(), st.lists(FRAGMENTS).map(b"".join)))
def test_any_bytes_are_searched_without_an_error(body: bytes) -> None:
    check(table(body))


@given(st.binary(min_size=32, max_size=200), st.integers(0, 300))
def test_any_header_is_searched_without_an_error(data: bytes, length: int) -> None:
    check(decode_header(b"SSDT" + length.to_bytes(4, "little") + data))


@given(st.binary(max_size=100), st.integers(0, 100))
def test_a_cut_table_is_searched_without_an_error(data: bytes, cut: int) -> None:
    whole = name(data) + method([data])
    check(table(whole[: len(whole) * cut // 100]))
