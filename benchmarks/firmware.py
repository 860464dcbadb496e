"""How fast real machine code polls, with and without being watched, and what 64 processors of one image cost.

``python benchmarks/firmware.py [IMAGE]`` prints a table and writes ``benchmarks/results/firmware.json``. Without an
image it takes the one that MPWAKE_OVMF_2026 names, and without that it measures a bare loop alone. No time is
asserted; that every wakeup arrives where it should is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import unicorn
from timing import Timed, ratio, write
from unicorn import UC_HOOK_INSN, UC_HOOK_INSN_INVALID, UC_HOOK_INTR
from unicorn import unicorn_const as const
from unicorn.x86_const import UC_X86_INS_CPUID

from mpwake.evidence.trace import SENDER, Kind, Trace
from mpwake.model.probe import Probe, Request
from mpwake.targets.firmware import stage as staging
from mpwake.targets.firmware.drive import Trial
from mpwake.targets.firmware.image import load_module, read_image
from mpwake.targets.firmware.locate import locate
from mpwake.targets.firmware.machine import PAGE, Processor
from mpwake.targets.firmware.stage import DRIVER, Firmware, Stage, bare_stage
from mpwake.targets.firmware.tdx import Identity, Tdx

RESULTS = Path(__file__).parent / "results/firmware.json"
VARIABLE = "MPWAKE_OVMF_2026"
MANY = 64
VECTOR = 0x9A000
GOAL = 10.0
# Polls the mailbox that RBX points to; the APIC ID is in EDX. cmp word [rbx], 1; jne; cmp [rbx + 4], edx; jne;
# cmp word [rbx], 1; jne; mov rax, [rbx + 8]; mov word [rbx], 0; jmp rax. No PAUSE: Unicorn leaves its loop for each.
BARE = bytes.fromhex("66833b01 75fa 395304 75f5 66833b01 75ef 488b4308 66c7030000 ffe0")
# The same with inc rsi before it, so that it counts by itself.
COUNTING = bytes.fromhex("48ffc6 66833b01 75f7 395304 75f2 66833b01 75ec 488b4308 66c7030000 ffe0")
BARE_LAYOUT = staging.Layout(registers={"rbx": "mailbox", "rdx": "apic-id"}, confidential=False)


class Unwatched(Processor):
    """A processor whose loads and stores nobody is told of."""

    def _hook(self) -> None:
        self.uc.hook_add(const.UC_HOOK_MEM_INVALID, self._missed)
        self.uc.hook_add(UC_HOOK_INTR, self._interrupted)
        self.uc.hook_add(UC_HOOK_INSN_INVALID, self._unknown)
        self.uc.hook_add(UC_HOOK_INSN, self._cpuid, None, 1, 0, UC_X86_INS_CPUID)


@attrs.frozen
class Loop:
    """An AP loop to be measured: what it is, and the image that it is taken from, if any."""

    name: str
    image: Path | None = None

    def opened(self) -> Callable[[int], Stage]:
        """Return what parks so many processors: each runs the image's own code from the reset of a TD on."""
        if self.image is None:
            return lambda processors: bare_stage(BARE, processors, layout=BARE_LAYOUT)
        image = read_image(self.image)
        module = load_module(str(self.image), image.module, DRIVER)
        return Firmware(image, module, locate(module, str(self.image))).stage


@attrs.frozen
class Line(Timed):
    """One line of the table.

    ``seconds`` are those of each run, for one ``unit`` of work; ``amount`` is a size in MiB instead. ``ratio`` compares
    it ``against`` what is named there, ``met`` says whether it comes to the ``goal``.
    """

    name: str
    unit: str
    seconds: tuple[float, ...] = ()
    amount: float | None = None
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


# Polling


def parked(stage: Stage) -> Processor:
    """Return the first processor of a platform, in its loop and past its call to the host."""
    stage.park(1, Identity(1, 2, 1, 1), Tdx())
    one = stage.processors[1]
    seen: set[tuple[int, ...]] = set()
    while (state := tuple(one.registers().values())) not in seen:
        seen.add(state)
        done = one.step()
        assert not done.fault, done.fault
    return one


