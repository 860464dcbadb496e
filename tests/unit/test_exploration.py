"""The result of an exploration, its verdict, and schedules as text."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.evidence.exploration import Exploration, Violation, compressed, expanded
from mpwake.evidence.trace import Trace
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict

SEEN = Exploration("a loop", "tester", (0, 1), "sc", states=3, sometimes={"AP 0x1 at its vector": 1})
WRONG = Violation("AP 0x1 is lost", Role.RECEIVER, (), (0, 1), (), Trace((0, 1), (), b"", b"", 0))


def test_it_passes_when_all_was_seen_and_something_was_reached() -> None:
    assert SEEN.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({"violation": WRONG}, Verdict.FAIL, "AP 0x1 is lost"),
        ({"violation": WRONG, "incomplete": "a violation ends it"}, Verdict.FAIL, "AP 0x1 is lost"),
        ({"incomplete": "more than 3 states"}, Verdict.INCONCLUSIVE, "more than 3 states"),
        ({"sometimes": {"a": 3, "b": 0}}, Verdict.INCONCLUSIVE, "never reached: b"),
        ({"sometimes": {}}, Verdict.INCONCLUSIVE, "never reached: nothing was looked for"),
    ],
)
def test_nothing_passes_that_was_not_seen(change: dict[str, object], verdict: Verdict, reason: str) -> None:
    found = attrs.evolve(SEEN, **change)
    assert (found.verdict, found.reason) == (verdict, reason)


@given(st.lists(st.integers(0, 4)))
def test_a_schedule_is_read_as_it_was_written(steps: list[int]) -> None:
    assert expanded(compressed(steps), len(steps)) == tuple(steps)


def test_a_schedule_is_short() -> None:
    assert compressed((0, 0, 0, 2, 1, 1)) == "0*3 2 1*2"


@pytest.mark.parametrize("text", ["x", "-1", "1*-1", "1*x", "*3", "1*2*3", "0*7", "1 1 1 1 1 1 1", "1*99999999", "²"])
def test_what_is_no_schedule_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"agent|more than 6 steps"):
        expanded(text, 6)
