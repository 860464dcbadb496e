"""Files of other people's, read into memory: regular ones, up to a size."""

from __future__ import annotations

import stat
from pathlib import Path

from mpwake.spec.errors import InputError


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file.

    Raises ``InputError`` for one that cannot be read, is no regular file (a device has no end, and a pipe may have
    none), or has more than ``most`` bytes.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("not a regular file", str(path))
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        hint = "reading it may need more rights (sudo)" if isinstance(error, PermissionError) else ""
        raise InputError(f"cannot be read: {error.strerror}", str(path), hint) from None
    except ValueError:
        raise InputError("not a path", repr(str(path))) from None
    if len(data) > most:
        raise InputError(f"more than {most} bytes", str(path))
    return data
