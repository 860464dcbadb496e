"""AP loops declared in YAML: what is refused and where, what is made of the rest, and what the smoke test tells."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.checks.core import CHECKS, Judgement, find, judge
from mpwake.cli.registry import schemas
from mpwake.cli.target import target_command
from mpwake.spec import document
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.base import Target
from mpwake.targets.firmware import elf
from mpwake.targets.firmware.declaration import MAX_CODE, MAX_FILE
from support.executables import elf_object
from support.machine_code import CONFORMING, SMALL, YAML, assemble

RECEIVER = Role.RECEIVER
# What stands before the loop where its APIC ID is in ESI already: the same loop without CPUID.
REGISTER = "49 89 d8\n89 f2\npark:\n" + SMALL.partition("park:\n")[2]
RDMSR = "49 89 d8\n41 bb 1f 00 00 00\n41 bc 02 08 00 00\n45 31 d2\n31 c0\nb9 00 1c 00 00\n66 0f 01 cc\n44 89 da\n"


def declared(folder: Path, *changes: tuple[str, str], code: bytes | None = None) -> Path:
    text = YAML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "loop.bin").write_bytes(assemble(SMALL) if code is None else code)
    path = folder / "loop.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def judged(target: Target, *ids: str) -> dict[str, Judgement]:
    driven = target.settled().driven[RECEIVER]
    return {one: judge(find(one, RECEIVER), driven) for one in ids}


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_target(str(path))
    return str(caught.value).replace(str(path), "F")


def checked(path: Path) -> str:
    """Return what the smoke test says of a declaration: what it prints, or the error that it ends with."""
    result = CliRunner().invoke(target_command, ["check", str(path)])
    said = result.output if result.exit_code == 0 else str(result.exception)
    assert result.exit_code == 0 or isinstance(result.exception, InputError)
    return said.replace(str(path), "F")


def test_a_declared_loop_is_judged_as_the_one_of_an_image(tmp_path: Path) -> None:
    target = open_target(str(declared(tmp_path)))
    assert (target.kind, target.edition, target.roles) == ("firmware", Edition("acpi-6.5"), {RECEIVER})
    driven = target.settled().driven[RECEIVER]
    found = {id: judge(one, driven) for (id, role), one in CHECKS.items() if role is RECEIVER}
    assert not [id for id, one in found.items() if one.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)]
    assert {found[id].verdict for id in ("RCV-01", "RCV-02", "RCV-07", "RCV-09", "MEM-06")} == {Verdict.PASS}
    assert found["TDX-05"].reason == "this is no confidential guest"
    assert found["RST-08"].verdict is Verdict.NOT_APPLICABLE


def test_a_fault_in_a_declared_loop_is_found(tmp_path: Path) -> None:
    eight_bytes = assemble(SMALL.replace("66 41 c7 00 00 00", "49 c7 00 00 00 00 00"))
    target = open_target(str(declared(tmp_path, code=eight_bytes)))
    (found,) = judged(target, "RCV-09").values()
    assert (found.verdict, found.reason.split(" (")[0]) == (
        Verdict.FAIL,
        "a store of 8 bytes at 0x0; expected 2 bytes at 0, Command",
    )


def test_the_state_that_the_suite_made_is_not_told_of(tmp_path: Path) -> None:
    found = judged(open_target(str(declared(tmp_path))), "RCV-11", "RCV-12", "RCV-13", "RCV-14")
    assert {one.verdict for one in found.values()} == {Verdict.NOT_TESTABLE}
    interrupts = assemble(SMALL.replace("ff e0", "fb\nff e0"))
    (own,) = judged(open_target(str(declared(tmp_path, code=interrupts))), "RCV-11").values()
    assert own.verdict is Verdict.FAIL


def test_an_entry_a_register_and_an_address_are_as_declared(tmp_path: Path) -> None:
    code = b"\x0f\x0b" + assemble(SMALL.replace("49 89 d8", "4d 89 e8"))
    changes = (("rbx: mailbox", "r13: 0x10000000"), ("mailbox: 0x7f5e5000", "mailbox: 0x10000000"))
    entry = ("  at: 0x7f5e6000", "  at: 0x20000000\n  entry: 2")
    path = declared(tmp_path, *changes, entry, code=code)
    assert judged(open_target(str(path)), "RCV-01")["RCV-01"].verdict is Verdict.PASS
    assert "F: 48 bytes of code at 0x20000000, entered at +0x2\n  APIC ID   cpuid at loop+0xc\n" in checked(path)


def test_an_apic_id_in_a_register_is_that_of_each_trial(tmp_path: Path) -> None:
    own = ("rbx: mailbox", "rbx: mailbox\n  rsi: apic-id")
    path = declared(tmp_path, ("id: cpuid", "id: register"), own, code=assemble(REGISTER))
    found = judged(open_target(str(path)), "RCV-01", "RCV-02")
    assert {one.verdict for one in found.values()} == {Verdict.PASS}
    assert "nothing is asked, and id says register" in checked(path)


def test_an_index_for_an_apic_id_is_tried_where_both_are_the_same(tmp_path: Path) -> None:
    own = ("rbx: mailbox", "rbx: mailbox\n  rsi: index")
    path = declared(tmp_path, ("id: cpuid", "id: index"), own, code=assemble(REGISTER))
    found = judged(open_target(str(path)), "RCV-01", "RCV-02")
    assert [one.verdict for one in found.values()] == [Verdict.PASS, Verdict.NOT_TESTABLE]
    assert "these processors have other APIC IDs" in found["RCV-02"].reason


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("tdcall-cpuid", assemble(CONFORMING)),
        ("tdcall-rdmsr", assemble(RDMSR + "park:\n" + SMALL.partition("park:\n")[2])),
    ],
)
def test_an_apic_id_from_the_host(source: str, code: bytes, tmp_path: Path) -> None:
    path = declared(tmp_path, ("id: cpuid", f"id: {source}"), code=code)
    found = judged(open_target(str(path)), "RCV-01", "TDX-06")
    assert found["RCV-01"].verdict is Verdict.PASS
    assert found["TDX-06"].verdict is not Verdict.NOT_APPLICABLE
    assert f"APIC ID   {source} at loop+0x" in checked(path)


def test_a_processor_that_is_reset_begins_at_the_offset_declared(tmp_path: Path) -> None:
    path = declared(
        tmp_path, ("  at:", "  reset: 0\n  at:"), ("acpi-6.5", "acpi-6.6"), ("id: cpuid", "id: tdcall-cpuid"),
        code=assemble(CONFORMING),
    )  # fmt: skip
    assert judged(open_target(str(path)), "RST-08")["RST-08"].verdict is Verdict.PASS


def test_a_budget_that_is_too_small_leaves_things_open(tmp_path: Path) -> None:
    path = declared(tmp_path, ("edition", "budget: {instructions: 20, patience: 5}\nedition"))
    assert judged(open_target(str(path)), "RCV-03")["RCV-03"].verdict is Verdict.INCONCLUSIVE
    path = declared(tmp_path, ("edition", "budget: {instructions: 5, patience: 5}\nedition"))
    assert "no-poll: Command at 0x7f5e5000 is read 0 times in 5 instructions" in checked(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("id: cpuid", "id: cpu", "F:6:5: 'cpu' is not a known value"),
        ("id: cpuid\n", "", "F:1:1: the key 'id' is missing"),
        ("  at: ", "  att: 1\n  at: ", "F:4:3: unknown key 'att'"),
        ("0x7f5e6000", "0x7f5e6010", "F:4:7: 0x7f5e6010 is not a multiple of 4096"),
        ("0x7f5e6000", "0x9000", "F:4:7: 0x9000 does not lie between 0x2000000 and 0x100000000"),
        ("0x7f5e5000", "0x100000000", "F:5:10: 0x100000000 does not lie between 0x2000000 and 0x100000000"),
        ("0x7f5e5000", "-4096", "F:5:10: -0x1000 does not lie between"),
        ("0x7f5e5000", "0x7f5e6000", "F:5:10: the mailbox lies where the code does"),
        ("0x7f5e5000", "here", "F:5:10: expected an integer, found 'here'"),
        ("  at: ", "  entry: 46\n  at: ", "F:4:10: 0x2e is no offset in 46 bytes of code"),
        ("  at: ", "  reset: -1\n  at: ", "F:4:10: -0x1 is no offset in 46 bytes of code"),
        ("loop.bin", "nowhere.bin", "F:3:9: 'nowhere.bin': cannot be read: No such file"),
        ("loop.bin", ".", "F:3:9: '.': not a regular file"),
        ("loop.bin", '"a\\0b"', "F:3:9: 'a\\x00b': not a path"),
        ("loop.bin", "/dev/zero", "F:3:9: '/dev/zero': not a regular file"),
        ("  at: ", "  start: begin\n  at: ", "F:4:10: a raw file has no symbols"),
        ("  at: ", "  format: elf\n  at: ", "F:3:3: an ELF file needs start and end"),
        ("rbx: mailbox", "rbq: mailbox", "F:8:3: no register 'rbq'\n  did you mean 'rbp'?"),
        ("rbx: mailbox", "rip: code", "F:8:3: no register 'rip'"),
        ("rbx: mailbox", "rbx: mailbux", "F:8:8: 'mailbux' is not a known value\n  did you mean 'mailbox'?"),
        ("rbx: mailbox", "rbx: 0x10000000000000000", "F:8:8: the number does not fit into 64 bits"),
        ("rbx: mailbox", "rbx: -1", "F:8:8: the number does not fit into 64 bits"),
        ("rbx: mailbox", "rbx: [1]", "F:8:8: expected an integer or text, found [1]"),
        ("rbx: mailbox", "rbx: true", "F:8:8: expected an integer or text, found True"),
        ("rbx: mailbox", "rbx: apic-id", "F:8:8: a register holds the APIC ID, and id says cpuid"),
        ("id: cpuid", "id: register", "F:6:5: no register holds the APIC ID"),
        ("edition", "budget: {instructions: 1000001}\nedition", "F:9:24: instructions: 1000001 is not between 1 and"),
        ("edition", "budget: {instructions: 9}\nedition", "F:9:9: patience: 400 is not between 1 and 9"),
        ("kind: firmware", "kind: firmware\nkind: firmware", "F:2:1: duplicate key 'kind'"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = declared(tmp_path, (old, new))
    assert refused(path).startswith(told)
    assert told.partition(": ")[2] in checked(path).partition("declaration: ")[2]


@pytest.mark.parametrize("size", [0, MAX_CODE + 1, MAX_FILE + 1])
def test_code_of_no_size_or_of_too_many_pages_is_refused(size: int, tmp_path: Path) -> None:
    told = refused(declared(tmp_path, code=bytes(size)))
    found = f"'loop.bin': more than {MAX_FILE} bytes" if size > MAX_FILE else f"{size} bytes of code, where 1 to 65536"
    assert told.startswith(f"F:3:9: {found}")


def test_the_schema_and_the_reader_agree(tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(schemas()["firmware"])
    plain = document.load(declared(tmp_path)).plain()
    validator.validate(plain)
    assert not validator.is_valid({**json.loads(json.dumps(plain)), "location": "x"})


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        ("rbx: mailbox", "rax: mailbox", SMALL, "F:8:3: fault: #GP, in loop+0xe (cmp word ptr [r8], 1)"),
        ("rbx: mailbox", "rbx: 0x40000000", SMALL, "fault: a load of 2 bytes at 0x40000000, which it was not given"),
        ("rbx: mailbox", "rbx: 0x1000000", SMALL, "F:5:10: no-poll: Command at 0x7f5e5000 is read 0 times in 8000"),
        ("id: cpuid", "id: tdcall-cpuid", SMALL, "F:6:5: id-source: it takes its Wakeup, and never asks by tdcall-cp"),
        ("rbx", "rbx", "ff e3", "F:3:3: left: it leaves the code for 0x7f5e5000 from loop+0x0 (jmp rbx), and nobody"),
        ("rbx", "rbx", SMALL.replace("41 39 50 04", "41 39 40 04"), "F:6:5: no-wake: a Wakeup to APIC ID 0x5 is not"),
        ("rbx", "rbx", SMALL.replace("49 8b 40 08", "41 8b 40 09"), "F:3:3: astray: woken to 0x9a000, it goes to 0x9a"),
    ],
)  # fmt: skip
def test_the_smoke_test_tells_what_is_wrong(old: str, new: str, code: str, told: str, tmp_path: Path) -> None:
    said = checked(declared(tmp_path, (old, new), code=assemble(code)))
    assert told in said
    assert "\n  " in said, "it has a hint"


def test_the_smoke_test_takes_declarations_only(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("kind: tables\nlocation: x\n", encoding="utf-8")
    assert checked(path).startswith("F:1:1: declaration: no declaration of machine code")
    assert checked(tmp_path / "none.yaml").endswith("declaration: cannot be read: No such file or directory")


SYMBOLS = {"begin": (1, 0x102), "finish": (1, 0x102 + 46), "far": (1, 0x900), "outer": (0xFFF1, 1)}
ELF = ("  at:", "  format: elf\n  start: begin\n  end: finish\n  at:")


def test_code_is_cut_out_of_an_elf_file(tmp_path: Path) -> None:
    data = elf_object(b"\xcc\xcc" + assemble(SMALL) + b"\xcc", SYMBOLS)
    path = declared(tmp_path, ELF, code=data)
    assert open_target(str(path)).sources[0].data == assemble(SMALL)
    assert checked(path).startswith("F: 46 bytes of code")


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("begin", "nothing", "no symbols 'nothing', where one is needed"),
        ("finish", "begin", "no bytes lie from 'finish' up to 'begin'"),
        ("begin", "far", "no bytes lie from 'begin' up to 'far'"),
        ("begin", "outer", "the symbol 'outer' lies in no section"),
    ],
)
def test_symbols_that_do_not_enclose_code_are_told(start: str, end: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        elf.between(elf_object(bytes(60), SYMBOLS), start, end)


def test_an_elf_file_that_is_none_or_not_linked_is_refused(tmp_path: Path) -> None:
    assert refused(declared(tmp_path, ELF)) == "F:3:9: 'loop.bin': not an ELF file of 64 bits for x86"
    moved = elf_object(bytes(60), SYMBOLS, relocation=0x110)
    assert "the code has a relocation at 0x110: link it first" in refused(declared(tmp_path, ELF, code=moved))


@pytest.mark.parametrize("step", range(1, 8))
def test_an_elf_file_that_was_cut_off_is_refused(step: int) -> None:
    data = elf_object(bytes(60), SYMBOLS)
    with pytest.raises(ValueError, match=r"outside the file|not an ELF|no symbols|no bytes"):
        elf.between(data[: len(data) * step // 8], "begin", "finish")


def test_an_elf_file_whose_tables_are_huge_is_refused_at_once() -> None:
    data = bytearray(elf_object(bytes(60), SYMBOLS))
    symbols = struct.unpack_from("<Q", data, 40)[0] + 2 * 64
    struct.pack_into("<Q", data, symbols + 32, 1 << 60)
    with pytest.raises(ValueError, match="more than 200000 symbols"):
        elf.between(bytes(data), "begin", "finish")
    struct.pack_into("<Q", data, 40, (1 << 64) - 1)
    with pytest.raises(ValueError, match="outside the file"):
        elf.between(bytes(data), "begin", "finish")


@settings(deadline=None)
@given(at=st.integers(0, 800), word=st.integers(0, (1 << 64) - 1))
def test_any_elf_file_is_code_or_a_clear_error(at: int, word: int) -> None:
    data = bytearray(elf_object(bytes(60), SYMBOLS, relocation=0x900))
    data[at : at + 8] = word.to_bytes(8, "little")
    try:
        assert 0 < len(elf.between(bytes(data), "begin", "finish")) <= len(data)
    except ValueError as error:
        assert str(error)
