"""Properties of the acpidump format: round trips, and no error but CodecError."""

from __future__ import annotations

import contextlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence.acpidump import AcpiDumpTable, format_acpidump, is_acpidump, parse_acpidump
from mpwake.evidence.exhibit import CodecError

NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_!", min_size=4, max_size=4)
TABLES = st.lists(
    st.builds(AcpiDumpTable, NAMES, st.integers(0, (1 << 64) - 1), st.binary(min_size=1, max_size=100), st.just(0)),
    min_size=1,
    max_size=5,
)
# Bytes that make an ASCII column that reads like bytes in hex.
CONFUSING = st.text("0123456789abcdefABCDEF .:", min_size=1, max_size=64).map(lambda text: text.encode("ascii"))


def without_lines(tables: tuple[AcpiDumpTable, ...]) -> list[AcpiDumpTable]:
    return [attrs.evolve(one, line=0) for one in tables]


@given(TABLES, st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read_back(tables: list[AcpiDumpTable], newline: str) -> None:
    text = format_acpidump(tables).replace("\n", newline)
    found = parse_acpidump(text)
    assert without_lines(found) == tables
    assert [text.split(newline)[one.line - 1][:4] for one in found] == [one.name for one in tables]
    assert is_acpidump(text)


@given(CONFUSING)
def test_no_ascii_column_is_taken_for_bytes(data: bytes) -> None:
    assert parse_acpidump(format_acpidump([AcpiDumpTable("SSDT", 0, data, 0)]))[0].data == data


@given(st.binary(min_size=33, max_size=120), st.data())
def test_a_lost_line_is_noticed(data: bytes, draws: st.DataObject) -> None:
    lines = format_acpidump([AcpiDumpTable("SSDT", 0, data, 0)]).split("\n")
    lost = draws.draw(st.integers(1, (len(data) + 15) // 16 - 1))
    del lines[lost]
    with pytest.raises(CodecError, match="expected offset"):
        parse_acpidump("\n".join(lines))


FRAGMENTS = st.sampled_from(
    ["APIC @ 0x0", "RSD PTR @ ", "(nil)", "\n", "\r", "    0000:", " 0010:", " 41", "  AB", " "]
)


@given(st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=2))).map("".join)))
def test_any_text_is_tables_or_a_codec_error(text: str) -> None:
    is_acpidump(text)
    with contextlib.suppress(CodecError):
        assert all(one.data for one in parse_acpidump(text))


@given(st.binary())
def test_any_bytes_as_text_are_tables_or_a_codec_error(data: bytes) -> None:
    with contextlib.suppress(CodecError):
        parse_acpidump(data.decode("latin-1"))
