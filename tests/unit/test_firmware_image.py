"""Firmware images that are none, are cut off or bombs; the driver in one, what it says of its loop, what runs it."""

from __future__ import annotations

import importlib.util
import lzma
import struct
import uuid
from pathlib import Path

import pytest

from mpwake.checks.core import find, judge
from mpwake.model.environment import FAILED
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.firmware import image as images
from mpwake.targets.firmware.image import BOOT_SERVICE_DRIVER, TDX_DXE, Module, load_module, read_image
from mpwake.targets.firmware.listing import listing
from mpwake.targets.firmware.locate import locate
from mpwake.targets.firmware.paging import identity_map, walk
from mpwake.targets.firmware.tdx import NAMES, OPERAND_INVALID, Identity, Tdx
from support.images import file, section, volume

LZMA = uuid.UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le
DRIVER = 0x7E5A0000

# Images, as the PI specification has them


def packed(data: bytes) -> bytes:
    return section(2, LZMA + struct.pack("<HH", 24, 1) + data)


def compressed(data: bytes, size: int | None = None) -> bytes:
    # EDK2's form of LZMA has the length of what is packed in its header.
    alone = lzma.compress(data, lzma.FORMAT_ALONE)
    return packed(alone[:5] + (len(data) if size is None else size).to_bytes(8, "little") + alone[13:])


def pe(code: bytes = b"\xc3", relocations: tuple[int, ...] = (), base: int = 0) -> bytes:
    text = code.ljust(0x200, b"\0")
    entries = b"".join(struct.pack("<H", 10 << 12 | at & 0xFFF) for at in relocations)
    fixups = struct.pack("<II", 0x1000, 8 + len(entries)) + entries if relocations else b""
    places = (0, 0, 0x1000, 0x1000, base, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x3000, 0x400, 0)
    rest = (BOOT_SERVICE_DRIVER, 0, 0, 0, 0, 0, 0, 16)
    optional = struct.pack("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 0, 0, 0x200, *places, *rest)
    directories = bytearray(16 * 8)
    struct.pack_into("<II", directories, 5 * 8, 0x2000, len(fixups))
    table = b"".join(
        struct.pack("<8sIIIIIIHHI", name, len(data), rva, 0x200, at, 0, 0, 0, 0, 0)
        for name, data, rva, at in ((b".text", text, 0x1000, 0x400), (b".reloc", fixups, 0x2000, 0x600))
    )
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 2, 0, 0, 0, len(optional) + len(directories), 0x22)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + coff + optional + bytes(directories) + table
    return head.ljust(0x400, b"\0") + text + fixups.ljust(0x200, b"\0")


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_image(path)
    return caught.value


@pytest.mark.parametrize("pack", [False, True])
def test_the_driver_is_found_in_a_volume_packed_or_not(tmp_path: Path, pack: bool) -> None:
    inner = volume(file(TDX_DXE, section(0x10, pe())))
    data = section(0x17, inner)
    outer = compressed(data) if pack else data
    image = volume(file("9e21fd93-9c72-4c15-8c4b-e77f1db2d792", outer), size=0x20000)
    found = read_image(written(tmp_path / "x.fd", image))
    assert found.module == pe()
    assert (found.volumes, found.modules) == (2, 2)


def test_an_image_without_the_driver_applies_to_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "x.fd", volume(file("9e21fd93-9c72-4c15-8c4b-e77f1db2d792", section(0x19, b"raw"))))
    target = open_target(f"firmware:{path}")
    judgement = judge(find("RCV-01", Role.RECEIVER), target.evidence(Role.RECEIVER))
    assert judgement.verdict is Verdict.NOT_APPLICABLE
    assert judgement.reason == "no AP loop that an operating system sees: no module TdxDxe among 1 in 1 volumes"
    assert target.notes == (judgement.reason,)


def test_what_is_no_firmware_is_told_with_its_byte(tmp_path: Path) -> None:
    error = refused(written(tmp_path / "x.fd", b"root:x:0:0\n" * 100))
    assert error.message == "no firmware volume, capsule or flash image begins here"
    assert error.where == f"{tmp_path}/x.fd: byte 0x0"
    assert "takes a flash image" in error.hint


