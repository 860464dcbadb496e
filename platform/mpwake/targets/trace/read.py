"""Reads trace files, strictly and bounded: whatever is wrong is told with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs

from mpwake.evidence.trace import Event, Trace
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.files import read_bounded
from mpwake.spec.requirements import Role
from mpwake.targets.trace.form import LINES, Carried, End, Footer, Header, Line, Seen, Trial, event_of, trace_of

MAX_BYTES = 256 << 20
MAX_LINE = 8 << 20
MAX_LINES = 1_000_000
_HINT = f"an object whose 'line' is one of {', '.join(LINES)}"


@attrs.define
class Recording:
    """What a trace file holds.

    ``trials`` and ``probes`` are by role and sentence; ``boots`` are the trials that stand for none, by role; ``lines``
    tells where a sentence stands first. ``complete`` tells that the file has its footer.
    """

    header: Header
    trials: dict[tuple[Role, str], list[Trace]] = attrs.Factory(dict)
    probes: dict[tuple[Role, str], Carried] = attrs.Factory(dict)
    boots: dict[Role, list[Trace]] = attrs.Factory(dict)
    lines: dict[tuple[Role, str], int] = attrs.Factory(dict)
    complete: bool = False
    last: int = 0


@attrs.define
class _Open:
    """A trial that has not ended."""

    trial: Trial
    line: int
    events: list[Event] = attrs.Factory(list)


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.read: Recording | None = None
        self.open: _Open | None = None
        self.trials = 0

    def finished(self) -> Recording:
        """Return what was read. A boot that was cut keeps what was seen of it; a trial of a probe does not."""
        if self.read is None:
            raise InputError("no header: this is not a trace of mpwake", self.name)
        if self.open is not None and not self.open.trial.says:
            last = self.open.events[-1].time if self.open.events else 0
            self._ended(self.read, self.open, End("end", last))
        self.read.last = self.number
        return self.read

    def error(self, message: str, hint: str = "") -> InputError:
        return InputError(message, f"{self.name}:{self.number}", hint)

    def take(self, line: Line) -> None:
        if isinstance(line, Header):
            self._header(line)
        elif self.read is None:
            raise self.error("no header before it", "the first line is the header")
        elif self.read.complete:
            raise self.error("a line behind the footer")
        elif isinstance(line, (Seen, End)):
            self._inside(self.read, line)
        elif self.open is not None:
            raise self.error(f"the trial of line {self.open.line} has not ended", "an end line before it")
        elif isinstance(line, Trial):
            self._begin(self.read, line)
        elif isinstance(line, Carried):
            self._probe(self.read, line)
        else:
            self._footer(self.read, line)

    def _header(self, line: Header) -> None:
        if self.read is not None:
            raise self.error("a second header")
        roles = [one.role for one in line.roles]
        if not roles or len(set(roles)) < len(roles):
            raise self.error("roles names each role once, and one at least")
        self.read = Recording(line)

    def _role(self, read: Recording, role: str) -> Role:
        if role not in [one.role for one in read.header.roles]:
            raise self.error(f"the header does not name the role {role}")
        return Role(role)

    def _begin(self, read: Recording, line: Trial) -> None:
        self._role(read, line.role)
        if len(set(line.says)) < len(line.says):
            raise self.error("says names a sentence twice")
        if (read.boots if line.says else read.trials or read.probes) or (not line.says and read.header.requirements):
            raise self.error("trials that stand for sentences, and trials that stand for none", "one file for each")
        for one in line.says:
            if (Role(line.role), one) in read.probes:
                raise self.error(f"a trial behind the probe line of {one!r}")
        self.open = _Open(line, self.number)

    def _inside(self, read: Recording, line: Seen | End) -> None:
        if self.open is None:
            raise self.error("not in a trial", "a trial line before it")
        last = self.open.events[-1].time if self.open.events else 0
        if line.time < last:
            raise self.error(f"time {line.time} after time {last}")
        if isinstance(line, Seen):
            if line.agent >= len(self.open.trial.ids):
                raise self.error(f"agent {line.agent}, of {len(self.open.trial.ids)} in ids")
            self.open.events.append(event_of(line))
            return
        self._ended(read, self.open, line)
        self.open = None

    def _ended(self, read: Recording, one: _Open, end: End) -> None:
        self.trials += 1
        role, trace = Role(one.trial.role), trace_of(one.trial, tuple(one.events), end)
        if not one.trial.says:
            read.boots.setdefault(role, []).append(trace)
        for sentence in one.trial.says:
            read.trials.setdefault((role, sentence), []).append(trace)
            read.lines.setdefault((role, sentence), one.line)

    def _probe(self, read: Recording, line: Carried) -> None:
        key = self._role(read, line.role), line.says
        if read.boots:
            raise self.error("a probe beside trials that stand for none", "one file for each")
        if key in read.probes:
            raise self.error("a second probe line of this sentence")
        there = len(read.trials.get(key, ()))
        if there != line.trials:
            raise self.error(f"{line.trials} trials told, and {there} there")
        read.probes[key] = line
        read.lines.setdefault(key, self.number)

    def _footer(self, read: Recording, line: Footer) -> None:
        if line.trials != self.trials:
            raise self.error(f"{line.trials} trials told, and {self.trials} there")
        read.complete = True


def _event(line: Seen) -> Event:
    from mpwake.targets.trace.form import event_of

    return event_of(line)


def load(path: Path) -> tuple[Recording, bytes]:
    """Read a trace file; return what it holds, and its bytes."""
    data = read_bounded(path, MAX_BYTES)
    return parse(data, str(path)), data


def parse(data: bytes, name: str) -> Recording:
    """Read the bytes of a trace file; ``name`` is what errors call it.

    A last line that was cut in the middle is taken as not written. Raises ``InputError`` with the line for anything
    else that is not as it should be.
    """
    reader = _Reader(name)
    for number, line, whole in _split(data):
        reader.number = number
        if number > MAX_LINES:
            raise reader.error(f"more than {MAX_LINES} lines")
        found = _object(line, f"{name}:{number}", whole)
        if found is None:
            break
        reader.take(_decoded(found, name, number))
    return reader.finished()


def _split(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield each line with its number, and whether its end is there."""
    at, number = 0, 0
    while at < len(data):
        end = data.find(b"\n", at)
        number += 1
        yield number, data[at : end if end >= 0 else len(data)], end >= 0
        at = end + 1 if end >= 0 else len(data)


def _object(line: bytes, where: str, whole: bool) -> dict[str, object] | None:
    if len(line) > MAX_LINE:
        raise InputError(f"a line of more than {MAX_LINE} bytes", where)
    try:
        found = json.loads(line.decode(), object_pairs_hook=_pairs, parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError):
        if not whole:
            return None
        raise InputError("not a line of JSON with whole numbers and no key twice", where) from None
    if not isinstance(found, dict):
        raise InputError("not an object", where, _HINT)
    return found


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key that occurs twice")
    return found


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not read")


def _decoded(data: dict[str, object], name: str, number: int) -> Line:
    kind = data.get("line")
    if not isinstance(kind, str) or kind not in LINES:
        raise InputError("not a line of a trace", f"{name}:{number}", _HINT)
    return document.decode(document.from_plain(data, name, number), LINES[kind])
