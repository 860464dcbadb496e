"""The fuzzer's parts: what is the same finding, what a campaign keeps, and how it goes on."""

import itertools
import json
import time
from collections import Counter
from types import SimpleNamespace

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.internal.conjecture import engine, providers

from mpwake.checks.core import judge
from mpwake.checks.situations import plan_of
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.trace import Kind
from mpwake.fuzz import inputs
from mpwake.fuzz.campaign import ROUND, Found, Lane, Message, Tally, Task, one_round, seed_of, work
from mpwake.fuzz.database import Apart, database_of
from mpwake.fuzz.inputs import READERS, Reader, examined, input_job
from mpwake.fuzz.jobs import job_named
from mpwake.fuzz.judge import COMPARED, WOKEN, receivers
from mpwake.fuzz.loops import of_model, phrase
from mpwake.fuzz.problem import BREAKS, Examined, Job, Problem, drawn, new_ones, shape_of
from mpwake.fuzz.reference import differences, outcome
from mpwake.fuzz.run import SUMMARY, Campaign, Wanted, run, taken_up
from mpwake.model.environment import Host, Pause
from mpwake.model.probe import Probe, Request, Schedule, agent, trial
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, ToolError
from mpwake.spec.requirements import Role, Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite.interrupt import Interrupt
from mpwake.targets.model import decode_platform, driver_of, load_platform

BIG, ODD = "big", "odd and long"


def found_in(example):
    if sum(example) >= 1000:
        yield Problem("RCV-09", BIG, f"{sum(example)}", "less", weight=Weight.CONFORMANCE)
    if len(example) >= 3 and all(one % 2 for one in example):
        yield Problem("", ODD, f"{len(example)} odd numbers", "an even one", kind="differs")


def examine(example):
    return Examined(
        tuple(found_in(example)), Counter({"a number was seen": len(example)}), frozenset(example), len(example)
    )


def write(example, _problems, folder, slug, _origin):
    (folder / f"{slug}.json").write_text(json.dumps(example), encoding="utf-8")
    return (f"{slug}.json",)


JOB = Job(
    name="lists",
    about="numbers",
    digest="1",
    search=drawn(st.lists(st.integers(0, 5000), max_size=8)),
    examine=examine,
    told=lambda example: (f"{example}",),
    size=lambda example: (len(example), sum(example)),
    write=write,
    needed=("a number was seen",),
)


def carried_out(job=JOB, **task):
    tally = Tally()
    work(job, Task(**{"examples": 600, **task}), tally.add)
    return tally


def told(tally):
    return {one.problems[0].shape: one.example for one in tally.found}


# Findings


def test_a_shape_has_no_numbers_and_no_lengths():
    assert shape_of("landed: 0x1 at 0x9a000, 0x2 at 0x9b000 (3 times of 4)") == "landed: N at N"


def test_fewer_circumstances_explain_more_and_not_the_other_way():
    few, many = (Problem("", "x", "", "", causes=frozenset(some)) for some in ({"a"}, {"a", "b"}))
    assert new_ones([many], [few]) == ()
    assert new_ones([few], [many]) == (few,)
    assert new_ones([attrs.evolve(many, requirement="RCV-01")], [few])


# Campaigns


def test_each_sort_is_found_once_and_shrunk():
    assert told(carried_out()) == {BIG: [1000], ODD: [1, 1, 1]}


def test_the_same_seed_finds_the_same_and_another_draws_others():
    one, same, other = (carried_out(seed=seed) for seed in (3, 3, 4))
    assert (told(one), one.examples, one.sometimes) == (told(same), same.examples, same.sometimes)
    assert one.sometimes != other.sometimes


def test_the_notes_of_hypothesis_and_the_seed_are_kept():
    first = next(one for one in carried_out().found if one.problems[0].shape == BIG)
    assert "found 1000; expected less" in "\n".join(first.notes)
    assert first.seed == seed_of(Task(), 0)


def test_what_is_known_is_not_found_again():
    known = tuple(found_in([1001, 1001, 1001]))
    assert len(known) == 2
    assert carried_out(known=known).found == []


def test_no_two_workers_share_a_seed():
    seeds = [
        seed_of(Task(seed=seed, worker=worker, workers=3), round)
        for seed in (0, 1)
        for worker in (0, 1, 2)
        for round in range(9)
    ]
    assert len(set(seeds)) == len(seeds)


def test_rounds_one_by_one_are_what_a_worker_does(tmp_path):
    told_of, lane, rounds = Tally(), Lane(()), []
    for number in range(20):
        message, lane = one_round(JOB, Task(examples=600, database=str(tmp_path / "some")), number, lane)
        told_of.add(message)
        rounds.append(message.last)
        if message.last:
            break
    whole = carried_out()
    assert (told(told_of), told_of.examples, told_of.sometimes) == (told(whole), whole.examples, whole.sometimes)
    assert rounds == [False, False, True]


