"""Whatever bytes an AP loop is made of, and whatever is done to an image: a trace that ends, or a clear error."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.evidence.trace import Kind, Trace
from mpwake.model.probe import probe
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.firmware.drive import Trial
from mpwake.targets.firmware.image import Module, load_module
from mpwake.targets.firmware.locate import locate
from mpwake.targets.firmware.stage import Layout, bare_stage
from mpwake.targets.firmware.tdx import Tdx
from support.machine_code import CONFORMING, assemble

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
