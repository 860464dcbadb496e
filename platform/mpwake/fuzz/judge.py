"""A trial judged: by the checks whose situation it is, and beside the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from mpwake.checks.core import Check, Finding, everybodys, find, judge
from mpwake.checks.loop import IN_TURN
from mpwake.checks.situations import Plan, asks
from mpwake.checks.traffic import NAMES, TIMED_OUT, place
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.fuzz.problem import Examined, Problem
from mpwake.fuzz.reference import differences
from mpwake.model.scenario import ScenarioFile
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Role, requirement
from mpwake.spec.verdicts import Verdict

WOKEN, ANSWERED, GIVEN_UP, RESET, COMPARED, BOOTED = (
    "a processor was woken",
    "a request was answered",
    "a request was given up",
    "a processor was reset",
    "a trial was compared with the reference",
    "a request to wake returned",
)


def of_check(check: Check, behaviour: Behaviour) -> Iterator[Problem]:
    """Yield what a check finds wrong."""
    judgement = judge(check, behaviour)
    if judgement.verdict is not Verdict.FAIL:
        return
    for one in judgement.findings:
        if not one.ok:
            yield _problem(check, one)
            return


def _problem(check: Check, one: Finding) -> Problem:
    weight = one.weight or requirement(check.id).weight
    beside = "\n".join(f"{exhibit.name}:\n{exhibit.text}" for exhibit in one.exhibits if exhibit.text)
    return Problem(check.id, check.then, one.found, one.expected, weight=weight, beside=beside)


def receivers(plan: Plan) -> tuple[Check, ...]:
    """Return the checks that a trial of an AP loop can be judged by."""
    return tuple(one for one in everybodys() if one.role is Role.RECEIVER and asks(one, plan))


def of_receiver(plan: Plan, trace: Trace, honest: Callable[[], Trace]) -> Examined:
    """Judge a trial of an AP loop; ``honest`` is the same one with a host that does nothing."""

    def drive(sentence: str, _seed: int) -> tuple[Trace, ...]:
        return (honest() if sentence == IN_TURN and not plan.paused else trace,)

    behaviour = Behaviour(drive, plan.edition)
    checks = () if trace.spent else receivers(plan)
    problems = [one for check in checks for one in of_check(check, behaviour)]
    other, compared = differences(plan, trace)
    sometimes = counted(trace)
    sometimes[COMPARED] += compared
    return Examined((*problems, *other), sometimes, _reached(trace), _depth(trace))


def of_sender(one: ScenarioFile, trace: Trace, edition: Edition, boots: bool) -> Examined:
    """Judge a trial of a bring-up."""
    behaviour = Behaviour(lambda _sentence, _seed: (trace,), edition, boots=boots)
    problems = [bad for name in one.requirements for bad in of_check(find(name, one.role), behaviour)]
    sometimes = counted(trace, lambda code: code != 0)
    sometimes[BOOTED] += len(trace.of(Kind.RETURN))
    return Examined(tuple(problems), sometimes, _reached(trace), _depth(trace))


def counted(trace: Trace, given_up: Callable[[int], bool] = TIMED_OUT.__eq__) -> Counter[str]:
    """Count what has happened in a trial; ``given_up`` tells by its code that a request was."""
    answers = [one.value for one in trace.of(Kind.RETURN)]
    return Counter(
        {
            WOKEN: len(trace.of(Kind.LANDING)),
            ANSWERED: sum(not given_up(one) for one in answers),
            GIVEN_UP: sum(given_up(one) for one in answers),
            RESET: len(trace.of(Kind.RESET)),
        }
    )


def _reached(trace: Trace) -> frozenset[object]:
    """Return the branches of a trial: what each instruction, or each kind of processor, did to which field."""
    return frozenset(_branch(trace, one) for one in trace.events if one.agent != SENDER)


def _branch(_trace: Trace, one: Event) -> object:
    where = place(one.offset, one.width) if one.kind in (Kind.LOAD, Kind.STORE) else NAMES.get(one.value, "")
    value = one.value if one.offset < 4 and one.value < 4 else "other"
    return (one.facts.get("rip", ""), one.kind.value, where, value)


def _depth(trace: Trace) -> int:
    return sum(one.agent != SENDER and one.kind is not Kind.LOAD for one in trace.events) + len(trace.of(Kind.RESET))
