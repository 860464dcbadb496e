"""The acceptance line for hostile input: 10,000 random strings and 10,000 mutated tables through everything that reads.

No codec raises anything but its own error, the tables target nothing but ``InputError``, a check nothing at all, and
no single call takes more than a second of CPU time.
"""

from __future__ import annotations

import functools
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from mpwake.evidence.acpi import HEADER, checksummed, decode_header
from mpwake.evidence.acpidump import AcpiDumpTable, format_acpidump, parse_acpidump
from mpwake.evidence.aml import find_mat
from mpwake.evidence.command_line import acpi_disabled, parse
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.fdt import Tree, cells, decode_fdt, encode_fdt, strings
from mpwake.evidence.madt import decode_madt, encode_lapic, encode_madt, encode_wakeup, encode_x2apic
from mpwake.evidence.memory_map import encode_e820, parse_e820, parse_uefi_yaml
from mpwake.evidence.tables import Tables
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.suite import events
from mpwake.suite.engine import Options, run
from mpwake.suite.mutants import judge_all, mutants, mutated
from mpwake.suite.selection import select
from mpwake.targets.model import open_model, platform_names
from mpwake.targets.tables import NAMED, open_tables

ROUNDS, EACH = 10, 1000
LIMIT = 1.0
CHECKS = 48

Codec = tuple[Callable[[bytes], object], type[Exception]]


def text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def searched(data: bytes) -> object:
    """Search bytes for _MAT, behind a header that is sound and as a table of their own."""
    head = b"SSDT" + (HEADER.size + len(data)).to_bytes(4, "little") + bytes(28)
    return find_mat(decode_header(head + data)), find_mat(decode_header(data))


CODECS: dict[str, Codec] = {
    "decode_madt": (decode_madt, CodecError),
    "decode_header": (decode_header, CodecError),
    "decode_fdt": (decode_fdt, CodecError),
    "parse_acpidump": (lambda data: parse_acpidump(text(data)), CodecError),
    "parse_e820": (lambda data: parse_e820(text(data)), CodecError),
    "find_mat": (searched, CodecError),
    "command_line.parse": (lambda data: acpi_disabled(parse(data.decode("latin-1"))), CodecError),
    "document.parse": (lambda data: document.parse(data, "f.yaml").plain(), InputError),
    "document.parse of text": (lambda data: document.parse(text(data), "f.yaml").plain(), InputError),
    "parse_uefi_yaml": (lambda data: parse_uefi_yaml(document.parse(data, "f.yaml")), InputError),
}


@attrs.define
class Gauntlet:
    """Sends bytes through everything that reads, and keeps what took longest."""

    file: Path
    slowest: float = 0.0
    name: str = ""
    raised: int = 0
    judged: int = 0

    def call(self, name: str, function: Callable[..., object], *arguments: object) -> object:
        begun = time.process_time()
        try:
            return function(*arguments)
        finally:
            spent = time.process_time() - begun
            if spent > self.slowest:
                self.slowest, self.name = spent, name

    def codecs(self, data: bytes) -> None:
        """Decode the bytes with every codec; none raises what is not its own."""
        for name, (function, error) in CODECS.items():
            try:
                self.call(name, function, data)
            except error:
                self.raised += 1
        try:
            self.call("events.load", events.load, self.file)
        except InputError:
            self.raised += 1

    def target(self, kind: str) -> None:
        """Open the file as a target would, and ask every check about it, alone and on a whole platform."""
        try:
            target = self.call("open_tables", open_tables, f"{kind}{self.file}", (), Path())
        except InputError:
            self.raised += 1
            return
        tables = target.tables  # type: ignore[attr-defined]
        for one in (tables, completed(tables)):
            judgements = self.call("judge_all", judge_all, one, Role.TABLES)
            assert len(judgements) == CHECKS  # type: ignore[arg-type]
        self.judged += 1

    def send(self, data: bytes, kind: str) -> None:
        """Send one input through everything."""
        self.file.write_bytes(data)
        self.codecs(data)
        self.target("")
        if kind:
            self.target(f"{kind}:")


def completed(tables: Tables) -> Tables:
    """Fill what is missing with what a whole platform has, so that every check finds something to look at."""
    whole = open_platform("both")
    missing = {field.name: getattr(whole, field.name) for field in attrs.fields(Tables) if field.name != "edition"}
    given = {name: getattr(tables, name) for name in missing if getattr(tables, name) not in (None, ())}
    return attrs.evolve(tables, **{**missing, "mailbox": bytes(16), "reset_code_size": 0x98, **given})


