"""Runs scenarios with behave and tells listeners what happened.

behave is driven from here and never through its own exit code: for it, nothing selected is a success, and a hook
that breaks is a skip. Verdicts, events and exit codes are ours.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from mpwake import __version__
from mpwake.checks.core import Finding, Judgement
from mpwake.evidence.exhibit import Exhibit, Traffic
from mpwake.spec.editions import NEWEST
from mpwake.spec.requirements import Requirement, Role, registry
from mpwake.spec.resources import relative, suite_root
from mpwake.spec.verdicts import Verdict
from mpwake.suite import events
from mpwake.suite.case import Case
from mpwake.suite.catalogue import Scenario
from mpwake.suite.errors import Interrupted
from mpwake.suite.interrupt import Interrupt
from mpwake.targets.base import Target


@attrs.frozen
class Options:
    """How to run: what fails beside conformance, the seed, the command line for the record, and who hears Ctrl-C."""

    strict: tuple[str, ...] = ()
    seed: int = 0
    command: tuple[str, ...] = ()
    interrupt: Interrupt = attrs.Factory(Interrupt)


def now() -> str:
    """Return the time in UTC, or what SOURCE_DATE_EPOCH says, in ISO 8601."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    stamp = float(epoch) if epoch.isdigit() else time.time()
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _role(scenario: Scenario, target: Target) -> Role:
    return next(role for role in scenario.roles if role in target.roles)


def _selected(scenarios: tuple[Scenario, ...], target: Target) -> Iterator[events.Selected]:
    grouped: dict[tuple[str, Role], list[str]] = {}
    for one in scenarios:
        for requirement_id in one.ids:
            grouped.setdefault((requirement_id, _role(one, target)), []).append(one.place)
    requirements = registry().requirements
    order = list(requirements)
    for (requirement_id, role), places in sorted(grouped.items(), key=lambda item: order.index(item[0][0])):
        requirement = requirements[requirement_id]
        yield events.Selected(
            id=requirement_id,
            role=role.value,
            title=requirement.title,
            area=requirement.area,
            chapter=registry().area_of(requirement_id).chapter,
            basis=requirement.basis.value,
            weight=requirement.weight,
            clause=requirement.clause(target.edition or NEWEST),
            statement=requirement.statement,
            scenarios=tuple(places),
        )


def header(target: Target, scenarios: tuple[Scenario, ...], options: Options) -> events.Header:
    """Return the first event of a run."""
    inputs = tuple(
        events.Input(one.name, one.kind, len(one.data), hashlib.sha256(one.data).hexdigest()) for one in target.sources
    )
    return events.Header(
        event="header",
        schema="mpwake-events/1",
        mpwake=__version__,
        command=options.command,
        started=now(),
        seed=options.seed,
        edition=(target.edition or NEWEST).value,
        edition_reason=target.edition_reason,
        target=target.kind,
        strict=options.strict,
        subject=events.Subject(target.name, inputs, target.notes),
        selected=tuple(_selected(scenarios, target)),
    )


def shown(exhibit: Exhibit) -> events.Shown:
    """Return an exhibit as the stream holds it."""
    marks = tuple((mark.offset, mark.length) for mark in exhibit.marks)
    traffic = traffic_of(exhibit.traffic) if exhibit.traffic else None
    return events.Shown(exhibit.name, exhibit.offset, exhibit.data.hex(), marks, exhibit.text, traffic)


def traffic_of(one: Traffic) -> events.Traffic:
    """Return mailbox traffic as the stream holds it."""
    lanes = tuple(events.Lane(lane.agent, lane.name) for lane in one.lanes)
    rows = tuple(events.TrafficRow(**{**attrs.asdict(row, recurse=False), "page": row.page.hex()}) for row in one.rows)
    return events.Traffic(lanes, rows, one.page.hex(), one.earlier, one.later, one.loads, one.console)


def _seen(finding: Finding, requirement: Requirement) -> events.Seen:
    exhibits = tuple(map(shown, finding.exhibits))
    return events.Seen(finding.ok, finding.weight or requirement.weight, finding.found, finding.expected, exhibits)


def _told(case: Case, requirement: Requirement, broken: str) -> events.Judged:
    judgement = case.judgements.get(requirement.id)
    if broken:
        judgement = Judgement(Verdict.ERROR, broken)
    elif judgement is None and case.unjudged is not None:
        judgement = Judgement(case.unjudged.verdict, requirement.unobservable or case.unjudged.reason)
    elif judgement is None:
        judgement = Judgement(Verdict.ERROR, "no step of the scenario judged it")
    seen = tuple(_seen(finding, requirement) for finding in judgement.findings)
    return events.Judged(requirement.id, judgement.verdict, judgement.reason, seen)


