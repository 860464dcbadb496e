"""Operating systems of the model in guests, at kexec and without a mailbox: policies, and what is said of them."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.checks import core, guest, ipi, kexec, trampoline
from mpwake.checks.boot import answers, console, noted, sent
from mpwake.checks.core import Judgement
from mpwake.checks.ipi import decode_icr
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.compose import TablesDocument
from mpwake.evidence.memory_map import MemoryMap, MemoryType, Range
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.model.agent import load_agent
from mpwake.model.boot import boots
from mpwake.model.kernel import corrected, highest_place
from mpwake.model.program import compile_node
from mpwake.model.situation import Boot, Host, Situation, settled, situation
from mpwake.model.system import Home, Ipi, Ipis, Kexec, System, Trampoline, load_system
from mpwake.spec import document
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import Mutant, mutants, mutated
from mpwake.targets import open_target

OWN = [
    *(f"TRM-{number:02}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10)),
    *(f"TDX-{number:02}" for number in (1, 2, 4, 8, 9)),
    *(f"KEX-{number:02}" for number in (1, 2, 3, 4, 5, 6, 7, 9)),
    *(f"HVL-{number:02}" for number in range(1, 6)),
    *(f"IPI-{number:02}" for number in range(1, 16)),
]
ASTERINAS = [*(f"IPI-{number:02}" for number in (2, 3, 4, 5, 6, 7, 10, 11, 12, 14)), "TRM-09"]
ELSEWHERE = {**dict.fromkeys(ASTERINAS, "asterinas"), "IPI-13": "gramine-tdx", "TRM-04": "linux-kexec"}
DEVIATIONS = {
    "asterinas": {"TDX-08"},
    "gramine-tdx": {"TDX-08"},
    "linux-kexec": {"TDX-04", "TRM-08"},
    "ohcl-vtl2-tdx-dt": {"TRM-01", "TRM-08"},
    "ohcl-vtl2-dt": set[str](),
    "linux-7.2": {"KEX-05", "KEX-06", "KEX-07", "TDX-04", "TRM-08"},
}
MUTANTS = [(one, node) for one, node in mutants() if one.role is Role.SENDER and one.breaks in OWN]
NOT_JUDGED = (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE)


@functools.cache
def platform(name: str) -> Behaviour:
    evidence = open_target(f"model:{name}").evidence(Role.SENDER)
    assert isinstance(evidence, Behaviour)
    return evidence


def judged(id: str, evidence: Behaviour) -> Judgement:
    return core.judge(core.find(id, Role.SENDER), evidence)


def home(id: str) -> Behaviour:
    """Return the platform that a requirement is shown with."""
    return platform(ELSEWHERE.get(id, "reference"))


def shown(known: Behaviour, change: Any) -> Behaviour:
    """Return a platform with every trace changed."""

    def drive(sentence: str, seed: int) -> tuple[Trace, ...]:
        return tuple(change(trace) for trace in attrs.evolve(known, seed=seed).trials(sentence))

    return attrs.evolve(known, drive=drive, seen={})


def booted(name: str, sentence: str, agent: str = "os-reference", **policies: Any) -> Trace:
    system = document.decode(load_system(name), System)
    return next(iter(boots(compile_node(load_agent(agent)), attrs.evolve(system, **policies), situation(sentence))))


# The platforms and the mutants


@pytest.mark.parametrize("id", OWN)
def test_each_requirement_passes_on_a_platform(id: str) -> None:
    judgement = judged(id, home(id))
    assert judgement.verdict is Verdict.PASS, judgement.reason
    assert judgement.findings


@pytest.mark.parametrize("id", ELSEWHERE)
def test_the_reference_is_not_held_to_what_others_promise(id: str) -> None:
    assert judged(id, platform("reference")).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("name", DEVIATIONS)
def test_each_system_deviates_where_it_is_known_to_and_nothing_is_left_open(name: str) -> None:
    found = {id: judged(id, platform(name)).verdict for id in OWN}
    assert {id for id, verdict in found.items() if verdict is Verdict.FAIL} == DEVIATIONS[name]
    assert set(found.values()) <= {Verdict.PASS, Verdict.FAIL, Verdict.NOT_APPLICABLE}
    assert Verdict.PASS in found.values()


@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[one.id for one, _ in MUTANTS])
def test_each_mutant_is_killed_and_its_base_is_not(number: int) -> None:
    mutant, node = MUTANTS[number]
    evidence = mutated(mutant, node)
    assert isinstance(evidence, Behaviour)
    assert judged(mutant.breaks, evidence).verdict is Verdict.FAIL
    assert judged(mutant.breaks, platform(mutant.base)).verdict is Verdict.PASS


def test_each_requirement_has_a_mutant() -> None:
    assert {one.breaks for one, _ in MUTANTS} == set(OWN)


# Silence never passes


@pytest.mark.parametrize("id", OWN)
def test_a_boot_of_which_nothing_is_seen_is_not_judged(id: str) -> None:
    assert judged(id, shown(home(id), lambda one: attrs.evolve(one, events=()))).verdict in NOT_JUDGED


@pytest.mark.parametrize("id", OWN)
def test_a_boot_that_was_not_run_is_not_judged(id: str) -> None:
    never = attrs.evolve(home(id), drive=lambda _sentence, _seed: (), seen={})
    assert judged(id, never).verdict in NOT_JUDGED


@pytest.mark.parametrize("id", OWN)
def test_a_boot_that_was_cut_off_is_inconclusive(id: str) -> None:
    assert judged(id, shown(home(id), lambda one: attrs.evolve(one, spent=True))).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        (Kind.ALLOC, ("TRM-02", "TRM-03", "TRM-05", "TRM-06", "TRM-09", "TRM-10", "HVL-01", "HVL-02", "IPI-08")),
        (Kind.ROUTINE, ("TRM-08", "TRM-09", "IPI-14")),
        (Kind.LANDING, ("TRM-08", "IPI-14")),
        (
            Kind.STORE,
            ("TRM-01", "TRM-05", "TDX-04", "TDX-08", "IPI-01", "KEX-01", "KEX-02", "KEX-05", "KEX-06", "TRM-04"),
        ),
        (Kind.MAP, ("TDX-01",)),
        (Kind.PRIVATE, ("TDX-02",)),
        (Kind.METHOD, ("HVL-01", "HVL-03", "HVL-05")),
        (Kind.REQUEST, ("TDX-09", "HVL-04", "IPI-15", "KEX-02", "KEX-03", "KEX-07")),
        (Kind.ALIVE, ("IPI-15", "KEX-05", "TDX-08", "TDX-09")),
        (Kind.KERNEL, ("KEX-03", "KEX-05", "KEX-06", "KEX-07", "KEX-09")),
        (Kind.TABLE, ("KEX-01", "KEX-02", "KEX-03", "KEX-04")),
        (Kind.RESET, ("KEX-05",)),
        (Kind.CONSOLE, ("KEX-03", "TRM-04")),
        (Kind.IPI, tuple(f"IPI-{number:02}" for number in range(1, 16) if number != 14)),
        (Kind.APIC, ("IPI-10", "IPI-11")),
    ],
)
def test_what_rests_on_events_that_were_not_seen_does_not_pass(kind: Kind, ids: tuple[str, ...]) -> None:
    def blind(trace: Trace) -> Trace:
        return attrs.evolve(trace, events=tuple(one for one in trace.events if one.kind is not kind))

    assert {id for id in ids if judged(id, shown(home(id), blind)).verdict is Verdict.PASS} == set()


@pytest.mark.parametrize(
    "id",
    [
        *("TRM-05", "TRM-06", "TRM-09", "TDX-01", "TDX-02", "KEX-04", "IPI-08", "IPI-09", "IPI-12", "IPI-14"),
        *("IPI-03", "IPI-05", "IPI-07", "IPI-13"),
    ],
)
def test_facts_that_were_not_seen_are_inconclusive(id: str) -> None:
    def bare(trace: Trace) -> Trace:
        return attrs.evolve(trace, events=tuple(attrs.evolve(one, facts={}) for one in trace.events))

    judgement = judged(id, shown(home(id), bare))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "was not seen" in judgement.reason


# Where an operating system runs


@pytest.mark.parametrize(
    ("hosts", "host", "expected"),
    [
        (("bare", "td"), Host(), ("none", False)),
        (("td", "bare"), Host(), ("tdx", False)),
        (("vtl-td",), Host(), ("tdx", True)),
        (("vtl", "td"), Host(), ("tdx", False)),
        (("vtl",), Host(), None),
        (("bare", "td"), Host(isolation="tdx"), ("tdx", False)),
        (("vtl-td",), Host(isolation="tdx"), ("tdx", True)),
        (("bare",), Host(isolation="tdx"), None),
        (("bare",), Host(isolation="snp"), ("snp", False)),
        (("td",), Host(isolation="none"), None),
        (("bare", "vtl"), Host(isolation="vbs", vtl=True), ("vbs", True)),
        (("bare", "td", "vtl"), Host(isolation="tdx", vtl=True), None),
        (("bare", "vtl-td"), Host(isolation="tdx", vtl=True), ("tdx", True)),
    ],
)
def test_what_a_situation_leaves_open_is_filled_in(
    hosts: tuple[Home, ...], host: Host, expected: tuple[str, bool] | None
) -> None:
    boot = Boot(Situation("says", "version-1", (1,), host=host), TablesDocument())
    found = settled(boot, System("name", "title", hosts=hosts))
    assert (found and (found.situation.host.isolation, found.situation.host.vtl)) == expected


def test_there_is_no_trace_of_a_system_that_does_not_run_there() -> None:
    system = System("name", "title", hosts=("vtl",))
    assert list(boots(compile_node(load_agent("os-reference")), system, situation(guest.IN_TD))) == []


def test_asterinas_uses_the_mailbox_in_a_td_alone() -> None:
    inside = booted("asterinas", guest.IN_TD, "asterinas")
    assert sent(inside) and not inside.of(Kind.IPI)
    outside = attrs.evolve(situation(guest.IN_TD).situation, host=Host(isolation="none"))
    boot = attrs.evolve(situation(guest.IN_TD), situation=outside)
    system = document.decode(load_system("asterinas"), System)
    trace = next(iter(boots(compile_node(load_agent("asterinas")), system, boot)))
    assert trace.of(Kind.IPI) and not sent(trace)


# Trampolines


@given(
    st.lists(st.tuples(st.integers(0, 0x200), st.integers(1, 0x40), st.booleans()), max_size=6),
    st.integers(1, 0x3000),
    st.sampled_from([0x10, 0x1000]),
    st.integers(0, 0x200000),
)
def test_a_trampoline_lies_in_usable_memory_below_the_limit(
    ranges: list[tuple[int, int, bool]], size: int, align: int, limit: int
) -> None:
    found = MemoryMap(
        "",
        tuple(
            Range(start << 12, (start + pages) << 12, MemoryType.USABLE if usable else MemoryType.RESERVED, "", 0)
            for start, pages, usable in ranges
        ),
    )
    base = highest_place(found, Trampoline(size=size, align=align), limit)
    if base is None:
        return
    assert base > 0 and base % align == 0 and base + size <= limit
    assert found.types_of(base, base + size) == {MemoryType.USABLE}


def test_without_memory_below_the_limit_linux_says_so_and_boots_on() -> None:
    trace = booted("linux-kexec", trampoline.NO_LOW)
    assert [one.note for one in console(trace, "info")] == ["real mode trampoline: no usable memory below 0x100000"]
    assert {back.value for _, back in answers(trace, "online") if back} == {-12}


def test_a_limit_that_is_raised_is_not_held_to_1_mib() -> None:
    judgement = judged("TRM-02", platform("ohcl-vtl2-tdx-dt"))
    assert (judgement.verdict, judgement.reason) == (
        Verdict.NOT_APPLICABLE,
        "the platform sets a limit of its own",
    )


# kexec


@given(st.binary(min_size=10, max_size=64))
def test_a_corrected_checksum_fits_and_changes_one_byte(table: bytes) -> None:
    found = corrected(table)
    assert sum(found) & 0xFF == 0
    assert (found[:9], found[10:]) == (table[:9], table[10:])


def test_a_crash_kernel_starts_one_processor() -> None:
    trace = booted("os-reference", kexec.CRASH)
    starts = [at for at, one in enumerate(trace.events) if one.kind is Kind.KERNEL and one.note == ""]
    assert [one for one in trace.events[starts[1] :] if one.kind in (Kind.REQUEST, Kind.IPI)] == []
    assert not trace.stuck
    assert booted("os-reference", kexec.CRASH, kexec=Kexec(supported=True, crash="all")).stuck


@pytest.mark.parametrize(("unanswered", "kernels"), [("called-off", 1), ("goes-on", 2)])
def test_a_next_kernel_is_called_off_where_a_processor_has_not_returned(unanswered: Any, kernels: int) -> None:
    trace = booted("os-reference", kexec.UNANSWERED, kexec=Kexec(supported=True, unanswered=unanswered))
    assert len([one for one in trace.of(Kind.KERNEL) if one.note == ""]) == kernels
    refused = [back.value for _, back in answers(trace, "kexec") if back]
    assert refused == ([-16] if kernels == 1 else [])


def test_a_hand_over_that_was_not_seen_is_not_one_that_was_called_off() -> None:
    def cut(trace: Trace) -> Trace:
        if trace.ids != (0, 1):
            return trace
        return attrs.evolve(trace, events=tuple(one for one in trace.events if one.value != -16))

    assert judged("KEX-07", shown(platform("reference"), cut)).verdict is Verdict.INCONCLUSIVE


# IPIs


@given(
    st.integers(0, 255),
    st.integers(0, 7),
    st.integers(0, 3),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    st.booleans(),
    st.data(),
)
def test_every_field_of_an_icr_is_read_back(
    vector: int, mode: int, shorthand: int, bits: tuple[bool, bool, bool, bool], x2apic: bool, data: st.DataObject
) -> None:
    destination = data.draw(st.integers(0, 0xFFFFFFFF if x2apic else 0xFF))
    logical, pending, level, trigger = bits
    value = vector | mode << 8 | logical << 11 | pending << 12 | level << 14 | trigger << 15 | shorthand << 18
    icr = decode_icr(value | destination << (32 if x2apic else 56), x2apic)
    assert attrs.astuple(icr) == (vector, mode, *bits, shorthand, destination, 0)


@given(st.integers(0, (1 << 64) - 1), st.booleans())
def test_what_is_no_field_of_an_icr_is_reserved(value: int, x2apic: bool) -> None:
    icr = decode_icr(value, x2apic)
    fields = icr.vector | icr.mode << 8 | icr.logical << 11 | icr.pending << 12 | icr.level << 14 | icr.trigger << 15
    whole = fields | icr.shorthand << 18 | icr.destination << (32 if x2apic else 56)
    assert whole | icr.reserved == value
    assert whole & icr.reserved == 0


def _sent(trace: Trace) -> list[int]:
    return [one.value for one in trace.of(Kind.IPI)]


def test_a_sequence_with_destinations_is_sent_to_each_and_one_with_shorthands_once() -> None:
    directed = Ipis(sequence=(Ipi(0x4500, 10, True), Ipi(0x4600, 10, True)), vector=False)
    assert _sent(booted("os-reference", ipi.BARE, ipis=directed)) == [
        1 << 56 | 0x4500,
        1 << 56 | 0x4600,
        2 << 56 | 0x4500,
        2 << 56 | 0x4600,
    ]
    assert _sent(booted("os-reference", ipi.BARE, ipis=Ipis(sequence=(Ipi(0xC4500),)))) == [0xC4500]
    assert (
        _sent(booted("os-reference", ipi.X2APIC, ipis=Ipis(sequence=(Ipi(0x4500, 10, True),))))[1] == 2 << 32 | 0x4500
    )


def test_a_wait_in_microseconds_is_one_in_cycles_of_the_tsc() -> None:
    counts = [one.facts["tsc"] for one in booted("gramine-tdx", ipi.BARE).of(Kind.IPI)]
    assert counts == [0, 10_000 * 2000 + 40]


@pytest.mark.parametrize(("wrap_safe", "passes"), [(True, True), (False, False)])
def test_a_wait_over_the_wrap_is_as_long_as_another(wrap_safe: bool, passes: bool) -> None:
    system = document.decode(load_system("asterinas"), System)
    trace = booted("asterinas", ipi.WRAPS, ipis=attrs.evolve(system.ipis, wrap_safe=wrap_safe))
    first, second = (int(one.facts["tsc"]) for one in trace.of(Kind.IPI)[:2])
    assert ((second - first) % (1 << 64) >= 100_000_000) is passes


def test_a_tsc_that_is_far_from_its_end_proves_nothing() -> None:
    def early(trace: Trace) -> Trace:
        def moved(one: Event) -> Event:
            return attrs.evolve(one, facts={**one.facts, "tsc": 0}) if "tsc" in one.facts else one

        return attrs.evolve(trace, events=tuple(map(moved, trace.events)))

    assert judged("IPI-12", shown(platform("asterinas"), early)).verdict is Verdict.INCONCLUSIVE


def test_processors_from_both_entries_join_in_the_same_code() -> None:
    found = booted("asterinas", ipi.BARE)
    assert {one.value for one in noted(found, Kind.ROUTINE, "enter")} == {0x8000}
    assert {one.value for one in noted(found, Kind.ROUTINE, "join")} == {0x8080}


# Mutants that need a word


def _mutant(id: str) -> tuple[Mutant, document.Node]:
    return next((one, node) for one, node in MUTANTS if one.id == id)


def test_a_trampoline_over_the_page_end_is_told_by_its_first_byte_outside() -> None:
    evidence = mutated(*_mutant("trm-two-pages"))
    assert isinstance(evidence, Behaviour)
    assert "write at 0x9f000" in judged("TRM-08", evidence).reason
