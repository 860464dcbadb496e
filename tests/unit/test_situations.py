"""Which checks a trial can be judged by: each probe is its own situation, and what resembles none is none."""

import attrs
import pytest

from mpwake.checks.core import everybodys
from mpwake.checks.situations import ALL, SITUATIONS, asks, plan_of
from mpwake.model.environment import Host, Pause
from mpwake.model.probe import Poison, Probe, Request, probe
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Role

CHECKS = [one for one in everybodys() if one.role is Role.RECEIVER]
WAKE = Request("wake", 1, 0x9A000)
ANY = {"RCV-09", "ORD-10", "MEM-06"}


def trial(*requests, ids=(1, 2), edition=Edition.ACPI_6_6, **more):
    return plan_of(Probe("drawn", ids, requests, **more), edition)


def asked(*requests, **more):
    plan = trial(*requests, **more)
    return {one.id for one in CHECKS if asks(one, plan)}


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: f"{one.id} {one.then}")
def test_each_probe_is_the_situation_of_its_sentence(check):
    assert asks(check, plan_of(probe(check.when.sentence, Role.RECEIVER), Edition.ACPI_6_6))


def test_there_is_a_situation_for_each_sentence_and_no_other():
    assert set(SITUATIONS) == {one.when.sentence for one in CHECKS}


@pytest.mark.parametrize(
    "requests",
    [
        (Request("stale", 0, 1),),
        (Request("id", 1), Request("byte", 0, 1)),
        (WAKE, WAKE),
        (Request("wake", 7, 0x9A000), WAKE),
        (Request("torn", 1, 0x9A000),),
    ],
)
def test_what_was_never_arranged_is_judged_by_its_stores_alone(requests):
    assert asked(*requests) == ANY


@pytest.mark.parametrize(
    ("requests", "more"),
    [
        ((WAKE, Request("wake", 2, 0x9B000)), {"poison": (Poison(0, 2, 1),)}),
        ((WAKE,), {"host": Host(ids=(2, 1), events=False)}),
        ((Request("command", 1, 1),), {}),
    ],
)
def test_a_page_or_a_host_that_is_not_theirs_is_no_ordinary_wake(requests, more):
    assert not asked(*requests, **more) & {"RCV-01", "RCV-02", "RCV-05", "RCV-07"}


def test_wakes_in_turn_are_judged_by_what_holds_of_every_wake():
    assert {"RCV-01", "RCV-11", "RCV-06", "ORD-05", "MEM-07"} <= asked(WAKE, Request("wake", 2, 0x9B000))


def test_odd_ids_and_vectors_are_for_the_checks_that_speak_of_them():
    sparse = asked(Request("wake", 0x1FF, 0x9A000), ids=(0x1FF, 4))
    high = asked(Request("wake", 1, 0x123456789000), ids=(1,))
    assert "RCV-02" in sparse
    assert "RCV-05" in high
    assert not sparse & {"RCV-05", "RCV-07", "RCV-17", "MEM-10"}
    assert not high & {"RCV-02", "RCV-07", "RCV-17", "MEM-10"}


@pytest.mark.parametrize(("edition", "reserved"), [(Edition.ACPI_6_4, True), (Edition.ACPI_6_6, False)])
def test_command_2_is_reserved_where_the_edition_does_not_define_it(edition, reserved):
    requests = (Request("command", 1, 2), Request("clear"), WAKE, Request("wake", 2, 0x9A000))
    assert ("RCV-10" in asked(*requests, edition=edition)) is reserved


def test_nobody_is_lost_by_it_can_be_said_only_after_a_roll_call():
    sent = (Request("command", 1, 3), Request("clear"), WAKE)
    assert "RCV-10" not in asked(*sent)
    assert "RCV-10" in asked(*sent, Request("wake", 2, 0x9A000))


def test_a_broadcast_is_judged_where_all_vectors_are_one():
    sent = (Request("wake", ALL, 0x9A000), Request("clear"), WAKE)
    assert "RCV-20" in asked(*sent, Request("wake", 2, 0x9A000))
    assert "RCV-20" not in asked(*sent, Request("wake", 2, 0x9B000))


def test_pauses_leave_what_holds_of_any_order():
    plan = trial(WAKE, Request("wake", 2, 0x9B000), host=Host(pauses=(Pause("acknowledgement", 40),)))
    claims = {one.then for one in CHECKS if asks(one, plan)}
    assert "each lands at the vector of its own command, however late" in claims
    assert "it still lands at the vector of its command" not in claims


def test_a_plan_knows_who_runs_and_what_is_pending():
    plan = trial(WAKE, WAKE, Request("clear"), Request("reset", 1), WAKE)
    assert [(one.state, one.pending) for one in plan.steps] == [
        ("parked", 0),
        ("running", 0),
        ("", 1),
        ("running", 0),
        ("parked", 0),
    ]


@pytest.mark.parametrize(
    ("requests", "racy"),
    [
        ((Request("wake", 7, 0x9A000), WAKE), True),
        ((Request("wake", 7, 0x9A000), Request("clear"), WAKE), False),
        ((Request("command", 1, 3), WAKE), False),
        ((Request("stale", 0, 1), Request("id", 1)), False),
        ((Request("id", 1), Request("byte", 0, 1), WAKE), False),
    ],
)
def test_fields_under_a_command_that_somebody_may_take_are_a_race(requests, racy):
    assert trial(*requests).racy is racy


def test_a_reset_takes_the_command_that_waits():
    plan = trial(WAKE, attrs.evolve(WAKE, value=0x9B000), Request("reset", 1), WAKE)
    assert [one.state for one in plan.steps] == ["parked", "running", "running", "running"]
