"""Images and kernels of the corpus, as the environment names them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mpwake.targets.firmware.corpus import Specimen


def specimen_file(one: Specimen) -> Path:
    """Return the file of a specimen; the test is skipped, by name, where it is not there or is another one."""
    named = os.environ.get(one.variable)
    if named is None:
        pytest.skip(f'no {one.package} {one.version}: {one.variable} names it (eval "$(.ci/tools)" sets that)')
    path = Path(named).absolute()
    if hashlib.sha256(path.read_bytes()).hexdigest() != one.sha256:
        pytest.skip(f"{one.variable} is another file than that of {one.package} {one.version}: {path}")
    return path
