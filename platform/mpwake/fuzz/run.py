"""Runs a campaign with one worker or several processes, and keeps its summary where it can be read meanwhile."""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import queue
import re
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Any

import attrs

from mpwake.fuzz.campaign import SHRINKS, Found, Message, Tally, Task, work
from mpwake.fuzz.database import database_of
from mpwake.fuzz.problem import BREAKS, BROKEN, Job, Problem
from mpwake.fuzz.write import atomically
from mpwake.model.scenario import Origin
from mpwake.spec.errors import InputError, ToolError
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite.interrupt import Interrupt

SUMMARY = "summary.json"
FORMAT = 1
EVERY = 0.5
STRICT = frozenset({Weight.CONFORMANCE})
_SLUG = re.compile(r"[^a-z0-9]+")


@attrs.frozen
class Wanted:
    """What is asked of a campaign: the seed, where it ends, how many workers, and the directories that it uses.

    ``strict`` are the weights whose findings fail it.
    """

    out: Path
    seed: int = 0
    examples: int | None = None
    seconds: float | None = None
    workers: int = 1
    database: str = ""
    strict: frozenset[Weight] = STRICT


@attrs.define
class Campaign:
    """A campaign with everything that is known of it so far, also from before it was taken up again.

    ``files`` are by the place of a finding among those of the tally.
    """

    job: Job
    wanted: Wanted
    tally: Tally = attrs.field(factory=Tally)
    files: dict[int, tuple[str, ...]] = attrs.field(factory=dict)
    earlier: list[dict[str, Any]] = attrs.field(factory=list)
    known: tuple[Problem, ...] = ()
    before: float = 0.0
    first: int = 0
    state: str = "running"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that was found, now and before."""
        return (*self.known, *self.tally.problems)

    @property
    def missing(self) -> tuple[str, ...]:
        """What must happen once, and never did."""
        return tuple(one for one in self.job.needed if not self.tally.sometimes[one])

    def verdict(self) -> Verdict:
        """Return the verdict.

        Error where the suite breaks, or a program under test; fail with what counts; inconclusive where nothing was
        shown; pass otherwise.
        """
        if any(one.kind in (BREAKS, BROKEN) for one in self.problems):
            return Verdict.ERROR
        if any(one.weight in self.wanted.strict for one in self.problems):
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if self.missing else Verdict.PASS

    def take(self, one: Message) -> tuple[Found, ...]:
        """Take a message in, and write what it found."""
        fresh = tuple(found for found in self.tally.add(one) if self._is_new(found))
        for number, found in enumerate(self.tally.found):
            if any(one is found for one in fresh):
                self.files[number] = self._written(number, found)
        self.save()
        return fresh

    def _is_new(self, found: Found) -> bool:
        return not any(one.explains(found.problems[0]) for one in self.known)

    @property
    def again(self) -> str:
        """The command that finds the same again, in an empty directory."""
        wanted = self.wanted
        bounds = {"examples": wanted.examples, "workers": wanted.workers if wanted.workers > 1 else None}
        given = (f"--{name} {value}" for name, value in bounds.items() if value is not None)
        return " ".join(("mpwake fuzz", self.job.name, *self.job.options, f"--seed {wanted.seed}", *given))

    def files_of(self, found: Found) -> tuple[str, ...]:
        """Return the names of a finding's files."""
        return next((self.files[n] for n, one in enumerate(self.tally.found) if one is found and n in self.files), ())

    def _written(self, number: int, found: Found) -> tuple[str, ...]:
        if number in self.files:
            slug = Path(self.files[number][0]).stem
        else:
            before = (name for one in self.earlier for name in one["files"])
            names = itertools.chain(before, *self.files.values())
            slug = _slug(found.problems[0], {Path(name).stem for name in names})
        origin = Origin(self.again, found.seed, tuple(line for line in found.notes if line.strip()))
        return self.job.write(found.example, found.problems, self.wanted.out, slug, origin)

    def save(self) -> None:
        """Write the summary anew."""
        self.tally.seconds = self.before + time.monotonic() - self._began
        text = json.dumps(self.plain(), indent=2, ensure_ascii=False) + "\n"
        atomically(self.wanted.out / SUMMARY, text)

    _began: float = attrs.field(factory=time.monotonic)

    def plain(self) -> dict[str, Any]:
        """Return the summary as JSON has it."""
        return {
            "summary": FORMAT,
            "target": self.job.name,
            "about": self.job.about,
            "digest": self.job.digest,
            "seed": self.wanted.seed,
            "workers": self.wanted.workers,
            "state": self.state,
            "verdict": self.verdict().value,
            "examples": self.tally.examples,
            "seconds": round(self.tally.seconds, 3),
            "rounds": self.tally.rounds,
            "branches": self.tally.reached,
            "sometimes": dict(sorted(self.tally.sometimes.items())),
            "missing": list(self.missing),
            "findings": [*self.earlier, *map(self._plain, self.tally.found)],
        }

    def _plain(self, one: Found) -> dict[str, Any]:
        return {
            "requirements": sorted({problem.requirement for problem in one.problems if problem.requirement}),
            "found": one.problems[0].found,
            "expected": one.problems[0].expected,
            "example": list(one.told),
            "files": list(self.files_of(one)),
            "seed": one.seed,
            "again": self.again,
            "notes": list(one.notes),
            "problems": [_of_problem(problem) for problem in one.problems],
        }


