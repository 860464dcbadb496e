"""The event stream: what a run writes, line by line, and what every report is made from.

A stream is NDJSON: a header, one event when a scenario begins and one when it is judged, and a footer. A stream
without its footer is incomplete, and no report of it may read as a pass. The classes below are the format; their
JSON Schema is ``mpwake schema events``.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TextIO

import attrs

from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import EXIT_INCOMPLETE, TABLE, Verdict, merge

SCHEMA = "mpwake-events/1"
MAX_LINE = 8 << 20
MAX_LINES = 1_000_000
MAX_ROWS = 40
MAX_PAGE = 32
INCOMPLETE = "incomplete"
CUT = "the run ended before this was judged"


@attrs.frozen
class Input:
    """One input of the run."""

    name: str = described("Path or name as given")
    kind: str = described("What it was read as: MADT, DTB, memory map, command line, AML, mailbox, platform")
    size: int = described("Bytes")
    sha256: str = described("Digest of those bytes")


@attrs.frozen
class Subject:
    """What was tested."""

    name: str = described("The target as it was named on the command line")
    inputs: tuple[Input, ...] = described("Everything that was read of it")
    notes: tuple[str, ...] = described("What the reader noticed while reading", ())


@attrs.frozen
class Selected:
    """A requirement that the run set out to judge, in one role."""

    id: str = described("Requirement id")
    role: str = described("tables, receiver or sender")
    title: str = described("The requirement in one sentence")
    area: str = described("Area of the registry")
    chapter: str = described("Chapter of the features")
    basis: str = described("What the requirement rests on")
    weight: Weight = described("What a failure counts as")
    clause: str = described("The clause in the edition of this run, or what it rests on")
    statement: str = described("The requirement in full")
    scenarios: tuple[str, ...] = described("file:line of the scenarios that judge it")


@attrs.frozen
class Header:
    """The first line: what was run, on what, held against what."""

    event: Literal["header"]
    schema: Literal["mpwake-events/1"]
    mpwake: str = described("Version of the tool")
    command: tuple[str, ...] = described("The command line after the program's name")
    started: str = described("UTC time, ISO 8601")
    seed: int = described("Seed of everything random in the run")
    edition: str = described("The edition that the run is held against")
    edition_reason: str = described("Why that one")
    target: str = described("Kind of the target")
    strict: tuple[str, ...] = described("Weights that fail the run beside conformance")
    subject: Subject = described("What was tested")
    selected: tuple[Selected, ...] = described("What was to be judged")


@attrs.frozen
class Lane:
    """A participant of mailbox traffic."""

    agent: int = described("Number of its agent; 0 is the operating system")
    name: str = described("What it is called")


@attrs.frozen
class TrafficRow:
    """Something that a participant of mailbox traffic did."""

    time: int = described("When, in steps of the run")
    lane: int = described("Who: an index into the lanes")
    kind: str = described("load, store, landing, request, return, or another kind of event")
    place: str = described("Which bytes of the mailbox a load or store touched, by the name of their field", "")
    offset: int = described("Where they begin", 0)
    width: int = described("How many they are", 0)
    value: int = described("What was loaded or stored, unsigned; of other kinds the number that belongs to it", 0)
    count: int = described("How many equal loads this stands for", 1)
    until: int = described("When the last of them was", 0)
    marked: bool = described("Whether the finding is about this", False)
    page: str = described("The first 16 bytes of the mailbox after a store that touched them, in hex", "")
    text: str = described("What else there is to say", "")

    def __attrs_post_init__(self) -> None:
        _check_page(self.page, (0, MAX_PAGE))


@attrs.frozen
class Traffic:
    """Mailbox traffic around one event, in the order that it was seen in."""

    lanes: tuple[Lane, ...] = described("The participants that the rows name")
    rows: tuple[TrafficRow, ...] = described("What they did, 40 rows at most")
    page: str = described("The first 16 bytes of the mailbox before the first row, in hex")
    earlier: int = described("Events before the first row that are not shown, but for loads and console lines", 0)
    later: int = described("Events after the last row that are not shown, but for loads and console lines", 0)
    loads: int = described("Loads between the rows that are not shown", 0)
    console: int = described("Console lines between the rows that are not shown", 0)

    def __attrs_post_init__(self) -> None:
        _check_page(self.page, (MAX_PAGE,))
        if len(self.rows) > MAX_ROWS:
            raise ValueError(f"{len(self.rows)} rows of traffic, more than {MAX_ROWS}")
        if len(self.lanes) > MAX_ROWS:
            raise ValueError(f"{len(self.lanes)} participants in the traffic, more than {MAX_ROWS}")
        if any(not 0 <= row.lane < len(self.lanes) for row in self.rows):
            raise ValueError(f"a row of traffic names none of its {len(self.lanes)} participants")


def _check_page(page: str, lengths: tuple[int, ...]) -> None:
    if len(page) not in lengths or not set(page) <= set("0123456789abcdef"):
        raise ValueError(f"{page[:MAX_PAGE]!r} is not the first {MAX_PAGE // 2} bytes of the mailbox in hex")


@attrs.frozen
class Shown:
    """A piece of evidence: marked bytes, or text, and mailbox traffic as data beside its text."""

    name: str = described("What it was taken from")
    offset: int = described("Where the bytes begin in it")
    data: str = described("The bytes, in hex")
    marks: tuple[tuple[int, ...], ...] = described("Pairs of offset and length, from the start of the whole")
    text: str = described("Evidence that is not bytes")
    traffic: Traffic | None = described("The mailbox traffic that the text tells", None)


@attrs.frozen
class Seen:
    """One thing that a check looked at."""

    ok: bool = described("Whether it is as required")
    weight: Weight = described("What it counts as when it is not")
    found: str = described("What was found")
    expected: str = described("What is required")
    exhibits: tuple[Shown, ...] = described("The evidence", ())


@attrs.frozen
class Judged:
    """The verdict of one scenario on one requirement."""

    id: str = described("Requirement id")
    verdict: Verdict = described("The verdict")
    reason: str = described("Why, in one sentence; empty for a plain pass", "")
    seen: tuple[Seen, ...] = described("What the check looked at", ())


@attrs.frozen
class Step:
    """One step of a scenario."""

    text: str = described("Keyword and sentence")
    status: str = described("passed, failed, skipped, undefined, error")


@attrs.frozen
class Started:
    """A scenario begins."""

    event: Literal["started"]
    file: str = described("file:line")
    name: str = described("Name of the scenario")
    role: str = described("Role that it is run in")


@attrs.frozen
class Finished:
    """A scenario was judged."""

    event: Literal["scenario"]
    file: str = described("file:line")
    name: str = described("Name of the scenario")
    feature: str = described("Name of its feature")
    role: str = described("Role that it was run in")
    judged: tuple[Judged, ...] = described("A verdict for each requirement that it is tagged with")
    steps: tuple[Step, ...] = described("Its steps")
    duration: float = described("Seconds")


@attrs.frozen
class Footer:
    """The last line: the run was finished, and this is what it came to."""

    event: Literal["footer"]
    complete: Literal[True]
    verdict: Verdict = described("Verdict of the run")
    exit_code: int = described("What the command exited with")
    counts: dict[str, int] = described("Requirements by verdict")
    finished: str = described("UTC time, ISO 8601")


Event = Header | Started | Finished | Footer
KINDS: dict[str, type[Event]] = {"header": Header, "started": Started, "scenario": Finished, "footer": Footer}
Listener = Callable[[Event], None]


@attrs.frozen
class Result:
    """What a run says of one requirement in one role, merged over its scenarios."""

    selected: Selected
    verdict: Verdict
    reason: str
    weight: Weight
    scenarios: tuple[Finished, ...]

    @property
    def judged(self) -> tuple[Judged, ...]:
        """The verdicts of its scenarios."""
        return tuple(one for scenario in self.scenarios for one in scenario.judged if one.id == self.selected.id)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """All that was looked at."""
        return tuple(seen for one in self.judged for seen in one.seen)


@attrs.frozen
class Run:
    """A whole run, or what there is of it."""

    header: Header
    results: tuple[Result, ...]
    footer: Footer | None

    @property
    def complete(self) -> bool:
        """Whether the run was finished."""
        return self.footer is not None

    @property
    def verdict(self) -> str:
        """The verdict of the run, or ``incomplete``."""
        return self.footer.verdict.value if self.footer else INCOMPLETE

    @property
    def exit_code(self) -> int:
        """What a command that reports this run exits with."""
        return self.footer.exit_code if self.footer else EXIT_INCOMPLETE

    @property
    def counts(self) -> dict[str, int]:
        """Requirements by verdict, in the order of the verdict table."""
        counted = collections.Counter(result.verdict for result in self.results)
        return {verdict.value: counted[verdict] for verdict in Verdict if counted[verdict]}

    def counts_against(self, result: Result) -> bool:
        """Say whether a failure or an open question in this result decides the verdict of the run."""
        return result.weight is Weight.CONFORMANCE or result.weight.value in self.header.strict


def _merged(selected: Selected, scenarios: list[Finished], complete: bool) -> Result:
    judged = [one for scenario in scenarios for one in scenario.judged if one.id == selected.id]
    unfinished = len(scenarios) < len(selected.scenarios)
    if not judged or (unfinished and not complete):
        cut = Verdict.INCONCLUSIVE if not judged else merge([Verdict.INCONCLUSIVE, *(one.verdict for one in judged)])
        why = next((one.reason for one in judged if one.verdict is cut), CUT)
        return Result(selected, cut, why, selected.weight, tuple(scenarios))
    verdict = merge(one.verdict for one in judged)
    reason = next((one.reason for one in judged if one.verdict is verdict and one.reason), "")
    bad = [seen.weight for one in judged for seen in one.seen if not seen.ok]
    order = list(Weight)
    weight = min(bad, key=order.index) if verdict is Verdict.FAIL and bad else selected.weight
    return Result(selected, verdict, reason, weight, tuple(scenarios))


def fold(events: Iterable[Event]) -> Run:
    """Put a stream together: merge the scenarios of each requirement, and keep the footer if there is one."""
    header: Header | None = None
    footer: Footer | None = None
    finished: dict[tuple[str, str], list[Finished]] = {}
    for event in events:
        if isinstance(event, Header):
            header = event
        elif isinstance(event, Footer):
            footer = event
        elif isinstance(event, Finished):
            for one in event.judged:
                finished.setdefault((one.id, event.role), []).append(event)
    if header is None:
        raise InputError("no header: this is not an event stream of mpwake")
    results = tuple(_merged(one, finished.get((one.id, one.role), []), footer is not None) for one in header.selected)
    return Run(header, results, footer)


def verdict_of(run: Run) -> Verdict:
    """Return the verdict of a run from its results.

    Passes, failures and open questions count when their weight does; errors always count. A run in which nothing
    that counts was decided is not a success: it is ``not-applicable`` when the requirements do not speak of what was
    tested, and ``not-testable`` when the evidence was missing.
    """
    verdicts = [one.verdict for one in run.results if one.verdict is Verdict.ERROR or run.counts_against(one)]
    merged = merge(verdicts)
    nothing = merged is Verdict.NOT_TESTABLE and Verdict.NOT_APPLICABLE in verdicts
    return Verdict.NOT_APPLICABLE if nothing else merged


def close(run: Run, finished: str) -> Footer:
    """Return the footer of a finished run."""
    verdict = verdict_of(run)
    return Footer("footer", True, verdict, TABLE[verdict].exit_code, run.counts, finished)


def to_json(value: Any) -> Any:
    """Return an event, or a part of one, as bare data for JSON."""
    return attrs.asdict(value, value_serializer=lambda _owner, _field, item: getattr(item, "value", item))


class Stream:
    """Appends events to a file, a line at a time, each flushed before the next thing happens."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, event: Event) -> None:
        """Write one event."""
        self._file.write(json.dumps(to_json(event), separators=(",", ":")) + "\n")
        self._file.flush()


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _parse_line(line: str, number: int, name: str) -> Event:
    where = f"{name}:{number}"
    if len(line) >= MAX_LINE:
        raise InputError(f"a line of {MAX_LINE} characters or more", where)
    try:
        data = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InputError("not a line of JSON", where) from None
    kind = data.get("event") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError("not an event", where, f"an object whose 'event' is one of {', '.join(KINDS)}")
    return document.decode(document.from_plain(data, name, number), KINDS[kind])


def read(path: Path) -> Iterator[Event]:
    """Read a stream back. A last line that was cut in the middle is taken as not written.

    Raises ``InputError`` with ``file:line`` for anything else that is not an event.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), 1):
                if not line.endswith("\n") and len(line) < MAX_LINE:
                    return
                if number > MAX_LINES:
                    raise InputError(f"more than {MAX_LINES} events", f"{path}:{number}")
                yield _parse_line(line, number, str(path))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start:#x} of a block", str(path)) from None


def load(path: Path) -> Run:
    """Read a whole run back from its stream, or from the directory that it was written to."""
    return fold(read(path / "events.ndjson" if path.is_dir() else path))
