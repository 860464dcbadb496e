"""numba, as the model uses it: compiled once, cached outside the package, and optional.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from mpwake.model.cache import cache_folder

F = TypeVar("F", bound=Callable[..., Any])


def _numba() -> Any:
    ours = "NUMBA_CACHE_DIR" not in os.environ
    if ours:
        os.environ["NUMBA_CACHE_DIR"] = str(cache_folder())  # read once, when numba is imported
    import numba

    if ours:
        del os.environ["NUMBA_CACHE_DIR"]
    return numba


_NUMBA = _numba()


def compiled(function: F) -> F:
    """Compile a function on its first call, releasing the GIL; cache the machine code where there is a place for it."""
    try:
        return cast("F", _NUMBA.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        return cast("F", _NUMBA.njit(nogil=True, error_model="numpy")(function))
