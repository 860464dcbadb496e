"""The protocol between the suite and a program that runs AP loops: one JSON object a line, decoded strictly.

``docs/runner.md`` is its specification. Whatever a program sends is hostile until it has been decoded here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NoReturn

import attrs

from mpwake.evidence.trace import Fact
from mpwake.spec.editions import ACPI_EDITIONS

PROTOCOL = "mpwake-runner/1"
MAX_LINE = 4096
CAPABILITIES = ("reset",)
STATE = ("interrupts", "long mode", "64-bit code", "paging", "write protect")
MAPPING = ("mapped", "identity", "executable", "writable")
FLAT = tuple(f"{name} {what}" for name in ("cs", "ds", "es", "ss") for what in ("base", "limit"))
OTHERS = tuple(f"{name} {what}" for name in ("fs", "gs") for what in ("base", "limit"))
_TEXT = 1000


class ProtocolError(ValueError):
    """A line that is no message of the protocol; its text says why."""


@attrs.frozen
class Hello:
    """The program's first message: who it is, what it can do besides, and what it declares."""

    name: str
    capabilities: tuple[str, ...]
    edition: str | None = None
    mailbox: int | None = None
    reset_vector: int | None = None


@attrs.frozen
class Parked:
    """A processor polls the mailbox."""

    id: int


@attrs.frozen
class Landed:
    """A processor has left the loop for a vector, and the state that it arrived in, as far as it is told."""

    id: int
    vector: int
    facts: Mapping[str, Fact] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class Fault:
    """A processor is lost, or without ``id`` the program itself cannot go on."""

    text: str
    id: int | None = None


@attrs.frozen
class Bye:
    """The program has nothing more to say."""


Message = Hello | Parked | Landed | Fault | Bye


def encode(message: str, **fields: object) -> bytes:
    """Write a message of the suite: its keys in the order given, without spaces, on one line."""
    return json.dumps({"message": message, **fields}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read a message of the program. Raises ``ProtocolError`` for anything else."""
    fields = _Fields(_object(line))
    kind = fields.text("message")
    if kind not in _READERS:
        raise ProtocolError(f"no message {kind[:40]!r}; known: {', '.join(_READERS)}")
    message = _READERS[kind](fields)
    fields.close()
    return message


def _object(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a line of more than {MAX_LINE} bytes")
    try:
        found = json.loads(line.decode(), object_pairs_hook=_pairs, parse_constant=_constant)
    except ProtocolError:
        raise
    except (ValueError, RecursionError):
        raise ProtocolError(f"not JSON: {line[:80]!r}") from None
    if not isinstance(found, dict):
        raise ProtocolError(f"not a JSON object: {line[:80]!r}")
    return found


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ProtocolError("a key that occurs twice")
    return found


def _constant(word: str) -> NoReturn:
    raise ProtocolError(f"{word} is no number of JSON")


@attrs.define
class _Fields:
    """The fields of a message, taken one by one; what is left over is wrong."""

    left: dict[str, object]

    def close(self) -> None:
        if self.left:
            raise ProtocolError(f"no field {sorted(self.left)[0][:40]!r} in this message")

    def has(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> object:
        if name not in self.left:
            raise ProtocolError(f"the field {name!r} is missing")
        return self.left.pop(name)

    def text(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str) or not 0 < len(value) <= _TEXT or not value.isprintable():
            raise ProtocolError(f"{name!r} is not text of 1 to {_TEXT} printable characters")
        return value

    def number(self, name: str, bits: int) -> int:
        return _number(name, self.take(name), bits)

    def optional(self, name: str) -> int | None:
        return self.number(name, 64) if self.has(name) else None


def _number(name: str, value: object, bits: int) -> int:
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ProtocolError(f"{name!r} is not an integer of {bits} bits")
    return value


def _hello(fields: _Fields) -> Hello:
    if (protocol := fields.text("protocol")) != PROTOCOL:
        raise ProtocolError(f"the protocol {protocol[:40]!r}; this suite speaks {PROTOCOL}")
    name, capabilities = fields.text("name"), fields.take("capabilities")
    if not isinstance(capabilities, list):
        raise ProtocolError("'capabilities' is not a list")
    for one in capabilities:
        if one not in CAPABILITIES:
            raise ProtocolError(f"no capability {str(one)[:40]!r}; known: {', '.join(CAPABILITIES)}")
    edition = fields.text("edition") if fields.has("edition") else None
    known = [one.value for one in ACPI_EDITIONS]
    if edition is not None and edition not in known:
        raise ProtocolError(f"no edition {edition[:40]!r}; known: {', '.join(known)}")
    addresses = fields.optional("mailbox"), fields.optional("reset_vector")
    return Hello(name, tuple(capabilities), edition, *addresses)


def _parked(fields: _Fields) -> Parked:
    return Parked(fields.number("id", 32))


def _landed(fields: _Fields) -> Landed:
    apic, vector = fields.number("id", 32), fields.number("vector", 64)
    return Landed(apic, vector, _facts(fields.take("facts")) if fields.has("facts") else {})


def _facts(told: object) -> dict[str, Fact]:
    if not isinstance(told, dict):
        raise ProtocolError("'facts' is not an object")
    facts: dict[str, Fact] = {}
    for name, value in told.items():
        if name in FLAT + OTHERS:
            facts[name] = _number(name, value, 64)
        elif name not in STATE + MAPPING:
            raise ProtocolError(f"no fact {name[:40]!r}")
        elif isinstance(value, bool):
            facts[name] = value
        else:
            raise ProtocolError(f"{name!r} is not true or false")
    for together in (MAPPING, FLAT):
        if 0 < len(told.keys() & set(together)) < len(together):
            raise ProtocolError(f"of {', '.join(together)} either all are told or none is")
    return facts


def _fault(fields: _Fields) -> Fault:
    return Fault(fields.text("text"), fields.number("id", 32) if fields.has("id") else None)


def _bye(_fields: _Fields) -> Bye:
    return Bye()


_READERS: dict[str, Callable[[_Fields], Message]] = {
    "hello": _hello,
    "parked": _parked,
    "landed": _landed,
    "fault": _fault,
    "bye": _bye,
}
