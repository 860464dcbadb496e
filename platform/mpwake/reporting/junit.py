"""JUnit XML, for continuous integration.

A test suite for each area, a test case for each requirement and role. Only what decides the verdict of the run
is a failure or an error there; a run that is no success never reads as one.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mpwake.reporting.evidence_text import evidence_lines, one_line, scenarios, sentence, visible
from mpwake.spec.verdicts import TABLE, Verdict
from mpwake.suite.events import Result, Run

WIDTH = 100
OPEN = (Verdict.FAIL, Verdict.INCONCLUSIVE)


def text(run: Run) -> str:
    """Return the whole file."""
    root = Element("testsuites", name=one_line(f"mpwake {run.header.subject.name}"))
    areas = dict.fromkeys(result.selected.area for result in run.results)
    for area in areas:
        _suite(root, run, area, [result for result in run.results if result.selected.area == area])
    _whole(root, run)
    _sum(root, list(root))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, run: Run, area: str, results: list[Result]) -> None:
    suite = SubElement(root, "testsuite", name=one_line(area), timestamp=one_line(run.header.started))
    _properties(suite, run)
    for result in results:
        _case(suite, run, result)
    _sum_cases(suite)


def _properties(suite: Element, run: Run) -> None:
    header = run.header
    values = {
        "mpwake": header.mpwake,
        "edition": header.edition,
        "target": header.target,
        "subject": header.subject.name,
        "seed": str(header.seed),
        **{f"sha256 of {one.name}": one.sha256 for one in header.subject.inputs},
    }
    properties = SubElement(suite, "properties")
    for name, value in values.items():
        SubElement(properties, "property", name=one_line(name), value=one_line(value))


def _case(suite: Element, run: Run, result: Result) -> None:
    selected = result.selected
    case = SubElement(
        suite,
        "testcase",
        classname=one_line(f"mpwake.{selected.role}.{selected.area}"),
        name=one_line(f"{selected.id} {selected.title}"),
        time=f"{_seconds(result):.6f}",
    )
    kind = TABLE[result.verdict].junit
    uncounted = result.verdict in OPEN and not run.counts_against(result)
    if kind == "passed":
        return
    child = SubElement(case, "skipped" if uncounted else kind, message=_message(result, uncounted))
    if child.tag != "skipped":
        child.set("type", result.verdict.value)
    child.text = _body(result)


def _seconds(result: Result) -> float:
    """Return its share of the time of each scenario that judged it, so that the shares add up to the whole."""
    return sum(scenario.duration / max(1, len(scenario.judged)) for scenario in scenarios([result]))


def _message(result: Result, uncounted: bool) -> str:
    reason = one_line(result.reason)
    if uncounted:
        return f"{result.weight.value}: {reason or result.verdict.value} (does not fail this run)"
    return reason if result.verdict is Verdict.FAIL and reason else f"{result.verdict.value}: {reason}".rstrip(": ")


def _body(result: Result) -> str:
    selected = result.selected
    lines = [
        visible(selected.statement),
        visible(selected.clause),
        *(f"{one_line(one.file)}: {one_line(one.name)}" for one in scenarios([result])),
        "",
        *evidence_lines(result.seen, WIDTH),
    ]
    return "\n" + "\n".join(lines).rstrip() + "\n"


def _whole(root: Element, run: Run) -> None:
    """Add an error for the run as a whole when it is no success and no single requirement says so."""
    bad = [case for case in root.iter("testcase") if case.find("failure") is not None or case.find("error") is not None]
    if run.complete and (run.exit_code == 0 or bad):
        return
    suite = SubElement(root, "testsuite", name="mpwake", timestamp=one_line(run.header.started))
    name = "nothing was decided" if run.complete else "the run is incomplete"
    case = SubElement(suite, "testcase", classname="mpwake", name=name, time="0.000000")
    SubElement(case, "error", message=sentence(run), type=run.verdict)
    _sum_cases(suite)


def _sum_cases(suite: Element) -> None:
    cases = suite.findall("testcase")
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.6f}")


def _sum(root: Element, suites: list[Element]) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, 0)) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time', 0)) for suite in suites):.6f}")
