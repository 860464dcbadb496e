"""The proof of the suite: every mutant is noticed by what it breaks, and the platforms that conform are left alone."""

from __future__ import annotations

import functools
from pathlib import Path

import attrs
import pytest

from mpwake.checks.core import CHECKS, Judgement
from mpwake.evidence.tables import Tables
from mpwake.spec import document
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, registry
from mpwake.spec.verdicts import Verdict
from mpwake.suite import mutants as module
from mpwake.suite.catalogue import of_requirement
from mpwake.suite.mutants import Mutant, MutantFile, Outcome, check_of, declared, judge_all, matrix, mutants, mutated
from mpwake.targets.model import load_platform, open_model, platform_names

OF_TABLES = [one.id for one in registry().requirements.values() if Role.TABLES in one.roles]
IDS = [mutant.id for mutant, _ in mutants() if mutant.role is Role.TABLES]
# Products, and designs that were rejected, with what each is known to fail.
KNOWN = {"openhcl-boot-dt": {"DT-08"}, "openhcl-draft-1": {"HVL-06"}, "openhcl-draft-3": {"DT-08"}}
# Platforms of other roles publish no tables.
PUBLISHING = [name for name in platform_names() if open_model(name).tables is not None]
CONFORMING = [name for name in PUBLISHING if name not in KNOWN]
OPEN = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE)


def tables_of(name: str) -> Tables:
    tables = open_model(name).tables
    assert tables is not None
    return tables


@functools.cache
def outcomes() -> dict[str, Outcome]:
    return {one.mutant.id: one for one in matrix(Role.TABLES)}


@functools.cache
def judged(name: str) -> dict[str, Judgement]:
    return judge_all(tables_of(name), Role.TABLES)


# The matrix


@pytest.mark.parametrize("id", IDS)
def test_each_mutant_is_killed_by_the_requirement_that_it_breaks(id: str) -> None:
    one = outcomes()[id]
    if one.mutant.unkillable:
        assert not one.killed
        return
    judgement = one.judgements[one.mutant.breaks]
    assert one.killed, f"{judgement.verdict.value}: {judgement.reason}"
    assert judgement.reason
    assert one.mutant.breaks not in one.also


@pytest.mark.parametrize("id", IDS)
def test_the_base_of_each_mutant_passes_what_the_mutant_breaks(id: str) -> None:
    mutant = outcomes()[id].mutant
    if mutant.edition is None:
        assert judged(mutant.base)[mutant.breaks].verdict is Verdict.PASS
    else:
        assert Edition(mutant.edition) is not tables_of(mutant.base).edition


def test_the_matrix_judges_every_mutant_by_every_check_of_its_role() -> None:
    assert list(outcomes()) == IDS
    assert all(list(one.judgements) == OF_TABLES for one in outcomes().values())


def test_what_a_mutant_trips_beside_its_own_requirement_is_listed() -> None:
    assert outcomes()["madt-mailbox-usable"].also == ("MEM-02",)
    assert outcomes()["madt-checksum"].also == ()
    assert outcomes()["dt-base-unaligned"].also == ("DT-11", "MEM-01")


@pytest.mark.parametrize("requirement", OF_TABLES)
def test_each_requirement_of_the_role_has_a_mutant_a_check_and_a_scenario(requirement: str) -> None:
    assert (requirement, Role.TABLES) in CHECKS
    assert of_requirement(requirement, Role.TABLES)
    assert any(mutant.breaks == requirement and mutant.role is Role.TABLES for mutant, _ in mutants())


def test_mutants_come_in_the_order_of_what_they_break() -> None:
    order = list(registry().requirements)
    places = [order.index(mutant.breaks) for mutant, _ in mutants()]
    assert places == sorted(places)
    assert sorted(mutant.id for mutant, _ in mutants()) == sorted(mutant.id for mutant, _ in declared())


# The platforms


@pytest.mark.parametrize("name", CONFORMING)
def test_a_platform_that_conforms_has_no_failure_and_no_open_question(name: str) -> None:
    assert {id: one.reason for id, one in judged(name).items() if one.verdict in OPEN} == {}
    assert any(one.verdict is Verdict.PASS for one in judged(name).values())


@pytest.mark.parametrize("name", KNOWN)
def test_a_product_fails_exactly_what_it_is_known_for(name: str) -> None:
    assert {id: one.verdict for id, one in judged(name).items() if one.verdict in OPEN} == dict.fromkeys(
        KNOWN[name], Verdict.FAIL
    )


def test_a_known_failure_says_what_is_wrong() -> None:
    assert "#size-cells is 1 in /reserved-memory and 2 in the root" in judged("openhcl-boot-dt")["DT-08"].reason
    assert "no mailbox node" in judged("openhcl-draft-1")["HVL-06"].reason
    assert (
        "of the first two drafts of the binding, a design that was rejected"
        in judged("openhcl-draft-1")["DT-01"].reason
    )


@pytest.mark.parametrize("requirement", OF_TABLES)
def test_each_requirement_passes_on_a_platform_that_conforms(requirement: str) -> None:
    assert [name for name in CONFORMING if judged(name)[requirement].verdict is Verdict.PASS]


