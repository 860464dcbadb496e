"""The state machine that makes the trials of an AP loop: all that can be done happens, and a seed says all of it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mpwake.fuzz.campaign import Tally, Task, work
from mpwake.fuzz.draw import CR4, MOST, SAYS, Can, Case, Setting, Step
from mpwake.fuzz.jobs import job_named
from mpwake.fuzz.loops import STEPS, phrase
from mpwake.fuzz.machine import MOST_REQUESTS, machine_of
from mpwake.fuzz.problem import Examined, Job, Problem, driven
from mpwake.model.environment import Host
from mpwake.model.probe import Request
from mpwake.model.scenario import Origin, ScenarioFile
from mpwake.spec import document

FULL = Can(reset=True)
PROGRAMS = Can(reset=True, cr4=False, pauses=False, holds=False, ticks=False, memories=("sc",))
LONG = (max(STEPS),)


def of_machine(can: Can, seen: list[Case], steps: tuple[int, ...] = LONG, **more: object) -> Job:
    """Return a job that only looks at what the machine makes."""

    def examine(case: Case) -> Examined:
        seen.append(case)
        return Examined()

    job = Job(
        name="trials",
        about="",
        digest="",
        search=driven(machine_of(can), steps),
        examine=examine,
        told=lambda case: tuple(map(phrase, case.probe.requests)),
        size=lambda case: (len(case.probe.requests),),
        write=lambda *_: (),
    )
    return attrs.evolve(job, **more)


def made(can: Can = FULL, examples: int = 100, seed: int = 0, steps: tuple[int, ...] = LONG) -> list[Case]:
    """Return the trials of so many examples."""
    seen: list[Case] = []
    work(of_machine(can, seen, steps), Task(seed=seed, examples=examples), lambda _message: None)
    return seen


@pytest.fixture(scope="module")
def trials() -> list[Case]:
    return made(examples=180)


def test_every_rule_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: set[str] = set()
    machine = machine_of(FULL)
    for one in (*machine.setup_state().rules, *machine.setup_state().initializers):

        def told(self, *args, name=one.function.__name__, before=one.function, **more):
            happened.add(name)
            before(self, *args, **more)

        told.__name__ = one.function.__name__
        monkeypatch.setattr(one, "function", told)
    made(examples=60)
    assert happened == {"parks", "wakes", "asks", "commands", "stores", "waits", "resets", "roll_call"}


def test_everything_that_a_tester_can_do_is_done(trials: list[Case]) -> None:
    done = {one.op for case in trials for one in case.probe.requests}
    assert done == {
        *("wake", "test", "overwrite", "torn", "fields", "command", "clear", "settle"),
        *("stale", "byte", "id", "vector", "reserved", "reset"),
    }
    assert {one.value for case in trials for one in case.probe.requests if one.op == "reset"} == set(CR4)


def test_a_trial_asks_for_something_and_has_an_end(trials: list[Case]) -> None:
    for case in trials:
        requests = case.probe.requests
        assert 1 <= len(requests) <= MOST_REQUESTS + 2
        assert requests[-1].op in ("settle", "clear")


def test_an_opening_may_come_alone_and_in_every_second_round_does() -> None:
    alone, long = (made(steps=(count,)) for count in (1, max(STEPS)))
    assert {len(case.probe.requests) for case in alone} >= {2, 3, 5}
    assert max(len(case.probe.requests) for case in alone) <= 2 * MOST + 3
    assert sum(len(case.probe.requests) for case in alone) < sum(len(case.probe.requests) for case in long)
    assert STEPS[::2] == (1, 1, 1)
    assert len(STEPS) % 2, "rounds are steered in turn, and so is each number of steps"


def test_what_cannot_be_done_is_not() -> None:
    plain = made(Can())
    assert not [one for case in plain for one in case.probe.requests if one.op == "reset"]
    program = made(PROGRAMS)
    assert {one.value for case in program for one in case.probe.requests if one.op == "reset"} == {0}
    assert {case.probe.host for case in program} == {Host()}


def test_a_seed_says_all_of_it() -> None:
    assert made(seed=5, examples=30) == made(seed=5, examples=30)
    assert made(seed=5, examples=30) != made(seed=6, examples=30)


def test_who_is_parked_is_known() -> None:
    trial = machine_of(FULL)(lambda _case: None)
    assert trial.parked == ()
    trial.setting = attrs.evolve(some_setting(), ids=(1, 2, 3))
    trial.ask((Request("wake", 2), Request("test", 1), Request("torn", 1)))
    assert trial.parked == (3,)
    trial.ask(Step("reset", 1).requests((1, 2, 3)))
    assert trial.parked == (2, 3)
    trial.roll_call()
    assert [(one.op, one.id) for one in trial.requests[-5:]] == [
        *(("clear", 0), ("wake", 2), ("clear", 0), ("wake", 3), ("clear", 0))
    ]


def some_setting() -> Setting:
    """Return what one trial is done in."""
    settings: list[Setting] = []

    class Keeps(machine_of(FULL)):
        def teardown(self):
            settings.append(self.setting)

    job = of_machine(FULL, [], search=driven(Keeps, (1,)))
    work(job, Task(examples=1), lambda _message: None)
    return settings[0]


def test_there_is_an_end_to_what_is_asked_for() -> None:
    trial = machine_of(FULL)(lambda _case: None)
    for _ in range(2 * MOST_REQUESTS):
        trial.ask((Request("clear"),))
    assert len(trial.requests) == MOST_REQUESTS


# Findings


class Numbers(RuleBasedStateMachine):
    """A machine of which every trial is a list of numbers."""

    def __init__(self, take):
        super().__init__()
        self.take, self.numbers = take, []

    @rule(number=st.integers(0, 9))
    def goes_on(self, number):
        self.numbers.append(number)

    def teardown(self):
        self.take(self.numbers)


def sums(least: int, **more: object) -> Job:
    """Return a job that finds a list of numbers with a large sum."""

    def examine(numbers: list[int]) -> Examined:
        high = sum(numbers) >= least
        return Examined((Problem("", "high", "much", "less", kind="differs"),) if high else ())

    job = of_machine(
        FULL, [], examine=examine, told=lambda numbers: (f"{numbers}",), size=lambda numbers: (len(numbers),)
    )
    return attrs.evolve(job, **more)


def test_a_trial_is_shrunk_to_few_steps() -> None:
    tally = Tally()
    work(sums(17, search=driven(Numbers, (12,))), Task(examples=200), tally.add)
    (one,) = tally.found
    assert one.example == [8, 9]
    assert any("goes_on(number=9)" in line for line in one.notes)


def test_what_is_kept_of_long_trials_is_tried_before_short_ones(tmp_path: Path) -> None:
    job = sums(17, search=driven(Numbers, (1, 12)))
    kept, again = Tally(), Tally()
    work(job, Task(examples=400, database=str(tmp_path)), kept.add)
    assert kept.found[0].example == [8, 9]
    work(job, Task(examples=1, database=str(tmp_path)), again.add)
    assert [one.example for one in again.found] == [[8, 9]]


def test_a_finding_is_replayed_as_it_was_found(tmp_path: Path) -> None:
    job = job_named("mutant:rcv-ack-8-bytes", None, tmp_path)
    tally = Tally()
    work(job, Task(examples=20), tally.add)
    assert tally.found
    for one in tally.found:
        written = tmp_path / job.write(one.example, one.problems, tmp_path, "it", Origin("mpwake fuzz", one.seed))[0]
        probe = document.decode(document.load(written), ScenarioFile).probe
        assert attrs.evolve(probe, says=SAYS) == one.example.probe
        assert len(one.example.probe.requests) <= 2
