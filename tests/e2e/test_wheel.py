"""The wheel, installed into an empty environment and used where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent.parent
DATA = ("features", "steps", "scenarios", "reports/templates")
BUILD_BACKEND = "hatchling"
GUARD = """\
import os, sys
FORBIDDEN = {forbidden!r}
def guard(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "os.chdir") and isinstance(arguments[0], (str, bytes, os.PathLike)):
        if os.path.realpath(os.fsdecode(arguments[0])).startswith(FORBIDDEN):
            os.write(2, b"the checkout was opened: " + os.fsencode(arguments[0]) + b"\\n")
            os._exit(99)
sys.addaudithook(guard)
"""


def said(done):
    return f"{' '.join(map(str, done.args))}: exit {done.returncode}\n{done.stdout}{done.stderr}"


@attrs.frozen
class Installed:
    """An environment with the wheel in it, a directory to work in, and what must not be opened or named."""

    wheel: Path
    python: Path
    folder: Path
    guard: Path
    forbidden: tuple[str, ...]

    def run(self, *words, program="mpwake"):
        """Run a program of the environment, with the checkout out of reach."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MPWAKE_", "PYTHON", "COV"))}
        return subprocess.run(
            [self.python.with_name(program), *words],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.guard), "NO_COLOR": "1", "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def pip(python, *words, cwd):
    return subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--no-input", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def copy_of_the_checkout(target):
    """Copy what is tracked, and what is new and not ignored, so that nothing built before can slip in."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def skip_without_an_index(python, folder):
    """Skip when pip cannot get the one package that every build takes; from then on, what fails is our fault."""
    asked = pip(python, "download", "--quiet", "--no-deps", "--dest", folder / "probe", BUILD_BACKEND, cwd=folder)
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"pip cannot get {BUILD_BACKEND} from its index: {last}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel from a clean copy, and install it with its dependencies into an empty environment."""
    base = tmp_path_factory.mktemp("wheel")
    source, folder, guard = (base / name for name in ("source", "elsewhere", "guard"))
    for made in (source, folder, guard):
        made.mkdir()
    copy_of_the_checkout(source)
    subprocess.run([sys.executable, "-m", "venv", base / "venv"], check=True, capture_output=True)
    python = base / "venv/bin/python"
    skip_without_an_index(python, base)
    built = pip(python, "wheel", "--quiet", "--no-deps", "--wheel-dir", base / "dist", source, cwd=base)
    assert built.returncode == 0, said(built)
    (wheel,) = (base / "dist").iterdir()
    shutil.rmtree(source)
    got = pip(python, "install", "--quiet", wheel, cwd=base)
    assert got.returncode == 0, said(got)
    forbidden = (str(ROOT.resolve()), str(source.resolve()))
    (guard / "sitecustomize.py").write_text(GUARD.format(forbidden=forbidden), encoding="utf-8")
    return Installed(wheel, python, folder, guard, forbidden)


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    names = zipfile.ZipFile(installed.wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"mpwake"}
    assert not [name for name in names if {"tests", "conftest.py", "platform", "__pycache__"} & set(name.split("/"))]
    for folder in DATA:
        assert any(name.startswith(f"mpwake/_suite/{folder}/") for name in names), folder
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_the_suite(installed):
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    for folder in DATA:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"mpwake/_suite/{path.relative_to(ROOT).as_posix()}" in names


def test_the_guard_notices_the_checkout(installed):
    done = installed.run("-c", f"open({str(ROOT / 'pyproject.toml')!r})", program="python")
    assert (done.returncode, "the checkout was opened" in done.stderr) == (99, True)


def test_the_suite_comes_from_the_installed_package(installed):
    script = (
        "import json, mpwake, platform\n"
        "from mpwake.spec.resources import suite_root\n"
        f"there = [(suite_root() / name).is_dir() for name in {DATA!r}]\n"
        "print(json.dumps([mpwake.__file__, str(suite_root()), there, platform.__file__]))\n"
    )
    done = installed.run("-c", script, program="python")
    assert done.returncode == 0, said(done)
    package, root, there, standard = json.loads(done.stdout)
    home = str(installed.python.parent.parent)
    assert package.startswith(home)
    assert root == str(Path(package).parent / "_suite")
    assert there == [True] * len(DATA)
    assert "mpwake" not in standard


COMMANDS = [
    (["run"], "conforming with acpi-6.6: "),
    (["run", "MADT", "--format", "json", "--out", "json"], '"exit_code": 0'),
    (["explain", "MADT-07"], "features/enumeration/madt.feature:"),
    (["list", "scenarios"], "features/mailbox/mem.feature:"),
    (["mutants"], "madt-address-unaligned"),
]


@pytest.mark.parametrize(("words", "shown"), COMMANDS, ids=[" ".join(words[:2]) for words, _ in COMMANDS])
def test_a_command_works_without_the_checkout(words, shown, installed):
    done = installed.run(*words)
    assert done.returncode == 0, said(done)
    assert shown in done.stdout
    for path in installed.forbidden:
        assert path not in done.stdout + done.stderr


def test_no_report_names_the_checkout(installed):
    assert installed.run("run", "--out", "reports", "--quiet").returncode == 0
    written = [path for path in (installed.folder / "reports").rglob("*") if path.is_file()]
    assert {"events.ndjson", "results.json", "junit.xml", "report.html"} <= {path.name for path in written}
    for path in written:
        for forbidden in installed.forbidden:
            assert forbidden.encode() not in path.read_bytes(), path.name


def test_json_is_whole(installed):
    document = json.loads(installed.run("run", "MADT", "--format", "json", "--quiet", "--out", "json").stdout)
    assert (document["complete"], document["verdict"]) == (True, "pass")
    assert {one["area"] for one in document["requirements"]} == {"MADT"}
