"""What is drawn hangs on the seed alone.

Hypothesis also draws numbers that it finds in the source files of whatever is imported, but for installed packages. So
the same seed would draw other examples in another process, and on another machine. It has no setting for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest.mock import patch

from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

CACHED = 1024


@contextlib.contextmanager
def seeded_alone() -> Iterator[None]:
    """Draw from the seed, whatever else this process has imported."""
    cache: LRUCache[object, object] = LRUCache(CACHED)
    with (
        patch.object(providers, "_get_local_constants", Constants, create=True),
        patch.object(providers, "CONSTANTS_CACHE", cache, create=True),
    ):
        yield
