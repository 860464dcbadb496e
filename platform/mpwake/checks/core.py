"""How a check is declared, and how it is asked.

A check belongs to one requirement. It names the situation that the requirement speaks of (``given``), what has
to be looked at (``when``), and its claim in words (``then``); a scenario in ``features/`` says exactly these
sentences, and the feature linter holds the two together. The function looks at the evidence and yields a finding
for each thing that it looked at, good or bad. One that looked at nothing is inconclusive: silence never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exhibit import Exhibit
from mpwake.evidence.tables import Tables
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Requirement, Role, Weight, requirement
from mpwake.spec.verdicts import Verdict


@attrs.frozen
class Finding:
    """One thing that a check looked at, and whether it is as required.

    ``weight`` is given only where this finding counts as less than its requirement does: a rule of good practice
    that stands beside a clause of the specification.
    """

    ok: bool
    found: str
    expected: str
    exhibits: tuple[Exhibit, ...] = ()
    weight: Weight | None = None


@attrs.frozen(auto_exc=True)
class Unjudged(Exception):
    """Raised where no verdict of pass or fail can be given: which verdict instead, and why."""

    verdict: Verdict
    reason: str


def not_applicable(reason: str) -> Unjudged:
    """The requirement does not speak of this implementation."""
    return Unjudged(Verdict.NOT_APPLICABLE, reason)


def not_testable(reason: str) -> Unjudged:
    """The evidence that it takes was not given."""
    return Unjudged(Verdict.NOT_TESTABLE, reason)


def inconclusive(reason: str) -> Unjudged:
    """The evidence was there and did not decide."""
    return Unjudged(Verdict.INCONCLUSIVE, reason)


@attrs.frozen
class Condition:
    """A sentence of a scenario that is no claim: a situation (given) or a way of looking (when).

    ``require`` raises ``Unjudged`` where the sentence does not hold.
    """

    keyword: str
    sentence: str
    require: Callable[[Any], None]


Evidence = Tables | Behaviour
Judge = Callable[[Any], Iterable[Finding]]


@attrs.frozen
class Check:
    """The check of one requirement."""

    id: str
    role: Role
    given: tuple[Condition, ...]
    when: Condition
    then: str
    judge: Judge


@attrs.frozen
class Judgement:
    """A verdict on one requirement, with everything that was looked at."""

    verdict: Verdict
    reason: str = ""
    findings: tuple[Finding, ...] = ()


CONDITIONS: dict[str, Condition] = {}
CHECKS: dict[tuple[str, Role], Check] = {}
FURTHER: dict[tuple[str, Role], tuple[Check, ...]] = {}
CLAIMS: dict[str, Check] = {}


def _condition(keyword: str, sentence: str) -> Callable[[Callable[[Any], None]], Condition]:
    def declare(require: Callable[[Any], None]) -> Condition:
        CONDITIONS[sentence] = Condition(keyword, sentence, require)
        return CONDITIONS[sentence]

    return declare


def given(sentence: str) -> Callable[[Callable[[Any], None]], Condition]:
    """Declare a situation: ``Given <sentence>``."""
    return _condition("given", sentence)


def when(sentence: str) -> Callable[[Callable[[Any], None]], Condition]:
    """Declare a way of looking: ``When <sentence>``."""
    return _condition("when", sentence)


def probe(sentence: str) -> Condition:
    """Return the condition that a probe is run: ``When <sentence>``."""
    return CONDITIONS.get(sentence) or when(sentence)(lambda _behaviour: None)


@when("no implementation is driven")
def nothing_driven(_evidence: Evidence) -> None:
    """The one way of looking at a requirement that the registry calls unobservable; its reason is the verdict's."""
    raise not_testable("no target can observe it")


def check(
    id: str, *, given: tuple[Condition, ...], when: Condition, then: str, role: Role = Role.TABLES
) -> Callable[[Judge], Judge]:
    """Register the check of a requirement in a role."""

    def declare(judge: Judge) -> Judge:
        CHECKS[id, role] = CLAIMS[then] = Check(id, role, given, when, then, judge)
        return judge

    return declare


def further(
    id: str, *, given: tuple[Condition, ...], when: Condition, then: str, role: Role = Role.TABLES
) -> Callable[[Judge], Judge]:
    """Register what is asked of everybody beside the check of a requirement, in another situation that it speaks of."""

    def declare(judge: Judge) -> Judge:
        one = CLAIMS[then] = Check(id, role, given, when, then, judge)
        FURTHER[id, role] = (*FURTHER.get((id, role), ()), one)
        return judge

    return declare


def claim(id: str, *, given: tuple[Condition, ...], when: Condition, then: str, role: Role) -> Callable[[Judge], Judge]:
    """Register what the feature of one system claims under a requirement, beside the check that everybody has."""

    def declare(judge: Judge) -> Judge:
        CLAIMS[then] = Check(id, role, given, when, then, judge)
        return judge

    return declare


def checks_of(id: str, role: Role) -> tuple[Check, ...]:
    """Return the check of a requirement in a role, and what else is asked of everybody; nothing when there is none."""
    return (CHECKS[id, role], *FURTHER.get((id, role), ())) if (id, role) in CHECKS else ()


def everybodys() -> Iterator[Check]:
    """Yield what is asked of everybody: all checks but the claims of single systems."""
    for id, role in CHECKS:
        yield from checks_of(id, role)


def find(id: str, role: Role) -> Check:
    """Return the check of a requirement in a role; raises ``InputError`` when there is none."""
    if (id, role) not in CHECKS:
        known = [one for one, _ in CHECKS]
        raise InputError(f"no check for {id} in the role {role.value}", hint=did_you_mean(id, known))
    return CHECKS[id, role]


def _inside(requirement: Requirement, edition: Edition) -> None:
    if not requirement.applies(edition):
        stated = ", ".join(requirement.clauses)
        raise not_applicable(f"stated by {stated}, and this run is held against {edition.value}")


def _asks_for_more(one: Check, evidence: Evidence) -> None:
    only = evidence.only if isinstance(evidence, Behaviour) else frozenset[str]()
    if only and (one.id not in only or one is not CHECKS.get((one.id, one.role))):
        raise not_testable("nobody arranged its situation for these trials")


def judge(one: Check, evidence: Evidence) -> Judgement:
    """Ask a check: its situation first, then its way of looking, whether the edition states it, then its function.

    What was found wrong before the evidence gave out stays found wrong.
    """
    findings: list[Finding] = []
    unjudged: Unjudged | None = None
    try:
        for condition in (*one.given, one.when):
            condition.require(evidence)
        _asks_for_more(one, evidence)
        _inside(requirement(one.id), evidence.edition)
        findings.extend(one.judge(evidence))
    except Unjudged as reason:
        unjudged = reason
    bad = next((finding for finding in findings if not finding.ok), None)
    if bad:
        return Judgement(Verdict.FAIL, f"{bad.found}; expected {bad.expected}", tuple(findings))
    if unjudged:
        return Judgement(unjudged.verdict, unjudged.reason, tuple(findings))
    if not findings:
        return Judgement(Verdict.INCONCLUSIVE, "the check found nothing to look at")
    return Judgement(Verdict.PASS, "", tuple(findings))
