"""The readers of tables, and of the suite's own files, as what is fuzzed.

Whatever is read, there is a result or the reader's own error, and it does not take long. Where other programs that read
the same are there, they are asked too: where they disagree, the case is kept, to be explained.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import attrs
from hypothesis.strategies import SearchStrategy

from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.fdt import Fdt, Node, decode_fdt
from mpwake.evidence.madt import Entry, Madt, decode_madt
from mpwake.evidence.memory_map import parse_e820
from mpwake.evidence.tables import Tables, declared_edition
from mpwake.fuzz import mutate
from mpwake.fuzz.binding import complaints_of_dtschema
from mpwake.fuzz.explained import told_apart
from mpwake.fuzz.fwts import asked_fwts, false_alarm, ours_for, type_of
from mpwake.fuzz.others import entries_of_iasl, rewritten_by_dtc
from mpwake.fuzz.problem import BREAKS, Examined, Job, Problem, drawn, shape_of
from mpwake.fuzz.write import atomically, save
from mpwake.model.scenario import Drawn, Interleaving, Origin, Reading, ScenarioFile
from mpwake.spec import document
from mpwake.spec.editions import NEWEST
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import judge_all
from mpwake.targets.model import Platform

READ, REFUSED = "an input was read", "an input was refused"
T = TypeVar("T")
LIMIT = 2.0
ROW = 16
Read = Callable[[bytes], object]
Compare = Callable[[bytes, Any], tuple[Problem, ...] | None]


@attrs.frozen
class Reader:
    """What reads an input, which errors are its own, how inputs are drawn, and who else reads the same.

    ``compare`` are other programs by their names: each returns where it disagrees, and None where it cannot be asked.
    """

    read: Read
    errors: type[Exception]
    strategy: Callable[[], SearchStrategy[bytes]]
    suffix: str
    compare: Mapping[str, Compare] = MappingProxyType({})
    limit: float = LIMIT


@attrs.frozen
class Judged:
    """A table that was read, and the requirements that fail on it."""

    table: Any
    failed: frozenset[str]


def _judged(table: object, tables: Tables) -> Judged:
    judged = judge_all(tables, Role.TABLES)
    return Judged(table, frozenset(id for id, one in judged.items() if one.verdict is Verdict.FAIL))


def read_madt(data: bytes) -> Judged:
    """Decode a MADT, and ask every check of tables."""
    madt = decode_madt(data)
    return _judged(madt, Tables(madt=madt, edition=declared_edition(madt) or NEWEST))


def read_dtb(data: bytes) -> Judged:
    """Decode a DeviceTree blob, and ask every check of tables."""
    fdt = decode_fdt(data)
    return _judged(fdt, Tables(fdt=fdt))


def read_map(data: bytes) -> Judged:
    """Read a memory map, and ask every check of tables."""
    found = parse_e820(data.decode("utf-8", "backslashreplace"))
    return _judged(found, Tables(memory_map=found))


def read_yaml(data: bytes) -> object:
    """Read a document as each of those that it may be; raises the error of the last."""
    node = document.parse(data, "drawn.yaml")
    for kind in (Platform, ScenarioFile, Drawn, Interleaving):
        try:
            return document.decode(node, kind)
        except InputError:
            continue
    return document.decode(node, Platform)


def read_trace(data: bytes) -> object:
    """Read a trace file."""
    from mpwake.targets.trace.read import parse

    return parse(data, "drawn.ndjson")


def read_firmware(data: bytes) -> object:
    """Take an image apart."""
    from mpwake.targets.firmware.image import read_image

    return _from_file(data, "drawn.fd", read_image)


def read_kernel(data: bytes) -> object:
    """Read the header of a kernel image, and what it is packed with."""
    from mpwake.targets.kernel.image import read_image

    return _from_file(data, "drawn.bzImage", read_image)


def read_events(data: bytes) -> object:
    """Read the event stream of a run, and work out its verdict again."""
    from mpwake.suite.events import load, verdict_of

    return verdict_of(_from_file(data, "drawn.ndjson", load))


def _from_file(data: bytes, name: str, read: Callable[[Path], T]) -> T:
    with tempfile.TemporaryDirectory(prefix="mpwake-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read(path)


def _recordings() -> SearchStrategy[bytes]:
    from mpwake.fuzz.samples import trace_lines

    return mutate.recordings(trace_lines())


def _streams() -> SearchStrategy[bytes]:
    from mpwake.fuzz.samples import event_lines

    return mutate.recordings(event_lines())


def _with_iasl(data: bytes, found: Judged) -> tuple[Problem, ...] | None:
    theirs, madt = entries_of_iasl(data), found.table
    if theirs is None or madt.broken or madt.cut:
        return None
    ours = [(one.offset, one.type) for one in madt.entries]
    if theirs == ours:
        return ()
    pairs = enumerate(zip(ours, theirs, strict=False))
    here = next((at for at, (one, other) in pairs if one != other), min(len(ours), len(theirs)))
    what = "ends" if here == len(theirs) else "goes on" if here == len(ours) else "sees another entry"
    last = madt.entries[here - 1] if 0 < here <= len(ours) else None
    behind = f"an entry of type {last.type:#04x} with Length {last.length}" if last else "the header"
    shape, told = _of_iasl(what, last), f"iasl {what} behind {behind}"
    return (Problem("", shape, told, f"{len(ours)} entries", kind="differs from iasl"),)


def _of_iasl(what: str, last: Entry | None) -> str:
    if last is None:
        return f"iasl {what} behind the header"
    if last.length == 2:
        return f"iasl {what} behind an entry of Length 2"
    usual = {0: 8, 9: 16, 0x10: 24}.get(last.type)
    length = "" if usual is None else " with its usual Length" if usual == last.length else " with another Length"
    return f"iasl {what} behind an entry of {f'type {last.type:#04x}' if usual else 'another type'}{length}"


def _with_fwts(data: bytes, found: Judged) -> tuple[Problem, ...] | None:
    # The requirements of the table's form are of a table that has a mailbox.
    theirs = asked_fwts(data) if found.table.wakeups and not found.table.cut else None
    if theirs is None:
        return None
    revision = data[8]
    return tuple(_of_fwts(one, revision) for one in theirs if _alone(one, found.failed, revision))


def _alone(finding: tuple[str, str], failed: frozenset[str], revision: int) -> bool:
    """Say whether a finding is one of the mailbox or of the table's form, and none of ours."""
    # What stands behind a broken chain, and in a second wakeup structure, is not judged: that it is there is.
    wanted = ours_for(*finding)
    return bool(wanted) and (false_alarm(finding, revision) or not (wanted | {"MADT-13", "MADT-15"}) & failed)


