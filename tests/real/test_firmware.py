"""OVMF of three generations, as Debian ships it: the results known for it, each within ten seconds."""

from __future__ import annotations

import json
import random
import resource
from pathlib import Path
from typing import Any

import pytest

from mpwake.evidence.trace import SENDER, Kind
from mpwake.model.probe import Probe, Request
from mpwake.targets.firmware.corpus import Specimen, corpus
from mpwake.targets.firmware.drive import Trial
from mpwake.targets.firmware.image import load_module, read_image
from mpwake.targets.firmware.locate import locate
from mpwake.targets.firmware.stage import DRIVER, Firmware
from mpwake.targets.firmware.tdx import Tdx
from support.cli import mpwake
from support.specimens import specimen_file

SECONDS = 10
CORPUS = corpus("firmware")
WITH_LOOP = [one for one in CORPUS if one.loop]


def results(one: Specimen, folder: Path, *ids: str) -> dict[str, Any]:
    words = ("--format", "json", "--out", folder / "out", "--quiet")
    result = mpwake("run", f"firmware:{specimen_file(one)}", *ids, *words, cwd=folder)
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["complete"]
    assert document["exit_code"] == result.returncode
    return document


def verdicts(document: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in document["requirements"]:
        found.setdefault(one["verdict"], set()).add(one["id"])
    return found


@pytest.mark.parametrize("one", WITH_LOOP, ids=lambda one: one.name)
def test_an_image_gives_the_results_known_for_it(one: Specimen, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = verdicts(results(one, tmp_path))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found["fail"] == set(one.fails)
    assert not found.keys() & {"inconclusive", "error"}
    assert found["pass"] >= {"RCV-01", "RCV-02", "RCV-05", "RCV-06", "RCV-07", "RCV-11", "RCV-12", "RCV-14", "RCV-20"}
    # What the machine needs for it, and not what else it is doing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS


@pytest.mark.parametrize("one", WITH_LOOP, ids=lambda one: one.name)
def test_a_failure_shows_its_instruction(one: Specimen, tmp_path: Path) -> None:
    document = results(one, tmp_path)
    (failed,) = (one for one in document["requirements"] if one["id"] == "RCV-09")
    text = json.dumps(failed)
    assert "mov qword ptr [rbx], 0" in text
    assert "machine code" in text


@pytest.mark.parametrize("one", WITH_LOOP, ids=lambda one: one.name)
def test_a_host_that_changes_registers_moves_the_processors_of_2022_and_no_others(
    one: Specimen, tmp_path: Path
) -> None:
    document = results(one, tmp_path, "TDX-06")
    text = json.dumps(document)
    moved = one.name == "ovmf-2022.11"
    assert verdicts(document) == {"fail" if moved else "pass": {"TDX-06"}}
    assert ("polls the host's page at 0x1801000 and lands at 0x1801800" in text) == moved
    assert "cmp dword ptr [rbx], 0" in text
    assert "machine code" in text


@pytest.mark.parametrize("one", WITH_LOOP, ids=lambda one: one.name)
def test_sixty_four_processors_come_from_reset_and_are_woken_in_any_order(one: Specimen) -> None:
    path = str(specimen_file(one))
    opened = read_image(Path(path))
    module = load_module(path, opened.module, DRIVER)
    ids = tuple(range(1, 65))
    order = random.Random(1).sample(ids, 64)
    requests = (*(Request("wake", each, 0x9A000 + 0x10 * each) for each in order), Request("settle", 0, 100))
    stage = Firmware(opened, module, locate(module, path)).stage(64)
    trace = Trial(stage, Probe("all are woken", ids, requests), Tdx(), 1).run()
    assert not trace.spent
    assert {trace.ids[each.agent]: each.value for each in trace.of(Kind.LANDING)} == {
        each: 0x9A000 + 0x10 * each for each in ids
    }
    assert [trace.ids[each.agent] for each in trace.stores() if each.agent != SENDER and each.touches(0, 2)] == order
    assert [each.value for each in trace.of(Kind.RETURN)] == [0] * 65
    assert trace.after[:2] == bytes(2)


@pytest.mark.parametrize("one", [one for one in CORPUS if not one.loop], ids=lambda one: one.name)
def test_an_image_without_a_loop_fails_and_passes_nothing(one: Specimen, tmp_path: Path) -> None:
    document = results(one, tmp_path)
    assert verdicts(document).keys() == {"not-applicable", "not-testable"}
    assert document["exit_code"] == 4


def test_the_corpus_names_three_generations() -> None:
    assert len({one.version for one in WITH_LOOP}) >= 3
    assert len({one.name for one in CORPUS}) == len(CORPUS)
