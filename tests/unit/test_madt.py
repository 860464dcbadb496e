"""The MADT codec: the byte images of the catalogue (B.2 to B.5), each kind of damage, and cuts at every byte."""

from __future__ import annotations

import struct

import pytest

from mpwake.evidence.acpi import MAX_TABLE, checksummed, decode_header
from mpwake.evidence.exhibit import CodecError, Damage, Exhibit, Mark
from mpwake.evidence.madt import (
    FIRST_ENTRY,
    MAX_ENTRIES,
    Madt,
    decode_madt,
    decode_wakeup,
    encode_lapic,
    encode_madt,
    encode_wakeup,
    encode_x2apic,
    walk,
)

ADDRESS, RESET = 0x7F5E5000, 0x7F5E6080

# Catalogue B.2: the entry alone.
V0 = bytes.fromhex("10 10 00 00 00 00 00 00  00 50 5E 7F 00 00 00 00")
V1 = bytes.fromhex("10 18 01 00 00 00 00 00  00 50 5E 7F 00 00 00 00  80 60 5E 7F 00 00 00 00")
V1_WITHOUT_RESET = bytes.fromhex("10 18 01 00 00 00 00 00  00 50 5E 7F 00 00 00 00  00 00 00 00 00 00 00 00")

# Catalogue B.3 to B.5: whole tables.
B3 = bytes.fromhex(
    "41 50 49 43 4C 00 00 00  05 B8 4D 50 57 53 50 43  4D 50 57 54 45 53 54 53  01 00 00 00 4D 50 57 43"
    "01 00 00 00 00 00 E0 FE  01 00 00 00 00 08 00 00  01 00 00 00 00 08 01 01  01 00 00 00 10 10 00 00"
    "00 00 00 00 00 50 5E 7F  00 00 00 00"
)
B4 = bytes.fromhex(
    "41 50 49 43 54 00 00 00  07 E8 4D 50 57 53 50 43  4D 50 57 54 45 53 54 53  01 00 00 00 4D 50 57 43"
    "01 00 00 00 00 00 E0 FE  01 00 00 00 00 08 00 00  01 00 00 00 00 08 01 01  01 00 00 00 10 18 01 00"
    "00 00 00 00 00 50 5E 7F  00 00 00 00 80 60 5E 7F  00 00 00 00"
)
B5 = bytes.fromhex(
    "41 50 49 43 5C 00 00 00  07 8D 4D 50 57 53 50 43  4D 50 57 54 45 53 54 53  01 00 00 00 4D 50 57 43"
    "01 00 00 00 00 00 E0 FE  01 00 00 00 00 08 00 00  01 00 00 00 09 10 00 00  FF 01 00 00 01 00 00 00"
    "01 00 00 00 10 18 01 00  00 00 00 00 00 50 5E 7F  00 00 00 00 00 00 00 00  00 00 00 00"
)
LAPICS = (encode_lapic(0, 0, 1), encode_lapic(1, 1, 1))
TABLES = {"B.3": B3, "B.4": B4, "B.5": B5}


def with_length(data: bytes, length: int) -> bytes:
    return checksummed(data[:4] + length.to_bytes(4, "little") + data[8:])


def table(*entries: bytes) -> bytes:
    return encode_madt(entries, 7)


def spans(data: bytes) -> list[tuple[int, int]]:
    """Return where each entry of a sound table begins and ends, read without the codec."""
    found, at = [], FIRST_ENTRY
    while at < len(data):
        found.append((at, at + data[at + 1]))
        at += data[at + 1]
    return found


def types(madt: Madt) -> list[int]:
    return [entry.type for entry in madt.entries]


@pytest.mark.parametrize(
    ("encoded", "image"),
    [
        (encode_wakeup(0, ADDRESS), V0),
        (encode_wakeup(1, ADDRESS, RESET), V1),
        (encode_wakeup(1, ADDRESS, 0), V1_WITHOUT_RESET),
        (encode_lapic(1, 2, 3), bytes.fromhex("00 08 01 02 03 00 00 00")),
        (encode_x2apic(1, 0x1FF, 1), bytes.fromhex("09 10 00 00 FF 01 00 00 01 00 00 00 01 00 00 00")),
        (encode_madt((*LAPICS, encode_wakeup(0, ADDRESS)), 5), B3),
        (encode_madt((*LAPICS, encode_wakeup(1, ADDRESS, RESET)), 7), B4),
        (encode_madt((LAPICS[0], encode_x2apic(1, 0x1FF, 1), encode_wakeup(1, ADDRESS, 0)), 7), B5),
    ],
)
def test_the_images_of_the_catalogue_are_written_byte_for_byte(encoded: bytes, image: bytes) -> None:
    assert encoded.hex(" ") == image.hex(" ")


