"""What a fuzzer may find in one example, and when two of them are the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import hypothesis
from hypothesis import Phase, given, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

from mpwake.model.scenario import Origin
from mpwake.spec.requirements import Weight

BREAKS, BROKEN = "the suite breaks", "the program breaks"
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
_OFTEN = re.compile(r" \(\d+ times of \d+\)")
_LIST = re.compile(r"(N(?: at N)?)(?:, \1)+")


@attrs.frozen
class Problem:
    """Something that must not be, or that is otherwise than in the reference.

    ``requirement`` is the one that fails, nothing where no requirement covers it; ``kind`` says of those what they are.
    ``shape`` tells problems of one sort apart; ``causes`` are circumstances that may have brought it about. ``beside``
    is evidence as text.
    """

    requirement: str
    shape: str
    found: str
    expected: str
    causes: frozenset[str] = frozenset()
    weight: Weight | None = None
    kind: str = ""
    beside: str = ""

    @property
    def key(self) -> str:
        """What it has in common with all that are the same, but for their causes."""
        return f"{self.requirement or self.kind}: {self.shape}"

    def explains(self, other: Problem) -> bool:
        """Say whether another problem is this one: the same shape, where at least the same circumstances are given."""
        return self.key == other.key and self.causes <= other.causes


@attrs.frozen
class Examined:
    """What one example showed: its problems, how often things happened, and what there was in it to be reached."""

    problems: tuple[Problem, ...] = ()
    sometimes: Counter[str] = attrs.field(factory=Counter)
    reached: frozenset[object] = frozenset()
    depth: int = 0


Search = Callable[[Callable[[Any], None], settings, int, int], None]


def drawn(strategy: SearchStrategy[Any]) -> Search:
    """Search among what a strategy draws."""

    def search(take: Callable[[Any], None], how: settings, seed: int, _number: int) -> None:
        @how  # after the seed, which would take the database away
        @hypothesis.seed(seed)
        @given(strategy)
        def examine(example: object) -> None:
            take(example)

        examine()

    return search


def driven(machine: Callable[[Callable[[Any], None]], RuleBasedStateMachine], steps: Sequence[int]) -> Search:
    """Search among what a state machine makes; it gives away what it has made.

    Hypothesis makes as many steps as it may, so how many these are goes by the round. What is kept is tried again with
    as many as it can have.
    """

    def search(take: Callable[[Any], None], how: settings, seed: int, number: int) -> None:
        @hypothesis.seed(seed)
        def begin() -> RuleBasedStateMachine:
            return machine(take)

        count = max(steps) if Phase.reuse in how.phases else steps[number % len(steps)]
        run_state_machine_as_test(begin, settings=settings(how, stateful_step_count=count))  # type: ignore[arg-type]

    return search


@attrs.frozen
class Job:
    """What is fuzzed: how examples are searched for, examined, told of in lines, and written into a folder.

    ``search`` has Hypothesis draw the examples of a round, and gives each away. ``simpler`` yields
    examples with something left out that Hypothesis leaves in. ``needed`` are the things that must have happened once,
    else nothing was shown. ``digest`` stands for the code under test, ``options`` for what was said of it on the
    command line. ``platform`` is what its examples call their platform, where they name one. ``size`` orders examples;
    ``write`` returns the files that it made.
    """

    name: str
    about: str
    digest: str
    search: Search
    examine: Callable[[Any], Examined]
    told: Callable[[Any], Sequence[str]]
    size: Callable[[Any], tuple[int, ...]]
    write: Callable[[Any, tuple[Problem, ...], Path, str, Origin], tuple[str, ...]]
    needed: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    platform: str = ""
    simpler: Callable[[Any], Iterator[Any]] = lambda _example: iter(())


def shape_of(text: str) -> str:
    """Return a text without what differs from one example to the next: its numbers, and how many there are.

    >>> shape_of("landed: 0x1 at 0x9a000, 0x2 at 0x9b000")
    'landed: N at N'
    """
    return _LIST.sub(r"\1", _NUMBER.sub("N", _OFTEN.sub("", text)))


def new_ones(problems: Iterable[Problem], known: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems that no known one explains."""
    known = tuple(known)
    return tuple(one for one in problems if not any(other.explains(one) for other in known))
