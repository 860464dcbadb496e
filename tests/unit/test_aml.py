"""The static search for _MAT in AML."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mpwake.evidence.acpi import AcpiTable, checksummed, decode_header
from mpwake.evidence.aml import MatObject, find_mat

LAPIC = bytes([0, 8, 1, 1, 1, 0, 0, 0])
WAKEUP = bytes([0x10, 16, 0, 0]) + bytes(12)
HEAD = 36

ASL = """\
DefinitionBlock ("", "SSDT", 2, "MPWSPC", "MATTEST", 1)
{
    External (\\_SB.C009._MAT, UnknownObj)
    Scope (\\_SB)
    {
        Device (C000)
        {
            Name (_HID, "ACPI0007")
            Name (_MAT, Buffer () {0x00, 0x08, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00})
        }
        Device (C001)
        {
            Name (_HID, "ACPI0007")
            Method (_MAT, 0, NotSerialized)
            {
                Return (Buffer () {0x00, 0x08, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00})
            }
        }
        Device (C002)
        {
            Name (_HID, "ACPI0007")
            Method (_MAT, 0, NotSerialized) { Return (\\_SB.CMAT (2)) }
        }
        Device (C003)
        {
            Name (_HID, "ACPI0007")
            Method (_MAT, 0, Serialized)
            {
                If (\\_SB.CMAT (3)) { Return (Buffer (300) {0x00, 0x08, 0x03}) }
                Return (Buffer () {0x10, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
            }
        }
        Device (C004) { Name (_HID, "ACPI0007") }
        Method (CMAT, 1, NotSerialized) { Return (Arg0) }
    }
    Name (\\_SB.C004._MAT, Buffer (70)
    {
        0x00, 0x08, 0x04, 0x04, 0x01, 0x00, 0x00, 0x00
    })
}
"""


def table(body: bytes, tail: bytes = b"") -> AcpiTable:
    head = b"SSDT" + (HEAD + len(body)).to_bytes(4, "little") + bytes([2, 0]) + b"MPWSPCMATTEST\0" + bytes(12)
    return decode_header(checksummed(head + body) + tail)


def package(content: bytes, width: int = 1) -> bytes:
    length = width + len(content)
    if width == 1:
        return bytes([length]) + content
    return bytes([(width - 1) << 6 | length & 0xF]) + (length >> 4).to_bytes(width - 1, "little") + content


def buffer(data: bytes, size: bytes | None = None, width: int = 1) -> bytes:
    return b"\x11" + package((bytes([0x0A, len(data)]) if size is None else size) + data, width)


def method(body: bytes, path: bytes = b"_MAT", width: int = 1) -> bytes:
    return b"\x14" + package(path + b"\0" + body, width)


def only(body: bytes) -> MatObject:
    (found,) = find_mat(table(body))
    return found


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_name_gives_its_buffer_and_where_its_bytes_are(width: int) -> None:
    found = only(b"\x08_MAT" + buffer(LAPIC, width=width))
    assert found == MatObject(HEAD, "name", ((HEAD + 8 + width, LAPIC),), True)


@pytest.mark.parametrize("size", [b"\0", b"\x01", b"\x0a\x20", b"\x0b\x20\x01", b"\x0c\xff\xff\xff\xff"])
def test_each_form_of_the_buffer_size_is_read(size: bytes) -> None:
    found = only(b"\x08_MAT" + buffer(LAPIC, size))
    assert found.buffers == ((HEAD + 7 + len(size), LAPIC),)


@pytest.mark.parametrize(
    "path",
    [
        b"_MAT",
        b"\\_MAT",
        b"^^_MAT",
        b"\x2eC000_MAT",
        b"^\x2eC000_MAT",
        b"\\\x2f\x03_SB_C000_MAT",
        b"\\\x2f\x04_SB_SCK0C000_MAT",
    ],
)
def test_a_path_that_ends_in_the_name_defines_it_too(path: bytes) -> None:
    assert only(b"\x08" + path + buffer(LAPIC)).offset == HEAD
    assert only(method(b"\xa4" + buffer(LAPIC), path)).buffers[0][1] == LAPIC


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_method_gives_every_constant_buffer(width: int) -> None:
    found = only(method(b"\xa0\x10\x68\xa4" + buffer(LAPIC) + b"\xa4" + buffer(WAKEUP), width=width))
    assert (found.offset, found.kind, found.complete) == (HEAD, "method", True)
    assert [data for _, data in found.buffers] == [LAPIC, WAKEUP]


def test_offsets_lead_back_to_the_bytes() -> None:
    one = table(b"\xa3\xa3" + method(b"\xa4" + buffer(LAPIC)) + b"\x08_MAT" + buffer(WAKEUP))
    found = find_mat(one)
    assert [item.kind for item in found] == ["method", "name"]
    for item in found:
        for offset, data in item.buffers:
            assert one.data[offset : offset + len(data)] == data


@pytest.mark.parametrize(
    "body",
    [
        method(b"\xa4\x68"),
        method(b"\xa4\\\x2e_SB_CMAT\x0a\x02"),
        method(b"\xa4\x0a\x11"),
        method(b"\xa4\x11\x3f\x0a\x08" + LAPIC),
        method(b"\xa4" + buffer(LAPIC, b"\x0a\x02")),
        method(b"\xa4" + buffer(LAPIC, b"\x68")),
    ],
)
def test_a_method_without_a_constant_buffer_is_not_complete(body: bytes) -> None:
    found = only(body)
    assert (found.kind, found.buffers, found.complete) == ("method", (), False)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x0a\x05",
        b"\x11",
        b"\x11\x3f\x0a\x08" + LAPIC,
        b"\x11\x00",
        b"\x11\x01",
        b"\x11\x02\x0a",
        b"\x11\x71\x01\x0a\x08" + bytes(30),
        b"\x11\x0b\x68\x08" + LAPIC,
    ],
)
def test_a_name_without_a_sound_constant_buffer_is_not_complete(value: bytes) -> None:
    found = only(b"\x08_MAT" + value)
    assert (found.kind, found.buffers, found.complete) == ("name", (), False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"_MAT",
        b"\x15_MAT\0\0",
        b"\xa4_MAT",
        b"\x08_MAU" + buffer(LAPIC),
        b"\x08\x2f\x04_SB_C000_MAT" + buffer(LAPIC),
        b"\x14\x3f_MAT\0",
        b"\x14\x05_MAT",
    ],
)
def test_what_is_no_definition_is_not_found(body: bytes) -> None:
    assert find_mat(table(body)) == ()


def test_what_lies_in_the_header_or_behind_the_length_is_not_aml() -> None:
    assert find_mat(table(b"\xa3", tail=b"\x08_MAT" + buffer(LAPIC))) == ()
    cut = decode_header(b"SSDT" + (4).to_bytes(4, "little") + b"\x02\0" + b"\x08_MAT\x11".ljust(26, b"\0"))
    assert find_mat(cut) == ()


def test_a_real_ssdt_is_searched(tmp_path: Path) -> None:
    tool = shutil.which("iasl")
    if tool is None:
        pytest.skip("iasl is not installed (Debian: acpica-tools)")
    (tmp_path / "mat.asl").write_text(ASL)
    done = subprocess.run([tool, "-p", "mat", "mat.asl"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    found = find_mat(decode_header((tmp_path / "mat.aml").read_bytes()))
    assert [(one.kind, one.complete, [data[:3].hex() for _, data in one.buffers]) for one in found] == [
        ("name", True, ["000800"]),
        ("method", True, ["000801"]),
        ("method", False, []),
        ("method", True, ["000803", "101000"]),
        ("name", True, ["000804"]),
    ]
