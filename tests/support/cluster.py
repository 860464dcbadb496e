"""A Dask cluster of two worker processes on this machine, in a process of its own.

Each line on its stdin asks for the ids of the worker processes; the end of stdin ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from support.cli import environment

WORKERS = 2
SECONDS = 90


class Cluster:
    """The cluster, as the process that has started it talks to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = str(self._read())

    def _read(self) -> object:
        line = self.process.stdout.readline()
        assert line, "the cluster has ended"
        return json.loads(line)

    def pids(self) -> set[int]:
        """Return the ids of its worker processes."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return {int(one) for one in self._read()}

    def whole(self) -> set[int]:
        """Wait until all workers are there; return their ids."""
        until = time.monotonic() + SECONDS
        while len(self.pids()) < WORKERS and time.monotonic() < until:
            time.sleep(0.2)
        return self.pids()


@contextlib.contextmanager
def cluster(folder: Path, **more: str) -> Iterator[Cluster]:
    """Start a cluster whose files are in a folder, and end it."""
    place = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, __file__],
        cwd=folder,
        env=environment(PYTHONPATH=place, DASK_TEMPORARY_DIRECTORY=str(folder), **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Cluster(process)
    finally:
        process.stdin.close()
        process.wait(SECONDS)
        process.stdout.close()


def main() -> None:
    from distributed import LocalCluster

    words = {"n_workers": WORKERS, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(processes=True, silence_logs="ERROR", **words) as started, os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what the workers print is not ours
        print(json.dumps(started.scheduler_address), file=out, flush=True)
        for _line in sys.stdin:
            running = [one.pid for one in started.workers.values() if one.status.name == "running" and one.pid]
            print(json.dumps(running), file=out, flush=True)


if __name__ == "__main__":
    main()
