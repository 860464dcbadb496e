"""Mutants of the observation: a conforming trace, changed as a faulty operating system would have it, is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from support.traces import judged, lines, saved, write

Line = dict[str, Any]
WORDS = ("SND-01", "SND-02", "SND-05", "SND-06", "ORD-01", "MEM-05", "MEM-09", "MADT-17", "KEX-01")


def command(one: Line) -> bool:
    """Say whether a line is the operating system's store of a command."""
    stored = one["line"] == "store" and not one.get("agent")
    return stored and one.get("offset", "0x0") == "0x0" and one.get("value", "0x0") != "0x0"


def each_command(change: Callable[[Line], list[Line]]) -> Callable[[list[Line]], list[Line]]:
    return lambda these: [new for one in these for new in (change(one) if command(one) else [one])]


def command_first(these: list[Line]) -> list[Line]:
    """Move each command before the stores to its fields."""
    moved: list[Line] = []
    fields = 0
    for one in these:
        if command(one) and fields:
            moved.insert(len(moved) - fields, {**one, "time": moved[-fields]["time"]})
        else:
            moved.append(one)
        stored = one["line"] == "store" and not one.get("agent") and one.get("offset") in ("0x4", "0x8")
        fields = fields + 1 if stored or (fields and not command(one)) else 0
    return moved


MUTANTS: dict[str, tuple[Callable[[list[Line]], list[Line]], str, str]] = {
    "the command stored first": (command_first, "SND-01", "at the command"),
    "the command before its fields, as others see it": (command_first, "ORD-01", "at the command"),
    "the command eight bytes wide": (each_command(lambda one: [{**one, "width": 8}]), "SND-06", "8 bytes at 0x0"),
    "the command at 0x7fc": (each_command(lambda one: [{**one, "offset": "0x7fc"}]), "MADT-17", ""),
    "eight bytes at 0x7fc": (
        each_command(lambda one: [one, {**one, "offset": "0x7fc", "width": 8}]),
        "MEM-05",
        "a store at 0x7fc",
    ),
    "the command twice in a row": (each_command(lambda one: [one, one]), "SND-02", "over Command 0x1"),
    "the MADT not invalidated": (
        lambda these: [one for one in these if one["line"] != "table"],
        "KEX-01",
        "stays in the table",
    ),
    "a command with Reserved set": (
        each_command(lambda one: [{**one, "width": 4, "value": "0x10001"}]),
        "MEM-09",
        "Reserved 0x1",
    ),
}


@pytest.fixture(scope="module")
def conforming(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    path = tmp_path_factory.mktemp("mutants") / "reference.ndjson"
    run = saved("model:reference", path, *WORDS, roles=frozenset({Role.SENDER}))
    assert {one.verdict for one in run.results} == {Verdict.PASS}
    return lines(path)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_observation_is_caught(name: str, conforming: list[Line], tmp_path: Path) -> None:
    change, breaks, found = MUTANTS[name]
    these = change(conforming)
    assert these != conforming
    target = open_target(f"trace:{write(tmp_path / 'mutant.ndjson', these)}")
    (one,) = judged(target, breaks).results
    assert one.verdict is Verdict.FAIL
    assert any(found in seen.found for seen in one.seen if not seen.ok)


def test_the_trace_itself_has_no_failure(conforming: list[Line], tmp_path: Path) -> None:
    run = judged(open_target(f"trace:{write(tmp_path / 'same.ndjson', conforming)}"), *WORDS)
    assert {one.verdict for one in run.results} == {Verdict.PASS}


def test_a_command_in_another_place_passes_nothing_that_speaks_of_commands(
    conforming: list[Line], tmp_path: Path
) -> None:
    these = MUTANTS["the command at 0x7fc"][0](conforming)
    run = judged(open_target(f"trace:{write(tmp_path / 'mutant.ndjson', these)}"), "SND-01", "SND-02", "SND-06")
    assert {one.verdict for one in run.results} == {Verdict.INCONCLUSIVE}
