"""Writing a report's file so that nobody ever finds half of one."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from mpwake.spec.errors import InputError


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file: beside its place first, then moved there; folders above it are made.

    Text is written as UTF-8; what UTF-8 cannot hold (half of a surrogate pair, from a file name that is not
    text) is written as a backslash escape. Raises ``InputError`` when the place cannot be written to.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(data)
            beside.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(path)) from None
