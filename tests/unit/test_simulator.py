"""The simulator on hand-written cases: what each engine does, what it skips, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest

from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.model.agent import PAGE, load_agent
from mpwake.model.core import MEMORY
from mpwake.model.program import Program, compile_node
from mpwake.model.simulator import Simulation, schedule_of, simulate, simulate_ticks
from mpwake.spec.document import parse
from support.cli import environment

EVERY_MEMORY = pytest.mark.parametrize("memory", MEMORY)
EVERY_ENGINE = pytest.mark.parametrize("engine", [simulate, simulate_ticks])
PARKED = "entry: park\npark: park\n"
COMMAND, APIC_ID, VECTOR, RESERVED = 0, 4, 8, 2
WAKE, RESET, SETTLE = 1, 5, 6  # what the tester is asked for


def agent(*lines: str, more: str = "") -> Program:
    """Return a compiled agent from the lines of its program."""
    text = f"name: a\ntitle: An agent\nrole: receiver\n{more}program:\n"
    return compile_node(parse(text + "".join(f"  - {line}\n" for line in lines), "a.yaml"))


def shipped(name: str) -> Program:
    """Return an agent that comes with the suite."""
    return compile_node(load_agent(name))


def poller(*after: str, tries: str = "", before: Sequence[str] = ()) -> Program:
    """Return a sender that wakes and polls for the acknowledgement, for ever or so many times."""
    return agent(
        *before,
        "label: top",
        "next: {op: op, target: target, vector: vector, none: end}",
        f"set: {{to: left, value: {tries or 0}}}",
        "store: {to: WakeupVector, value: vector}",
        "store: {to: ApicId, value: target}",
        "store: {to: Command, value: 1, release: true}",
        f"poll: {{from: Command, until: [eq, 0], to: taken{', tries: left' if tries else ''}}}",
        "return: -5",
        "branch: {to: top}",
        "label: taken",
        *after,
        "return: 0",
        "branch: {to: top}",
        "label: end",
        "halt: true",
    )


DEAD = agent("die: true")
IDLE = agent("halt: true")
OS = poller()


def wakes(*ids: int) -> tuple[tuple[int, int, int], ...]:
    """Return a request for each processor, to land at 0x1000 times its APIC ID."""
    return tuple((WAKE, id, id << 12) for id in ids)


def landings(trace: Trace) -> list[tuple[int, int]]:
    """Return who landed where, by agent number."""
    return [(one.agent, one.value) for one in trace.of(Kind.LANDING)]


def returns(trace: Trace) -> list[int]:
    return [one.value for one in trace.of(Kind.RETURN)]


def polls(trace: Trace) -> list[Event]:
    """Return the sender's loads of Command."""
    return [one for one in trace.of(Kind.LOAD) if one.agent == SENDER and one.offset == COMMAND]


# Stores


STORES = (
    "store: {to: ApicId, value: 7}",
    "store: {to: WakeupVector, value: 8}",
    "store: {to: Command, value: 1, release: true}",
    "store: {to: Reserved, value: 9}",
)


def orders(memory: str) -> set[tuple[int, ...]]:
    """Return the orders in which four stores become visible, over some seeds."""
    runs = (simulate(Simulation((agent(*STORES), IDLE), (0, 1), (), memory, seed)) for seed in range(60))
    return {tuple(one.offset for one in trace.stores(SENDER)) for trace in runs}


@pytest.mark.parametrize("memory", ["sc", "tso"])
def test_stores_become_visible_in_the_order_of_the_program(memory: str) -> None:
    assert orders(memory) == {(APIC_ID, VECTOR, COMMAND, RESERVED)}


def test_relaxed_stores_overtake_each_other_and_a_release_overtakes_none() -> None:
    found = orders("relaxed")
    assert {len(order) for order in found} == {4}
    assert all(order.index(COMMAND) > max(order.index(APIC_ID), order.index(VECTOR)) for order in found)
    assert any(order.index(VECTOR) < order.index(APIC_ID) for order in found)
    assert any(order.index(APIC_ID) < order.index(VECTOR) for order in found)
    assert any(order.index(RESERVED) < order.index(COMMAND) for order in found)  # a later one may pass a release


def test_without_a_buffer_a_store_is_visible_at_the_step_that_makes_it() -> None:
    one = Simulation((agent(*STORES), IDLE), (0, 1), (), "sc", seed=3)
    period, phase, _ = schedule_of(one)[SENDER].tolist()
    assert [event.time for event in simulate(one).events] == [phase + number * period for number in range(4)]


