"""Properties of the YAML reader: any input is a node or an InputError, and plain data survives being written."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mpwake.spec.document import MAX_DEPTH, Node, from_plain, parse
from mpwake.spec.errors import InputError

SIGNS = tuple("[]{}'\"~\n\r\t\\\x85\0\ufeff")
WORDS_OF_YAML = (
    "a: ",
    "- ",
    "? ",
    ": ",
    ", ",
    "  ",
    "&x ",
    "*x",
    "!!str ",
    "! ",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
    "# ",
)
FRAGMENTS = st.sampled_from([*SIGNS, *WORDS_OF_YAML, "%YAML 1.1\n", "<<", "0x", "1e", "true"])
TEXT = st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=3)), max_size=40).map("".join))
SOURCES = st.one_of(TEXT, st.binary(), TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))

NUMBERS = st.one_of(st.integers(-(10**38), 10**38), st.floats(allow_nan=False, allow_infinity=False))
WORDS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["no", "010", "0x10", "1e3", "12:30:45", "null", "~", "", "true", "<<", "=", " a ", "a: b", "- a"]),
)
# PyYAML writes YAML 1.1, where these are text and need no quotes; YAML 1.2 reads numbers.
NUMBER_OF_1_2_ONLY = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=20,
)


def words(data: Any) -> Iterator[str]:
    """Yield all text in plain data, keys included."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, (list, dict)):
        for one in data:
            yield from words(one)
        for one in data.values() if isinstance(data, dict) else ():
            yield from words(one)


def walk(node: Node, depth: int = 0) -> int:
    """Return the depth of a tree of nodes, with what must hold of every node checked."""
    assert node.file == "f.yaml"
    assert min(node.line, node.column) >= 1
    below = node.value if isinstance(node.value, list) else ()
    if isinstance(node.value, dict):
        assert all(isinstance(name, str) for name in node.value)
        assert list(node.keys) == list(node.value)
        below = node.value.values()
    return max((walk(one, depth + 1) for one in below), default=depth)


@given(SOURCES)
@example("[" * 1000)
@example("{a: " * 1000)
@example(b"\xff\xfea\0:\0 \x001\0")
def test_any_input_is_a_node_or_an_input_error(source: str | bytes) -> None:
    try:
        node = parse(source, "f.yaml")
    except InputError as error:
        assert error.where.startswith("f.yaml")
        assert error.message
    else:
        assert walk(node) <= MAX_DEPTH
        node.plain()


@given(PLAIN)
def test_plain_data_written_as_yaml_is_read_back_the_same(data: Any) -> None:
    assume(not any(NUMBER_OF_1_2_ONLY.fullmatch(word) for word in words(data)))
    found = parse(yaml.safe_dump(data), "f.yaml").plain()
    # Compared as JSON, where 1, 1.0 and true are three values.
    assert json.dumps(found) == json.dumps(data, sort_keys=True)


@given(PLAIN, st.booleans())
def test_plain_data_with_its_text_in_quotes_is_read_back_the_same(data: Any, flow: bool) -> None:
    class Quoting(yaml.SafeDumper):
        def represent_text(self, word: str) -> yaml.ScalarNode:
            return self.represent_scalar("tag:yaml.org,2002:str", word, style='"')

    Quoting.add_representer(str, Quoting.represent_text)
    text = yaml.dump(data, Dumper=Quoting, default_flow_style=flow, sort_keys=False)
    assert json.dumps(parse(text.encode(), "f.yaml").plain()) == json.dumps(data)


@given(PLAIN)
def test_plain_data_is_wrapped_without_loss(data: Any) -> None:
    node = from_plain(data, "f.yaml", 3)
    assert json.dumps(node.plain()) == json.dumps(data)
    walk(node)


@given(st.recursive(st.none(), lambda inner: st.lists(inner, max_size=1), max_leaves=60), st.integers(0, 60))
def test_depth_never_ends_in_anything_but_an_input_error(data: Any, more: int) -> None:
    for _ in range(more):
        data = {"a": [data]}
    with contextlib.suppress(InputError):
        assert from_plain(data, "f.yaml").plain() == data
