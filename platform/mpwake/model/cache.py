"""Where numba's machine code is kept.

numba's cache notices a change in the file of a function, and none in the files of the functions that it calls. So the
cache stands in a directory named for the digest of all sources of the model.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def cache_folder() -> Path:
    """Return where the machine code of these very sources is kept, or NUMBA_CACHE_DIR where that is set."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mpwake" / "numba" / digest.hexdigest()[:16]
