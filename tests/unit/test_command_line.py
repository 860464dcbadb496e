"""The kernel command line, as Linux's next_arg and parse_args take it apart."""

from __future__ import annotations

import pytest

from mpwake.evidence import command_line
from mpwake.evidence.command_line import Parameter, acpi_disabled, parse
from mpwake.evidence.exhibit import CodecError


def pairs(text: str) -> list[tuple[str, str | None]]:
    return [(one.name, one.value) for one in parse(text).parameters]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\v\f\r\xa0 ", []),
        ("quiet", [("quiet", None)]),
        ("  a=1   b=2\n", [("a", "1"), ("b", "2")]),
        ("a=1\xa0b", [("a", "1"), ("b", None)]),
        ("a=", [("a", "")]),
        ("a=b=c", [("a", "b=c")]),
        ("=a", [("=a", None)]),
        ("=a=b", [("=a", "b")]),
        ('dyndbg="file a.c +p" x', [("dyndbg", "file a.c +p"), ("x", None)]),
        ('"dyndbg=file a.c +p" x', [("dyndbg", "file a.c +p"), ("x", None)]),
        ('"a b" c', [("a b", None), ("c", None)]),
        ('a="b c', [("a", "b c")]),
        ('a="', [("a", "")]),
        ('a="" b', [("a", ""), ("b", None)]),
        ('"a=" b', [("a", ""), ("b", None)]),
        ('"', [("", None)]),
        ('""', [("", None)]),
        ('"" b', [("", None), ("b", None)]),
        ('a=b"c d"e', [("a", 'b"c d"e')]),
        ('a"b c"=d', [('a"b c"', "d")]),
        ('a=b"', [("a", 'b"')]),
        ("root=/dev/sda -- single --x=1", [("root", "/dev/sda")]),
        ("a --b -- c", [("a", None), ("--b", None)]),
        ("a --=1 b", [("a", None), ("--", "1"), ("b", None)]),
        ('a "--" b', [("a", None)]),
        ("a=1\0b=2", [("a", "1")]),
        ("a\x01b=\x7f", [("a\x01b", "\x7f")]),
    ],
)
def test_arguments_are_cut_as_linux_cuts_them(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert pairs(text) == expected


def test_a_parameter_knows_where_it_stands() -> None:
    found = parse('  quiet "a=b c" d="e"')
    assert found.parameters == (
        Parameter("quiet", None, 2),
        Parameter("a", "b c", 8),
        Parameter("d", "e", 16),
    )


def test_the_text_ends_at_the_first_nul() -> None:
    assert parse("console=ttyS0\0\0junk").text == "console=ttyS0"


def test_names_are_compared_with_hyphen_and_underscore_equal() -> None:
    found = parse("log-buf_len=1M log_buf-len=2M logbuflen=3M log_buf_len")
    assert found.values("log_buf_len") == ("1M", "2M", None)
    assert found.get("log-buf-len") == Parameter("log_buf_len", None, 43)
    assert found.get("acpi") is None
    assert found.values("acpi") == ()


def test_the_length_is_bounded_after_the_nul_is_found() -> None:
    assert len(parse("a" * command_line.MAX_TEXT + "\0" + "b" * 100).text) == command_line.MAX_TEXT
    with pytest.raises(CodecError, match="at most 65536 characters"):
        parse("a" * (command_line.MAX_TEXT + 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("acpi=off", True),
        ('acpi="off"', True),
        ('"acpi=off"', True),
        ("acpi=force", False),
        ("acpi=off acpi=force", False),
        ("acpi=force acpi=off", True),
        ("acpi=off acpi=strict", True),
        ("acpi=off acpi=on", True),
        ("acpi=off acpi", True),
        ("acpi=noirq", False),
        ("acpi=OFF", False),
        ("acpi=off,force", False),
        ("noacpi", False),
        ("pci=noacpi", False),
        ("quiet -- acpi=off", False),
        ("acpi=off -- acpi=force", True),
        ("acpi=off\0acpi=force", True),
    ],
)
def test_acpi_is_off_as_on_x86(text: str, expected: bool) -> None:
    assert acpi_disabled(parse(text)) is expected