def test_an_image_that_is_cut_off_is_told_with_the_volume_that_is(tmp_path: Path) -> None:
    error = refused(written(tmp_path / "x.fd", volume() + volume(size=0x20000)[:0x18000]))
    assert error.message == "cut off: the volume here has 131072 bytes, and 98304 are there"
    assert error.where.endswith("byte 0x10000")


def test_a_section_that_cannot_be_unpacked_is_told_with_its_byte(tmp_path: Path) -> None:
    broken = packed(b"\x5d\0\0\x80\0" + (1 << 62).to_bytes(8, "little") + b"\0" * 200)
    image = volume(file("9e21fd93-9c72-4c15-8c4b-e77f1db2d792", broken))
    error = refused(written(tmp_path / "x.fd", image))
    assert error.message == "a compressed section could not be unpacked"
    assert error.where.endswith(f"byte {72 + 24 + 4:#x}")


def test_a_bomb_ends_with_an_error(tmp_path: Path) -> None:
    bomb = compressed(bytes(1 << 26), 1 << 31)
    image = volume(file("9e21fd93-9c72-4c15-8c4b-e77f1db2d792", bomb), size=0x40000)
    error = refused(written(tmp_path / "x.fd", image))
    assert "unpack" in error.message


def test_an_unpacker_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SECONDS", 0.01)
    assert refused(written(tmp_path / "x.fd", volume())).message == "not unpacked within 0.01 seconds"


def test_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in refused(tmp_path / "x.fd").message
    assert refused(tmp_path).message == "not a regular file"
    monkeypatch.setattr(images, "MAX_IMAGE", 16)
    assert refused(written(tmp_path / "x.fd", bytes(17))).message == "more than 16 bytes"


def test_a_missing_extra_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "unicorn" else real(name))
    with pytest.raises(InputError) as caught:
        open_target("firmware:nowhere.fd")
    assert caught.value.message == "the firmware target needs unicorn"
    assert caught.value.hint == "pip install 'mpwake[firmware]'"


# The driver


