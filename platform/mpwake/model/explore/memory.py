"""Memory for many states: zeros, in pages as large as the system has them, so that finding a page is not the work."""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
LARGE = 32 << 20


def zeros(rows: int, words: int) -> U64:
    """Return rows of so many words; what is never touched takes no memory."""
    size = 8 * rows * words
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros((rows, words), np.uint64)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # what is shared has small pages
    pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint64, rows * words).reshape(rows, words)
