"""How both benchmarks take times: CPU seconds of runs that take turns, compared run by run."""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpwake import __version__

ENOUGH = 0.02
"""Seconds that one measurement lasts at least: calls that are shorter are measured in bulk."""


class Timed:
    """What was measured more than once."""

    __slots__ = ()
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the runs, in seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the runs, in seconds."""
        if len(self.seconds) < 2:
            return self.median, self.median
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of our times against theirs, each against the run in the same round.

    A machine that gets slower between two rounds slows both sides of a pair.
    """
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def children() -> float:
    """Return the CPU time of all child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spent_on(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> float:
    """Run a command and return its CPU time in seconds. Raises ``CalledProcessError`` when it fails."""
    before = children()
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return children() - before


def processor() -> str:
    """Return the processor's name as Linux tells it, or what the standard library knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write(path: Path, about: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> None:
    """Write what was measured as JSON, with the versions and the processor that it holds for."""
    known = {"mpwake": __version__, "python": platform.python_version(), "processor": processor()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, **about, "measured": measured}, indent=2) + "\n", encoding="utf-8")
