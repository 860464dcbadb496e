"""The search: breadth first, a level at a time, with bounds, until all states are seen or one is wrong."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from mpwake.model.explore.engine import (
    BATCH,
    FOUND,
    GOALS,
    LANDINGS,
    NEXT,
    OUTSIDE,
    STOP,
    TRANSITIONS,
    U64,
    USED,
)
from mpwake.model.explore.memory import zeros
from mpwake.model.explore.monitors import Wrong
from mpwake.model.explore.packing import Packed
from mpwake.model.explore.specialised import specialised
from mpwake.model.explore.symmetry import none

KINDS = 16
CHUNK = 1 << 16
FIRST_TABLE, FIRST_LEVEL = 1 << 12, 1 << 11
LOAD = 0.55
STATES, BYTES = 1 << 40, 8 << 30
NOTHING = np.zeros(0, np.uint64)


@attrs.frozen
class Bounds:
    """How many states are looked at, in how many levels, and how many bytes they may take."""

    states: int = STATES
    memory: int = BYTES
    depth: int = 1 << 40


@attrs.frozen
class Progress:
    """How far a search has come."""

    states: int
    frontier: int
    depth: int
    bytes: int
    seconds: float


@attrs.frozen(eq=False)
class Hit:
    """Something wrong: its kind, the state before it, and the agent, act and step (rows of the tables) that make it."""

    wrong: Wrong
    depth: int
    state: U64
    agent: int
    act: int
    step: int


Listener = Callable[[Progress], None]
Widened = Callable[[], tuple[Packed, bool, tuple[U64, ...]]]


class Search:
    """One search. ``levels`` are the states in the order in which they were found, where they are kept.

    A step that leads out of the tables has it begin again, with those that ``widened`` returns.
    """

    def __init__(
        self,
        packed: Packed,
        bounds: Bounds,
        stop: frozenset[Wrong] = frozenset(),
        reducing: bool = False,
        alike: tuple[U64, ...] = (),
        keep: bool = True,
        widened: Widened | None = None,
    ) -> None:
        self.bounds = bounds
        self.keep = keep
        self.widened = widened
        self.stop = sum(1 << one for one in (*stop, OUTSIDE))
        self.started = time.monotonic()
        self._begin(packed, reducing, alike)

    def _begin(self, packed: Packed, reducing: bool, alike: tuple[U64, ...]) -> None:
        self.packed = packed
        self.reducing = reducing
        self.engine: Any = specialised(packed.layout.words)
        self.tables = self.engine.Tables(*(getattr(packed, name) for name in self.engine.Tables._fields))
        words = packed.layout.words
        self.alike = self.engine.Symmetry(*(alike or none(words)))
        self.table = np.zeros((FIRST_TABLE, words), np.uint64)
        self.frontier = packed.layout.first()
        self.following = np.zeros((FIRST_LEVEL, words), np.uint64)
        self.counters = np.zeros(8, np.uint64)
        self.counters[STOP] = self.stop
        self.found = np.zeros((KINDS, words + 1), np.uint64)
        self.batch = np.zeros((BATCH + packed.most, words), np.uint64)
        self.rows, self.slots = (np.zeros(len(self.batch), np.uint64) for _ in range(2))
        self.levels: list[U64] = []
        self.hits: dict[Wrong, Hit] = {}
        self.depth = 0
        self.at = 0
        self.incomplete = ""
        if alike:
            self.engine.canonical(self.tables, self.alike, self.frontier, np.uint64(0), self.found)
        self.engine.insert(self.table, self.frontier, np.uint64(0))
        self.counters[USED] = 1

    @property
    def states(self) -> int:
        """How many states were found."""
        return int(self.counters[USED])

    @property
    def transitions(self) -> int:
        """How many steps from one state to another were found."""
        return int(self.counters[TRANSITIONS])

    @property
    def landings(self) -> int:
        """How many of them are landings where they were asked for."""
        return int(self.counters[LANDINGS])

    @property
    def goals(self) -> int:
        """How many states have the operating system at its end, and everybody landed who was asked to."""
        return int(self.counters[GOALS])

    @property
    def bytes(self) -> int:
        """How much memory the states take."""
        kept = sum(level.nbytes for level in self.levels)
        return self.table.nbytes + self.frontier.nbytes + self.following.nbytes + kept

    @property
    def room(self) -> Any:
        """What the machine code works in."""
        return self.engine.Room(
            self.table, self.following, self.batch, self.rows, self.slots, self.counters, self.found
        )

    def run(self, listener: Listener | None = None) -> None:
        """Search until all was seen, something is wrong that ends it, or a bound is reached."""
        while len(self.frontier) and not self.incomplete:
            if self.depth >= self.bounds.depth:
                self.incomplete = f"no deeper than {self.depth} steps"
                return
            self.level(listener)

    def level(self, listener: Listener | None = None) -> None:
        """Expand one level."""
        if self.at == 0:
            self.counters[NEXT] = 0
        while self.at < len(self.frontier):
            end = min(self.at + CHUNK, len(self.frontier))
            self.at = self._expand(self.at, end)
            self._note()
            if listener:
                listener(self._progress())
            if self.widened and int(self.counters[FOUND]) >> OUTSIDE & 1:
                self._begin(*self.widened())
                return
            if int(self.counters[FOUND]) & int(self.counters[STOP]):
                self.incomplete = "a violation ends it"
                return
            if self.at < end:
                self._grow()
            if self.incomplete:
                return
        if self.keep:
            self.levels.append(self.frontier)
        self.frontier, self.at = self.following[: int(self.counters[NEXT])].copy(), 0
        self.depth += 1 if len(self.frontier) else 0

    def _expand(self, at: int, end: int) -> int:
        limit, most = int(LOAD * len(self.table)), self.packed.most
        states = self.frontier
        return int(self.engine.expand(self.tables, self.alike, self.room, states, at, end, limit, most, self.reducing))

    def _note(self) -> None:
        for wrong in Wrong:
            if int(self.counters[FOUND]) >> wrong & 1 and wrong not in self.hits:
                state, step = self.found[wrong, :-1].copy(), int(self.found[wrong, -1])
                act = self.packed.act_of[step]
                self.hits[wrong] = Hit(wrong, self.depth + 1, state, self.packed.moves[act][0], act, step)

    def _grow(self) -> None:
        most = 2 * self.packed.most + BATCH
        if self.states > self.bounds.states:
            self.incomplete = f"more than {self.bounds.states} states"
        elif int(self.counters[NEXT]) + most > len(self.following):
            more = zeros(2 * len(self.following) + most, self.following.shape[1])
            if self._fits(more.nbytes):
                more[: int(self.counters[NEXT])] = self.following[: int(self.counters[NEXT])]
                self.following = more
        else:
            table = zeros(2 * len(self.table) + 2 * most, self.table.shape[1])
            if self._fits(table.nbytes):
                self.engine.rehash(self.table, table)
                self.table = table

    @property
    def digest(self) -> str:
        """What tells this exploration from others: the tables, the reductions, and what it stops at."""
        found = hashlib.sha256(f"{self.reducing} {int(self.counters[STOP])} {self.packed.layout.words}".encode())
        known = self.alike._replace(keys=NOTHING, order=NOTHING, spare=NOTHING)
        for part in (*self.tables, *known, self.packed.layout.first()):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write all that was found to a file, whole or not at all."""
        table = self.table[self.table[:, 0] != 0]
        sizes = np.array([len(level) for level in self.levels], np.int64)
        levels = np.concatenate([*self.levels, self.frontier[:0]])
        numbers = np.array([self.depth, self.at, self.keep], np.int64)
        following = self.following[: int(self.counters[NEXT])]
        parts = {"table": table, "frontier": self.frontier, "following": following, "levels": levels, "sizes": sizes}
        parts |= {"counters": self.counters, "found": self.found, "numbers": numbers}
        temporary = path.with_name(f"{path.name}.tmp")
        with temporary.open("wb") as file:
            np.savez(file, digest=np.array(self.digest), allow_pickle=False, **parts)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what was written. Raises ``ValueError`` for another exploration's file, or what is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                parts = {name: file[name] for name in file.files}
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError("no checkpoint of an exploration") from error
        if str(parts.get("digest")) != self.digest and self.widened:
            self._begin(*self.widened())
        if str(parts.get("digest")) != self.digest:
            raise ValueError("the checkpoint of another exploration: other programs, processors, memory or reductions")
        self.depth, self.at, keep = (int(one) for one in parts["numbers"])
        self.keep, self.frontier, self.found = bool(keep), parts["frontier"], parts["found"]
        self.counters[:] = parts["counters"]
        self.levels = np.split(parts["levels"], np.cumsum(parts["sizes"]))[:-1] if self.keep else []
        more = 2 * self.packed.most + BATCH
        self.following = np.zeros((len(parts["following"]) + more, self.table.shape[1]), np.uint64)
        self.following[: len(parts["following"])] = parts["following"]
        self.table = np.zeros((int(len(parts["table"]) / LOAD) + 2 * more, self.table.shape[1]), np.uint64)
        self.engine.rehash(parts["table"], self.table)
        self._note()

    def _fits(self, more: int) -> bool:
        if self.bytes + more > self.bounds.memory and self.levels:
            self.levels, self.keep = [], False
        if self.bytes + more > self.bounds.memory:
            self.incomplete = f"more than {self.bounds.memory >> 20} MiB of states"
        return not self.incomplete

    def _progress(self) -> Progress:
        seconds = time.monotonic() - self.started
        return Progress(self.states, int(self.counters[NEXT]), self.depth, self.bytes, seconds)
