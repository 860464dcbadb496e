"""What a fuzzer draws: scenarios of an AP loop, of a bring-up and of a whole boot, simplest first."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from mpwake.checks.always import ALWAYS, ANY_BOOT
from mpwake.model.environment import Host, Pause, Point
from mpwake.model.probe import Poison, Probe, Request, Schedule
from mpwake.model.scenario import ScenarioFile
from mpwake.model.situation import Action, Situation
from mpwake.spec import document
from mpwake.spec.changes import Change
from mpwake.spec.requirements import Role

T = TypeVar("T")
SAYS = "a random scenario"
LONGEST = 12
MOST = 4
PATIENCE, SHORT_PATIENCE, LONG_PATIENCE = 400, 2000, 20_000
SHORT = 40
ALL, NOBODY = 0xFFFFFFFE, 0xFFFFFFFF
ALIKE = ((1, 0x101, 0x10001, 0x1000001), (1, 0x1000000, 0x1FF, 0xFF010000), (4, 0x1FF, 2, 0x80000001))
FAULTS = ("ap-dead", "ap-late", "ap-slow", "ap-dies", "ap-wrong", "ap-deaf", "ap-lost")
APIC_IDS = st.integers(1, 0xFFFFFFFD) | st.integers(1, 9) | st.sampled_from((0xFE, 0xFF, 0x100, 0x1FF, 0x80000000))
VECTORS = st.integers(1, (1 << 40) - 1).map(lambda page: page << 12)
WAKEUP = {"version": 1, "address": 0x7F5E5000, "reset_vector": 0x7F5E6080}
SCHEDULES = st.builds(
    Schedule,
    memory=st.sampled_from(("sc", "tso", "relaxed")),
    seed=st.integers(0, (1 << 64) - 1),
    engine=st.just("events"),
)
# Each request has a page of its own, counted from one of these places, so that a landing tells which request it obeys.
PLACES = (0x9A0000, 0x9A0000, 0x10000, 0x123456700000, 0x100001000)
COMMANDS = (3, 2, 0xFFFF, 0x100, 0x101, 0x102, 0x8000, 0)
CR4 = (0, 0x80, 0x20000, 0x100000, 0x200000)
TARGETED = ("wake", "test", "overwrite", "torn", "fields")
POINTS: tuple[Point, ...] = ("acknowledgement", "command", "id", "vector")


@attrs.frozen
class Can:
    """What can be done to an AP loop, and to the processors in it.

    ``reset`` them, with bits of CR4 set (``cr4``), choose their ``ids``, play a hostile ``host``, have it pause them
    (``pauses``) and let them begin late (``holds``), or change what firmware hands over (``tables``); ``lenient`` tells
    of a TDX module that may be so.
    ``ticks`` and ``memories`` are the schedules.
    """

    reset: bool = False
    cr4: bool = True
    ids: bool = True
    host: bool = False
    pauses: bool = True
    holds: bool = True
    lenient: bool = False
    tables: bool = False
    ticks: bool = True
    memories: tuple[str, ...] = ("sc", "tso", "relaxed")


@attrs.frozen
class Case:
    """One trial of a receiver: what is done, under which schedule, and whether the TDX module is the strict one."""

    probe: Probe
    schedule: Schedule = Schedule("sc", 0)
    strict: bool = True


CLEAR, SETTLED = Request("clear"), Request("settle", 0, 400)
# Whom something is done to: the number of a processor, modulo how many there are, or one of these words.
WHOM = ("all", "nobody", "next", "zero", "low byte", "low word", "high bit", "reversed")


@attrs.frozen
class Step:
    """Something to do, to whom, and with which value; ``again`` resets, tests and wakes."""

    op: str
    whom: int | str = 0
    value: int = 0

    def requests(self, ids: tuple[int, ...]) -> tuple[Request, ...]:
        """Return it as requests to these processors."""
        has_target = self.op in (*TARGETED, "command", "id", "reset", "again")
        apic = _apic(self.whom, ids) if has_target else 0
        if self.op == "again":
            return (Request("reset", apic, self.value), Request("test", apic), Request("wake", apic))
        return (Request(self.op, apic, self.value),)


def _apic(whom: int | str, ids: tuple[int, ...]) -> int:
    first = ids[0]
    if isinstance(whom, int):
        return ids[whom % len(ids)]
    return {
        "all": ALL,
        "nobody": NOBODY,
        "next": max(one for one in ids if one < ALL) + 1,
        "zero": 0,
        "low byte": first ^ 0x100,
        "low word": first ^ 0x10000,
        "high bit": first ^ 0x80000000,
        "reversed": int.from_bytes(first.to_bytes(4, "little"), "big"),
    }[whom]


def weighted(*choices: tuple[int, st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """Draw from one of these, each as often as its weight says. Hypothesis takes equal ones of ``one_of`` for one."""
    several = [one for weight, one in choices for _ in range(weight)]
    return st.sampled_from(range(len(several))).flatmap(several.__getitem__)


@functools.cache
def _ids(can: Can) -> st.SearchStrategy[tuple[int, ...]]:
    dense = st.sampled_from([tuple(range(1, count + 1)) for count in range(1, MOST + 1)])
    if not can.ids:
        return dense
    alike = st.sampled_from([some[:count] for some in ALIKE for count in range(2, MOST + 1)])
    anyhow = st.lists(APIC_IDS, min_size=1, max_size=MOST, unique=True).map(tuple)
    return weighted((4, dense), (1, alike), (1, anyhow))


def placed(requests: tuple[Request, ...], place: int) -> tuple[Request, ...]:
    """Return requests with vectors, a page apart from one another; all one where the first is a broadcast."""
    step = 0 if requests[:1] == (Request("wake", ALL),) else 0x1000
    return tuple(
        attrs.evolve(one, value=place + step * number) if one.op in (*TARGETED, "send", "vector") else one
        for number, one in enumerate(requests)
    )


Disturbance = tuple[str, Any]


def _disturbances(can: Can) -> st.SearchStrategy[Disturbance]:
    kinds: list[tuple[int, st.SearchStrategy[Disturbance]]] = [(6, st.just(("", None)))]
    if can.holds:
        steps = st.lists(st.integers(0, 20), min_size=MOST, max_size=MOST)
        kinds.append((1, st.tuples(st.just("holds"), steps)))
    if can.pauses:
        pause = st.tuples(
            st.sampled_from(POINTS), st.sampled_from((1000, 40, 18, 12)), st.none() | st.integers(0, MOST - 1)
        )
        pauses = st.tuples(st.just("pauses"), st.lists(pause, min_size=1, max_size=2))
        kinds += [(3, pauses), (1, st.just(("events", False)))]
    if can.host:
        kinds += [(1, st.tuples(st.just(name), st.just(None))) for name in ("ids", "refuses", "changes")]
    if can.tables:
        kinds += [(1, st.tuples(st.just(name), st.just(None))) for name in ("entry", "seeds")]
    return weighted(*kinds)


def _host(ids: tuple[int, ...], disturbance: Disturbance) -> Host:
    kind, what = disturbance
    if kind == "pauses":
        named = (Pause(after, steps, None if id is None else ids[id % len(ids)]) for after, steps, id in what)
        return Host(pauses=tuple({(one.after, one.id): one for one in named}.values()))
    made: dict[str, dict[str, Any]] = {
        "holds": {"holds": tuple(what or ())[: len(ids)]},
        "events": {"events": False},
        "ids": {"ids": (*ids[1:], ids[0])},
        "refuses": {"refuses": ids[:1]},
        "changes": {"changes": ids},
        "entry": {"entry": 0x66666000},
        "seeds": {"seeds": True},
    }
    return Host(**made.get(kind, {}))


SEED = (Poison(0, 1, 1), Poison(4, 1, 1), Poison(5, 3, 0), Poison(10, 1, 0xAD))
POISONED = (Poison(16, 2032, 0xA5),)


@attrs.frozen
class Setting:
    """In what a trial is done: who is parked, what else happens, under which schedule."""

    ids: tuple[int, ...]
    place: int
    disturbance: Disturbance
    poison: tuple[Poison, ...]
    schedule: Schedule
    strict: bool


@functools.cache
def settings_of(can: Can) -> st.SearchStrategy[Setting]:
    """Draw what a trial is done in: honest or hostile hosts, any schedule."""
    schedule = st.builds(
        Schedule,
        memory=st.sampled_from(can.memories),
        seed=st.integers(0, (1 << 32) - 1),
        engine=st.sampled_from(("events", "ticks") if can.ticks else ("events",)),
    )
    return st.builds(
        Setting,
        _ids(can),
        st.sampled_from(PLACES),
        _disturbances(can),
        st.sampled_from(((), (), POISONED)),
        schedule,
        st.booleans().map(lambda lenient: not (can.lenient and lenient)),
    )


def case_of(setting: Setting, requests: tuple[Request, ...]) -> Case:
    """Return the trial in which these requests are made."""
    requests = placed(requests, setting.place)
    host, poison, schedule = _host(setting.ids, setting.disturbance), setting.poison, setting.schedule
    if host.seeds:
        requests, poison = (SETTLED, *requests), SEED
    longest = max((one.steps for one in host.pauses), default=0)
    if longest > SHORT:  # tick by tick the budget would be spent on waiting
        schedule = attrs.evolve(schedule, engine="events")
    patience = LONG_PATIENCE if longest > SHORT else SHORT_PATIENCE if longest else PATIENCE
    return Case(Probe(SAYS, setting.ids, requests, poison, host=host, patience=patience), schedule, setting.strict)


@st.composite
def scenarios(draw: st.DrawFn, role: Role, platform: str) -> ScenarioFile:
    """Draw a scenario in which processors are woken, each once, at any pace and, for a bring-up, with any faults."""
    ids = tuple(draw(st.lists(APIC_IDS, min_size=1, max_size=6, unique=True)))
    order = draw(st.permutations(ids))[: draw(st.integers(1, len(ids)))]
    loops: tuple[str, ...] = ()
    if role is Role.SENDER:
        loops = tuple(draw(st.lists(st.sampled_from(("acpi-6.6", *FAULTS)), min_size=len(ids), max_size=len(ids))))
    # The tester waits 400 of its own steps for an AP loop: one that is held back for longer is slow, and no more.
    longest = 20 if role is Role.RECEIVER else 300
    holds = tuple(
        draw(st.just(()) | st.lists(st.integers(0, longest), min_size=len(ids), max_size=len(ids)).map(tuple))
    )
    requests = tuple(Request("wake", apic, draw(VECTORS)) for apic in order)
    return ScenarioFile(
        kind="scenario",
        platform=platform,
        role=role,
        requirements=ALWAYS[role],
        schedule=draw(SCHEDULES),
        probe=Probe(SAYS, ids, requests, loops=loops, host=Host(holds=holds)),
    )


@st.composite
def boots(draw: st.DrawFn, platform: str = "reference") -> ScenarioFile:
    """Draw a boot: any processors, enabled or not, in any order, and some taken offline and online again."""
    listed = draw(
        st.lists(st.tuples(st.integers(1, 0xFE), st.sampled_from((0, 1, 2))), max_size=6, unique_by=lambda one: one[0])
    )
    entries: list[dict[str, object]] = [{"lapic": {"uid": 0, "apic_id": 0}}]
    entries += [{"lapic": {"uid": 1 + n, "apic_id": one, "flags": flags}} for n, (one, flags) in enumerate(listed)]
    entries.insert(draw(st.integers(0, len(entries))), {"wakeup": WAKEUP})
    enabled = [one for one, flags in listed if flags == 1]
    some = draw(st.lists(st.sampled_from(enabled), max_size=3, unique=True)) if enabled else []
    return ScenarioFile(
        kind="scenario",
        platform=platform,
        role=Role.SENDER,
        requirements=ANY_BOOT[Role.SENDER],
        schedule=draw(SCHEDULES),
        situation=Situation(
            says="a random boot",
            firmware="version-1",
            ids=tuple(one for one, _ in listed),
            changes=(Change(path=("madt", "entries"), set=document.from_plain(entries, "drawn")),),
            actions=tuple(Action(op, one) for one in some for op in ("offline", "online")),
        ),
    )
