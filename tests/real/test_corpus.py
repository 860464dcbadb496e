"""``mpwake corpus run`` on the images that there are, in a cache as ``mpwake corpus fetch`` leaves it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mpwake.targets.firmware.archive import digest
from mpwake.targets.firmware.corpus import Specimen, corpus
from support.cli import environment
from support.tools import run

CORPUS = corpus()


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
