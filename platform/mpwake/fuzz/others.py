"""Other people's readers of the same bytes, where they are installed: ``iasl`` and ``dtc``."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SECONDS = 20
_ENTRY = re.compile(r"^\[([0-9A-F]+)h [^\]]*\]\s+Subtable Type : ([0-9A-F]{2})\b", re.MULTILINE)


@functools.cache
def program(name: str, variable: str) -> str | None:
    """Return where a program is: where a variable of the environment says, else on the path."""
    return os.environ.get(variable) or shutil.which(name)


def entries_of_iasl(data: bytes) -> list[tuple[int, int]] | None:
    """Return offset and type of the entries that iasl sees in a MADT; None where it is not there, or reads none."""
    iasl = program("iasl", "MPWAKE_IASL_CURRENT")
    if iasl is None:
        return None
    with tempfile.TemporaryDirectory(prefix="mpwake-") as folder:
        (Path(folder) / "table.dat").write_bytes(data)
        asked = [iasl, "-d", "table.dat"]
        try:
            subprocess.run(asked, cwd=folder, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
            text = (Path(folder) / "table.dsl").read_text(encoding="latin-1")
        except (OSError, subprocess.TimeoutExpired):
            return None
    return [(int(at, 16), int(kind, 16)) for at, kind in _ENTRY.findall(text)] if "Signature" in text else None


def rewritten_by_dtc(data: bytes) -> tuple[bool, bytes] | None:
    """Return whether dtc takes a blob, and the blob that it makes of it; None where it is not there."""
    dtc = program("dtc", "MPWAKE_DTC")
    if dtc is None:
        return None
    asked = [dtc, "-q", "-q", "-q", "-f", "-I", "dtb", "-O", "dtb", "-"]
    try:
        result = subprocess.run(asked, input=data, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (result.returncode == 0 and bool(result.stdout)), result.stdout
