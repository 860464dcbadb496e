"""What the edition of a run takes out of it."""

from __future__ import annotations

from mpwake.checks.core import Judgement
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Requirement
from mpwake.spec.verdicts import Verdict


def outside(requirement: Requirement, edition: Edition) -> Judgement | None:
    """Return the verdict on a requirement that the edition does not state, or None when it does."""
    if requirement.applies(edition):
        return None
    stated = ", ".join(name for name in requirement.clauses)
    return Judgement(Verdict.NOT_APPLICABLE, f"stated by {stated}, and this run is held against {edition.value}")