@pytest.mark.parametrize("name", platform_names())
def test_a_platform_is_called_as_its_file_and_keeps_to_the_edition_that_it_names(name: str) -> None:
    plain = load_platform(name).plain()
    assert isinstance(plain, dict)
    assert plain["name"] == name
    assert open_model(name).edition is Edition(plain["edition"])
    if name in PUBLISHING:
        assert tables_of(name).edition is Edition(plain["edition"])


# Changes


BASE = "acpi-6.4"
FILE = """\
mutants:
  - id: one
    title: One
    breaks: MADT-07
    base: acpi-6.4
    changes:
      - {change}
"""


def mutant_of(change: str) -> tuple[Mutant, document.Node]:
    node = document.parse(FILE.replace("{change}", change), "m.yaml")
    (mutant,) = document.decode(node, MutantFile).mutants
    return mutant, node.value["mutants"].value[0]


def made(change: str) -> Tables:
    found = mutated(*mutant_of(change))
    assert isinstance(found, Tables)
    return found


def refused(change: str) -> InputError:
    with pytest.raises(InputError) as caught:
        mutated(*mutant_of(change))
    return caught.value


@pytest.mark.parametrize(
    ("change", "column", "message", "hint"),
    [
        ("{path: [tables, mdat, length], set: 1}", 9, "unknown key 'mdat'", "did you mean 'mat'?"),
        ("{path: [tables, madt, entries, 3, wakeup], set: 1}", 9, "the base has nothing at 3", "known: 0 to 2"),
        ("{path: [tables, madt, entries, -1], set: 1}", 9, "the base has nothing at -1", "known: 0 to 2"),
        ("{path: [tables, madt, entries, 3], set: 1}", 9, "the base has nothing at 3", "known: 0 to 2"),
        ("{path: [tables, madt, entries, first], set: 1}", 9, "the base has nothing at 'first'", "known: 0 to 2"),
        ("{path: [tables, madt, revision, x], set: 1}", 9, "the base has nothing at 'x'", ""),
        ("{path: [tables, madt, revision, x, y], set: 1}", 9, "the base has nothing at 'x'", ""),
        (
            "{path: [tables, command_line], remove: true}",
            9,
            "the base has nothing at 'command_line'",
            "known: boot_apic",
        ),
        ("{path: [tables, madt, entries, 3], remove: true}", 9, "the base has nothing at 3", "known: 0 to 2"),
        ("{path: [tables, mat], add: '00'}", 9, "the base has nothing at 'mat'", "did you mean 'madt'?"),
        ("{path: [tables, madt, revision], add: 1}", 9, "the base has no list at 'revision'", ""),
        ("{path: [tables, madt], add: {length: 1}}", 9, "the base has no list at 'madt'", ""),
        ("{path: [tables, madt, revision], set: 1, remove: true}", 9, "exactly one of the keys set, add, ", ""),
        ("{path: [tables, madt, entries], set: [], add: 1}", 9, "exactly one of the keys set, add, ", ""),
        ("{path: [tables, madt, revision]}", 9, "exactly one of the keys set, add, ", ""),
        ("{path: [tables, madt], remove: false}", 9, "exactly one of the keys set, add, ", ""),
        ("{path: [tables, madt, entries, 3], insert: 1}", 9, "the base has nothing at 3", "known: 0 to 2"),
        ("{path: [tables, madt, entries, 0], insert: 1, add: 1}", 9, "exactly one of the keys set, add, ", ""),
        ("{path: [], set: 1}", 9, "the path is empty", ""),
        ("{set: 1}", 9, "the key 'path' is missing", "Keys and positions"),
        ("{path: tables, set: 1}", 16, "expected a list, found 'tables'", ""),
        ("{path: [tables, 1.5], set: 1}", 25, "expected text or an integer, found 1.5", ""),
        ("{pth: [tables], set: 1}", 10, "unknown key 'pth'", "did you mean 'path'?"),
        ("{path: [tables, madt, revision], set: text}", 47, "expected an integer, found 'text'", ""),
        ("{path: [tables, madt, entries, 0], set: {raw: zz}}", 49, "'zz' is not bytes in hex", ""),
        ("{path: [tables, madt, lenght], set: 1}", 9, "unknown key 'lenght'", "did you mean 'length'?"),
    ],
)
def test_a_change_that_does_not_fit_is_told_at_its_line(change: str, column: int, message: str, hint: str) -> None:
    error = refused(change)
    assert message in error.message
    assert hint in error.hint
    assert error.where == f"m.yaml:7:{column}"


