"""Whatever bytes an AP loop is made of, and whatever is done to an image: a trace that ends, or a clear error."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.evidence.trace import Kind, Trace
from mpwake.model.probe import probe
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.firmware import pe
from mpwake.targets.firmware.child import attempt
from mpwake.targets.firmware.declaration import read_declaration
from mpwake.targets.firmware.drive import Trial
from mpwake.targets.firmware.image import Module, load_module
from mpwake.targets.firmware.locate import locate
from mpwake.targets.firmware.stage import Layout, bare_stage
from mpwake.targets.firmware.tdx import Tdx
from support.executables import elf_object, pe_image
from support.images import PE32, file, section, volume
from support.machine_code import CONFORMING, SMALL, assemble

LOOP = assemble(CONFORMING)
BUDGET = 1_000
SHORT = probe("the operating system wakes one processor after the other", Role.RECEIVER)

flips = st.lists(st.tuples(st.integers(0, len(LOOP) - 1), st.integers(0, 255)), min_size=1, max_size=4)
codes = st.one_of(
    st.binary(min_size=1, max_size=64),
    flips.map(lambda some: bytes(dict(some).get(at, one) for at, one in enumerate(LOOP))),
)


@settings(deadline=None)
@given(code=codes, strict=st.booleans())
def test_any_code_ends_in_a_trace(code: bytes, strict: bool) -> None:
    trace = Trial(bare_stage(code, len(SHORT.ids), layout=Layout(budget=BUDGET)), SHORT, Tdx(strict), 0).run()
    assert isinstance(trace, Trace)
    left = {one.agent for one in trace.of(Kind.LANDING)} | {one.agent for one in trace.of(Kind.EMIT)}
    assert trace.spent or left <= set(range(1, 4))


@settings(deadline=None)
@given(data=st.binary(max_size=400), cut=st.integers(0, 400))
def test_any_bytes_are_a_driver_or_a_clear_error(data: bytes, cut: int) -> None:
    whole = b"MZ".ljust(0x3C, b"\0") + b"\x40\0\0\0" + b"PE\0\0" + data
    try:
        module = load_module("x", whole[: 64 + cut], 0x10000000)
        locate(module, "x")
    except InputError as error:
        assert error.where == "x"


@settings(deadline=None)
@given(code=st.binary(max_size=48))
def test_any_relocation_map_is_a_loop_in_the_driver_or_a_clear_error(code: bytes) -> None:
    function = bytes.fromhex("488d0500000000488901 48c74108".replace(" ", "")) + code
    module = Module(0x10000000, function.ljust(0x1000, b"\xcc"), 11)
    try:
        loop = locate(module, "x")
    except InputError as error:
        assert error.where == "x"
    else:
        assert module.data[loop.start : loop.start + len(loop.code)] == loop.code


SMALL_LOOP = assemble(SMALL)
GUID = "12345678-1234-4321-8765-123456789abc"
PE = pe_image(SMALL_LOOP, {"begin": (1, 0), "the_long_end": (1, 46)}, {"first": 0x1000}, relocations=(0x1040,))
ELF = elf_object(SMALL_LOOP, {"begin": (1, 0x100), "the_long_end": (1, 0x12E)})
IMAGE = volume(file(GUID, section(PE32, PE)), size=0x2000)
damage = st.lists(st.tuples(st.integers(0, 0x900), st.binary(min_size=1, max_size=8)), max_size=3)


def damaged(data: bytes, wounds: list[tuple[int, bytes]], cut: float) -> bytes:
    for at, bytes_ in wounds:
        data = data[:at] + bytes_ + data[at + len(bytes_) :]
    return data[: int(len(data) * cut)]


cuts = st.one_of(st.just(1.0), st.floats(0, 1))


@settings(deadline=None)
@given(wounds=damage, cut=cuts, start=st.sampled_from(["begin", "first", 0x1000, -1]))
def test_any_pe_file_is_code_or_a_clear_error(wounds: list[tuple[int, bytes]], cut: float, start: str | int) -> None:
    told, code = attempt(pe.cut, [start, "the_long_end"], damaged(PE, wounds, cut))
    assert told.get("error") or 0 < len(code) <= len(PE)
    assert not (told and code)


def read_again(form: str, data: bytes, keys: dict[str, object]) -> bytes:
    """Read a declaration of a file with these bytes, in a form of its own; return the code, or nothing for an error."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x").write_bytes(data)
        own = {"file": "x", "at": 0x7F5E6000, **keys}
        plain = {"kind": "firmware", form: own, "mailbox": 0x7F5E5000, "id": "cpuid"}
        try:
            return read_declaration(document.from_plain(plain, "f.yaml"), Path(folder)).code
        except InputError as error:
            assert error.where == "f.yaml:1:1"
            assert error.message
            return b""


@settings(deadline=None)
@given(wounds=damage, cut=cuts, at=st.tuples(st.integers(-1, 0x400), st.integers(-1, 0x400)))
def test_any_elf_or_raw_file_in_a_declaration_is_code_or_a_clear_error(
    wounds: list[tuple[int, bytes]], cut: float, at: tuple[int, int]
) -> None:
    data = damaged(ELF, wounds, cut)
    pinned = {"start": at[0], "end": at[1], "sha256": hashlib.sha256(data).hexdigest()}
    assert len(read_again("code", data, {"format": "elf", "start": "begin", "end": "the_long_end"})) <= len(ELF)
    for form in ("elf", "raw"):
        assert read_again("code", data, {"format": form, **pinned}) in data


@settings(deadline=None, max_examples=5)  # a process for each
@given(wounds=damage, cut=cuts)
def test_any_pe_file_or_image_in_a_declaration_is_code_or_a_clear_error(
    wounds: list[tuple[int, bytes]], cut: float
) -> None:
    symbols = {"start": "begin", "end": "the_long_end"}
    assert len(read_again("code", damaged(PE, wounds, cut), {"format": "pe", **symbols})) <= len(PE)
    image = damaged(IMAGE, wounds, cut)
    assert len(read_again("image", image, {"guid": GUID, "locate": "symbol", **symbols})) <= len(PE)


def test_what_is_damaged_above_is_sound_without() -> None:
    symbols = {"start": "begin", "end": "the_long_end"}
    assert read_again("code", ELF, {"format": "elf", **symbols}) == SMALL_LOOP
    assert read_again("code", PE, {"format": "pe", **symbols}) == SMALL_LOOP
    assert read_again("image", IMAGE, {"guid": GUID, "locate": "symbol", **symbols}) == SMALL_LOOP
