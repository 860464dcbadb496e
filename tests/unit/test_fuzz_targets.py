"""What can be fuzzed beside the model's own loops: programs, editions, and the files that are written of each kind."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from mpwake.fuzz.campaign import Found, Tally, Task, work
from mpwake.fuzz.draw import Can, Case
from mpwake.fuzz.jobs import job_named
from mpwake.fuzz.judge import ANSWERED, BOOTED, GIVEN_UP, WOKEN
from mpwake.fuzz.loops import UNSTEADY, of_model, of_target
from mpwake.fuzz.problem import BROKEN, Examined, Job, Problem
from mpwake.fuzz.run import SUMMARY, Wanted, run, taken_up
from mpwake.model.probe import Probe, Request, Schedule
from mpwake.model.scenario import Origin, Reading, ScenarioFile
from mpwake.spec import document
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite.interrupt import Interrupt
from mpwake.targets import open_target
from mpwake.targets.base import Target
from mpwake.targets.model import decode_platform, driver_of, load_platform
from mpwake.targets.runner.drive import Runner

ORIGIN = Origin("mpwake fuzz x --seed 3", 3145728, ("noted",))


def found(job: Job, **task: int) -> Tally:
    tally = Tally()
    work(job, Task(**{"examples": 60, **task}), tally.add)
    return tally


def written(job: Job, one: Found, folder: Path) -> Path:
    return folder / job.write(one.example, one.problems, folder, "it", ORIGIN)[0]


# Editions


def test_an_edition_that_is_chosen_is_held_against_and_written(tmp_path: Path) -> None:
    # A loop of ACPI 6.4 does not answer Test, which 6.6 demands.
    assert found(job_named("model:acpi-6.4", None, tmp_path)).problems == ()
    job = job_named("model:acpi-6.4", None, tmp_path, Edition.ACPI_6_6)
    assert job.options == ("--edition acpi-6.6",)
    one = next(one for one in found(job, examples=120).found if one.problems[0].requirement == "RST-10")
    path = written(job, one, tmp_path)
    assert document.decode(document.load(path), ScenarioFile).edition == "acpi-6.6"
    assert open_target(f"scenario:{path}").edition is Edition.ACPI_6_6


def test_another_edition_is_another_campaign(tmp_path: Path) -> None:
    digests = {job_named("model:reference", None, tmp_path, edition).digest for edition in (None, *Edition)}
    assert len(digests) == 1 + len(Edition)


def test_a_reader_is_held_against_no_edition(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--edition: suite:yaml is held against none"):
        job_named("suite:yaml", None, tmp_path, Edition.ACPI_6_4)


def test_a_weight_that_is_chosen_fails_a_campaign(tmp_path: Path) -> None:
    problem = Problem("RCV-20", "x", "it is", "it is not", weight=Weight.INTEROP)
    job = attrs.evolve(job_named("model:reference", None, tmp_path), examine=lambda _case: Examined((problem,)))
    seen = []
    for strict in ({Weight.CONFORMANCE}, {Weight.CONFORMANCE, Weight.INTEROP}):
        campaign = taken_up(job, Wanted(tmp_path / str(len(seen)), examples=1, strict=frozenset(strict)))
        run(campaign, Interrupt(), lambda _campaign, _fresh: None)
        seen.append(campaign.verdict())
    assert seen == [Verdict.INCONCLUSIVE, Verdict.FAIL]


# Files


def test_what_found_it_is_a_note_of_the_target(tmp_path: Path) -> None:
    job = job_named("mutant:rcv-ack-8-bytes", None, tmp_path)
    path = written(job, found(job).found[0], tmp_path)
    notes = open_target(f"scenario:{path}").notes
    assert notes == ("found by mpwake fuzz x --seed 3, in the round of seed 3145728", "Hypothesis noted: noted")


def test_the_command_that_finds_it_again_is_whole(tmp_path: Path) -> None:
    job = job_named("model:reference", Role.SENDER, tmp_path, Edition.ACPI_6_5)
    campaign = taken_up(job, Wanted(tmp_path / "out", seed=5, examples=7, workers=2))
    assert campaign.again == (
        "mpwake fuzz model:reference --role sender --edition acpi-6.5 --seed 5 --examples 7 --workers 2"
    )


def test_a_bring_up_gets_a_scenario_and_a_feature(tmp_path: Path) -> None:
    job = job_named("model:asterinas", Role.SENDER, tmp_path)
    one = found(job).found[0]
    scenario, feature = (tmp_path / name for name in job.write(one.example, one.problems, tmp_path, "it", ORIGIN))
    told = feature.read_text(encoding="utf-8")
    says = document.load(scenario).value["probe"].value["says"].value
    assert f"When {says}\n" in told
    assert re.search(rf"@{one.problems[0].requirement} @sender\n  Scenario: .*\n    Given ", told)


def test_an_input_gets_a_scenario_beside_it(tmp_path: Path) -> None:
    job = job_named("suite:yaml", None, tmp_path)
    problem = Problem("", "it takes long", "9 seconds", "at most 2", kind="the suite breaks")
    scenario, data = (tmp_path / name for name in job.write(b"a: 1\n", (problem,), tmp_path, "it", ORIGIN))
    one = document.decode(document.load(scenario), Reading)
    assert (one.reader, one.file, one.found) == ("suite:yaml", data.name, ORIGIN)
    assert one.shows == ("the suite breaks: it takes long",)
    with pytest.raises(InputError, match="replay"):
        open_target(f"scenario:{scenario}")


# Programs


def program(**more: object) -> Target:
    return Target(kind="runner", name="runner:x", sources=(), program=Runner("runner:x", ("x",), ("reset",)), **more)


PROGRAMS = Can(reset=True, cr4=False, pauses=False, holds=False, ticks=False, memories=("sc",))


def test_a_program_is_asked_for_what_its_protocol_has_words_for() -> None:
    assert of_target(program(), "x.yaml").can == PROGRAMS


def loop(examples: list[tuple[Problem, ...]]):
    """Return a program's loop whose examinations give these problems, one after the other."""
    platform = decode_platform(load_platform("reference"))
    plain = of_model("reference", driver_of(platform, Role.RECEIVER), Edition.ACPI_6_6, "reference")

    class Told(type(plain)):
        def _examined(self, _case):
            return Examined(examples.pop(0))

    return Told(**{field.name: getattr(plain, field.name) for field in attrs.fields(type(plain))} | {"often": 2})


