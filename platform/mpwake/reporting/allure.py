"""Allure results, written through allure-python-commons: one for each scenario and requirement that it judges.

allure-behave is not used: its 2.16.2 loses scenarios under a Gherkin ``Rule`` and turns a dead harness into a skip.
"""

from __future__ import annotations

import collections
import datetime
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import attrs
from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import Attachment, Label, Parameter, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.types import AttachmentType, LabelType, Severity

from mpwake.reporting import sequence
from mpwake.reporting.evidence_text import evidence_lines, judgements, one_line, scenarios, sentence, visible
from mpwake.reporting.files import write
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import TABLE, Verdict
from mpwake.suite.events import Finished, Judged, Result, Run, Seen, Step

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "mpwake.invalid")
OURS = ".mpwake"
WIDTH = 100
SEVERITY = {
    Weight.CONFORMANCE: Severity.CRITICAL,
    Weight.GUIDANCE: Severity.NORMAL,
    Weight.INTEROP: Severity.MINOR,
    Weight.ROBUSTNESS: Severity.TRIVIAL,
}
CATEGORIES = [
    *(
        {"name": name, "matchedStatuses": [Status.FAILED], "messageRegex": rf"^{weight.value}: [\s\S]*"}
        for name, weight in (
            ("Does not conform", Weight.CONFORMANCE),
            ("Does not follow the guidance", Weight.GUIDANCE),
            ("Does not interoperate", Weight.INTEROP),
            ("Is not robust", Weight.ROBUSTNESS),
        )
    ),
    {"name": "The harness or the target broke", "matchedStatuses": [Status.BROKEN]},
    {"name": "Inconclusive", "matchedStatuses": [Status.UNKNOWN]},
]
STEP_STATUS = {"passed": Status.PASSED, "failed": Status.FAILED, "skipped": Status.SKIPPED}


class _Logger(Protocol):
    """What is called of allure-python-commons, which has no annotations."""

    def report_result(self, result: TestResult) -> None:
        """Write one result."""

    def report_attached_data(self, body: str, file_name: str) -> None:
        """Write one attachment."""


_LOGGER: Callable[[str], _Logger] = AllureFileLogger


@attrs.frozen
class _Case:
    """What becomes one Allure result. ``scenario`` is None where a requirement was never, or not wholly, judged."""

    result: Result
    judged: Judged
    scenario: Finished | None
    name: str
    repeat: int

    @property
    def key(self) -> str:
        """What tells it from every other case, and stays the same from run to run."""
        selected = self.result.selected
        again = [str(self.repeat)] if self.repeat else []
        return "\n".join(map(one_line, [selected.id, selected.role, self.name, *again]))


def write_results(run: Run, folder: Path) -> None:
    """Write the results of a run into ``folder``, in place of older ones there.

    Raises ``InputError`` when the folder holds something else, or cannot be written.
    """
    folder = folder.resolve()
    _refuse_foreign(folder)
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            _write_all(run, beside)
            _replace(folder, beside)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(folder)) from None


def clear(folder: Path) -> None:
    """Take the results of an earlier run away; raises ``InputError`` when the folder holds something else."""
    _refuse_foreign(folder)
    if folder.is_dir():
        shutil.rmtree(folder)


def _refuse_foreign(folder: Path) -> None:
    hint = "name a folder that is new, empty or of an earlier run"
    if folder.is_dir():
        if any(folder.iterdir()) and not (folder / OURS).is_file():
            raise InputError("holds something other than Allure results of mpwake", str(folder), hint)
    elif folder.exists():
        raise InputError("is not a folder", str(folder), hint)


def _replace(folder: Path, fresh: Path) -> None:
    old = fresh.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_all(run: Run, folder: Path) -> None:
    logger = _LOGGER(str(folder))
    begin = _begin(run)
    for case in _cases(run):
        _write_case(logger, run, case, begin)
    if not run.complete:
        logger.report_result(_incomplete(run))
    _name_by_uuid(folder)
    write(folder / "environment.properties", _environment(run))
    write(folder / OURS, "")
    write(folder / "categories.json", json.dumps(CATEGORIES, indent=2) + "\n")


