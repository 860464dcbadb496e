"""How fast the simulator is, beside C, beside plain Python, and beside itself at other sizes.

``python benchmarks/model.py`` prints a table and writes ``benchmarks/results/model.json``. No time is asserted;
that the engines come to the same state is.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import numba
import numpy as np
from timing import ENOUGH, Timed, ratio, spent_on, write

from mpwake.model import simulator
from mpwake.model.agent import PAGE, load_agent
from mpwake.model.core import LANDED, MEMORY, STATUS, Machine, State
from mpwake.model.program import Program, compile_node
from mpwake.model.simulator import FINISHED, Simulation
from mpwake.model.twin import Twin
from mpwake.spec.document import parse

HERE = Path(__file__).parent
RESULTS = HERE / "results/model.json"
SOURCE = HERE / "c/tick.c"
COMPILER = ("gcc", "-O3", "-march=native")
TICKED = (8, 64, 1024)
BOOTED = (8, 64, 1024, 65_536)
IDLE = (0, 10**3, 10**6)
IDLERS = 64

VECTOR = 0x9A000
AGENT = "name: os\ntitle: An operating system\nrole: sender\nprogram:\n"
# Wakes the processors that the requests name, and waits a while after each.
WAKING = """\
  - label: top
  - next: {op: op, target: target, vector: vector, none: end}
  - store: {to: WakeupVector, value: vector}
  - store: {to: ApicId, value: target}
  - store: {to: Command, value: 1, release: true}
  - poll: {from: Command, until: [eq, 0], to: taken}
  - label: taken
  - delay: GAP
  - return: 0
  - branch: {to: top}
  - label: end
  - halt: true
"""
# Sends Test to one processor after the other, for ever: the mailbox is never idle and nobody leaves.
TESTING = """\
  - label: top
  - add: {to: target, value: 1}
  - branch: {if: [target, lt, LIMIT], to: send}
  - set: {to: target, value: 1}
  - label: send
  - store: {to: WakeupVector, value: VECTOR}
  - store: {to: ApicId, value: target}
  - store: {to: Command, value: 2, release: true}
  - poll: {from: Command, until: [eq, 0], to: top}
"""
# What a first user of a machine waits for, and a second one.
FIRST_RUNS = """
import time
start = time.process_time()
from mpwake.model.agent import load_agent
from mpwake.model.program import compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks
programs = [compile_node(load_agent(name)) for name in ("tester", "acpi-6.6")]
one = Simulation(tuple(programs), (0, 1), ((1, 1, 0x1000),))
for run in (simulate, simulate_ticks):
    imported = time.process_time()
    run(one)
    print(imported - start, time.process_time() - imported)
    start = imported
"""


@attrs.frozen
class Line(Timed):
    """One line of the table.

    ``seconds`` are those of each run, for one ``unit`` of work (a tick, a wakeup, a boot, a start). ``ratio`` compares
    it ``against`` what is named there; ``goal`` is what the ratio, or the time, should be, ``met`` whether it is.
    """

    name: str
    unit: str
    seconds: tuple[float, ...]
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def sender(text: str, **values: int) -> Program:
    """Return an operating system from the YAML of its program, with numbers in the place of words in capitals."""
    for word, value in values.items():
        text = text.replace(word, str(value))
    return compile_node(parse(AGENT + text, "benchmark"))


def machine(operating_system: Program, processors: int, requests: Iterable[tuple[int, int, int]] = ()) -> Simulation:
    """Return a machine with so many processors, their APIC IDs from 1, that run the loop of ACPI 6.6."""
    loop = compile_node(load_agent("acpi-6.6"))
    return Simulation((operating_system, *[loop] * processors), tuple(range(processors + 1)), tuple(requests))


# Calls of an engine


@attrs.frozen
class Call:
    """A call of an engine: what ``simulate`` or ``simulate_ticks`` would hand to it, by the names of its parameters."""

    engine: Callable[..., int]
    arguments: dict[str, Any]

    @classmethod
    def of(cls, name: str, simulate: Callable[[Simulation], object], one: Simulation) -> Call:
        """Prepare everything that a simulation does before its engine runs; the engine does not run."""
        engine = getattr(simulator, name)
        with mock.patch.object(simulator, name, return_value=FINISHED) as held:
            simulate(one)
        names = inspect.signature(getattr(engine, "py_func", engine)).parameters
        return cls(engine, dict(zip(names, held.call_args.args, strict=True)))

    def copy(self) -> Call:
        """Return a call on copies of all arrays, their memory touched."""
        return Call(self.engine, {name: copied(one) for name, one in self.arguments.items()})

    def run(self) -> tuple[float, int]:
        """Run the engine; return seconds of CPU time, and how it ended."""
        arguments = tuple(self.arguments.values())
        begin = time.process_time()
        end = self.engine(*arguments)
        return time.process_time() - begin, int(end)

    @property
    def state(self) -> State:
        """The machine."""
        state: State = self.arguments["s"]
        return state

    def result(self, end: int) -> bytes:
        """Return the state that an engine left behind, as bytes: what ``tick.c`` writes."""
        s = self.state
        arrays = (s.page, s.agents, s.woken, s.told, self.arguments["random"], self.arguments["used"])
        return b"".join(one.tobytes() for one in arrays) + np.int64(end).tobytes()


def copied(one: Any) -> Any:
    """Return a copy of an array or of a machine's arrays, and anything else as it is."""
    if isinstance(one, tuple):
        return type(one)(*(array.copy() for array in one))
    return one.copy() if isinstance(one, np.ndarray) else one


