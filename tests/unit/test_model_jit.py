"""What the compiled model assumes of numba: that it counts no references, and what becomes of it where it must."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from mpwake.model import simulator
from mpwake.model.agent import load_agent
from mpwake.model.cache import cache_folder
from mpwake.model.jit import compiled, options
from mpwake.model.program import compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks

COUNTED = "NRT_incref"
pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT")


class Pair(NamedTuple):
    """Two arrays, as a State has six."""

    first: Any
    second: Any


def last(pair: Pair, count: int) -> int:
    """Take the arrays in turn, so that nobody can tell beforehand whose references to count."""
    one = pair.first
    for number in range(count):
        one = pair.second if one[0] == number else pair.first
    return int(one[1])


def code_of(function: Any) -> str:
    """Compile a function, check that it works, and return its LLVM IR."""
    pair = Pair(np.array([0, 10]), np.array([7, 20]))
    assert [function(pair, count) for count in range(3)] == [10, 20, 10]
    (text,) = function.inspect_llvm().values()
    return str(text)


def test_the_option_is_known_and_leaves_out_the_counting() -> None:
    known = options(numba.core.cpu.CPUTargetOptions)
    assert (known["_nrt"], known["forceinline"]) == (False, True)
    assert COUNTED not in code_of(numba.njit(**known)(last))


def test_without_the_option_everything_works_and_references_are_counted() -> None:
    known = options(None)
    assert known == {"nogil": True, "error_model": "numpy"}
    assert COUNTED in code_of(numba.njit(**known)(last))  # else the test above would show nothing


def test_what_makes_an_array_is_refused() -> None:
    def making(size: int) -> int:
        return int(np.zeros(size, np.int64).shape[0])

    with pytest.raises(numba.TypingError, match="zeros"):
        compiled(making)(3)
    assert numba.njit(**options(None))(making)(3) == 3


@pytest.mark.parametrize("engine", [simulate, simulate_ticks])
def test_the_engines_count_no_references(engine: Any) -> None:
    programs = tuple(compile_node(load_agent(name)) for name in ("tester", "acpi-6.6"))
    assert engine(Simulation(programs, (0, 1), ((1, 1, 0x1000),))).events
    name = {simulate: "run_events", simulate_ticks: "run_ticks"}[engine]
    code = machine_code(getattr(simulator, name), name)
    assert b"simulator" in code
    assert b"NRT_" not in code


def machine_code(function: Any, name: str) -> bytes:
    """Return what numba keeps of a function: its LLVM IR if it was compiled here, or its object from the cache."""
    line = function.py_func.__code__.co_firstlineno
    cached = sorted(cache_folder().rglob(f"simulator.{name}-{line}.*.nbc"))
    if cached:
        return b"".join(path.read_bytes() for path in cached)
    return "".join(function.inspect_llvm().values()).encode()
