"""Two runs beside each other: what broke, what was fixed, what cannot be said, and how it is told."""

import json

import attrs
import pytest

from mpwake.reporting import comparison_text, json_document
from mpwake.reporting.comparison import Change, compare
from mpwake.reporting.results import load, of_run
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite import events
from support import runs


def one(verdict, weight=Weight.CONFORMANCE, message="why"):
    """Results of a finished run of MADT-07 alone."""
    results = of_run(runs.single(verdict, message))
    return attrs.evolve(results, judged=(attrs.evolve(results.judged[0], weight=weight),))


NOTHING = attrs.evolve(one(Verdict.PASS), judged=())
CUT = of_run(runs.run_of((runs.selected("MADT-07"), None), complete=False))


@pytest.mark.parametrize(
    ("old", "new", "change", "code"),
    [
        (one(Verdict.PASS), one(Verdict.FAIL), Change.BROKE, 1),
        (one(Verdict.PASS), one(Verdict.FAIL, Weight.ROBUSTNESS), Change.BROKE, 1),
        (one(Verdict.FAIL), one(Verdict.PASS), Change.FIXED, 0),
        (one(Verdict.NOT_TESTABLE), one(Verdict.FAIL), Change.NEWLY_FAILING, 1),
        (one(Verdict.NOT_TESTABLE), one(Verdict.FAIL, Weight.ROBUSTNESS), Change.NEWLY_FAILING, 0),
        (one(Verdict.FAIL, Weight.ROBUSTNESS), one(Verdict.FAIL), Change.NEWLY_FAILING, 1),
        (one(Verdict.FAIL), one(Verdict.FAIL, Weight.ROBUSTNESS), Change.CHANGED, 0),
        (one(Verdict.FAIL), one(Verdict.NOT_TESTABLE), Change.CHANGED, 0),
        (one(Verdict.PASS), one(Verdict.INCONCLUSIVE), Change.CHANGED, 0),
        (one(Verdict.FAIL), one(Verdict.FAIL), Change.SAME, 0),
        (NOTHING, one(Verdict.FAIL), Change.NEWLY_FAILING, 1),
        (NOTHING, one(Verdict.FAIL, Weight.INTEROP), Change.ONLY_NEW, 0),
        (one(Verdict.FAIL), NOTHING, Change.ONLY_OLD, 0),
        (one(Verdict.FAIL), CUT, Change.NOT_REACHED, 4),
        (one(Verdict.INCONCLUSIVE), CUT, Change.NOT_REACHED, 4),
        (CUT, one(Verdict.PASS), Change.NOT_REACHED, 4),
        (CUT, one(Verdict.FAIL), Change.NEWLY_FAILING, 1),
        (CUT, CUT, Change.SAME, 4),
    ],
)
def test_what_became_of_a_requirement(old, new, change, code):
    found = compare(old, new)
    assert ([entry.change for entry in found.entries], found.exit_code) == ([change], code)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edition": "acpi-6.4"}, "held against acpi-6.4 before and acpi-6.6 now"),
        ({"mpwake": "0.0.9"}, "judged by mpwake 0.0.9 before and 0.1.0 now"),
        ({"judged": ()}, "judged in the roles none before and tables now"),
        ({"target": "model"}, "a target of kind model before and tables now"),
        ({"seed": 1}, "the seed was 1 before and is 20260314 now"),
        ({"complete": False}, "the old run is incomplete"),
        ({"inputs": ()}, None),
        ({}, "the same inputs"),
    ],
)
def test_what_may_explain_a_change_is_told(changes, words):
    new = one(Verdict.PASS)
    found = compare(attrs.evolve(new, **changes), new).warnings
    assert sum(words in warning for warning in found) == 1 if words else not found


def test_a_scenario_that_only_one_run_has_is_told():
    old, new = runs.selected("MADT-07"), runs.selected("MADT-07", scenarios=["features/madt.feature:90"])
    before = of_run(runs.run_of((old, runs.judge(old, Verdict.PASS, name="one"))))
    moved = of_run(runs.run_of((new, runs.judge(new, Verdict.PASS, name="one"))))
    other = of_run(runs.run_of((new, runs.judge(new, Verdict.PASS, name="other"))))
    assert compare(before, moved).strayed == ()
    assert [(told.name, told.new) for told in compare(before, other).strayed] == [("one", False), ("other", True)]
    assert "only in the new run" in comparison_text.text(compare(before, other))
    assert compare(attrs.evolve(before, complete=False), other).strayed == ()