@pytest.mark.parametrize("memory", ["tso", "relaxed"])
def test_a_buffered_store_is_visible_after_its_agent_has_ended(memory: str) -> None:
    trace = simulate(Simulation((agent("store: {to: Command, value: 1}", "die: true"), IDLE), (0, 1), (), memory))
    assert [(one.kind, one.value) for one in trace.events] == [(Kind.STORE, 1)]
    assert trace.after[:2] == b"\1\0"
    assert not trace.stuck


# How a run ends


@EVERY_MEMORY
def test_a_dead_ap_and_a_poll_without_bound_end_as_stuck(memory: str) -> None:
    trace = simulate(Simulation((OS, DEAD), (0, 1), wakes(1), memory, budget=100))
    assert (trace.stuck, trace.spent) == (True, False)
    assert (landings(trace), returns(trace)) == ([], [])
    assert trace.after[:2] == b"\1\0"


@EVERY_MEMORY
def test_a_request_for_nobody_is_stuck_however_many_processors_wait(memory: str) -> None:
    trace = simulate(Simulation((OS, *[shipped("acpi-6.6")] * 40), tuple(range(41)), wakes(99), memory, budget=1000))
    assert (trace.stuck, trace.spent, landings(trace)) == (True, False, [])


@EVERY_MEMORY
@pytest.mark.parametrize("tries", [1, 2, 255, 10**12])
def test_a_bounded_poll_ends_with_its_code_after_exactly_its_polls(memory: str, tries: int) -> None:
    trace = simulate(Simulation((poller(tries=str(tries)), DEAD), (0, 1), wakes(1), memory, budget=100))
    assert (trace.stuck, trace.spent, returns(trace)) == (False, False, [-5])
    assert sum(one.count for one in polls(trace)) == tries
    assert {one.value for one in polls(trace)} == {1}


def test_the_testers_time_out_is_its_four_hundred_polls() -> None:
    trace = simulate(Simulation((shipped("tester"), DEAD), (0, 1), wakes(1)))
    assert sum(one.count for one in polls(trace)) == 400
    assert returns(trace) == [-110]


def test_every_request_is_waited_for_in_its_own_right() -> None:
    trace = simulate(Simulation((poller(tries="7"), shipped("acpi-6.4")), (0, 1), wakes(8, 1, 9), pace=1, memory="sc"))
    counts: list[int] = []
    for one in trace.events:
        if one.kind is Kind.REQUEST:
            counts.append(0)
        elif one in polls(trace):
            counts[-1] += one.count
    assert returns(trace) == [-5, -5, -5]
    assert (counts[0], counts[2]) == (7, 7)


def replayed(trace: Trace) -> bytes:
    """Return the page that the visible stores make of the page at hand-off."""
    page = bytearray(trace.before)
    for one in trace.stores():
        page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
    return bytes(page)


@EVERY_ENGINE
@EVERY_MEMORY
def test_a_trace_without_room_is_spent_and_its_last_event_is_the_one_that_had_none(engine: Any, memory: str) -> None:
    one = Simulation((OS, shipped("acpi-6.6")), (0, 1), wakes(1), memory)
    whole = engine(one)
    assert not whole.spent
    for rows in range(1, len(whole.events)):
        cut = engine(attrs.evolve(one, rows=rows))
        assert (cut.spent, cut.stuck, len(cut.events)) == (True, False, rows + 1)
        assert [event.time for event in cut.events] == [event.time for event in whole.events[: rows + 1]]
        assert cut.end == cut.events[-1].time
        assert replayed(cut) == cut.after
    assert engine(attrs.evolve(one, rows=len(whole.events))) == whole


def test_a_budget_that_ends_first_is_spent() -> None:
    endless = agent("label: top", "branch: {to: top}")
    trace = simulate(Simulation((endless, IDLE), (0, 1), (), budget=500))
    assert (trace.spent, trace.stuck, trace.events) == (True, False, ())


# What is skipped