def test_what_else_was_imported_changes_no_draw():
    def numbers():
        seen = []
        job = attrs.evolve(JOB, examine=lambda example: seen.append(example) or Examined())
        work(job, Task(examples=200), lambda _message: None)
        return seen

    before = numbers()
    providers._get_local_constants().integers.add(4711)
    assert numbers() == before


def test_a_slow_machine_finds_what_a_quick_one_does(monkeypatch):
    quick = carried_out(examples=200)
    ticks = itertools.count(step=11)  # so that ten seconds go by between any two looks at the clock
    monkeypatch.setattr(engine, "time", SimpleNamespace(**{**vars(time), "monotonic": lambda: float(next(ticks))}))
    slow = carried_out(examples=200)
    assert (told(slow), slow.examples) == (told(quick), quick.examples)


def test_a_time_ends_a_campaign_in_the_middle_of_a_round():
    def slow(_example):
        time.sleep(0.005)
        return Examined()

    began = time.monotonic()
    tally = carried_out(attrs.evolve(JOB, examine=slow), examples=None, until=began + 0.3)
    assert 0 < tally.examples < ROUND
    assert time.monotonic() - began < 5


def test_whoever_stops_it_keeps_what_was_found():
    seen = []

    def stops():
        return len(seen) > 0

    def noted(example):
        result = examine(example)
        seen.extend(one for one in result.problems if one.shape == BIG)
        return result

    tally = Tally()
    work(attrs.evolve(JOB, examine=noted), Task(), tally.add, stops)
    assert BIG in told(tally)


def test_an_error_of_the_suite_is_no_finding():
    def broken(_example):
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="ours"):
        carried_out(attrs.evolve(JOB, examine=broken))


def test_what_hypothesis_leaves_in_is_left_out():
    def shorter(example):
        yield from ([*example[:at], *example[at + 1 :]] for at in range(len(example)))

    fixed = attrs.evolve(JOB, search=drawn(st.just([1000, 7, 7])), simpler=shorter)
    assert told(carried_out(fixed)) == {BIG: [1000]}


def test_a_database_is_tried_first(tmp_path):
    place = str(tmp_path / "examples")
    assert told(carried_out(database=place))
    again = carried_out(database=place, seed=77, examples=1)
    assert BIG in told(again)


def test_a_database_is_read_as_it_was_and_written_at_the_end():
    kept = InMemoryExampleDatabase()
    kept.save(b"key", b"a")
    kept.save(b"key", b"b")
    here = Apart(kept)
    assert list(here.fetch(b"key")) == [b"a", b"b"]
    here.save(b"key", b"c")
    here.move(b"key", b"other", b"a")
    kept.save(b"key", b"of somebody else's")
    assert list(here.fetch(b"key")) == [b"b", b"c"]
    assert set(kept.fetch(b"key")) == {b"a", b"b", b"of somebody else's"}
    here.keep()
    assert set(kept.fetch(b"key")) == {b"b", b"c", b"of somebody else's"}
    assert set(kept.fetch(b"other")) == {b"a"}


def test_a_database_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file" / "x"), "redis://here"):
        with pytest.raises(InputError, match="--database"):
            database_of(place)


# Runs and their directories


def ran(folder, job=JOB, interrupt=None, **wanted):
    campaign = taken_up(job, Wanted(folder, **{"examples": 600, **wanted}))
    run(campaign, interrupt or Interrupt(), lambda _campaign, _fresh: None)
    return campaign


def summary(folder):
    return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


def test_a_summary_tells_of_everything(tmp_path):
    campaign = ran(tmp_path)
    plain = summary(tmp_path)
    assert plain == campaign.plain()
    assert (plain["state"], plain["verdict"], plain["missing"]) == ("done", "fail", [])
    files = {name for one in plain["findings"] for name in one["files"]}
    assert files == {"rcv-09.json", "differs-odd-and-long.json"}
    assert json.loads((tmp_path / "rcv-09.json").read_text()) == [1000]
    assert all(one["seed"] in range(plain["rounds"]) and one["notes"] for one in plain["findings"])


