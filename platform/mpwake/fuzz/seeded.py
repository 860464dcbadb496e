"""What is drawn hangs on the seed alone.

Hypothesis also draws numbers that it finds in the source files of whatever is imported, but for installed packages; and
ten seconds after it has found something it looks for nothing else. So the same seed would show other things in another
process, and on a quicker machine. It has no settings for that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import SimpleNamespace
from unittest.mock import patch

from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import engine, providers
from hypothesis.internal.constants_ast import Constants

CACHED = 1024
STANDS = SimpleNamespace(**{**vars(time), "monotonic": lambda: 0.0})


@contextlib.contextmanager
def seeded_alone() -> Iterator[None]:
    """Draw from the seed, whatever else this process has imported, and however quick it is."""
    cache: LRUCache[object, object] = LRUCache(CACHED)
    with (
        patch.object(providers, "_get_local_constants", Constants, create=True),
        patch.object(providers, "CONSTANTS_CACHE", cache, create=True),
        patch.object(engine, "time", STANDS, create=True),
    ):
        yield
