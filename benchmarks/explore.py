"""How fast and how far the explorer of the model goes, beside SPIN and beside C: one model, written three times.

``python benchmarks/explore.py`` prints a table and writes ``benchmarks/results/explore.json``. No time is asserted;
that all count the same states is.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from timing import Timed, children, ratio, write

from mpwake.model.agent import load_agent
from mpwake.model.explore.exploring import Exploration, Reductions
from mpwake.model.explore.search import Bounds
from mpwake.model.explore.tables import Setup, requests_of
from mpwake.model.program import compile_node

HERE = Path(__file__).parent
RESULTS = HERE / "results/explore.json"
PROMELA, SOURCE = HERE / "spin/mailbox.pml", HERE / "c/explore.c"
COMPILER = ("gcc", "-O3", "-march=native")
SAFETY = ("-DSAFETY", "-DNOFAIR")
# States and transitions without reduction.
COUNTS = {
    1: (20, 24),
    2: (189, 392),
    3: (1_489, 4_188),
    4: (9_953, 34_256),
    5: (59_721, 240_220),
    6: (333_745, 1_528_200),
    7: (1_775_033, 9_090_900),
    8: (9_103_425, 51_479_648),
    9: (45_402_697, 280_677_996),
    10: (221_481_041, 1_484_856_440),
}
GROWTH = 5.6
MANY = 64
MIB = 1 << 20


@attrs.frozen
class Limit:
    """What one search may take: seconds by the clock, and bytes."""

    seconds: float
    memory: int


@attrs.frozen
class Run:
    """One search that has seen all states: CPU seconds, seconds by the clock, and the most bytes that it took.

    ``prepared`` are the CPU seconds that went by before it began: our tables.
    """

    states: int
    transitions: int
    cpu: float
    clock: float
    bytes: int
    prepared: float = 0.0


Engine = Callable[[int, Limit], Run | None]


# SPIN


@attrs.frozen
class Compiled:
    """The programs of both others, compiled for so many processors when they are asked for first."""

    folder: Path

    def c(self, aps: int) -> Path:
        """Return the explorer in C."""
        program = self.folder / f"explore-{aps}"
        if not program.exists():
            _built([*COMPILER, f"-DN={aps}", "-o", program, SOURCE], self.folder)
        return program

    def spin(self, aps: int, reduced: bool) -> Path:
        """Return SPIN's verifier, with or without its partial order reduction."""
        program = self.folder / f"pan-{aps}-{reduced}"
        if not program.exists():
            _built(["spin", "-a", f"-DN={aps}", PROMELA], self.folder)
            options = SAFETY if reduced else (*SAFETY, "-DNOREDUCE")
            _built([*COMPILER, *options, "-o", program, "pan.c"], self.folder)
        return program


def _built(command: Sequence[str | Path], folder: Path) -> None:
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if built.returncode:
        raise SystemExit(f"{command[0]} fails: {built.stdout}{built.stderr}")


def missing(*programs: str) -> str:
    """Say which programs are not there, or nothing."""
    lacking = [name for name in programs if shutil.which(name) is None]
    return f"no {' and no '.join(lacking)} on PATH" if lacking else ""