def _of_fwts(finding: tuple[str, str], revision: int) -> Problem:
    label, text = finding
    if false_alarm(finding, revision):
        shape = f"{label} for type 16 under revision 5"
    else:
        named = type_of(text)
        shape = label if named is None else f"{label} for type {named}"
    return Problem("", shape, f"fwts finds {label}: {text}", "nothing", kind="differs from fwts")


def _with_dtc(data: bytes, found: Judged) -> tuple[Problem, ...] | None:
    asked = rewritten_by_dtc(data)
    if asked is None:
        return None
    accepted, blob = asked
    fdt: Fdt = found.table
    if accepted and fdt.damage:
        first = fdt.damage[0]
        early = re.search("end of the structure block|no NUL", str(first))
        shape = f"{shape_of(first.expected)}{' (the structure block ends before)' if early else ''}"
        return (_of_dtc(f"dtc takes what we call damaged: expected {shape}", str(first)),)
    if not accepted and not fdt.damage:
        return (_of_dtc("dtc refuses what we find sound", "no damage"),)
    if accepted and _plain(decode_fdt(blob).root) != _plain(fdt.root):
        return (_of_dtc("dtc reads another tree", "the same tree"),)
    return ()


def _of_dtc(what: str, ours: str) -> Problem:
    return Problem("", what, what, ours, kind="differs from dtc")


def _with_dtschema(data: bytes, found: Judged) -> tuple[Problem, ...] | None:
    """Whatever dt-schema has against the mailbox, a requirement has too."""
    if found.table.damage:
        return None
    theirs = complaints_of_dtschema(data)
    if theirs is None:
        return None
    if not theirs or any(id.startswith(("DT-", "MEM-")) for id in found.failed):
        return ()
    shape = shape_of(theirs[0].partition(": ")[2])
    return (Problem("", shape, f"dt-schema says {theirs[0]}", "nothing", kind="differs from dt-schema"),)


