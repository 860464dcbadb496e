"""Allure results, and how Allure's own page is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import pytest

from mpwake.reporting import allure, allure_html
from mpwake.spec.errors import InputError
from mpwake.spec.verdicts import TABLE, Verdict
from mpwake.suite.events import Run
from support import runs

Written = dict[str, dict[str, Any]]


def written(run: Run, folder: Path) -> Written:
    """Write the results of a run and return them by full name."""
    allure.write_results(run, folder)
    every = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
    assert len({one["uuid"] for one in every}) == len({one["historyId"] for one in every}) == len(every)
    return {one["fullName"]: one for one in every}


def of(results: Written, start: str) -> dict[str, Any]:
    """Return the one result whose full name begins so."""
    (found,) = [one for name, one in results.items() if name.startswith(start)]
    return found


def labels(result: dict[str, Any], name: str) -> list[str]:
    """Return the values of a label."""
    return [one["value"] for one in result["labels"] if one["name"] == name]


def test_each_scenario_and_requirement_is_a_result_with_the_status_of_the_table(tmp_path: Path) -> None:
    run = runs.every_verdict()
    results = written(run, tmp_path / "r")
    assert len(results) == len(run.results)
    for one in run.results:
        found = of(results, f"mpwake.{one.selected.role}.{one.selected.id}:")
        assert found["status"] == TABLE[one.verdict].allure


def test_a_result_is_labelled_as_people_look_for_it(tmp_path: Path) -> None:
    result = of(written(runs.non_conforming(), tmp_path / "r"), "mpwake.tables.MADT-03:")
    assert labels(result, "epic") == ["acpi-6.6"]
    assert labels(result, "feature") == ["enumeration"]
    assert labels(result, "story") == ["MADT-03 A version 1 structure is 24 bytes long"]
    assert labels(result, "tag") == ["MADT-03", "tables", "conformance", "MADT"]
    assert [labels(result, name) for name in ("parentSuite", "suite", "subSuite")] == [
        ["tables"],
        ["MADT"],
        ["MADT-03"],
    ]
    assert result["parameters"][-1] == {"name": "seed", "value": "20260314", "excluded": True}
    assert [one["name"] for one in result["parameters"]] == ["target", "role", "edition", "seed"]
    assert "links" not in result


def test_severity_follows_the_weight(tmp_path: Path) -> None:
    results = written(runs.every_verdict(), tmp_path / "r")
    severities = {
        key: labels(of(results, f"mpwake.{key}:"), "severity") for key in ("tables.MADT-03", "tables.MADT-14")
    }
    assert severities == {"tables.MADT-03": ["critical"], "tables.MADT-14": ["minor"]}
    assert labels(of(results, "mpwake.tables.MADT-29:"), "severity") == ["normal"]
    assert labels(of(results, "mpwake.receiver.RCV-30:"), "severity") == ["trivial"]


def test_a_failure_carries_message_steps_and_evidence(tmp_path: Path) -> None:
    result = of(written(runs.non_conforming(), tmp_path / "r"), "mpwake.tables.MADT-03:")
    assert result["statusDetails"]["message"] == (
        "conformance: the structure is 16 bytes long, not 24\n"
        "found Length 16, expected Length 24, because MailBoxVersion is 1"
    )
    assert [step["status"] for step in result["steps"]] == ["passed", "failed"]
    (attachment,) = result["attachments"]
    text = (tmp_path / "r" / attachment["source"]).read_text()
    assert "00000030  01 00 00 00 10[10]01 00" in text
    assert result["stop"] - result["start"] == 250


def test_a_failure_has_a_diagram_of_its_traffic_beside_the_text(tmp_path: Path) -> None:
    result = of(written(runs.run_of(runs.traffic_fails()), tmp_path / "r"), "mpwake.receiver.RCV-09:")
    text, drawn = result["attachments"]
    assert (text["name"], text["type"]) == ("evidence", "text/plain")
    assert (drawn["name"], drawn["type"]) == ("mailbox traffic: a store of 8 bytes at 0x0", "image/svg+xml")
    root = ElementTree.fromstring((tmp_path / "r" / drawn["source"]).read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawn["source"].endswith("-1-attachment.svg")


def test_what_passes_has_no_diagram(tmp_path: Path) -> None:
    one, _ = runs.traffic_fails()
    evidence = runs.seen(exhibits=[runs.traffic_shown()])
    result = of(written(runs.run_of(runs.passed(one, evidence)), tmp_path / "r"), "mpwake.receiver.RCV-09:")
    assert [one["type"] for one in result["attachments"]] == ["text/plain"]


def test_a_waived_failure_is_known(tmp_path: Path) -> None:
    result = of(written(runs.single(Verdict.WAIVED, "known"), tmp_path / "r"), "mpwake.tables.MADT-07:")
    assert result["statusDetails"] == {"known": True, "message": "waived: known"}


def test_every_failure_falls_into_a_category(tmp_path: Path) -> None:
    results = written(runs.every_verdict(), tmp_path / "r")
    categories = json.loads((tmp_path / "r" / "categories.json").read_text())
    wording = {one["name"]: one.get("messageRegex", "") for one in categories}
    assert wording["Does not interoperate"].startswith("^interop: ")
    assert of(results, "mpwake.tables.MADT-14:")["statusDetails"]["message"].startswith("interop: ")


def test_an_incomplete_run_has_a_broken_result_and_one_for_what_was_never_judged(tmp_path: Path) -> None:
    results = written(runs.incomplete(), tmp_path / "r")
    assert of(results, "mpwake: the run is incomplete")["status"] == "broken"
    assert "after 2 of 3 scenarios" in of(results, "mpwake: the run is incomplete")["statusDetails"]["message"]
    assert of(results, "mpwake.sender.SND-01:")["status"] == "unknown"


def test_a_requirement_cut_after_its_first_scenario_is_not_only_a_pass(tmp_path: Path) -> None:
    one = runs.selected("MADT-07", scenarios=("a.feature:1", "a.feature:9"))
    results = written(runs.run_of((one, runs.judge(one, Verdict.PASS)), complete=False), tmp_path / "r")
    assert of(results, "mpwake.tables.MADT-07: not wholly judged")["status"] == "unknown"


def test_the_environment_says_what_was_tested(tmp_path: Path) -> None:
    allure.write_results(runs.worded("a = b: \\ c\n"), tmp_path / "r")
    text = (tmp_path / "r" / "environment.properties").read_text()
    assert "subject=a = b: \\\\ c\n" in text
    assert "sha256\\ of\\ a\\ \\=\\ b\\:\\ \\\\\\ c=" + "0" * 64 in text
    assert "seed=20260314\n" in text


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        allure.write_results(runs.every_verdict(), tmp_path / name)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second


def test_history_ids_hold_from_run_to_run_and_tell_examples_apart(tmp_path: Path) -> None:
    one, finished = runs.length_fails()
    run = runs.run_of(
        (attrs.evolve(one, scenarios=("a:1", "a:2")), finished), (one, attrs.evolve(finished, file="a:2"))
    )
    again = attrs.evolve(run, header=attrs.evolve(run.header, started="2027-01-01T00:00:00Z", seed=1))
    first, second = (tmp_path / "first", tmp_path / "second")
    for chosen, folder in ((run, first), (again, second)):
        allure.write_results(chosen, folder)
    ids = [
        {json.loads(path.read_text())["historyId"] for path in folder.glob("*-result.json")}
        for folder in (first, second)
    ]
    assert ids[0] == ids[1]
    assert {path.name for path in first.glob("*-result.json")} != {path.name for path in second.glob("*-result.json")}


def test_older_results_are_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    allure.write_results(runs.every_verdict(), folder)
    allure.write_results(runs.conforming(), folder)
    assert len(list(folder.glob("*-result.json"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    foreign = tmp_path / "home"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="something other"):
        allure.write_results(runs.conforming(), foreign)
    assert (foreign / "thesis.txt").read_text() == "x"
    with pytest.raises(InputError, match="not a folder"):
        allure.write_results(runs.conforming(), foreign / "thesis.txt")


def test_any_text_can_be_written(tmp_path: Path) -> None:
    result = of(written(runs.worded("a\x00b\udcff\x1b"), tmp_path / "r"), "mpwake.tables.MADT-07:")
    assert result["name"] == "a\\x00b\\udcff\\x1b"


PAGE = """<!DOCTYPE html><html><head>
    <meta charset="utf-8">
