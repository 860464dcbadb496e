"""The text format of acpidump."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mpwake.evidence import acpidump
from mpwake.evidence.acpidump import AcpiDumpTable, format_acpidump, is_acpidump, parse_acpidump
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.madt import decode_madt, encode_lapic, encode_madt, encode_wakeup

MADT = encode_madt((encode_lapic(0, 0, 1), encode_lapic(1, 1, 1), encode_wakeup(1, 0x7F5E5000, 0x7F5E7000)), 7)

DUMP = """\
APIC @ 0x000000007F5E3000
    0000: 41 50 49 43 14 00 00 00 05 00 4D 50 57 53 50 43  APIC......MPWSPC
    0010: 20 20 41 42                                        AB

RSD PTR @ 0xf6cd0
  0000: 52 53 44 20 50 54 52 20  41 42 43

SSDT @ (nil)
  00000000: 00 01
"""


def first(text: str) -> AcpiDumpTable:
    return parse_acpidump(text)[0]


def test_tables_come_in_order_with_their_addresses_and_lines() -> None:
    one, two, three = parse_acpidump(DUMP)
    assert one == AcpiDumpTable("APIC", 0x7F5E3000, b"APIC\x14\0\0\0\x05\0MPWSPC  AB", 1)
    assert two == AcpiDumpTable("RSDP", 0xF6CD0, b"RSD PTR ", 5)
    assert three == AcpiDumpTable("SSDT", 0, b"\0\x01", 8)


@pytest.mark.parametrize(
    ("row", "data"),
    [
        ("    0000: 41 42  41 42", b"AB"),
        ("    0000: 41 42                                            43 44", b"AB"),
        ("    0000: 41 42", b"AB"),
        ("    0000: 41 42      ", b"AB"),
        ("0000: 41 42", b"AB"),
        ("\t000000: 41 42  AB\r", b"AB"),
        ("    0000: " + " ".join(["2e"] * 16) + "  41 42 43 44 45 46", b"." * 16),
    ],
)
def test_the_ascii_column_is_not_taken_for_bytes(row: str, data: bytes) -> None:
    assert first(f"APIC @ 0x0\n{row}\n").data == data


def test_offsets_grow_beyond_four_digits() -> None:
    data = bytes(range(256)) * 0x101
    text = format_acpidump((AcpiDumpTable("DSDT", 1, data, 1),))
    assert "   100F0: F0 F1" in text
    assert first(text).data == data


def test_other_text_around_tables_is_passed_over() -> None:
    assert len(parse_acpidump(f"$ sudo acpidump\nuser @ host\n\n{DUMP}\n$ exit\n")) == 3


def test_a_header_ends_the_table_before_it() -> None:
    one, two = parse_acpidump("APIC @ 0x1\n 0000: 41\nSSDT @ 0x2\n 0000: 42")
    assert (one.data, two.data, two.line) == (b"A", b"B", 3)


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"),
    [
        ("APIC @ 0x0\n 0000: 41\n 0002: 42\n", 3, "offset 0001", "offset 0002"),
        ("APIC @ 0x0\n 0010: 41\n", 2, "offset 0000", "offset 0010"),
        ("APIC @ 0x0\n 0000: 41\n\n 0001: 42\n", 4, "a header", "0001: 42"),
        ("0000: 41\n", 1, "a header", "0000: 41"),
        ("APIC @ 0x0\n\n", 1, "bytes of the table APIC", "none"),
        ("APIC @ 0x0", 1, "bytes of the table APIC", "none"),
        ("\nAPIC @ somewhere\n 0000: 41\n", 2, "a physical address", "'somewhere'"),
        ("APIC @ 0x11112222333344445\n 0000: 41\n", 1, "a physical address", "0x1111222233334444"),
        ("APIC @ 0x0\n 0000: 4\n", 2, "'<offset>: ", " 0000: 4"),
        ("APIC @ 0x0\n 0000: 41 4G  x\n", 2, "'<offset>: ", "4G"),
        ("APIC @ 0x0\n 0000: 41\nprompt$\n", 3, "'<offset>: ", "'prompt$'"),
        ("APIC @ 0x0\n 0000:" + " 41" * 17 + "\n", 2, "'<offset>: ", "0000: 41"),
        ("APIC @ 0x0\n 0: 41\n", 2, "'<offset>: ", "0: 41"),
        ("", 1, "a table such as 'APIC @ ", "none"),
        ("hello\nworld", 2, "a table such as 'APIC @ ", "none"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, expected: str, found: str) -> None:
    with pytest.raises(CodecError) as caught:
        parse_acpidump(text)
    error = caught.value
    assert (error.codec, error.unit, error.offset) == ("an acpidump text", "line", line)
    assert expected in error.expected
    assert found in error.found


def test_text_and_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CodecError, match="1024 tables"):
        parse_acpidump("APIC @ 0x0\n 0000: 41\n" * (acpidump.MAX_TABLES + 1))
    monkeypatch.setattr(acpidump, "MAX_TEXT", 20)
    with pytest.raises(CodecError, match="at most 20 characters"):
        parse_acpidump(DUMP)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DUMP, True),
        ("some words\n" + DUMP, True),
        (DUMP.replace("\n", "\r\n"), True),
        (DUMP[:40], True),
        ("APIC @ 0x0\n", False),
        ("APIC @ 0x0\n 0010: 41", False),
        ("apic @ 0x0\n 0000: 41", False),
        ("[    0.000000] BIOS-e820: [mem 0x0-0xfff] usable\n", False),
        ("memory_map: []\n", False),
        ("", False),
    ],
)
def test_a_dump_is_recognised_by_its_beginning(text: str, expected: bool) -> None:
    assert is_acpidump(text) is expected


def test_the_form_is_that_of_acpidump() -> None:
    assert format_acpidump((AcpiDumpTable("APIC", 0x7F5E3000, MADT[:20], 1),)) == (
        "APIC @ 0x000000007F5E3000\n"
        "    0000: 41 50 49 43 54 00 00 00 07 "
        + MADT[9:16].hex(" ").upper()
        + "  APICT..."
        + "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in MADT[8:16])
        + "\n    0010: 4D 50 57 54"
        + " " * 38
        + "MPWT\n\n"
    )


def needs(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed (Debian: acpica-tools)")
    return path


def test_acpixtract_reads_what_is_written(tmp_path: Path) -> None:
    tool = needs("acpixtract")
    ssdt = b"SSDT" + (52).to_bytes(4, "little") + bytes(range(44))
    tables = (AcpiDumpTable("APIC", 0x7F5E3000, MADT, 1), AcpiDumpTable("SSDT", 0, ssdt, 1))
    (tmp_path / "dump.txt").write_text(format_acpidump(tables))
    subprocess.run([tool, "-a", "dump.txt"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "apic.dat").read_bytes() == MADT
    assert (tmp_path / "ssdt.dat").read_bytes() == ssdt


def test_what_acpidump_writes_is_read(tmp_path: Path) -> None:
    tool = needs("acpidump")
    (tmp_path / "apic.dat").write_bytes(MADT)
    done = subprocess.run([tool, "-f", "apic.dat"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert is_acpidump(done.stdout)
    found = first(done.stdout)
    assert (found.name, found.data) == ("APIC", MADT)
    assert decode_madt(found.data).wakeups[0].address == 0x7F5E5000
    assert format_acpidump((found,)).strip() == done.stdout.strip()
