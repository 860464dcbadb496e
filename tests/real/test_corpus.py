"""``mpwake corpus run`` on the images that there are, in a cache as ``mpwake corpus fetch`` leaves it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mpwake.targets.firmware.archive import digest
from mpwake.targets.firmware.corpus import Changed, Specimen, changed_loops, corpus
from support.cli import environment
from support.tools import run

CORPUS = corpus("firmware")


def cached(cache: Path) -> list[Specimen]:
    """Put the images that the environment names where a fetched one would be."""
    there = []
    for one in CORPUS:
        named = os.environ.get(one.variable)
        if named and digest(Path(named)) == one.sha256:
            place = cache / one.folder / one.path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(named, place)
            there.append(one)
    return there


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Specimen]:
    there = cached(tmp_path / "mpwake" / "corpus")
    monkeypatch.setattr(os, "environ", environment(XDG_CACHE_HOME=str(tmp_path)))
    return there


@pytest.mark.parametrize("one", changed_loops(), ids=lambda one: one.name)
def test_a_changed_loop_is_found_to_be_what_it_is(one: Changed, cache: list[Specimen], tmp_path: Path) -> None:
    if one.specimen not in {specimen.name for specimen in cache}:
        pytest.skip(f"no image {one.specimen}")
    result = run(shutil.which("mpwake") or "mpwake", "corpus", "mutants", one.name, "--format", "json", cwd=tmp_path)
    (row,) = json.loads(result.stdout)
    assert (row["state"], row["missed"]) == ("caught" if one.fails else "made good", [])
    assert row["caught"] == sorted(one.fails)
    assert result.returncode == 0


def test_nine_faults_and_one_change_for_the_better_are_there() -> None:
    assert sum(bool(one.fails) for one in changed_loops()) >= 9
    assert any("RCV-09" in one.passes and not one.fails for one in changed_loops())


def test_every_image_that_is_there_is_as_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = cached(tmp_path / "mpwake" / "corpus")
    if not there:
        pytest.skip('no image of the corpus (eval "$(.ci/tools)" names those that can be had)')
    monkeypatch.setattr(os, "environ", environment(XDG_CACHE_HOME=str(tmp_path)))
    result = run(shutil.which("mpwake") or "mpwake", "corpus", "run", "--format", "json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert {name: row for name, row in rows.items() if row["state"] == "differs"} == {}
    assert {name for name, row in rows.items() if row["state"] == "as known"} == {one.name for one in there}
    assert result.returncode == 0