def write(folder, run):
    folder.mkdir()
    (folder / "results.json").write_text(json_document.text(run), encoding="utf-8")
    return folder / "results.json"


@pytest.mark.parametrize("run", [runs.every_verdict(), runs.incomplete(), runs.non_conforming()])
def test_the_document_and_the_stream_come_to_the_same(run, tmp_path):
    file = write(tmp_path / "old", run)
    assert load(file) == load(file.parent) == of_run(run)


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"", ":1:1", "not JSON here"),
        (b'{\n  "complete": tru', ":2:15", "not JSON here"),
        (b"\xff\xfe", "", "not UTF-8: byte 0x0"),
        (b"[" * 100_000, "", "not JSON"),
        (b'{"seed": NaN}', "", "not JSON"),
        (b"[]", "", "the key 'subject' is missing"),
        (b'{"event": "header"}\n', ":1:1", "the key 'schema' is missing"),
        (b'{"event": "footer"', "", "not JSON here"),
        (b'{"subject": []}', ": subject", "the key 'inputs' is missing"),
        (b'{"subject": {"inputs": {}}}', ": subject.inputs", "expected a list"),
        (b'{"subject": {"inputs": [{"name": 3}]}}', ": subject.inputs[0].name", "expected text"),
    ],
)
def test_a_file_that_holds_no_results_is_told_with_its_place(content, place, words, tmp_path):
    file = tmp_path / "results.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as told:
        load(file)
    assert words in told.value.message
    assert told.value.where == f"{file}{place}" or not place


@pytest.mark.parametrize(
    ("key", "value", "place", "words"),
    [
        ("verdict", "good", ": requirements[0].verdict", "'good' is none of pass, fail"),
        ("weight", "", ": requirements[0].weight", "'' is none of conformance"),
        ("role", "reader", ": requirements[0].role", "'reader' is none of tables"),
        ("evidence", None, ": requirements[0].evidence", "expected a list"),
        ("id", "MADT-01", "", "MADT-01 is told of twice in the role tables"),
    ],
)
def test_a_wrong_value_in_a_document_is_told_with_its_place(key, value, place, words, tmp_path):
    file = write(tmp_path / "old", runs.conforming())
    data = json.loads(file.read_text())
    data["requirements"][0][key] = value
    file.write_text(json.dumps(data))
    with pytest.raises(InputError) as told:
        load(file)
    assert words in told.value.message
    assert told.value.where == f"{file}{place}"


def test_a_stream_in_a_directory_goes_before_the_document(tmp_path):
    file = write(tmp_path / "old", runs.conforming())
    (file.parent / "events.ndjson").write_text("")
    with pytest.raises(InputError):
        load(file.parent)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "nothing")


HOSTILE = "a|b `c` [x](http://y) <script> @all #1 \x1b[31m\n# d *e* \u202e"


def test_nothing_in_a_run_is_markup_or_obeyed_by_a_terminal():
    old, new = of_run(runs.worded(HOSTILE, Verdict.PASS)), of_run(runs.worded(HOSTILE))
    found = compare(old, new)
    for told in (comparison_text.text(found), comparison_text.markdown(found)):
        assert not {"\x1b", "\u202e"} & set(told)
    page = comparison_text.markdown(found)
    rows = [line for line in page.splitlines() if line.startswith("| MADT-07")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [5]
    assert not any(mark in page for mark in ("<script", "@", " `c`", "[x]", " #1"))


def test_json_holds_what_changed_and_counts_the_rest():
    old, new = (
        of_run(runs.conforming()),
        of_run(runs.run_of(runs.length_fails(), runs.passed(runs.selected("MADT-07")))),
    )
    told = json.loads(comparison_text.json_text(compare(old, new)))
    assert told["counts"]["same"] == 1
    assert {entry["id"]: entry["change"] for entry in told["requirements"]} == {
        "MADT-01": "only-in-old",
        "MADT-03": "newly-failing",
    }
    assert told["requirements"][0]["new"]["message"].startswith("the structure is 16 bytes long")
    assert (told["exit_code"], told["new"]["complete"], "judged" in told["new"]) == (1, True, False)


def test_the_reason_of_a_cut_is_what_a_run_says():
    assert events.fold([runs.header([runs.selected("MADT-07")])]).results[0].reason == events.CUT
