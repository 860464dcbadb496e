"""Ask the processor for a row of an array before it is needed: the hash table is larger than all caches."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

import mpwake.model.jit  # noqa: F401  (names the folder of numba's cache before numba is imported)

U64 = npt.NDArray[np.uint64]


_DISABLED = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


def _nothing(_array: U64, _row: Any) -> None:
    """Do nothing, where nothing is compiled."""


def _intrinsic() -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def prefetch(_context: Any, array: Any, row: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            one = context.make_array(signature.args[0])(context, builder, arguments[0])
            stride = builder.extract_value(one.strides, 0)
            number = context.cast(builder, arguments[1], signature.args[1], types.int64)
            start = builder.ptrtoint(one.data, stride.type)
            pointer = builder.inttoptr(builder.add(start, builder.mul(number, stride)), ir.IntType(8).as_pointer())
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
            function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
            builder.call(function, [pointer, word(1), word(3), word(1)])
            return context.get_dummy_value()

        return types.none(array, row), generate

    return prefetch


prefetch = _nothing if _DISABLED else _intrinsic()