def limited(command: Sequence[str | Path], limit: Limit, folder: Path) -> tuple[str, float, float] | None:
    """Run a command within a limit; return what it printed, its CPU seconds and those by the clock, or None."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit.memory, limit.memory))

    before, began = children(), time.perf_counter()
    try:
        run = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=limit.seconds,
            preexec_fn=bound, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return (run.stdout, children() - before, time.perf_counter() - began) if run.returncode == 0 else None


def spin(compiled: Compiled, aps: int, reduced: bool, limit: Limit) -> Run | None:
    """Search with SPIN, its hash table as large as the states will need."""
    expected = COUNTS.get(aps, (round(COUNTS[10][0] * GROWTH ** (aps - 10)), 0))[0] / (8 if reduced else 1)
    table = max(16, math.ceil(math.log2(expected)))
    told = limited([compiled.spin(aps, reduced), "-m100000", f"-w{table}"], limit, compiled.folder)
    if told is None or "Search not completed" in told[0] or "errors: 0" not in told[0]:
        return None

    def number(pattern: str) -> float:
        found = re.search(rf"^\s*([\d.e+]+)\s+{pattern}", told[0], re.MULTILINE)
        assert found, pattern
        return float(found[1])

    # SPIN counts the way into the first state too.
    states, transitions = COUNTS.get(aps, (0, 0))
    return Run(
        exactly(number("states, stored"), states),
        exactly(number("transitions"), transitions + 1) - 1,
        *told[1:],
        int(number(r"(?:total actual )?memory usage") * MIB),
    )


def exactly(told: float, known: int) -> int:
    """Return the number that is known, where it is what SPIN tells: it prints eight digits."""
    return known if float(f"{known:.8g}") == told else int(told)


# C


def c(compiled: Compiled, aps: int, limit: Limit) -> Run | None:
    """Search in C."""
    told = limited([compiled.c(aps)], limit, compiled.folder)
    if told is None:
        return None
    states, transitions, goals, violations, _, most, seconds = (float(word) for word in told[0].split())
    assert (goals, violations) == (aps, 0), "the model in C is another"
    return Run(int(states), int(transitions), seconds, told[2], int(most))


# We


def setup(aps: int) -> Setup:
    """Return the model."""
    system, processor = (compile_node(load_agent(name)) for name in ("shared-os", "shared-ap"))
    ids = tuple(0x11 + 0x100 * number for number in range(aps))
    return Setup((system, *[processor] * aps), (0, *ids), requests_of(ids, 1, 0x9A000, 0x1000), "tso")


def ours_here(aps: int, reduced: bool, threads: int, memory: int) -> Run | None:
    """Search in this process, which has not searched before but for its machine code."""
    reductions = Reductions(reduced, reduced)
    Exploration(setup(aps), reductions, Bounds(depth=1, threads=threads)).search().run()
    resident = _resident()
    begin = time.process_time()
    exploration = Exploration(setup(aps), reductions, Bounds(memory=memory, threads=threads))
    search = exploration.search()
    prepared, began = time.process_time(), time.perf_counter()
    search.run()
    cpu, clock = time.process_time() - prepared, time.perf_counter() - began
    if search.incomplete:
        return None
    assert not search.hits
    assert search.goals == (1 if reduced and aps > 1 else aps)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident
    return Run(search.states, search.transitions, cpu, clock, most, prepared - begin)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


def ours(aps: int, reduced: bool, threads: int, limit: Limit) -> Run | None:
    """Search in a process of its own, so that its memory is that of the search."""
    words = [str(aps), str(int(reduced)), str(threads), str(limit.memory)]
    try:
        told = subprocess.run(
            [sys.executable, __file__, "--one", *words], stdout=subprocess.PIPE, timeout=limit.seconds + 5, check=True
        ).stdout
    except subprocess.TimeoutExpired:
        return None
    run = Run(*json.loads(told)) if told.strip() else None
    return run if run and run.clock <= limit.seconds else None


# What is measured


@attrs.frozen
class Line(Timed):
    """One line of the table: the searches of one engine for so many processors.

    ``ratio`` compares it ``against`` what is named there; ``goal`` is what the ratio, or what the line is about, should
    be, ``met`` whether it is.
    """

    name: str
    aps: int
    seconds: tuple[float, ...] = ()
    states: int = 0
    bytes: int = 0
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def engines(compiled: Compiled) -> tuple[dict[str, Engine], dict[str, str]]:
    """Return what can be measured here without reduction, and why the others cannot."""
    without = {"SPIN": missing("spin", COMPILER[0]), "C": missing(COMPILER[0])}
    known: dict[str, Engine] = {
        "SPIN": lambda aps, limit: spin(compiled, aps, False, limit),
        "C": lambda aps, limit: c(compiled, aps, limit),
        "mpwake": lambda aps, limit: ours(aps, False, 1, limit),
        "mpwake, 2 threads": lambda aps, limit: ours(aps, False, 2, limit),
    }
    return {name: run for name, run in known.items() if not without.get(name)}, {n: w for n, w in without.items() if w}


def side_by_side(known: dict[str, Engine], aps: int, runs: int, limit: Limit) -> list[Line]:
    """Measure searches in turn; all must count the same."""
    taken: dict[str, list[Run]] = {}
    for _ in range(runs):
        for name, engine in known.items():
            run = engine(aps, limit)
            if run:
                assert (run.states, run.transitions) == COUNTS[aps], f"{name} counts other states: {run}"
                taken.setdefault(name, []).append(run)
    taken = {name: found for name, found in taken.items() if len(found) == runs}
    lines = []
    for name, found in taken.items():
        seconds, most = tuple(one.cpu for one in found), max(one.bytes for one in found)
        line = Line(name, aps, seconds, COUNTS[aps][0], most)
        lines += [attrs.evolve(line, **more) for more in _compared(name, found, taken)] or [line]
    return [*lines, *(Line(name, aps, against="not within the bounds") for name in known if name not in taken)]


def _compared(name: str, found: list[Run], taken: dict[str, list[Run]]) -> Iterator[dict[str, Any]]:
    mine = [one.cpu for one in found]
    if name == "mpwake":
        for other, least in (("SPIN", 10.0), ("C", 0.85)):
            if other in taken:
                speed = ratio([one.cpu for one in taken[other]], mine)
                yield _goal(f"speed of {other}", speed, f">= {least:g}", speed >= least)
        each = max(one.bytes for one in found) / found[0].states
        yield _goal("bytes a state", each, "<= 32", each <= 32)
    if name == "mpwake, 2 threads" and "mpwake" in taken:
        speed = ratio([one.clock for one in taken["mpwake"]], [one.clock for one in found])
        yield _goal("speed of one, by the clock", speed, ">= 1.6", speed >= 1.6)


def _goal(against: str, times: float, goal: str, met: bool) -> dict[str, Any]:
    return {"against": against, "ratio": times, "goal": goal, "met": met}


def many(runs: int, limit: Limit) -> list[Line]:
    """Measure many processors with both reductions, the tables that are made before included."""
    found = [ours(MANY, True, 1, limit) for _ in range(runs)]
    whole = [one for one in found if one]
    if len(whole) < runs:
        return [Line("mpwake, both reductions", MANY, against="not within the bounds", goal="< 1 s", met=False)]
    seconds = tuple(one.cpu + one.prepared for one in whole)
    return [
        Line(
            "mpwake, both reductions",
            MANY,
            seconds,
            whole[0].states,
            max(one.bytes for one in whole),
            f"tables {statistics.median(one.prepared for one in whole):.2f} s of it",
            goal="< 1 s",
            met=statistics.median(seconds) < 1,
        )
    ]


def reach(compiled: Compiled, known: dict[str, Engine], limit: Limit) -> list[Line]:
    """Measure the largest number of processors that each engine finishes within the bounds."""
    reducing: dict[str, Engine] = dict(known)
    if "SPIN" in known:
        reducing["SPIN, partial order"] = lambda aps, limit: spin(compiled, aps, True, limit)
    reducing["mpwake, both reductions"] = lambda aps, limit: ours(aps, True, 1, limit)
    lines = []
    for name, engine in reducing.items():
        steps = (16, 32, 64, 127) if "both" in name else range(6, 16)
        best = Line(f"farthest: {name}", 0, against="not within the bounds")
        for aps in steps:
            run = engine(aps, limit)
            if run is None:
                break
            if aps in COUNTS and name in known:
                assert (run.states, run.transitions) == COUNTS[aps], f"{name} counts other states: {run}"
            best = Line(f"farthest: {name}", aps, (run.cpu + run.prepared,), run.states, run.bytes)
        lines.append(best)
    return lines


# What is told


def table(lines: Sequence[Line]) -> str:
    """Return the table for people."""
    told = [
        f"{'':34} {'APs':>4} {'states':>13} {'CPU s':>8} {'million/s':>9} {'B/state':>7} {'ratio':>7}  {'':28} goal"
    ]
    for one in lines:
        measured = f"{'':13} {'':8} {'':9} {'':7}"
        if one.seconds:
            speed, each = one.states / one.median / 1e6, one.bytes / one.states
            measured = f"{one.states:13,} {one.median:8.3g} {speed:9.2f} {each:7.1f}"
        times = f"{one.ratio:.2f}" if one.ratio is not None else ""
        met = {True: "met", False: "MISSED", None: ""}[one.met]
        goal = f"{one.goal:8} {met}".rstrip()
        told.append(f"{one.name:34} {one.aps or '':>4} {measured} {times:>7}  {one.against:28} {goal}".rstrip())
    return "\n".join(told)


def rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the lines of the table as bare data."""
    return [
        {
            **attrs.asdict(one),
            "seconds": one.median if one.seconds else None,
            "quartiles": list(one.quartiles) if one.seconds else None,
        }
        for one in lines
    ]


