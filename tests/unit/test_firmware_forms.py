"""The other ways into the firmware target: PE files, offsets pinned by SHA-256, modules of an image, changed code."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from mpwake.checks.core import Judgement, find, judge
from mpwake.cli.registry import schemas
from mpwake.cli.target import target_command
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.base import Target
from support.executables import SECTION_RVA, elf_object, pe_image
from support.images import PE32, file, section, volume
from support.machine_code import CONFORMING, SMALL, YAML, assemble

RECEIVER = Role.RECEIVER
LOOP = assemble(SMALL)
CODE = b"\xcc\xcc" + LOOP + b"\xcc"
GUID = "12345678-1234-4321-8765-123456789abc"
START, END = SECTION_RVA + 2, SECTION_RVA + 2 + len(LOOP)
IMAGE = YAML.replace("code:\n  file: loop.bin", f"image:\n  file: loop.bin\n  guid: {GUID}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def written(folder: Path, data: bytes, text: str = YAML, lines: str = "", more: str = "") -> Path:
    """Write a declaration with lines added to what says where the code is, and to its end."""
    (folder / "loop.bin").write_bytes(data)
    path = folder / "loop.yaml"
    path.write_text(text.replace("  at:", f"{lines}  at:") + more, encoding="utf-8")
    return path


def judged(target: Target, id: str) -> Judgement:
    return judge(find(id, RECEIVER), target.settled().driven[RECEIVER])


def checked(path: Path) -> str:
    result = CliRunner().invoke(target_command, ["check", str(path)])
    assert result.exit_code == 0 or isinstance(result.exception, InputError), result.exception
    said = result.output if result.exit_code == 0 else str(result.exception)
    return said.replace(str(path), "F")


def sound(path: Path) -> bool:
    """Say whether a declaration is that of the small loop: in the target, in the smoke test and in the schema."""
    jsonschema.Draft202012Validator(schemas()["firmware"]).validate(document.load(path).plain())
    return open_target(str(path)).sources[0].data == LOOP and "taken for 0x5" in checked(path)


def between(start: str | int, end: str | int, form: str = "", sha: str = "") -> str:
    text = f"  start: {start}\n  end: {end}\n"
    return text + (f"  format: {form}\n" if form else "") + (f"  sha256: {sha}\n" if sha else "")


# Code in a file


@pytest.mark.parametrize(
    ("start", "end", "tables"),
    [
        ("begin", "finish", {"symbols": {"begin": (1, 2), "finish": (1, 2 + len(LOOP))}}),
        ("begin", "the_end_of_it", {"symbols": {"begin": (1, 2), "the_end_of_it": (1, 2 + len(LOOP))}}),
        ("begin", "finish", {"exports": {"begin": START, "finish": END}}),
        ("begin", "finish", {"exports": {"begin": START}, "symbols": {"finish": (1, 2 + len(LOOP))}}),
        ("begin", "finish", {"exports": {"begin": START, "finish": END}, "symbols": {"begin": (1, 2)}}),
    ],
)
def test_code_between_symbols_or_exports_of_a_pe_file(
    start: str, end: str, tables: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    assert sound(written(tmp_path, pe_image(CODE, **tables), lines=between(start, end, "pe")))


def test_code_between_pinned_offsets(tmp_path: Path) -> None:
    image, elf = pe_image(CODE), elf_object(CODE, {})
    at = elf.index(LOOP)
    assert sound(written(tmp_path, image, lines=between(START, END, "pe", sha256(image))))
    assert sound(written(tmp_path, elf, lines=between(at, at + len(LOOP), "elf", sha256(elf))))
    assert sound(written(tmp_path, CODE, lines=between(2, 2 + len(LOOP), "", sha256(CODE))))
    assert sound(written(tmp_path, LOOP, lines=f"  sha256: {sha256(LOOP)}\n"))


OTHER = sha256(b"another")


@pytest.mark.parametrize(
    ("data", "lines", "told"),
    [
        (LOOP, f"  sha256: {OTHER}\n", f"F:4:11: digest: loop.bin: its SHA-256 is {sha256(LOOP)}, and {OTHER} is dec"),
        (LOOP, "  sha256: abc\n", "F:4:11: digest: loop.bin: 'abc' is not a SHA-256: 64 digits of 0 to 9 and a to f"),
        (CODE, between(2, 40), "F:4:10: declaration: an offset without sha256"),
        (CODE, "  start: 2\n", "F:3:3: declaration: a part of a raw file needs start and end"),
        (CODE, between(2, "x", "elf"), "F:5:8: declaration: start and end are of two kinds"),
        (CODE, between(2, 90, sha=sha256(CODE)), "F:3:9: locate: 'loop.bin': no bytes lie from 0x2 up to 0x5a, in 49"),
        (CODE, between("a", "b", "pe"), "F:3:9: locate: 'loop.bin': not a PE file: "),
        (CODE, between("a", "b", "elf"), "F:3:9: locate: 'loop.bin': not an ELF file of 64 bits for x86"),
        (pe_image(CODE), between("a", "b", "pe"), "F:3:9: locate: 'loop.bin': no symbols 'a', where one is needed"),
        (pe_image(CODE, machine=0xAA64), between("a", "b", "pe"), "not PE32+ for x86-64: machine 0xaa64, magic 0x20b"),
        (
            pe_image(CODE, {"a": (1, 2)}, {"a": START + 1}),
            between("a", "b", "pe"),
            "locate: 'loop.bin': 2 symbols 'a', where one is needed",
        ),
        (
            pe_image(CODE, {"a": (1, 2), "b": (1, 20)}, relocations=(SECTION_RVA + 16,)),
            between("a", "b", "pe"),
            "locate: 'loop.bin': the code has a relocation at 0x1010: it runs only where a loader places it",
        ),
    ],
)
def test_code_that_cannot_be_cut_out_is_told(data: bytes, lines: str, told: str, tmp_path: Path) -> None:
    assert told in checked(written(tmp_path, data, lines=lines))


@pytest.mark.parametrize("place", [0x1000, 0x2002, 0x9000])
def test_offsets_outside_the_code_of_an_image_are_told(place: int, tmp_path: Path) -> None:
    image = pe_image(CODE, exports={"a": 0x1000})
    said = checked(written(tmp_path, image, lines=between(place, place, "pe", sha256(image))))
    assert f"no bytes of one section lie from {place:#x} up to {place:#x}" in said
    elf = elf_object(CODE, {})
    assert "locate:" in checked(written(tmp_path, elf, lines=between(place, place + 1, "elf", sha256(elf))))


# Code in a module of an image


def flash(pe: bytes, guid: str = GUID) -> bytes:
    return volume(file(guid, section(PE32, pe)))


def test_code_in_a_module_of_an_image(tmp_path: Path) -> None:
    pe = pe_image(CODE, exports={"begin": START, "finish": END})
    by_symbol = "  locate: symbol\n" + between("begin", "finish")
    assert sound(written(tmp_path, flash(pe), IMAGE, by_symbol))
    by_offset = "  locate: offset\n" + between(START, END, sha=sha256(pe))
    assert sound(written(tmp_path, flash(pe), IMAGE, by_offset))
    assert open_target(str(tmp_path / "loop.yaml")).sources[0].name == f"loop.bin, module {GUID}"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("  locate: offset\n" + between(START, END), "F:6:10: declaration: an offset without sha256"),
        ("  locate: offset\n" + between("a", "b"), "F:6:10: declaration: locate says offset, and this is none"),
        ("  locate: symbol\n" + between("a", 3), "F:7:8: declaration: locate says symbol, and this is none"),
        ("  locate: symbol\n" + between("a", "b"), f"F:3:9: locate: module {GUID}: no symbols 'a', where one is nee"),
        ("  locate: symbal\n" + between("a", "b"), "F:5:11: declaration: 'symbal' is not a known value\n  did you mea"),
        (
            "  locate: offset\n" + between(START, END, sha=OTHER),
            f"F:8:11: digest: module {GUID}: its SHA-256 is {sha256(pe_image(CODE))}, and {OTHER} is declared",
        ),
    ],
)
def test_code_that_is_not_in_the_module_is_told(lines: str, told: str, tmp_path: Path) -> None:
    assert told in checked(written(tmp_path, flash(pe_image(CODE)), IMAGE, lines))


def test_a_module_that_is_not_there_is_told(tmp_path: Path) -> None:
    lines = "  locate: symbol\n" + between("a", "b")
    told = checked(written(tmp_path, flash(pe_image(CODE), str(uuid.UUID(int=7))), IMAGE, lines))
    assert told == f"F:4:9: locate: 'loop.bin': no module {GUID} with a PE image among 1 in 1 volumes"
    assert "F:3:9: declaration: " in checked(written(tmp_path, b"no image", IMAGE, lines))
    assert "'x' is not a GUID" in checked(written(tmp_path, flash(pe_image(CODE)), IMAGE.replace(GUID, "x"), lines))


def test_a_relocation_map_is_that_of_the_driver_that_has_one(tmp_path: Path) -> None:
    path = tmp_path / "whole.yaml"
    (tmp_path / "x.fd").write_bytes(flash(pe_image(CODE)))
    path.write_text(f"kind: firmware\nimage:\n  file: x.fd\n  guid: {GUID}\n", encoding="utf-8")
    assert f"declaration: module {GUID} has no relocation map" in checked(path)
    path.write_text("kind: firmware\nimage:\n  file: x.fd\n", encoding="utf-8")
    assert "locate: 'x.fd': no module e750224e-7bce-40af-b5bb-47e3611eb5c2" in checked(path)
    (tmp_path / "x.fd").write_bytes(flash(pe_image(CODE), "e750224e-7bce-40af-b5bb-47e3611eb5c2"))
    assert "TdxDxe has 0 functions that could be AsmGetRelocationMap, not one" in checked(path)
    path.write_text(f"{YAML}image:\n  file: x.fd\n", encoding="utf-8")
    assert "the code is that of the image" in checked(path)


# What code asks the TDX module for


TD = YAML.replace("id: cpuid", "id: tdcall-cpuid")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TD.replace("tdcall-cpuid", "cpuid"), "F:6:5: tdx: #UD: TDCALL for vp.vmcall.cpuid, and this is declared to"),
        (TD + "tdx: {leaves: [vp.info]}\n", "F:10:6: declaration: id says tdcall-cpuid, and vp.vmcall.cpuid is not"),
        (
            TD.replace("tdcall-cpuid", "cpuid") + "tdx: {leaves: [vp.info]}\n",
            "F:10:6: tdx: TDCALL for vp.vmcall.cpuid, which is not declared: vp.info, in loop+",
        ),
        (TD + "tdx: {leaves: [vp.inf]}\n", "F:10:16: declaration: 'vp.inf' is not a known value\n  did you mean 'vp."),
    ],
)
def test_a_leaf_that_is_not_declared_ends_a_processor(text: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, assemble(CONFORMING), text)
    assert told in checked(path)
    if "declaration" not in told:
        found = judged(open_target(str(path)), "RCV-01")
        assert found.verdict is Verdict.FAIL
        assert told.partition("tdx: ")[2].partition(", in")[0] in found.reason


def test_leaves_that_are_declared_make_a_guest_of_any_source(tmp_path: Path) -> None:
    more = "tdx: {leaves: [vp.vmcall.cpuid, vp.info]}\n"
    path = written(tmp_path, assemble(CONFORMING), TD, more=more)
    assert "APIC ID   tdcall-cpuid at loop+0x" in checked(path)
    assert judged(open_target(str(path)), "RCV-01").verdict is Verdict.PASS
    index = TD.replace("tdcall-cpuid", "index")
    target = open_target(str(written(tmp_path, assemble(CONFORMING), index, more=more)))
    assert judged(target, "TDX-06").verdict is not Verdict.NOT_APPLICABLE


# Private extensions

BROADCAST = assemble(SMALL.replace("41 39 50 04", "41 83 78 04 fe\n74 06\n41 39 50 04"))


def test_an_extension_that_is_declared_is_told_of_and_changes_no_verdict(tmp_path: Path) -> None:
    more = "private: {apic-broadcast: 0xfffffffe}\n"
    plain = open_target(str(written(tmp_path, BROADCAST)))
    declared = open_target(str(written(tmp_path, BROADCAST, more=more)))
    assert "ApicId 0xfffffffe for every processor" in declared.notes[-1]
    assert "ApicId 0xfffffffe for every processor" in checked(tmp_path / "loop.yaml")
    before, after = judged(plain, "RCV-20"), judged(declared, "RCV-20")
    assert before.verdict is after.verdict is Verdict.PASS
    assert [one.found.split(" (")[0] for one in before.findings][:1] == ["taken: a private extension of this firmware"]
    assert "a private extension of this firmware, as declared" in after.findings[0].found


def test_a_declaration_makes_no_failure_good(tmp_path: Path) -> None:
    any_command = SMALL.replace("66 41 83 38 01", "66 41 83 38 00")
    any_command = any_command.replace("75 >park               ; jne park\n41", "74 >park\n41")
    taken = assemble(any_command.replace("75 >park               ; jne park\n49", "74 >park\n49"))
    more = "private: {commands: [3]}\n"
    path = written(tmp_path, taken, more=more)
    assert "Command 0x3" in checked(path)
    assert judged(open_target(str(path)), "RCV-10").verdict is Verdict.FAIL
    with_test = YAML.replace("acpi-6.5", "acpi-6.6") + "private: {commands: [2]}\n"
    assert judged(open_target(str(written(tmp_path, LOOP, with_test))), "RST-10").verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("{apic-broadcast: 0xfffffffe}", "private: apic-broadcast 0xfffffffe is declared, and a Wakeup to it is not t"),
        ("{commands: [5]}", "private: command 0x5 is declared, and nothing comes of it"),
        ("{commands: [1]}", "declaration: 0x1 is no command that could be private"),
        ("{commands: [65536]}", "declaration: 0x10000 is no command that could be private"),
        ("{apic-broadcast: 0x100000000}", "declaration: 0x100000000 is no APIC ID"),
    ],
)
def test_an_extension_that_the_code_has_not_is_told(more: str, told: str, tmp_path: Path) -> None:
    assert told in checked(written(tmp_path, LOOP, more=f"private: {more}\n"))


# Code and mailbox in one page, and code of several pages


@pytest.mark.parametrize(("at", "fails"), [(0x7F5E5800, False), (0x7F5E5100, True), (0x7F5E5FF0, False)])
def test_code_in_the_mailbox_page(at: int, fails: bool, tmp_path: Path) -> None:
    path = written(tmp_path, LOOP, YAML.replace("0x7f5e6000", f"{at:#x}"))
    assert f"46 bytes of code at {at:#x}" in checked(path)
    target = open_target(str(path))
    found = {id: judged(target, id) for id in ("RCV-01", "RCV-09", "MEM-04", "MEM-06", "MEM-12")}
    assert [id for id, one in found.items() if one.verdict is Verdict.FAIL] == ["MEM-04"] * fails
    assert {found[id].verdict for id in ("RCV-01", "RCV-09", "MEM-06", "MEM-12")} == {Verdict.PASS}
    if fails:
        assert found["MEM-04"].reason.startswith(f"loop at {at:#x} to {at + 45:#x}, in the OS section")


def test_a_store_next_to_the_code_is_that_of_the_loop(tmp_path: Path) -> None:
    own = assemble(SMALL.replace("66 41 c7 00 00 00", "41 c7 80 00 0f 00 00 01 00 00 00\n66 41 c7 00 00 00"))
    target = open_target(str(written(tmp_path, own, YAML.replace("0x7f5e6000", "0x7f5e5800"))))
    assert judged(target, "MEM-06").verdict is Verdict.PASS
    bad = assemble(SMALL.replace("66 41 c7 00 00 00", "41 c7 80 00 07 00 00 01 00 00 00\n66 41 c7 00 00 00"))
    target = open_target(str(written(tmp_path, bad, YAML.replace("0x7f5e6000", "0x7f5e5800"))))
    assert {judged(target, id).verdict for id in ("MEM-04", "MEM-06", "MEM-12")} == {Verdict.FAIL}


def test_code_of_several_pages(tmp_path: Path) -> None:
    far = b"\xe9" + (0x8FFB).to_bytes(4, "little")
    code = far.ljust(0x9000, b"\xcc") + LOOP
    path = written(tmp_path, code)
    assert "36910 bytes of code" in checked(path)
    assert judged(open_target(str(path)), "RCV-01").verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("at", "size", "told"),
    [
        (
            "0x7f5e5008",
            46,
            "F:5:10: declaration: the mailbox lies where the code does\n  code in the mailbox page begins",
        ),
        ("0x7f5e4000", 0x1001, "F:5:10: declaration: the mailbox lies where the code does"),
        ("0xfffff000", 0x1001, "F:4:7: declaration: 0xfffff000 does not lie between 0x2000000 and 0x100000000"),
    ],
)
def test_code_over_the_fields_or_the_end_is_refused(at: str, size: int, told: str, tmp_path: Path) -> None:
    text = YAML.replace("0x7f5e6000", at)
    if "5008" in at:
        text = text.replace("at: 0x7f5e5008", "at: 0x7f5e5000")
    assert told in checked(written(tmp_path, LOOP.ljust(size, b"\xcc"), text))


# Changed code


def test_changed_code_is_told_of_loudly(tmp_path: Path) -> None:
    at = LOOP.index(bytes.fromhex("66 41 c7 00 00 00"))
    more = f'patches:\n  - {{at: {at}, from: "66 41 c7 00 00 00", to: "66 41 c7 00 03 00", why: leaves 3 in Command}}\n'
    path = written(tmp_path, LOOP, more=more)
    target = open_target(str(path))
    assert target.name == f"{path} (changed code)"
    assert target.notes[0].startswith(f"THE CODE WAS CHANGED, this is not the vendor's: +{at:#x} 66 41 c7 00 00 00 is")
    assert target.sources[0].data != LOOP
    assert judged(target, "RCV-06").verdict is Verdict.FAIL
    assert "THE CODE WAS CHANGED" in checked(path)
    assert "THE CODE" not in checked(written(tmp_path, LOOP))


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ("at: 0, from: 90, to: 91", "F:11:19: declaration: expected text, found 90"),
        ('at: 0, from: "9x", to: "91"', "F:11:5: declaration: '9x' is not hex"),
        ('at: 0, from: "49 89", to: "91"', "F:11:5: declaration: 2 bytes are replaced by 1: as many are needed"),
        ('at: 0, from: "", to: ""', "F:11:5: declaration: 0 bytes are replaced by 0: as many are needed"),
        ('at: 0, from: "49", to: "49"', "F:11:5: declaration: it changes nothing"),
        ('at: 0, from: "48", to: "49"', "F:11:5: patch: at 0x0 stands 49, and not 48"),
        ('at: 46, from: "48", to: "49"', "F:11:5: patch: no 1 bytes stand at 0x2e, in 46 bytes of code"),
        ('at: -1, from: "e0", to: "e1"', "F:11:5: patch: no 1 bytes stand at -0x1, in 46 bytes of code"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(patch: str, told: str, tmp_path: Path) -> None:
    assert told in checked(written(tmp_path, LOOP, more=f"patches:\n  - {{{patch}, why: x}}\n"))
