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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from hypothesis.strategies import SearchStrategy

from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.fdt import Fdt, Node, decode_fdt
from mpwake.evidence.madt import Madt, decode_madt
from mpwake.evidence.memory_map import parse_e820
from mpwake.evidence.tables import Tables
from mpwake.fuzz import mutate
from mpwake.fuzz.others import entries_of_iasl, rewritten_by_dtc
from mpwake.fuzz.problem import BREAKS, Examined, Job, Problem, shape_of
from mpwake.fuzz.write import atomically, save
from mpwake.model.scenario import Drawn, Interleaving, Origin, Reading, ScenarioFile
from mpwake.spec import document
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.suite.mutants import judge_all
from mpwake.targets.model import Platform

READ, REFUSED, ASKED = "an input was read", "an input was refused", "another program was asked"
LIMIT = 2.0
ROW = 16
Read = Callable[[bytes], object]
Compare = Callable[[bytes, Any], tuple[bool, tuple[Problem, ...]]]


@attrs.frozen
class Reader:
    """What reads an input, which errors are its own, how inputs are drawn, and who else reads the same.

    ``needed`` is what must happen once: an image that can be taken apart is never drawn.
    """

    read: Read
    errors: type[Exception]
    strategy: Callable[[], SearchStrategy[bytes]]
    suffix: str
    compare: Compare = lambda _data, _found: (False, ())
    limit: float = LIMIT
    needed: str = READ


def _judged(tables: Tables) -> None:
    judge_all(tables, Role.TABLES)


def read_madt(data: bytes) -> Madt:
    """Decode a MADT, and ask every check of tables."""
    madt = decode_madt(data)
    _judged(Tables(madt=madt))
    return madt


def read_dtb(data: bytes) -> Fdt:
    """Decode a DeviceTree blob, and ask every check of tables."""
    fdt = decode_fdt(data)
    _judged(Tables(fdt=fdt))
    return fdt


def read_map(data: bytes) -> object:
    """Read a memory map, and ask every check of tables."""
    found = parse_e820(data.decode("utf-8", "backslashreplace"))
    _judged(Tables(memory_map=found))
    return found


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

    with tempfile.TemporaryDirectory(prefix="mpwake-") as folder:
        path = Path(folder) / "drawn.fd"
        path.write_bytes(data)
        return read_image(path)


def _recordings() -> SearchStrategy[bytes]:
    from mpwake.model.probe import Probe, Request, Schedule, agent, trial
    from mpwake.targets.trace.form import lines_of

    probe = Probe("a processor is woken", (1,), (Request("wake", 1, 0x9A000),))
    trace = trial(agent("acpi-6.6"), probe, Schedule("sc", 0))
    head = {"line": "header", "format": "mpwake-trace/1", "target": "drawn", "roles": [{"role": "receiver"}]}
    lines = [head, *lines_of(trace, "receiver", (probe.says,)), {"line": "footer"}]
    return mutate.recordings(tuple(dict(one) for one in lines if isinstance(one, dict)))


def _with_iasl(data: bytes, found: Madt) -> tuple[bool, tuple[Problem, ...]]:
    theirs = entries_of_iasl(data)
    if theirs is None or found.broken or found.cut:
        return theirs is not None, ()
    ours = [(one.offset, one.type) for one in found.entries]
    if theirs == ours:
        return True, ()
    here = next(
        (at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(ours), len(theirs)),
    )
    kind, size = (found.entries[here].type, found.entries[here].length) if here < len(ours) else (0, 0)
    what = "ends" if here == len(theirs) else "goes on" if here == len(ours) else "sees another entry"
    told = f"iasl {what} at an entry of type {kind:#04x} with Length {size}"
    known = {0: 8, 9: 16, 0x10: 24}
    usual = "its usual Length" if known.get(kind) == size else "another Length"
    sort = (
        f"iasl {what} at an entry of type {kind:#04x} with {usual}"
        if kind in known
        else f"iasl {what} at an entry of another type"
    )
    return True, (Problem("", sort, told, f"{len(ours)} entries", kind="differs from iasl"),)


def _with_dtc(data: bytes, found: Fdt) -> tuple[bool, tuple[Problem, ...]]:
    asked = rewritten_by_dtc(data)
    if asked is None:
        return False, ()
    accepted, blob = asked
    damage = "; ".join(dict.fromkeys(f"expected {shape_of(one.expected)}" for one in found.damage[:1]))
    if accepted and damage:
        return True, (_of_dtc(f"dtc takes what we call damaged: {damage}", str(found.damage[0])),)
    if not accepted and not damage:
        return True, (_of_dtc("dtc refuses what we find sound", "no damage"),)
    if accepted and _plain(decode_fdt(blob).root) != _plain(found.root):
        return True, (_of_dtc("dtc reads another tree", "the same tree"),)
    return True, ()


def _of_dtc(what: str, ours: str) -> Problem:
    return Problem("", what, what, ours, kind="differs from dtc")


def _plain(node: Node) -> object:
    properties = [(one.name, one.value) for one in node.properties]
    return node.name, properties, [_plain(one) for one in node.children]


READERS: dict[str, Reader] = {
    "tables:madt": Reader(read_madt, CodecError, mutate.madts, "dat", _with_iasl),
    "tables:dtb": Reader(read_dtb, CodecError, mutate.trees, "dtb", _with_dtc),
    "tables:memory-map": Reader(read_map, CodecError, mutate.maps, "txt"),
    "suite:yaml": Reader(read_yaml, InputError, mutate.documents, "yaml"),
    "suite:trace": Reader(read_trace, InputError, _recordings, "ndjson"),
    "suite:image": Reader(read_firmware, InputError, mutate.images, "fd", limit=20.0, needed=REFUSED),
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
    asked, other = (False, ()) if refused else one.compare(data, result)
    sometimes = Counter({READ: int(not refused), REFUSED: int(refused), ASKED: int(asked)})
    return Examined((*problems, *other), sometimes, frozenset(_marks(result)), len(data) if not refused else 0)


def _marks(result: object) -> Iterator[object]:
    if isinstance(result, Madt):
        yield from {(one.type, min(one.length, 32)) for one in result.entries}
        yield shape_of(str(result.broken))
    elif isinstance(result, Fdt):
        yield from {shape_of(one.expected) for one in result.damage}
    else:
        yield type(result).__name__


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
        strategy=one.strategy(),
        examine=lambda data: examined(one, data),
        told=told,
        size=lambda data: (len(data), sum(data)),
        write=write,
        needed=(one.needed,),
    )
