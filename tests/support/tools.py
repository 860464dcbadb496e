"""Finds the programs of others that the tests under ``tests/real`` compare with, and runs them.

``.ci/tools`` prepares them all and prints the environment variables that name them; without a variable, a program on
PATH will do. What is missing skips its tests, and says by which package or variable it can be had.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from support.cli import mpwake

DATA = Path(__file__).parent.parent / "data"
# ACPICA's releases are dates. In the first of these, type 0x10 has a ResetVector; before the second, nobody knew it.
VERSION_1_SINCE = 20251120
KNOWN_SINCE = 20210000


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of somebody else's, whatever it exits with."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )


def judged(location: str | Path, *words: str, cwd: Path) -> dict[str, Any]:
    """Judge tables with the command, and return its JSON document; nothing else may be said."""
    result = mpwake("run", f"tables:{location}", *words, "--format", "json", "--out", cwd / "out", "--quiet", cwd=cwd)
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["complete"]
    assert document["exit_code"] == result.returncode
    return document


def ids(document: dict[str, Any], verdict: str) -> set[str]:
    """Return the requirements that have a verdict."""
    return {one["id"] for one in document["requirements"] if one["verdict"] == verdict}


def _missing(what: str, package: str, variable: str) -> NoReturn:
    pytest.skip(f'no {what}: it is in the package {package}; {variable} names it (eval "$(.ci/tools)" sets that)')


def _find(program: str, variable: str) -> Path | None:
    """Return the program that the variable or PATH names; a variable that names nothing is a mistake, not a lack."""
    named = os.environ.get(variable)
    if named and shutil.which(named) is None:
        pytest.fail(f"{variable} is {named}, which is no program")
    place = named or shutil.which(program)
    return Path(place).absolute() if place else None


def _program(program: str, package: str, variable: str) -> Path:
    return _find(program, variable) or _missing(program, package, variable)


def _iasl_version(iasl: Path | None) -> int:
    """Return an iasl's release, or 0 when there is none."""
    found = iasl and re.search(r"version (\d{8})", run(iasl, "-v", cwd=iasl.parent).stdout)
    return int(found[1]) if found else 0


def current_iasl() -> Path:
    """Return an iasl that knows version 1 of the wakeup structure."""
    iasl = _find("iasl", "MPWAKE_IASL_CURRENT")
    if iasl is None or _iasl_version(iasl) < VERSION_1_SINCE:
        _missing(f"iasl of {VERSION_1_SINCE} or later", "acpica-tools of Debian sid", "MPWAKE_IASL_CURRENT")
    return iasl


def old_iasl() -> Path:
    """Return an iasl that does not know type 0x10."""
    iasl = _find("iasl", "MPWAKE_IASL_OLD")
    if iasl is None or not 0 < _iasl_version(iasl) < KNOWN_SINCE:
        _missing(f"iasl of before {KNOWN_SINCE}", "acpica-tools of Debian bookworm", "MPWAKE_IASL_OLD")
    return iasl


def acpica(age: str, program: str) -> Path:
    """Return acpidump or acpixtract of the same release as the ``current`` or the ``old`` iasl."""
    found = (current_iasl() if age == "current" else old_iasl()).with_name(program)
    if not found.exists():
        pytest.skip(f"no {program} beside the {age} iasl: it is in the package acpica-tools too")
    return found


def dtc() -> Path:
    """Return the DeviceTree compiler."""
    return _program("dtc", "device-tree-compiler", "MPWAKE_DTC")


def fwts() -> Path:
    """Return Canonical's Firmware Test Suite."""
    return _program("fwts", "fwts of Debian sid", "MPWAKE_FWTS")


def dt_schema(program: str) -> Path:
    """Return a program of dt-schema: dt-validate or dt-doc-validate."""
    folder = os.environ.get("MPWAKE_DTSCHEMA", "")
    place = shutil.which(program, path=folder or None)
    if folder and place is None:
        pytest.fail(f"MPWAKE_DTSCHEMA is {folder}, which holds no {program}")
    return Path(place) if place else _missing(program, "dtschema of PyPI", "MPWAKE_DTSCHEMA, a directory,")
