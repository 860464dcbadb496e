"""``mpwake fuzz`` and ``mpwake replay`` as a user runs them."""

import hashlib
import json
import os
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


def shown_again(scenario, cwd, path=None):
    """Replay a file that a campaign wrote; return what is printed."""
    more = {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else {}
    command = [sys.executable, "-m", "mpwake", "replay", str(scenario)]
    return subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300, check=False
    )


def test_what_a_bring_up_shows_is_shown_again(tmp_path):
    words = ("fuzz", "model:asterinas", "--role", "sender", "--examples", "200", "--format", "json", "--out", "out")
    kept = json.loads(mpwake(*words, cwd=tmp_path).stdout)["findings"]
    assert kept
    for finding in kept:
        scenario, feature = (tmp_path / "out" / name for name in finding["files"])
        shown = shown_again(scenario, tmp_path).stdout
        for one in finding["requirements"]:
            assert re.search(rf"^x {one} ", shown, re.MULTILINE), shown
            assert f"@{one} @sender" in feature.read_text(encoding="utf-8")


# An iasl that sees no entry at all: whatever table has one shows that it reads otherwise.
NO_IASL = """#!/bin/sh
echo '[000h 0000   4]                    Signature : "APIC"' > table.dsl
"""


def test_a_disagreement_of_readers_is_shown_again(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "iasl").write_text(NO_IASL, encoding="ascii")
    (tmp_path / "bin" / "iasl").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "mpwake", "fuzz", "tables:madt", "--examples", "40", "--out", "out"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    finding = next(
        one for one in summary(tmp_path / "out")["findings"] if one["problems"][0]["kind"] == "differs from iasl"
    )
    assert [name.rpartition(".")[2] for name in finding["files"]] == ["yaml", "dat"]
    scenario = tmp_path / "out" / finding["files"][0]
    shown = shown_again(scenario, tmp_path, tmp_path / "bin")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"~ differs from iasl: {finding['problems'][0]['shape']}\n" in shown.stdout
    assert shown.stdout.endswith("it shows the same again\n")
    (tmp_path / "out" / finding["files"][1]).write_bytes(b"APIC")
    refused = shown_again(scenario, tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "has other bytes" in refused.stderr


def test_an_input_that_breaks_the_suite_is_shown_again_and_is_an_error(tmp_path):
    # No reader breaks that is known: a scenario that says so is not shown any more.
    (tmp_path / "x.yaml").write_bytes(b"a: 1\n")
    digest = hashlib.sha256(b"a: 1\n").hexdigest()
    shows = 'shows: ["the suite breaks: KeyError: x"]'
    text = f'kind: scenario\nreader: suite:yaml\nfile: x.yaml\nsha256: "{digest}"\n{shows}\n'
    (tmp_path / "was.yaml").write_text(text, encoding="ascii")
    shown = shown_again("was.yaml", tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "not shown any more: the suite breaks: KeyError: x" in shown.stdout
    (tmp_path / "was.yaml").write_text(text.replace("suite:yaml", "suite:yml"), encoding="ascii")
    assert "did you mean 'suite:yaml'?" in shown_again("was.yaml", tmp_path).stderr


# A program whose processors acknowledge with eight bytes, or go away where an argument says so.
RUNNER = """#!{python}
import json, mmap, sys, threading, time

def say(message, **fields):
    print(json.dumps({{"message": message, **fields}}), flush=True)

def loop(page, own):
    say("parked", id=own)
    while not (page[0] == 1 and int.from_bytes(page[4:8], "little") == own):
        time.sleep(0.0005)
    vector = int.from_bytes(page[8:16], "little")
    page[0:8] = bytes(8)
    if "breaks" in sys.argv:
        say("nothing that is known")
    say("landed", id=own, vector=vector)

parked = []
for line in sys.stdin:
    told = json.loads(line)
    if told["message"] == "hello":
        file = open(told["page"], "r+b")
        page = mmap.mmap(file.fileno(), 4096)
        say("hello", protocol="mpwake-runner/1", name="x", capabilities=[], edition="acpi-6.5")
    elif told["message"] == "park":
        parked.append(told["id"])
    elif told["message"] == "go":
        for own in parked:
            threading.Thread(target=loop, args=(page, own), daemon=True).start()
    elif told["message"] == "bye":
        say("bye")
        break
"""


@pytest.mark.parametrize(("argument", "code"), [("wide", 1), ("breaks", 3)])
def test_what_a_program_shows_is_shown_again(tmp_path, argument, code):
    (tmp_path / "loop").write_text(RUNNER.format(python=sys.executable), encoding="ascii")
    (tmp_path / "loop").chmod(0o755)
    (tmp_path / "loop.yaml").write_text(f"kind: runner\nlocation: loop\narguments: [{argument}]\n", encoding="ascii")
    result = mpwake("fuzz", "loop.yaml", "--examples", "4", "--out", "out", cwd=tmp_path)
    assert result.returncode == code, result.stdout + result.stderr
    kept = summary(tmp_path / "out")["findings"]
    finding = next(one for one in kept if bool(one["requirements"]) == (argument == "wide"))
    shown = shown_again(tmp_path / "out" / finding["files"][0], tmp_path)
    assert shown.returncode == code, shown.stdout + shown.stderr
    if argument == "breaks":
        assert "the program breaks" in shown.stderr
        assert finding["problems"][0]["kind"] == "the program breaks"
    else:
        assert re.search(r"^x RCV-09 ", shown.stdout, re.MULTILINE)