def test_a_pe_image_is_placed_and_relocated() -> None:
    module = load_module("x", pe(struct.pack("<QQ", 0x1008, 0x1000), (0x1000,)), DRIVER)
    assert struct.unpack_from("<QQ", module.data, 0x1000) == (DRIVER + 0x1008, 0x1000)
    assert (len(module.data), module.subsystem) == (0x3000, BOOT_SERVICE_DRIVER)
    assert module.has(DRIVER + 0x2FFF)
    assert not module.has(DRIVER + 0x3000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"ZM" + data[2:], "byte 0x0: no MZ"),
        (lambda data: data[:0x40] + b"PX" + data[0x42:], "byte 0x40: no PE signature"),
        (lambda data: data[:0x58] + b"\x0b\x01" + data[0x5A:], "byte 0x58: magic 0x10b"),
        (lambda data: data[:0x50], "unpack"),
        (lambda data: data[: 0x58 + 56] + b"\xff\xff\xff\x7f" + data[0x58 + 60 :], "2147483647 bytes in memory"),
        (lambda data: data[: 0x148 + 12] + b"\0\0\xff\0" + data[0x148 + 16 :], "section 0 ends at"),
    ],
)
def test_a_driver_that_is_no_pe_image_is_told(change, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_module("x.fd", change(pe()), DRIVER)
    assert caught.value.where == "x.fd"
    assert message in caught.value.message


# lea rax, [rip + 0x19]; mov [rcx], rax; mov qword [rcx + 8], 4; (lea rax, [rip + 3]; mov [rcx + 16], rax;) ret
MAP = bytes.fromhex("488d0519000000 488901 48c7410804000000".replace(" ", ""))
VECTOR = bytes.fromhex("488d0509000000 48894110".replace(" ", ""))
LOOP = bytes.fromhex("f390ebfe")


def located(code: bytes) -> Module:
    return Module(DRIVER, code.ljust(0x1000, b"\xcc"), BOOT_SERVICE_DRIVER)


def test_the_driver_itself_says_where_its_loop_is() -> None:
    loop = locate(located((MAP + b"\xc3").ljust(0x20, b"\xcc") + LOOP), "x")
    assert (loop.start, loop.code, loop.reset) == (0x20, LOOP, None)


def test_a_reset_vector_is_told_as_its_offset_in_the_loop() -> None:
    loop = locate(located((MAP + VECTOR + b"\xc3").ljust(0x20, b"\xcc") + LOOP), "x")
    assert (loop.start, loop.reset) == (0x20, 2)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"", "TdxDxe has 0 functions that could be AsmGetRelocationMap, not one"),
        ((MAP + b"\xc3") * 2, "TdxDxe has 2 functions that could be AsmGetRelocationMap, not one"),
        (MAP + b"\xeb\xfe", "that tells of the AP loop does not return"),
        (MAP + b"\x0f\x0b", "does not return: #UD"),
        (MAP[:-4] + b"\0\0\0\x01\xc3", "the relocation map says 0x1000000 bytes at 0x7e5a0020: not in the driver"),
    ],
)
def test_a_loop_that_cannot_be_found_is_told(code: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        locate(located(code), "x.fd")
    assert message in caught.value.message


# What runs it

WHO = Identity(index=3, processors=9, apic_id=0x1FF, told_id=0x1FF)


def call(strict: bool, who: Identity = WHO, **registers: int) -> dict[str, int]:
    asked = {"rcx": 0xFC00, "r11": 10, "r12": 0xB}
    changed, _ = Tdx(strict).call({**dict.fromkeys(NAMES, 0), **asked, **registers}, who)
    return changed


def test_the_host_tells_the_apic_id() -> None:
    assert call(True) == {"rax": 0, "r10": 0, "r11": 0, "r12": 1, "r13": 1, "r14": 0x100, "r15": 0x1FF}


def test_the_strict_host_refuses_a_call_that_ghci_does_not_define() -> None:
    assert call(True, r10=5) == {"rax": 0, "r10": FAILED}
    assert call(False, r10=5)["r15"] == 0x1FF


def test_a_register_outside_the_mask_is_neither_read_nor_written() -> None:
    assert "r15" not in call(True, rcx=0x7C00)
    assert call(True, rcx=0xF400) == {"rax": 0, "r10": FAILED}


def test_the_module_refuses_a_mask_with_registers_that_cannot_be_passed() -> None:
    assert call(True, rcx=0xFC10) == {"rax": OPERAND_INVALID | 1}
    assert call(False, rcx=0xFC10)["r15"] == 0x1FF


def test_a_host_that_refuses_still_fills_the_rest() -> None:
    answer = call(True, Identity(3, 9, 0x1FF, 0x1FF, refused=True))
    assert (answer["r10"], answer["r15"]) == (FAILED, 0x1FF)


def test_a_processor_learns_its_number_from_the_module() -> None:
    assert call(True, rax=1)["r9"] == 3
    assert call(True, rax=99) == {"rax": OPERAND_INVALID}


def test_an_identity_map_is_walked() -> None:
    tables = dict(identity_map(0x10000))

    def read(at: int, size: int) -> int | None:
        page = tables.get(at & ~0xFFF)
        return page and int.from_bytes(page[at & 0xFFF : (at & 0xFFF) + size], "little")

    page = walk(read, 0x10000, 0x7F5E5123)
    assert (page.mapped, page.physical, page.access) == (True, 0x7F5E5123, "rwx")
    assert page.tables == (0x10000, 0x11000, 0x13000)
    assert not walk(read, 0x10000, 1 << 32).mapped
    assert not walk(read, 0x10000, 1 << 60).mapped


def test_a_listing_knows_tdcall_and_bytes_that_are_none() -> None:
    lines = listing(bytes.fromhex("660f01cc488b43080f"), 0x1000)
    assert {at: text[35:].strip() for at, text in lines.items()} == {
        0x1000: "tdcall",
        0x1004: "mov rax, qword ptr [rbx + 8]",
        0x1008: "db 0x0f",
    }
