"""Properties of the MADT codec: what it writes it reads, and no bytes lead to anything but a result or CodecError."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence.acpi import checksummed
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.madt import (
    FIRST_ENTRY,
    LOCAL_APIC,
    LOCAL_X2APIC,
    WAKEUP,
    Madt,
    decode_madt,
    encode_lapic,
    encode_madt,
    encode_wakeup,
    encode_x2apic,
)

U8, U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
LAPIC = st.builds(encode_lapic, U8, U8, U32)
X2APIC = st.builds(encode_x2apic, U32, U32, U32)
WAKEUP_ENTRY = st.builds(encode_wakeup, U16, U64, st.none() | U64, U32)
OTHER = st.builds(
    lambda kind, body: bytes([kind, len(body) + 2]) + body,
    U8.filter(lambda kind: kind not in (LOCAL_APIC, LOCAL_X2APIC, WAKEUP)),
    st.binary(max_size=253),
)
ENTRIES = st.lists(st.one_of(LAPIC, X2APIC, WAKEUP_ENTRY, OTHER), max_size=20)


def invariants(madt: Madt) -> None:
    """Check what holds of every decoded table, sound or damaged."""
    at = FIRST_ENTRY
    for entry in madt.entries:
        assert entry.offset == at
        assert entry.length == len(entry.data) >= 2
        assert entry.data == madt.data[at : at + entry.length]
        assert (entry.type, entry.length) == (entry.data[0], entry.data[1])
        at += entry.length
    assert madt.end == min(madt.table.length, len(madt.data))
    assert at <= max(madt.end, FIRST_ENTRY)
    assert (madt.broken is None) is (at == madt.end)
    assert madt.cut is (len(madt.data) < madt.table.length)
    assert len(madt.wakeups) == sum(entry.type == WAKEUP for entry in madt.entries)


@given(ENTRIES, U8, U32, U32)
def test_any_entries_are_read_back(entries: list[bytes], revision: int, address: int, flags: int) -> None:
    madt = decode_madt(encode_madt(tuple(entries), revision, local_apic_address=address, flags=flags))
    invariants(madt)
    assert [entry.data for entry in madt.entries] == entries
    assert (madt.broken, madt.table.sum, madt.table.revision) == (None, 0, revision)
    assert (madt.local_apic_address, madt.flags) == (address, flags)


@given(st.lists(st.tuples(U8, U8, U32) | st.tuples(U32, U32, U32), max_size=20))
def test_processors_are_read_back(given_ones: list[tuple[int, int, int]]) -> None:
    entries = [(encode_lapic if max(one[:2]) < 256 else encode_x2apic)(*one) for one in given_ones]
    madt = decode_madt(encode_madt(tuple(entries), 7))
    assert [(one.uid, one.apic_id, one.flags) for one in madt.processors] == given_ones


@given(st.lists(st.tuples(U16, U64, st.none() | U64, U32), max_size=8))
def test_wakeup_structures_are_read_back(given_ones: list[tuple[int, int, int | None, int]]) -> None:
    madt = decode_madt(encode_madt(tuple(encode_wakeup(*one) for one in given_ones), 7))
    assert [(one.version, one.address, one.reset_vector, one.reserved) for one in madt.wakeups] == given_ones


@given(ENTRIES, st.data())
def test_a_cut_keeps_exactly_the_entries_before_it(entries: list[bytes], data: st.DataObject) -> None:
    whole = encode_madt(tuple(entries), 7)
    cut = data.draw(st.integers(FIRST_ENTRY, len(whole)))
    madt = decode_madt(whole[:cut])
    invariants(madt)
    assert [entry.data for entry in madt.entries] == [
        entry.data for entry in decode_madt(whole).entries if entry.offset + entry.length <= cut
    ]


@given(ENTRIES, U32, st.binary(max_size=40))
def test_any_length_in_the_header_is_followed_as_far_as_the_bytes_go(
    entries: list[bytes], length: int, tail: bytes
) -> None:
    data = encode_madt(tuple(entries), 7) + tail
    for one in (length, length % (len(data) + 2)):
        invariants(decode_madt(data[:4] + one.to_bytes(4, "little") + data[8:]))


@given(st.binary(max_size=300), st.sampled_from([b"", b"APIC", b"APIC\x60\0\0\0"]))
def test_any_bytes_are_a_table_or_a_codec_error(data: bytes, head: bytes) -> None:
    try:
        madt = decode_madt(head + data)
    except CodecError as error:
        assert 0 <= error.offset <= len(head + data)
        assert error.unit == "byte"
    else:
        invariants(madt)
        assert len(madt.processors) <= len(madt.entries)


@given(st.binary(min_size=10, max_size=300))
def test_a_checksummed_table_sums_to_zero_and_differs_in_one_byte(data: bytes) -> None:
    mended = checksummed(data)
    assert sum(mended) % 256 == 0
    assert (mended[:9], mended[10:]) == (data[:9], data[10:])
