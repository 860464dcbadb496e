"""Properties of the simulator: a boot of any topology, in any order, at any pace, is what was asked for.

The operating system is the suite's tester, the AP loops are those that keep to the specification.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import attrs
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from mpwake.evidence.trace import SENDER, Event, Kind, Trace
from mpwake.model.agent import FIELDS, PAGE, load_agent
from mpwake.model.core import MEMORY
from mpwake.model.program import Program, compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks

WAKE = 1
LOOPS = ("acpi-6.6", "acpi-6.4")
COMMAND, APIC_ID, VECTOR = (FIELDS[name] for name in ("Command", "ApicId", "WakeupVector"))
# At a pace of 16 the slowest processor still answers long before the tester's 400 polls are over, and a processor
# that has acknowledged leaves before the next one can.
SLOWEST = 16
SEEDS = 201
Engine = Callable[[Simulation], Trace]
ENGINES = pytest.mark.parametrize("engine", [simulate, simulate_ticks])


@functools.cache
def shipped(name: str) -> Program:
    """Return an agent that comes with the suite."""
    return compile_node(load_agent(name))


@functools.cache
def careless() -> Program:
    """Return the tester with every release of its stores to Command taken away."""
    node = load_agent("tester")
    stores = [line.value["store"] for line in node.value["program"].value if "store" in line.value]
    releases = [one for one in stores if one.value.pop("release", None)]
    assert releases
    assert all(one.value["to"].value == "Command" for one in releases)
    return compile_node(node)


def replaced(program: Program) -> Callable[[Simulation], Simulation]:
    """Return what puts another sender in place of the tester."""
    return lambda one: attrs.evolve(one, programs=(program, *one.programs[1:]))


APIC_IDS = (
    st.integers(1, 0xFFFFFFFE) | st.integers(1, 6) | st.sampled_from((0xFF, 0x1FF, 0x80000000, 0xFFFFFFFD))
)
VECTORS = st.integers(1, (1 << 52) - 1).map(lambda page: page << 12) | st.sampled_from((0, 0xFFFFFFFFFFFFFFFF))


@st.composite
def boots(draw: st.DrawFn) -> Simulation:
    """Draw a topology, which of its processors are woken and in which order, and everything that sets the pace."""
    ids = draw(st.lists(APIC_IDS, min_size=1, max_size=6, unique=True))
    order = draw(st.permutations(ids))[: draw(st.integers(1, len(ids)))]
    return Simulation(
        programs=(shipped("tester"), *[shipped(draw(st.sampled_from(LOOPS)))] * len(ids)),
        ids=(0, *ids),
        requests=tuple((WAKE, id, draw(VECTORS)) for id in order),
        memory=draw(st.sampled_from(MEMORY)),
        seed=draw(st.integers(0, (1 << 32) - 1)),
        pace=draw(st.integers(1, SLOWEST)),
    )


def asked(one: Simulation) -> list[tuple[int, int]]:
    """Return who shall land where, by agent number, in order."""
    return [(one.ids.index(id), vector) for _, id, vector in one.requests]


def field(page: bytes, place: tuple[int, int]) -> int:
    offset, width = place
    return int.from_bytes(page[offset : offset + width], "little")


# Landings


def holds_what_was_asked(one: Simulation, trace: Trace) -> None:
    """Assert that the asked processors landed and the mailbox is idle, with the last request in it."""
    assert not (trace.stuck or trace.spent)
    assert [(event.agent, event.value) for event in trace.of(Kind.LANDING)] == asked(one)
    assert [event.value for event in trace.of(Kind.RETURN)] == [0] * len(one.requests)
    _, id, vector = one.requests[-1]
    assert (field(trace.after, COMMAND), field(trace.after, APIC_ID), field(trace.after, VECTOR)) == (0, id, vector)


FAR = Simulation((shipped("tester"), *[shipped("acpi-6.6")] * 3), (0, 0xFFFFFFFD, 1, 0x1FF), ())
FAR = attrs.evolve(FAR, requests=((WAKE, 0x1FF, 0x1000), (WAKE, 0xFFFFFFFD, 0xFFFFFFFFFFFFFFFF), (WAKE, 1, 0)))


@ENGINES
@given(boots())
@example(FAR)
@example(attrs.evolve(FAR, memory="relaxed", pace=SLOWEST))
def test_exactly_the_asked_processors_land_each_once_in_order_at_its_vector(engine: Engine, one: Simulation) -> None:
    event(f"{len(one.requests)} of {len(one.ids) - 1} processors")
    holds_what_was_asked(one, engine(one))


@given(boots(), st.data())
def test_a_processor_that_nobody_has_times_out_and_the_others_still_land(one: Simulation, data: st.DataObject) -> None:
    absent = data.draw(APIC_IDS.filter(lambda id: id not in one.ids))
    at = data.draw(st.integers(0, len(one.requests)))
    requests = (*one.requests[:at], (WAKE, absent, 0x1000), *one.requests[at:])
    trace = simulate(attrs.evolve(one, requests=requests))
    assert [(event.agent, event.value) for event in trace.of(Kind.LANDING)] == asked(one)
    codes = [event.value for event in trace.of(Kind.RETURN)]
    assert codes == [-110 if number == at else 0 for number in range(len(requests))]


# The order of the sender's stores


def early(trace: Trace) -> list[Event]:
    """Return the sender's commands that became visible before their ApicId or WakeupVector did."""
    written: set[tuple[int, int]] = set()
    found = []
    for one in trace.stores(SENDER):
        written.add((one.offset, one.width))
        if (one.offset, one.width) == COMMAND and one.value == 1:
            if not {APIC_ID, VECTOR} <= written:
                found.append(one)
            written.clear()
    return found