@EVERY_MEMORY
@pytest.mark.parametrize("seed", range(6))
def test_polls_are_counted_and_not_made(memory: str, seed: int) -> None:
    # The operation behind the delay does nothing, so that it does not matter which of the two waits.
    slow = agent("delay: 10000", "set: {to: x, value: 0}", "store: {to: Command, value: 0}", "halt: true")
    one = Simulation((OS, slow), (0, 1), wakes(1), memory, seed, budget=100)
    period = int(schedule_of(one)[SENDER, 0])
    trace = simulate(one)
    assert (trace.spent, returns(trace)) == (False, [0])
    *failed, last = polls(trace)  # its own stores, as they become visible, come between them
    assert {event.value for event in failed} == {1}
    assert (last.value, last.count) == (0, 1)
    for event in polls(trace):
        assert event.count == (event.until - event.time) / period + 1
    assert max(event.count for event in failed) > 1000
    assert sum(event.count for event in failed) == (last.time - failed[0].time) / period
    (cleared,) = trace.stores(1)
    assert failed[-1].until <= cleared.time <= last.time


def test_idle_time_costs_no_steps() -> None:
    def told(gap: int) -> Trace:
        one = Simulation((poller(f"delay: {gap}"), *[shipped("acpi-6.6")] * 4), (0, 1, 2, 3, 4), wakes(3, 1, 4))
        return simulate(attrs.evolve(one, budget=300))

    short, long = told(50), told(10**9)
    assert not short.spent
    assert not long.spent
    assert long.end > 3 * 10**9
    assert landings(long) == landings(short) == [(3, 0x3000), (1, 0x1000), (4, 0x4000)]
    assert len(long.events) == len(short.events)


def test_processors_that_only_wait_cost_no_steps() -> None:
    for count in (2, 500):
        one = Simulation((OS, *[shipped("acpi-6.6")] * count), tuple(range(count + 1)), wakes(2), budget=100)
        assert landings(simulate(one)) == [(2, 0x2000)]


# Who acts


def test_reset_brings_a_landed_processor_back_to_its_loop() -> None:
    requests = ((WAKE, 4, 0x1000), (SETTLE, 0, 50), (RESET, 4, 0), (WAKE, 4, 0x2000), (WAKE, 6, 0x3000))
    trace = simulate(Simulation((shipped("tester"), *[shipped("acpi-6.6")] * 2), (0, 4, 6), requests))
    assert landings(trace) == [(1, 0x1000), (1, 0x2000), (2, 0x3000)]
    assert [one.value for one in trace.of(Kind.RESET)] == [4]
    assert returns(trace) == [0] * 5


def test_reset_does_nothing_to_a_loop_that_has_no_label_for_it() -> None:
    requests = ((WAKE, 4, 0x1000), (SETTLE, 0, 50), (RESET, 4, 0), (WAKE, 4, 0x2000))
    trace = simulate(Simulation((shipped("tester"), shipped("acpi-6.4")), (0, 4), requests))
    assert (landings(trace), trace.of(Kind.RESET), returns(trace)) == ([(1, 0x1000)], (), [0, 0, 0, -110])


def test_processors_with_one_apic_id_both_act() -> None:
    silent = agent(
        "label: park",
        "load: {to: id, from: ApicId}",
        "branch: {if: [id, ne, self], to: park}",
        "load: {to: vector, from: WakeupVector}",
        "jump: vector",
        more=PARKED,
    )
    trace = simulate(Simulation((OS, *[silent] * 4), (0, 5, 6, 5, 0x80000005), wakes(5)))
    assert sorted(landings(trace)) == [(1, 0x5000), (3, 0x5000)]


def test_processors_run_programs_of_their_own() -> None:
    names = ("acpi-6.4", "td-shim", "acpi-6.6", "td-shim", "edk2-2022", "acpi-6.4")
    programs = {name: shipped(name) for name in names}
    for seed in range(5):
        one = Simulation(
            (shipped("tester"), *[programs[name] for name in names]), (0, 6, 5, 4, 3, 2, 1), wakes(*range(1, 7))
        )
        trace = simulate(attrs.evolve(one, seed=seed))
        assert landings(trace) == [(7 - id, id << 12) for id in range(1, 7)]
        assert returns(trace) == [0] * 6
        assert {event.agent: event.width for event in trace.stores() if event.agent != SENDER} == {
            number + 1: 2 if name.startswith("acpi") else 8 for number, name in enumerate(names)
        }


def test_a_loop_that_compares_its_number_is_woken_by_its_number() -> None:
    trace = simulate(Simulation((shipped("tester"), *[shipped("oak-stage0")] * 3), (0, 7, 9, 1), wakes(1, 3, 7)))
    assert landings(trace) == [(1, 0x1000), (3, 0x3000)]
    assert returns(trace) == [0, 0, -110]


