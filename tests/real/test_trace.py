"""What was seen of a real image, saved: without the image, its verdicts and what they show stay what they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.firmware.corpus import corpus
from support.traces import judged, saved, told


@pytest.mark.parametrize("one", [one for one in corpus("firmware") if one.loop], ids=lambda one: one.name)
def test_a_saved_run_of_an_image_is_judged_as_it_was(one, tmp_path: Path) -> None:
    image = os.environ.get(one.variable)
    if image is None:
        pytest.skip(f'no image of {one.package} {one.version}: {one.variable} names it (eval "$(.ci/tools)" sets that)')
    path = tmp_path / "t.ndjson"
    before = saved(f"firmware:{Path(image).absolute()}", path)
    assert Verdict.FAIL in {result.verdict for result in before.results}
    assert told(judged(open_target(f"trace:{path}"))) == told(before)