def _breakage(case: Case, model: Any) -> str:
    failed = any(one.verdict is Verdict.FAIL for one in case.judgements.values())
    if model.hook_failed:
        return "a hook of the suite broke"
    for step in model.all_steps:
        status = step.status.name
        if status in ("undefined", "error", "pending", "hook_error") or (status == "failed" and not failed):
            told = (step.error_message or "").strip().splitlines()
            return f"the step {step.keyword} {step.name!r} is {status}" + (f": {told[-1]}" if told else "")
    return ""


@attrs.define
class _Run:
    """One run of behave over the selected scenarios."""

    target: Target
    scenarios: tuple[Scenario, ...]
    listener: events.Listener
    interrupt: Interrupt
    began: float = 0.0
    done: set[str] = attrs.Factory(set)

    def of(self, model: Any) -> Scenario:
        place = f"{relative(Path(model.filename))}:{model.line}"
        return next(one for one in self.scenarios if one.place == place)

    def before(self, context: Any, model: Any) -> None:
        scenario = self.of(model)
        role = _role(scenario, self.target)
        context.case = Case(scenario, role, self.target.evidence(role))
        self.began = time.monotonic()
        self.listener(events.Started("started", scenario.place, scenario.name, role.value))

    def after(self, context: Any, model: Any) -> None:
        if context.aborted or self.interrupt.hurried:
            return
        case: Case = context.case
        self.finish(case, model, _breakage(case, model))

    def finish(self, case: Case, model: Any, broken: str) -> None:
        requirements = registry().requirements
        steps = tuple(
            events.Step(f"{step.keyword} {step.name}", step.status.name) for step in (model.all_steps if model else ())
        )
        self.done.add(case.scenario.place)
        self.listener(
            events.Finished(
                event="scenario",
                file=case.scenario.place,
                name=case.scenario.name,
                feature=case.scenario.feature,
                role=case.role.value,
                judged=tuple(_told(case, requirements[one], broken) for one in case.scenario.ids),
                steps=steps,
                duration=round(time.monotonic() - self.began, 6),
            )
        )

    def finish_missing(self) -> None:
        """Tell of every selected scenario that behave has not run: that is a broken harness, not a skip."""
        for one in self.scenarios:
            if one.place not in self.done:
                role = _role(one, self.target)
                case = Case(one, role, self.target.evidence(role))
                self.finish(case, None, "behave did not run this scenario")


@functools.cache
def _step_modules_loaded() -> list[bool]:
    return []


def _behave(run: _Run) -> None:
    from behave.configuration import Configuration
    from behave.runner import Runner

    class _Runner(Runner):  # type: ignore[misc]
        def load_step_definitions(self, extra_step_paths: Any = None) -> None:
            if not _step_modules_loaded():
                super().load_step_definitions(extra_step_paths)
                _step_modules_loaded().append(True)

    places = [str(suite_root() / one.place) for one in run.scenarios]
    arguments = ["--format", "null", "--no-summary", "--no-capture", "--no-capture-stderr", "--no-logcapture"]
    runner = _Runner(Configuration([*arguments, *places], load_config=False))

    def after(context: Any, model: Any) -> None:
        run.after(context, model)
        if run.interrupt.asked:
            runner.aborted = True

    runner.hooks = {"before_scenario": run.before, "after_scenario": after, "before_all": lambda _context: None}
    with contextlib.redirect_stdout(io.StringIO()):
        runner.run()
    if runner.aborted:
        raise Interrupted


def _prepare(target: Target, scenarios: tuple[Scenario, ...]) -> None:
    """Tell a target what it will be asked for."""
    for role, side in target.driven.items():
        asked = (one for one in scenarios if _role(one, target) is role)
        side.prepare(dict.fromkeys(words for one in asked for keyword, words in one.steps if keyword == "When"))


def run(target: Target, scenarios: tuple[Scenario, ...], options: Options, *listeners: events.Listener) -> events.Run:
    """Run scenarios on a target and return the run, complete with its footer.

    Every event goes to every listener as it happens. Raises ``Interrupted`` on Ctrl-C, after telling what was
    judged, the scenario that was going on included where it came to its end, and without a footer.
    """
    told: list[events.Event] = []

    def tell(event: events.Event) -> None:
        told.append(event)
        for listener in listeners:
            listener(event)

    target = target.settled().seeded(options.seed)
    tell(header(target, scenarios, options))
    _prepare(target, scenarios)
    one = _Run(target, scenarios, tell, options.interrupt)
    try:
        _behave(one)
    except KeyboardInterrupt:
        raise Interrupted from None
    options.interrupt.check()
    one.finish_missing()
    tell(events.close(events.fold(told), now()))
    return events.fold(told)
