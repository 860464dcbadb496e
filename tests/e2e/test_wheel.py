"""The wheel, installed into an empty environment and used where there is no checkout."""

import fcntl
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
# What Python runs first in the environment: it ends the process at the first look into the checkout.
GUARD = """\
import os, sys
FORBIDDEN = {forbidden!r}
def guard(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes, os.PathLike)):
        if os.path.realpath(os.fsdecode(arguments[0])).startswith(FORBIDDEN):
            os.write(2, b"the checkout was opened: " + os.fsencode(arguments[0]) + b"\\n")
            os._exit(99)
sys.addaudithook(guard)
"""


@attrs.frozen
class Installed:
    """An environment with the wheel in it, the files that the wheel was built from, and what must not be opened."""

    base: Path
    tracked: tuple[str, ...]
    forbidden: tuple[str, ...]

    @property
    def wheel(self):
        (found,) = (self.base / "dist").iterdir()
        return found

    def run(self, *words, cwd, program="mpwake"):
        """Run a program of the environment in a directory, with the checkout out of reach."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MPWAKE_", "PYTHON", "COV"))}
        return subprocess.run(
            [self.base / "venv/bin" / program, *words],
            cwd=cwd,
            env={**kept, "PYTHONPATH": str(self.base / "guard"), "NO_COLOR": "1", "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def said(done):
    return f"{' '.join(map(str, done.args))}: exit {done.returncode}\n{done.stdout}{done.stderr}"


def pip(base, *words):
    return subprocess.run(
        [base / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input", *words],
        cwd=base,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def copy_of_the_checkout(target):
    """Copy what is tracked, and what is new and not ignored, so that nothing built before can slip in."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in output.split("\0") if name and (ROOT / name).is_file()]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    return names


def skip_without_an_index(base):
    """Skip when pip cannot get the one package that every build takes; from then on, what fails is our fault."""
    asked = pip(base, "download", "--quiet", "--no-deps", "--dest", base / "probe", BUILD_BACKEND)
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"pip cannot get {BUILD_BACKEND} from its index: {last}")


def make(base):
    """Build the wheel from a clean copy, and install it with its dependencies into an empty environment."""
    shutil.rmtree(base, ignore_errors=True)
    (base / "guard").mkdir(parents=True)
    tracked = copy_of_the_checkout(base / "source")
    subprocess.run([sys.executable, "-m", "venv", base / "venv"], check=True, capture_output=True)
    skip_without_an_index(base)
    built = pip(base, "wheel", "--quiet", "--no-deps", "--wheel-dir", base / "dist", base / "source")
    assert built.returncode == 0, said(built)
    shutil.rmtree(base / "source")
    installed = Installed(base, tuple(tracked), (str(ROOT.resolve()), str((base / "source").resolve())))
    got = pip(base, "install", "--quiet", installed.wheel)
    assert got.returncode == 0, said(got)
    (base / "guard/sitecustomize.py").write_text(GUARD.format(forbidden=installed.forbidden), encoding="utf-8")
    (base / "made.json").write_text(json.dumps([tracked, installed.forbidden]), encoding="utf-8")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the environment, which the workers of one test run share."""
    root = tmp_path_factory.getbasetemp()
    base = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "wheel"
    with base.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / "made.json").is_file():
            make(base)
    tracked, forbidden = json.loads((base / "made.json").read_text(encoding="utf-8"))
    return Installed(base, tuple(tracked), tuple(forbidden))


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    names = zipfile.ZipFile(installed.wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"mpwake"}
    assert not [name for name in names if {"tests", "conftest.py", "platform", "__pycache__"} & set(name.split("/"))]
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_the_suite(installed):
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    for folder in DATA:
        wanted = {f"mpwake/_suite/{name}" for name in installed.tracked if name.startswith(f"{folder}/")}
        assert wanted, folder
        assert wanted <= names


def test_the_guard_notices_the_checkout(installed, tmp_path):
    done = installed.run("-c", f"open({str(ROOT / 'pyproject.toml')!r})", cwd=tmp_path, program="python")
    assert (done.returncode, "the checkout was opened" in done.stderr) == (99, True)


def test_the_suite_comes_from_the_installed_package(installed, tmp_path):
    script = (
        "import json, mpwake, platform\n"
        "from mpwake.spec.resources import suite_root\n"
        f"there = [(suite_root() / name).is_dir() for name in {DATA!r}]\n"
        "print(json.dumps([mpwake.__file__, str(suite_root()), there, platform.__file__]))\n"
    )
    done = installed.run("-c", script, cwd=tmp_path, program="python")
    assert done.returncode == 0, said(done)
    package, root, there, standard = json.loads(done.stdout)
    assert package.startswith(str(installed.base / "venv"))
    assert root == str(Path(package).parent / "_suite")
    assert there == [True] * len(DATA)
    assert not standard.startswith((str(installed.base), *installed.forbidden))


COMMANDS = [
    (["run"], "conforming with acpi-6.6: "),
    (["run", "MADT", "--format", "json"], '"exit_code": 0'),
    (["explain", "MADT-07"], "features/enumeration/madt.feature:"),
    (["list", "scenarios"], "features/mailbox/mem.feature:"),
    (["mutants", "--role", "tables"], "madt-address-unaligned"),
]


@pytest.mark.parametrize(("words", "shown"), COMMANDS, ids=[" ".join(words[:2]) for words, _ in COMMANDS])
def test_a_command_works_without_the_checkout(words, shown, installed, tmp_path):
    done = installed.run(*words, cwd=tmp_path)
    assert done.returncode == 0, said(done)
    assert shown in done.stdout
    for path in installed.forbidden:
        assert path not in done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["/", ".", "venv/lib"])
def test_a_run_works_from_any_directory(folder, installed, tmp_path):
    done = installed.run("run", "MADT-07", "--out", tmp_path / "out", cwd=installed.base / folder)
    assert done.returncode == 0, said(done)


def test_the_json_document_is_whole(installed, tmp_path):
    document = json.loads(installed.run("run", "MADT", "--format", "json", cwd=tmp_path).stdout)
    assert (document["complete"], document["verdict"]) == (True, "pass")
    assert {one["area"] for one in document["requirements"]} == {"MADT"}
    assert all(one["file"].startswith("features/") for row in document["requirements"] for one in row["scenarios"])


def test_no_report_names_the_checkout(installed, tmp_path):
    done = installed.run("run", cwd=tmp_path)
    assert done.returncode == 0, said(done)
    written = [path for path in (tmp_path / "reports/out").rglob("*") if path.is_file()]
    assert {"events.ndjson", "results.json", "junit.xml", "report.html"} <= {path.name for path in written}
    for path in written:
        for forbidden in installed.forbidden:
            assert forbidden.encode() not in path.read_bytes(), path.name
