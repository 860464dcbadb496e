"""Properties of the YAML reader: any input is a node or an InputError, and plain data survives being written."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mpwake.spec.document import MAX_DEPTH, Node, from_plain, parse
from mpwake.spec.errors import InputError

FRAGMENTS = st.sampled_from(
    ["a: ", "- ", "[", "]", "{", "}", ", ", "\n", "  ", "&x ", "*x", "!!str ", "! ", "'", '"', "|\n", ">-\n", "? ", ": "]
    + ["---\n", "...\n", "%YAML 1.1\n", "# ", "<<", "0x", "1e", "true", "~", "\t", "\\", "\r", "\ufeff", "\x85", "\0"]
)
TEXT = st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=3)), max_size=40).map("".join))
SOURCES = st.one_of(TEXT, st.binary(), TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))

NUMBERS = st.one_of(st.integers(-(10**38), 10**38), st.floats(allow_nan=False, allow_infinity=False))
WORDS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["no", "010", "0x10", "1e3", "12:30:45", "null", "~", "", "true", "<<", "=", " a ", "a: b", "- a"]),
)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=20,
)


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
    found = parse(yaml.safe_dump(data), "f.yaml").plain()
    # As JSON, so that 1, 1.0 and True are three values.
    assert json.dumps(found) == json.dumps(data, sort_keys=False) or same(found, data)


@given(PLAIN, st.booleans())
def test_plain_data_written_in_any_style_is_read_back_the_same(data: Any, flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True, sort_keys=False, explicit_start=True)
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
