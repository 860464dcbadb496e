"""Any number of processors at once: those that somebody knows by name, and of the others who there is.

A processor is **named** where the page, the operating system or another processor holds its APIC ID, its wakeup vector
or its request. The others are told apart by what they do alone: of each local state there are none of them, one, or
many. Of many that one leaves, one or many stay: both are looked at. So whatever two or more processors can do is among
what is found here, and maybe more, which none can do: a violation counts only when so many processors show it.

What agents do comes from the tables of a few processors, the **pool**; the last of its numbers stands for one that
nobody names. That names are nothing but names to a program is proved twice: each step of the tables is that of the
renamed state (``symmetry``), and a pool with other APIC IDs and vectors leads to the same states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import attrs

from mpwake.model.core import LANDED
from mpwake.model.explore.eager import Eager
from mpwake.model.explore.local import (
    GIVEN_UP,
    LEFT,
    NOBODY,
    SENDER,
    WOKEN,
    Action,
    Cell,
    Local,
    Outcome,
    Unexplorable,
)
from mpwake.model.explore.monitors import RACES, Check, Monitors, Wrong
from mpwake.model.explore.packing import unanswered
from mpwake.model.explore.symmetry import Alike, UnlikeError
from mpwake.model.explore.tables import Behaviours, Move, Setup
from mpwake.model.program import Op

MOST = 200_000
# The bits of a processor.
ASKABLE, AWAKE, ABANDONED = 1, 2, 4
_BITS = {LEFT: ASKABLE, WOKEN: AWAKE, GIVEN_UP: ABANDONED}
Person = tuple[Local, int]
Rest = tuple[tuple[Local, int, bool], ...]
Places = tuple[tuple[int, int], ...]


class State(NamedTuple):
    """A state: ``named`` are processors 1, 2 ..., ``rest`` the others, each kind with whether there are many."""

    sender: Local
    shared: tuple[int, ...]
    named: tuple[Person, ...]
    rest: Rest


class Stepped(NamedTuple):
    """A step: whose it is, what came of it, the state after it (if the pool has room), the kinds of wrong in it."""

    agent: int
    outcome: Outcome
    state: State | None
    wrongs: tuple[Wrong, ...]


class CrowdError(Exception):
    """More processors are named at a time than the pool has."""


@attrs.define(eq=False)
class Covered:
    """What was found of any number of processors, and how far from the start each kind of wrong is.

    ``crowded`` says that some states were left out, because more processors are named in them than there are.
    """

    states: int = 1
    transitions: int = 0
    depth: int = 0
    landings: int = 0
    goals: int = 0
    wrongs: dict[Wrong, int] = attrs.field(factory=dict)
    crowded: bool = False

    def take(self, step: Stepped, lands: bool) -> None:
        """Count a step."""
        self.transitions += 1
        self.landings += lands
        self.crowded = self.crowded or step.state is None
        for wrong in step.wrongs:
            self.wrongs.setdefault(wrong, self.depth + 1)


@attrs.frozen
class _Start:
    """Somebody who may take a step, with those who are named then, and who is left of the others, in each case."""

    agent: int
    local: Local
    people: dict[int, Person]
    rests: tuple[Rest, ...]


class Everybody:
    """What any number of processors can do. Raises ``UnlikeError`` where they are not alike."""

    def __init__(self, setup: Setup, reducing: bool = True) -> None:
        self.known = Behaviours(setup)
        self.last = len(setup.ids) - 1
        self.names = Alike(self.known).named
        self.ids = {number: value for value, number in self.names.items() if value in setup.ids}
        self.vectors = {number: value for value, number in self.names.items() if value not in setup.ids}
        self.eager = Eager(self.known).found if reducing else set()
        self.monitors = Monitors(self.known)
        self.unanswered = [unanswered(self.known, side.number) for side in self.known.sides]
        self.owners = {cell: owner for cell in self.known.cells if (owner := self._owner(cell))}
        self.places = {cell: at for at, cell in enumerate(one for one in self.known.cells if one not in self.owners)}
        self._moves: dict[tuple[int, Local], list[Move]] = {}
        self._renamed: dict[tuple[Local, Places], Local] = {}
        self._named: dict[Local, tuple[int, ...]] = {}

    def _owner(self, cell: Cell) -> tuple[int, int] | None:
        kind, number = cell
        if kind == WOKEN:
            return (self.names[number], AWAKE) if number in self.names else None
        return (number + 1, _BITS[kind]) if kind in _BITS else None

    def first(self) -> State:
        """Return the state in which many processors wait, and nobody was asked for any."""
        shared = tuple(self.known.initial(cell) for cell in self.places)
        waiting = (self.known.sides[self.last].first(), ASKABLE, True)
        return State(self.known.sides[SENDER].first(), shared, (), (waiting,))

    def run(self, stop: frozenset[Wrong] = frozenset(), most: int = MOST) -> tuple[Covered, frozenset[State]]:
        """Search breadth first, until all is seen or something is wrong that ends it.

        Raises ``Unexplorable`` where there are too many states, ``CrowdError`` where the pool was too small for some.
        """
        level, seen = [self.first()], {self.first()}
        covered = Covered()
        while level and not stop & covered.wrongs.keys():
            following: list[State] = []
            for state in level:
                covered.goals += self.reached(state)
                for step in self.after(state):
                    covered.take(step, step.agent != SENDER and self.monitors.lands_well(step.agent, step.outcome))
                    if step.state is not None and step.state not in seen:
                        seen.add(step.state)
                        following.append(step.state)
            if len(seen) > most:
                raise Unexplorable(f"any number of them have more than {most} states")
            level, covered.depth, covered.states = following, covered.depth + bool(following), len(seen)
        if covered.crowded and not stop & covered.wrongs.keys():
            raise CrowdError
        return covered, frozenset(seen)

    def reached(self, state: State) -> bool:
        """Say whether the operating system is at its end, and everybody has landed who was asked to."""
        side, local = self.known.sides[SENDER], state.sender
        everybody = [*state.named, *((one, bits) for one, bits, _ in state.rest)]
        at_next = local.status == 0 and side.rows[local.pc][0] == Op.NEXT
        if not side.ends(local) or (at_next and any(bits & ASKABLE for _, bits in everybody)):
            return False
        return all(bits & ASKABLE or one.landed or one.status == LANDED for one, bits in everybody)

    def after(self, state: State) -> list[Stepped]:
        """Return all steps from a state, or those alone that are nobody else's matter."""
        starts = list(self._starts(state))
        eager = next((one for one in starts if (one.agent, one.local) in self.eager), None)
        own = list(self._steps(state, eager, own=True)) if eager else []
        return own or [step for one in starts for step in self._steps(state, one)]

    def _starts(self, state: State) -> Iterator[_Start]:
        people = dict(enumerate(state.named, start=1))
        yield _Start(SENDER, state.sender, people, (state.rest,))
        for number, (local, _) in people.items():
            yield _Start(number, local, people, (state.rest,))
        for at, (local, bits, _) in enumerate(state.rest):
            yield _Start(self.last, local, {**people, self.last: (local, bits)}, _without(state.rest, at))

    def _steps(self, state: State, start: _Start, own: bool = False) -> Iterator[Stepped]:
        for move in self._possible(start.agent, start.local):
            if own and move.action.number:
                continue
            for one in self._asked(state, start, move.action):
                outcome = move.outcomes[tuple(self._value(cell, state.shared, one.people) for cell in move.cells)]
                if outcome is not None:
                    yield from self._stepped(state, one, outcome)

    def _possible(self, agent: int, local: Local) -> list[Move]:
        if (agent, local) not in self._moves:
            moves = self.known.moves(agent, local)
            self._moves[agent, local] = [one for one in moves if any(one.outcomes.values())]
        return self._moves[agent, local]

    def _asked(self, state: State, start: _Start, action: Action) -> Iterator[_Start]:
        # Who may be the one that the operating system is asked for, if it takes a request.
        askable = any(bits & ASKABLE for _, bits in (*state.named, *((one, bits) for one, bits, _ in state.rest)))
        if action.request is None or (action.request == NOBODY and not askable):
            yield start
        elif action.request + 1 == self.last:
            for at, (local, bits, _) in enumerate(state.rest):
                if bits & ASKABLE:
                    people = {**start.people, self.last: (local, bits)}
                    yield attrs.evolve(start, people=people, rests=_without(state.rest, at))
        elif action.request != NOBODY and start.people.get(action.request + 1, (None, 0))[1] & ASKABLE:
            yield start

    def _value(self, cell: Cell, shared: tuple[int, ...], people: dict[int, Person]) -> int:
        if cell in self.places:
            return shared[self.places[cell]]
        number, bit = self.owners[cell]
        return int(people[number][1] & bit != 0)

    def _stepped(self, state: State, start: _Start, outcome: Outcome) -> Iterator[Stepped]:
        shared, people, sender = list(state.shared), dict(start.people), state.sender
        if start.agent == SENDER:
            sender = outcome.local
        else:
            people[start.agent] = outcome.local, people[start.agent][1]
        for cell, value in outcome.writes:
            if cell in self.places:
                shared[self.places[cell]] = value
            else:
                number, bit = self.owners[cell]
                people[number] = people[number][0], people[number][1] & ~bit | bit * value
        checks = self.monitors.of(start.agent, outcome)
        wrongs = tuple(one.wrong for one in checks if self._violates(one, state, start.people))
        for rest in start.rests:
            yield Stepped(start.agent, outcome, self.settled(sender, tuple(shared), people, rest), wrongs)

    def _violates(self, check: Check, state: State, people: dict[int, Person]) -> bool:
        for test in check.tests:
            held = all(self._value(cell, state.shared, people) == value for cell, value in test.cells)
            if held != test.same:
                return False
        if check.landed != SENDER and not people[check.landed][0].landed:
            return False
        target = check.unanswered
        return target == SENDER or people[target][0] in self.unanswered[target]

    def settled(self, sender: Local, shared: tuple[int, ...], people: dict[int, Person], rest: Rest) -> State | None:
        """Return a state in which those whom somebody names have the numbers from 1 on, and the others have none.

        Return None when the pool has no number for one of them.
        """
        order = list(self._mentions(sender, shared, people, rest))
        if len(order) >= self.last:
            return None
        places = {old: new for new, old in enumerate(dict.fromkeys(order), start=1)}
        found: dict[Person, bool] = {}
        among = _pairs({old: new for old, new in places.items() if old != self.last})
        for local, bits, many in rest:
            _join(found, (self._rename(local, among), bits), many)
        for number, (local, bits) in people.items():
            if number not in places:
                _join(found, (self._rename(local, _pairs({**places, number: self.last})), bits), False)
        whole = _pairs(places)
        named = tuple((self._rename(people[old][0], whole), people[old][1]) for old in places)
        others = tuple(sorted((local, bits, many) for (local, bits), many in found.items()))
        return State(self._rename(sender, whole), self._values(shared, places), named, others)

    def _mentions(self, sender: Local, shared: tuple[int, ...], people: dict[int, Person], rest: Rest) -> Iterator[int]:
        found = [*self._names_in(sender), *(self.names[one] for one in shared if one in self.names)]
        for number, (local, _) in people.items():
            found += [one for one in self._names_in(local) if one != number]
        for local, _, _ in rest:
            found += [one for one in self._names_in(local) if one != self.last]
        yield from dict.fromkeys(found)

    def _names_in(self, local: Local) -> tuple[int, ...]:
        if local not in self._named:
            values = (*local.registers, *(one.value for one in local.buffer))
            found = [self.names[value] for value in values if value in self.names]
            self._named[local] = tuple(found if local.request == NOBODY else [local.request + 1, *found])
        return self._named[local]

    def _values(self, values: tuple[int, ...], places: dict[int, int]) -> tuple[int, ...]:
        return tuple(self._value_of(one, places) for one in values)

    def _value_of(self, value: int, places: dict[int, int]) -> int:
        number = self.names.get(value)
        if number is None or number not in places:
            return value
        return (self.ids if self.ids[number] == value else self.vectors)[places[number]]

    def _rename(self, local: Local, pairs: Places) -> Local:
        key = local, pairs
        if key not in self._renamed:
            places = dict(pairs)
            self._renamed[key] = local._replace(
                registers=self._values(local.registers, places),
                buffer=tuple(one._replace(value=self._value_of(one.value, places)) for one in local.buffer),
                request=local.request if local.request == NOBODY else places[local.request + 1] - 1,
            )
        return self._renamed[key]

    def told(self, state: State) -> object:
        """Return a state without APIC IDs and vectors: what is the same in every pool."""
        shared = tuple(self._called(one) for one in state.shared)
        named = tuple((self._form(local), bits) for local, bits in state.named)
        rest = frozenset((self._form(local), bits, many) for local, bits, many in state.rest)
        return self._form(state.sender), shared, named, rest

    def _called(self, value: int) -> object:
        number = self.names.get(value)
        return value if number is None else (number, self.ids[number] == value)

    def _form(self, local: Local) -> object:
        registers = tuple(self._called(one) for one in local.registers)
        buffer = tuple((one.offset, one.width, self._called(one.value), one.release) for one in local.buffer)
        return local._replace(registers=(), buffer=()), registers, buffer


