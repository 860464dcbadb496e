"""Campaigns on a Dask cluster of two worker processes, and examples that machines share through Redis."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from support.cli import environment, mpwake

pytest.importorskip("distributed", reason="no distributed: it is in mpwake[cluster]")

from support.cluster import cluster

MUTANT = ("fuzz", "mutant:rcv-ack-8-bytes", "--out", "out")
PLATFORMS = Path(__file__).parents[2] / "scenarios" / "platforms"


def summary(folder):
    return json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))


def kept(folder):
    """Everything that a campaign has written, but for how long it took."""
    plain = {**summary(folder), "seconds": 0}
    files = {one.name: one.read_bytes() for one in (folder / "out").iterdir() if one.suffix in (".yaml", ".feature")}
    return plain, files


def made(folder, name):
    (folder / name).mkdir()
    return folder / name


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Two workers, and one trial on each, so that the model is compiled."""
    with cluster(tmp_path_factory.mktemp("cluster")) as started:
        assert len(started.whole()) == 2
        yield started


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The campaign that the others are held against, without a cluster."""
    folder = tmp_path_factory.mktemp("here")
    result = mpwake(*MUTANT, "--examples", "800", "--workers", "2", cwd=folder)
    assert result.returncode == 1, result.stderr
    return folder


def started_there(address, folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "mpwake", *MUTANT, *words, "--scheduler", address],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def awaited(process, folder, when):
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        if (folder / "out" / "summary.json").is_file() and when(summary(folder)):
            return
        time.sleep(0.1)
    pytest.fail(f"it never came to that: {process.communicate() if process.poll() is not None else 'still running'}")


def test_a_worker_that_is_killed_loses_nothing(workers, here, tmp_path):
    process = started_there(workers.address, tmp_path, "--examples", "800")
    awaited(process, tmp_path, lambda plain: plain["rounds"] > 0)
    assert summary(tmp_path)["state"] == "running"
    victim = min(workers.pids())
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, out + err
    assert victim not in workers.whole()
    assert kept(tmp_path) == kept(here)
    assert kept(here)[0]["findings"]


def test_a_platform_of_ones_own_goes_there_and_is_called_as_here(workers, tmp_path):
    words = ("fuzz", "model:mine.yaml", "--role", "sender", "--examples", "40", "--out", "out")
    for name, more in (("there", ("--scheduler", workers.address)), ("here", ("--workers", "2"))):
        plain = yaml.safe_load((PLATFORMS / "asterinas.yaml").read_text(encoding="utf-8"))
        folder = made(tmp_path, name)
        (folder / "mine.yaml").write_text(yaml.safe_dump({**plain, "name": "mine"}), encoding="utf-8")
        result = mpwake(*words, *more, cwd=folder)
        assert (result.returncode, result.stderr) == (0, "")
    assert kept(tmp_path / "there") == kept(tmp_path / "here")
    assert kept(tmp_path / "here")[0]["findings"]


def test_ctrl_c_keeps_everything_and_it_goes_on_where_it_was(workers, tmp_path):
    process = started_there(workers.address, tmp_path, "--time", "10m")
    awaited(process, tmp_path, lambda plain: plain["findings"])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    first = summary(tmp_path)
    assert first["state"] == "interrupted"
    result = mpwake(*MUTANT, "--examples", "40", "--scheduler", workers.address, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    second = summary(tmp_path)
    assert second["findings"][: len(first["findings"])] == first["findings"]
    assert second["examples"] > first["examples"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--scheduler", "here"), 2, "'here' is not the address of a scheduler"),
        (("--scheduler", "tcp://127.0.0.1:1"), 3, "no scheduler answers at tcp://127.0.0.1:1"),
        (("--scheduler", "tcp://127.0.0.1:1", "--database", "there"), 2, "do not share there"),
        (("--database", "redis://127.0.0.1:1"), 3, "no Redis server answers at 127.0.0.1:1"),
        (("--database", "redis://here"), 2, "names no Redis server"),
        (("--database", "redis://here:1/x"), 2, "names no Redis server"),
    ],
)
def test_what_cannot_be_reached_is_told(tmp_path, words, code, said):
    result = mpwake(*MUTANT, *words, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, "")
    assert said in result.stderr
    assert not (tmp_path / "out" / "summary.json").exists()


@pytest.mark.parametrize(("missing", "words"), [("distributed", "--scheduler"), ("redis", "--database")])
def test_without_the_extra_it_says_what_to_install(tmp_path, missing, words):
    (tmp_path / f"{missing}.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    place = {"--scheduler": "tcp://127.0.0.1:1", "--database": "redis://127.0.0.1:1"}[words]
    again = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    result = subprocess.run(
        [sys.executable, "-m", "mpwake", *MUTANT, words, place],
        cwd=tmp_path,
        env=environment(PYTHONPATH=again),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 3
    assert f"the package {missing} is missing" in result.stderr
    assert "pip install 'mpwake[cluster]'" in result.stderr


# Examples that machines share


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """A Redis server of our own, on a port that was free."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: it is in the package redis-server")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    words = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    process = subprocess.Popen([program, *words], cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/3"
    process.terminate()
    process.wait(30)


def test_what_one_machine_found_another_tries_first(workers, redis, tmp_path):
    there = made(tmp_path, "there")
    result = mpwake(*MUTANT, "--examples", "80", "--scheduler", workers.address, "--database", redis, cwd=there)
    assert result.returncode == 1, result.stderr
    assert result.stderr == ""
    again = made(tmp_path, "again")
    result = mpwake(*MUTANT, "--examples", "1", "--seed", "77", "--database", redis, cwd=again)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "RCV-09" in {id for one in summary(again)["findings"] for id in one["requirements"]}
