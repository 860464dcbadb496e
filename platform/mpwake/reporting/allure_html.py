"""Allure's own HTML from Allure results: Allure 3 from npm, pinned, installed into a cache, kept off the network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpwake.reporting.files import write
from mpwake.spec.errors import InputError
from mpwake.spec.resources import suite_root

NODE = 20
SECONDS = 600
LAST_LINES = 8
NEEDED = f"install Node.js {NODE} or newer with npm (Debian: apt install nodejs npm), or use the html report instead"
POLICY = "default-src data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'none'"

_ANALYTICS = re.compile(
    r"<script[^>]*\bsrc=\"[^\"]*googletagmanager[^\"]*\"[^>]*></script>\s*"
    r"(?:<script>(?:(?!</script>).)*?\bgtag\((?:(?!</script>).)*</script>)?",
    re.DOTALL,
)
_CHARSET = '<meta charset="utf-8">'
_ADDRESS = re.compile(r"\b\w+://\S+")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def render(results: Path, out: Path, cache: Path) -> Path:
    """Render a folder of Allure results and return the page, ``index.html`` in ``out``.

    Allure is installed into ``cache`` the first time, which needs the network; rendering does not, and neither
    does the page. Raises ``InputError`` when node or npm is missing or old, or when either step fails.
    """
    if not any(results.glob("*-result.json")):
        raise InputError("holds no Allure results", str(results), "a folder with files named *-result.json")
    program = command(cache)
    with tempfile.TemporaryDirectory(prefix="mpwake-allure-") as scratch:
        page = _rendered(program, results.resolve(), Path(scratch))
    write(out / "index.html", offline(page))
    return out / "index.html"


def _rendered(program: Sequence[str], results: Path, scratch: Path) -> str:
    config = suite_root() / "reports/allure/allurerc.mjs"
    grouped = ["--group-by", "epic,feature,story", "--single-file"]
    _run([*program, "awesome", "--config", str(config), *grouped, "--output", str(scratch), "."], results)
    try:
        return (scratch / "index.html").read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Allure wrote no page: {error.strerror}") from None


def offline(page: str) -> str:
    """Return an Awesome page without its analytics, and with a policy under which a browser asks no network for it.

    Raises ``InputError`` for a page that the pinned version does not make.
    """
    cleaned = _ANALYTICS.sub("", page)
    if "googletagmanager" in cleaned or _CHARSET not in cleaned:
        raise InputError("this page of Allure is not one whose analytics can be taken out", hint=f"expected {_pin()}")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return cleaned.replace(_CHARSET, f"{_CHARSET}\n    {meta}", 1)


def _pin() -> str:
    package = json.loads((suite_root() / "reports/allure/package.json").read_text(encoding="utf-8"))
    return f"allure@{package['dependencies']['allure']}"


def command(cache: Path) -> list[str]:
    """Return the command that runs the pinned Allure, which is installed into ``cache`` if it is not there.

    Raises ``InputError`` when node or npm is missing or old, or when it cannot be installed.
    """
    node = _tool("node")
    _check_node(node)
    home = cache.resolve() / _pin().replace("@", "-")
    if not _entry(home).is_file():
        _install(_tool("npm"), home)
    return [node, str(_entry(home))]


def _entry(home: Path) -> Path:
    return home / "node_modules/allure/cli.js"


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise InputError(f"{name} is not installed: Allure's HTML needs it", hint=NEEDED)
    return found


def _check_node(node: str) -> None:
    version = _run([node, "--version"], None).strip()
    major = re.match(r"v([0-9]+)\.", version)
    if major is None or int(major[1]) < NODE:
        raise InputError(f"node is {version or 'of no known version'}: Allure's HTML needs {NODE}", hint=NEEDED)


def _install(npm: str, home: Path) -> None:
    """Install beside the place and move there, so that an installation that was cut is never taken for one."""
    beside = home.with_name(f".{home.name}.{uuid.uuid4().hex}.tmp")
    try:
        beside.mkdir(parents=True)
        shutil.copyfile(suite_root() / "reports/allure/package.json", beside / "package.json")
        quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        _run([npm, "install", "--prefix", str(beside), *quiet], beside)
        if not _entry(home).is_file():
            shutil.rmtree(home, ignore_errors=True)
            beside.rename(home)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(home)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _environment() -> Mapping[str, str]:
    return {**os.environ, "NO_COLOR": "1", "ALLURE_NO_ANALYTICS": "true", "npm_config_update_notifier": "false"}


def _run(words: Sequence[str], folder: Path | None) -> str:
    name = " ".join(Path(part).name if at < 2 else part for at, part in enumerate(words[:3]))
    try:
        done = subprocess.run(  # noqa: S603 - node and npm, with arguments of our own
            words,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{name}: not finished after {error.timeout:.0f} seconds") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    if done.returncode:
        raise InputError(f"{name}: exit code {done.returncode}", hint=last_lines(done.stdout + done.stderr))
    return done.stdout


def last_lines(output: str) -> str:
    """Return the end of a program's output, without colours and without the addresses that it asked."""
    lines = [line.rstrip() for line in _COLOURS.sub("", output).splitlines() if line.strip()]
    return _ADDRESS.sub("(address)", "\n  ".join(lines[-LAST_LINES:]))
