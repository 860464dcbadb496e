"""A Dask cluster that is there already: reached, and asked whether its workers are as we are.

Nothing here starts a cluster or a worker. ``distributed`` is imported only when a cluster is asked for.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

import mpwake
from mpwake.spec.errors import InputError, ToolError
from mpwake.spec.resources import suite_root
from mpwake.suite.parcel import Parcel, unpacked

EXTRA = "pip install 'mpwake[cluster]'"
SECONDS = 10
SHOWN = 5
KEPT = 4
RETRIES = 2
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://.+:\d+")
_DATA = ("features", "steps", "scenarios")
T = TypeVar("T")


@attrs.frozen
class Identity:
    """What has to be the same on every machine, so that the same seed shows the same there."""

    version: str
    code: str
    hypothesis: str

    def differs(self, other: Identity) -> str:
        """Say what another has in place of this."""
        if other.version != self.version:
            return f"mpwake {other.version}, and not {self.version}"
        if other.code != self.code:
            return f"other code of mpwake {self.version}"
        return f"Hypothesis {other.hypothesis}, and not {self.hypothesis}" if other != self else ""


@functools.cache
def identity() -> Identity:
    """Return who we are: the version, and a digest of the code, the features and the scenarios."""
    package = Path(mpwake.__file__).parent
    digest = hashlib.sha256()
    for folder, pattern in ((package, "*.py"), *((suite_root() / name, "*") for name in _DATA)):
        for path in sorted(one for one in folder.rglob(pattern) if one.is_file() and "__pycache__" not in one.parts):
            digest.update(f"{path.relative_to(folder)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return Identity(mpwake.__version__, digest.hexdigest(), importlib.metadata.version("hypothesis"))


def must_be(wanted: Identity) -> None:
    """Raise ``ToolError`` where we are not who is wanted; for a worker that has come in the meantime."""
    other = wanted.differs(identity())
    if other:
        raise ToolError(f"this worker has {other}", hint=_same(wanted))


def _same(one: Identity) -> str:
    return f"the same on every worker: pip install 'mpwake[cluster]=={one.version}'"


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Be a client of the cluster at an address, whose workers are all as we are.

    Raises ``InputError`` for what is no address; ``ToolError`` where nobody answers, no worker is there, or one has no
    mpwake or another.
    """
    if not _ADDRESS.fullmatch(address):
        raise InputError(f"--scheduler: {address!r} is not the address of a scheduler", hint="tcp://HOST:PORT")
    try:
        from distributed import Client
    except ImportError:
        raise ToolError("--scheduler: the package distributed is missing", hint=EXTRA) from None
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise ToolError(f"--scheduler: no scheduler answers at {address}: {told}") from None
    with client:
        check_workers(client, address)
        yield client


def check_workers(client: Any, address: str) -> None:
    """Ask every worker who it is. Raises ``ToolError`` where one is not as we are, or none is there."""
    versions = client.run(importlib.metadata.version, "mpwake", on_error="return")
    if not versions:
        raise ToolError(f"--scheduler: {address} has no workers", hint=f"start some: dask worker {address}")
    ours = identity()
    wrong = {one: _lacks(version, ours) for one, version in versions.items()}
    same = [one for one, words in wrong.items() if not words]
    for one, theirs in (client.run(identity, workers=same, on_error="return") if same else {}).items():
        wrong[one] = ours.differs(theirs) if isinstance(theirs, Identity) else f"other code of mpwake {ours.version}"
    told = [f"{one} has {words}" for one, words in sorted(wrong.items()) if words]
    if told:
        more = f", and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        raise ToolError(f"--scheduler: workers are not as we are: {'; '.join(told[:SHOWN])}{more}", hint=_same(ours))


def _lacks(version: object, ours: Identity) -> str:
    if isinstance(version, importlib.metadata.PackageNotFoundError):
        return "no mpwake"
    if not isinstance(version, str):
        return f"not answered: {version}"
    return "" if version == ours.version else f"mpwake {version}, and not {ours.version}"


def broken(error: BaseException, what: str) -> ToolError:
    """Say what became of a task that the cluster did not carry out."""
    name = type(error).__name__
    if name == "KilledWorker":
        tries = getattr(error, "allowed_failures", 0) + 1
        return ToolError(
            f"{what} was lost with its worker {tries} times, and is not tried again",
            hint="the workers' logs say why they ended; too little memory is the usual reason",
        )
    if isinstance(error, InputError):
        return ToolError(f"{what}: {error.message}", error.where, error.hint)
    return ToolError(f"{what} broke {RETRIES + 1} times: {name}: {error}")


# On a worker


@attrs.define
class Unpacked:
    """What was made of the parcels that came last, with the folders that their files are in.

    The folders are in the worker's own, which goes with the worker.
    """

    made: dict[object, tuple[object, Path]] = attrs.field(factory=dict)
    alone: threading.Lock = attrs.field(factory=threading.Lock)

    def get(
        self, key: object, parcel: Parcel, contents: Mapping[str, bytes], make: Callable[[str, Path], T]
    ) -> T | None:
        """Return what ``make`` made of a parcel's location and a folder, once; None where contents are missing."""
        if key not in self.made:
            if parcel.digests - set(contents):
                return None
            while len(self.made) >= KEPT:
                _, old = self.made.pop(next(iter(self.made)))
                shutil.rmtree(old, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix="mpwake-", dir=scratch()))
            self.made[key] = (make(unpacked(parcel, contents, folder / "files"), folder / "out"), folder)
        return self.made[key][0]  # type: ignore[return-value]


UNPACKED = Unpacked()


def scratch() -> str:
    """Return the folder of the worker that we are in, which goes with it."""
    from distributed import get_worker

    return str(get_worker().local_directory)
