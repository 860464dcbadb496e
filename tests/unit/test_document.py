"""Strict YAML: what is refused and where, what each scalar is, and how a document becomes our classes."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Literal

import attrs
import jsonschema
import pytest

from mpwake.spec import document
from mpwake.spec.document import MAX_BYTES, MAX_DEPTH, Node, decode, described, from_plain, load, parse, schema
from mpwake.spec.errors import InputError


class Colour(enum.Enum):
    """An enumeration to decode into."""

    RED = "red"
    DARK_GREEN = "dark-green"


@attrs.frozen
class Leaf:
    """A record within a record."""

    size: int = described("How large it is")

    def __attrs_post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"the size {self.size} is negative")


@attrs.frozen
class Tree:
    """One field of every kind that a document may have."""

    name: str
    leaves: tuple[Leaf, ...] = ()
    colour: Colour = Colour.RED
    shape: Literal["round", "square"] = "round"
    either: int | str = 0
    weights: dict[str, float] = attrs.Factory(dict)
    maybe: Leaf | None = None
    pairs: tuple[tuple[int, ...], ...] = ()
    sound: bool = True
    raw: Node | None = None
    anything: Any = None


def refused(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(text, "f.yaml")
    return caught.value


def misfit(text: str, of: type = Tree) -> InputError:
    with pytest.raises(InputError) as caught:
        decode(parse(text, "f.yaml"), of)
    return caught.value


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1", "duplicate key 'a'", "first given at line 1"),
        ("x: {a: 1, b: 2, a: 3}", "1:17", "duplicate key 'a'", "first given at line 1"),
        ("- 1\n- \"a\": 1\n  'a': 2\n", "3:3", "duplicate key 'a'", "first given at line 2"),
        ('10: x\n"10": y\n', "2:1", "duplicate key '10'", "first given at line 1"),
        ("a: &x 1\n", "1:4", "anchors and aliases are not read", "write the value out"),
        ("a: &x [1]\n", "1:4", "anchors and aliases are not read", "write the value out"),
        ("a:\n  &k b: 1\n", "2:3", "anchors and aliases are not read", "write the value out"),
        ("a: *x\n", "1:4", "anchors and aliases are not read", "write the value out"),
        ("<<: *x\n", "1:5", "anchors and aliases are not read", "write the value out"),
        ("a: !!str 1\n", "1:4", "the tag 'tag:yaml.org,2002:str' is not read", "write a plain value"),
        ("a: !own {b: 1}\n", "1:4", "the tag '!own' is not read", "write a plain value"),
        ("!!python/object/apply:os.getcwd []\n", "1:1", "python/object/apply:os.getcwd' is not read", ""),
        ("a\n---\nb\n", "3:1", "a second document", "one document to a file"),
        ("a: 1\n---\n[1]\n", "3:1", "a second document", "one document to a file"),
        ("a: 1\n---\n", "3:1", "a second document", "one document to a file"),
        ("? [a]\n: 1\n", "1:3", "a key that is not a plain word", ""),
        ("{{a: 1}: 2}", "1:2", "a key that is not a plain word", ""),
        ("a: [1\n", "2:1", "not valid YAML", ""),
        ("a: 1\n\tb: 2\n", "2:1", "not valid YAML", ""),
        ("a: b: c\n", "1:5", "not valid YAML", ""),
    ],
)
def test_what_is_not_plain_yaml_is_refused_at_its_place(text: str, where: str, message: str, hint: str) -> None:
    error = refused(text)
    assert error.where == f"f.yaml:{where}"
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("text", ["", "   \n\n", "# nothing but a comment\n"])
def test_an_empty_document_is_refused(text: str) -> None:
    error = refused(text)
    assert (error.message, error.where) == ("an empty document", "f.yaml")


@pytest.mark.parametrize("data", [b"a: \xff\n", b"a: \x00\n", "a: \x07\n", "a: SURROGATE\n"])
def test_what_is_not_text_is_refused(data: str | bytes) -> None:
    error = refused(data.replace("SURROGATE", "\ud800") if isinstance(data, str) else data)
    assert error.message.startswith("not valid YAML")
    assert error.where.startswith("f.yaml")


@pytest.mark.parametrize(
    ("opening", "closing", "column"),
    [("[", "]", MAX_DEPTH + 1), ("{a: ", "}", 4 * MAX_DEPTH + 1), ("- ", "", 2 * MAX_DEPTH + 1)],
)
def test_depth_is_bounded(opening: str, closing: str, column: int) -> None:
    plain = parse(opening * MAX_DEPTH + "1" + closing * MAX_DEPTH, "f.yaml").plain()
    for _ in range(MAX_DEPTH):
        (plain,) = plain.values() if isinstance(plain, dict) else plain
    assert plain == 1
    error = refused(opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1))
    assert (error.where, error.message) == (f"f.yaml:1:{column}", f"nested deeper than {MAX_DEPTH} levels")


def test_size_is_bounded(tmp_path: Path) -> None:
    fitting, too_long = "a".ljust(MAX_BYTES), "a".ljust(MAX_BYTES + 1)
    assert parse(fitting, "f.yaml").value == "a"
    assert f"more than the {MAX_BYTES}" in refused(too_long).message
    (tmp_path / "f.yaml").write_text(too_long)
    with pytest.raises(InputError, match=f"more than the {MAX_BYTES}"):
        load(tmp_path / "f.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("no", "No", "NO", "yes", "on", "Off", "y", "n", "tRue", "nULL", "nil", "None")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        ("0", 0),
        ("10", 10),
        ("010", 10),
        ("017", 17),
        ("+7", 7),
        ("-7", -7),
        ("-0", 0),
        ("0x10", 16),
        ("0xfF", 255),
        ("0o17", 15),
        ("9" * 40, int("9" * 40)),
        *((word, word) for word in ("0X10", "-0x10", "0xg", "0x", "0o8", "0o", "0b11", "1_000", "0.0.0", "12:30:45")),
        *((word, word) for word in ("2026-11-21", "=", "<<", "+", "1e", ".", "e3", "1.5.2", "\u0663")),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e-3", -0.0015),
        ("1.0", 1.0),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse(f"a: {text}\n", "f.yaml").plain()
    assert isinstance(found, dict)
    assert (found["a"], type(found["a"])) == (value, type(value))


@pytest.mark.parametrize("word", ["5", "0x10", "1e3", "true", "null", "~", "", "no"])
@pytest.mark.parametrize("form", ["'{}'", '"{}"', "|-\n  {}", ">-\n  {}"])
def test_quoted_scalars_stay_text(word: str, form: str) -> None:
    assert parse("a: " + form.format(word) + "\n", "f.yaml").plain() == {"a": word}


def test_an_integer_too_long_to_mean_anything_is_refused_on_its_line() -> None:
    error = refused("b: 1\na: " + "1" * 41)
    assert error.message == "an integer of more than 40 characters"
    assert error.where.startswith("f.yaml:2:")


def test_an_integer_too_long_to_mean_anything_is_refused_at_its_column() -> None:
    assert refused("b: 1\na: " + "1" * 41).where == "f.yaml:2:4"


def test_every_value_and_key_keeps_its_place() -> None:
    root = parse("a:\n  - 1\n  - b: {c: x}\n", "f.yaml")
    second = root.value["a"].value[1]
    assert root.where == "f.yaml:1:1"
    assert root.keys["a"].where == "f.yaml:1:1"
    assert second.value["b"].keys["c"].where == "f.yaml:3:9"
    assert second.value["b"].value["c"].where == "f.yaml:3:12"


def test_bytes_and_text_are_read_alike() -> None:
    text = "a: \u00e9\n"
    assert parse(text, "f.yaml").plain() == parse(text.encode(), "f.yaml").plain() == {"a": "\u00e9"}


def test_a_file_is_read_under_the_name_that_errors_call_it(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: 1\na: 2\n")
    for name, where in ((None, f"{path}:2:1"), ("short.yaml", "short.yaml:2:1")):
        with pytest.raises(InputError) as caught:
            load(path, name)
        assert caught.value.where == where


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be read: ") as caught:
        load(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_a_whole_record_is_decoded() -> None:
    text = (
        "name: oak\nleaves: [{size: 1}, {size: 0x10}]\ncolour: dark-green\nshape: square\neither: text\n"
        "weights: {a: 1, b: 2.5}\nmaybe: {size: 3}\npairs: [[1, 2], []]\nsound: false\nraw: {x: 1}\nanything: [~, no]\n"
    )
    found = decode(parse(text, "f.yaml"), Tree)
    raw = found.raw
    assert isinstance(raw, Node)
    assert (raw.where, raw.plain()) == ("f.yaml:10:6", {"x": 1})
    assert attrs.evolve(found, raw=None) == Tree(
        "oak",
        (Leaf(1), Leaf(16)),
        Colour.DARK_GREEN,
        "square",
        "text",
        {"a": 1.0, "b": 2.5},
        Leaf(3),
        ((1, 2), ()),
        False,
        None,
        [None, "no"],
    )
    assert type(found.weights["a"]) is float


def test_what_is_not_given_has_its_default() -> None:
    assert decode(parse("{name: oak, maybe: ~}", "f.yaml"), Tree) == Tree("oak")


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("name: a\n  \ncolor: red\n", "3:1", "unknown key 'color'", "did you mean 'colour'?"),
        ("name: a\nzzzzzz: 1\n", "2:1", "unknown key 'zzzzzz'", "known: anything, colour, either"),
        ("name: a\nleaves:\n  - {siz: 1}\n", "3:6", "unknown key 'siz'", "did you mean 'size'?"),
        ("\ncolour: red\n", "2:1", "the key 'name' is missing", ""),
        ("name: a\nleaves: [{}]\n", "2:10", "the key 'size' is missing", "How large it is"),
        ("[1]", "1:1", "expected a mapping, found a list", ""),
        ("name: 5\n", "1:7", "expected text, found 5", ""),
        ("name: ~\n", "1:7", "expected text, found nothing", ""),
        ("name: {a: 1}\n", "1:7", "expected text, found a mapping", ""),
        ("name: a\nsound: 1\n", "2:8", "expected true or false, found 1", ""),
        ("name: a\nsound: no\n", "2:8", "expected true or false, found 'no'", ""),
        ("name: a\nleaves: {size: 1}\n", "2:9", "expected a list, found a mapping", ""),
        ("name: a\nleaves: [{size: 1}, 2]\n", "2:21", "expected a mapping, found 2", ""),
        ("name: a\nleaves: [{size: true}]\n", "2:17", "expected an integer, found True", ""),
        ("name: a\nleaves: [{size: 1.0}]\n", "2:17", "expected an integer, found 1.0", ""),
        ("name: a\nleaves: [{size: -1}]\n", "2:10", "the size -1 is negative", ""),
        ("name: a\ncolour: dark-gren\n", "2:9", "'dark-gren' is not a known value", "did you mean 'dark-green'?"),
        ("name: a\ncolour: [red]\n", "2:9", "['red'] is not a known value", ""),
        ("name: a\ncolour: ~\n", "2:9", "None is not a known value", "known: dark-green, red"),
        ("name: a\nshape: suqare\n", "2:8", "'suqare' is not a known value", "did you mean 'square'?"),
        ("name: a\neither: 1.5\n", "2:9", "expected an integer or text, found 1.5", ""),
        ("name: a\neither: true\n", "2:9", "expected an integer or text, found True", ""),
        ("name: a\nmaybe: 5\n", "2:8", "expected a mapping, found 5", ""),
        ("name: a\nweights: {x: true}\n", "2:14", "expected a number, found True", ""),
        ("name: a\nweights: {x: one}\n", "2:14", "expected a number, found 'one'", ""),
        ("name: a\nweights: [1]\n", "2:10", "expected a mapping, found a list", ""),
        ("name: a\npairs: [[1, x]]\n", "2:13", "expected an integer, found 'x'", ""),
        ("name: a\npairs: [1]\n", "2:9", "expected a list, found 1", ""),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(text: str, where: str, message: str, hint: str) -> None:
    error = misfit(text)
    assert error.where == f"f.yaml:{where}"
    assert message in error.message
    assert hint in error.hint


def test_an_error_reads_as_place_message_and_hint() -> None:
    assert str(misfit("color: red")) == "f.yaml:1:1: unknown key 'color'\n  did you mean 'colour'?"


def test_plain_data_keeps_its_line_and_its_value() -> None:
    data = {"name": "oak", "leaves": [{"size": 1}]}
    node = from_plain(data, "e.ndjson", 7)
    assert node.plain() == data
    assert decode(node, Tree) == Tree("oak", (Leaf(1),))
    assert node.value["leaves"].value[0].value["size"].where == "e.ndjson:7:1"
    assert node.keys["name"].where == "e.ndjson:7:1"


def test_the_depth_of_plain_data_is_bounded() -> None:
    data: Any = 1
    for _ in range(MAX_DEPTH):
        data = [data]
    assert from_plain(data, "e.ndjson", 7).plain() == data
    for deeper in ([data], {"a": data}):
        with pytest.raises(InputError, match=f"nested deeper than {MAX_DEPTH} levels") as caught:
            from_plain(deeper, "e.ndjson", 7)
        assert caught.value.where == "e.ndjson:7"


def test_a_schema_lists_fields_descriptions_and_what_is_required() -> None:
    found = schema("A tree", Tree)
    assert (found["title"], found["$ref"]) == ("A tree", "#/$defs/Tree")
    assert list(found["$defs"]) == ["Leaf", "Tree"]
    leaf = found["$defs"]["Leaf"]
    assert leaf["properties"] == {"size": {"type": "integer", "description": "How large it is"}}
    assert (leaf["required"], leaf["additionalProperties"]) == (["size"], False)
    assert leaf["description"] == "A record within a record."
    assert found["$defs"]["Tree"]["required"] == ["name"]
    assert found["$defs"]["Tree"]["properties"]["colour"] == {"enum": ["red", "dark-green"]}
    jsonschema.Draft202012Validator.check_schema(found)


def test_a_document_of_several_kinds_is_one_of_them() -> None:
    found = jsonschema.Draft202012Validator(schema("Either", Tree, Leaf))
    assert found.is_valid({"name": "oak"})
    assert found.is_valid({"size": 1})
    assert not found.is_valid({"name": "oak", "size": 1})


@pytest.mark.parametrize(
    ("plain", "good"),
    [
        ({"name": "oak"}, True),
        ({"name": "oak", "maybe": None, "raw": [1], "anything": {"a": None}}, True),
        ({"name": "oak", "weights": {"a": 1, "b": 0.5}, "pairs": [[1], []], "either": "x"}, True),
        ({"name": "oak", "colour": "red", "shape": "square", "leaves": [{"size": 0}], "sound": False}, True),
        ({}, False),
        ({"name": 1}, False),
        ({"name": None}, False),
        ({"name": "oak", "other": 1}, False),
        ({"name": "oak", "colour": "blue"}, False),
        ({"name": "oak", "shape": None}, False),
        ({"name": "oak", "either": 1.5}, False),
        ({"name": "oak", "either": True}, False),
        ({"name": "oak", "weights": {"a": "1"}}, False),
        ({"name": "oak", "weights": {"a": True}}, False),
        ({"name": "oak", "leaves": [{"size": True}]}, False),
        ({"name": "oak", "leaves": [{"size": 1, "x": 1}]}, False),
        ({"name": "oak", "maybe": []}, False),
        ({"name": "oak", "sound": 1}, False),
        ([], False),
    ],
)
def test_the_schema_and_the_decoder_agree(plain: Any, good: bool) -> None:
    assert jsonschema.Draft202012Validator(schema("A tree", Tree)).is_valid(plain) is good
    if good:
        decode(from_plain(plain, "f.json"), Tree)
    else:
        with pytest.raises(InputError):
            decode(from_plain(plain, "f.json"), Tree)


@attrs.frozen
class Done:
    """A record whose one field can have one value only, as the footer of an event stream."""

    complete: Literal[True]


def test_a_literal_that_is_no_text_is_decoded() -> None:
    assert decode(from_plain({"complete": True}, "f.json"), Done) == Done(True)
    for wrong in (False, "yes", None):
        with pytest.raises(InputError):
            decode(from_plain({"complete": wrong}, "f.json"), Done)


def test_a_literal_that_is_no_text_does_not_take_its_text() -> None:
    assert not jsonschema.Draft202012Validator(schema("Done", Done)).is_valid({"complete": "True"})
    with pytest.raises(InputError):
        decode(from_plain({"complete": "True"}, "f.json"), Done)


def test_an_integer_beyond_every_float_is_an_input_error() -> None:
    with pytest.raises(InputError):
        decode(from_plain({"name": "oak", "weights": {"a": 10**400}}, "f.json"), Tree)


def test_the_nearest_known_word_is_named() -> None:
    assert document.did_you_mean("madt-7", ["MADT-07", "DT-01"]) == "did you mean 'MADT-07'?"
    assert document.did_you_mean("xyz", ["b", "a"]) == "known: a, b"
    assert document.did_you_mean("xyz", []) == ""
    assert document.did_you_mean("xyz", [f"{n:03}" for n in range(20)]).endswith("011, ...")
