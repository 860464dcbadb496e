"""``mpwake matrix``: many targets beside each other, judged here or on a cluster."""

import json
import shutil
from pathlib import Path

import pytest

from support.cli import mpwake

DATA = Path(__file__).parents[1] / "data"
NAMES = ("tables:good-v1.dat", "tables:bad.dat", "tables:nowhere.dat")


@pytest.fixture
def folder(tmp_path):
    shutil.copy(DATA / "good-v1.dat", tmp_path)
    damaged = bytearray((DATA / "good-v1.dat").read_bytes())
    damaged[9] ^= 1  # the checksum
    (tmp_path / "bad.dat").write_bytes(damaged)
    return tmp_path


def verdicts(folder):
    plain = json.loads((folder / "reports/out/matrix/matrix.json").read_text(encoding="utf-8"))
    cells = {row["id"]: [one and one["verdict"] for one in row["cells"]] for row in plain["rows"]}
    return [one["verdict"] for one in plain["columns"]], cells


def test_targets_are_judged_and_stand_beside_each_other(folder):
    result = mpwake("matrix", *NAMES, cwd=folder)
    assert result.returncode == 3, result.stdout + result.stderr
    assert "1  tables:good-v1.dat: conforming" in result.stdout
    assert "2  tables:bad.dat: non-conforming: 1 requirement fails" in result.stdout
    assert "3  tables:nowhere.dat: not judged: nowhere.dat: no such file" in result.stdout
    columns, cells = verdicts(folder)
    assert columns == ["pass", "fail", "error"]
    failing = [name for name, found in cells.items() if found[1] == "fail"]
    assert failing
    assert all(cells[name] == ["pass", "fail", None] for name in failing)
    page = (folder / "reports/out/matrix/matrix.html").read_text(encoding="utf-8")
    assert "tables:bad.dat: fail" in page
    assert "default-src" in page
    assert "<script" not in page


def test_results_of_earlier_runs_take_part(folder):
    assert mpwake("run", "tables:bad.dat", "--out", "earlier", "--quiet", cwd=folder).returncode == 1
    result = mpwake("matrix", "earlier", "earlier/results.json", "tables:good-v1.dat", cwd=folder)
    assert result.returncode == 1, result.stdout + result.stderr
    assert verdicts(folder)[0] == ["fail", "fail", "pass"]
    assert "1  tables:bad.dat (earlier): non-conforming" in result.stdout
    page = (folder / "reports/out/matrix/matrix.html").read_text(encoding="utf-8")
    assert "<span>bad.dat</span>1<" in page
    assert "<span>good-v1.dat</span>3<" in page


def test_what_an_earlier_matrix_left_is_not_taken_for_a_result(folder):
    assert mpwake("matrix", NAMES[0], cwd=folder).returncode == 0
    (folder / "good-v1.dat").unlink()
    result = mpwake("matrix", NAMES[0], cwd=folder)
    assert result.returncode == 3
    assert "not judged" in result.stdout


def test_a_cluster_judges_the_same(folder):
    pytest.importorskip("distributed", reason="no distributed: it is in mpwake[cluster]")
    from support.cluster import cluster

    here = mpwake("matrix", *NAMES, "--format", "json", cwd=folder)
    (folder / "cluster").mkdir()
    with cluster(folder / "cluster") as started:
        assert len(started.whole()) == 2
        there = mpwake(
            "matrix", *NAMES, "--format", "json", "--scheduler", started.address, "--out", "there", cwd=folder
        )
    assert there.returncode == here.returncode == 3, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert (folder / "there" / "01-tables-good-v1.dat" / "events.ndjson").is_file()