def versions() -> dict[str, str]:
    """Return the releases of the others, and their options."""
    found = {}
    for name, command in (("spin", ("spin", "-V")), ("c", (COMPILER[0], "--version"))):
        if shutil.which(command[0]):
            told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
            found[name] = told.splitlines()[0]
    return {**found, "options": " ".join((*COMPILER, *SAFETY))}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure the explorer of the model, side by side.")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--aps", type=int, nargs="+", default=[8, 9], help="processors (default 8 9)", metavar="N")
    parser.add_argument("--seconds", type=float, default=120, help="most seconds of one search (default 120)")
    parser.add_argument("--memory", type=int, default=8192, help="most MiB of one search (default 8192)")
    parser.add_argument("--no-reach", action="store_true", help="leave out how far each comes within these bounds")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write")
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.runs < 1 or not set(chosen.aps) <= set(COUNTS):
        parser.error(f"--runs: at least 1; --aps: 1 to {max(COUNTS)}")
    return chosen


def main() -> None:
    """Measure, print, and write."""
    chosen = arguments()
    if chosen.one:
        aps, reduced, threads, memory = chosen.one
        run = ours_here(aps, bool(reduced), threads, memory)
        print(json.dumps(attrs.astuple(run)) if run else "")
        return
    limit = Limit(chosen.seconds, chosen.memory * MIB)
    with tempfile.TemporaryDirectory() as folder:
        compiled = Compiled(Path(folder))
        known, without = engines(compiled)
        lines = [line for aps in chosen.aps for line in side_by_side(known, aps, chosen.runs, limit)]
        lines += many(chosen.runs, limit)
        lines += [] if chosen.no_reach else reach(compiled, known, limit)
    about: dict[str, Any] = {"skipped": without, "cores": os.cpu_count(), "runs": chosen.runs, **versions()}
    about |= {"seconds": chosen.seconds, "memory": chosen.memory}
    write(chosen.out, about, rows(lines))
    skipped = "".join(f"skipped: {name}, {why}\n" for name, why in without.items())
    print(f"{table(lines)}\n\n{skipped}CPU time, median of {chosen.runs} rounds; written to {chosen.out}")


if __name__ == "__main__":
    main()
