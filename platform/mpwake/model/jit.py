"""numba, as the model uses it: compiled once, cached outside the package, and optional.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.

numba counts the references to every array at every call that takes it, and a ``State`` has six: counting took ten times
as long as the work. So functions that are ``compiled`` are inlined wherever they are called, and count none. That is
safe as long as they make no array and keep none: whoever calls them from Python holds all that they touch until they
return. ``_nrt`` is the option that numba itself compiles such functions with, and its guide to ``register_jitable``
shows it; the underscore says that it may go. A numba without it still works, slowly.
"""

from __future__ import annotations

import os
import sys
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


def options(known: object) -> dict[str, Any]:
    """Return the options of the compiler; those that may be missing only where ``known`` has them as attributes."""
    wanted = {"_nrt": False, "forceinline": True}
    able = {name: value for name, value in wanted.items() if hasattr(known, name)}
    return {"nogil": True, "error_model": "numpy", **able}


_NUMBA = _numba()
_OPTIONS = options(getattr(sys.modules.get("numba.core.cpu"), "CPUTargetOptions", None))


def compiled(function: F) -> F:
    """Compile a function on its first call, releasing the GIL; cache the machine code where there is a place for it.

    It may neither make an array nor return one that it was given.
    """
    try:
        return cast("F", _NUMBA.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:
        return cast("F", _NUMBA.njit(**_OPTIONS)(function))