def _without(rest: Rest, at: int) -> tuple[Rest, ...]:
    # One of a kind leaves: of many, one or many stay.
    local, bits, many = rest[at]
    none = (*rest[:at], *rest[at + 1 :])
    return ((*rest[:at], (local, bits, False), *rest[at + 1 :]), rest) if many else (none,)


def _join(found: dict[Person, bool], person: Person, many: bool) -> None:
    found[person] = many or person in found


def _pairs(places: dict[int, int]) -> Places:
    return tuple(sorted(places.items()))


def everybody(pools: Iterable[tuple[Setup, Setup]], stop: frozenset[Wrong] = RACES) -> Covered:
    """Search for any number of processors with the first pool that is large enough; each comes with another like it.

    Raises ``UnlikeError`` where processors are not alike, ``Unexplorable`` where there is too much of something.
    """
    most = 0
    for setup, other in pools:
        most = len(setup.ids) - 2
        one = Everybody(setup)
        try:
            covered, states = one.run(stop)
        except CrowdError:
            continue
        if not stop & covered.wrongs.keys():
            again = Everybody(other)
            if {again.told(state) for state in again.run(stop)[1]} != {one.told(state) for state in states}:
                raise UnlikeError("their APIC IDs and vectors are more than names to a program")
        return covered
    raise Unexplorable(f"more than {most} of them are named at a time")
