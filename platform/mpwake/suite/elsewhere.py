"""A target judged by ``mpwake run`` in a process of its own: here, or on a worker of a cluster."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from mpwake.spec.errors import InputError
from mpwake.spec.verdicts import EXIT_HARNESS, EXIT_NOTHING_SELECTED, EXIT_USAGE
from mpwake.suite.cluster import RETRIES, Identity, broken, identity, must_be, scratch
from mpwake.suite.parcel import Parcel, packed, unpacked

STREAM = "events.ndjson"
EVERY = 0.2
_SAYS_WHY = (EXIT_USAGE, EXIT_HARNESS, EXIT_NOTHING_SELECTED)


@attrs.frozen
class Told:
    """What came of a target: its event stream, or why there is none."""

    stream: bytes = b""
    reason: str = ""


def judged(location: str, words: tuple[str, ...], out: Path) -> Told:
    """Judge a target, with what else is said to ``mpwake run``; its reports go into a folder."""
    command = [sys.executable, "-m", "mpwake", "run", location, *words, "--quiet", "--out", str(out)]
    stream = out / STREAM
    stream.unlink(missing_ok=True)
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if stream.is_file() and stream.stat().st_size:
        return Told(stream.read_bytes())
    said = " ".join(result.stderr.split()).removeprefix("mpwake: ")
    return Told(
        reason=said if result.returncode in _SAYS_WHY and said else f"it ended with {result.returncode}: {said}"
    )


def judged_there(wanted: Identity, parcel: Parcel, contents: Mapping[str, bytes], words: tuple[str, ...]) -> Told:
    """Judge a target that came in a parcel; on a worker."""
    must_be(wanted)
    folder = Path(tempfile.mkdtemp(prefix="mpwake-", dir=scratch()))
    try:
        return judged(unpacked(parcel, contents, folder / "files"), words, folder / "out")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def all_there(
    client: Any, locations: tuple[str, ...], words: tuple[str, ...], stops: Callable[[], bool]
) -> Iterator[tuple[int, Told]]:
    """Have a cluster judge targets; yield the number of each, and what came of it, as they end."""
    going = {}
    for number, location in enumerate(locations):
        try:
            parcel, contents = packed(location)
        except InputError as error:
            yield number, Told(reason=" ".join(str(error).split()))
            continue
        future = client.submit(judged_there, identity(), parcel, contents, words, retries=RETRIES, pure=False)
        going[future] = number
    try:
        while going and not stops():
            ended = [future for future in going if future.done()]
            for future in ended:
                number = going.pop(future)
                yield number, _result(future, locations[number])
            if not ended:
                time.sleep(EVERY)
    finally:
        client.cancel(list(going), force=True)


def _result(future: Any, location: str) -> Told:
    if future.status == "finished":
        told: Told = future.result()
        return told
    if future.status == "error":
        return Told(reason=" ".join(str(broken(future.exception(), location)).split()))
    return Told(reason=f"its task was {future.status} by the cluster")
