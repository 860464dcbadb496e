"""The AP loops of OVMF in every order of instructions: nothing goes wrong in them, and wrong systems are found out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.firmware.corpus import Specimen, corpus
from mpwake.targets.firmware.explore import apart, explore, wakes
from mpwake.targets.firmware.replay import load_system
from support.cli import mpwake
from support.specimens import specimen_file

WITH_LOOP = [one for one in corpus("firmware") if one.loop]
STATES = {1: 41, 2: 450, 3: 5052}
HOLDS = "nothing goes wrong in any schedule, and from each of its states everybody gets where it was asked to"


@pytest.mark.parametrize("one", WITH_LOOP, ids=lambda one: one.name)
def test_nothing_goes_wrong_in_any_order(one: Specimen) -> None:
    target = open_target(f"firmware:{specimen_file(one)}")
    assert target.parks is not None
    for aps, states in STATES.items():
        found = explore(target.name, target.parks(aps), load_system("tester"), wakes(apart(aps)))
        assert (found.verdict, found.reason) == (Verdict.PASS, HOLDS)
        assert found.states == states
        assert all(found.sometimes.values())
        assert found.notes == ("stores 8 bytes at 0x0 to acknowledge",)


def test_a_wrong_system_is_found_out_and_shown_again(tmp_path: Path) -> None:
    path = specimen_file(WITH_LOOP[1])
    words = ("--agent", "os-no-wait", "--out", "found.yaml", "--format", "json")
    result = mpwake("explore", f"firmware:{path}", *words, cwd=tmp_path)
    assert result.returncode == 1
    found = json.loads(result.stdout)["violation"]
    assert found["role"] == "sender"
    again = mpwake("run", "found.yaml", "--format", "json", "--quiet", cwd=tmp_path)
    failed = {one["id"] for one in json.loads(again.stdout)["requirements"] if one["verdict"] == "fail"}
    assert failed == set(found["requirements"])


def test_an_image_without_a_loop_decides_nothing(tmp_path: Path) -> None:
    (without,) = (one for one in corpus("firmware") if not one.loop)
    result = mpwake("explore", f"firmware:{specimen_file(without)}", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (4, "")
    assert "no AP loop that an operating system sees" in result.stderr
