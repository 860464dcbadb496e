"""Runs the command as a user does, in a process of its own, and compares what it prints with a recorded screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SCREENS = Path(__file__).parent.parent / "screens"


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: no colour, a fixed width, a fixed time."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MPWAKE_", "COVERAGE"))}
    return {**kept, "COLUMNS": "100", "NO_COLOR": "1", "SOURCE_DATE_EPOCH": "1700000000", **more}


def mpwake(
    *arguments: str | Path, cwd: Path, program: tuple[str, ...] = ("-m", "mpwake")
) -> subprocess.CompletedProcess[str]:
    """Run ``mpwake`` with arguments in a directory."""
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def settled(text: str) -> str:
    """Take out what changes with every change of an input: digests and sizes."""
    text = re.sub(r"\bsha256 [0-9a-f]{12}", "sha256 ............", text)
    return re.sub(r" +\d+ bytes  sha256", "  N bytes  sha256", text)


def check_screen(name: str, shown: str) -> None:
    """Compare with ``tests/screens/NAME.txt``; with MPWAKE_RECORD=1 in the environment, record it instead."""
    path = SCREENS / f"{name}.txt"
    if os.environ.get("MPWAKE_RECORD"):
        path.write_text(settled(shown), encoding="utf-8")
    assert settled(shown) == path.read_text(encoding="utf-8"), (
        f"not as recorded in {path.name}; MPWAKE_RECORD=1 records"
    )
