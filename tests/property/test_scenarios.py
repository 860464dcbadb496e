"""Random scenarios: any processors, in any order, at any pace, with any faults; what conforms has no failure in them.

A failing example is told as a scenario file, which ``mpwake run`` replays.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import allure
import pytest
from hypothesis import HealthCheck, find, given, settings

from mpwake.checks.boot import sent
from mpwake.checks.core import find as find_check
from mpwake.checks.core import judge
from mpwake.cli.registry import schemas
from mpwake.evidence.trace import Kind
from mpwake.fuzz.draw import boots, scenarios
from mpwake.model.scenario import ScenarioFile
from mpwake.spec import document
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.scenario import open_scenario
from support.cli import mpwake


def failures(one: ScenarioFile, folder: Path) -> list[str]:
    """Replay a scenario from its file, as ``mpwake run`` does, and return the requirements that fail."""
    path = folder / "scenario.yaml"
    path.write_text(document.dump(one), encoding="utf-8")
    behaviour = open_scenario(path).settled().driven[one.role]
    return [name for name in one.requirements if judge(find_check(name, one.role), behaviour).verdict is Verdict.FAIL]


def hold(one: ScenarioFile, folder: Path) -> None:
    """Fail with the scenario, as a file to be replayed, when a requirement does."""
    broken = failures(one, folder)
    if broken:
        text = document.dump(one)
        allure.attach(text, "scenario.yaml", allure.attachment_type.YAML)
        pytest.fail(f"{', '.join(broken)} fail in this scenario; save it and `mpwake run scenario.yaml`:\n{text}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenarios")


@allure.title("A bring-up that conforms has no failure in any scenario")
@given(scenarios(Role.SENDER, "os-reference"))
def test_sender(folder: Path, one: ScenarioFile) -> None:
    hold(one, folder)


@allure.title("An AP loop that conforms has no failure in any scenario")
@given(scenarios(Role.RECEIVER, "reference"))
def test_receiver(folder: Path, one: ScenarioFile) -> None:
    hold(one, folder)


@pytest.mark.parametrize(
    ("role", "platform", "named"),
    [
        (Role.RECEIVER, "td-shim", "RCV-09"),
        (Role.RECEIVER, "oak-stage0", "RCV-02"),
        (Role.SENDER, "asterinas", "ORD-01"),
    ],
)
def test_a_failing_example_is_a_file_that_mpwake_replays(
    role: Role, platform: str, named: str, folder: Path, tmp_path: Path
) -> None:
    small = settings(max_examples=200, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
    found = find(scenarios(role, platform), lambda one: named in failures(one, folder), settings=small)
    with pytest.raises(pytest.fail.Exception) as told:
        hold(found, folder)
    text = str(told.value).partition("\n")[2]
    (tmp_path / "failing.yaml").write_text(text, encoding="utf-8")
    run = replayed(tmp_path)
    weighs = "non-conforming" if role is Role.RECEIVER else "other findings"
    assert weighs in run.stdout, run.stdout + run.stderr
    assert (run.returncode == 1) is (role is Role.RECEIVER)
    assert re.search(rf"\b{named}\b", run.stdout)
    assert run.stdout == replayed(tmp_path).stdout


@allure.title("An operating system wakes the processors that are enabled, each once, and nobody else")
@given(boots())
def test_boot(folder: Path, one: ScenarioFile) -> None:
    hold(one, folder)
    assert one.situation is not None
    entries = [entry["lapic"] for entry in document.encode(one.situation.changes[0].set) if "lapic" in entry]
    enabled = [entry["apic_id"] for entry in entries[1:] if entry.get("flags", 1) == 1]
    again = [action.id for action in one.situation.actions if action.op == "online"]
    trace = open_scenario(folder / "scenario.yaml").settled().driven[Role.SENDER].trials("anything")[0]
    assert [apic for _, apic, _ in sent(trace)] == [*enabled, *again]
    assert [trace.ids[landing.agent] for landing in trace.of(Kind.LANDING)] == [*enabled, *again]


def replayed(folder: Path) -> subprocess.CompletedProcess[str]:
    return mpwake("run", "failing.yaml", "--quiet", cwd=folder)


@given(scenarios(Role.SENDER, "os-reference"))
def test_a_scenario_is_read_back_as_it_was_written(one: ScenarioFile) -> None:
    assert document.decode(document.parse(document.dump(one), "scenario.yaml"), ScenarioFile) == one
    assert "scenario" in schemas()