def ticking(processors: int, ticks: int, memory: str = "tso") -> tuple[Simulation, Call]:
    """Return a machine that never comes to rest, and the call that runs it tick by tick without recording."""
    one = machine(sender(TESTING, LIMIT=processors + 1, VECTOR=VECTOR), processors)
    one = attrs.evolve(one, memory=memory, seed=7, budget=ticks, rows=0)
    return one, Call.of("run_ticks", simulator.simulate_ticks, one)


# C


@attrs.frozen
class Compiled:
    """The same engine in C, compiled."""

    program: Path
    folder: Path

    def run(self, call: Call, runs: int) -> tuple[list[float], bytes]:
        """Run a call in C so many times; return seconds of CPU time of each, and the state at the end."""
        given, result = self.folder / "machine", self.folder / "result"
        given.write_bytes(dumped(call, runs))
        told = subprocess.run([self.program, given, result], stdout=subprocess.PIPE, text=True, check=True).stdout
        return [float(line) for line in told.splitlines()], result.read_bytes()


def dumped(call: Call, runs: int) -> bytes:
    """Return a machine as ``tick.c`` reads it."""
    s, memory, ticks = call.state, call.arguments["memory"], call.arguments["ticks"]
    sizes = [len(s.agents), len(s.code), len(s.requests), len(s.woken)]
    header = np.array([*sizes, memory, ticks, call.arguments["random"][0], runs], np.int64)
    return b"".join(one.tobytes() for one in (header, s.page, s.code, s.agents, s.requests, s.woken, s.told))


def compiled(folder: Path) -> Compiled | str:
    """Compile ``tick.c``, or return why not."""
    if shutil.which(COMPILER[0]) is None:
        return "no gcc on PATH"
    built = subprocess.run([*COMPILER, "-o", folder / "tick", SOURCE], capture_output=True, text=True, check=False)
    return Compiled(folder / "tick", folder) if built.returncode == 0 else f"gcc fails: {built.stderr.strip()}"


def same(c: Compiled, processors: int, memory: str) -> str:
    """Assert that both come to one state, bit for bit, after some ticks; return its digest."""
    _, call = ticking(processors, 200_000, memory)
    _, in_c = c.run(call, 1)
    mine = call.copy()
    _, end = mine.run()
    ours = mine.result(end)
    assert ours == in_c, f"C and the simulator differ: {processors} processors under {memory}"
    assert mine.state.page[8:16].tobytes() == VECTOR.to_bytes(8, "little"), "nothing was run"
    return hashlib.sha256(ours).hexdigest()


# What is measured


def against_c(c: Compiled | str, runs: int, ticks: int) -> list[Line]:
    """Measure the tick-by-tick engine and its counterpart in C, in turn; both end in one state."""
    lines = []
    for processors in TICKED:
        _, call = ticking(processors, ticks)
        ours, theirs = [], []
        for _ in range(runs + 1):
            mine = call.copy()
            spent, end = mine.run()
            ours.append(spent / ticks)
            if isinstance(c, Compiled):
                (spent,), result = c.run(call, 1)
                theirs.append(spent / ticks)
                assert result == mine.result(end), f"C and the simulator differ: {processors} processors"
        name = f"tick by tick, {processors} APs"
        if theirs:
            lines.append(Line(f"{name}, C", "tick", tuple(theirs[1:])))
            speed = ratio(theirs[1:], ours[1:])
            lines.append(Line(name, "tick", tuple(ours[1:]), "speed of C", speed, ">= 0.95", speed >= 0.95))
        else:
            lines.append(Line(name, "tick", tuple(ours[1:]), f"C skipped: {c}"))
    return lines


