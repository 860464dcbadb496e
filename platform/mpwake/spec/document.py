"""Our YAML, read strictly: every value keeps its place, and every mistake is told with it.

YAML 1.2 core scalars; duplicate keys, anchors, aliases and tags are errors; size and depth are bounded.
A document is decoded into frozen attrs classes, whose fields are also its published JSON Schema.
"""

from __future__ import annotations

import enum
import functools
import re
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import attrs
import yaml

from mpwake.spec.errors import InputError, did_you_mean

MAX_BYTES = 1 << 20
MAX_DEPTH = 40

T = TypeVar("T")
Plain = None | bool | int | float | str | list[Any] | dict[str, Any]


class Text(str):
    """Text of one form. A subclass is the type of a field; its pattern is held by ``decode`` and told by ``schema``."""

    __slots__ = ()
    pattern: ClassVar[str] = ".*"
    words: ClassVar[str] = "text"


_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NAMES: dict[type, str] = {
    list: "a list",
    dict: "a mapping",
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
}
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@attrs.define
class Node:
    """A value and where it stands. ``value`` is a scalar, a list of nodes, or a mapping of name to node."""

    value: Any
    file: str
    line: int
    column: int
    keys: dict[str, Node] = attrs.field(factory=dict, repr=False)

    @property
    def where(self) -> str:
        """``file:line:column``, counted from one."""
        return f"{self.file}:{self.line}:{self.column}"

    def error(self, message: str, hint: str = "") -> InputError:
        """Return an error that points at this value."""
        return InputError(message, self.where, hint)

    def plain(self) -> Plain:
        """Return the bare data."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {name: item.plain() for name, item in self.value.items()}
        return typing.cast("Plain", self.value)


def parse(text: str | bytes, file: str) -> Node:
    """Read one YAML document.

    Raises ``InputError`` with ``file:line:column`` for anything that is not one plain, bounded document.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"{len(text)} bytes of YAML, more than the {MAX_BYTES} that are read", file)
    try:
        return _build(yaml.parse(text, Loader=_LOADER), file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise InputError(f"not valid YAML: {error.problem}", where) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())}", file) from None


def load(path: Path, name: str | None = None) -> Node:
    """Read one YAML file; ``name`` is what errors call it, its path unless given."""
    shown = name or str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", shown) from None
    except ValueError:
        raise InputError(f"{shown!r} is not a path") from None
    return parse(data, shown)


def _place(event: Any) -> str:
    return f"{event.start_mark.line + 1}:{event.start_mark.column + 1}"


