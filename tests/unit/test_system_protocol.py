"""Operating systems of the model use the mailbox and give processors back: their policies, and what is said of them."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.checks import bringup, core, giveback
from mpwake.checks.boot import acknowledged, answers, noted, sent
from mpwake.checks.core import Judgement
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.model.agent import load_agent
from mpwake.model.boot import boots
from mpwake.model.program import compile_node
from mpwake.model.situation import situation
from mpwake.model.system import Reset, System, Touch, Trampoline, load_system
from mpwake.spec import document
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import check_of, mutants, mutated
from mpwake.targets import open_target

BASE, VECTOR = 0x7F5E5000, 0x7F5E6080
OWN = [
    *(f"SND-{number:02}" for number in (9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)),
    *(f"ORD-{number:02}" for number in (2, 3, 7)),
    *(f"TMO-{number:02}" for number in (5, 9)),
    *(f"DUP-{number:02}" for number in (2, 3, 5, 6)),
    *(f"MEM-{number:02}" for number in (17, 18)),
    *(f"RST-{number:02}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 20, 21, 22, 23)),
]
MUTANTS = [(one, node) for one, node in mutants() if one.role is Role.SENDER and one.breaks in OWN]
NOT_JUDGED = (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE)


@functools.cache
def reference() -> Behaviour:
    evidence = open_target("model:reference").evidence(Role.SENDER)
    assert isinstance(evidence, Behaviour)
    return evidence


def judged(id: str, evidence: Behaviour) -> Judgement:
    return core.judge(core.find(id, Role.SENDER), evidence)


def booted(sentence: str, memory: str = "tso", **policies: Any) -> Trace:
    system = document.decode(load_system("os-reference"), System)
    sender = compile_node(load_agent("os-reference"))
    traces = boots(sender, attrs.evolve(system, **policies), situation(sentence))
    return next(trace for trace in traces if trace.memory == memory)


def shown(change: Any) -> Behaviour:
    """Return the reference with every trace changed."""
    known = reference()

    def drive(sentence: str, seed: int) -> tuple[Trace, ...]:
        return tuple(change(trace) for trace in attrs.evolve(known, seed=seed).trials(sentence))

    return attrs.evolve(known, drive=drive, seen={})


def without(*kinds: Kind) -> Behaviour:
    return shown(lambda one: attrs.evolve(one, events=tuple(event for event in one.events if event.kind not in kinds)))


# The reference and the mutants


@pytest.mark.parametrize("id", OWN)
def test_the_reference_passes(id: str) -> None:
    judgement = judged(id, reference())
    assert judgement.verdict is Verdict.PASS, judgement.reason
    assert judgement.findings


@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[one.id for one, _ in MUTANTS])
def test_each_mutant_is_killed_by_what_it_breaks(number: int) -> None:
    mutant, node = MUTANTS[number]
    evidence = mutated(mutant, node)
    assert isinstance(evidence, Behaviour)
    assert core.judge(check_of(mutant), evidence).verdict is Verdict.FAIL


def test_each_requirement_has_a_mutant() -> None:
    assert {one.breaks for one, _ in MUTANTS} == set(OWN)


# Silence never passes


@pytest.mark.parametrize("id", OWN)
def test_a_boot_of_which_nothing_is_seen_passes_nothing(id: str) -> None:
    assert judged(id, shown(lambda trace: attrs.evolve(trace, events=()))).verdict in NOT_JUDGED


@pytest.mark.parametrize("id", OWN)
def test_a_boot_that_was_not_run_passes_nothing(id: str) -> None:
    never = attrs.evolve(reference(), drive=lambda _sentence, _seed: (), seen={})
    assert judged(id, never).verdict in NOT_JUDGED


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        (Kind.ROUTINE, ("SND-15", "SND-16", "SND-17", "SND-18", "ORD-03")),
        (Kind.ALIVE, ("SND-12", "SND-20")),
        (Kind.MAP, ("SND-19", "MEM-18")),
        (Kind.ALLOC, ("MEM-17",)),
        (
            Kind.RESET,
            ("RST-03", "RST-04", "RST-05", "RST-06", "RST-07", "RST-09", "RST-12", "RST-16", "RST-20", "RST-22"),
        ),
        (Kind.RESET, ("RST-21", "RST-23", "TMO-05", "TMO-09")),
        (Kind.RETURN, ("DUP-02", "DUP-03", "RST-01", "RST-02")),
    ],
)
def test_what_rests_on_events_that_were_not_seen_does_not_pass(kind: Kind, ids: tuple[str, ...]) -> None:
    assert {
        id: judged(id, without(kind)).verdict for id in ids if judged(id, without(kind)).verdict is Verdict.PASS
    } == {}


def test_a_processor_whose_state_was_not_seen_at_the_jump_is_inconclusive() -> None:
    def stateless(one: Event) -> Event:
        return attrs.evolve(one, facts={}) if one.kind is Kind.RESET else one

    blind = shown(lambda trace: attrs.evolve(trace, events=tuple(map(stateless, trace.events))))
    for id in ("RST-03", "RST-04", "RST-05", "RST-06", "RST-07", "RST-20", "RST-23"):
        assert judged(id, blind).verdict is Verdict.INCONCLUSIVE


def test_memory_that_nobody_tells_of_cannot_be_left_alone() -> None:
    assert judged("MEM-17", shown(lambda trace: attrs.evolve(trace, regions=()))).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("id", [id for id in OWN if id != "ORD-02"])
def test_a_boot_that_was_cut_off_is_inconclusive(id: str) -> None:
    assert judged(id, shown(lambda trace: attrs.evolve(trace, spent=True))).verdict is Verdict.INCONCLUSIVE


def test_a_cut_off_wait_that_noticed_its_acknowledgement_is_inconclusive_too() -> None:
    judgement = judged("ORD-02", shown(lambda trace: attrs.evolve(trace, spent=True)))
    assert (judgement.verdict, judgement.reason) == (
        Verdict.INCONCLUSIVE,
        "a trial was not finished within its budget",
    )


# What a system without resets, and one of another family, is not held to


def test_a_system_that_gives_nothing_back_is_not_held_to_how() -> None:
    for id in ("RST-03", "RST-07", "RST-09", "RST-12", "RST-22", "RST-23", "TMO-09"):
        evidence = attrs.evolve(
            reference(), drive=lambda sentence, _: (booted(sentence, reset=Reset(supported=False)),), seen={}
        )
        judgement = judged(id, evidence)
        assert judgement.verdict is Verdict.NOT_APPLICABLE
        assert "gives no processor back" in judgement.reason


@pytest.mark.parametrize("id", ["TMO-05", "RST-20", "RST-21"])
def test_what_linux_does_is_asked_of_linux_alone(id: str) -> None:
    assert judged(id, attrs.evolve(reference(), follows=frozenset())).verdict is Verdict.NOT_APPLICABLE


# Policies of the kernel


def test_a_processor_that_is_not_listed_is_refused_before_the_bring_up_hears_of_it() -> None:
    trace = booted(bringup.STRANGER)
    assert [back.value for asked, back in answers(trace, "online") if back and asked.target == 7] == [-19]
    assert 7 not in {apic for _, apic, _ in sent(trace)}


def test_a_processor_that_runs_is_refused_by_the_bring_up() -> None:
    codes = [back.value for asked, back in answers(booted(bringup.STRANGER), "online") if back and asked.target == 2]
    assert codes == [0, -22]


def places(trace: Trace) -> list[int]:
    return [one.value for one in noted(trace, Kind.ROUTINE, "fill")]


def test_every_processor_has_data_of_its_own_unless_they_share_them() -> None:
    own = places(booted(bringup.THREE))
    shared = places(booted(bringup.THREE, trampoline=Trampoline(data="shared")))
    assert (len(own), len(set(own)), len(shared), len(set(shared))) == (3, 3, 3, 1)
    assert all(place & -0x1000 == own[0] & -0x1000 for place in own)


@pytest.mark.parametrize(("length", "fits"), [(0x400, True), (2032, True), (2033, False)])
def test_a_routine_goes_into_reserved_for_os_when_it_fits(length: int, fits: bool) -> None:
    trace = booted(bringup.NO_LOW, trampoline=Trampoline(length=length))
    placed = [(one.value, one.width) for one in noted(trace, Kind.ALLOC, "trampoline")]
    assert placed == ([(BASE + 16, length)] if fits else [])
    codes = [back.value for _, back in answers(trace, "online") if back]
    assert codes == ([0, 0, 0] if fits else [-12, -12, -12])
    assert {vector for _, _, vector in sent(trace)} == ({BASE + 16 + 0x40} if fits else set())


def test_a_processor_that_is_slow_lands_and_lives_after_its_start_has_returned() -> None:
    trace = booted(bringup.SLOW)
    returned = [back.time for _, back in answers(trace, "online") if back]
    landed = [one.time for one in trace.of(Kind.LANDING)]
    alive = [one.time for one in trace.of(Kind.ALIVE)]
    assert len(returned) == len(landed) == len(alive) == 3
    assert alive[-1] == landed[-1] > returned[-1]


def test_a_boot_tells_what_memory_the_loops_need() -> None:
    assert "mailbox" in {one.name for one in booted(bringup.THREE).regions}


def test_a_processor_that_is_parked_only_jumps_without_test() -> None:
    system = document.decode(load_system("os-reference"), System)
    trace = booted(giveback.OFFLINE, reset=attrs.evolve(system.reset, tests=False))
    first = trace.of(Kind.RESET)[0]
    later = next(one for one in trace.events if one.kind is Kind.RETURN and one.time > first.time)
    assert later.value == 0
    assert not [one for one, apic, _ in sent(trace, 2) if apic == first.value and one.time < later.time]


def test_a_lost_processor_answers_no_test_and_its_environment_is_kept() -> None:
    trace = booted(giveback.SILENT)
    (asked, back), *_ = answers(trace, "offline")
    assert (asked.target, back and back.value) == (1, -110)
    assert [one.target for one in noted(trace, Kind.FREE, "reset environment")] == []
    assert not [one for one in acknowledged(trace) if back and asked.time < one.time < back.time]
    assert trace.stuck


# Findings


def test_an_acknowledgement_after_the_wait_was_given_up_is_nobody_s_to_notice() -> None:
    page = bytes(4096)
    events = (
        Event(1, 0, Kind.REQUEST, value=1, target=1, vector=0x9A000),
        Event(2, 0, Kind.STORE, 0, 2, 1),
        Event(3, 0, Kind.RETURN, value=-110),
        Event(4, 1, Kind.STORE, 0, 2, 0),
    )
    trace = Trace((0, 1), events, page, page, 9)
    assert judged("ORD-02", shown(lambda _: trace)).verdict is Verdict.INCONCLUSIVE


STEPS = st.lists(
    st.builds(
        Touch,
        st.sampled_from(["execute", "read", "write", "stack", "push", "lgdt", "lidt", "far-jump", "sti"]),
        st.integers(0, 0x1100),
        st.integers(1, 16),
    ),
    min_size=1,
    max_size=6,
)


def routine(trace: Trace, touches: list[Touch]) -> Trace:
    """Return the trace with other steps of each processor in place of those that it has."""
    events = []
    for one in trace.events:
        if one.kind is Kind.LANDING:
            base = one.value & -0x1000
            steps = [
                Event(one.time, one.agent, Kind.ROUTINE, value=base + t.at, width=t.width, note=t.what) for t in touches
            ]
            events += [one, *steps]
        elif one.kind is not Kind.ROUTINE or one.agent == 0:
            events.append(one)
    return attrs.evolve(trace, events=tuple(events))


@given(STEPS)
def test_a_routine_is_judged_by_each_of_its_steps(touches: list[Touch]) -> None:
    evidence = shown(lambda trace: routine(trace, touches))
    names = [one.what for one in touches]
    expected = {
        "SND-15": all(one.at + one.width <= 0x1000 for one in touches),
        "SND-17": all(
            need in names[: names.index(name)]
            for name, need in (("push", "stack"), ("far-jump", "lgdt"))
            if name in names
        ),
        "SND-18": "sti" not in names or "lidt" in names[: names.index("sti")],
    }
    for id, good in expected.items():
        assert judged(id, evidence).verdict is (Verdict.PASS if good else Verdict.FAIL)