def _plain(node: Node) -> object:
    properties = [(one.name, one.value) for one in node.properties]
    return node.name, properties, [_plain(one) for one in node.children]


READERS: dict[str, Reader] = {
    "tables:madt": Reader(read_madt, CodecError, mutate.madts, "dat", {"iasl": _with_iasl, "fwts": _with_fwts}),
    "tables:dtb": Reader(read_dtb, CodecError, mutate.trees, "dtb", {"dtc": _with_dtc, "dt-schema": _with_dtschema}),
    "tables:memory-map": Reader(read_map, CodecError, mutate.maps, "txt"),
    "suite:yaml": Reader(read_yaml, InputError, mutate.documents, "yaml"),
    "suite:trace": Reader(read_trace, InputError, _recordings, "ndjson"),
    "suite:events": Reader(read_events, InputError, _streams, "ndjson"),
    "suite:kernel": Reader(read_kernel, InputError, mutate.kernels, "bzImage"),
    "suite:image": Reader(read_firmware, InputError, mutate.images, "fd", limit=20.0),
}


def examined(one: Reader, data: bytes) -> Examined:
    """Read an input, and tell of what must not be."""
    began, result, refused = time.process_time(), None, False
    try:
        result = one.read(data)
    except one.errors:
        refused = True
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Examined((Problem("", shape_of(text), text, "a result, or an error of the reader's", kind=BREAKS),))
    seconds = time.process_time() - began
    problems: tuple[Problem, ...] = ()
    if seconds > one.limit:
        found = f"{seconds:.1f} seconds for {len(data)} bytes"
        problems = (Problem("", "it takes long", found, f"at most {one.limit:g} seconds", kind=BREAKS),)
    sometimes = Counter({READ: int(not refused), REFUSED: int(refused)})
    for name, compare in one.compare.items() if not refused else ():
        other = compare(data, result)
        sometimes[f"{name} was asked"] += other is not None
        fresh, explained = told_apart(other or ())
        problems += fresh
        sometimes.update(explained)
    return Examined(problems, sometimes, frozenset(_marks(result)), len(data) if not refused else 0)


def _marks(result: object) -> Iterator[object]:
    table = result.table if isinstance(result, Judged) else result
    if isinstance(table, Madt):
        yield from {(one.type, min(one.length, 32)) for one in table.entries}
        yield shape_of(str(table.broken))
    elif isinstance(table, Fdt):
        yield from {shape_of(one.expected) for one in table.damage}
    else:
        yield type(table).__name__
    if isinstance(result, Judged):
        yield from result.failed


def told(data: bytes) -> tuple[str, ...]:
    """Write an input as lines: as text where it is text, else its bytes."""
    text = data.decode("utf-8", "replace")
    if "\ufffd" not in text and not re.search(r"[\x00-\x08\x0e-\x1f]", text):
        return tuple(text.splitlines()[:40])
    rows = range(0, min(len(data), 40 * ROW), ROW)
    return tuple(f"{at:08x}  {data[at : at + ROW].hex(' ')}" for at in rows)


def input_job(name: str) -> Job:
    """Return the fuzzing of a reader. Raises ``InputError`` where there is none of that name."""
    if name not in READERS:
        raise InputError(f"nothing to fuzz is called {name!r}", hint=did_you_mean(name, READERS))
    one = READERS[name]

    def write(data: bytes, problems: tuple[Problem, ...], folder: Path, slug: str, origin: Origin) -> tuple[str, ...]:
        file = atomically(folder / f"{slug}.{one.suffix}", data)
        digest = hashlib.sha256(data).hexdigest()
        shows = tuple(problem.key for problem in problems)
        return (save(folder / f"{slug}.yaml", Reading("scenario", name, file, digest, shows, origin)), file)

    return Job(
        name=name,
        about="a result or the reader's own error, in bounded time",
        digest="",
        search=drawn(one.strategy()),
        examine=lambda data: examined(one, data),
        told=told,
        size=lambda data: (len(data), sum(data)),
        write=write,
        needed=(READ,),
    )
