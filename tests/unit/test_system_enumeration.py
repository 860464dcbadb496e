"""How operating systems of the model read what firmware publishes, which mailbox they choose."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.checks import core
from mpwake.checks.boot import answers, console, noted, sent
from mpwake.checks.conditions import rejected_designs
from mpwake.checks.core import Judgement
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.fdt import Fdt, Tree, cells, decode_fdt, encode_fdt, strings
from mpwake.evidence.madt import decode_madt, encode_lapic, encode_madt, encode_wakeup, encode_x2apic
from mpwake.evidence.tables import Tables
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.model.agent import load_agent
from mpwake.model.boot import boots
from mpwake.model.enumeration import Mailbox, Panic, read_madt, read_tree
from mpwake.model.program import compile_node
from mpwake.model.situation import Action, situation
from mpwake.model.system import Parser, System, TreeParser, load_system
from mpwake.spec import document
from mpwake.spec.requirements import Role, Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import mutants, mutated
from mpwake.targets import open_target

BASE, VECTOR = 0x7F5E5000, 0x7F5E6080
CPUS = (encode_lapic(0, 0, 1), encode_lapic(1, 1, 1), encode_x2apic(2, 0x1FF, 1))
V0, V1 = encode_wakeup(0, BASE), encode_wakeup(1, BASE, VECTOR)
VERSION_1 = "an operating system boots with a wakeup entry of version 1"
TREE = "an operating system boots with a mailbox node in the DeviceTree"
POISONED = "three processors are woken in a page whose fields are poisoned"
OWN = [
    *(f"MADT-{number}" for number in (10, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)),
    *(f"DT-{number:02}" for number in (5, 6, 12, 13, 15, 16, 17, 19, 20)),
    *(f"SEL-{number:02}" for number in (1, 2, 4, 5, 6, 7, 8, 9, 10, 12)),
    *(f"MEM-{number:02}" for number in (4, 8, 10, 11, 12, 14)),
]
MUTANTS = [(one, node) for one, node in mutants() if one.role is Role.SENDER and one.breaks in OWN]


def madt(*entries: bytes) -> bytes:
    return encode_madt(entries, 7)


def mailbox(data: bytes, **policies: Any) -> Mailbox:
    found = read_madt(data, Parser(**policies), 0).mailbox
    assert found is not None
    return found


# Reading a MADT


def test_every_enabled_processor_of_both_forms_is_found_in_order() -> None:
    found = read_madt(madt(*CPUS, encode_lapic(3, 3, 0), encode_lapic(4, 4, 2), V1), Parser(), 0)
    assert (found.ids, found.boot, found.mailbox) == ((0, 1, 0x1FF), 0, Mailbox(BASE, VECTOR, 44 + 8 + 8 + 16 + 8 + 8))


@pytest.mark.parametrize(
    ("policies", "ids"),
    [
        ({"entries": ("lapic",)}, (0, 1)),
        ({"id_bits": 8}, (0, 1, 0xFF)),
        ({"takes": "online-capable"}, (0, 1, 4, 0x1FF)),
        ({"takes": "all"}, (0, 1, 3, 4, 0x1FF)),
        ({"counted": True}, (0, 1, 2)),
        ({"repeats": True}, (0, 1, 1, 0x1FF)),
    ],
)
def test_each_mistake_with_processor_entries_is_its_own(policies: dict[str, Any], ids: tuple[int, ...]) -> None:
    more = [encode_lapic(5, 1, 1)] if "repeats" in policies else [encode_lapic(3, 3, 0), encode_lapic(4, 4, 2)]
    assert read_madt(madt(*CPUS[:2], *more, CPUS[2], V1), Parser(**policies), 0).ids == ids


def test_the_boot_processor_is_the_own_or_the_first() -> None:
    data = madt(*CPUS)
    assert read_madt(data, Parser(), 1).boot == 1
    assert read_madt(data, Parser(boot="first-entry"), 1).boot == 0
    assert read_madt(madt(), Parser(boot="first-entry"), 1).boot == 1


@pytest.mark.parametrize(
    ("entry", "checks", "vector"),
    [
        (V1, ("version", "length", "zero"), VECTOR),
        (V0, ("version", "length", "zero"), None),
        (encode_wakeup(1, BASE, 0), ("version", "length", "zero"), None),
        (encode_wakeup(1, BASE, 0), ("version", "length"), 0),
        (encode_wakeup(0, BASE, VECTOR), ("length", "zero"), VECTOR),
        (encode_wakeup(1, BASE), ("length",), None),
    ],
)
def test_a_reset_vector_is_believed_as_far_as_it_is_looked_at(
    entry: bytes, checks: tuple[Any, ...], vector: int | None
) -> None:
    assert mailbox(madt(*CPUS, entry), reset_checks=checks).reset_vector == vector


def test_without_a_look_at_the_length_the_next_entry_is_the_reset_vector() -> None:
    data = madt(encode_wakeup(1, BASE), encode_x2apic(2, 0x1FF, 1))
    assert mailbox(data, reset_checks=("version",)).reset_vector == 0x1FF_0000_1009


@pytest.mark.parametrize(
    ("entry", "policies", "address"),
    [
        (encode_wakeup(1, BASE + 0x10, VECTOR), {}, 0),
        (encode_wakeup(1, BASE + 0x10, VECTOR), {"unaligned": "warned"}, BASE + 0x10),
        (encode_wakeup(1, BASE + 0x10, VECTOR), {"unaligned": "used"}, BASE + 0x10),
        (encode_wakeup(0, 0), {}, 0),
        (encode_wakeup(2, BASE, VECTOR) + b"", {}, BASE),
    ],
)
def test_an_address_is_refused_reported_or_used(entry: bytes, policies: dict[str, Any], address: int) -> None:
    found = mailbox(madt(entry), **policies)
    assert found.address == address
    silent = policies.get("unaligned") == "used" or address == BASE
    assert bool(found.said) is not silent


@pytest.mark.parametrize(
    ("policies", "taken"),
    [({}, True), ({"longest": 16}, False), ({"newest": 0}, False), ({"shortest": 24}, True), ({"shortest": 25}, False)],
)
def test_lengths_and_versions_out_of_the_known_are_refused(policies: dict[str, Any], taken: bool) -> None:
    assert (read_madt(madt(*CPUS, V1), Parser(**policies), 0).mailbox is not None) is taken


@pytest.mark.parametrize(("which", "address"), [("first", BASE), ("last", BASE + 0x1000)])
def test_of_several_entries_one_is_taken_and_the_others_are_told(which: Any, address: int) -> None:
    found = read_madt(madt(V1, encode_wakeup(1, BASE + 0x1000, VECTOR)), Parser(which=which), 0)
    assert found.mailbox is not None and found.mailbox.address == address
    assert "more than one wakeup entry" in found.said[0]


def test_a_malformed_entry_is_skipped_stops_the_walk_or_panics() -> None:
    data = madt(CPUS[0], bytes.fromhex("100C010000000000 00505E7F"), *CPUS[1:])
    assert read_madt(data, Parser(), 0).ids == (0, 1, 0x1FF)
    assert read_madt(data, Parser(malformed="stops"), 0).ids == (0,)
    with pytest.raises(Panic, match="length 12"):
        read_madt(data, Parser(malformed="panic"), 0)


def test_an_entry_over_the_end_is_read_by_a_parser_without_bounds_alone() -> None:
    data = madt(CPUS[0], bytes.fromhex("1010010000000000 00505E7F"))
    assert read_madt(data, Parser(), 0).mailbox is None
    assert mailbox(data, bounds=False, unaligned="used").address & 0xFFFFFFFF == BASE


PARSERS = st.builds(
    Parser,
    entries=st.sampled_from([("lapic", "x2apic"), ("lapic",)]),
    takes=st.sampled_from(["enabled", "online-capable", "all"]),
    counted=st.booleans(),
    boot=st.sampled_from(["own-id", "first-entry"]),
    bounds=st.booleans(),
    shortest=st.integers(0, 255),
    newest=st.integers(0, 0xFFFF),
    which=st.sampled_from(["first", "last"]),
    unaligned=st.sampled_from(["refused", "warned", "used"]),
    malformed=st.sampled_from(["skipped", "stops"]),
)


@given(st.binary(max_size=300), PARSERS)
def test_any_bytes_are_read(data: bytes, parser: Parser) -> None:
    found = read_madt(data, parser, 7)
    assert found.mailbox is None or 0 <= found.mailbox.address < 1 << 64


@given(st.lists(st.builds(encode_x2apic, st.integers(0, 0xFFFF_FFFF), st.just(0), st.sampled_from([0, 1, 2, 3]))))
def test_the_careful_parser_finds_what_the_codec_finds(entries: list[bytes]) -> None:
    data = madt(*entries, V1)
    listed = [one.apic_id for one in decode_madt(data).processors if one.enabled]
    assert read_madt(data, Parser(), 0).ids == tuple(dict.fromkeys(listed))


# Reading a DeviceTree


def tree(cpus: Tree, **boxes: Tree) -> Fdt:
    two: Tree = {"#address-cells": cells(2), "#size-cells": cells(2)}
    one: Tree = {"#address-cells": cells(1), "#size-cells": cells(0)}
    return decode_fdt(encode_fdt({**two, "cpus": {**one, **cpus}, "reserved-memory": {**two, "ranges": b"", **boxes}}))


def box(base: int = BASE, size: int = 0x1000, **more: bytes) -> Tree:
    return {"compatible": strings("intel,wakeup-mailbox"), "reg": cells(0, base, 0, size), **more}


TWO_CPUS: Tree = {"cpu@0": {"reg": cells(0)}, "cpu@100": {"reg": cells(0x100)}}


@pytest.mark.parametrize(
    ("node", "policies", "address"),
    [
        (box(), {}, BASE),
        (box(BASE + 0x10), {}, None),
        (box(BASE + 0x10), {"alignment": False}, BASE + 0x10),
        (box(size=0x800), {}, None),
        (box(size=0x800), {"size": False}, BASE),
        (box(status=strings("disabled")), {}, BASE),
        (box(status=strings("disabled")), {"status": "heeded"}, None),
        (box(status=strings("okay")), {"status": "heeded"}, BASE),
        (box(), {"method": "intel,wakeup-mailbox"}, None),
        (box(), {"cpus_property": "wakeup-mailbox-addr"}, None),
        ({"compatible": strings("intel,wakeup-mailbox")}, {}, None),
    ],
)
def test_a_node_gives_a_mailbox_or_none(node: Tree, policies: dict[str, Any], address: int | None) -> None:
    found = read_tree(tree(TWO_CPUS, mailbox=node), TreeParser(**policies), 0).mailbox
    assert (found.address if found else None) == address


def test_the_two_rejected_designs_give_a_mailbox_to_those_who_look_for_them() -> None:
    on_cpus = tree({"wakeup-mailbox-addr": cells(1, BASE), **TWO_CPUS})
    found = read_tree(on_cpus, TreeParser(cpus_property="wakeup-mailbox-addr"), 0)
    assert found.mailbox == Mailbox(0x1_0000_0000 + BASE)
    assert read_tree(on_cpus, TreeParser(), 0).mailbox is None
    method: Tree = {"cpu@1": {"reg": cells(1), "enable-method": strings("intel,wakeup-mailbox")}}
    found = read_tree(tree(method, mailbox=box()), TreeParser(method="intel,wakeup-mailbox"), 0)
    assert found.mailbox == Mailbox(BASE)


def test_of_two_nodes_the_first_or_the_last_is_taken() -> None:
    both = tree(TWO_CPUS, one=box(), two=box(BASE + 0x4000))
    assert read_tree(both, TreeParser(), 0).mailbox == Mailbox(BASE)
    assert read_tree(both, TreeParser(which="last"), 0).mailbox == Mailbox(BASE + 0x4000)


def test_an_invalid_node_is_a_panic_only_where_it_is_one() -> None:
    with pytest.raises(Panic, match="is not a mailbox"):
        read_tree(tree(TWO_CPUS, mailbox=box(size=1)), TreeParser(invalid="panic"), 0)


@pytest.mark.parametrize(
    ("cpu", "policies", "ids"),
    [
        ({"reg": cells(5)}, {}, (0, 0x100, 5)),
        ({"reg": cells(5)}, {"ids": "index"}, (0, 1, 2)),
        ({}, {}, (0, 0x100)),
        ({}, {"no_reg": "used"}, (0, 0x100, 0xFFFFFFFF)),
        ({"reg": cells(5), "status": strings("fail-sram")}, {}, (0, 0x100)),
        ({"reg": cells(5), "status": strings("fail")}, {"failed": "used"}, (0, 0x100, 5)),
        ({"reg": cells(5), "status": strings("disabled")}, {}, (0, 0x100, 5)),
        ({"reg": cells(5), "status": strings("disabled")}, {"disabled": "skipped"}, (0, 0x100)),
    ],
)
def test_cpu_nodes_are_taken_or_left(cpu: Tree, policies: dict[str, Any], ids: tuple[int, ...]) -> None:
    found = read_tree(tree({**TWO_CPUS, "cpu@9": cpu}), TreeParser(**policies), 0)
    assert found.ids == ids
    assert bool(found.said) is (not cpu and not policies)


TREE_PARSERS = st.builds(
    TreeParser,
    alignment=st.booleans(),
    size=st.booleans(),
    which=st.sampled_from(["first", "last"]),
    status=st.sampled_from(["ignored", "heeded"]),
    cpus_property=st.sampled_from(["", "reg"]),
    no_reg=st.sampled_from(["skipped", "used"]),
    ids=st.sampled_from(["reg", "index"]),
)
PROPERTIES = st.dictionaries(
    st.sampled_from(["reg", "compatible", "status", "enable-method", "#address-cells", "#size-cells"]),
    st.one_of(
        st.binary(max_size=24),
        st.sampled_from([strings("intel,wakeup-mailbox"), cells(0, BASE, 0, 0x1000), cells(1), strings("disabled")]),
    ),
)


@given(PROPERTIES, PROPERTIES, PROPERTIES, TREE_PARSERS)
def test_any_tree_is_read(
    cpus: dict[str, bytes], cpu: dict[str, bytes], node: dict[str, bytes], parser: TreeParser
) -> None:
    blob = decode_fdt(encode_fdt({"cpus": {**cpus, "cpu@0": {**cpu}}, "reserved-memory": {"mailbox": {**node}}}))
    found = read_tree(blob, parser, 0)
    assert all(0 <= one <= 0xFFFFFFFF for one in found.ids)


# The rejected designs, in what firmware publishes


def judged_tables(requirement: str, blob: Fdt) -> Judgement:
    return core.judge(core.find(requirement, Role.TABLES), Tables(fdt=blob))


@pytest.mark.parametrize(
    ("cpus", "words"),
    [
        ({"wakeup-mailbox-addr": cells(0, BASE)}, "/cpus has wakeup-mailbox-addr, of the first two drafts"),
        (
            {"enable-method": strings("acpi-wakeup-mailbox")},
            "/cpus has enable-method acpi-wakeup-mailbox, of the first",
        ),
        (
            {"cpu@1": {"reg": cells(1), "enable-method": strings("intel,wakeup-mailbox")}},
            "/cpus/cpu@1 has enable-method intel,wakeup-mailbox, of the third draft",
        ),
    ],
)
@pytest.mark.parametrize("requirement", ["DT-01", "MEM-01"])
def test_a_rejected_design_is_named_where_there_is_no_node(requirement: str, cpus: Tree, words: str) -> None:
    judgement = judged_tables(requirement, tree({**TWO_CPUS, **cpus}))
    assert judgement.verdict is Verdict.NOT_APPLICABLE
    assert words in judgement.reason
    assert "a design that was rejected" in judgement.reason


def test_a_tree_without_a_mailbox_of_any_design_is_said_to_have_none() -> None:
    plain = tree({**TWO_CPUS, "cpu@2": {"reg": cells(2), "enable-method": strings("spin-table")}})
    assert rejected_designs(plain) == ()
    expected = "the DeviceTree has no node compatible with intel,wakeup-mailbox"
    assert judged_tables("DT-01", plain).reason == expected
    assert judged_tables("MEM-01", plain).reason == "no wakeup mailbox is published"


def test_a_leftover_of_a_draft_beside_the_node_does_not_matter() -> None:
    method: Tree = {"cpu@1": {"reg": cells(1), "enable-method": strings("intel,wakeup-mailbox")}}
    assert judged_tables("DT-01", tree(method, mailbox=box())).verdict is Verdict.PASS


# Whole operating systems


@functools.cache
def behaviour(name: str) -> Behaviour:
    evidence = open_target(f"model:{name}").evidence(Role.SENDER)
    assert isinstance(evidence, Behaviour)
    return evidence


def judged(name: str) -> dict[str, Judgement]:
    return {one: core.judge(core.find(one, Role.SENDER), behaviour(name)) for one in OWN}


def verdicts(name: str, verdict: Verdict) -> set[str]:
    return {one for one, judgement in judged(name).items() if judgement.verdict is verdict}


def test_the_reference_system_passes_all_of_these_areas() -> None:
    assert verdicts("reference", Verdict.PASS) == set(OWN)


@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        ("linux-7.2", {"MADT-10", "MADT-27", "SEL-07"}),
        ("linux-6.1", {"MADT-26", "MADT-27", "SEL-07"}),
        ("linux-tdx-acpi", {"MADT-26", "MADT-27", "SEL-07"}),
    ],
)
def test_linux_deviates_where_it_is_known_to_and_nothing_is_left_open(name: str, deviations: set[str]) -> None:
    assert verdicts(name, Verdict.FAIL) == deviations
    assert not verdicts(name, Verdict.INCONCLUSIVE)


def test_the_binding_is_not_held_against_a_system_that_does_not_claim_it() -> None:
    of_the_tree = {one for one in OWN if one.startswith("DT-")} | {"SEL-02", "SEL-08", "SEL-09"}
    assert of_the_tree <= verdicts("linux-6.1", Verdict.NOT_APPLICABLE)


@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[mutant.id for mutant, _ in MUTANTS])
def test_each_mutant_is_killed_and_its_base_is_not(number: int) -> None:
    mutant, node = MUTANTS[number]
    check = core.find(mutant.breaks, Role.SENDER)
    assert core.judge(check, mutated(mutant, node)).verdict is Verdict.FAIL
    assert core.judge(check, behaviour(mutant.base)).verdict is Verdict.PASS


def linux(sentence: str, *actions: Action, **changes: Any) -> list[Trace]:
    system = document.decode(load_system("linux-7.2"), System)
    boot = situation(sentence)
    boot = attrs.evolve(boot, situation=attrs.evolve(boot.situation, actions=actions, **changes))
    return list(boots(compile_node(load_agent("linux-7.2")), system, boot))


def test_linux_takes_a_processor_offline_and_starts_it_again() -> None:
    for trace in linux(VERSION_1, Action("offline", 4), Action("online", 4)):
        assert [back and back.value for _, back in answers(trace, "offline")] == [0]
        assert [apic for _, apic, _ in sent(trace)] == [1, 4, 0x1FF, 4]
        assert [apic for _, apic, _ in sent(trace, 2)] == [4]
        assert trace.of(Kind.RESET)[0].facts["jumps_to"] == VECTOR


def test_linux_waits_for_test_with_a_limit_and_leaves_command_as_it_is() -> None:
    for trace in linux(VERSION_1, Action("offline", 4), loop="acpi-6.4"):
        assert [back and back.value for _, back in answers(trace, "offline")] == [-110]
        assert console(trace, "error")
        assert trace.after[:2] == b"\2\0"


def test_linux_ignores_a_request_for_a_processor_that_runs() -> None:
    for trace in linux(VERSION_1, Action("online", 4)):
        assert [apic for _, apic, _ in sent(trace)] == [1, 4, 0x1FF]
        assert answers(trace, "online")[-1][1] is not None


def test_linux_erases_a_version_0_mailbox_and_keeps_one_of_version_1() -> None:
    assert [noted(one, Kind.TABLE) != [] for one in linux(VERSION_1)] == [False] * 6
    version_0 = linux("an operating system boots with a wakeup entry of version 0")
    assert [noted(one, Kind.TABLE) != [] for one in version_0] == [True] * 6


def test_a_build_without_smp_starts_nobody() -> None:
    for trace in linux("an operating system that was built without SMP boots with a wakeup entry of version 1"):
        assert trace.of(Kind.CPU)
        assert not trace.of(Kind.REQUEST) and not trace.of(Kind.IPI)


# What the checks make of traces that show little, or nothing


def only(*events: Event, follows: str = "linux dt-binding") -> Behaviour:
    trace = Trace((0, 1), events, bytes(4096), bytes(4096), 10, "sc")
    return Behaviour(lambda _sentence, _seed: (trace,), follows=frozenset(follows.split()), boots=True)


@pytest.mark.parametrize("requirement", OWN)
def test_silence_decides_nothing(requirement: str) -> None:
    verdict = core.judge(core.find(requirement, Role.SENDER), only(follows="linux hyperv-vtl dt-binding")).verdict
    assert verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.NOT_TESTABLE)


@pytest.mark.parametrize(("width", "value", "weight"), [(4, 1, Weight.ROBUSTNESS), (4, 0x10001, None), (2, 1, "good")])
def test_a_wide_command_breaches_acpi_only_where_it_changes_reserved(width: int, value: int, weight: Any) -> None:
    evidence = only(Event(1, 0, Kind.STORE, 0, width, value))
    (finding,) = core.judge(core.find("MEM-08", Role.SENDER), evidence).findings
    assert finding.ok is (weight == "good")
    assert finding.ok or finding.weight is weight


def test_an_unaligned_address_may_be_used_where_the_console_says_so() -> None:
    used = [Event(1, 0, Kind.CPU, value=1), Event(2, 0, Kind.MAP, value=BASE + 0x10, note="mailbox")]
    line = Event(3, 0, Kind.CONSOLE, note="mailbox at 0x7F5E5010 is odd")
    check = core.find("MADT-27", Role.SENDER)
    assert core.judge(check, only(*used)).verdict is Verdict.FAIL
    assert core.judge(check, only(*used, line)).verdict is Verdict.PASS