def _scalar(event: Any, file: str) -> Any:
    text = event.value
    if event.style:
        return text
    if text.lower() in _WORDS and text in (text.lower(), text.upper(), text.capitalize()):
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        if len(text) > 40:
            raise InputError("an integer of more than 40 characters", f"{file}:{_place(event)}")
        base = {"0x": 16, "0o": 8}.get(text[:2], 10)
        return int(text, base)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Builder:
    """Turns parser events into nodes with an explicit stack, so that depth is bounded by us."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.stack: list[tuple[Node, list[Node]]] = []

    def node(self, event: Any, value: Any) -> Node:
        mark = event.start_mark
        node = Node(value, self.file, mark.line + 1, mark.column + 1)
        if getattr(event, "anchor", None) is not None:
            raise node.error("anchors and aliases are not read", "write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise node.error(f"the tag {tag!r} is not read", "write a plain value")
        return node

    def add(self, node: Node) -> None:
        if not self.stack:
            if self.root is not None:
                raise node.error("a second document", "one document to a file")
            self.root = node
            return
        parent, pending = self.stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif pending:
            key = pending.pop()
            parent.value[key.value] = node
            parent.keys[key.value] = key
        else:
            pending.append(self.key(parent, node))

    def at_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1][0].value, dict) and not self.stack[-1][1]

    def key(self, parent: Node, node: Node) -> Node:
        if node.value in parent.value:
            first = parent.keys[node.value]
            raise node.error(f"duplicate key {node.value!r}", f"first given at line {first.line}")
        return node

    def push(self, node: Node) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise node.error(f"nested deeper than {MAX_DEPTH} levels")
        if self.at_key():
            raise node.error("a key that is not a plain word")
        self.add(node)
        self.stack.append((node, []))


def _build(events: Any, file: str) -> Node:
    builder = _Builder(file)
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            builder.node(event, None)
        elif isinstance(event, yaml.ScalarEvent):
            builder.add(builder.node(event, event.value if builder.at_key() else _scalar(event, file)))
        elif isinstance(event, yaml.SequenceStartEvent):
            builder.push(builder.node(event, []))
        elif isinstance(event, yaml.MappingStartEvent):
            builder.push(builder.node(event, {}))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            builder.stack.pop()
    if builder.root is None:
        raise InputError("an empty document", file)
    return builder.root


def from_plain(value: Any, file: str, line: int = 1, depth: int = 0) -> Node:
    """Wrap bare data, as a JSON parser yields it, in nodes that all stand on one line."""
    if depth > MAX_DEPTH:
        raise InputError(f"nested deeper than {MAX_DEPTH} levels", f"{file}:{line}")
    node = Node(value, file, line, 1)
    if isinstance(value, list):
        node.value = [from_plain(item, file, line, depth + 1) for item in value]
    elif isinstance(value, dict):
        node.value = {str(name): from_plain(item, file, line, depth + 1) for name, item in value.items()}
        node.keys = {name: Node(name, file, line, 1) for name in node.value}
    return node


def decode(node: Node, of: type[T]) -> T:
    """Turn a node into ``of``: an attrs class, a scalar type, an enum, ``tuple[X, ...]``, ``dict[str, X]``.

    Raises ``InputError`` at the first value that does not fit, with its place and what would fit.
    """
    return typing.cast("T", _decode(node, of))


def _decode(node: Node, of: Any) -> Any:
    origin = typing.get_origin(of)
    if of in (Any, Node):
        return node if of is Node else node.plain()
    if origin in (typing.Union, types.UnionType):
        return _decode_union(node, of)
    if origin is typing.Literal:
        return _decode_literal(node, typing.get_args(of))
    if origin is tuple:
        inner = typing.get_args(of)[0]
        return tuple(_decode(item, inner) for item in _expect(node, list, "a list"))
    if origin is dict:
        inner = typing.get_args(of)[1]
        return {name: _decode(item, inner) for name, item in _expect(node, dict, "a mapping").items()}
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return _decode_choice(node, {str(member.value): member for member in of})
    if _is_text(of):
        return _decode_text(node, of)
    if attrs.has(of):
        return _decode_record(node, of)
    if of is float and isinstance(node.value, int):
        try:
            return float(_expect(node, int, "a number"))
        except OverflowError:
            raise node.error("a number that is too large") from None
    return _expect(node, of, _NAMES[of])


def _expect(node: Node, kind: type, words: str) -> Any:
    wrong = not isinstance(node.value, kind) or (kind is int and isinstance(node.value, bool))
    if wrong:
        found = {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(node.value), f"{node.value!r}")
        raise node.error(f"expected {words}, found {found}")
    return node.value


def _decode_literal(node: Node, words: tuple[Any, ...]) -> Any:
    if not any(type(node.value) is type(word) and node.value == word for word in words):
        hint = did_you_mean(str(node.plain()), map(str, words))
        raise node.error(f"{node.plain()!r} is not a known value", hint)
    return node.value


def _decode_choice(node: Node, known: dict[str, Any]) -> Any:
    word = str(node.value)
    if isinstance(node.value, (list, dict)) or word not in known:
        raise node.error(f"{node.plain()!r} is not a known value", did_you_mean(word, known))
    return known[word]


def _is_text(of: Any) -> bool:
    return isinstance(of, type) and issubclass(of, Text)


def _decode_text(node: Node, of: type[Text]) -> Text:
    text = _expect(node, str, of.words)
    if not re.fullmatch(of.pattern, text):
        raise node.error(f"expected {of.words}, found {text[:80]!r}")
    return of(text)


def _decode_union(node: Node, of: Any) -> Any:
    members = typing.get_args(of)
    if node.value is None and type(None) in members:
        return None
    fitting = [member for member in members if member is not type(None) and _fits(node, member)]
    if not fitting:
        names = " or ".join(_words(member) for member in members if member is not type(None))
        raise node.error(f"expected {names}, found {node.plain()!r}")
    return _decode(node, fitting[0])


def _shape(of: Any) -> type:
    origin = typing.get_origin(of)
    if origin in (tuple, dict):
        return list if origin is tuple else dict
    if _is_text(of):
        return str
    if origin is typing.Literal or (isinstance(of, type) and issubclass(of, enum.Enum)):
        return str
    return dict if attrs.has(of) else typing.cast("type", of)


def _fits(node: Node, of: Any) -> bool:
    if of is Node:
        return True
    shape = _shape(of)
    return isinstance(node.value, shape) and not (shape is int and isinstance(node.value, bool))


def _words(of: Any) -> str:
    return _NAMES[_shape(of)]


@functools.cache
def _fields(of: Any) -> dict[str, tuple[Any, Any]]:
    hints = typing.get_type_hints(of)
    return {key_of(field): (field, hints[field.name]) for field in attrs.fields(of) if field.init}


def _decode_record(node: Node, of: Any) -> Any:
    given = _expect(node, dict, "a mapping")
    fields = _fields(of)
    for name in given:
        if name not in fields:
            raise node.keys[name].error(f"unknown key {name!r}", did_you_mean(name, fields))
    for name, (field, _) in fields.items():
        if field.default is attrs.NOTHING and name not in given:
            raise node.error(f"the key {name!r} is missing", field.metadata.get("doc", ""))
    values = {fields[name][0].alias: _decode(item, fields[name][1]) for name, item in given.items()}
    try:
        return of(**values)
    except ValueError as error:
        raise node.error(str(error)) from None


def encode(value: Any) -> Plain:
    """Return the bare data of a decoded document: what ``decode`` would take back, without what is as by default."""
    if isinstance(value, Node):
        return value.plain()
    if isinstance(value, enum.Enum):
        return typing.cast("Plain", value.value)
    if attrs.has(type(value)):
        fields = [(field, getattr(value, field.name)) for field in attrs.fields(type(value))]
        return {key_of(field): encode(item) for field, item in fields if item != _default(field)}
    if isinstance(value, dict):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return typing.cast("Plain", value)


def _default(field: Any) -> Any:
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]


def dump(value: Any) -> str:
    """Return a decoded document as YAML."""
    return yaml.safe_dump(encode(value), sort_keys=False, width=110, allow_unicode=True)


def described(doc: str, default: Any = attrs.NOTHING, key: str | None = None) -> Any:
    """Declare a field of a document class with the sentence that its JSON Schema and its errors carry.

    ``key`` is its key in the document, where that is a word of Python's.
    """
    return attrs.field(default=default, metadata={"doc": doc} | ({"key": key} if key else {}))


def key_of(field: Any) -> str:
    """Return the key that a field of a document class has in the document."""
    return str(field.metadata.get("key", field.alias))


def schema(title: str, *kinds: Any) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document class, or of a document that is one of several."""
    defs: dict[str, Any] = {}
    bodies = [_schema(of, defs) for of in kinds]
    body = bodies[0] if len(bodies) == 1 else {"oneOf": bodies}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **body,
        "$defs": dict(sorted(defs.items())),
    }


def _schema(of: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(of), typing.get_args(of)
    if of in (Any, Node):
        return {}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(arg, defs) for arg in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(args[1], defs)}
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return {"enum": [member.value for member in of]}
    if _is_text(of):
        return {"type": "string", "pattern": f"^({of.pattern})$"}
    if attrs.has(of):
        return _schema_record(of, defs)
    return {"type": {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}[of]}


def _schema_record(of: Any, defs: dict[str, Any]) -> dict[str, Any]:
    name = of.__name__
    if name not in defs:
        defs[name] = {}
        fields = _fields(of)
        properties = {}
        for alias, (field, hint) in fields.items():
            doc = {"description": field.metadata["doc"]} if "doc" in field.metadata else {}
            properties[alias] = {**_schema(hint, defs), **doc}
        defs[name] = {
            "type": "object",
            "description": (of.__doc__ or "").strip().split("\n")[0],
            "properties": properties,
            "required": [alias for alias, (field, _) in fields.items() if field.default is attrs.NOTHING],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}
