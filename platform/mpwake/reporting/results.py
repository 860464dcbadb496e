"""Reads the results of a run back for a comparison: from its stream, from its JSON document, or from its directory."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import attrs

from mpwake.reporting.evidence_text import one_line
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite import events
from mpwake.suite.events import CUT

STREAM = "events.ndjson"
DOCUMENT = "results.json"
MAX_BYTES = 256 << 20
Key = tuple[str, str]
_Word = TypeVar("_Word", Verdict, Weight, Role)


@attrs.frozen
class Judged:
    """What a run says of one requirement in one role.

    ``message`` is why, in one line, and empty for a plain pass. ``scenarios`` are pairs of file and name; a line
    number is left out, because it changes with what stands above it. ``reached`` is False where the run was cut off
    before it was judged.
    """

    id: str
    role: str
    title: str
    verdict: Verdict
    weight: Weight
    message: str
    scenarios: tuple[tuple[str, str], ...]
    reached: bool

    @property
    def key(self) -> Key:
        """What it is found by in another run."""
        return self.id, self.role

    @property
    def nonconforming(self) -> bool:
        """Whether it is a failure of weight conformance."""
        return self.verdict is Verdict.FAIL and self.weight is Weight.CONFORMANCE


@attrs.frozen
class Results:
    """A run as far as it is compared: what was tested, how, and what it came to."""

    name: str
    inputs: tuple[events.Input, ...]
    target: str
    edition: str
    mpwake: str
    seed: int
    complete: bool
    judged: tuple[Judged, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it judged, in their order."""
        found = {one.role for one in self.judged}
        return tuple(role.value for role in Role if role.value in found)


def load(path: Path) -> Results:
    """Read results. Raises ``InputError``, with its place, for a file that holds none."""
    file = path
    if path.is_dir():
        file = next((path / name for name in (STREAM, DOCUMENT) if (path / name).exists()), path / STREAM)
    results = of_run(events.load(file)) if _is_stream(file) else of_document(file)
    keys = [one.key for one in results.judged]
    for key in set(keys):
        if keys.count(key) > 1:
            raise InputError(f"{one_line(key[0])} is told of twice in the role {one_line(key[1])}", str(file))
    return results


def _is_stream(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            line = opened.readline(events.MAX_LINE)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(file)) from None
    with contextlib.suppress(ValueError, RecursionError):
        first = json.loads(line)
        return isinstance(first, dict) and "event" in first
    return False


def of_run(run: events.Run) -> Results:
    """Return what is compared of a run that was read from its stream."""
    header = run.header
    judged = (
        Judged(
            id=one.selected.id,
            role=one.selected.role,
            title=one.selected.title,
            verdict=one.verdict,
            weight=one.weight,
            message=_message(one.verdict, one.reason, [f"{bad.found}; expected {bad.expected}" for bad in _bad(one)]),
            scenarios=tuple((_file(scenario.file), scenario.name) for scenario in one.scenarios),
            reached=run.complete or one.reason != CUT,
        )
        for one in run.results
    )
    inputs = header.subject.inputs
    own = (header.subject.name, inputs, header.target, header.edition, header.mpwake, header.seed)
    return Results(*own, run.complete, tuple(judged))


def _bad(result: events.Result) -> list[events.Seen]:
    return [seen for seen in result.seen if not seen.ok]


def _message(verdict: Verdict, reason: str, findings: list[str]) -> str:
    return one_line(reason or (findings[0] if findings and verdict is Verdict.FAIL else ""))


def _file(place: str) -> str:
    file, colon, line = place.rpartition(":")
    return file if colon and line.isdigit() else place


def of_document(file: Path) -> Results:
    """Read the JSON document of a run. Raises ``InputError`` with the line, or the key, that is wrong."""
    node = _Node(_json(file), str(file))
    subject = node.key("subject")
    inputs = tuple(
        events.Input(one.text("name"), one.text("kind"), one.integer("size"), one.text("sha256"))
        for one in subject.items("inputs")
    )
    complete = node.truth("complete")
    judged = tuple(_requirement(one, complete) for one in node.items("requirements"))
    own = (subject.text("name"), inputs, node.text("target"), node.text("edition"), node.text("mpwake"))
    return Results(*own, node.integer("seed"), complete, judged)


def _json(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"more than {MAX_BYTES} bytes", str(file))
        return json.loads(data.decode(), parse_constant=_constant)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(file)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start:#x}", str(file)) from None
    except json.JSONDecodeError as error:
        where = f"{file}:{error.lineno}:{error.colno}"
        raise InputError("neither the results of a run nor its stream: not JSON here", where) from None
    except (ValueError, RecursionError):
        raise InputError("neither the results of a run nor its stream: not JSON", str(file)) from None


def _constant(word: str) -> NoReturn:
    raise ValueError(word)


def _requirement(node: _Node, complete: bool) -> Judged:
    verdict, reason = node.word("verdict", Verdict), node.text("reason")
    evidence = [one for one in node.items("evidence") if not one.truth("ok")]
    return Judged(
        id=node.text("id"),
        role=node.word("role", Role).value,
        title=node.text("title"),
        verdict=verdict,
        weight=node.word("weight", Weight),
        message=_message(
            verdict, reason, [f"{one.text('found')}; expected {one.text('expected')}" for one in evidence]
        ),
        scenarios=tuple((_file(one.text("file")), one.text("name")) for one in node.items("scenarios")),
        reached=complete or reason != CUT,
    )


@attrs.frozen
class _Node:
    """A value of the document and where it stands in it."""

    value: Any
    file: str
    path: str = ""

    def wrong(self, what: str) -> InputError:
        where = f"{self.file}: {self.path}" if self.path else self.file
        return InputError(what, where, "mpwake run writes results.json and events.ndjson to the directory of --out")

    def key(self, name: str) -> _Node:
        if not isinstance(self.value, dict) or name not in self.value:
            raise self.wrong(f"no results of a run: the key {name!r} is missing")
        return _Node(self.value[name], self.file, f"{self.path}.{name}".lstrip("."))

    def _of(self, name: str, kind: type, said: str) -> Any:
        one = self.key(name)
        if type(one.value) is not kind:
            raise one.wrong(f"no results of a run: expected {said}")
        return one.value

    def text(self, name: str) -> str:
        return str(self._of(name, str, "text"))

    def integer(self, name: str) -> int:
        return int(self._of(name, int, "an integer"))

    def truth(self, name: str) -> bool:
        return bool(self._of(name, bool, "true or false"))

    def items(self, name: str) -> list[_Node]:
        path = self.key(name).path
        found = self._of(name, list, "a list")
        return [_Node(one, self.file, f"{path}[{number}]") for number, one in enumerate(found)]

    def word(self, name: str, kind: type[_Word]) -> _Word:
        word = self.text(name)
        for one in kind:
            if one.value == word:
                return one
        known = ", ".join(one.value for one in kind)
        raise self.key(name).wrong(f"no results of a run: {word[:40]!r} is none of {known}")
