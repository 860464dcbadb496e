"""Our quick reading of the feature files against behave's own, and what the linter notices."""

import attrs
import pytest
from behave.parser import parse_file

from mpwake.checks.core import CHECKS, FURTHER, checks_of
from mpwake.spec.requirements import Role
from mpwake.spec.resources import suite_root
from mpwake.suite import catalogue, lint
from mpwake.suite.catalogue import Scenario, read_feature
from mpwake.suite.mutants import mutants

FEATURES = sorted((suite_root() / "features").rglob("*.feature"))


@pytest.mark.parametrize("path", FEATURES, ids=lambda path: path.stem)
def test_our_reading_is_behaves(path):
    theirs = [
        (
            one.name,
            one.line,
            {str(tag) for tag in one.effective_tags},
            [(step.keyword, step.name) for step in one.all_steps],
        )
        for one in parse_file(str(path)).walk_scenarios()
    ]
    ours = [(one.name, one.line, set(one.tags), list(one.steps)) for one in read_feature(path)]
    assert ours == theirs


def test_backgrounds_and_feature_tags_are_read_as_behave_reads_them(tmp_path):
    path = tmp_path / "x.feature"
    path.write_text(
        "@tables\nFeature: F\n  Prose.\n\n  Background:\n    Given a MADT\n\n"
        "  @MADT-01 @slow\n  Scenario: One\n    When b\n    Then c\n\n  # no more\n  Scenario: Two\n    * d\n"
    )
    theirs = [
        (one.name, one.line, {str(tag) for tag in one.effective_tags}, [step.name for step in one.all_steps])
        for one in parse_file(str(path)).walk_scenarios()
    ]
    ours = [(one.name, one.line, set(one.tags), [step for _, step in one.steps]) for one in read_feature(path)]
    assert ours == theirs
    assert ours[0][2] == {"tables", "MADT-01", "slow"}


def test_the_suite_agrees_with_itself():
    assert lint.problems() == ()


@pytest.fixture
def sound():
    return catalogue.of_requirement("MADT-07")[0]


def messages(scenario):
    return [text for rule in (lint._tags, lint._place, lint._sentences) for text in rule(scenario)]


def test_a_sound_scenario_has_no_problem(sound):
    assert messages(sound) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tags": ("tables",)}, "no requirement id"),
        ({"tags": ("MADT-07",)}, "no role"),
        ({"tags": ("MADT-07", "tables", "MADT-7")}, "@MADT-7 is neither"),
        ({"tags": ("MADT-07", "receiver")}, "not a requirement of every role"),
        ({"tags": ("MADT-99", "tables")}, "@MADT-99 is neither"),
        ({"file": "features/enumeration/dt.feature"}, "belongs into features/enumeration/madt.feature"),
        ({"steps": (("Given", "a MailBoxAddress that is not 0"),)}, "not exactly one When"),
        (
            {"steps": (("When", "the MADT is walked entry by entry"), ("Then", "it is fine"))},
            "no check of its requirements says: Then it is fine",
        ),
        ({"steps": (("When", "the MADT is walked entry by entry"),)}, "Then MailBoxAddress is a multiple of 4096"),
    ],
)
def test_each_disagreement_is_told(sound, change, message):
    assert any(message in text for text in messages(attrs.evolve(sound, **change)))


def test_a_misspelt_keyword_and_an_empty_feature_are_told(tmp_path):
    path = tmp_path / "x.feature"
    path.write_text("Feature: F\n\n  @MADT-01 @tables\n  Scenario One\n    Given a MADT\n")
    told = [problem.message for problem in lint._file(path)]
    assert told == [
        "the feature says nothing about what it is for",
        "not a line of Gherkin: 'Scenario One'",
        "no scenario",
    ]


def test_a_requirement_without_a_check_is_told(monkeypatch):
    monkeypatch.delitem(CHECKS, ("MADT-07", Role.TABLES))
    told = {(problem.where, problem.message) for problem in lint._served()}
    assert ("MADT-07", "no check in the role tables") in told


def test_scenarios_know_their_chapter_and_place(sound):
    assert isinstance(sound, Scenario)
    assert sound.chapter == "enumeration"
    assert sound.place == f"features/enumeration/madt.feature:{sound.line}"


def test_each_of_several_checks_of_a_requirement_needs_a_mutant_of_its_own(monkeypatch):
    own = next(one for one, _ in mutants() if one.claim and one.breaks == "RCV-03")
    monkeypatch.setattr(lint, "mutants", lambda: tuple(pair for pair in mutants() if pair[0] != own))
    assert [(one.where, one.message) for one in lint._served()] == [("RCV-03", f"no mutant makes untrue {own.claim!r}")]


def test_a_scenario_says_what_the_check_says_that_it_claims():
    first, second = catalogue.of_requirement("TDX-06", Role.RECEIVER)[:2]
    checks = checks_of("TDX-06", Role.RECEIVER)
    assert checks == (CHECKS["TDX-06", Role.RECEIVER], *FURTHER["TDX-06", Role.RECEIVER])
    assert [lint._checks(one) for one in (first, second)] == [[check] for check in checks]
    steps = tuple(("When", first.steps[2][1]) if word == "When" else (word, text) for word, text in second.steps)
    (wrong, other) = messages(attrs.evolve(second, steps=steps))
    assert wrong == f"the check of TDX-06 says: When {checks[1].when.sentence}"
    assert other.startswith("no check of its requirements says: When the host refuses")
