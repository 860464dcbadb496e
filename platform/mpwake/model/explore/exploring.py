"""One exploration of the model: the search with its reductions, what it found wrong, and the schedules to that."""

from __future__ import annotations

import attrs

from mpwake.model.explore.eager import Eager
from mpwake.model.explore.engine import U64
from mpwake.model.explore.guess import likely
from mpwake.model.explore.monitors import RACES, SINGLE, Wrong
from mpwake.model.explore.packing import Packed, pack
from mpwake.model.explore.paths import Taken, way_into, way_to
from mpwake.model.explore.search import Bounds, Hit, Listener, Search
from mpwake.model.explore.stuck import first_stuck
from mpwake.model.explore.symmetry import Alike, UnlikeError
from mpwake.model.explore.symmetry import Tables as Places
from mpwake.model.explore.tables import Behaviours, Setup


@attrs.frozen
class Reductions:
    """Which states need not be looked at: those with others in the same places, and those on the way of an own step."""

    symmetry: bool = True
    partial_order: bool = True


@attrs.frozen
class Found:
    """Something wrong, and a shortest schedule that ends with it."""

    wrong: Wrong
    way: tuple[Taken, ...]


@attrs.frozen(eq=False)
class Result:
    """What an exploration covered and found; ``notes`` say which reductions were not made, and why."""

    known: Behaviours
    states: int
    transitions: int
    depth: int
    incomplete: str
    landings: int
    goals: int
    found: tuple[Found, ...]
    notes: tuple[str, ...] = ()


class Exploration:
    """An exploration, ready to run."""

    def __init__(self, setup: Setup, reductions: Reductions, bounds: Bounds, known: Behaviours | None = None) -> None:
        self.bounds = bounds
        self.reductions = reductions
        self._prepare(known or Behaviours(setup, within=likely(setup)))

    def _prepare(self, known: Behaviours) -> None:
        self.known = known
        self.notes: list[str] = []
        eager = (
            frozenset(Eager(known).found) if self.reductions.partial_order and known.setup.callers == 1 else frozenset()
        )
        self.packed: Packed = pack(known, eager)
        self.reducing = bool(eager)
        self.alike = self._alike() if self.reductions.symmetry and len(known.setup.ids) > 2 else ()

    def _widened(self) -> tuple[Packed, bool, tuple[U64, ...]]:
        if self.known.narrowed:
            self._prepare(Behaviours(self.known.setup))
        return self.packed, self.reducing, self.alike

    def _alike(self) -> tuple[U64, ...]:
        try:
            return Places(Alike(self.known), self.packed.layout).arrays()
        except UnlikeError as error:
            self.notes.append(f"no two processors are taken for each other: {error.reason}")
            return ()

    def search(self, stop: frozenset[Wrong] = RACES) -> Search:
        """Return the search."""
        return Search(self.packed, self.bounds, stop, self.reducing, self.alike, widened=self._widened)

    def run(self, search: Search, listener: Listener | None = None) -> Result:
        """Search, and find out how it came to what is wrong."""
        search.run(listener)
        races = [hit for wrong, hit in search.hits.items() if wrong in RACES]
        if races:
            found = [Found(hit.wrong, self._shortest(search, hit)) for hit in races[:1]]
        else:
            found = list(self._others(search))
        return Result(
            self.known,
            search.states,
            search.transitions,
            search.depth,
            search.incomplete,
            search.landings,
            search.goals,
            tuple(found),
            tuple(self.notes),
        )

    def _others(self, search: Search) -> list[Found]:
        hits = sorted((hit for wrong, hit in search.hits.items() if wrong in SINGLE), key=lambda hit: hit.depth)
        found = [Found(hit.wrong, self._shortest(search, hit)) for hit in hits]
        if search.incomplete:
            return found
        if not search.levels:
            self.notes.append("whether the goal stays reachable was not looked at, for want of memory")
            return found
        stuck = first_stuck(search)
        if stuck:
            found.append(Found(Wrong.STUCK, way_to(search, stuck[1], stuck[0])[0]))
        return found

    def _shortest(self, search: Search, hit: Hit) -> tuple[Taken, ...]:
        # Steps that were taken at once need not be on a shortest way: look again, no deeper, without that.
        if self.reducing or not search.levels:
            bounds = attrs.evolve(self.bounds, depth=hit.depth, memory=2 * self.bounds.memory)
            again = Search(
                self.packed,
                bounds,
                frozenset({hit.wrong}),
                alike=self.alike,
                widened=lambda: (self._widened()[0], False, self.alike),
            )
            again.run()
            if hit.wrong in again.hits and again.levels:
                return way_into(again, again.hits[hit.wrong])
        return way_into(search, hit)