def test_the_same_of_two_causes_has_files_for_each(tmp_path):
    campaign = Campaign(JOB, Wanted(tmp_path))

    def take(*causes, size=1):
        problem = Problem("RCV-09", BIG, "9", "less", frozenset(causes), Weight.CONFORMANCE)
        found = Found((problem,), [*causes, size], (), (size,), 0)
        campaign.take(Message(0, 0, 1, 0.0, Counter(), 0, (found,)))

    take("a pause", size=2)
    take("a seed")
    take("a pause")
    assert [one["files"] for one in summary(tmp_path)["findings"]] == [["rcv-09.json"], ["rcv-09-2.json"]]
    kept = [json.loads((tmp_path / name).read_text()) for name in ("rcv-09.json", "rcv-09-2.json")]
    assert kept == [["a pause", 1], ["a seed", 1]]
    campaign = taken_up(JOB, Wanted(tmp_path))
    take("nothing")
    assert [one["files"] for one in summary(tmp_path)["findings"]][2:] == [["rcv-09-3.json"]]


def test_a_campaign_goes_on_where_it_was(tmp_path):
    ran(tmp_path, examples=200)
    first = summary(tmp_path)
    again = ran(tmp_path, examples=200)
    second = summary(tmp_path)
    assert first["findings"]
    assert not {one["found"] for one in first["findings"]} & set(told(again.tally))
    assert second["findings"][: len(first["findings"])] == first["findings"]
    assert second["examples"] > first["examples"]
    assert second["rounds"] > first["rounds"]
    assert again.verdict() is Verdict.FAIL


def test_a_directory_of_another_campaign_is_refused(tmp_path):
    ran(tmp_path, examples=50)
    for job, words in ((attrs.evolve(JOB, digest="2"), "another version"), (attrs.evolve(JOB, name="x"), "of lists")):
        with pytest.raises(InputError, match=words):
            taken_up(job, Wanted(tmp_path))
    for text in ("{", "[]", '{"summary": 7}', '{"summary": 1, "findings": 3}'):
        (tmp_path / SUMMARY).write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="no summary"):
            taken_up(JOB, Wanted(tmp_path))


def test_two_workers_find_what_one_finds(tmp_path):
    ran(tmp_path, examples=1200, workers=2)
    assert {one["found"] for one in summary(tmp_path)["findings"]} == {"1000", "3 odd numbers"}


def test_a_worker_that_breaks_is_told(tmp_path):
    def broken(_example):
        raise RuntimeError("a mistake of ours")

    with pytest.raises(ToolError, match="a mistake of ours"):
        ran(tmp_path, attrs.evolve(JOB, examine=broken), workers=2)


def test_ctrl_c_keeps_what_was_found(tmp_path):
    interrupt = Interrupt()

    def told_once(_campaign, fresh):
        if fresh:
            interrupt.asked = 1

    campaign = taken_up(JOB, Wanted(tmp_path))
    run(campaign, interrupt, told_once)
    plain = summary(tmp_path)
    assert plain["state"] == "interrupted"
    assert plain["findings"]
    assert all((tmp_path / name).is_file() for one in plain["findings"] for name in one["files"])


def test_a_campaign_that_never_got_anywhere_is_no_pass(tmp_path):
    job = attrs.evolve(JOB, examine=lambda _example: Examined())
    campaign = ran(tmp_path, job, examples=20)
    assert campaign.verdict() is Verdict.INCONCLUSIVE
    assert campaign.missing == ("a number was seen",)


# Beside the reference


def compared(name, *requests, ids=(1, 2), edition=Edition.ACPI_6_6):
    probe = Probe("drawn", ids, tuple(requests))
    return differences(plan_of(probe, edition), trial(agent(name), probe, Schedule("sc", 3)))


def wake(apic, page=0):
    return Request("wake", apic, 0x9A0000 + 0x1000 * page)


@pytest.mark.parametrize("name", ["acpi-6.6", "confidential"])
def test_who_keeps_to_acpi_differs_in_nothing(name):
    torn = Request("torn", 2, 0x9B0000)
    assert compared(name, Request("command", 1, 3), wake(1), torn, Request("stale", 0, 1)) == ((), True)


def test_a_broadcast_is_a_difference_of_its_own():
    (one,), _ = compared("edk2-2022", wake(0xFFFFFFFE))
    assert (one.requirement, one.kind, one.weight) == ("", "differs", None)
    assert one.shape == "Wakeup for APIC ID 0xfffffffe: answered and a processor lands"


def test_a_processor_that_is_lost_differs_twice():
    problems, _ = compared("edk2-2022", Request("test", 1), wake(1, 1))
    assert [one.shape for one in problems] == [
        "Test for a parked processor: never answered",
        "Wakeup for a parked processor: never answered and the processor never lands",
    ]
    assert problems[1].causes == {"Test for a parked processor"}


def test_a_race_is_compared_with_nothing():
    assert compared("acpi-6.6", wake(7), wake(1, 1)) == ((), False)