@ENGINES
@given(boots())
def test_a_command_becomes_visible_after_what_it_speaks_of(engine: Engine, one: Simulation) -> None:
    trace = engine(one)
    assert len([store for store in trace.stores(SENDER) if store.offset == COMMAND[0]]) == len(one.requests)
    assert early(trace) == []


def without_release(memory: str) -> Iterator[Simulation]:
    one = attrs.evolve(replaced(careless())(FAR), memory=memory)
    return (attrs.evolve(one, seed=seed) for seed in range(SEEDS))


@ENGINES
def test_without_a_release_a_command_is_sometimes_early_in_the_relaxed_model(engine: Engine) -> None:
    assert next((one.seed for one in without_release("relaxed") if early(engine(one))), None) is not None


@ENGINES
@pytest.mark.parametrize("memory", ["sc", "tso"])
def test_without_a_release_a_command_is_never_early_where_stores_keep_their_order(engine: Engine, memory: str) -> None:
    assert [one.seed for one in without_release(memory) if early(engine(one))] == []


@ENGINES
@given(boots())
def test_without_a_release_no_command_is_early_under_tso(engine: Engine, one: Simulation) -> None:
    assert early(engine(replaced(careless())(attrs.evolve(one, memory="tso")))) == []


# The trace


def replayed(trace: Trace) -> bytes:
    """Return the page that the visible stores make of the page at hand-off."""
    page = bytearray(trace.before)
    for one in trace.stores():
        page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
    return bytes(page)


def is_well_formed(trace: Trace) -> None:
    """Assert what holds of any trace, whatever was run."""
    times = [one.time for one in trace.events]
    assert times == sorted(times)
    for one in trace.events:
        assert 0 <= one.time <= one.until <= trace.end
        assert one.count >= 1
        assert one.kind is Kind.LOAD or (one.count, one.until) == (1, one.time)
        assert 0 <= one.agent < len(trace.ids)
        if one.kind in (Kind.LOAD, Kind.STORE):
            assert 0 <= one.offset <= one.offset + one.width <= PAGE
            assert 0 <= one.value < 1 << 8 * one.width
    assert len(trace.before) == len(trace.after) == PAGE
    assert replayed(trace) == trace.after


@ENGINES
@given(boots(), st.sampled_from([None, "td-shim", "edk2-2022", "openhcl", "oak-stage0"]), st.booleans())
def test_a_trace_is_well_formed(engine: Engine, one: Simulation, loop: str | None, release: bool) -> None:
    programs = (shipped("tester") if release else careless(), *one.programs[1:])
    if loop is not None:
        programs = (programs[0], *[shipped(loop)] * (len(programs) - 1))
    page = bytes(range(256)) * (PAGE // 256)
    trace = engine(attrs.evolve(one, programs=programs, page=b"\0\0" + page[2:]))
    is_well_formed(trace)
    assert trace.ids == one.ids
    requests = [(event.value, event.target, event.vector) for event in trace.of(Kind.REQUEST)]
    assert requests == list(one.requests[: len(requests)])
    event("spent" if trace.spent else "stuck" if trace.stuck else "finished")


@given(boots())
def test_only_the_seed_and_the_memory_model_tell_two_runs_apart(one: Simulation) -> None:
    again = attrs.evolve(one, budget=one.budget + 1, rows=one.rows * 2)
    assert simulate(one) == simulate(again)
    assert simulate_ticks(one) == simulate_ticks(again)
