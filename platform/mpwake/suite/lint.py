"""The feature linter: id, tag, file, registry, check and mutant agree, and no scenario says what nothing judges."""

from __future__ import annotations

import collections
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from mpwake.checks.core import CHECKS, CLAIMS, CONDITIONS, FURTHER, Check, checks_of, everybodys, nothing_driven
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, registry
from mpwake.spec.resources import relative, suite_root
from mpwake.suite.catalogue import ROLES, Scenario, scenarios
from mpwake.suite.mutants import check_of, mutants
from mpwake.targets.model import platform_names

_NEARLY = re.compile(r"(Feature|Rule|Background|Scenario( Outline)?|Examples)\b(?!:)", re.IGNORECASE)
_LINE = re.compile(
    r"@\S.*|#.*|\|.*|(Feature|Rule|Background|Scenario( Outline)?|Examples):.*|(Given|When|Then|And|But) .*|"
)


@attrs.frozen
class Problem:
    """What is wrong, and where."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def _kinds(scenario: Scenario) -> Iterator[tuple[str, str]]:
    kind = ""
    for keyword, sentence in scenario.steps:
        kind = kind if keyword in ("And", "But", "*") else keyword.lower()
        yield kind, sentence


def _checks(scenario: Scenario) -> list[Check]:
    if scenario.system:
        claimed = [CLAIMS[sentence] for _, sentence in scenario.steps if sentence in CLAIMS]
        return [one for one in claimed if one.id in scenario.ids and one.role in scenario.roles]
    return [check for one in scenario.ids for role in scenario.roles for check in _said(scenario, one, role)]


def _said(scenario: Scenario, id: str, role: Role) -> list[Check]:
    # Of several checks of a requirement those that the scenario claims; the first where it claims none.
    known = checks_of(id, role)
    return [one for one in known if ("then", one.then) in _kinds(scenario)] or list(known[:1])


def _tags(scenario: Scenario) -> Iterator[str]:
    known = registry().requirements
    if not scenario.ids:
        yield "no requirement id among its tags"
    if not scenario.roles:
        yield "no role among its tags"
    for tag in scenario.tags:
        if tag not in known and tag not in ROLES:
            yield f"the tag @{tag} is neither a requirement nor a role"
    for one in scenario.ids:
        if one in known and not set(scenario.roles) <= set(known[one].roles):
            yield f"{one} is not a requirement of every role among its tags"


def _place(scenario: Scenario) -> Iterator[str]:
    known = registry().requirements
    if scenario.system and scenario.system not in platform_names():
        yield f"no platform is called {scenario.system}"
    for one in scenario.ids:
        if one not in known or scenario.system:
            continue
        area = registry().area_of(one)
        expected = f"features/{area.chapter}/{area.area.lower()}.feature"
        if scenario.file != expected:
            yield f"{one} belongs into {expected}"


def _sentences(scenario: Scenario) -> Iterator[str]:
    steps = list(_kinds(scenario))
    known = registry().requirements
    if steps == [("when", nothing_driven.sentence)] and all(known[one].unobservable for one in scenario.ids):
        return
    if sum(kind == "when" for kind, _ in steps) != 1:
        yield "it has not exactly one When"
    checks = _checks(scenario)
    for one in scenario.ids:
        if one not in {check.id for check in checks}:
            yield f"no check is registered for {one}"
    for check in checks:
        expected = [
            *(("given", condition.sentence) for condition in check.given),
            ("when", check.when.sentence),
            ("then", check.then),
        ]
        missing = [f"{kind.capitalize()} {sentence}" for kind, sentence in expected if (kind, sentence) not in steps]
        if missing:
            yield f"the check of {check.id} says: {'; '.join(missing)}"
    allowed = {sentence for check in checks for sentence in (*(one.sentence for one in check.given), check.then)}
    allowed |= {check.when.sentence for check in checks}
    for kind, sentence in steps:
        if sentence not in allowed:
            yield f"no check of its requirements says: {kind.capitalize()} {sentence}"


def _files() -> Iterator[Problem]:
    for path in sorted((suite_root() / "features").rglob("*.feature")):
        yield from _file(path)


def _file(path: Path) -> Iterator[Problem]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    body = next((number for number, line in enumerate(lines) if line.startswith("@")), len(lines))
    if not any(not _LINE.fullmatch(line) for line in lines[:body]):
        yield Problem(relative(path), "the feature says nothing about what it is for")
    for number, line in enumerate(lines[body:], body + 1):
        if not _LINE.fullmatch(line) or _NEARLY.match(line):
            yield Problem(f"{relative(path)}:{number}", f"not a line of Gherkin: {line!r}")
    if not any(one.file == relative(path) for one in scenarios()):
        yield Problem(relative(path), "no scenario")


def _duplicates() -> Iterator[Problem]:
    names = collections.Counter(one.name for one in scenarios())
    for one in scenarios():
        if names[one.name] > 1:
            yield Problem(one.place, f"another scenario is called {one.name!r} too")
    claims = collections.Counter(check.then for check in everybodys())
    for check in everybodys():
        if claims[check.then] > 1:
            yield Problem(check.id, f"another check claims {check.then!r} too")


def _served() -> Iterator[Problem]:
    general = [scenario for scenario in scenarios() if not scenario.system]
    told = {(one, role) for scenario in general for one in scenario.ids for role in scenario.roles}
    broken = {(mutant.breaks, mutant.role) for mutant, _ in mutants()}
    for one in registry().requirements.values():
        for role in one.roles:
            for what, there in (("scenario", told), ("check", set(CHECKS)), ("mutant", broken)):
                if (one.id, role) not in there and not (one.unobservable and what != "scenario"):
                    yield Problem(one.id, f"no {what} in the role {role.value}")
    meant = {check_of(mutant) for mutant, _ in mutants() if (mutant.breaks, mutant.role) in FURTHER}
    for check in (check for key in FURTHER for check in checks_of(*key) if check not in meant):
        yield Problem(check.id, f"no mutant makes untrue {check.then!r}")
    used = {sentence for scenario in scenarios() for _, sentence in scenario.steps}
    for check in CLAIMS.values():
        if check.then not in used:
            yield Problem(check.id, f"no scenario claims {check.then!r}")
    for one_id, role in CHECKS:
        if role not in registry()[one_id].roles:
            yield Problem(one_id, f"a check in the role {role.value}, which the registry does not give it")


def _unused() -> Iterator[Problem]:
    used = {condition.sentence for check in CLAIMS.values() for condition in (*check.given, check.when)}
    for sentence in CONDITIONS:
        if sentence not in used | {nothing_driven.sentence}:
            yield Problem("checks", f"no check uses the condition {sentence!r}")


def problems() -> tuple[Problem, ...]:
    """Return all that does not agree."""
    found = [
        Problem(scenario.place, message)
        for scenario in scenarios()
        for rule in (_tags, _place, _sentences)
        for message in rule(scenario)
    ]
    return (*found, *_files(), *_duplicates(), *_served(), *_unused())


def main() -> int:
    """Print every problem; exit with 1 when there is one."""
    try:
        found = problems()
    except InputError as error:
        print(f"mpwake: {error}", file=sys.stderr)
        return 2
    for problem in found:
        print(problem)
    print(f"{len(scenarios())} scenarios, {len(found)} problems", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
