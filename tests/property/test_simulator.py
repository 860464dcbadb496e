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
CONFORMING = ("acpi-6.6", "acpi-6.4")
EVERY_LOOP = (*CONFORMING, "edk2-2022", "oak-stage0", "openhcl", "td-shim")
COMMAND, APIC_ID, VECTOR = (FIELDS[name] for name in ("Command", "ApicId", "WakeupVector"))
# At a pace of 16 the slowest processor still answers long before the tester's 400 polls are over, and a processor
# that has acknowledged leaves before the next one can.
SLOWEST = 16
IDLE = b"\0\0\0\0\xff\xff\xff\xff"
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
    assert {str(one.value["to"].plain()) for one in releases} == {"Command", "{'at': 0, 'width': 1}"}
    return compile_node(node)


@attrs.frozen
class Boot:
    """A topology, which of its processors are woken in which order, and everything that sets the pace."""

    ids: tuple[int, ...]
    requests: tuple[tuple[int, int, int], ...]
    loop: str = "acpi-6.6"
    memory: str = "tso"
    seed: int = 0
    pace: int = 8

    def simulation(self, sender: Program | None = None, page: bytes = IDLE) -> Simulation:
        programs = (sender or shipped("tester"), *[shipped(self.loop)] * len(self.ids))
        ids, requests = (0, *self.ids), self.requests
        return Simulation(programs, ids, requests, self.memory, self.seed, page, self.pace)

    @property
    def asked(self) -> list[tuple[int, int]]:
        """Who shall land where, by agent number, in order."""
        return [(1 + self.ids.index(id), vector) for _, id, vector in self.requests]


APIC_IDS = st.integers(1, 0xFFFFFFFE) | st.integers(1, 6) | st.sampled_from((0xFF, 0x1FF, 0x80000000, 0xFFFFFFFD))
VECTORS = st.integers(1, (1 << 52) - 1).map(lambda page: page << 12) | st.sampled_from((0, 0xFFFFFFFFFFFFFFFF))


@st.composite
def boots(draw: st.DrawFn, loops: tuple[str, ...] = CONFORMING) -> Boot:
    """Draw a boot."""
    ids = draw(st.lists(APIC_IDS, min_size=1, max_size=6, unique=True))
    order = draw(st.permutations(ids))[: draw(st.integers(1, len(ids)))]
    return Boot(
        ids=tuple(ids),
        requests=tuple((WAKE, id, draw(VECTORS)) for id in order),
        loop=draw(st.sampled_from(loops)),
        memory=draw(st.sampled_from(MEMORY)),
        seed=draw(st.integers(0, (1 << 32) - 1)),
        pace=draw(st.integers(1, SLOWEST)),
    )


def field(page: bytes, place: tuple[int, int]) -> int:
    offset, width = place
    return int.from_bytes(page[offset : offset + width], "little")


def landed(trace: Trace) -> list[tuple[int, int]]:
    return [(one.agent, one.value) for one in trace.of(Kind.LANDING)]


def returned(trace: Trace) -> list[int]:
    return [one.value for one in trace.of(Kind.RETURN)]


FAR = Boot((0xFFFFFFFD, 1, 0x1FF), ((WAKE, 0x1FF, 0x1000), (WAKE, 0xFFFFFFFD, 0xFFFFFFFFFFFFFFFF), (WAKE, 1, 0)))


# Landings


@ENGINES
@given(boots())
@example(FAR)
@example(attrs.evolve(FAR, memory="relaxed", pace=SLOWEST, loop="acpi-6.4"))
def test_exactly_the_asked_processors_land_each_once_in_order_at_its_vector(engine: Engine, boot: Boot) -> None:
    event(f"{len(boot.requests)} of {len(boot.ids)} processors")
    trace = engine(boot.simulation())
    assert not (trace.stuck or trace.spent)
    assert landed(trace) == boot.asked
    assert returned(trace) == [0] * len(boot.requests)
    _, id, vector = boot.requests[-1]
    assert (field(trace.after, COMMAND), field(trace.after, APIC_ID), field(trace.after, VECTOR)) == (0, id, vector)


@ENGINES
@given(boots())
def test_a_request_for_nobody_times_out_after_the_others_have_landed(engine: Engine, boot: Boot) -> None:
    absent = next(id for id in range(1, 0xFF) if id not in boot.ids)
    trace = engine(attrs.evolve(boot, requests=(*boot.requests, (WAKE, absent, 0x1000))).simulation())
    assert landed(trace) == boot.asked
    assert returned(trace) == [0] * len(boot.requests) + [-110]
    assert (field(trace.after, COMMAND), field(trace.after, APIC_ID)) == (1, absent)


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
def test_a_command_becomes_visible_after_what_it_speaks_of(engine: Engine, boot: Boot) -> None:
    trace = engine(boot.simulation())
    assert len([one for one in trace.stores(SENDER) if one.offset == COMMAND[0]]) == len(boot.requests)
    assert early(trace) == []


def caught(engine: Engine, memory: str) -> Iterator[int]:
    """Yield the seeds with which a sender that does not order its stores gives an early command."""
    for seed in range(201):
        boot = attrs.evolve(FAR, memory=memory, seed=seed)
        if early(engine(boot.simulation(careless()))):
            yield seed


@ENGINES
def test_without_a_release_a_command_is_sometimes_early_in_the_relaxed_model(engine: Engine) -> None:
    assert next(caught(engine, "relaxed"), None) is not None


@ENGINES
@pytest.mark.parametrize("memory", ["sc", "tso"])
def test_without_a_release_a_command_is_never_early_where_stores_keep_their_order(engine: Engine, memory: str) -> None:
    assert list(caught(engine, memory)) == []


@ENGINES
@given(boots())
def test_without_a_release_no_command_of_any_boot_is_early_under_tso(engine: Engine, boot: Boot) -> None:
    assert early(engine(attrs.evolve(boot, memory="tso").simulation(careless()))) == []


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
@given(boots(EVERY_LOOP), st.booleans())
def test_a_trace_is_well_formed(engine: Engine, boot: Boot, release: bool) -> None:
    page = bytes(2) + bytes(range(254)) + bytes(range(256)) * (PAGE // 256 - 1)
    trace = engine(boot.simulation(shipped("tester") if release else careless(), page))
    is_well_formed(trace)
    assert (trace.ids, trace.before) == ((0, *boot.ids), page)
    assert [(one.value, one.target, one.vector) for one in trace.of(Kind.REQUEST)] == list(boot.requests)
    event("in time" if not any(returned(trace)) else "timed out")


@ENGINES
@given(boots(EVERY_LOOP))
def test_room_that_is_not_needed_changes_nothing(engine: Engine, boot: Boot) -> None:
    one = boot.simulation()
    assert engine(one) == engine(attrs.evolve(one, budget=one.budget + 1, rows=one.rows * 2))
