"""``mpwake fuzz`` and ``mpwake replay`` as a user runs them."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from support.cli import environment, mpwake


def summary(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A campaign on a loop that acknowledges with eight bytes, and the directory that it wrote into."""
    folder = tmp_path_factory.mktemp("fuzz")
    result = mpwake("fuzz", "mutant:rcv-ack-8-bytes", "--examples", "60", "--out", "out", cwd=folder)
    return folder, result


def test_a_loop_that_breaks_a_rule_is_found(found):
    folder, result = found
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(r"^x RCV-09 ", result.stdout, re.MULTILINE)
    assert re.search(r"^non-conforming: .*RCV-09", result.stdout, re.MULTILINE)
    assert {"RCV-09", "ORD-10"} <= {
        one for finding in summary(folder / "out")["findings"] for one in finding["requirements"]
    }


def test_each_finding_is_shown_again_by_replay_and_by_run(found):
    folder, _ = found
    for finding in summary(folder / "out")["findings"]:
        if not finding["requirements"]:
            continue
        scenario, feature = (folder / "out" / name for name in finding["files"])
        shown = mpwake("replay", scenario, cwd=folder)
        judged = mpwake("run", scenario, "--quiet", "--strict", "interop,robustness,guidance", cwd=folder)
        for one in finding["requirements"]:
            assert re.search(rf"^x {one} ", shown.stdout, re.MULTILINE), shown.stdout
            assert f"@{one} " in feature.read_text(encoding="utf-8")
        assert judged.returncode == 1, judged.stdout


def test_a_difference_is_no_failure_and_run_says_who_shows_it(tmp_path):
    result = mpwake("fuzz", "mutant:rcv-broadcast-answered", "--examples", "1000", "--out", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    kept = summary(tmp_path / "out")["findings"]
    finding, problem = next(
        (one, problem) for one in kept for problem in one["problems"] if problem["kind"] == "differs"
    )
    plain = yaml.safe_load((tmp_path / "out" / finding["files"][0]).read_text(encoding="utf-8"))
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump({**plain, "requirements": []}), encoding="utf-8")
    shown = mpwake("replay", "alone.yaml", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "differs from the reference, which no requirement forbids" in shown.stdout
    assert problem["found"] in shown.stdout
    refused = mpwake("run", "alone.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "mpwake replay" in refused.stderr


def test_a_bring_up_that_stores_in_a_wrong_order_is_found(tmp_path):
    words = ("fuzz", "model:asterinas", "--role", "sender", "--examples", "600", "--format", "json", "--out", "out")
    result = mpwake(*words, cwd=tmp_path)
    plain = json.loads(result.stdout)
    named = {one for finding in plain["findings"] for one in finding["requirements"]}
    assert "ORD-01" in named
    scenario = next(one["files"][0] for one in plain["findings"] if "ORD-01" in one["requirements"])
    assert "ORD-01" in mpwake("run", f"out/{scenario}", "--quiet", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fuzz", "model:reference", "--time", "10"), "--time: '10' is not a time"),
        (("fuzz", "model:reference", "--database", "redis://here"), "--database"),
        (("fuzz", "kernel:/nowhere"), "nowhere"),
        (("replay", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_told(tmp_path, words, said):
    result = mpwake(*words, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_everything(tmp_path, workers):
    command = [sys.executable, "-m", "mpwake", "fuzz", "mutant:rcv-ack-8-bytes", "--time", "5m", "--workers", workers]
    process = subprocess.Popen(
        [*command, "--out", "out"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.2)
        if (tmp_path / "out" / "summary.json").is_file() and summary(tmp_path / "out")["findings"]:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    plain = summary(tmp_path / "out")
    assert plain["state"] == "interrupted"
    assert plain["findings"]
    assert re.search(r"^x RCV-09 ", out, re.MULTILINE)
