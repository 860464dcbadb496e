"""Properties of the command line: agreement with a transcription of Linux's C, round trips, no unknown error."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence.command_line import acpi_disabled, parse
from mpwake.evidence.exhibit import CodecError

LINES = st.one_of(st.text('ab=" -_\n\0', max_size=24), st.text(st.characters(max_codepoint=255), max_size=24))
SPACE = b" \t\n\v\f\r\xa0"


def string_at(memory: bytearray, at: int) -> bytes:
    return bytes(memory[at : memory.index(0, at)])


def linux(line: bytes) -> list[tuple[bytes, bytes | None]]:
    """Return what next_arg() and the loop of parse_args() make of a line, step by step on writable memory."""
    memory = bytearray(line + b"\0\0")
    found: list[tuple[bytes, bytes | None]] = []
    args = 0
    while memory[args] and memory[args] in SPACE:
        args += 1
    while memory[args]:
        in_quote = quoted = memory[args] == ord('"')
        args += quoted
        i = equals = 0
        while memory[args + i] and (in_quote or memory[args + i] not in SPACE):
            if equals == 0 and memory[args + i] == ord("="):
                equals = i
            if memory[args + i] == ord('"'):
                in_quote = not in_quote
            i += 1
        name, value = args, -1
        if equals:
            memory[args + equals] = 0
            value = args + equals + 1
            if memory[value] == ord('"'):
                value += 1
                if memory[args + i - 1] == ord('"'):
                    memory[args + i - 1] = 0
        if quoted and memory[args + i - 1] == ord('"'):
            memory[args + i - 1] = 0
        following = args + i
        if memory[args + i]:
            memory[args + i] = 0
            following += 1
        while memory[following] and memory[following] in SPACE:
            following += 1
        pair = (string_at(memory, name), None if value < 0 else string_at(memory, value))
        if pair == (b"--", None):
            break
        found.append(pair)
        args = following
    return found


@given(LINES)
def test_parameters_are_those_of_linux(line: str) -> None:
    found = [
        (one.name.encode("latin-1"), None if one.value is None else one.value.encode("latin-1"))
        for one in parse(line).parameters
    ]
    assert found == linux(line.split("\0")[0].encode("latin-1"))


WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"='), min_size=1)
VALUES = st.one_of(st.none(), st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"')))


@given(st.lists(st.tuples(WORDS.filter(lambda word: word != "--"), VALUES)))
def test_what_is_quoted_is_read_back(pairs: list[tuple[str, str | None]]) -> None:
    text = " ".join(name if value is None else f'{name}="{value}"' for name, value in pairs)
    found = parse(text)
    assert [(one.name, one.value) for one in found.parameters] == pairs
    for one in found.parameters:
        assert text.startswith(one.name, one.offset)
        assert one.value in found.values(one.name)
        assert found.get(one.name.replace("-", "_")) == found.get(one.name.replace("_", "-"))


@given(st.text())
def test_any_text_is_a_command_line_or_a_codec_error(text: str) -> None:
    with contextlib.suppress(CodecError):
        found = parse(text)
        assert acpi_disabled(found) in (True, False)
        assert [one.offset for one in found.parameters] == sorted({one.offset for one in found.parameters})


@given(st.lists(st.sampled_from(["off", "force", "on", "strict", "noirq", ""])))
def test_the_last_of_off_and_force_decides(values: list[str]) -> None:
    decisive = [value for value in values if value in ("off", "force")]
    found = acpi_disabled(parse(" ".join(f"acpi={value}" for value in values)))
    assert found is (decisive[-1:] == ["off"])