def _name_by_uuid(folder: Path) -> None:
    """Name each result after its uuid: the logger of allure-python-commons draws a random name."""
    for path in folder.glob("*-result.json"):
        name = json.loads(path.read_text(encoding="utf-8"))["uuid"]
        path.rename(folder / f"{name}-result.json")


def _cases(run: Run) -> Iterator[_Case]:
    repeats: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for result in run.results:
        for scenario, judged in _judgements(result):
            name = one_line(scenario.name if scenario else "not wholly judged")
            key = (result.selected.id, result.selected.role, name)
            yield _Case(result, judged, scenario, name, repeats[key])
            repeats[key] += 1


def _judgements(result: Result) -> Iterator[tuple[Finished | None, Judged]]:
    """Yield each scenario's verdict, and that of the whole where no scenario has it."""
    yield from judgements(result)
    if result.verdict not in {one.verdict for one in result.judged}:
        yield None, Judged(result.selected.id, result.verdict, result.reason)


def _epoch(time: str) -> int:
    """Return milliseconds since 1970, or 0 for what is not a time."""
    try:
        return int(datetime.datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return 0


def _begin(run: Run) -> dict[int, int]:
    """Return when each scenario, named by its ``id``, began, as if they had run in the order of the results."""
    now = float(_epoch(run.header.started))
    begin: dict[int, int] = {}
    for scenario in scenarios(run.results):
        begin[id(scenario)] = int(now)
        now += scenario.duration * 1000
    return begin


def _uuid(run: Run, key: str) -> str:
    header = run.header
    return str(uuid.uuid5(NAMESPACE, visible("\n".join([header.subject.name, header.started, str(header.seed), key]))))


def _write_case(logger: _Logger, run: Run, case: _Case, begin: dict[int, int]) -> None:
    identity = _uuid(run, case.key)
    start = begin[id(case.scenario)] if case.scenario else _epoch(run.header.started)
    seconds = case.scenario.duration if case.scenario else 0.0
    stable = str(uuid.uuid5(NAMESPACE, case.key))
    selected = case.result.selected
    item = TestResult(
        uuid=identity,
        historyId=stable,
        testCaseId=stable,
        name=case.name,
        fullName=one_line(f"mpwake.{selected.role}.{selected.id}: {case.name}"),
        titlePath=[one_line(part) for part in (selected.role, selected.area, selected.id)],
        description=visible(f"{selected.statement}\n\n{selected.clause}"),
        status=TABLE[case.judged.verdict].allure,
        statusDetails=_details(case),
        stage="finished",
        labels=_labels(run, case.result),
        parameters=_parameters(run, selected.role),
        steps=[_step(step) for step in case.scenario.steps] if case.scenario else [],
        attachments=_attach(logger, identity, case),
        start=start,
        stop=start + int(seconds * 1000),
    )
    logger.report_result(item)


def _details(case: _Case) -> StatusDetails | None:
    judged = case.judged
    if judged.verdict is Verdict.PASS:
        return None
    bad = [seen for seen in judged.seen if not seen.ok]
    facts = [f"found {one_line(seen.found)}, expected {one_line(seen.expected)}" for seen in bad]
    reason = one_line(judged.reason or case.result.reason) or judged.verdict.value
    head = case.result.weight.value if judged.verdict is Verdict.FAIL else judged.verdict.value
    known = True if judged.verdict is Verdict.WAIVED else None
    return StatusDetails(message="\n".join([f"{head}: {reason}", *facts]), known=known)


def _labels(run: Run, result: Result) -> list[Label]:
    selected = result.selected
    pairs = [
        (LabelType.EPIC, run.header.edition),
        (LabelType.FEATURE, selected.chapter),
        (LabelType.STORY, f"{selected.id} {selected.title}"),
        (LabelType.PARENT_SUITE, selected.role),
        (LabelType.SUITE, selected.area),
        (LabelType.SUB_SUITE, selected.id),
        (LabelType.SEVERITY, SEVERITY[result.weight].value),
        (LabelType.FRAMEWORK, "mpwake"),
        *((LabelType.TAG, tag) for tag in (selected.id, selected.role, result.weight.value, selected.area)),
    ]
    return [Label(name=name, value=one_line(value)) for name, value in pairs]


def _parameters(run: Run, role: str) -> list[Parameter]:
    header = run.header
    kept = (("target", header.subject.name), ("role", role), ("edition", header.edition))
    return [
        *(Parameter(name=name, value=one_line(value)) for name, value in kept),
        Parameter(name="seed", value=str(header.seed), excluded=True),
    ]


def _step(step: Step) -> TestStepResult:
    return TestStepResult(name=one_line(step.text), status=STEP_STATUS.get(step.status, Status.BROKEN))


def _attach(logger: _Logger, identity: str, case: _Case) -> list[Attachment]:
    if not case.judged.seen:
        return []
    body = "\n".join(evidence_lines(case.judged.seen, WIDTH)) + "\n"
    drawn = [
        _attached(
            logger, f"{identity}-{number}", f"mailbox traffic: {one_line(seen.found)}", AttachmentType.SVG, diagram
        )
        for number, (seen, diagram) in enumerate(_diagrams(case.judged.seen), 1)
    ]
    return [_attached(logger, identity, "evidence", AttachmentType.TEXT, body), *drawn]


def _attached(logger: _Logger, identity: str, name: str, kind: AttachmentType, body: str) -> Attachment:
    source = f"{identity}-attachment.{kind.extension}"
    logger.report_attached_data(body, source)
    return Attachment(name=name, source=source, type=kind.mime_type)


def _diagrams(every: Iterable[Seen]) -> Iterator[tuple[Seen, str]]:
    """Yield a diagram of the mailbox traffic of each thing that is not as required, with that thing."""
    for seen in every:
        for shown in seen.exhibits:
            if shown.traffic and not seen.ok:
                yield seen, sequence.document(shown.traffic, f"Mailbox traffic: {seen.found}, expected {seen.expected}")


def _incomplete(run: Run) -> TestResult:
    name = "the run is incomplete"
    stable = str(uuid.uuid5(NAMESPACE, name))
    start = _epoch(run.header.started)
    pairs = [(LabelType.EPIC, run.header.edition), (LabelType.SEVERITY, Severity.BLOCKER.value)]
    return TestResult(
        uuid=_uuid(run, name),
        historyId=stable,
        testCaseId=stable,
        name=name,
        fullName=f"mpwake: {name}",
        titlePath=["mpwake"],
        status=Status.BROKEN,
        statusDetails=StatusDetails(message=sentence(run)),
        stage="finished",
        labels=[Label(name=label, value=one_line(value)) for label, value in pairs],
        start=start,
        stop=start,
    )


def _environment(run: Run) -> str:
    header = run.header
    pairs = [
        ("subject", header.subject.name),
        *((f"sha256 of {one.name}", one.sha256) for one in header.subject.inputs),
        ("target", header.target),
        ("edition", f"{header.edition}: {header.edition_reason}"),
        ("strict", ", ".join(header.strict)),
        ("verdict", sentence(run)),
        ("mpwake", header.mpwake),
        ("command", " ".join(header.command)),
        ("seed", str(header.seed)),
        ("started", header.started),
        ("finished", run.footer.finished if run.footer else "never"),
    ]
    return "".join(f"{_property(name, ' =:#!')}={_property(value)}\n" for name, value in pairs if value)


def _property(text: str, special: Iterable[str] = ()) -> str:
    """Escape for a Java properties file: backslashes, and what would end a name."""
    escaped = one_line(text).replace("\\", "\\\\")
    return "".join(f"\\{character}" if character in special else character for character in escaped)
