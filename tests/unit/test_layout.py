"""The shape of the repository, where a mistake would break the tools rather than a test."""

import platform as standard
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_platform_is_a_source_root_and_never_a_package():
    inside = {path.name for path in (ROOT / "platform").iterdir()} - {"__pycache__"}
    assert inside == {"mpwake"}, "a module, a test or a conftest in platform/ shadows the standard library's platform"
    assert not (ROOT / "platform/__init__.py").exists()


def test_the_standard_library_keeps_its_platform():
    assert standard.python_implementation()
    script = "import platform, numba; print(platform.__file__)"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not shown.startswith(str(ROOT))


def test_the_top_level_is_the_one_that_was_agreed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    expected = {"features", "steps", "platform", "scenarios", "reports", "tests", "docs", "benchmarks", ".ci"}
    assert folders == expected


def test_no_file_names_a_machine_or_a_registry():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if path != Path(__file__) and path.is_file():
            text = path.read_bytes()
            for word in (b"/root/", b"deb.debian.org", b"pypi.org", b"registry.npmjs.org"):
                assert word not in text, f"{name} names {word.decode()}"
