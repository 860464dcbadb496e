"""A line of a program as a listing shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mpwake.model.agent import FIELDS, Agent, Operation, Span
from mpwake.spec import document

_NAMES = {place: name for name, place in FIELDS.items()}


def place(offset: int, width: int) -> str:
    """Name bytes of the page: a field, or how many bytes where."""
    return _NAMES.get((offset, width)) or f"{width} byte{'' if width == 1 else 's'} at {offset:#x}"


def places(agent: Agent) -> Iterator[tuple[int, str]]:
    """Yield each operation's number and its place, counted from the label before it."""
    labels = {number: name for name, number in agent.labels.items()}
    name, first = agent.name, 0
    for number in range(len(agent.operations) + 1):
        if number in labels:
            name, first = labels[number], number
        yield number, name if number == first else f"{name}+{number - first}"


def written(one: Operation) -> str:
    """Return an operation in one line."""
    given = document.encode(one)
    assert isinstance(given, dict)
    ((name, value),) = given.items()
    if not isinstance(value, dict):
        return name if value is True else f"{name} {value}"
    return f"{name} {', '.join(f'{key} {_word(item)}' for key, item in value.items())}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        span = Span(**value)
        return place(span.at, span.width)
    return f"{value:#x}" if type(value) is int and value > 9 else str(value)