HEAD = (
    "label: park",
    "load: {to: command, from: Command}",
    "branch: {if: [command, eq, 1], to: asked}",
    "set: {to: idled, value: 1}",
    "branch: {to: park}",
    "label: asked",
)
ID = "load: {to: id, from: ApicId}"
TAIL = (
    "load: {to: command, from: Command}",
    "branch: {if: [command, ne, 1], to: park}",
    "load: {to: vector, from: WakeupVector}",
    "store: {to: Command, value: 0}",
    "jump: vector",
)
# Each takes what the plain loop takes, in a way that is not seen from the outside of one iteration.
UNFOLLOWED = {
    "a sum with the own APIC ID": (
        "set: {to: me, value: self}",
        "add: {to: me, value: 1}",
        ID,
        "add: {to: id, value: 1}",
        "branch: {if: [id, ne, me], to: park}",
    ),
    "an unsigned comparison": (
        ID,
        "branch: {if: [id, lt, self], to: park}",
        "branch: {if: [self, lt, id], to: park}",
    ),
    "its number beside its APIC ID": (
        ID,
        "set: {to: both, value: index}",
        "branch: {if: [both, ge, 100], to: park}",
        "branch: {if: [id, ne, self], to: park}",
    ),
    "a count of its iterations": (
        ID,
        "branch: {if: [id, ne, self], to: park}",
        "add: {to: seen, value: 1}",
        "branch: {if: [seen, lt, 3], to: park}",
    ),
    "a poll in the middle": (
        ID,
        "branch: {if: [id, ne, self], to: park}",
        "poll: {from: ApicId, until: [eq, self], to: mine}",
        "label: mine",
    ),
    "its own APIC ID on both sides": (
        "set: {to: me, value: self}",
        "branch: {if: [me, ne, self], to: park}",
        ID,
        "branch: {if: [id, ne, self], to: park}",
    ),
    "a register that only the iteration before has written": (
        ID,
        "branch: {if: [id, ne, self], to: park}",
        "branch: {if: [armed, eq, 1], to: mine}",
        "set: {to: armed, value: 1}",
        "branch: {to: park}",
        "label: mine",
    ),
    "a register that only another way through the loop has written": (
        ID,
        "branch: {if: [id, ne, self], to: park}",
        "branch: {if: [idled, ne, 1], to: park}",
    ),
}


@EVERY_MEMORY
@pytest.mark.parametrize("name", UNFOLLOWED)
def test_a_loop_that_cannot_be_followed_is_stepped_and_lands_alike(name: str, memory: str) -> None:
    plain = agent(*HEAD, ID, "branch: {if: [id, ne, self], to: park}", *TAIL, more=PARKED)
    other = agent(*HEAD, *UNFOLLOWED[name], *TAIL, more=PARKED)
    late = poller(before=["delay: 100", "set: {to: x, value: 0}"])  # when everybody has seen an idle mailbox
    for seed in range(3):
        one = Simulation((late, *[plain] * 3), (0, 0xFFFFFFFD, 7, 0x80000001), wakes(7, 0x80000001, 0xFFFFFFFD), memory)
        expected = simulate(attrs.evolve(one, seed=seed))
        found = simulate(attrs.evolve(one, seed=seed, programs=(late, *[other] * 3)))
        assert landings(expected) == [(2, 0x7000), (3, 0x80000001000), (1, 0xFFFFFFFD000)]
        assert (landings(found), returns(found)) == (landings(expected), [0, 0, 0])
        assert not (found.stuck or found.spent)


# At the edges


@pytest.mark.parametrize("pace", [1, 8])
def test_a_delay_comes_before_the_operation_behind_it(pace: int) -> None:
    program = agent("store: {to: Reserved, value: 1}", "delay: 100", "store: {to: Reserved, value: 2}", "halt: true")
    one = Simulation((program, IDLE), (0, 1), (), "sc", pace=pace)
    first, second = (event.time for event in simulate(one).stores())
    assert second - first == (1 + 100 + 1) * schedule_of(one)[SENDER, 0]


@pytest.mark.parametrize("steps", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1000, (1 << 64) - 1])
def test_a_delay_that_outlasts_all_time_is_not_over(steps: int) -> None:
    program = agent(
        "store: {to: Reserved, value: 1}",
        f"delay: {steps}",
        "set: {to: x, value: 0}",
        "store: {to: Reserved, value: 2}",
        "halt: true",
    )
    trace = simulate(Simulation((program, IDLE), (0, 1), (), "sc", budget=1000))
    assert [event.value for event in trace.stores()] == [1]
    assert trace.end >= trace.events[-1].time


