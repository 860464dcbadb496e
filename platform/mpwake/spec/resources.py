"""Where the suite's own files are: inside an installed package, else in the checkout around it."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def suite_root() -> Path:
    """Return the directory that holds ``features``, ``steps``, ``scenarios`` and ``reports``.

    A wheel carries them under ``mpwake/_suite``; an editable installation and a checkout have them two
    directories above the package.
    """
    package = Path(__file__).resolve().parent.parent
    installed = package / "_suite"
    return installed if installed.is_dir() else package.parent.parent


def scenarios(folder: str) -> Path:
    """Return one folder of the declarative data, for example ``requirements``."""
    return suite_root() / "scenarios" / folder


def relative(path: Path) -> str:
    """Return a suite file's name as reports show it: relative to the suite, wherever that is installed."""
    try:
        return path.resolve().relative_to(suite_root()).as_posix()
    except ValueError:
        return str(path)