def iteration(one: Processor, mailbox: int) -> tuple[int, int]:
    """Return how many instructions an iteration of a watched processor's loop has, and how many loads of the page."""
    begin, count, loads = one.registers(), 0, 0
    while count == 0 or one.registers() != begin:
        loads += sum(mailbox <= access.address < mailbox + PAGE for access in one.step().accesses)
        count += 1
    return count, loads


def running(one: Processor, count: int) -> float:
    """Return the CPU time of so many instructions without a stop."""
    begin = time.process_time()
    done = one.run(0, count)
    spent = time.process_time() - begin
    assert not done.fault, done.fault
    return spent


def stepping(one: Processor, count: int) -> float:
    """Return the CPU time of so many instructions, one at a time, as a trial carries them out."""
    begin = time.process_time()
    for _ in range(count):
        one.step()
    return time.process_time() - begin


def unbounded(microseconds: int) -> float:
    """Return the CPU time of a poll of the bare loop while nothing bounds or watches it: it counts by itself."""
    with mock.patch.object(staging, "Processor", Unwatched):
        stage = bare_stage(COUNTING, 1, layout=BARE_LAYOUT)
    one = stage.processors[1]
    one.write(rsi=0)
    begin = time.process_time()
    one.uc.emu_start(one.rip, 0, timeout=microseconds)
    spent = time.process_time() - begin
    assert one.registers()["rsi"] > 0, "it never polled"
    return spent / one.registers()["rsi"]


def polls(loop: Loop, runs: int, scale: int) -> list[Line]:
    """Measure a loop that nobody watches, the same watched, and step by step; they take turns."""
    park = loop.opened()
    with mock.patch.object(staging, "Processor", Unwatched):
        unwatched = parked(park(1))
    stage = park(1)
    watched = parked(stage)
    length, loads = iteration(watched, stage.placed.mailbox)
    free, told, single = [], [], []
    for _ in range(runs + 1):
        free.append(running(unwatched, 400 * scale * length) / (400 * scale * loads))
        told.append(running(watched, 4 * scale * length) / (4 * scale * loads))
        assert len(watched.done.accesses) == 4 * scale * loads, "not every poll was seen"
        single.append(stepping(watched, scale * length) / (scale * loads))
    against = "unwatched"
    alone = [unbounded(100 * scale) for _ in range(runs)] if loop.image is None else []
    return [
        *([Line(f"{loop.name}, free", "poll", tuple(alone), None, against, ratio(alone, free[1:]))] if alone else []),
        Line(f"{loop.name}, nobody watches", "poll", tuple(free[1:])),
        Line(f"{loop.name}, each access told", "poll", tuple(told[1:]), None, against, ratio(told[1:], free[1:])),
        Line(f"{loop.name}, single steps", "poll", tuple(single[1:]), None, against, ratio(single[1:], free[1:])),
    ]


# Many processors


def woken(stage: Stage, seed: int) -> Trace:
    """Wake every processor of a platform in an order drawn from a seed, and assert that each is where it should be."""
    ids = tuple(range(1, MANY + 1))
    order = random.Random(seed).sample(ids, MANY)
    requests = (*(Request("wake", one, VECTOR + 0x10 * one) for one in order), Request("settle", 0, 100))
    trace = Trial(stage, Probe("all are woken", ids, requests), Tdx(), seed).run()
    assert not trace.spent, "the trial was not finished"
    landed = {trace.ids[one.agent]: one.value for one in trace.of(Kind.LANDING)}
    assert landed == {one: VECTOR + 0x10 * one for one in ids}, "not everybody landed at the own vector"
    acknowledged = [trace.ids[one.agent] for one in trace.stores() if one.agent != SENDER and one.touches(0, 2)]
    assert acknowledged == order, "not acknowledged in the order of the wakeups"
    assert trace.after[:2] == b"\0\0", "Command is not 0 at the end"
    return trace


