"""The one error for bad input: what is wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs


@attrs.frozen(auto_exc=True)
class InputError(Exception):
    """Input that cannot be used.

    ``where`` is ``file:line:column``, ``file`` or ``file: byte 0x2c``; ``hint`` says what would be right.
    The command line renders it in one or two lines and exits with 2.
    """

    message: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}" + (f"\n  {self.hint}" if self.hint else "")


@attrs.frozen(auto_exc=True)
class ToolError(InputError):
    """A program that the suite works with is missing or unfit. The command line exits with 3: nothing was judged."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of ``known``, or lists them when nothing is near."""
    names = sorted(known)
    for spelt in (word, word.upper()):
        near = difflib.get_close_matches(spelt, names, n=8, cutoff=0.6)
        if near:
            best = max(sorted(near), key=lambda name: difflib.SequenceMatcher(None, name, spelt).ratio())
            return f"did you mean {best!r}?"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {listed}" if names else ""
