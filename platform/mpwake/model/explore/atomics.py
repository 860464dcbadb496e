"""Words that several threads look at: the first word of an array's row, loaded, stored and exchanged atomically."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

import mpwake.model.jit  # noqa: F401  (names the folder of numba's cache before numba is imported)

U64 = npt.NDArray[np.uint64]


def _load(array: U64, row: Any) -> Any:
    """Return the word; what was stored before it was stored is seen from now on."""
    return array[row]


def _store(array: U64, row: Any, value: Any) -> None:
    """Store the word, after all that was stored before."""
    array[row] = value


def _exchange(array: U64, row: Any, expected: Any, value: Any) -> Any:
    """Store the word where it is ``expected``; return what it was."""
    was = array[row]
    if was == expected:
        array[row] = value
    return was


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir
    from numba.core import types

    one = context.make_array(signature.args[0])(context, builder, arguments[0])
    stride = builder.extract_value(one.strides, 0)
    number = context.cast(builder, arguments[1], signature.args[1], types.int64)
    start = builder.ptrtoint(one.data, stride.type)
    return builder.inttoptr(builder.add(start, builder.mul(number, stride)), ir.IntType(64).as_pointer())


def _intrinsics() -> tuple[Any, Any, Any]:
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def load(_context: Any, array: Any, row: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load_atomic(_pointer(context, builder, signature, arguments), "acquire", 8)

        return types.uint64(array, row), generate

    @intrinsic
    def store(_context: Any, array: Any, row: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store_atomic(arguments[2], _pointer(context, builder, signature, arguments), "release", 8)
            return context.get_dummy_value()

        return types.none(array, row, value), generate

    @intrinsic
    def exchange(_context: Any, array: Any, row: Any, expected: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _pointer(context, builder, signature, arguments)
            found = builder.cmpxchg(pointer, arguments[2], arguments[3], "acq_rel", "acquire")
            return builder.extract_value(found, 0)

        return types.uint64(array, row, expected, value), generate

    return load, store, exchange


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    load, store, exchange = _load, _store, _exchange
else:
    load, store, exchange = _intrinsics()
