"""SPIN beside the explorer of the model: one model, written in Promela and in our YAML, has the same states."""

import re
import shutil
from pathlib import Path

import pytest

from mpwake.model.agent import load_agent
from mpwake.model.explore.exploring import Exploration, Reductions
from mpwake.model.explore.search import Bounds
from mpwake.model.explore.tables import Setup, requests_of
from mpwake.model.program import compile_node
from support.tools import run

MODEL = Path(__file__).parents[2] / "benchmarks/spin/mailbox.pml"
AGENTS = tuple(compile_node(load_agent(name)) for name in ("shared-os", "shared-ap"))


@pytest.fixture(scope="module")
def tools():
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on PATH: it is in the package {program}")


def pan(text, aps, folder):
    """Have SPIN search a model; return what it says."""
    (folder / "model.pml").write_text(text, encoding="utf-8")
    for command in (("spin", "-a", f"-DN={aps}", "model.pml"), ("gcc", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c")):
        built = run(*command, cwd=folder)
        assert built.returncode == 0, built.stdout + built.stderr
    return run(folder / "pan", "-m10000", cwd=folder).stdout


def counted(told):
    """Return states and transitions; SPIN counts the way into the first state too."""
    states, transitions = (
        int(re.search(rf"^ *(\d+) {name}", told, re.MULTILINE)[1]) for name in ("states, stored", "transitions")
    )
    return states, transitions - 1


def ours(aps):
    """Return what the explorer finds without reduction."""
    system, processor = AGENTS
    ids = tuple(0x11 + 0x100 * number for number in range(aps))
    setup = Setup((system, *[processor] * aps), (0, *ids), requests_of(ids, 1, 0x9A000, 0x1000), "tso")
    exploration = Exploration(setup, Reductions(symmetry=False, partial_order=False), Bounds())
    return exploration.run(exploration.search())


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("aps", [2, 3, 4, 5])
def test_spin_counts_the_same_states_and_transitions(tmp_path, aps):
    told = pan(MODEL.read_text(encoding="utf-8"), aps, tmp_path)
    assert "errors: 0" in told
    found = ours(aps)
    assert counted(told) == (found.states, found.transitions)
    assert (found.found, found.incomplete) == ((), "")


@pytest.mark.usefixtures("tools")
def test_spin_finds_a_vector_that_comes_after_the_command(tmp_path):
    text = MODEL.read_text(encoding="utf-8")
    late = text.replace("visible == 1 -> vector = target", "visible == 1 -> command = 1")
    late = late.replace("visible == 2 -> command = 1", "visible == 2 -> vector = target")
    told = pan(late, 1, tmp_path)
    assert "assertion violated" in told
    assert "errors: 1" in told
