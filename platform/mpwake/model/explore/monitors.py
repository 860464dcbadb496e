"""What must not happen: on which steps it is looked for, and under which condition on the state before them."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from mpwake.evidence.trace import OPS
from mpwake.model.explore.local import GIVEN_UP, PAGE_CELL, SENDER, Cell, Outcome, Told
from mpwake.model.explore.tables import Behaviours

OS_SECTION = 2048
COMMAND, APIC_ID, FIELDS_END = (0, 2), (4, 4), 16


class Wrong(enum.IntEnum):
    """Kinds of wrong. Those up to ``WOKEN_AGAIN`` are races and end a search; others may be a matter of one agent."""

    ASTRAY = 1
    ACK_OF_NOTHING = 2
    ACK_OF_ANOTHERS = 3
    LATE = 4
    AGAIN = 5
    WOKEN_AGAIN = 6
    LOST = 7
    FIELDS_CHANGED = 8
    COMMAND_OVER_COMMAND = 9
    EARLY_SUCCESS = 10
    FOREIGN_STORE = 11
    COMMAND_BY_AP = 12
    STUCK = 13


SAYS = {
    Wrong.ASTRAY: "lands at {value:#x}, where it was not asked to",
    Wrong.ACK_OF_NOTHING: "acknowledges when Command is 0 already",
    Wrong.ACK_OF_ANOTHERS: "acknowledges a command that is for another",
    Wrong.LATE: "acknowledges after the operating system has given it up",
    Wrong.AGAIN: "lands a second time, at {value:#x}",
    Wrong.WOKEN_AGAIN: "sends a Wakeup to a processor that has landed",
    Wrong.LOST: "reports success, and the processor has not taken its command",
    Wrong.FIELDS_CHANGED: "stores {width} bytes at {offset:#x} while a command is pending",
    Wrong.COMMAND_OVER_COMMAND: "stores Command = {value:#x} over a command that is pending",
    Wrong.EARLY_SUCCESS: "reports success while its command is pending",
    Wrong.FOREIGN_STORE: "stores {width} bytes at {offset:#x}, where the operating system writes",
    Wrong.COMMAND_BY_AP: "stores Command = {value:#x}",
    Wrong.STUCK: "from here no schedule leads to where everybody was asked to",
}
RACES = frozenset(one for one in Wrong if one <= Wrong.WOKEN_AGAIN)
SINGLE = frozenset(one for one in Wrong if Wrong.WOKEN_AGAIN < one < Wrong.STUCK)


@attrs.frozen
class Test:
    """Whether cells hold these values, all of them, or (``same`` false) not all of them."""

    cells: tuple[tuple[Cell, int], ...]
    same: bool = True


@attrs.frozen
class Check:
    """Wrong where both tests hold, and an agent (if one is named) has not stored an acknowledgement, or has landed."""

    wrong: Wrong
    tests: tuple[Test, ...] = ()
    unanswered: int = SENDER
    landed: int = SENDER


class Monitors:
    """The checks of a platform's steps."""

    def __init__(self, known: Behaviours) -> None:
        self.known = known
        setup = known.setup
        self.asked = {(target, vector) for op, target, vector in setup.requests if op != OPS["test"]}
        self.senders = setup.senders
        self.idle = self._page(*COMMAND, 0)
        self.requests: dict[int, list[int]] = {}
        for number, (_, target, _) in enumerate(setup.requests):
            self.requests.setdefault(target, []).append(number)
        wakes = [target for op, target, _ in setup.requests if op == OPS["wake"]]
        self.twice = len(wakes) > len(set(wakes))

    def _page(self, offset: int, width: int, value: int) -> tuple[tuple[Cell, int], ...]:
        return tuple(
            ((PAGE_CELL, at), value >> 8 * (at - offset) & (1 << 8 * size) - 1)
            for at, size in self.known.grid.within(offset, width)
        )

    def of(self, agent: int, outcome: Outcome) -> tuple[Check, ...]:
        """Return what is looked for on a step."""
        found = self._sent(outcome) if agent in self.senders else self._received(agent, outcome)
        return tuple(dict.fromkeys(found))

    def lands_well(self, agent: int, outcome: Outcome) -> bool:
        """Say whether a processor lands in a step where it was asked to."""
        mine = self.known.setup.ids[agent]
        return any(one.kind == "landing" and (mine, one.value) in self.asked for one in outcome.told)

    def _received(self, agent: int, outcome: Outcome) -> Iterator[Check]:
        mine = self.known.setup.ids[agent]
        for one in outcome.told:
            if one.kind == "landing" and (mine, one.value) not in self.asked:
                yield Check(Wrong.ASTRAY)
            if one.kind == "landing" and self.known.sides[agent].lands:
                yield Check(Wrong.AGAIN, landed=agent)
            if one.kind == "visible":
                yield from self._stored(mine, one)

    def _stored(self, mine: int, one: Told) -> Iterator[Check]:
        if one.offset >= OS_SECTION:
            return
        if one.offset >= COMMAND[1]:
            yield Check(Wrong.FOREIGN_STORE)
            return
        if (one.value << 8 * one.offset) & 0xFFFF:
            yield Check(Wrong.COMMAND_BY_AP)
            return
        if (one.offset, one.width) != COMMAND:
            yield Check(Wrong.FOREIGN_STORE)
        yield Check(Wrong.ACK_OF_NOTHING, (Test(self.idle),))
        yield Check(Wrong.ACK_OF_ANOTHERS, (Test(self.idle, False), Test(self._page(*APIC_ID, mine), False)))
        for request in self.requests.get(mine, ()):
            if (GIVEN_UP, request) in self.known.cells:
                yield Check(Wrong.LATE, (Test((((GIVEN_UP, request), 1),)),))

    def _sent(self, outcome: Outcome) -> Iterator[Check]:
        for one in outcome.told:
            if one.kind == "visible":
                yield from self._written(one)
            if one.kind == "return" and one.value == 0 and one.request >= 0:
                if self.known.setup.callers == 1:
                    yield Check(Wrong.EARLY_SUCCESS, (Test(self.idle, False),))
                target = self.known.setup.requests[one.request][1]
                if target in self.known.setup.ids[1:]:
                    yield Check(Wrong.LOST, unanswered=self.known.setup.ids.index(target, 1))

    def _written(self, one: Told) -> Iterator[Check]:
        if APIC_ID[0] <= one.offset < FIELDS_END:
            yield Check(Wrong.FIELDS_CHANGED, (Test(self.idle, False),))
        if one.offset == 0 and one.value & 0xFFFF:
            yield Check(Wrong.COMMAND_OVER_COMMAND, (Test(self.idle, False),))
        if self.twice and one.offset == 0 and one.value & 0xFFFF == OPS["wake"]:
            for agent in sorted(set(range(1, len(self.known.sides))) - self.senders):
                yield Check(Wrong.WOKEN_AGAIN, (Test(self._page(*APIC_ID, self.known.setup.ids[agent])),), landed=agent)