@functools.cache
def open_platform(name: str) -> Tables:
    tables = open_model(name).tables
    assert tables is not None
    return tables


@functools.cache
def binaries() -> tuple[bytes, ...]:
    """Return the MADTs, DTBs and SSDTs of every platform and of every mutant."""
    pieces = [open_model(name).tables for name in platform_names()]
    pieces += [mutated(mutant, node) for mutant, node in mutants() if mutant.role is Role.TABLES]
    found = [one.data for tables in pieces if tables for one in (tables.madt, tables.fdt, *tables.aml) if one]
    return tuple(dict.fromkeys(found))


@functools.cache
def texts() -> tuple[bytes, ...]:
    """Return a dump, a boot log, memory maps, a platform, a target, and a command line, as text."""
    tables = open_platform("reference")
    assert tables.madt is not None
    assert tables.memory_map is not None
    return (
        format_acpidump([AcpiDumpTable("APIC", 0x1000, tables.madt.data, 0)] * 2).encode(),
        encode_e820(tables.memory_map).encode(),
        b"uefi_memory_map:\n  - {type: EfiACPIMemoryNVS, start: 0x1000, pages: 1}\n  - {type: 4, start: 0, pages: 1}\n",
        b"memory_map:\n  - {start: 0x1000, end: 0x2000, type: acpi-nvs}\n",
        b'console=ttyS0 "quoted value" a="b c" acpi=off acpi=force -- init=1',
    )