@pytest.mark.parametrize("name", TABLES)
def test_a_whole_table_sums_to_zero(name: str) -> None:
    madt = decode_madt(TABLES[name])
    assert (madt.table.sum, madt.table.length, madt.broken, madt.cut) == (0, len(TABLES[name]), None, False)
    assert madt.end == len(madt.data) == len(TABLES[name])


@pytest.mark.parametrize(
    ("data", "revision", "checksum", "processors", "wakeup"),
    [
        (B3, 5, 0xB8, [(0, 0), (1, 1)], (0x3C, 0, ADDRESS, None)),
        (B4, 7, 0xE8, [(0, 0), (1, 1)], (0x3C, 1, ADDRESS, RESET)),
        (B5, 7, 0x8D, [(0, 0), (1, 0x1FF)], (0x44, 1, ADDRESS, 0)),
    ],
)
def test_a_table_is_read_field_by_field(
    data: bytes, revision: int, checksum: int, processors: list[tuple[int, int]], wakeup: tuple[int, ...]
) -> None:
    madt = decode_madt(data)
    assert (madt.table.signature, madt.table.revision, madt.table.checksum) == ("APIC", revision, checksum)
    assert (madt.local_apic_address, madt.flags) == (0xFEE00000, 1)
    assert [(one.uid, one.apic_id) for one in madt.processors] == processors
    assert all(one.enabled and one.usable and not one.online_capable for one in madt.processors)
    (one,) = madt.wakeups
    assert (one.entry.offset, one.version, one.address, one.reset_vector) == wakeup
    assert one.reserved == 0


def test_the_header_is_read_field_by_field() -> None:
    table = decode_header(B3)
    assert (table.oem_id, table.oem_table_id, table.oem_revision) == (b"MPWSPC", b"MPWTESTS", 1)
    assert (table.creator_id, table.creator_revision, table.body) == (b"MPWC", 1, B3)


def test_the_fields_of_the_header_can_be_chosen() -> None:
    data = encode_madt((), 3, b"A", b"LONGER-THAN-8", 0xFEC00000, 0, 2, b"TOO-LONG", 9)
    madt = decode_madt(data)
    assert (madt.table.oem_id, madt.table.oem_table_id, madt.table.creator_id) == (b"A\0\0\0\0\0", b"LONGER-T", b"TOO-")
    assert (madt.table.oem_revision, madt.table.creator_revision) == (2, 9)
    assert (madt.local_apic_address, madt.flags, madt.entries, madt.broken) == (0xFEC00000, 0, (), None)
    assert madt.table.sum == 0


@pytest.mark.parametrize(
    ("flags", "enabled", "online_capable", "usable"),
    [
        (0, False, False, False),
        (1, True, False, True),
        (2, False, True, True),
        (3, True, True, True),
        (4,) + (False,) * 3,
    ],
)
def test_flags_say_which_processors_are_usable(flags: int, enabled: bool, online_capable: bool, usable: bool) -> None:
    for entry in (encode_lapic(0, 0, flags), encode_x2apic(0, 0, flags)):
        (one,) = decode_madt(table(entry)).processors
        assert (one.enabled, one.online_capable, one.usable) == (enabled, online_capable, usable)


@pytest.mark.parametrize(
    ("length", "fields"),
    [
        (2, (None, None, None, None)),
        (3, (None, None, None, None)),
        (4, (1, None, None, None)),
        (7, (1, None, None, None)),
        (8, (1, 0, None, None)),
        (15, (1, 0, None, None)),
        (16, (1, 0, ADDRESS, None)),
        (23, (1, 0, ADDRESS, None)),
        (24, (1, 0, ADDRESS, RESET)),
    ],
)
def test_a_field_that_a_short_structure_does_not_cover_is_none(length: int, fields: tuple[int | None, ...]) -> None:
    entry = bytes([0x10, length]) + V1[2:length]
    (one,) = decode_madt(table(entry, LAPICS[0])).wakeups
    assert (one.version, one.reserved, one.address, one.reset_vector) == fields


