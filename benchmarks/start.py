"""How long the quick commands take to start, and how fast the codecs read, beside what they can be compared with.

``python benchmarks/start.py`` prints a table and writes ``benchmarks/results/start.json``. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from timing import ENOUGH, Timed, ratio, spent_on, write

from mpwake.evidence.fdt import Tree, cells, decode_fdt, encode_fdt, strings
from mpwake.evidence.madt import decode_madt, encode_lapic, encode_madt, encode_wakeup, encode_x2apic

RESULTS = Path(__file__).parent / "results/start.json"
MADT_SIZE, FDT_SIZE = 64 << 10, 1 << 20
MIB = 1 << 20


@attrs.frozen
class Measured(Timed):
    """One line of the table: a name, what it is compared with, and seconds of CPU time of each run.

    ``size`` is how many bytes a run reads, or 0 where it reads none.
    """

    name: str
    against: str
    seconds: tuple[float, ...]
    size: int = 0


def commands() -> dict[str, list[str]]:
    """Return what is started, by the name that the table gives it."""
    script = Path(sys.executable).with_name("mpwake")
    mpwake = [str(script)] if script.is_file() else [sys.executable, "-m", "mpwake"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "mpwake --help": [*mpwake, "--help"],
        "mpwake list requirements": [*mpwake, "list", "requirements"],
        "mpwake explain MADT-07": [*mpwake, "explain", "MADT-07"],
    }


def started(runs: int) -> list[Measured]:
    """Start every command once to warm up, then all of them in turn, ``runs`` times."""
    every = commands()
    rounds = [{name: spent_on(words) for name, words in every.items()} for _ in range(runs + 1)][1:]
    return [Measured(name, "python -c pass", tuple(one[name] for one in rounds)) for name in every]


def madt_of(size: int) -> bytes:
    """Return a MADT of nearly ``size`` bytes, never more: processors in both forms, and a wakeup structure."""
    wakeup = encode_wakeup(1, 0x7F5E5000, 0)
    pair = [encode_lapic(0, 1, 1), encode_x2apic(1, 0x100, 1)]
    count = (size - len(encode_madt((wakeup,), 7))) // sum(map(len, pair))
    return encode_madt((*pair * count, wakeup), 7)


def fdt_of(size: int) -> bytes:
    """Return a DeviceTree blob of nearly ``size`` bytes, never more: buses with devices of four properties each."""
    few, many = (len(encode_fdt(tree_of(count))) for count in (64, 128))
    count = 64 + (size - few) * 64 // (many - few)
    while len(blob := encode_fdt(tree_of(count))) > size:
        count -= 1
    return blob


def device(number: int) -> Tree:
    """Return a device with a number of its own."""
    return {
        "compatible": strings("vendor,device", "vendor,fallback"),
        "reg": cells(0, 0x1000 * number, 0, 0x1000),
        "interrupts": cells(number, 4),
        "status": strings("okay"),
    }


def tree_of(count: int) -> Tree:
    """Return a tree of ``count`` devices, 64 to a bus."""
    root: Tree = {"#address-cells": cells(2), "#size-cells": cells(2)}
    for first in range(0, count, 64):
        numbers = range(first, min(first + 64, count))
        root[f"bus@{first:x}"] = {f"device@{number:08x}": device(number) for number in numbers}
    return root


def libfdt_walk() -> Callable[[bytes], int] | None:
    """Return a function that visits every node and property with libfdt's Python binding, or None without it."""
    try:
        import libfdt
    except ImportError:
        return None

    def walk(blob: bytes) -> int:
        fdt = libfdt.FdtRo(blob)
        node, depth, seen = 0, 0, 0
        while node >= 0 and depth >= 0:
            at = fdt.first_property_offset(node, [libfdt.NOTFOUND])
            while at >= 0:
                seen += len(fdt.get_property_by_offset(at))
                at = fdt.next_property_offset(at, [libfdt.NOTFOUND])
            node, depth = fdt.next_node(node, depth, [libfdt.NOTFOUND])
        return seen

    return walk


def repeats(call: Callable[[], object]) -> int:
    """Return how many calls make a measurement long enough."""
    begin = time.process_time()
    call()
    return max(1, int(ENOUGH / max(time.process_time() - begin, 1e-6)))


def spent_in(call: Callable[[], object], times: int) -> float:
    """Return the CPU time of one call in seconds, measured over several."""
    begin = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begin) / times


def decoded(data: bytes, readers: dict[str, Callable[[bytes], object]], runs: int) -> list[Measured]:
    """Measure readers of the same bytes in turn, ``runs`` times. The first is what the others are compared with."""
    calls = {name: (lambda reader=reader: reader(data)) for name, reader in readers.items()}
    times = {name: repeats(call) for name, call in calls.items()}
    rounds = [{name: spent_in(call, times[name]) for name, call in calls.items()} for _ in range(runs)]
    return [Measured(name, next(iter(readers)), tuple(one[name] for one in rounds), len(data)) for name in readers]


def codecs(runs: int) -> list[Measured]:
    """Measure both codecs beside sha256, and beside libfdt where that is installed."""
    madt, blob = madt_of(MADT_SIZE), fdt_of(FDT_SIZE)
    of_madt = {"sha256 of the MADT": sha256, "decode_madt": decode_madt}
    of_fdt = {"sha256 of the blob": sha256, "decode_fdt": decode_fdt}
    walk = libfdt_walk()
    if walk is not None:
        of_fdt["pylibfdt, full walk"] = walk
    return decoded(madt, of_madt, runs) + decoded(blob, of_fdt, runs)


def sha256(data: bytes) -> bytes:
    """Return a digest: a loop over all bytes in C, to compare with."""
    return hashlib.sha256(data).digest()


def rows(measured: list[Measured]) -> list[dict[str, Any]]:
    """Return the lines of the table as bare data."""
    seconds = {one.name: one.seconds for one in measured}
    return [
        {
            "name": one.name,
            "seconds": one.median,
            "quartiles": list(one.quartiles),
            "against": one.against,
            "ratio": ratio(one.seconds, seconds[one.against]) if all(seconds[one.against]) else None,
            "bytes": one.size,
            "mib_per_second": one.size / MIB / one.median if one.size and one.median else None,
        }
        for one in measured
    ]


def table(lines: list[dict[str, Any]]) -> str:
    """Return the table for people."""
    told = [f"{'':26} {'median':>10} {'ratio':>8} {'MiB/s':>9}  compared with"]
    for one in lines:
        times = f"{one['ratio']:.2f}" if one["ratio"] is not None else "-"
        speed = f"{one['mib_per_second']:.1f}" if one["mib_per_second"] else ""
        told.append(f"{one['name']:26} {one['seconds'] * 1000:7.3f} ms {times:>8} {speed:>9}  {one['against']}")
    return "\n".join(told)


def main() -> None:
    """Read the command line, measure, print, and write."""
    parser = argparse.ArgumentParser(description="Measure start-up and codecs, side by side.")
    parser.add_argument("--runs", type=int, default=11, help="runs that count, after a warm-up (default 11)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write")
    chosen = parser.parse_args()
    if chosen.runs < 1:
        parser.error("--runs: at least 1")
    lines = rows([*started(chosen.runs), *codecs(chosen.runs)])
    write(chosen.out, {"runs": chosen.runs}, lines)
    print(f"{table(lines)}\n\nCPU time, median of {chosen.runs} runs; written to {chosen.out}")


if __name__ == "__main__":
    main()