def test_a_change_is_made_to_the_mutant_and_not_to_its_base() -> None:
    before = tables_of(BASE)
    changes = {
        "{path: [tables, madt, entries, 2, wakeup, address], set: 0x1001}": (0x1001, 3, 0),
        "{path: [tables, madt, entries, 0], remove: true}": (0x7F5E5000, 2, 0),
        "{path: [tables, madt, entries], add: {raw: '80 02'}}": (0x7F5E5000, 4, 0),
        "{path: [tables, madt, entries, 2], insert: {wakeup: {version: 0, address: 2}}}": (2, 4, 0),
        "{path: [tables, boot_apic_id], set: 9}": (0x7F5E5000, 3, 9),
        "{path: [tables, madt], set: {revision: 5, entries: [{wakeup: {version: 0, address: 1}}]}}": (1, 1, 0),
    }
    for change, expected in changes.items():
        found = made(change)
        assert found.madt is not None
        assert (found.madt.wakeups[0].address, len(found.madt.entries), found.boot_apic_id) == expected
    assert tables_of(BASE) == before


def test_a_removed_key_is_gone() -> None:
    assert made("{path: [tables, mailbox], remove: true}").mailbox is None
    assert made("{path: [tables, madt], remove: true}").madt is None


def test_a_mutant_is_held_against_its_own_edition_else_against_that_of_its_base() -> None:
    mutant, node = mutant_of("{path: [tables, boot_apic_id], set: 9}")
    assert mutated(mutant, node).edition is Edition.ACPI_6_4
    assert mutated(attrs.evolve(mutant, edition="acpi-6.6"), node).edition is Edition.ACPI_6_6


def test_an_unknown_base_is_an_input_error() -> None:
    mutant, node = mutant_of("{path: [tables, boot_apic_id], set: 9}")
    with pytest.raises(InputError, match="no platform 'acpi-6'") as caught:
        mutated(attrs.evolve(mutant, base="acpi-6"), node)
    assert caught.value.hint.startswith("did you mean 'acpi-6.")


# The files


SECOND = FILE.replace("{change}", "{path: [tables, boot_apic_id], set: 9}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of mutants of one's own, which ``declared`` reads as long as the test runs."""
    (tmp_path / "a.yaml").write_text(SECOND)
    monkeypatch.setattr(module, "scenarios", lambda _: tmp_path)
    monkeypatch.setattr(module, "declared", declared.__wrapped__)
    return tmp_path


def test_mutants_of_several_files_are_read(folder: Path) -> None:
    (folder / "b.yaml").write_text(SECOND.replace("id: one", "id: two").replace("MADT-07", "MADT-02"))
    assert [mutant.id for mutant, _ in module.declared()] == ["one", "two"]
    assert [mutant.id for mutant, _ in module.mutants()] == ["two", "one"]


def test_an_id_declared_twice_is_told_with_both_places(folder: Path) -> None:
    (folder / "b.yaml").write_text("# the same again\n" + SECOND)
    with pytest.raises(InputError, match="the mutant 'one' is declared twice") as caught:
        module.mutants()
    assert caught.value.where == f"{folder}/b.yaml:3:5"
    assert caught.value.hint == f"first at {folder}/a.yaml:2:5"


def test_an_unknown_requirement_is_told_at_its_place(folder: Path) -> None:
    (folder / "a.yaml").write_text(SECOND.replace("MADT-07", "MADT-077"))
    with pytest.raises(InputError, match="no requirement 'MADT-077'") as caught:
        module.mutants()
    assert caught.value.where == f"{folder}/a.yaml:4:13"
    assert caught.value.hint == "did you mean 'MADT-07'?"


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("    title: One\n", "", "2:5", "the key 'title' is missing"),
        ("    base: acpi-6.4\n", "    base: acpi-6.4\n    role: table\n", "6:11", "'table' is not a known value"),
        ("    base: acpi-6.4\n", "    base: acpi-6.4\n    edition: acpi-7\n", "6:14", "'acpi-7' is not a known value"),
        ("mutants:", "mutant:", "1:1", "unknown key 'mutant'"),
        ("    changes:\n      - {path", "    changes:\n       {path", "7:8", "expected a list, found a mapping"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(folder: Path, old: str, new: str, place: str, message: str) -> None:
    assert old in SECOND
    (folder / "a.yaml").write_text(SECOND.replace(old, new))
    with pytest.raises(InputError) as caught:
        module.mutants()
    assert message in caught.value.message
    assert caught.value.where == f"{folder}/a.yaml:{place}"


def test_a_mutant_is_meant_for_the_check_whose_claim_it_names() -> None:
    mutant = next(one for one, _ in mutants() if one.id == "tdx-mailbox-in-mask")
    assert check_of(mutant).then == mutant.claim
    assert check_of(attrs.evolve(mutant, claim="")) is CHECKS["TDX-06", Role.RECEIVER]
    with pytest.raises(InputError, match="no check of TDX-06 claims 'no processor polls or lands'") as caught:
        check_of(attrs.evolve(mutant, claim="no processor polls or lands"))
    assert mutant.claim in caught.value.hint


def test_the_worst_of_several_checks_is_what_a_requirement_gets() -> None:
    passed, failed = Judgement(Verdict.PASS), Judgement(Verdict.FAIL, "bad")
    apart = Judgement(Verdict.NOT_APPLICABLE, "not here")
    assert module._together([apart, passed]) == passed
    assert module._together([passed, failed, apart]) == failed
