"""Comparisons of any two runs: each requirement becomes one thing, and fixed is broke read backwards."""

from hypothesis import given
from hypothesis import strategies as st

from mpwake.reporting import comparison_text
from mpwake.reporting.comparison import Change, compare
from mpwake.reporting.results import Judged, Results
from mpwake.spec.requirements import Role, Weight
from mpwake.spec.verdicts import Verdict

IDS = ("MADT-01", "MADT-07", "RCV-05", "SND-01", "KEX-08")


@st.composite
def results(draw):
    complete = draw(st.booleans())
    keys = draw(st.sets(st.tuples(st.sampled_from(IDS), st.sampled_from([one.value for one in Role]))))
    judged = []
    for id, role in sorted(keys):
        reached = complete or draw(st.booleans())
        verdict = draw(st.sampled_from(list(Verdict))) if reached else Verdict.INCONCLUSIVE
        weight, message = draw(st.sampled_from(list(Weight))), draw(st.text(max_size=4))
        scenarios = draw(st.sets(st.tuples(st.just("a.feature"), st.sampled_from("xyz"))))
        judged.append(Judged(id, role, "title", verdict, weight, message, tuple(scenarios), reached))
    edition, seed = draw(st.sampled_from(["acpi-6.4", "acpi-6.6"])), draw(st.integers(0, 1))
    return Results("it", (), "model", edition, "0.1.0", seed, complete, tuple(judged))


def keys(entries):
    return {entry.either.key for entry in entries}


@given(results())
def test_a_run_is_as_it_is(one):
    found = compare(one, one)
    assert all(entry.change is Change.SAME for entry in found.entries)
    assert (found.strayed, found.exit_code) == ((), 0 if one.complete else 4)


@given(results(), results())
def test_each_requirement_of_either_becomes_exactly_one_thing(old, new):
    found = compare(old, new)
    classes = [keys(found.of(change)) for change in Change]
    assert sum(map(len, classes)) == len(set.union(*classes)) == len(found.entries) == sum(found.counts.values())
    assert set.union(*classes) == {one.key for one in (*old.judged, *new.judged)}


@given(results(), results())
def test_fixed_is_broke_read_backwards(old, new):
    forth, back = compare(old, new), compare(new, old)
    assert keys(forth.of(Change.FIXED)) == keys(back.of(Change.BROKE))
    assert keys(forth.of(Change.BROKE)) == keys(back.of(Change.FIXED))
    assert {(one.id, one.name, one.new) for one in forth.strayed} == {
        (one.id, one.name, not one.new) for one in back.strayed
    }


@given(results(), results())
def test_nothing_that_was_not_judged_is_fixed_or_broke(old, new):
    unjudged = {one.key for one in (*old.judged, *new.judged) if not one.reached}
    found = compare(old, new)
    assert not unjudged & keys(found.of(Change.FIXED) + found.of(Change.BROKE))
    assert (old.complete and new.complete) or found.exit_code != 0


@given(results(), results())
def test_something_new_that_makes_non_conforming_is_never_silent(old, new):
    failing = [{one.key for one in run.judged if one.nonconforming} for run in (old, new)]
    found = compare(old, new)
    assert found.exit_code == 1 or failing[1] <= failing[0]


@given(results(), results())
def test_every_change_is_told_in_each_form(old, new):
    found = compare(old, new)
    changed = [entry for entry in found.entries if entry.change is not Change.SAME]
    assert len(comparison_text.document(found)["requirements"]) == len(changed)
    assert comparison_text.text(found).count("\n    new  ") == len(changed)
    rows = comparison_text.markdown(found).splitlines()
    assert sum(row.startswith(tuple(f"| {id}" for id in IDS)) for row in rows) == len(changed)