@EVERY_MEMORY
@pytest.mark.parametrize("pace", [1, 8])
@pytest.mark.parametrize("tries", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1])
def test_a_poll_that_outlasts_all_time_is_one_without_bound(memory: str, pace: int, tries: int) -> None:
    trace = simulate(Simulation((poller(tries=str(tries)), DEAD), (0, 1), wakes(1), memory, pace=pace, budget=1000))
    assert (trace.stuck, trace.spent, returns(trace)) == (True, False, [])
    assert all(0 <= one.time <= one.until <= trace.end for one in trace.events)


@pytest.mark.parametrize("tries", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_of_a_poll_that_outlasts_all_time_those_before_an_answer_are_counted(tries: int) -> None:
    slow = agent(f"delay: {10**15}", "set: {to: x, value: 0}", "store: {to: Command, value: 0}", "halt: true")
    sender = poller("store: {to: WakeupVector, value: left}", tries=str(tries))
    trace = simulate(Simulation((sender, slow), (0, 1), wakes(1), "sc", budget=1000))
    assert (trace.stuck, trace.spent, returns(trace)) == (False, False, [0])
    failed = sum(one.count for one in polls(trace) if one.value)
    assert failed > 10**14
    assert trace.stores(SENDER)[-1].value == tries - failed


@pytest.mark.parametrize("seed", range(4))
def test_a_budget_that_ends_among_skipped_polls_ends_after_them(seed: int) -> None:
    slow = agent("delay: 10000", "set: {to: x, value: 0}", "store: {to: Command, value: 0}", "halt: true")
    for budget in range(8, 20):
        trace = simulate(Simulation((OS, slow), (0, 1), wakes(1), "sc", seed, budget=budget))
        assert all(one.until <= trace.end for one in trace.events)
        if any(one.count > 1000 for one in trace.events) and trace.spent:
            break
    else:
        pytest.fail("no budget ended among skipped polls")


def test_of_processors_with_one_apic_id_the_one_that_was_reset_goes_on() -> None:
    by_number = agent(
        "label: park",
        "load: {to: command, from: Command}",
        "branch: {if: [command, ne, index], to: park}",
        "store: {to: Command, value: 0}",
        "jump: index",
        more=PARKED + "reset: park\n",
    )
    command, wait = "store: {to: Command, value: 2}", ("set: {to: x, value: 0}", "delay: 200", "set: {to: x, value: 0}")
    sender = agent(command, *wait, "reset: 5", *wait, command, *wait, "halt: true")
    trace = simulate(Simulation((sender, by_number, by_number), (0, 5, 5), (), "sc"))
    assert [one.value for one in trace.of(Kind.RESET)] == [5]
    assert landings(trace) == [(2, 2), (2, 2)]


def test_a_processor_is_reset_again_and_again_while_its_stores_are_buffered() -> None:
    # In a process of its own and without the compiler: compiled code writes behind the end of the list.
    run = subprocess.run(
        [sys.executable, "-c", RESETS],
        env=environment(NUMBA_DISABLE_JIT="1"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


RESETS = """
from mpwake.model.program import compile_node
from mpwake.model.simulator import Simulation, simulate
from mpwake.spec.document import parse

def agent(*lines):
    text = "name: a\\ntitle: An agent\\nrole: receiver\\nreset: top\\nprogram:\\n"
    return compile_node(parse(text + "".join(f"  - {line}\\n" for line in lines), "a.yaml"))

sender = agent("label: top", "reset: 5", "branch: {to: top}")
lands = agent("label: top", "store: {to: Command, value: 2}", "jump: 1")
for seed in range(20):
    assert simulate(Simulation((sender, lands), (0, 5), (), "tso", seed=seed, budget=3000)).spent
"""


def test_a_poll_counts_no_load_that_satisfies_it_though_it_goes_to_itself() -> None:
    sender = agent(
        "set: {to: left, value: 100}",
        "label: here",
        "poll: {from: Command, until: [eq, 0], to: here, tries: left}",
        "halt: true",
    )
    slow = agent("delay: 500", "set: {to: x, value: 0}", "store: {to: Command, value: 1}", "halt: true")
    trace = simulate(Simulation((sender, slow), (0, 1), (), "sc"))
    assert [one.value for one in polls(trace)] == [0, 1]
    assert polls(trace)[1].count == 100


# Seeds


def traced(engine: Any, seed: int) -> Trace:
    """Run a boot of three processors that takes every schedule differently."""
    programs = (shipped("tester"), *[shipped("acpi-6.6")] * 3)
    trace: Trace = engine(Simulation(programs, (0, 1, 0x1FF, 3), wakes(0x1FF, 3, 1), "relaxed", seed))
    return trace


@EVERY_ENGINE
def test_a_seed_is_a_trace(engine: Any) -> None:
    traces = [traced(engine, seed) for seed in range(8)]
    assert traces == [traced(engine, seed) for seed in range(8)]
    assert len({trace.events for trace in traces}) == 8
    assert {tuple(landings(trace)) for trace in traces} == {((2, 0x1FF000), (3, 0x3000), (1, 0x1000))}


def test_the_pace_of_each_agent_comes_from_the_seed_and_keeps_to_its_bounds() -> None:
    one = Simulation((OS, *[IDLE] * 999), tuple(range(1000)), (), pace=5)
    schedule = schedule_of(one)
    assert schedule.shape == (1000, 3)
    assert [set(column) for column in schedule.T.tolist()] == [
        set(range(1, 6)),
        set(range(6)),
        set(range(1, 11)),
    ]
    assert np.array_equal(schedule, schedule_of(one))
    assert not np.array_equal(schedule, schedule_of(attrs.evolve(one, seed=1)))


# Tick by tick


@EVERY_MEMORY
def test_tick_by_tick_a_boot_finishes_and_is_recorded(memory: str) -> None:
    one = Simulation((shipped("tester"), *[shipped("acpi-6.4")] * 2), (0, 1, 2), wakes(2, 1), memory)
    trace = simulate_ticks(one)
    assert (trace.stuck, trace.spent) == (False, False)
    assert landings(trace) == [(2, 0x2000), (1, 0x1000)]
    assert returns(trace) == [0, 0]
    assert [event.offset for event in trace.stores(SENDER) if event.offset == COMMAND] == [COMMAND] * 2
    assert [(event.agent, event.width, event.value) for event in trace.stores() if event.agent] == [
        (2, 2, 0),
        (1, 2, 0),
    ]
    assert [event.target for event in trace.of(Kind.REQUEST)] == [2, 1]
    assert 0 <= trace.events[0].time <= trace.events[-1].time <= trace.end < one.budget
    assert trace.before == b"\0\0\0\0\xff\xff\xff\xff".ljust(PAGE, b"\0")


def test_tick_by_tick_a_boot_that_never_ends_is_spent() -> None:
    trace = simulate_ticks(Simulation((OS, DEAD), (0, 1), wakes(1), budget=2000))
    assert (trace.spent, trace.stuck, trace.end) == (True, False, 1999)
    assert sum(one.count for one in polls(trace)) > 500


def test_tick_by_tick_a_trace_without_rows_records_nothing() -> None:
    one = Simulation((shipped("tester"), *[shipped("acpi-6.6")] * 2), (0, 1, 2), wakes(2, 1))
    whole, silent = simulate_ticks(one), simulate_ticks(attrs.evolve(one, rows=0))
    assert (silent.spent, silent.events, silent.end, silent.after) == (False, (), whole.end, whole.after)


# Without numba's compiler


SCRIPT = """
import json, attrs
from mpwake.model.agent import load_agent
from mpwake.model.program import compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks

tester, loop = (compile_node(load_agent(name)) for name in ("tester", "acpi-6.6"))
requests = ((1, 6, 0x123456789000), (6, 0, 60), (5, 6, 0), (2, 6, 0), (1, 0xFFFFFFFD, 0x2000), (1, 9, 0))
one = Simulation((tester, loop, loop), (0, 0xFFFFFFFD, 6), requests, "relaxed", 5)
kind = lambda _of, _field, value: getattr(value, "value", value)
traces = (simulate(one), simulate_ticks(one))
print(json.dumps([attrs.asdict(trace, value_serializer=kind)["events"] for trace in traces]))
"""


def events_of(**variables: str) -> Any:
    """Return what both engines tell in a process of its own, as JSON."""
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=300, check=True)
    return json.loads(run.stdout)


def test_plain_python_gives_the_same_traces_as_compiled_code() -> None:
    compiled, plain = events_of(), events_of(NUMBA_DISABLE_JIT="1")
    assert [len(events) > 40 for events in compiled] == [True, True]
    assert compiled == plain