def twin_of(one: Simulation) -> Twin:
    """Return a simulation's machine in plain Python."""
    agents = [program.agent for program in one.programs]
    assert one.memory in MEMORY
    return Twin(agents, one.ids, one.requests, one.memory, one.page.ljust(PAGE, b"\0"))  # type: ignore[arg-type]


def run_twin(twin: Twin, word: int, ticks: int) -> float:
    """Run the twin as ``run_ticks`` runs the core; return seconds of CPU time."""
    mask, count = (1 << 64) - 1, len(twin.agents)
    begin = time.process_time()
    for _ in range(ticks):
        word ^= word << 13 & mask
        word ^= word >> 7
        word ^= word << 17 & mask
        drawn = word >> 11
        agent, action = (drawn & 0xFFFFFFFF) % count, 0
        if twin.buffers[agent] and drawn & 0x100000000:
            action = 1 + (drawn >> 33) % len(twin.buffers[agent])
        twin.step(agent, action)
    return time.process_time() - begin


def against_twin(processors: int, runs: int, ticks: int) -> list[Line]:
    """Measure the twin, and the engine on the same schedule; both end in one state."""
    one, call = ticking(processors, ticks)
    ours, theirs = [], []
    for _ in range(runs):
        mine, twin = call.copy(), twin_of(one)
        theirs.append(run_twin(twin, int(call.arguments["random"][0]) & (1 << 64) - 1, ticks) / ticks)
        ours.append(mine.run()[0] / ticks)
        ended = Machine(mine.state, one.memory)
        found = (ended.page.tobytes(), ended.pc.tolist(), ended.status.tolist(), ended.buffered.tolist())
        assert found == (bytes(twin.page), twin.pc, twin.status, [len(one) for one in twin.buffers])
    name = f"tick by tick, {processors} APs, plain Python"
    return [Line(name, "tick", tuple(theirs), "times as slow", ratio(theirs, ours))]


def booting(processors: int, gap: int = 0, wakes: int | None = None) -> Call:
    """Return the call that boots a machine, one processor after the other in the order of their numbers."""
    count = processors if wakes is None else wakes
    one = machine(sender(WAKING, GAP=gap), processors, ((1, id, VECTOR) for id in range(1, count + 1)))
    one = attrs.evolve(one, budget=1 << 62, rows=24 * count + 64)
    return Call.of("run_events", simulator.simulate, one)


def booted(call: Call, wakes: int) -> float:
    """Boot a machine; return seconds of CPU time of one boot, over as many as make a measurement long enough."""
    spent, boots = 0.0, 0
    while spent < ENOUGH:
        mine = call.copy()
        one, end = mine.run()
        landed = int(np.count_nonzero(mine.state.agents[:, STATUS] == LANDED))
        assert (end, landed) == (FINISHED, wakes), f"{landed} of {wakes} processors landed"
        spent, boots = spent + one, boots + 1
    return spent / boots


def in_turn(calls: Sequence[tuple[Call, int]], runs: int) -> list[list[float]]:
    """Measure boots in turn, after one round that does not count; return the seconds of each."""
    rounds = [[booted(call, wakes) for call, wakes in calls] for _ in range(runs + 1)][1:]
    return [list(one) for one in zip(*rounds, strict=True)]


def boots(runs: int) -> list[Line]:
    """Measure whole boots, and the cost of a wakeup in them.

    A machine that is asked for nothing tells what an engine spends before the first wakeup; that is taken off.
    """
    asked = [(booting(count), count) for count in BOOTED]
    idle = [(booting(count, wakes=0), 0) for count in BOOTED]
    seconds = in_turn([*asked, *idle], runs)
    each = [
        tuple((one - other) / count for one, other in zip(whole, before, strict=True))
        for count, whole, before in zip(BOOTED, seconds, seconds[len(BOOTED) :], strict=False)
    ]
    lines = [
        level(f"event-driven, {count} APs", spent, each[0], f"cost at {BOOTED[0]} APs")
        for count, spent in zip(BOOTED, each, strict=True)
    ]
    met = statistics.median(seconds[len(BOOTED) - 1]) < 0.05
    lines.append(Line(f"boot of {BOOTED[-1]} APs", "boot", tuple(seconds[len(BOOTED) - 1]), goal="< 50 ms", met=met))
    return lines


def level(name: str, seconds: Sequence[float], least: Sequence[float], against: str) -> Line:
    """Return the line of a cost per wakeup that should be what the least machine's is, within a fifth."""
    times = ratio(seconds, least)
    return Line(name, "wakeup", tuple(seconds), against, times, "0.8 to 1.2", 0.8 <= times <= 1.2)


