"""What the explorer is for: time-outs of any length; and that what it has found is kept."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mpwake.model.agent import load_agent
from mpwake.model.explore.exploring import Exploration, Reductions
from mpwake.model.explore.local import Side
from mpwake.model.explore.search import Bounds, Search
from mpwake.model.explore.tables import Setup
from mpwake.model.program import compile_node
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.targets.exploration import Task, explore, probe_of, setup_of, sides
from support.cli import environment, mpwake

NO = Reductions(symmetry=False, partial_order=False)
reference = functools.cache(lambda: sides("reference"))


def setup(sender: document.Node, receiver: str, aps: int, memory: str, **more: Any) -> Setup:
    both = attrs.evolve(reference(), sender=compile_node(sender), receiver=compile_node(load_agent(receiver)))
    return attrs.evolve(setup_of(both, probe_of(tuple(0x11 + 0x100 * n for n in range(aps))), memory, True), **more)


def seen(one: Setup) -> tuple[Search, frozenset[str]]:
    exploration = Exploration(one, NO, Bounds())
    search = exploration.search(frozenset())
    search.run()
    return search, frozenset(wrong.name for wrong in search.hits)


# Time-outs


def gives_up(name: str, tries: int) -> document.Node:
    text = json.dumps(load_agent(name).plain())
    assert '"tries", "value": ' in text
    old = {"asterinas": 1000, "linux-tdx-acpi": 255}[name]
    return document.parse(text.replace(f'"value": {old}', f'"value": {tries}'), name)


@pytest.mark.parametrize("memory", ["sc", "tso"])
@pytest.mark.parametrize("name", ["asterinas", "linux-tdx-acpi"])
def test_a_count_of_polls_changes_nothing(name: str, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = seen(setup(gives_up(name, 1), "acpi-6.4", 2, memory))
    far = seen(setup(gives_up(name, 255), "acpi-6.4", 2, memory))
    assert (far[0].states, far[0].transitions, far[1]) == (one[0].states, one[0].transitions, one[1])
    monkeypatch.setattr(Side, "uncounted", lambda _self, _pc: False)
    counted = seen(setup(gives_up(name, 3), "acpi-6.4", 2, memory))
    assert counted[0].states > far[0].states
    assert counted[1] == far[1]


@pytest.mark.parametrize("name", ["asterinas", "linux-tdx-acpi"])
def test_a_late_processor_is_found_after_any_number_of_polls(name: str) -> None:
    found = explore(Task(name, 1, "sc"))
    violation = found.exploration.violation
    assert violation and found.scenario
    # Linux takes the command back, which the processor has seen by then.
    what, tries = {"asterinas": ("has given it up", 1000), "linux-tdx-acpi": ("Command is 0 already", 255)}[name]
    assert what in violation.what
    assert any(f"loads Command = 0x1, {tries} times" in step.did for step in violation.steps)


def test_a_count_that_is_read_after_the_poll_is_kept() -> None:
    text = json.dumps(load_agent("asterinas").plain()).replace('{"return": 0}', '{"return": "tries"}')
    side = Side(0, compile_node(document.parse(text, "asterinas")), 0, (), "sc", _grid())
    poll = next(at for at, row in enumerate(side.rows) if row[0] == 6)
    assert not side.uncounted(poll)


def _grid() -> Any:
    from mpwake.model.explore.local import grid_of

    return grid_of((compile_node(load_agent("asterinas")),))


def test_more_polls_than_a_schedule_has_steps_are_not_explored() -> None:
    from mpwake.model.explore.local import Unexplorable
    from mpwake.model.explore.tables import Behaviours

    with pytest.raises(Unexplorable, match="gives up after 10000000 polls"):
        Behaviours(setup(gives_up("asterinas", 10_000_000), "acpi-6.4", 1, "sc"))


# Checkpoints

LONG = ("explore", "reference", "--aps", "7", "--no-symmetry", "--no-por", "--format", "json")


def test_what_sigkill_ends_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "mpwake", *LONG, "--checkpoint", str(kept), "--every", "0.1"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as process:
        ends = time.monotonic() + 120
        while not kept.exists() and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with np.load(kept) as file:
        before = len(file["table"])
    again = mpwake(*LONG, "--resume", kept, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert 0 < before < told["states"]
    whole = seen(setup(load_agent("os-reference"), "acpi-6.6", 7, "tso"))[0]
    assert (told["states"], told["transitions"], told["complete"]) == (whole.states, whole.transitions, True)


def test_a_search_that_a_bound_ended_goes_on_with_a_wider_one(tmp_path: Path) -> None:
    task = Task("reference", 5, reductions=NO, bounds=Bounds(states=9_000), checkpoint=tmp_path / "kept")
    assert "more than 9000 states" in explore(task).exploration.incomplete
    wider = explore(attrs.evolve(task, bounds=Bounds(), checkpoint=None, resume=tmp_path / "kept")).exploration
    assert wider == explore(Task("reference", 5, reductions=NO)).exploration


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    task = Task("reference", 4, reductions=NO, checkpoint=tmp_path / "nowhere" / "kept", every=0)
    with pytest.raises(InputError, match="--checkpoint: No such file"):
        explore(task)
