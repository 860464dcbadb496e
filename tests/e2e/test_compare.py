"""``mpwake compare`` as a user meets it: a table before and after, a run that was cut off, files without results."""

import json

import pytest

from mpwake.evidence.acpi import checksummed
from mpwake.targets import open_target
from support.cli import check_screen, mpwake


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with the runs ``good`` and ``bad``, of tables that differ in their checksum and revision."""
    folder = tmp_path_factory.mktemp("compared")
    data = bytearray(open_target("model:reference").tables.madt.data)
    (folder / "good.dat").write_bytes(data)
    data[8] = 1
    data = bytearray(checksummed(bytes(data)))
    data[9] ^= 0x55
    (folder / "bad.dat").write_bytes(data)
    for name, words in (("good", ("MADT", "MEM-01")), ("bad", ("MADT", "MEM-02"))):
        done = mpwake("run", f"tables:{name}.dat", *words, "--out", name, cwd=folder)
        assert done.returncode in (0, 1), done.stderr
    return folder


def test_what_broke_exits_1_and_is_shown(folder):
    done = mpwake("compare", "good", "bad", cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    check_screen("compare", done.stdout)


def test_the_way_back_is_fixed_and_exits_0(folder):
    done = mpwake("compare", "bad", "good", "--format", "json", cwd=folder)
    told = json.loads(done.stdout)
    assert (done.returncode, told["counts"]["fixed"], told["counts"]["broke"]) == (0, 2, 0)
    assert {one["id"] for one in told["requirements"] if one["change"] == "fixed"} == {"MADT-12", "MADT-14"}


def test_the_markdown_of_a_pull_request_is_a_file(folder):
    done = mpwake("compare", "good/results.json", "bad/events.ndjson", "--format", "markdown", "-o", "a.md", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    page = (folder / "a.md").read_text(encoding="utf-8")
    assert page.startswith("## mpwake: something broke: 2 broke")
    assert "| MADT-12 " in page


def test_a_run_against_itself_is_unchanged(folder):
    done = mpwake("compare", "bad", "bad", cwd=folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing broke: 20 unchanged")


def test_a_run_that_was_cut_off_is_compared_and_says_so(folder):
    lines = (folder / "good/events.ndjson").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "cut.ndjson").write_text("".join(lines[:7]), encoding="utf-8")
    done = mpwake("compare", "bad", "cut.ndjson", cwd=folder)
    assert done.returncode == 4
    assert "warning  the new run is incomplete" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("incomplete: ")
    assert "Fixed" not in done.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "bad.json: cannot be read: No such file or directory"),
        (b"nonsense\n", "bad.json:1:1: neither the results of a run nor its stream"),
        (b'{"verdict": "pass"}', "bad.json: no results of a run: the key 'subject' is missing"),
        (b'{"event":"footer"}\n', "bad.json:1:1: the key 'complete' is missing"),
    ],
)
def test_what_is_no_result_exits_2_and_says_where(content, told, folder):
    (folder / "bad.json").unlink(missing_ok=True)
    if content is not None:
        (folder / "bad.json").write_bytes(content)
    done = mpwake("compare", "good", "bad.json", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mpwake: {told}")
