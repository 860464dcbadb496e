"""The search: breadth first, a level at a time, with bounds, until all states are seen or one is wrong."""

from __future__ import annotations

import hashlib
import itertools
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import attrs
import numpy as np

from mpwake.model.explore.engine import (
    BATCH,
    FOUND,
    GOALS,
    LANDINGS,
    NEXT,
    OUTSIDE,
    RECENT,
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
LOAD = 0.7
PART = 1 << 12
STATES, BYTES = 1 << 40, 8 << 30
NOTHING = np.zeros(0, np.uint64)
T = TypeVar("T")


@attrs.frozen
class Bounds:
    """How many states are looked at, in how many levels, how many bytes they may take, and how many threads do it."""

    states: int = STATES
    memory: int = BYTES
    depth: int = 1 << 40
    threads: int = 1


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


@attrs.frozen(eq=False)
class Worker:
    """What one thread works with, beside the table: the states that it finds, and its counters."""

    alike: Any
    batch: U64
    rows: U64
    slots: U64
    recent: U64
    counters: U64
    found: U64
    following: list[U64]

    @classmethod
    def of(cls, packed: Packed, alike: Any, stop: int) -> Worker:
        """Return one that has found nothing."""
        words = packed.layout.words
        scratch = {name: getattr(alike, name).copy() for name in ("keys", "order", "spare")}
        batch, found = np.zeros((BATCH + packed.most, words), np.uint64), np.zeros((KINDS, words + 1), np.uint64)
        rows, slots, counters = (np.zeros(size, np.uint64) for size in (len(batch), len(batch), 8))
        counters[STOP] = stop
        first, recent = np.zeros((FIRST_LEVEL, words), np.uint64), np.zeros((1 << RECENT, words), np.uint64)
        return cls(alike._replace(**scratch), batch, rows, slots, recent, counters, found, [first])

    @property
    def next(self) -> U64:
        """The states that it has found for the next level."""
        return self.following[0][: int(self.counters[NEXT])]

    def lacks(self, more: int) -> bool:
        """Say whether there is no room for so many more."""
        return len(self.next) + more > len(self.following[0])


def flat(states: U64) -> U64:
    """Return states as the machine code takes them: one word after the other."""
    return states.reshape(-1)


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
        self.workers = [Worker.of(packed, self.alike, self.stop) for _ in range(self.bounds.threads)]
        self.table = np.zeros((FIRST_TABLE, words), np.uint64)
        self.frontier = packed.layout.first()
        self.levels: list[U64] = []
        self.hits: dict[Wrong, Hit] = {}
        self.depth = 0
        self.at = 0
        self.left: list[tuple[int, int]] = []
        self.incomplete = ""
        if alike:
            self.engine.canonical(self.tables, self.alike, flat(self.frontier), np.uint64(0), self.found)
        self.engine.insert(flat(self.table), flat(self.frontier), np.uint64(0))
        self.workers[0].counters[USED] = 1

    def _counted(self, what: int) -> int:
        return sum(int(one.counters[what]) for one in self.workers)

    @property
    def found(self) -> U64:
        """What the first thread found wrong, by its kind."""
        return self.workers[0].found

    @property
    def states(self) -> int:
        """How many states were found."""
        return self._counted(USED)

    @property
    def transitions(self) -> int:
        """How many steps from one state to another were found."""
        return self._counted(TRANSITIONS)

    @property
    def landings(self) -> int:
        """How many of them are landings where they were asked for."""
        return self._counted(LANDINGS)

    @property
    def goals(self) -> int:
        """How many states have the operating system at its end, and everybody landed who was asked to."""
        return self._counted(GOALS)

    @property
    def bytes(self) -> int:
        """How much memory the states take."""
        kept = sum(level.nbytes for level in self.levels)
        return self.table.nbytes + self.frontier.nbytes + sum(one.following[0].nbytes for one in self.workers) + kept

    @property
    def room(self) -> Any:
        """What the machine code works in."""
        return self._room(self.workers[0])

    def _room(self, one: Worker) -> Any:
        own = (flat(one.batch), one.rows, one.slots, flat(one.recent), one.counters, one.found)
        return self.engine.Room(flat(self.table), flat(one.following[0]), *own)

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
            for one in self.workers:
                one.counters[NEXT] = 0
        while self.left or self.at < len(self.frontier):
            self.left = self._expand(self.left or self._parts())
            self._note()
            if listener:
                listener(self._progress())
            if self.widened and self._wrong >> OUTSIDE & 1:
                self._begin(*self.widened())
                return
            if self._wrong & self.stop:
                self.incomplete = "a violation ends it"
                return
            if self.left:
                self._grow()
            if self.incomplete:
                return
        if self.keep:
            self.levels.append(self.frontier)
        self.frontier, self.at = self._next(), 0
        self.depth += 1 if len(self.frontier) else 0

    @property
    def _wrong(self) -> int:
        # A bit for each kind of wrong that was found.
        found = 0
        for one in self.workers:
            found |= int(one.counters[FOUND])
        return found

    def _parts(self) -> list[tuple[int, int]]:
        # The next states to be expanded, some for each thread.
        start, self.at = self.at, min(self.at + CHUNK * len(self.workers), len(self.frontier))
        count = max(1, min(len(self.workers), (self.at - start) // PART))
        ends = [start + (self.at - start) * number // count for number in range(count + 1)]
        return list(itertools.pairwise(ends))

    def _expand(self, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
        # Returns what of them is left.
        room = (int(LOAD * len(self.table)) - self.states) // len(parts)
        shared = len(parts) > 1

        def work(start: int, end: int, one: Worker) -> tuple[int, int]:
            limit = int(one.counters[USED]) + room
            known = self.tables, one.alike, self._room(one), flat(self.frontier)
            return int(self.engine.expand(*known, start, end, limit, self.packed.most, self.reducing, shared)), end

        left = self._together(work, [(*part, one) for part, one in zip(parts, self.workers, strict=False)])
        return [(start, end) for start, end in left if start < end]

    @staticmethod
    def _together(work: Callable[..., T], parts: list[tuple[Any, ...]]) -> list[T]:
        # Does some work, each part in a thread of its own where they are several.
        if len(parts) == 1:
            return [work(*parts[0])]
        with ThreadPoolExecutor(len(parts)) as pool:
            return list(pool.map(work, *zip(*parts, strict=True)))

    def _next(self) -> U64:
        # The states of the next level. Where they are many, they stay where they are, and the thread gets other room.
        found = [one for one in self.workers if len(one.next)]
        if len(found) != 1 or len(found[0].next) < CHUNK:
            return np.concatenate([one.next for one in self.workers])
        states, room = found[0].next, found[0].following
        room[0] = zeros(*room[0].shape)
        return states

    def _note(self) -> None:
        for one in self.workers:
            for wrong in Wrong:
                if int(one.counters[FOUND]) >> wrong & 1 and wrong not in self.hits:
                    state, step = one.found[wrong, :-1].copy(), int(one.found[wrong, -1])
                    act = self.packed.act_of[step]
                    self.hits[wrong] = Hit(wrong, self.depth + 1, state, self.packed.moves[act][0], act, step)

    def _grow(self) -> None:
        most = 2 * self.packed.most + BATCH
        short = [one for one in self.workers if one.lacks(most)]
        if self.states > self.bounds.states:
            self.incomplete = f"more than {self.bounds.states} states"
        for one in short:
            old = one.next
            more = zeros(2 * len(one.following[0]) + most, old.shape[1])
            if self._fits(more.nbytes):
                more[: len(old)] = old
                one.following[0] = more
        if not short and not self.incomplete:
            table = zeros(2 * len(self.table) + 2 * most, self.table.shape[1])
            if self._fits(table.nbytes):
                self._rehash(table)

    def _rehash(self, table: U64) -> None:
        # Moves all states into a larger table; each thread those of a part of the old one.
        old, count = flat(self.table), len(self.workers) if len(self.table) > CHUNK else 1
        ends = [len(self.table) * number // count for number in range(count + 1)]

        def move(start: int, end: int) -> None:
            self.engine.rehash(old, flat(table), start, end, count > 1)

        self._together(move, list(itertools.pairwise(ends)))
        self.table = table

    @property
    def digest(self) -> str:
        """What tells this exploration from others: the tables, the reductions, and what it stops at."""
        found = hashlib.sha256(f"{self.reducing} {self.stop} {self.packed.layout.words}".encode())
        known = self.alike._replace(keys=NOTHING, order=NOTHING, spare=NOTHING)
        for part in (*self.tables, *known, self.packed.layout.first()):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()

    def _found(self) -> U64:
        found = self.found.copy()
        for one in self.workers[1:]:
            for kind in range(1, KINDS):
                if not found[kind].any():
                    found[kind] = one.found[kind]
        return found

    def save(self, path: Path) -> None:
        """Write all that was found to a file, whole or not at all."""
        table = self.table[self.table[:, 0] != 0]
        sizes = np.array([len(level) for level in self.levels], np.int64)
        levels = np.concatenate([*self.levels, self.frontier[:0]])
        left = np.array(self.left, np.int64).reshape(-1, 2)
        numbers = np.array([self.depth, self.at, self.keep], np.int64)
        following = np.concatenate([one.next for one in self.workers])
        counters = np.array([self._counted(what) for what in range(8)], np.uint64)
        counters[FOUND], counters[STOP] = self._wrong, self.stop
        found = self._found()
        parts = {"table": table, "frontier": self.frontier, "following": following, "levels": levels, "sizes": sizes}
        parts |= {"counters": counters, "found": found, "numbers": numbers, "left": left}
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
        self.keep, self.frontier, self.left = bool(keep), parts["frontier"], [(a, b) for a, b in parts["left"].tolist()]
        one = self.workers[0]
        one.found[:], one.counters[:] = parts["found"], parts["counters"]
        self.levels = np.split(parts["levels"], np.cumsum(parts["sizes"]))[:-1] if self.keep else []
        more = 2 * self.packed.most + BATCH
        one.following[0] = np.zeros((len(parts["following"]) + more, self.table.shape[1]), np.uint64)
        one.following[0][: len(parts["following"])] = parts["following"]
        self.table = np.zeros((int(len(parts["table"]) / LOAD) + 2 * more, self.table.shape[1]), np.uint64)
        self.engine.rehash(flat(parts["table"]), flat(self.table), 0, len(parts["table"]), False)
        self._note()

    def _fits(self, more: int) -> bool:
        if self.bytes + more > self.bounds.memory and self.levels:
            self.levels, self.keep = [], False
        if self.bytes + more > self.bounds.memory:
            self.incomplete = f"more than {self.bounds.memory >> 20} MiB of states"
        return not self.incomplete

    def _progress(self) -> Progress:
        seconds = time.monotonic() - self.started
        return Progress(self.states, self._counted(NEXT), self.depth, self.bytes, seconds)