def test_what_real_processors_do_not_show_again_is_no_finding() -> None:
    steady, once = (Problem("", shape, "a", "b", kind="differs") for shape in ("always", "once"))
    seen = loop([(steady, once), (steady,), (steady,)]).examine(None)
    assert (seen.problems, seen.sometimes[UNSTEADY]) == ((steady,), 1)
    assert loop([(once,), (), ()]).examine(None).problems == ()


def test_a_program_that_breaks_is_an_error_and_keeps_its_example(tmp_path: Path) -> None:
    platform = decode_platform(load_platform("reference"))
    plain = of_model("reference", driver_of(platform, Role.RECEIVER), Edition.ACPI_6_6, "reference")

    def broken(_case):
        raise InputError("the program does not answer bye within 2 s", "runner:x")

    case = Case(Probe("drawn", (1,), (Request("wake", 1, 0x9A000),)))
    with pytest.raises(InputError):
        attrs.evolve(plain, play=broken).examine(case)
    (one,) = attrs.evolve(plain, play=broken, often=2).examine(case).problems
    assert (one.kind, one.found) == (BROKEN, "runner:x: the program does not answer bye within 2 s")
    job = attrs.evolve(job_named("model:reference", None, tmp_path), examine=lambda _case: Examined((one,)))
    campaign = taken_up(job, Wanted(tmp_path / "out", examples=1))
    run(campaign, Interrupt(), lambda _campaign, _fresh: None)
    assert campaign.verdict() is Verdict.ERROR
    assert (tmp_path / "out" / SUMMARY).is_file()


def test_a_bring_up_that_meets_a_dead_processor_gives_up_and_that_is_counted(tmp_path: Path) -> None:
    # The reference waits without limit; this one does not.
    job = job_named("model:linux-tdx-acpi", Role.SENDER, tmp_path)
    probe = Probe("drawn", (1, 2), (Request("wake", 1, 0x9A000), Request("wake", 2, 0x9B000)))
    for loops, counts in ((("acpi-6.6", "acpi-6.6"), (2, 0)), (("acpi-6.6", "ap-dead"), (1, 1))):
        one = attrs.evolve(probe, loops=loops)
        seen = job.examine(ScenarioFile("scenario", "linux-tdx-acpi", Role.SENDER, ("SND-02",), Schedule("sc", 0), one))
        assert (seen.sometimes[ANSWERED], seen.sometimes[GIVEN_UP]) == counts
        assert seen.sometimes[BOOTED] == 2
        assert seen.sometimes[WOKEN] == counts[0]