def test_fields_that_are_stored_over_a_command_are_a_race():
    waits = (wake(1), Request("torn", 1, 0x9B0000), Request("command", 2, 0))
    assert compared("acpi-6.4", *waits, edition=Edition.ACPI_6_4) == ((), False)


@pytest.mark.parametrize("name", ["acpi-6.6", "confidential"])
def test_a_landing_is_on_the_account_of_its_command_however_late(name):
    probe = Probe("drawn", (1,), (Request("command", 1, 1), Request("clear")))
    for seed in range(40):
        seen = outcome(trial(agent(name), probe, Schedule("sc", 479001601 + seed)))
        assert seen.landings == {(1, 0)}


@pytest.mark.parametrize("id", ["RCV-07", "ORD-04"])
def test_whose_wake_was_given_up_is_not_accused_of_landing_elsewhere(id):
    host = Host(pauses=(Pause("command", 1000), Pause("id", 1000)))
    probe = Probe("drawn", (1, 2), (wake(2, 1), wake(1, 2)), host=host, patience=20_000)
    seen = trial(agent("confidential"), probe, Schedule("sc", 212))
    assert [(seen.ids[one.agent], one.value) for one in seen.of(Kind.LANDING)] == [(2, 0x9A2000)]
    checks = [one for one in receivers(plan_of(probe, Edition.ACPI_6_6)) if one.id == id]
    assert checks
    for check in checks:
        assert judge(check, Behaviour(lambda _sentence, _seed: (seen,))).verdict is Verdict.INCONCLUSIVE


def test_an_outcome_knows_whose_vector_a_landing_has():
    probe = Probe("drawn", (1, 2), (wake(2), wake(1, 1), wake(7, 2)))
    seen = outcome(trial(agent("acpi-6.6"), probe, Schedule("sc", 0)))
    assert (seen.landings, seen.answers) == ({(2, 0), (1, 1)}, (True, True, False))


# What can be fuzzed


def loop(name):
    platform = decode_platform(load_platform(name))
    return of_model(name, driver_of(platform, Role.RECEIVER), Edition(platform.edition), name)


def test_a_few_trials_of_a_loop_that_conforms_show_nothing(tmp_path):
    tally = Tally()
    work(job_named("model:reference", None, tmp_path), Task(examples=60), tally.add)
    assert tally.found == []
    assert tally.sometimes[WOKEN]
    assert tally.sometimes[COMPARED]


def test_a_mutant_is_written_as_a_platform(tmp_path):
    tally = Tally()
    work(job_named("mutant:rcv-ack-8-bytes", None, tmp_path), Task(examples=20), tally.add)
    assert "RCV-09" in {one.requirement for one in tally.problems}
    assert decode_platform(load_platform(str(tmp_path / "rcv-ack-8-bytes.platform.yaml"))).receiver is not None


def test_what_is_nothing_is_told(tmp_path):
    for location, words in (
        ("mutant:rcv-halte", "did you mean 'rcv-halted'"),
        ("suite:yml", "did you mean 'suite:yaml'"),
        ("model:openhcl-boot-dt", "nothing in the role"),
        ("tables:APIC.dat", "nothing to fuzz"),
    ):
        with pytest.raises(InputError, match=words):
            job_named(location, None, tmp_path)


def test_requests_are_told_in_words():
    assert phrase(Request("command", 1, 0x8000)) == "sends Command 0x8000 to 0x1"


# Readers


@pytest.mark.parametrize("name", [one for one in READERS if one != "suite:image"])
def test_a_few_inputs_of_each_kind_break_nothing(name):
    tally = Tally()
    work(input_job(name), Task(examples=12), tally.add)
    assert [one.problems[0] for one in tally.found if one.problems[0].kind == BREAKS] == []
    assert tally.sometimes[inputs.READ]


def test_a_reader_that_breaks_is_the_suites_fault(tmp_path):
    def careless(data):
        if len(data) > 3:
            raise KeyError(data[3])
        raise CodecError("x", 0, "more", "less")

    seen = examined(Reader(careless, CodecError, st.binary, "dat"), b"1234")
    assert [(one.kind, one.shape) for one in seen.problems] == [(BREAKS, "KeyError: N")]
    assert examined(Reader(careless, CodecError, st.binary, "dat"), b"").problems == ()
    campaign = Campaign(JOB, Wanted(tmp_path), known=seen.problems)
    assert campaign.verdict() is Verdict.ERROR


def test_a_reader_that_takes_long_is_found():
    seen = examined(Reader(lambda _data: sum(range(200_000)), CodecError, st.binary, "dat", limit=0.0), b"")
    assert [one.shape for one in seen.problems] == ["it takes long"]
