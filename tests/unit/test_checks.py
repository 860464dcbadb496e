"""The edges of the checks that no mutant reaches: what is not judged, and what must not be held against firmware."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from mpwake.checks import core
from mpwake.checks.core import CHECKS, Condition, Finding, Judgement, inconclusive, not_applicable
from mpwake.evidence.acpi import checksummed, decode_header
from mpwake.evidence.command_line import parse
from mpwake.evidence.fdt import Fdt, Tree, cells, decode_fdt, encode_fdt, strings
from mpwake.evidence.madt import Madt, decode_madt, encode_lapic, encode_madt, encode_wakeup, encode_x2apic
from mpwake.evidence.memory_map import MemoryMap, MemoryType, Range
from mpwake.evidence.tables import Tables
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, Weight, registry
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import judge_all
from mpwake.targets.model import decode_platform, load_platform, tables_of

BASE = 0x7F5E5000
PASS, FAIL = Verdict.PASS, Verdict.FAIL
NOT_APPLICABLE, NOT_TESTABLE, INCONCLUSIVE = Verdict.NOT_APPLICABLE, Verdict.NOT_TESTABLE, Verdict.INCONCLUSIVE
NO_ENTRY = "the MADT has no entry of type 0x10 (Multiprocessor Wakeup Structure)"
LAPICS = (encode_lapic(0, 0, 1), encode_lapic(1, 1, 1))
V1 = encode_wakeup(1, BASE, 0x7F5E6080)
OF_TABLES = [one.id for one in registry().requirements.values() if Role.TABLES in one.roles]


@functools.cache
def platform(name: str) -> Tables:
    return tables_of(decode_platform(load_platform(name)))


def changed(name: str, **fields: Any) -> Tables:
    return attrs.evolve(platform(name), **fields)


def madt(*entries: bytes, revision: int = 7, patch: tuple[int, bytes] = (0, b"")) -> Madt:
    """Return a table whose bytes at an offset are written over after its checksum was made."""
    data, (at, new) = encode_madt(entries, revision), patch
    return decode_madt(data[:at] + new + data[at + len(new) :])


def blob(tree: Tree) -> Fdt:
    return decode_fdt(encode_fdt(tree))


def tree(node: str = "wakeup-mailbox@7f5e5000", cpus: Tree | None = None, **properties: bytes | Tree) -> Tree:
    """Return a tree with a mailbox node in which properties (``_`` for ``-``) are given or, as b"-", left out."""
    own: Tree = {"compatible": strings("intel,wakeup-mailbox"), "reg": cells(0, BASE, 0, 0x1000)}
    own |= {name.replace("_", "-"): value for name, value in properties.items()}
    two: Tree = {"#address-cells": cells(2), "#size-cells": cells(2)}
    return {
        **two,
        "cpus": {"#address-cells": cells(1), "#size-cells": cells(0), **(cpus or {})},
        "reserved-memory": {**two, "ranges": b"", node: {name: value for name, value in own.items() if value != b"-"}},
    }


def dt(node: str = "wakeup-mailbox@7f5e5000", cpus: Tree | None = None, **properties: bytes | Tree) -> Tables:
    return Tables(fdt=blob(tree(node, cpus, **properties)))


def cpu(number: int, **properties: bytes) -> Tree:
    return {"device_type": strings("cpu"), "reg": cells(number), **properties}


def judge(requirement: str, tables: Tables) -> Judgement:
    return core.judge(core.find(requirement, Role.TABLES), tables)


def memory(*ranges: tuple[int, int, MemoryType]) -> MemoryMap:
    return MemoryMap("map", tuple(Range(start, end, kind, kind.value, 0) for start, end, kind in ranges))


USABLE, NVS, RESERVED = MemoryType.USABLE, MemoryType.ACPI_NVS, MemoryType.RESERVED

# What Linux leaves in memory when it cannot hand the mailbox on: zeros over MailBoxAddress, the checksum as it was.
ZEROED = madt(*LAPICS, V1, patch=(0x44, bytes(8)))


# The judge


def check(*findings: Finding | core.Unjudged, given: tuple[Condition, ...] = (), id: str = "MADT-05") -> core.Check:
    def function(_: Tables) -> Iterator[Finding]:
        for one in findings:
            if isinstance(one, core.Unjudged):
                raise one
            yield one

    return core.Check(id, Role.TABLES, given, Condition("when", "w", lambda _: None), "t", function)


GOOD, BAD = Finding(True, "1", "1"), Finding(False, "2", "1")


@pytest.mark.parametrize(
    ("findings", "verdict", "reason"),
    [
        ((), INCONCLUSIVE, "the check found nothing to look at"),
        ((GOOD,), PASS, ""),
        ((GOOD, BAD, GOOD), FAIL, "2; expected 1"),
        ((inconclusive("why"),), INCONCLUSIVE, "why"),
        ((GOOD, inconclusive("why")), INCONCLUSIVE, "why"),
        ((GOOD, not_applicable("why")), NOT_APPLICABLE, "why"),
        ((BAD, inconclusive("why")), FAIL, "2; expected 1"),
        ((BAD, GOOD, not_applicable("why")), FAIL, "2; expected 1"),
    ],
)
def test_what_was_found_wrong_stays_wrong_and_silence_never_passes(
    findings: tuple[Finding | core.Unjudged, ...], verdict: Verdict, reason: str
) -> None:
    found = core.judge(check(*findings), Tables())
    assert (found.verdict, found.reason) == (verdict, reason)
    assert found.findings == tuple(one for one in findings if isinstance(one, Finding))


def test_a_situation_that_does_not_hold_ends_the_judging() -> None:
    def require(_: Tables) -> None:
        raise not_applicable("no such situation")

    found = core.judge(check(BAD, given=(Condition("given", "g", require),)), Tables())
    assert found == Judgement(NOT_APPLICABLE, "no such situation", ())


def test_what_the_edition_does_not_state_is_not_judged() -> None:
    found = core.judge(check(BAD, id="MADT-02"), Tables(edition=Edition.ACPI_6_6))
    assert found.verdict is NOT_APPLICABLE
    assert found.reason == "stated by acpi-6.4, acpi-6.5, and this run is held against acpi-6.6"
    assert core.judge(check(BAD, id="MADT-02"), Tables(edition=Edition.ACPI_6_5)).verdict is FAIL


@pytest.mark.parametrize(("word", "hint"), [("MADT-77", "did you mean 'MADT-07'?"), ("SND-01", "did you mean ")])
def test_a_check_that_is_not_there_is_an_input_error(word: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"no check for {word} in the role tables") as caught:
        core.find(word, Role.TABLES)
    assert hint in caught.value.hint


def test_a_check_of_another_role_is_not_taken() -> None:
    assert core.find("MADT-07", Role.TABLES).id == "MADT-07"
    with pytest.raises(InputError, match="no check for MADT-07 in the role sender"):
        core.find("MADT-07", Role.SENDER)


def test_every_requirement_of_the_role_has_a_check_and_no_other_has() -> None:
    assert {id for id, role in CHECKS if role is Role.TABLES} == set(OF_TABLES)


@pytest.mark.parametrize("requirement", OF_TABLES)
def test_without_evidence_nothing_is_judged(requirement: str) -> None:
    assert judge(requirement, Tables()).verdict is NOT_TESTABLE


# A MADT that Linux has changed


@pytest.mark.parametrize("requirement", ["MADT-06", "MADT-07", "MADT-08", "MADT-09", "MADT-12", "MEM-01", "MEM-02"])
def test_an_address_that_linux_has_erased_is_never_held_against_firmware(requirement: str) -> None:
    assert ZEROED.table.sum != 0
    found = judge(requirement, changed("reference", madt=ZEROED))
    assert found.verdict is INCONCLUSIVE
    assert "which Linux writes over the address" in found.reason


@pytest.mark.parametrize("requirement", OF_TABLES)
def test_an_address_that_linux_has_erased_fails_nothing(requirement: str) -> None:
    beside_a_tree = madt(LAPICS[0], encode_x2apic(1, 0x100, 1), encode_wakeup(1, 0, 0), patch=(9, b"\0"))
    for tables in (Tables(madt=ZEROED), changed("reference", madt=ZEROED), changed("both", madt=beside_a_tree)):
        assert judge(requirement, tables).verdict is not FAIL


def test_an_erased_address_with_a_checksum_that_fits_passes_the_header() -> None:
    assert judge("MADT-12", Tables(madt=decode_madt(checksummed(ZEROED.data)))).verdict is PASS


# A MADT without a mailbox


@pytest.mark.parametrize("requirement", OF_TABLES)
def test_a_madt_without_the_structure_is_no_subject_and_passes_nothing(requirement: str) -> None:
    found = judge(requirement, changed("reference", madt=madt(*LAPICS)))
    if requirement.startswith(("DT-", "HVL-", "SEL-03")):
        assert (found.verdict, found.reason) == (NOT_TESTABLE, "no DeviceTree blob was given")
    else:
        assert (found.verdict, found.reason) == (NOT_APPLICABLE, NO_ENTRY)


def test_a_wrong_checksum_of_a_madt_without_the_structure_is_not_ours_to_judge() -> None:
    tables = Tables(madt=madt(*LAPICS, patch=(9, b"\0")))
    assert (judge("MADT-12", tables).verdict, judge("MADT-13", tables).verdict) == (NOT_APPLICABLE,) * 2


# Damage


@pytest.mark.parametrize("cut", [45, 52, 60, 61, 70, 83])
def test_a_cut_input_decides_neither_checksum_nor_chain(cut: int) -> None:
    data = encode_madt((V1, *LAPICS, *LAPICS), 7)
    tables = Tables(madt=decode_madt(data[:cut]))
    found = judge("MADT-12", tables)
    assert found.verdict is INCONCLUSIVE
    assert found.reason == f"Length is {len(data)} and the input has {cut} bytes: one of the two is wrong"
    chain = judge("MADT-13", tables)
    assert chain.verdict is INCONCLUSIVE
    assert chain.reason == f"the input ends at byte {cut:#x}, before the header's Length does"


def test_a_length_of_0_before_the_cut_is_a_fault_all_the_same() -> None:
    data = encode_madt((V1, b"\0\0" + LAPICS[0][2:], LAPICS[1]), 7)
    found = judge("MADT-13", Tables(madt=decode_madt(data[:-4])))
    assert (found.verdict, found.reason) == (
        FAIL,
        "byte 0x45: Length 0 in an entry of type 0x00; expected a Length of at least 2",
    )


@pytest.mark.parametrize("requirement", [one for one in OF_TABLES if one.startswith("MADT-")])
def test_damage_before_any_structure_is_inconclusive_where_one_could_follow(requirement: str) -> None:
    broken = madt(LAPICS[0], b"\0\0" + LAPICS[1][2:], V1)
    verdict = judge(requirement, changed("reference", madt=broken)).verdict
    assert verdict is {"MADT-12": PASS, "MADT-13": FAIL}.get(requirement, INCONCLUSIVE)


@pytest.mark.parametrize(
    ("length", "verdicts"),
    [
        (2, {"MADT-02": "not-applicable", "MADT-04": "inconclusive", "MADT-05": "inconclusive", "MADT-06": "fail"}),
        (4, {"MADT-03": "fail", "MADT-04": "pass", "MADT-05": "inconclusive", "MADT-06": "fail"}),
        (
            8,
            {
                "MADT-03": "fail",
                "MADT-05": "pass",
                "MADT-06": "fail",
                "MADT-07": "inconclusive",
                "MEM-01": "inconclusive",
            },
        ),
        (15, {"MADT-03": "fail", "MADT-06": "fail", "MADT-08": "inconclusive", "MADT-10": "not-applicable"}),
        (16, {"MADT-03": "fail", "MADT-06": "pass", "MADT-07": "pass", "MADT-10": "not-applicable"}),
        (23, {"MADT-03": "fail", "MADT-06": "pass", "MADT-07": "pass", "MADT-10": "not-applicable"}),
    ],
)
def test_a_structure_too_short_is_judged_as_far_as_it_goes(length: int, verdicts: dict[str, str]) -> None:
    tables = changed("reference", madt=madt(bytes([0x10, length]) + V1[2:length], *LAPICS))
    assert {one: judge(one, tables).verdict.value for one in verdicts} == verdicts


def test_a_structure_behind_the_length_is_a_fault_of_the_length() -> None:
    sound = madt(*LAPICS)
    found = judge("MADT-12", Tables(madt=decode_madt(sound.data + V1)))
    assert found.verdict is FAIL
    assert (
        found.reason == "Length 60, and a wakeup structure right behind it; expected a Length that covers every entry"
    )
    assert judge("MADT-12", Tables(madt=decode_madt(sound.data + bytes(24)))).verdict is NOT_APPLICABLE


# Processors


def test_a_disabled_type_0_entry_with_apic_id_255_is_ignored() -> None:
    unused = encode_lapic(0xFF, 0xFF, 0)
    tables = Tables(madt=madt(*LAPICS, unused, unused, unused, V1), boot_apic_id=0)
    assert judge("MADT-18", tables).reason == "no processor of the MADT has an APIC ID of 255 or above"
    assert (judge("MADT-18", tables).verdict, judge("MADT-19", tables).verdict) == (NOT_APPLICABLE, PASS)
    first = Tables(madt=madt(unused, *LAPICS, V1), boot_apic_id=0)
    assert judge("MADT-29", first).verdict is PASS


def test_an_online_capable_entry_is_not_ignored() -> None:
    tables = Tables(madt=madt(*LAPICS, encode_lapic(0xFF, 0xFF, 2), V1))
    assert judge("MADT-18", tables).verdict is FAIL


def test_apic_id_255_needs_the_larger_form_and_254_the_smaller() -> None:
    larger = Tables(madt=madt(encode_x2apic(0, 0xFF, 1), V1))
    smaller = Tables(madt=madt(encode_lapic(0, 0xFE, 1), V1))
    wrong = Tables(madt=madt(encode_x2apic(0, 0xFE, 1), V1))
    assert (judge("MADT-18", larger).verdict, judge("MADT-18", smaller).verdict) == (PASS, NOT_APPLICABLE)
    assert (judge("MADT-19", smaller).verdict, judge("MADT-19", wrong).verdict) == (PASS, FAIL)


def test_a_processor_listed_twice_is_a_matter_of_robustness_only() -> None:
    found = judge("MADT-19", Tables(madt=madt(*LAPICS, LAPICS[1], V1)))
    assert [one.weight for one in found.findings if not one.ok] == [Weight.ROBUSTNESS]
    assert found.verdict is FAIL


def test_a_madt_without_usable_processors_has_nothing_to_say_of_them() -> None:
    tables = Tables(madt=madt(encode_lapic(0, 0, 0), V1), boot_apic_id=0)
    for one in ("MADT-19", "MADT-29"):
        assert (judge(one, tables).verdict, judge(one, tables).reason) == (
            NOT_APPLICABLE,
            "the MADT describes no usable processor",
        )


# The wakeup structure


def test_of_two_structures_each_is_judged() -> None:
    tables = changed("reference", madt=madt(*LAPICS, V1, encode_wakeup(1, BASE + 8, 0)))
    assert judge("MADT-15", tables).reason == "2 entries of type 0x10; expected one"
    assert [one.ok for one in judge("MADT-07", tables).findings] == [True, False]
    assert [one.ok for one in judge("MADT-03", tables).findings] == [True, True]
    assert len(judge("MADT-15", tables).findings[0].exhibits) == 2


def test_of_two_structures_an_erased_one_does_not_hide_the_fault_of_the_other() -> None:
    virtual = encode_wakeup(1, 0xFFFF88807F5E5000, 0)
    tables = Tables(madt=madt(*LAPICS, virtual, encode_wakeup(1, 0, 0)))
    assert judge("MADT-06", tables).verdict is FAIL


@pytest.mark.parametrize(
    ("address", "verdict"),
    [((1 << 52) - 0x1000, PASS), (1 << 52, FAIL), (BASE, PASS), (0xFFFFFFFFFFFFF000, FAIL)],
)
def test_a_physical_address_has_at_most_52_bits(address: int, verdict: Verdict) -> None:
    tables = Tables(madt=madt(*LAPICS, encode_wakeup(1, address, address)))
    assert (judge("MADT-06", tables).verdict, judge("MADT-10", tables).verdict) == (verdict, verdict)


@pytest.mark.parametrize(
    ("vector", "size", "verdict"),
    [
        (0x7F5E6000, 0x1000, PASS),
        (0x7F5E6000, 0x1001, FAIL),
        (0x7F5E6FFF, 1, PASS),
        (0x7F5E6FFF, 2, FAIL),
        (0, 0x98, NOT_APPLICABLE),
        (None, 0x98, NOT_APPLICABLE),
        (0x7F5E6000, None, NOT_TESTABLE),
    ],
)
def test_reset_code_ends_in_the_page_that_it_begins_in(vector: int | None, size: int | None, verdict: Verdict) -> None:
    tables = Tables(madt=madt(*LAPICS, encode_wakeup(1, BASE, vector)), reset_code_size=size)
    assert judge("MADT-11", tables).verdict is verdict


@pytest.mark.parametrize(
    ("kind", "shape", "verdict"),
    [
        (0x11, V1[1:], FAIL),
        (0x0F, encode_wakeup(0, BASE)[1:], FAIL),
        (0x11, encode_wakeup(1, BASE + 1, 0)[1:], NOT_APPLICABLE),
        (0x11, encode_wakeup(1, 0, 0)[1:], NOT_APPLICABLE),
        (0x11, encode_wakeup(1, BASE, 0, reserved=1)[1:], NOT_APPLICABLE),
        (0x12, V1[1:], NOT_APPLICABLE),
        (0x0F, b"\x14" + bytes(18), NOT_APPLICABLE),
    ],
)
def test_only_an_entry_with_the_shape_of_the_structure_is_taken_for_one(
    kind: int, shape: bytes, verdict: Verdict
) -> None:
    assert judge("MADT-01", Tables(madt=madt(*LAPICS, bytes([kind]) + shape))).verdict is verdict


def test_a_neighbouring_type_beside_a_structure_is_its_own_business() -> None:
    assert judge("MADT-01", Tables(madt=madt(*LAPICS, V1, b"\x11" + V1[1:]))).verdict is PASS


def test_a_mat_method_that_computes_what_it_returns_is_inconclusive() -> None:
    body = b"\x14\x08_MAT\x00\xa4\x60"
    ssdt = decode_header(checksummed(b"SSDT" + (36 + len(body)).to_bytes(4, "little") + bytes(28) + body))
    found = judge("MADT-16", changed("reference", aml=(ssdt,)))
    assert (found.verdict, found.reason) == (INCONCLUSIVE, "1 _MAT methods build what they return when they run")
    both = judge("MADT-16", changed("reference", aml=(*platform("reference").aml, ssdt)))
    assert both.verdict is INCONCLUSIVE
    assert [one.ok for one in both.findings] == [True, True]


# The memory map


@pytest.mark.parametrize(
    ("ranges", "madt_08", "madt_09", "mem_02"),
    [
        (((BASE, BASE + 0x800, NVS), (BASE + 0x800, BASE + 0x2000, NVS)), PASS, PASS, PASS),
        (((BASE - 0x1000, BASE + 0x1000, NVS),), PASS, PASS, PASS),
        (((BASE, BASE + 0x7FF, NVS), (BASE + 0x800, BASE + 0x2000, NVS)), PASS, FAIL, FAIL),
        (((BASE, BASE + 0xFFF, NVS),), PASS, FAIL, FAIL),
        (((BASE, BASE + 0x1000, NVS), (BASE + 0xFFF, BASE + 0x1001, USABLE)), PASS, FAIL, FAIL),
        (((BASE, BASE + 0x1000, NVS), (BASE, BASE + 1, USABLE)), FAIL, FAIL, FAIL),
        (((BASE, BASE + 0x1000, RESERVED),), FAIL, NOT_APPLICABLE, FAIL),
        (((BASE + 1, BASE + 0x1000, NVS),), FAIL, NOT_APPLICABLE, FAIL),
        ((), FAIL, NOT_APPLICABLE, FAIL),
    ],
)
def test_every_byte_of_the_mailbox_lies_in_nvs_memory(
    ranges: tuple[tuple[int, int, MemoryType], ...], madt_08: Verdict, madt_09: Verdict, mem_02: Verdict
) -> None:
    tables = changed("reference", memory_map=memory(*ranges))
    found = tuple(judge(one, tables).verdict for one in ("MADT-08", "MADT-09", "MEM-02"))
    assert found == (madt_08, madt_09, mem_02)


@pytest.mark.parametrize("name", ["devicetree", "openhcl-conforming"])
def test_a_devicetree_alone_leaves_the_type_of_its_memory_open(name: str) -> None:
    found = judge("MEM-02", platform(name))
    assert found.verdict is NOT_APPLICABLE
    assert found.reason.startswith("the mailbox is published in a DeviceTree only")


@pytest.mark.parametrize(
    ("ranges", "verdict"),
    [
        (((0, 0x2000, USABLE),), PASS),
        (((0, 0x1FFF, USABLE),), FAIL),
        (((0x1001, 0x2FFF, USABLE),), FAIL),
        (((0x1001, 0x3000, USABLE),), PASS),
        (((0xFF000, 0x200000, USABLE),), PASS),
        (((0xFF001, 0x200000, USABLE),), FAIL),
        (((0x1000, 0x2000, USABLE), (0x1800, 0x1801, RESERVED)), FAIL),
        (((0x100000, 0x200000, USABLE),), FAIL),
    ],
)
def test_a_trampoline_needs_a_whole_page_below_1_mib_that_is_not_page_0(
    ranges: tuple[tuple[int, int, MemoryType], ...], verdict: Verdict
) -> None:
    assert judge("TRM-10", changed("reference", memory_map=memory(*ranges))).verdict is verdict


def test_the_mailbox_itself_is_no_place_for_a_trampoline() -> None:
    ranges = memory((0x8000, 0x9000, USABLE))
    low = changed("reference", memory_map=ranges, madt=madt(*LAPICS, encode_wakeup(1, 0x8000, 0)))
    assert judge("TRM-10", low).verdict is FAIL
    assert judge("TRM-10", changed("reference", memory_map=ranges)).verdict is PASS


# The mailbox page


@pytest.mark.parametrize(
    ("page", "verdicts"),
    [
        (b"\0", (NOT_TESTABLE, NOT_TESTABLE, NOT_TESTABLE)),
        (b"\0\0", (PASS, PASS, NOT_TESTABLE)),
        (b"\1\0", (FAIL, PASS, NOT_TESTABLE)),
        (b"\3\0", (FAIL, FAIL, NOT_TESTABLE)),
        (b"\0\1", (FAIL, FAIL, NOT_TESTABLE)),
        (bytes(4) + b"\xff" * 4 + bytes(7), (PASS, PASS, NOT_TESTABLE)),
        (bytes(4) + b"\xff" * 4 + bytes(8), (PASS, PASS, PASS)),
        (bytes(16), (PASS, PASS, FAIL)),
    ],
)
def test_a_page_is_judged_as_far_as_its_image_goes(page: bytes, verdicts: tuple[Verdict, ...]) -> None:
    tables = changed("devicetree", mailbox=page)
    assert tuple(judge(one, tables).verdict for one in ("MEM-15", "DT-24", "MEM-16")) == verdicts


# The choice of ACPI


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ("acpi=off", PASS),
        ("acpi=force acpi=off", PASS),
        ("acpi=off acpi=ht", PASS),
        ("acpi=off acpi=force", FAIL),
        ("acpi=off acpi=on", PASS),
        ("noacpi", FAIL),
        ("quiet -- acpi=off", FAIL),
        ("", FAIL),
    ],
)
def test_the_last_word_on_acpi_counts_wherever_the_command_line_stands(arguments: str, verdict: Verdict) -> None:
    blank = tree()
    given = blob({**blank, "chosen": {"bootargs": strings(arguments) if arguments else b"\0"}})
    assert judge("SEL-03", Tables(fdt=given)).verdict is verdict
    assert judge("SEL-03", Tables(fdt=blob(blank), command_line=parse(arguments))).verdict is verdict


def test_a_command_line_that_was_given_counts_before_that_of_the_tree() -> None:
    fdt = blob({**tree(), "chosen": {"bootargs": strings("acpi=off")}})
    found = judge("SEL-03", Tables(fdt=fdt, command_line=parse("quiet")))
    assert (found.verdict, found.findings[0].exhibits[0].text) == (FAIL, "quiet")


def test_without_a_command_line_acpi_is_not_testable() -> None:
    assert judge("SEL-03", dt()).verdict is NOT_TESTABLE
    assert judge("SEL-03", Tables(fdt=blob({**tree(), "chosen": {}}))).verdict is NOT_TESTABLE


def test_with_a_mailbox_in_the_madt_acpi_may_stay_on() -> None:
    found = judge("SEL-03", changed("both", command_line=parse("quiet")))
    assert (found.verdict, found.reason) == (
        NOT_APPLICABLE,
        "the MADT publishes a mailbox too, so ACPI may stay enabled",
    )


def test_a_command_line_in_the_tree_that_is_too_long_to_read_is_not_an_error_of_ours() -> None:
    long = blob({**tree(), "chosen": {"bootargs": strings("a" * 70000)}})
    assert judge("SEL-03", Tables(fdt=long)).verdict in (INCONCLUSIVE, NOT_TESTABLE)


# The DeviceTree


@pytest.mark.parametrize(
    "compatible",
    [
        "acme,wakeup-mailbox",
        "acme,intel-wakeup-mailbox",
        "wakeup-mailbox",
        "intel,mailbox",
        "shared-dma-pool",
    ],
)
@pytest.mark.parametrize("requirement", [one for one in OF_TABLES if one.startswith(("DT-", "SEL-"))])
def test_a_node_of_another_vendor_is_not_accused(requirement: str, compatible: str) -> None:
    found = judge(requirement, dt("m@0", compatible=strings(compatible), reusable=b"", version=b""))
    assert found.verdict in (NOT_APPLICABLE, NOT_TESTABLE)
    if requirement.startswith("DT-"):
        assert found.reason == "the DeviceTree has no node compatible with intel,wakeup-mailbox"


@pytest.mark.parametrize("compatible", ["intel,wakeup_mailbox", "Intel,Wakeup-Mailbox", "intel,wakeup-mailbox-v2"])
def test_a_name_that_nearly_is_ours_is_accused_of_its_spelling(compatible: str) -> None:
    tables = dt(compatible=strings(compatible))
    assert (judge("DT-01", tables).verdict, judge("DT-02", tables).verdict) == (FAIL, PASS)


@pytest.mark.parametrize("requirement", ["DT-01", "DT-03", "DT-05", "DT-08", "DT-11"])
def test_a_damaged_blob_that_shows_no_node_is_inconclusive(requirement: str) -> None:
    whole = encode_fdt(tree())
    cut = decode_fdt(whole[:4] + (len(whole) - 200).to_bytes(4, "big") + whole[8:-200])
    assert cut.damage
    found = judge(requirement, Tables(fdt=cut))
    assert found.verdict is INCONCLUSIVE
    assert found.reason.startswith("no mailbox node before the blob is damaged at byte ")


def test_damage_elsewhere_does_not_hide_the_node() -> None:
    whole = encode_fdt(tree(reusable=b""))
    damaged = decode_fdt(whole[:16] + (12).to_bytes(4, "big") + whole[20:])
    assert damaged.damage
    tables = Tables(fdt=damaged)
    assert (judge("DT-01", tables).verdict, judge("DT-10", tables).verdict) == (PASS, FAIL)


@pytest.mark.parametrize(
    ("reg", "verdicts"),
    [
        (b"-", ("fail", "inconclusive", "inconclusive", "inconclusive", "inconclusive", "inconclusive")),
        (b"", ("pass", "fail", "inconclusive", "inconclusive", "inconclusive", "inconclusive")),
        (b"\0" * 15, ("pass", "fail", "inconclusive", "inconclusive", "inconclusive", "inconclusive")),
        (cells(0, BASE, 0, 0x1000), ("pass", "pass", "pass", "pass", "pass", "not-applicable")),
    ],
)
def test_a_reg_that_cannot_be_read_decides_nothing_beyond_itself(reg: bytes, verdicts: tuple[str, ...]) -> None:
    ids = ("DT-02", "DT-04", "DT-05", "DT-06", "DT-11", "DT-23")
    assert tuple(judge(one, dt(reg=reg)).verdict.value for one in ids) == verdicts


def test_a_node_without_a_readable_reg_publishes_no_place() -> None:
    assert judge("MEM-01", dt(reg=b"")).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("no-map", PASS),
        ("phandle", PASS),
        ("pinctrl-0", PASS),
        ("pinctrl-", FAIL),
        ("acme,owner", FAIL),
        ("enable-method", FAIL),
    ],
)
def test_a_property_that_every_node_may_have_is_no_extra(name: str, verdict: Verdict) -> None:
    assert judge("DT-07", dt(**{name.replace("-", "_"): b""})).verdict is verdict


def test_reusable_alone_is_a_matter_of_robustness_and_with_no_map_of_conformance() -> None:
    alone, both = judge("DT-10", dt(reusable=b"")), judge("DT-10", dt(reusable=b"", no_map=b""))
    assert [(one.ok, one.weight) for one in alone.findings] == [(False, Weight.ROBUSTNESS)]
    assert [(one.ok, one.weight) for one in both.findings] == [(False, None)]


@pytest.mark.parametrize(
    ("status", "dt_17", "dt_18"),
    [
        (None, PASS, PASS),
        (strings("okay"), PASS, PASS),
        (strings("ok"), PASS, PASS),
        (strings("disabled"), PASS, FAIL),
        (strings("fail"), PASS, PASS),
        (strings("fail-bist"), PASS, PASS),
        (strings("fail-"), FAIL, PASS),
        (strings("failed"), FAIL, PASS),
        (strings("okay", "fail"), FAIL, PASS),
        (b"okay", FAIL, PASS),
        (b"", FAIL, PASS),
    ],
)
def test_a_status_is_one_that_linux_understands(status: bytes | None, dt_17: Verdict, dt_18: Verdict) -> None:
    tables = dt(cpus={"cpu@0": cpu(0, **({} if status is None else {"status": status}))})
    assert (judge("DT-17", tables).verdict, judge("DT-18", tables).verdict) == (dt_17, dt_18)


def test_a_disabled_cpu_with_an_enable_method_is_allowed() -> None:
    disabled = {**cpu(0, status=strings("disabled")), "enable-method": strings("spin-table")}
    assert judge("DT-18", dt(cpus={"cpu@0": disabled})).verdict is PASS


def test_a_node_beside_the_cpus_is_no_cpu() -> None:
    tables = dt(cpus={"cpu@0": cpu(0), "cpu-map": {}, "l2-cache": {"compatible": strings("cache")}})
    assert judge("DT-14", tables).verdict is PASS
    assert judge("DT-14", dt(cpus={"cpu-map": {}})).verdict is FAIL
    assert judge("DT-17", dt(cpus={"cpu-map": {}})).verdict is NOT_APPLICABLE


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        ((encode_lapic(0, 0, 1), encode_x2apic(1, 0x100, 1)), PASS),
        ((encode_lapic(0, 0, 1),), FAIL),
        ((encode_lapic(0, 0, 1), encode_x2apic(1, 0x100, 0)), FAIL),
        ((encode_lapic(0, 0, 0),), PASS),
    ],
)
def test_the_cpus_of_both_enumerations_are_the_same(known: tuple[bytes, ...], verdict: Verdict) -> None:
    tables = dt(cpus={"cpu@0": cpu(0), "cpu@100": cpu(0x100)})
    assert judge("DT-15", attrs.evolve(tables, madt=madt(*known, V1))).verdict is verdict


def test_cells_are_accused_only_where_the_other_byte_order_gives_a_page() -> None:
    assert judge("DT-22", dt(reg=cells(0, 1, 0, 2))).verdict is PASS
    assert judge("DT-22", dt(reg=cells(0, 0x00505E7F, 0, 0x00100000))).verdict is FAIL


@pytest.mark.parametrize(
    ("isolation", "node", "verdict"),
    [
        ("tdx", "wakeup_table@fffff000", PASS),
        (None, "wakeup_table@fffff000", PASS),
        ("snp", "wakeup_table@fffff000", FAIL),
        ("tdx", "wakeup-mailbox@fffff000", FAIL),
        ("tdx", None, FAIL),
        (None, None, NOT_APPLICABLE),
        ("vbs", None, PASS),
    ],
)
def test_openhcl_has_the_node_in_a_tdx_guest_only(isolation: str | None, node: str | None, verdict: Verdict) -> None:
    root = tree(node or "none", reg=cells(0, 0xFFFFF000, 0, 0x1000))
    if node is None:
        root = {name: value for name, value in root.items() if name != "reserved-memory"}
    root |= {"compatible": strings("microsoft,openvmm")}
    root |= {"openhcl": {"isolation-type": strings(isolation)} if isolation else {}}
    assert judge("HVL-06", Tables(fdt=blob(root))).verdict is verdict


@pytest.mark.parametrize("requirement", ["HVL-06", "HVL-07", "HVL-08"])
def test_a_tree_of_another_vendor_is_not_held_to_openhcl(requirement: str) -> None:
    found = judge(requirement, platform("devicetree"))
    assert (found.verdict, found.reason) == (NOT_APPLICABLE, "the DeviceTree is not compatible with microsoft,openvmm")


def test_under_openhcl_a_trampoline_may_lie_higher() -> None:
    assert judge("TRM-10", platform("openhcl-conforming")).verdict is NOT_APPLICABLE


# Both enumerations


def test_one_place_alone_cannot_disagree() -> None:
    for name, place in (("reference", "MADT"), ("devicetree", "DeviceTree")):
        found = judge("SEL-11", platform(name))
        assert (found.verdict, found.reason.endswith(f"the {place}")) == (NOT_APPLICABLE, True)


def test_a_madt_without_the_structure_beside_a_devicetree_is_no_second_place() -> None:
    tables = changed("devicetree", madt=madt(*LAPICS))
    assert judge("SEL-11", tables).verdict is NOT_APPLICABLE
    assert judge("SEL-03", tables).verdict is PASS
    assert judge("MEM-02", tables).verdict is NOT_APPLICABLE
    assert judge("MEM-01", tables).verdict is PASS


def test_the_truncated_half_of_an_address_is_told_on_either_side() -> None:
    high, low = 0x1_7F5E_5000, BASE
    cut_madt = attrs.evolve(dt(reg=cells(1, low, 0, 0x1000)), madt=madt(*LAPICS, encode_wakeup(1, low, 0)))
    cut_tree = attrs.evolve(dt(), madt=madt(*LAPICS, encode_wakeup(1, high, 0)))
    assert judge("MADT-06", cut_madt).reason.endswith(f"expected MailBoxAddress {high:#x}")
    assert judge("DT-23", cut_madt).verdict is PASS
    assert judge("DT-23", cut_tree).reason.endswith(f"expected base {high:#x}")
    assert judge("MADT-06", cut_tree).verdict is PASS


# Findings


@pytest.mark.parametrize("name", ["reference", "acpi-6.4", "acpi-6.5", "both", "devicetree", "openhcl-conforming"])
def test_every_finding_shows_bytes_or_text_that_are_there(name: str) -> None:
    tables = platform(name)
    whole = {"MADT": tables.madt and tables.madt.data, "DTB": tables.fdt and tables.fdt.data}
    whole |= {"mailbox page": tables.mailbox, **{table.signature: table.data for table in tables.aml}}
    for id, judgement in judge_all(tables, Role.TABLES).items():
        for exhibit in (one for finding in judgement.findings for one in finding.exhibits):
            assert exhibit.text or exhibit.data, id
            data = whole.get(exhibit.name) or b""
            assert exhibit.text or data[exhibit.offset : exhibit.offset + len(exhibit.data)] == exhibit.data, id
            for mark in exhibit.marks:
                assert exhibit.offset <= mark.offset < exhibit.offset + len(exhibit.data), id


@pytest.mark.parametrize(
    ("requirement", "field", "value"),
    [
        ("MADT-08", "memory_map", None),
        ("MADT-11", "reset_code_size", None),
        ("MADT-16", "aml", ()),
        ("MADT-29", "boot_apic_id", None),
        ("MEM-15", "mailbox", None),
        ("TRM-10", "memory_map", None),
    ],
)
def test_evidence_that_was_not_given_is_not_testable(requirement: str, field: str, value: object) -> None:
    assert judge(requirement, platform("reference")).verdict is PASS
    assert judge(requirement, changed("reference", **{field: value})).verdict is NOT_TESTABLE


def test_judging_changes_nothing_and_asks_every_check_once() -> None:
    first, second = (judge_all(platform("reference"), Role.TABLES) for _ in range(2))
    assert first == second
    assert list(first) == OF_TABLES
