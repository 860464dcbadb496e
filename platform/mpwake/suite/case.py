"""What a step may do: the thin side of the engine that ``steps/`` talks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from mpwake.checks import core
from mpwake.checks.core import CLAIMS, CONDITIONS, Check, Condition, Evidence, Judgement, Unjudged
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.catalogue import Scenario


@attrs.define
class Case:
    """One scenario while it runs: its evidence, and what has been judged so far."""

    scenario: Scenario
    role: Role
    evidence: Evidence
    judgements: dict[str, Judgement] = attrs.Factory(dict)
    unjudged: Unjudged | None = None


def suppose(context: Any, condition: Condition) -> None:
    """Run a Given or When: where it does not hold, the scenario ends here without a pass or a failure."""
    case: Case = context.case
    try:
        condition.require(case.evidence)
    except Unjudged as reason:
        case.unjudged = reason
        context.scenario.skip()


def judge(context: Any, check: Check) -> None:
    """Run a Then: ask the check that makes this claim, and fail the step when it fails."""
    case: Case = context.case
    judgement = core.judge(check, case.evidence)
    case.judgements[check.id] = judgement
    if judgement.verdict is Verdict.FAIL:
        raise AssertionError(judgement.reason)
    if judgement.verdict is not Verdict.PASS:
        context.scenario.skip()


Declare = Callable[[str], Callable[[Callable[[Any], None]], Any]]


def bind_conditions(keyword: str, declare: Declare) -> None:
    """Give every condition of a keyword its step, through behave's decorator for it."""
    for condition in CONDITIONS.values():
        if condition.keyword == keyword:

            def step(context: Any, condition: Condition = condition) -> None:
                suppose(context, condition)

            declare(condition.sentence)(step)


def bind_claims(declare: Declare) -> None:
    """Give every check's claim its step."""
    for check in CLAIMS.values():

        def step(context: Any, check: Check = check) -> None:
            judge(context, check)

        declare(check.then)(step)
