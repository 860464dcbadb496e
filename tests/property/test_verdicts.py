"""Properties of merging verdicts: order and grouping change nothing, and a failure never gets lost."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mpwake.spec.verdicts import TABLE, Verdict, merge

ONE = st.sampled_from(Verdict)
SOME = st.lists(ONE, min_size=1, max_size=8)


@given(ONE, ONE, ONE)
def test_merging_is_associative(a: Verdict, b: Verdict, c: Verdict) -> None:
    assert merge([merge([a, b]), c]) is merge([a, merge([b, c])]) is merge([a, b, c])


@given(st.lists(SOME, min_size=1, max_size=5))
def test_merging_by_groups_is_merging_at_once(groups: list[list[Verdict]]) -> None:
    assert merge(merge(group) for group in groups) is merge(one for group in groups for one in group)


@given(SOME, st.randoms(use_true_random=False))
def test_merging_is_commutative(verdicts: list[Verdict], random: Random) -> None:
    shuffled = list(verdicts)
    random.shuffle(shuffled)
    assert merge(shuffled) is merge(verdicts)


@given(SOME)
def test_merging_is_idempotent(verdicts: list[Verdict]) -> None:
    assert merge([*verdicts, *verdicts]) is merge([merge(verdicts)]) is merge(verdicts)


@given(SOME, ONE)
def test_one_verdict_more_never_lowers_the_whole(verdicts: list[Verdict], more: Verdict) -> None:
    assert TABLE[merge([*verdicts, more])].rank >= TABLE[merge(verdicts)].rank


@given(SOME)
def test_the_whole_is_one_of_its_parts_and_none_is_higher(verdicts: list[Verdict]) -> None:
    whole = merge(verdicts)
    assert whole in verdicts
    assert all(TABLE[one].rank <= TABLE[whole].rank for one in verdicts)
