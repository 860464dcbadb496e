"""The kernel command line, taken apart as Linux does it (lib/cmdline.c, next_arg; kernel/params.c, parse_args).

The text stands for bytes as Latin-1 has them: Linux takes byte 0xa0 for a blank.
"""

from __future__ import annotations

import attrs

from mpwake.evidence.exhibit import CodecError

MAX_TEXT = 64 << 10
# What Linux's isspace() accepts (lib/ctype.c).
BLANKS = frozenset(" \t\n\v\f\r\xa0")


@attrs.frozen
class Parameter:
    """A parameter: its name, its value (None without ``=``), and where it begins in the text, its quote included."""

    name: str
    value: str | None
    offset: int


@attrs.frozen
class CommandLine:
    """A command line: its text up to the first NUL, and the kernel's parameters in order."""

    text: str
    parameters: tuple[Parameter, ...]

    def get(self, name: str) -> Parameter | None:
        """Return the last parameter of this name, or None. In names ``-`` and ``_`` are equal."""
        found = self._named(name)
        return found[-1] if found else None

    def values(self, name: str) -> tuple[str | None, ...]:
        """Return the values of all parameters of this name, in order. In names ``-`` and ``_`` are equal."""
        return tuple(one.value for one in self._named(name))

    def _named(self, name: str) -> tuple[Parameter, ...]:
        wanted = _dashed(name)
        return tuple(one for one in self.parameters if _dashed(one.name) == wanted)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def parse(text: str) -> CommandLine:
    """Take a command line apart.

    Blanks separate, and double quotes protect them; a quote at the start of an argument or of a value is dropped
    with the one at its end. What follows an argument ``--`` is for init, and the text ends at the first NUL. Raises
    ``CodecError`` when more than 64 KiB are left.
    """
    text = text.split("\0", 1)[0]
    if len(text) > MAX_TEXT:
        raise CodecError("a kernel command line", MAX_TEXT, f"at most {MAX_TEXT} characters", f"{len(text)}")
    found: list[Parameter] = []
    at = _skip_blanks(text, 0)
    while at < len(text):
        one, end = _next(text, at)
        if one.name == "--" and one.value is None:
            break
        found.append(one)
        at = _skip_blanks(text, end)
    return CommandLine(text, tuple(found))


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def _next(text: str, offset: int) -> tuple[Parameter, int]:
    # The argument that begins at ``offset``, and where it ends.
    quoted = text[offset] == '"'
    begin = offset + quoted
    end, equals = _extent(text, begin, quoted)
    opened = equals is not None and text.startswith('"', equals + 1, end)
    last = end - 1 if (quoted or opened) and text[end - 1] == '"' else end
    if equals is None:
        return Parameter(text[begin:last], None, offset), end
    return Parameter(text[begin:equals], text[equals + 1 + opened : last], offset), end


def _extent(text: str, begin: int, quoted: bool) -> tuple[int, int | None]:
    # Where an argument ends, and where its first "=" is; one that begins the argument does not count.
    equals = None
    for at in range(begin, len(text)):
        if text[at] in BLANKS and not quoted:
            return at, equals
        if text[at] == "=" and equals is None and at > begin:
            equals = at
        quoted ^= text[at] == '"'
    return len(text), equals


def acpi_disabled(cmdline: CommandLine) -> bool:
    """Say whether the ``acpi=`` parameters turn ACPI off, in order, as arch/x86/kernel/acpi/boot.c reads them.

    ``off`` turns it off and ``force`` on again; no other value changes it (``on`` is not a value on x86).
    """
    effects = {"off": True, "force": False}
    return next((effects[value] for value in reversed(cmdline.values("acpi")) if value in effects), False)
