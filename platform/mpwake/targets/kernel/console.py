"""The console of a kernel, line by line: what the kernel says, and what the suite's init says under it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

# With console_msg_format=syslog a line begins with its level and the facility, as in /dev/kmsg.
_LINE = re.compile(r"(?:<(\d{1,3})>)?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?(.*)")
_ERROR, _WARNING = 3, 4
_USER = 1
MARK = "mpwake:"
_CODES = {
    "Operation not permitted": -1,
    "No such file or directory": -2,
    "nonexistent directory": -2,
    "Input/output error": -5,
    "No such device or address": -6,
    "Cannot allocate memory": -12,
    "Device or resource busy": -16,
    "No such device": -19,
    "Invalid argument": -22,
    "Function not implemented": -38,
    "Operation not supported": -95,
    "Not supported": -95,
}


@attrs.frozen
class Line:
    """A line of the console: its text, its level in words, and whether the suite's own init said it."""

    text: str
    level: str
    own: bool

    @property
    def words(self) -> list[str]:
        """What init says, behind its mark."""
        return self.text.removeprefix(MARK).split() if self.own else []


def read_line(raw: str) -> Line:
    """Read one line; without a level it is told as information."""
    found = _LINE.fullmatch(raw.strip("\r\n"))
    number, text = (found[1], found[2]) if found else (None, raw)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    priority = int(number) if number else 6
    severity = priority & 7
    level = "error" if severity <= _ERROR else "warning" if severity == _WARNING else "info"
    own = text.startswith(MARK) and (number is None or priority >> 3 == _USER)
    if text.startswith("Kernel panic") and not own:
        level = "panic"
    return Line(text, level, own)


def code_of(words: str) -> int:
    """Return the error code that a message of the C library stands for; -1 for any other."""
    return next((code for text, code in _CODES.items() if text in words), -1)


def pairs(words: list[str]) -> Mapping[int, int]:
    """Read ``number=value`` pairs; what is none is passed over."""
    found = (re.fullmatch(r"(\d+)=(0x[0-9a-f]+|\d+)", word) for word in words)
    return {int(one[1]): int(one[2], 0) for one in found if one}
