"""numba, as the model uses it: compiled once, cached outside the package, and optional.

numba's cache notices a change in the file of a function, and none in the files of the functions that it calls. So the
cache stands in a directory named for the digest of all sources of the model. With ``NUMBA_DISABLE_JIT=1`` the same
functions run as plain Python.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def _cache_folder() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "mpwake" / "numba" / digest.hexdigest()[:16])


def _numba() -> Any:
    os.environ.setdefault("NUMBA_CACHE_DIR", _cache_folder())  # read once, when numba is imported
    import numba

    return numba


_NUMBA = _numba()


def compiled(function: F) -> F:
    """Compile a function on its first call, releasing the GIL; cache the machine code where there is a place for it."""
    try:
        return cast("F", _NUMBA.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        return cast("F", _NUMBA.njit(nogil=True, error_model="numpy")(function))