def many(loop: Loop, runs: int) -> list[Line]:
    """Measure by the clock how long it takes to park 64 processors, and to wake them in a drawn order.

    An image is opened and taken apart before that. The CPU time is what a machine needs that has nothing else to do.
    """
    opening, parking, waking, worked = [], [], [], []
    for number in range(runs):
        start = time.perf_counter()
        park = loop.opened()
        used, begin = time.process_time(), time.perf_counter()
        opening.append(begin - start)
        stage = park(MANY)
        ready = time.perf_counter()
        woken(stage, number)
        parking.append(ready - begin)
        waking.append(time.perf_counter() - ready)
        worked.append(time.process_time() - used)
    whole = Line(f"{loop.name}, both", "boot", tuple(map(sum, zip(parking, waking, strict=True))), goal=f"< {GOAL:g} s")
    return [
        *([Line(f"{loop.name}, opened", "image", tuple(opening))] if loop.image else []),
        Line(f"{loop.name}, {MANY} APs parked", "boot", tuple(parking)),
        Line(f"{loop.name}, {MANY} APs woken", "boot", tuple(waking)),
        attrs.evolve(whole, met=whole.median < GOAL),
        Line(f"{loop.name}, both, CPU time", "boot", tuple(worked)),
    ]


def resident() -> int:
    """Return how much memory this process has, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown(loop: Loop) -> tuple[float, float]:
    """Return by how many bytes a process grows for each of 64 processors: parked, and when all have been woken."""
    park = loop.opened()
    kept = park(1)  # with what is loaded once
    before = resident()
    stage = park(MANY)
    middle = resident()
    woken(stage, 0)
    assert kept
    return (middle - before) / MANY, (resident() - before) / MANY


def memory(loop: Loop) -> list[Line]:
    """Measure memory in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        sizes = pool.submit(grown, loop).result()
    return [
        Line(f"{loop.name}, {state}", "AP", amount=size / (1 << 20))
        for state, size in zip(("parked", "woken"), sizes, strict=True)
    ]


# What is told


def shown(one: Line) -> str:
    """Return what was measured with three digits and a unit: polls as so many in a second."""
    if one.amount is not None:
        return f"{one.amount:.3g} MiB"
    if one.unit == "poll":
        return f"{1e-3 / one.median:,.0f} k/s"
    return f"{one.median:.3g} s"


def table(lines: Sequence[Line]) -> str:
    """Return the table for people."""
    told = [f"{'':34} {'median':>12}  {'of':5} {'ratio':>7}  {'':10} goal"]
    for one in lines:
        times = f"{one.ratio:.3g}" if one.ratio is not None else ""
        met = {True: "met", False: "MISSED", None: ""}[one.met]
        line = f"{one.name:34} {shown(one):>12}  {one.unit:5} {times:>7}  {one.against:10} {one.goal:8} {met}"
        told.append(line.rstrip())
    return "\n".join(told)


def rows(lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the table as bare data."""
    for one in lines:
        known = {"name": one.name, "per": one.unit, "against": one.against, "ratio": one.ratio}
        known |= {"goal": one.goal, "met": one.met}
        taken = {"seconds": one.median, "quartiles": list(one.quartiles)} if one.seconds else {"MiB": one.amount}
        yield known | taken


def measured(loops: Sequence[Loop], runs: int, scale: int) -> list[Line]:
    """Measure everything."""
    return [
        *(line for loop in loops for line in polls(loop, runs, scale)),
        *(line for loop in loops for line in memory(loop)),
        *(line for loop in loops for line in many(loop, min(runs, 5))),
    ]


def main() -> None:
    """Read the command line, measure, print, and write."""
    parser = argparse.ArgumentParser(description="Measure AP loops of real machine code, side by side.")
    parser.add_argument("image", nargs="?", type=Path, help=f"firmware image (default: what {VARIABLE} names)")
    parser.add_argument("--runs", type=int, default=7, help="runs that count, after a warm-up (default 7)")
    parser.add_argument("--scale", type=int, default=5000, help="iterations of a run of single steps (default 5000)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write")
    chosen = parser.parse_args()
    if chosen.runs < 1 or chosen.scale < 100:
        parser.error("--runs: at least 1; --scale: at least 100")
    named = os.environ.get(VARIABLE)
    image = chosen.image or (Path(named) if named else None)
    loops = [Loop("bare loop"), *([Loop("image", image)] if image else [])]
    lines = measured(loops, chosen.runs, chosen.scale)
    about = {"unicorn": unicorn.__version__, "image": image.name if image else None, "runs": chosen.runs}
    write(chosen.out, about, list(rows(lines)))
    skipped = "" if image else f"\nno image: name one, or set {VARIABLE}"
    print(f"{table(lines)}\n\nmedian of {chosen.runs} runs; written to {chosen.out}{skipped}")


if __name__ == "__main__":
    main()
