"""Trials of an AP loop as a state machine of Hypothesis: it opens in some way, and then its rules come in any order."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mpwake.fuzz.draw import (
    CLEAR,
    COMMANDS,
    CR4,
    LONGEST,
    MOST,
    SETTLED,
    TARGETED,
    WHOM,
    Can,
    Case,
    Disturbance,
    Setting,
    Step,
    case_of,
    settings_of,
    weighted,
)
from mpwake.model.probe import Request

MOST_REQUESTS = 2 * LONGEST
WAKES = ("wake", "overwrite", "torn")
# Whom something is done to: mostly a processor that is there.
ANYBODY: tuple[int | str, ...] = (*(tuple(range(MOST)) * 6), *WHOM)
NUMBER = st.sampled_from(COMMANDS) | st.integers(0, 0xFFFF)
NOTHING = st.none()
ORDER = st.permutations(range(MOST))
# Something odd, after which it is seen who was lost by it.
ODD = st.sampled_from(
    (
        [Step("wake", "all")],
        [Step("test", 0)],
        [Step("command", 0, 2)],
        [Step("test", "next")],
        [Step("fields", 0)],
        [Step("command", 0, 0x100), Step("command", 1, 0x101)],
        [Step("reserved", 0, 1), Step("wake", 0), Step("reserved")],
    )
)


def _of(ops: tuple[str, ...], values: tuple[int, ...] = (0,)) -> st.SearchStrategy[Step]:
    # One draw for all of it, for a trial has many.
    return st.sampled_from([Step(op, whom, value) for value in values for op in ops for whom in ANYBODY])


def _stores() -> st.SearchStrategy[Step]:
    whole = [Step("vector"), *(Step("reserved", 0, value) for value in (1, 0, 0x8000))]
    low = [Step("byte", 0, value) for value in (1, 2, 3, 0x101)]
    return st.sampled_from([*whole, *low]) | _of(("id",)) | st.builds(Step, st.just("stale"), st.just(0), NUMBER)


# The rules by name, and what each does.
RULES: dict[str, st.SearchStrategy[Step]] = {
    "wakes": _of(WAKES),
    "asks": _of(tuple(op for op in TARGETED if op not in WAKES)),
    "commands": st.builds(Step, st.just("command"), st.sampled_from(ANYBODY), NUMBER),
    "stores": _stores(),
    "waits": st.sampled_from([Step("clear"), *(Step("settle", 0, steps) for steps in (100, 0, 400))]),
}


def _in_order(ids: tuple[int, ...], order: list[int]) -> tuple[int, ...]:
    return tuple(sorted(ids, key=lambda one: order[ids.index(one) % len(order)]))


def _woken(ids: tuple[int, ...], order: list[int], ops: list[str]) -> tuple[Request, ...]:
    named = zip(_in_order(ids, order), (ops * MOST)[: len(ids)], strict=True)
    return (*(Request(op, one) for one, op in named), SETTLED)


def _cleared(ids: tuple[int, ...], odd: list[Step]) -> tuple[Request, ...]:
    # Something odd, taken back; then everybody else is woken: who was lost by it is seen.
    some = tuple(request for one in odd for request in one.requests(ids))
    rest = [one for one in ids if not any(done.op == "wake" and done.id == one for done in some)]
    return (*some, CLEAR, *(request for one in rest for request in (Request("wake", one), CLEAR)))


def _turned(ids: tuple[int, ...], op: str) -> tuple[Request, ...]:
    # One processor is spoken of, and another is woken, over and over: where a loop reads the fields of two commands.
    turns = (request for one in ids[1:] for request in (Request(op, ids[0]), Request("wake", one)))
    return (*turns, Request("wake", ids[0]), SETTLED)


def _again(ids: tuple[int, ...], woken: int, cr4: int) -> tuple[Request, ...]:
    # Some are woken, the first of them comes back and is tested, and those that are left are woken.
    some = ids[: 1 + woken % len(ids)]
    back = (Request("reset", ids[0], cr4), Request("test", ids[0]), CLEAR)
    rest = ids[len(some) :] or ids[:1]
    return (*(Request("wake", one) for one in some), SETTLED, *back, *(Request("wake", one) for one in rest), SETTLED)


def _twice(ids: tuple[int, ...], op: str) -> tuple[Request, ...]:
    return (Request("wake", ids[0]), SETTLED, Request(op, ids[0]), SETTLED)


def _once(ids: tuple[int, ...], step: Step) -> tuple[Request, ...]:
    return step.requests(ids)


@attrs.frozen
class Opening:
    """What a trial begins with, and what else has to happen for it to show something."""

    make: Callable[..., tuple[Request, ...]]
    parts: tuple[Any, ...]
    disturbance: Disturbance | None = None

    def requests(self, ids: tuple[int, ...]) -> tuple[Request, ...]:
        """Return it as requests to these processors."""
        return self.make(ids, *self.parts)


@functools.cache
def openings(can: Can) -> st.SearchStrategy[Opening]:
    """Draw what a trial begins with: a single step, or several that belong together."""

    def opening(
        make: Callable[..., tuple[Request, ...]],
        *parts: st.SearchStrategy[Any],
        beside: st.SearchStrategy[Disturbance | None] = NOTHING,
    ) -> st.SearchStrategy[Opening]:
        return st.builds(Opening, st.just(make), st.tuples(*parts), beside)

    odd = st.lists(st.builds(Step, st.just("command"), st.integers(0, MOST - 1), NUMBER), min_size=1, max_size=3)
    ops = st.lists(st.sampled_from(("wake", "overwrite")), min_size=1, max_size=MOST)
    pause = st.tuples(st.just("command"), st.sampled_from((40, 18, 12)), st.sampled_from((None, 0)))
    late = st.none() | st.tuples(st.just("pauses"), st.tuples(pause)) if can.pauses else st.none()
    bits = st.just(0) | st.sampled_from(CR4) if can.cr4 else st.just(0)
    return weighted(
        (2, opening(_once, RULES["wakes"])),
        (2, opening(_once, st.one_of(*RULES.values()))),
        (4, opening(_woken, st.just([0, 1, 2, 3]), st.just(["wake"]))),
        (2, opening(_woken, ORDER, st.just(["wake"]) | ops)),
        (3, opening(_cleared, odd | ODD | ODD)),
        (5, opening(_turned, st.sampled_from(("test", "fields")), beside=late)),
        (1, opening(_twice, st.sampled_from(("wake", "test", "fields")))),
        *([(2, opening(_again, st.integers(0, MOST - 1), bits))] if can.reset else []),
    )


class Trial(RuleBasedStateMachine):
    """What has been asked for so far, and who must be parked still; ``take`` is given the trial when it is whole."""

    def __init__(self, take: Callable[[Case], None]) -> None:
        super().__init__()
        self.take = take
        self.setting: Setting | None = None
        self.requests: list[Request] = []
        self.handled = sys.exception()

    @property
    def ids(self) -> tuple[int, ...]:
        """The APIC IDs of the processors."""
        return self.setting.ids if self.setting else ()

    @property
    def parked(self) -> tuple[int, ...]:
        """Those that nobody has woken, or that have come back."""
        gone: set[int] = set()
        for one in self.requests:
            if one.op in WAKES:
                gone.add(one.id)
            elif one.op == "reset":
                gone.discard(one.id)
        return tuple(one for one in self.ids if one not in gone)

    def ask(self, requests: Iterable[Request]) -> None:
        """Add requests, as long as there is room."""
        self.requests += tuple(requests)[: max(0, MOST_REQUESTS - len(self.requests))]

    @rule()
    def roll_call(self) -> None:
        """Take back what nobody answers, and wake all that are parked: who was lost is seen."""
        self.ask((CLEAR, *(one for id in self.parked for one in (Request("wake", id), CLEAR))))

    def teardown(self) -> None:
        """Give the trial away, unless it was not drawn to its end."""
        if self.setting is None or sys.exception() is not self.handled:
            return
        end = () if self.requests[-1] in (SETTLED, CLEAR) else (SETTLED,)
        self.take(case_of(self.setting, (*self.requests, *end)))


def _asks(name: str, steps: st.SearchStrategy[Step]) -> Any:
    def ask(self: Trial, step: Step) -> None:
        self.ask(step.requests(self.ids))

    ask.__name__ = ask.__qualname__ = name
    return rule(step=steps)(ask)


def _parks(can: Can) -> Any:
    def parks(self: Trial, setting: Setting, opening: Opening) -> None:
        self.setting = attrs.evolve(setting, disturbance=opening.disturbance or setting.disturbance)
        self.requests = list(opening.requests(setting.ids))

    return initialize(setting=settings_of(can), opening=openings(can))(parks)


@functools.cache
def machine_of(can: Can) -> type[Trial]:
    """Return the state machine of an AP loop to which these things can be done."""
    steps = RULES | ({"resets": _of(("reset", "again"), CR4 if can.cr4 else (0,))} if can.reset else {})
    return type("Trial", (Trial,), {"parks": _parks(can), **{name: _asks(name, some) for name, some in steps.items()}})