</head><body><script>window.allure = {};</script>
    <script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>
    <script>
        window.dataLayer = window.dataLayer || [];
        function gtag(){dataLayer.push(arguments);}
        gtag('js', new Date());
    </script>
    <script>d("data", "AAAA")</script></body></html>"""


def test_analytics_are_taken_out_and_the_rest_stays() -> None:
    page = allure_html.offline(PAGE)
    assert "gtag" not in page
    assert "dataLayer" not in page
    assert '<script>d("data", "AAAA")</script>' in page
    assert "<script>window.allure = {};</script>" in page
    assert page.index("Content-Security-Policy") < page.index("<script>")


@pytest.mark.parametrize("page", [PAGE.replace("<script async", "<script a='>"), "<html></html>"])
def test_a_page_that_is_not_understood_is_refused(page: str) -> None:
    with pytest.raises(InputError, match="analytics"):
        allure_html.offline(page)


def program(folder: Path, name: str, text: str) -> None:
    """Put a small program on the path."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return results, with nothing but ``bin`` on the path."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    allure.write_results(runs.conforming(), tmp_path / "r")
    return tmp_path / "r"


def test_without_node_it_says_what_to_install(results: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        allure_html.render(results, tmp_path / "out", tmp_path / "cache")
    assert "node is not installed" in caught.value.message
    assert "install Node.js 20 or newer with npm" in caught.value.hint


def test_an_old_node_is_told(results: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "echo v18.19.0")
    with pytest.raises(InputError, match=r"node is v18\.19\.0"):
        allure_html.render(results, tmp_path / "out", tmp_path / "cache")


def test_without_npm_it_says_what_to_install(results: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "echo v22.1.0")
    with pytest.raises(InputError, match="npm is not installed"):
        allure_html.render(results, tmp_path / "out", tmp_path / "cache")


def test_a_failed_installation_shows_its_last_lines_and_leaves_nothing(results: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "echo v22.1.0")
    program(tmp_path / "bin", "npm", "echo error: no answer from https://example.invalid/allure >&2; exit 7")
    with pytest.raises(InputError) as caught:
        allure_html.render(results, tmp_path / "out", tmp_path / "cache")
    assert caught.value.message == "npm install --prefix: exit code 7"
    assert caught.value.hint == "error: no answer from (address)"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Allure results"):
        allure_html.render(tmp_path, tmp_path / "out", tmp_path / "cache")
