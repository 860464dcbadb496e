"""A campaign: rounds of examples, each from a seed of its own, until a number of them or a time is spent.

``work`` is one worker's part, and ``one_round`` a round of it. Both take a plain task and tell of what they find in
messages, so that they may run in this process, in another, or on another machine; ``Tally`` puts the messages of all
workers together.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import SkipTest

import attrs
from hypothesis import HealthCheck, Phase, Verbosity, note, settings, target
from hypothesis.errors import Flaky, StopTest, Unsatisfiable

from mpwake.fuzz.database import Apart, database_of
from mpwake.fuzz.problem import Examined, Job, Problem, new_ones
from mpwake.fuzz.seeded import seeded_alone
from mpwake.spec.errors import ToolError

ROUND = 200
MOST_REACHED = 20_000
MOST_FINDINGS = 200
STRIDE = 1 << 20
SHRINKS = 20.0
REDUCTIONS = 300


class Over(BaseException):
    """The time, or the number of examples, is spent. No part of Hypothesis takes this for a failure."""


class FoundError(Exception):
    """An example shows something new; each sort is a class of its own, which Hypothesis shrinks apart."""


@attrs.frozen
class Task:
    """A worker's part of a campaign: the seed of the whole, which worker of how many, and where it ends.

    ``first`` is the round to begin with; ``known`` is what need not be found again. ``until`` is a time of
    ``time.monotonic``, ``examples`` counts for this worker alone; None for no bound.
    """

    seed: int = 0
    worker: int = 0
    workers: int = 1
    first: int = 0
    examples: int | None = None
    until: float | None = None
    database: str = ""
    known: tuple[Problem, ...] = ()


@attrs.frozen
class Found:
    """The smallest example that shows something, all that it shows, and what repeats it."""

    problems: tuple[Problem, ...]
    example: Any
    told: tuple[str, ...]
    size: tuple[int, ...]
    seed: int
    notes: tuple[str, ...] = ()


@attrs.frozen
class Message:
    """What a worker tells at the end of a round: what it did since the last, what it found, and if it was its last."""

    worker: int
    round: int
    examples: int
    seconds: float
    sometimes: Counter[str]
    reached: int
    found: tuple[Found, ...] = ()
    last: bool = False


@attrs.frozen
class Lane:
    """What a worker takes along from one round to the next."""

    known: tuple[Problem, ...]
    counted: int = 0
    reached: Counter[object] = attrs.field(factory=Counter)


Tell = Callable[[Message], None]


def seed_of(task: Task, number: int) -> int:
    """Return the seed of a round: no two workers of a campaign have one in common."""
    return task.seed * STRIDE + number * task.workers + task.worker


@attrs.define
class Worker:
    """Carries a task out."""

    job: Job
    task: Task
    tell: Tell
    stops: Callable[[], bool]
    known: list[Problem] = attrs.field(default=attrs.Factory(lambda self: list(self.task.known), takes_self=True))
    counted: int = 0
    since: int = 0
    sometimes: Counter[str] = attrs.field(factory=Counter)
    reached: Counter[object] = attrs.field(factory=Counter)
    smallest: dict[str, Found] = attrs.field(factory=dict)
    sorts: dict[str, type[FoundError]] = attrs.field(factory=dict)
    seed: int = 0
    guided: bool = False

    def run(self) -> None:
        """Go round by round until the task is done, and tell of each round."""
        number = self.task.first
        while not self.round(number):
            number += 1

    def round(self, number: int) -> bool:
        """Go one round, and tell of it; return whether it was the last."""
        began, over, notes = time.monotonic(), False, dict[str, tuple[str, ...]]()
        broken: ToolError | None = None
        self.seed, self.guided = seed_of(self.task, number), number % 2 == 1
        try:
            self._search(number)
        except Over:
            over = True
        except ToolError as error:
            broken = error
        except (FoundError, BaseExceptionGroup) as error:
            notes = _notes(error)
        except (Flaky, Unsatisfiable):
            self.sometimes["an example did not show twice what it showed once"] += 1
        found = tuple(self._settled(notes))
        last = over or self._spent() or len(self.known) > MOST_FINDINGS
        self.tell(self._message(number, time.monotonic() - began, found, last))
        self.smallest, self.sometimes, self.since = {}, Counter(), 0
        if broken:
            raise broken
        return last

    def _message(self, number: int, seconds: float, found: tuple[Found, ...], last: bool) -> Message:
        worker, reached = self.task.worker, len(self.reached)
        return Message(worker, number, self.since, seconds, self.sometimes, reached, found, last)

    def _settled(self, notes: dict[str, tuple[str, ...]]) -> Iterator[Found]:
        """Yield what the round found, each thing once; what one example shows needs no other."""
        for one in sorted(self.smallest.values(), key=lambda one: one.size):
            if new_ones(one.problems[:1], self.known):
                least = self._reduced(one)
                self.known += least.problems
                yield attrs.evolve(least, notes=notes.get(one.problems[0].key, ()))

    def _reduced(self, found: Found) -> Found:
        """Leave out of an example whatever can be left out."""
        tries = REDUCTIONS
        least, more = found, self.job.simpler(found.example)
        while tries and not self._hurried() and (example := next(more, None)) is not None:
            tries -= 1
            smaller = self._same(found.problems[0].key, example)
            if smaller is not None:
                least, more = attrs.evolve(smaller, seed=found.seed), self.job.simpler(example)
        return least

    def _same(self, key: str, example: object) -> Found | None:
        fresh = new_ones(self.job.examine(example).problems, self.known)
        problems = sorted(fresh, key=lambda one: one.key != key)
        if not problems or problems[0].key != key:
            return None
        return Found(tuple(problems), example, tuple(self.job.told(example)), self.job.size(example), 0)

    def _spent(self) -> bool:
        task = self.task
        return self._late() or (task.examples is not None and self.counted >= task.examples)

    def _late(self) -> bool:
        return self.stops() or (self.task.until is not None and time.monotonic() >= self.task.until)

    def _search(self, number: int) -> None:
        examples = ROUND if self.task.examples is None else min(ROUND, self.task.examples - self.counted)
        # One worker tries what is kept, before anything is drawn; the others would try the same.
        if number == self.task.first and not self.task.known and self.task.worker == 0:
            with contextlib.suppress(SkipTest):  # says Hypothesis where nothing is kept
                self._searched(number, examples, Phase.reuse)
        self.counted += examples
        self._searched(number, examples, Phase.generate, Phase.target)

    def _searched(self, number: int, examples: int, *phases: Phase) -> None:
        database = Apart(database_of(self.task.database))
        how = settings(
            max_examples=examples,
            phases=(Phase.explicit, *phases, Phase.shrink),
            database=database,
            deadline=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.normal,
            print_blob=False,
            report_multiple_bugs=True,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()), seeded_alone():
                self.job.search(self._examine, how, self.seed, number)
        finally:
            database.keep()

    def _examine(self, example: object) -> None:
        if self._late() and (self._hurried() or not self.smallest):
            raise Over
        self.since += 1
        seen = self.job.examine(example)
        self.sometimes.update(seen.sometimes)
        self._guide(seen)
        fresh = new_ones(seen.problems, self.known)
        if fresh:
            self._found(example, fresh)

    def _hurried(self) -> bool:
        # What was found in the last seconds is shrunk for a while longer, unless somebody waits.
        until = self.task.until
        return self.stops() or (until is not None and time.monotonic() > until + SHRINKS)

    def _guide(self, seen: Examined) -> None:
        new = [one for one in seen.reached if one in self.reached or len(self.reached) < MOST_REACHED]
        self.reached.update(new)
        if not self.guided:
            return
        target(float(seen.depth), label="deepest state")
        target(float(len(seen.reached)), label="most branches")
        target(max((1.0 / self.reached[one] for one in new), default=0.0), label="rarest branch")

    def _found(self, example: object, problems: tuple[Problem, ...]) -> None:
        problem = problems[0]
        key, size = problem.key, self.job.size(example)
        before = self.smallest.get(key)
        told = tuple(self.job.told(example))
        if before is None or size < before.size:
            self.smallest[key] = Found(problems, example, told, size, self.seed)
        for line in (*told, f"found {problem.found}; expected {problem.expected}"):
            note(line)
        raise self._sort(key)(problem.found)

    def _sort(self, key: str) -> type[FoundError]:
        return self.sorts.setdefault(key, type("FoundError", (FoundError,), {"key": key}))


def _notes(error: BaseException) -> dict[str, tuple[str, ...]]:
    """Return the notes of Hypothesis for each sort that it tells of at the end of a round."""
    found: dict[str, tuple[str, ...]] = {}
    for one in _leaves(error):
        if isinstance(one, FoundError):
            found[getattr(one, "key", "")] = tuple(getattr(one, "__notes__", ()))
        elif not isinstance(one, (Flaky, StopTest)):
            raise one
    return found


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup) and not isinstance(error, Flaky):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def work(job: Job, task: Task, tell: Tell, stops: Callable[[], bool] = lambda: False) -> None:
    """Carry out one worker's part, and tell of each round; ``stops`` is asked before every example."""
    Worker(job, task, tell, stops).run()


