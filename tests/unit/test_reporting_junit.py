"""JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml, TestSuite

from mpwake.reporting import junit
from mpwake.reporting.evidence_text import one_line
from mpwake.spec.verdicts import Verdict
from mpwake.suite.events import Run
from support import runs


def cases(run: Run) -> dict[str, Element]:
    """Return each test case by class and id."""
    found = ElementTree.fromstring(junit.text(run)).iter("testcase")
    return {f"{case.get('classname')} {str(case.get('name')).split()[0]}": case for case in found}


def test_a_suite_for_each_area_and_a_case_for_each_requirement_and_role() -> None:
    parsed = JUnitXml.fromstring(junit.text(runs.every_verdict()).encode())
    suites = list(parsed)
    assert all(isinstance(suite, TestSuite) for suite in suites)
    assert sorted(str(suite.name) for suite in suites) == ["MADT", "MEM", "RCV", "SND", "TDX"]
    assert {"mpwake.tables.MADT MADT-07", "mpwake.sender.MADT MADT-07"} <= set(cases(runs.every_verdict()))
    assert (parsed.tests, parsed.failures, parsed.errors) == (13, 2, 2)


def test_a_failure_carries_reason_clause_and_evidence() -> None:
    failure = cases(runs.non_conforming())["mpwake.tables.MADT MADT-03"].find("failure")
    assert failure is not None
    assert failure.get("message") == "the structure is 16 bytes long, not 24"
    assert failure.text is not None
    assert "acpi-6.6 section 5.2.12.19, Table 5.45" in failure.text
    assert "found     Length 16\nexpected  Length 24, because MailBoxVersion is 1" in failure.text
    assert "00000030  01 00 00 00 10[10]01 00" in failure.text
    assert failure.text.index("Length 16") < failure.text.index("as required")


def test_a_failure_that_does_not_count_is_skipped_with_its_weight() -> None:
    case = cases(runs.interop_failing())["mpwake.tables.MADT MADT-14"]
    assert [child.tag for child in case] == ["skipped"]
    assert str(case[0].get("message")).startswith("interop: a reader that goes by the revision")
    assert "revision 1" in str(case[0].text)


def test_a_failure_that_strict_counts_is_a_failure() -> None:
    case = cases(runs.interop_failing("interop"))["mpwake.tables.MADT MADT-14"]
    assert [child.tag for child in case] == ["failure"]


@pytest.mark.parametrize(
    ("verdict", "tag"),
    [
        (Verdict.FAIL, "failure"),
        (Verdict.ERROR, "error"),
        (Verdict.INCONCLUSIVE, "error"),
        (Verdict.WAIVED, "skipped"),
        (Verdict.NOT_APPLICABLE, "skipped"),
        (Verdict.NOT_TESTABLE, "skipped"),
    ],
)
def test_each_verdict_becomes_what_the_table_says(verdict: Verdict, tag: str) -> None:
    case = cases(runs.single(verdict, "because"))["mpwake.tables.MADT MADT-07"]
    assert [child.tag for child in case] == [tag]
    assert "because" in str(case[0].get("message"))


def test_a_pass_has_no_children_and_the_time_of_its_scenario() -> None:
    case = cases(runs.conforming())["mpwake.tables.MADT MADT-07"]
    assert list(case) == []
    assert case.get("time") == "0.250000"


def test_an_incomplete_run_is_an_error() -> None:
    root = ElementTree.fromstring(junit.text(runs.incomplete()))
    last = root[-1]
    assert last.get("name") == "mpwake"
    assert last[0].get("name") == "the run is incomplete"
    assert last[0][0].tag == "error"
    assert "after 2 of 3 scenarios" in str(last[0][0].get("message"))


def test_a_run_that_passed_so_far_but_is_incomplete_is_an_error() -> None:
    run = runs.run_of(runs.passed(runs.selected("MADT-07")), complete=False)
    assert JUnitXml.fromstring(junit.text(run).encode()).errors == 1


def test_a_run_in_which_nothing_was_judged_is_an_error() -> None:
    root = ElementTree.fromstring(junit.text(runs.single(Verdict.NOT_TESTABLE, "no AML")))
    assert root.get("errors") == "1"
    assert root[-1][0].get("name") == "nothing was decided"


@pytest.mark.parametrize("run", [runs.conforming(), runs.interop_failing(), runs.single(Verdict.WAIVED)])
def test_a_run_that_exits_with_zero_has_no_failure_and_no_error(run: Run) -> None:
    root = ElementTree.fromstring(junit.text(run))
    assert (run.exit_code, root.get("failures"), root.get("errors")) == (0, "0", "0")


@given(st.text())
def test_any_text_gives_xml_that_carries_it(text: str) -> None:
    root = ElementTree.fromstring(junit.text(runs.worded(text)).encode())
    case = next(root.iter("testcase"))
    assert case.get("name") == f"MADT-07 {one_line(text)}".strip()
    assert case[0].get("message") == (one_line(text) or "fail")
    JUnitXml.fromstring(junit.text(runs.worded(text)).encode())


@pytest.mark.parametrize("code", [0x00, 0x08, 0x0B, 0x1B, 0x7F, 0x9F, 0x202E, 0xD800, 0xFFFE, 0xFFFF])
def test_what_xml_forbids_or_nobody_sees_is_shown_as_an_escape(code: int) -> None:
    text = junit.text(runs.worded(f"a{chr(code)}b"))
    ElementTree.fromstring(text.encode())
    escape = f"a\\x{code:02x}b" if code < 0x100 else f"a\\u{code:04x}b"
    assert escape in text or code == 0x0B