def idling(runs: int) -> list[Line]:
    """Measure a boot in which the operating system does nothing for a while after each wakeup."""
    seconds = in_turn([(booting(IDLERS, gap), IDLERS) for gap in IDLE], runs)
    each = [tuple(one / IDLERS for one in spent) for spent in seconds]
    return [
        level(f"event-driven, {IDLERS} APs, {gap} idle steps", spent, each[0], "cost without idling")
        for gap, spent in zip(IDLE, each, strict=True)
    ]


def starts(runs: int) -> list[Line]:
    """Measure the first runs in new processes: with no machine code at all, and with that of the run before."""
    told = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for _ in range(1 + runs):
            command = [sys.executable, "-c", FIRST_RUNS]
            text = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            told.append([float(word) for word in text.split()])
        verdicts = [verdict(environment) for _ in range(1 + runs)][1:]
    (_, cold_events, _, cold_ticks), *warm = told
    met = statistics.median(verdicts) < 2
    return [
        Line("compilation, event-driven", "start", (cold_events,)),
        Line("compilation, tick by tick after it", "start", (cold_ticks,)),
        Line("the same from the cache", "start", tuple(events + ticks for _, events, _, ticks in warm)),
        Line("mpwake run model: RCV-01, warm", "start", tuple(verdicts), goal="< 2 s", met=met),
    ]


def verdict(environment: dict[str, str]) -> float:
    """Judge one requirement of an AP loop in a new process; return its CPU time in seconds."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "mpwake", "run", "model:reference", "RCV-01", "--quiet", "--out", out]
        return spent_on(command, environment)


# What is told


def shown(seconds: float) -> str:
    """Return a time with three digits and a unit."""
    for unit, size in (("s ", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(lines: Sequence[Line]) -> str:
    """Return the table for people."""
    told = [f"{'':42} {'median':>9}  {'per':7} {'ratio':>7}  {'':22} goal"]
    for one in lines:
        times = f"{one.ratio:.2f}" if one.ratio is not None else ""
        met = {True: "met", False: "MISSED", None: ""}[one.met]
        goal = f"{one.goal:12} {met}".rstrip()
        told.append(f"{one.name:42} {shown(one.median):>9}  {one.unit:7} {times:>7}  {one.against:22} {goal}".rstrip())
    return "\n".join(told)


def rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the lines of the table as bare data."""
    return [
        {
            "name": one.name,
            "per": one.unit,
            "seconds": one.median,
            "quartiles": list(one.quartiles),
            "against": one.against,
            "ratio": one.ratio,
            "goal": one.goal,
            "met": one.met,
        }
        for one in lines
    ]


def compiler() -> str:
    """Return the compiler's own name and release."""
    told = subprocess.run([COMPILER[0], "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return " ".join([told.splitlines()[0], *COMPILER[1:]])


def measured(runs: int, ticks: int) -> tuple[list[Line], dict[str, Any]]:
    """Measure everything; return the lines, and what C had to do with them."""
    with tempfile.TemporaryDirectory() as folder:
        c = compiled(Path(folder))
        about: dict[str, Any] = {"c": c}
        if isinstance(c, Compiled):
            digests = {f"{count} APs, {memory}": same(c, count, memory) for count in TICKED[:2] for memory in MEMORY}
            about = {"c": compiler(), "same_state": digests}
        lines = [*against_c(c, runs, ticks), *against_twin(TICKED[0], min(runs, 3), ticks // 200)]
    return [*lines, *boots(runs), *idling(runs), *starts(min(runs, 3))], about


def main() -> None:
    """Read the command line, measure, print, and write."""
    parser = argparse.ArgumentParser(description="Measure the simulator, side by side.")
    parser.add_argument("--runs", type=int, default=7, help="runs that count, after a warm-up (default 7)")
    parser.add_argument("--ticks", type=int, default=3_000_000, help="ticks of a run tick by tick (default 3000000)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file to write")
    chosen = parser.parse_args()
    if chosen.runs < 1 or chosen.ticks < 1000:
        parser.error("--runs: at least 1; --ticks: at least 1000")
    lines, about = measured(chosen.runs, chosen.ticks)
    about |= {"numpy": np.__version__, "numba": numba.__version__, "runs": chosen.runs, "ticks": chosen.ticks}
    write(chosen.out, about, rows(lines))
    print(f"{table(lines)}\n\nCPU time, median of {chosen.runs} runs; written to {chosen.out}")


if __name__ == "__main__":
    main()