@pytest.mark.parametrize(("kind", "least"), [(0x00, 8), (0x09, 16)])
def test_a_processor_entry_too_short_to_be_read_is_an_entry_and_no_processor(kind: int, least: int) -> None:
    for length in range(2, least):
        madt = decode_madt(table(bytes([kind, length]) + bytes(length - 2), LAPICS[1]))
        assert types(madt) == [kind, 0]
        assert [one.apic_id for one in madt.processors] == [1]


def test_a_longer_entry_keeps_its_own_length() -> None:
    madt = decode_madt(table(V1 + b"", bytes([0x10, 28]) + V1[2:] + b"tail", LAPICS[1]))
    assert [(entry.length, entry.data[24:]) for entry in madt.entries] == [(24, b""), (28, b"tail"), (8, b"")]
    assert madt.wakeups[1].reset_vector == RESET


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_length_of_0_or_1_ends_the_walk_and_keeps_what_was_before(length: int, before: int) -> None:
    madt = decode_madt(table(*LAPICS[:before], bytes([0x10, length]) + V1[2:], LAPICS[0]))
    assert types(madt) == [0] * before
    expected = Damage(
        FIRST_ENTRY + 8 * before + 1, "a Length of at least 2", f"Length {length} in an entry of type 0x10"
    )
    assert madt.broken == expected
    assert not madt.cut


def test_an_entry_that_overruns_the_table_ends_the_walk() -> None:
    madt = decode_madt(table(*LAPICS, encode_wakeup(0, ADDRESS, length=17)))
    assert types(madt) == [0, 0]
    assert madt.broken == Damage(
        0x3D, "an entry that ends at or before byte 0x4c", "type 0x10 with Length 17, which ends at byte 0x4d"
    )


def test_one_byte_behind_the_last_entry_is_damage() -> None:
    madt = decode_madt(table(*LAPICS, b"\0"))
    assert types(madt) == [0, 0]
    assert madt.broken == Damage(0x3C, "an entry of at least 2 bytes", "1 byte to the table's end")


@pytest.mark.parametrize("length", range(len(B5)))
def test_a_header_length_that_is_short_keeps_the_entries_that_it_covers(length: int) -> None:
    madt = decode_madt(with_length(B5, length))
    covered = [span for span in spans(B5) if span[1] <= length]
    assert [(entry.offset, entry.offset + entry.length) for entry in madt.entries] == covered
    assert (madt.cut, madt.end, madt.data) == (False, length, with_length(B5, length))
    at_an_end = length in (FIRST_ENTRY, *(end for _, end in spans(B5)))
    assert (madt.broken is None) is at_an_end
    if length < FIRST_ENTRY:
        assert madt.broken == Damage(4, "a Length of at least 44", f"Length {length}")


@pytest.mark.parametrize("more", [1, 2, 8, 0x1000, 0xFFFFFFFF - len(B5)])
def test_a_header_length_that_is_long_is_a_cut_input(more: int) -> None:
    madt = decode_madt(with_length(B5, len(B5) + more))
    assert types(madt) == types(decode_madt(B5))
    assert (madt.cut, madt.end, madt.broken) == (True, len(B5), None)


def test_what_follows_the_header_length_is_not_walked() -> None:
    madt = decode_madt(B3 + V1)
    assert (types(madt), madt.end, madt.broken, madt.cut) == ([0, 0, 0x10], len(B3), None, False)
    assert madt.data == B3 + V1


@pytest.mark.parametrize("name", TABLES)
def test_a_table_cut_at_any_byte_keeps_the_entries_before_the_cut(name: str) -> None:
    data = TABLES[name]
    whole = decode_madt(data)
    for cut in range(len(data)):
        if cut < FIRST_ENTRY:
            with pytest.raises(CodecError) as caught:
                decode_madt(data[:cut])
            assert caught.value.offset == cut
            continue
        madt = decode_madt(data[:cut])
        assert madt.entries == tuple(one for one in whole.entries if one.offset + one.length <= cut)
        assert (madt.cut, madt.end, madt.table.length) == (True, cut, len(data))
        assert (madt.broken is None) is (cut in {FIRST_ENTRY, *(one.offset for one in whole.entries)})