def flip(rng: random.Random, data: bytearray) -> bytearray:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def overwrite(rng: random.Random, data: bytearray) -> bytearray:
    if data:
        at = rng.randrange(len(data))
        new = rng.choice(
            (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x7f", rng.randbytes(rng.randint(1, 8)))
        )
        data[at : at + len(new)] = new[: len(data) - at]
    return data


def insert(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    data[at:at] = rng.randbytes(rng.randint(1, 16))
    return data


def delete(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    del data[at : at + rng.randint(1, 16)]
    return data


def truncate(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randint(0, len(data))]


def duplicate(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randint(0, len(data))
    part = data[start : start + rng.randint(1, 64)]
    at = rng.randint(0, len(data))
    data[at:at] = part * rng.randint(1, 4)
    return data


def splice(rng: random.Random, data: bytearray) -> bytearray:
    other = rng.choice((*binaries(), *texts()))
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


MUTATIONS = (flip, overwrite, insert, delete, truncate, duplicate, splice)


def mutation(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes changed one to four times; of a MADT, now and then with its checksum mended."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        mutant = rng.choice(MUTATIONS)(rng, mutant)
    return checksummed(bytes(mutant)) if len(mutant) > HEADER.size and not rng.randrange(8) else bytes(mutant)


def kinds(rng: random.Random) -> str:
    """Return a kind that the file is called in every second round."""
    return rng.choice(("", *NAMED)) if rng.randrange(2) else ""


@pytest.fixture
def gauntlet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gauntlet]:
    """Yield a gauntlet; what it found slowest is recorded, and must stay below the limit."""
    one = Gauntlet(tmp_path / "input")
    yield one
    # Not record_property(), which warns under the JUnit schema that pytest writes by default.
    request.node.user_properties.append(("slowest", f"{one.name}: {one.slowest:.3f} s of CPU time"))
    assert one.slowest <= LIMIT, f"{one.name} took {one.slowest:.3f} s of CPU time"


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_bytes_are_read_without_any_other_error(seed: int, gauntlet: Gauntlet) -> None:
    rng = random.Random(f"random {seed}")
    heads = (b"", b"", b"APIC", b"APIC\x80\0\0\0", b"SSDT", b"\xd0\x0d\xfe\xed\0\0", b"{", b"- ", b'{"event":')
    for _ in range(EACH):
        gauntlet.send(rng.choice(heads) + rng.randbytes(rng.randint(0, 512)), kinds(rng))
    assert gauntlet.raised > EACH


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_mutated_tables_are_read_without_any_other_error(seed: int, gauntlet: Gauntlet) -> None:
    rng = random.Random(f"mutated {seed}")
    for _ in range(EACH):
        gauntlet.send(mutation(rng, rng.choice(binaries())), kinds(rng))
    # Most of what was changed is still something that the checks can look at.
    assert gauntlet.judged > EACH / 2


@pytest.mark.parametrize("seed", range(2))
def test_mutated_texts_are_read_without_any_other_error(seed: int, gauntlet: Gauntlet) -> None:
    rng = random.Random(f"texts {seed}")
    for _ in range(EACH):
        gauntlet.send(mutation(rng, rng.choice(texts())), kinds(rng))
    assert gauntlet.judged > EACH / 8


def test_mutated_event_streams_are_read_without_any_other_error(gauntlet: Gauntlet) -> None:
    target = open_model("reference").settled()
    whole = gauntlet.file.with_suffix(".ndjson")
    with whole.open("w", encoding="utf-8") as file:
        run(target, select(("MADT-07", "MEM-16"), target.roles), Options(), events.Stream(file))
    data, rng = whole.read_bytes(), random.Random("streams")
    loaded = 0
    for _ in range(2 * EACH):
        gauntlet.file.write_bytes(mutation(rng, data))
        try:
            gauntlet.call("events.load", events.load, gauntlet.file)
            loaded += 1
        except InputError as error:
            assert error.message
    assert 0 < loaded < 2 * EACH


@pytest.mark.parametrize("change", MUTATIONS)
def test_each_mutation_changes_something(change: Callable[[random.Random, bytearray], bytearray]) -> None:
    rng, whole = random.Random(0), binaries()[0]
    assert sum(change(rng, bytearray(whole)) != whole for _ in range(50)) > 40
    assert change(rng, bytearray()) is not None


def test_what_is_mutated_are_tables_of_every_kind() -> None:
    assert {data[:4] for data in binaries()} >= {b"APIC", b"\xd0\x0d\xfe\xed", b"SSDT"}
    assert len(binaries()) > 60


# Inputs that are not random: as large as they may be, and made to take time.


# In a process of its own, which the kernel ends when the time is over, so that a hopeless one need not be waited for.
JUDGING = f"""
import pickle, signal, sys
from mpwake.spec.requirements import Role
from mpwake.suite.mutants import judge_all
tables = pickle.load(sys.stdin.buffer)
signal.setitimer(signal.ITIMER_PROF, {LIMIT})
print(len(judge_all(tables, Role.TABLES)))
"""


def judged_within_the_limit(tables: Tables) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", JUDGING], input=pickle.dumps(tables), stdout=subprocess.PIPE, check=False
    )
    if done.returncode not in (0, -signal.SIGPROF):
        raise RuntimeError(f"the judging process ended with {done.returncode}")
    return done.returncode == 0 and int(done.stdout) == CHECKS


def mailboxes(number: int, **parent: bytes) -> Tree:
    nodes: Tree = {
        f"w@{one:x}": {"compatible": strings("intel,wakeup-mailbox"), "reg": cells(1, one << 12, 0, 0x1000)}
        for one in range(number)
    }
    two: Tree = {"#address-cells": cells(2), "#size-cells": cells(2)}
    return {**two, "reserved-memory": {**two, "ranges": b"", **parent, **nodes}}


def test_a_tree_of_many_properties_is_judged_within_the_limit() -> None:
    node: Tree = {f"p{one}": cells(one) for one in range(8_000)}
    tables = Tables(fdt=decode_fdt(encode_fdt({**mailboxes(1), "reserved-memory": {"w@0": node}})))
    assert judged_within_the_limit(tables)


def test_a_madt_of_many_processors_is_judged_within_the_limit() -> None:
    entries = (encode_lapic(0, 0, 1), *(encode_x2apic(one, one, 1) for one in range(255, 4_255)))
    tables = Tables(madt=decode_madt(encode_madt((*entries, encode_wakeup(1, 0x1000, 0)), 7)))
    assert judged_within_the_limit(tables)


def test_cells_without_end_are_judged_within_the_limit() -> None:
    node: Tree = {"compatible": strings("intel,wakeup-mailbox"), "reg": b"\x11" * (2 << 20)}
    root: Tree = {"reserved-memory": {"#address-cells": cells(0x7FFFFFFF), "w@0": node}}
    tables = Tables(fdt=decode_fdt(encode_fdt(root)))
    assert judged_within_the_limit(tables)


def test_many_nodes_beside_many_structures_are_judged_within_the_limit() -> None:
    structures = encode_wakeup(1, 0x1000, 0) * 1000
    fdt, madt = decode_fdt(encode_fdt(mailboxes(1000))), decode_madt(encode_madt((structures,), 7))
    assert judged_within_the_limit(Tables(madt=madt, fdt=fdt))
