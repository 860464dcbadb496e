"""The explorer's machine code for states of so many words: its source, written out, compiled once, and kept."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from mpwake.model.cache import cache_folder
from mpwake.model.explore import engine
from mpwake.spec.errors import InputError

_SOURCE = Path(engine.__file__)
_NEIGHBOURS = ("prefetch.py", "atomics.py")
_KEPT = 64


def source_of(words: int) -> str:
    """Return the source for states of so many words."""
    text, count = re.subn(r"^WORDS = \d+$", f"WORDS = {words}", _SOURCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    return text


@functools.cache
def specialised(words: int) -> ModuleType:
    """Return the module for states of so many words; numba keeps its machine code for the next process."""
    if words == engine.WORDS:
        return engine
    text = source_of(words)
    digest = hashlib.sha256(text.encode())
    for name in _NEIGHBOURS:
        digest.update(_SOURCE.with_name(name).read_bytes())
    name = f"mpwake_explore_{words}_{digest.hexdigest()[:16]}"
    path = cache_folder() / "explore" / f"{name}.py"
    _write(path, text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _write(path: Path, text: str) -> None:
    # A file that stands there was put there whole, by whichever process came first.
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)
        _prune(path.parent)
    except OSError as error:
        raise InputError(f"no room for compiled code: {error.strerror}", str(path)) from None


def _prune(folder: Path) -> None:
    # Other sources were written by versions that are gone.
    files = sorted(folder.glob("*.py"), key=lambda one: one.stat().st_mtime)
    for one in files[: max(0, len(files) - _KEPT)]:
        one.unlink(missing_ok=True)


def compiled_already(words: int) -> bool:
    """Say whether the machine code is there, as far as can be told without compiling."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())
    return any(folder.rglob(f"*explore_{words}_*.nbi" if words != engine.WORDS else "engine.expand*.nbi"))