def _of_problem(one: Problem) -> dict[str, Any]:
    weight = one.weight.value if one.weight else ""
    told = {"requirement": one.requirement, "kind": one.kind, "shape": one.shape, "found": one.found}
    return {**told, "expected": one.expected, "causes": sorted(one.causes), "weight": weight}


def _problem_of(plain: dict[str, Any]) -> Problem:
    words = {name: str(plain[name]) for name in ("requirement", "shape", "found", "expected", "kind")}
    weight = Weight(plain["weight"]) if plain["weight"] else None
    return Problem(**words, causes=frozenset(map(str, plain["causes"])), weight=weight)


def _slug(one: Problem, taken: set[str]) -> str:
    plain = _SLUG.sub("-", f"{one.requirement or one.kind} {'' if one.requirement else one.shape}".lower()).strip("-")[
        :60
    ]
    names = (plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def taken_up(job: Job, wanted: Wanted) -> Campaign:
    """Return a campaign, with what its directory tells of it. Raises ``InputError`` where that is of another."""
    path = wanted.out / SUMMARY
    campaign = Campaign(job, wanted)
    if not path.is_file():
        return campaign
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["summary"] != FORMAT:
            raise ValueError(f"it has the format {plain['summary']}, and not {FORMAT}")
        _fill(campaign, plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is no summary of a campaign: {error}", str(path), "give another --out") from None
    if (plain["target"], plain["digest"]) != (job.name, job.digest):
        what = "another version of it" if plain["target"] == job.name else plain["target"]
        raise InputError(f"this directory holds a campaign of {what}", str(path), "give another --out")
    return campaign


def _fill(campaign: Campaign, plain: dict[str, Any]) -> None:
    campaign.earlier = list(plain["findings"])
    campaign.known = tuple(_problem_of(one) for found in campaign.earlier for one in found["problems"])
    for found in campaign.earlier:
        found["files"] = [str(name) for name in found["files"]]
    campaign.tally.examples, campaign.tally.rounds = int(plain["examples"]), int(plain["rounds"])
    campaign.tally.sometimes = Counter({str(name): int(count) for name, count in plain["sometimes"].items()})
    campaign.before = float(plain["seconds"])
    seeds = campaign.tally.rounds * int(plain.get("workers", 1))
    campaign.first = -(-seeds // campaign.wanted.workers)


Take = Callable[[Message], None]
Stops = Callable[[], bool]
CarryOut = Callable[[tuple[Task, ...], Stops, Take], None]


@attrs.define
class InTurn:
    """Gives messages on in the order of rounds, and in each of workers, whoever is quicker.

    So the findings, and the names of their files, hang on the seed and on no machine's pace.
    """

    take: Take
    turns: deque[tuple[int, int]]
    held: dict[tuple[int, int], Message] = attrs.field(factory=dict)

    def put(self, one: Message) -> None:
        """Take a message, and give on all whose turn it is."""
        self.held[one.round, one.worker] = one
        while self.turns and self.turns[0] in self.held:
            message = self.held.pop(self.turns.popleft())
            self.take(message)
            if not message.last:
                self.turns.append((message.round + 1, message.worker))

    def end(self) -> None:
        """Give on what is left, where those before it will not come any more."""
        for turn in sorted(self.held):
            self.take(self.held.pop(turn))


def run(
    campaign: Campaign,
    interrupt: Interrupt,
    tell: Callable[[Campaign, tuple[Found, ...]], None],
    carry_out: CarryOut | None = None,
) -> None:
    """Carry a campaign out. Ctrl-C ends it with all findings kept; ``tell`` is told of each round.

    ``carry_out`` does the work elsewhere; here, with a process for each worker, unless given. Raises ``InputError``
    where the database of examples cannot be had.
    """
    database_of(campaign.wanted.database)
    campaign.save()
    tasks = tuple(_tasks(campaign))
    carry_out = carry_out or functools.partial(_carry_out, campaign.job)
    turns = InTurn(lambda one: tell(campaign, campaign.take(one)), deque((one.first, one.worker) for one in tasks))
    state = "broken"
    try:
        with interrupt.awaited():
            carry_out(tasks, lambda: interrupt.asked > 0, turns.put)
        state = "done"
    finally:
        turns.end()
        campaign.state = "interrupted" if interrupt.asked else state
        campaign.save()


def _tasks(campaign: Campaign) -> Iterator[Task]:
    wanted = campaign.wanted
    until = None if wanted.seconds is None else time.monotonic() + wanted.seconds
    for worker in range(wanted.workers):
        share = None
        if wanted.examples is not None:
            share = (wanted.examples + wanted.workers - 1 - worker) // wanted.workers
        if share == 0:
            continue
        yield Task(
            seed=wanted.seed,
            worker=worker,
            workers=wanted.workers,
            first=campaign.first,
            examples=share,
            until=until,
            database=wanted.database,
            known=campaign.known,
        )


def _carry_out(job: Job, tasks: tuple[Task, ...], stops: Stops, take: Take) -> None:
    if len(tasks) == 1:
        work(job, tasks[0], take, stops)
        return
    context = multiprocessing.get_context("fork")
    results, stop = context.Queue(), context.Event()
    processes = [context.Process(target=_there, args=(job, one, results, stop), daemon=True) for one in tasks]
    for one in processes:
        one.start()
    try:
        _gather(len(processes), results, stop, stops, take, lambda: any(one.is_alive() for one in processes))
    finally:
        stop.set()
        for one in processes:
            one.join(2 * SHRINKS)


def _gather(running: int, results: Any, stop: Flag, stops: Stops, take: Take, alive: Callable[[], bool]) -> None:
    while running:
        if stops():
            stop.set()
        there = alive()
        try:
            message = results.get(timeout=EVERY)
        except queue.Empty:
            if not there:
                raise ToolError("a worker of the campaign is gone without a word") from None
            continue
        if isinstance(message, Message):
            take(message)
        elif isinstance(message, InputError):
            raise message
        elif message:
            raise ToolError(f"a worker of the campaign broke: {message}")
        else:
            running -= 1


def _there(job: Job, task: Task, results: Any, stop: Flag) -> None:
    # In a process of its own. Ctrl-C is the parent's to see.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work(job, task, results.put, stop.is_set)
        results.put(None)
    except InputError as error:
        results.put(error)
    except Exception as error:
        results.put(f"{type(error).__name__}: {error}")