@pytest.mark.parametrize(
    ("data", "offset", "expected", "found"),
    [
        (b"", 0, "a header of 36 bytes", "0 bytes"),
        (B3[:35], 35, "a header of 36 bytes", "35 bytes"),
        (B3[:36], 36, "44 bytes before the first entry", "36 bytes"),
        (B3[:43], 43, "44 bytes before the first entry", "43 bytes"),
        (b"FACP" + B3[4:], 0, "the signature 'APIC'", "'FACP'"),
        (b"apic" + B3[4:], 0, "a signature of four capital letters or digits", "b'apic'"),
        (b"\x7fELF" + B3[4:], 0, "a signature of four capital letters or digits", "ELF"),
        (B3.ljust(MAX_TABLE + 1, b"\0"), 0, f"at most {MAX_TABLE} bytes", f"{MAX_TABLE + 1} bytes"),
    ],
)
def test_what_is_no_madt_at_all_is_refused(data: bytes, offset: int, expected: str, found: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode_madt(data)
    assert (caught.value.offset, caught.value.unit) == (offset, "byte")
    assert expected in caught.value.expected
    assert found in caught.value.found
    assert str(caught.value).startswith(f"not {caught.value.codec}: byte {offset:#x}: expected ")


def test_the_largest_table_is_read() -> None:
    data = with_length(B3.ljust(MAX_TABLE, b"\xff"), MAX_TABLE)
    assert decode_madt(data).wakeups == decode_madt(with_length(B3.ljust(len(B3) + 255, b"\xff"), 331)).wakeups != ()


def test_more_entries_than_are_read_is_damage() -> None:
    madt = decode_madt(table(b"\x80\x02" * (MAX_ENTRIES + 1)))
    assert len(madt.entries) == MAX_ENTRIES
    assert madt.broken == Damage(FIRST_ENTRY + 2 * MAX_ENTRIES, f"at most {MAX_ENTRIES} entries", "more")


def test_one_entry_less_than_are_read_is_no_damage() -> None:
    assert decode_madt(table(b"\x80\x02" * (MAX_ENTRIES - 1))).broken is None


def test_as_many_entries_as_are_read_is_no_damage() -> None:
    assert decode_madt(table(b"\x80\x02" * MAX_ENTRIES)).broken is None


def test_a_part_of_any_bytes_can_be_walked() -> None:
    found = list(walk(b"??" + LAPICS[0] + V0 + b"\x09\x01??", 2, 28))
    assert [getattr(one, "type", None) for one in found] == [0, 0x10, None]
    assert isinstance(found[-1], Damage)
    assert list(walk(b"", 0, 0)) == []


def test_wrong_fields_are_written_as_they_are_given() -> None:
    assert encode_lapic(0, 0, 0, 9)[:2] == b"\x00\x09"
    assert encode_x2apic(0, 0, 0, 0)[:2] == b"\x09\x00"
    assert encode_wakeup(2, 1, 2, 0x01020304, 40, 0x11) == struct.pack("<BBHIQQ", 0x11, 40, 2, 0x01020304, 1, 2)


def test_a_wakeup_structure_can_be_read_from_an_entry_of_another_type() -> None:
    (entry,) = decode_madt(table(b"\x11" + V1[1:])).entries
    assert decode_wakeup(entry).reset_vector == RESET


@pytest.mark.parametrize(
    ("offset", "length", "start", "end"),
    [(0, 1, 0, 0x20), (0x0F, 1, 0, 0x20), (0x10, 4, 0, 0x30), (0x3C, 16, 0x20, 0x54), (0x53, 1, 0x40, 0x54)],
)
def test_an_exhibit_shows_the_lines_around_what_it_marks(offset: int, length: int, start: int, end: int) -> None:
    assert decode_madt(B4).exhibit(offset, length) == Exhibit("MADT", start, B4[start:end], (Mark(offset, length),))