def one_round(
    job: Job, task: Task, number: int, lane: Lane, stops: Callable[[], bool] = lambda: False
) -> tuple[Message, Lane]:
    """Go one round of a worker's part; return what it tells, and what its next round begins with."""
    messages: list[Message] = []
    worker = Worker(job, task, messages.append, stops, list(lane.known), lane.counted, reached=Counter(lane.reached))
    worker.round(number)
    return messages[0], Lane(tuple(worker.known), worker.counted, worker.reached)


@attrs.define
class Tally:
    """What all workers have done and found so far: each finding once, in its smallest example."""

    examples: int = 0
    seconds: float = 0.0
    rounds: int = 0
    reached: int = 0
    sometimes: Counter[str] = attrs.field(factory=Counter)
    found: list[Found] = attrs.field(factory=list)

    def add(self, one: Message) -> tuple[Found, ...]:
        """Take a message in; return what in it is new, or smaller than before."""
        self.examples += one.examples
        self.rounds = max(self.rounds, one.round + 1)
        self.reached = max(self.reached, one.reached)
        self.sometimes.update(one.sometimes)
        return tuple(found for found in one.found if self._takes(found))

    def _takes(self, found: Found) -> bool:
        for number, other in enumerate(self.found):
            if other.problems[0].explains(found.problems[0]):
                smaller = other.problems[0].key == found.problems[0].key and found.size < other.size
                if smaller:
                    self.found[number] = found
                return smaller
        if len(self.found) >= MOST_FINDINGS:
            return False
        self.found.append(found)
        return True

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is known."""
        return tuple(problem for one in self.found for problem in one.problems)
