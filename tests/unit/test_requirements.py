"""The registry against the catalogue: counts, ids, editions and clauses; and what a mistake in a file looks like."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from mpwake.cli.registry import schemas
from mpwake.spec import document, requirements
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import (
    Basis,
    Requirement,
    Role,
    Strength,
    Weight,
    load_area,
    registry,
    requirement,
    weight,
)
from mpwake.spec.resources import scenarios, suite_root

# Catalogue E.1: area, number of requirements, and how many of them rest on N64, N66, B, X, D.
STATISTICS = {
    "MADT": (30, (16, 3, 0, 6, 5)),
    "DT": (24, (0, 0, 16, 7, 1)),
    "SEL": (12, (0, 0, 0, 10, 2)),
    "MEM": (19, (14, 0, 0, 2, 3)),
    "SND": (21, (8, 2, 0, 2, 9)),
    "RCV": (23, (14, 0, 0, 1, 8)),
    "ORD": (10, (1, 0, 0, 2, 7)),
    "TMO": (9, (0, 0, 0, 3, 6)),
    "DUP": (7, (1, 1, 0, 2, 3)),
    "RST": (23, (1, 12, 0, 3, 7)),
    "TRM": (10, (0, 1, 0, 7, 2)),
    "TDX": (9, (0, 0, 0, 6, 3)),
    "KEX": (9, (0, 1, 0, 4, 4)),
    "HVL": (8, (0, 0, 0, 8, 0)),
    "IPI": (15, (0, 0, 0, 15, 0)),
}
COLUMNS = (Basis.ACPI_6_4, Basis.ACPI_6_6, Basis.DT_BINDING, Basis.INTEROP, Basis.ROBUSTNESS)
OF_TABLES = {
    "MADT": (*range(1, 17), 18, 19, 29),
    "DT": (*range(1, 13), 14, 15, 17, 18, 22, 23, 24),
    "SEL": (3, 11),
    "MEM": (1, 2, 15, 16),
    "TRM": (10,),
    "HVL": (6, 7, 8),
}
# What ACPI 6.6 alone states: its 20 of basis N66, and RST-16, a rule of 6.4 applied to the Test command of 6.6.
OF_6_6_ONLY = {
    *("MADT-03", "MADT-10", "MADT-11", "SND-13", "SND-14", "DUP-02", "TRM-01", "KEX-05"),
    *(f"RST-{number:02}" for number in (1, *range(3, 13), 16)),
}
ACPI = (Edition.ACPI_6_4, Edition.ACPI_6_5, Edition.ACPI_6_6)
FILES = {
    name: sorted(scenarios(folder).glob("*.yaml"))
    for name, folder in (("requirement", "requirements"), ("platform", "platforms"), ("mutant", "mutants"))
}


def by_id() -> dict[str, Requirement]:
    return registry().requirements


def test_there_are_229_requirements_and_each_id_of_the_catalogue_is_one() -> None:
    assert list(by_id()) == [
        f"{area}-{number:02}" for area, (count, _) in STATISTICS.items() for number in range(1, count + 1)
    ]
    assert len(by_id()) == 229


@pytest.mark.parametrize("area", STATISTICS)
def test_the_bases_of_an_area_are_those_of_the_catalogue(area: str) -> None:
    bases = collections.Counter(one.basis for one in by_id().values() if one.area == area)
    assert tuple(bases[basis] for basis in COLUMNS) == STATISTICS[area][1]


def test_the_bases_of_all_are_those_of_the_catalogue() -> None:
    bases = collections.Counter(one.basis for one in by_id().values())
    assert tuple(bases[basis] for basis in COLUMNS) == (55, 20, 16, 78, 60)


def test_the_requirements_of_the_tables_role_are_these_48() -> None:
    expected = [f"{area}-{number:02}" for area, numbers in OF_TABLES.items() for number in numbers]
    assert [one.id for one in by_id().values() if Role.TABLES in one.roles] == expected
    assert len(expected) == 48


def test_every_source_is_known() -> None:
    known = document.load(suite_root() / "scenarios" / "sources.yaml").value
    for one in by_id().values():
        assert one.sources, one.id
        assert set(one.sources) <= known.keys(), one.id


def test_no_two_requirements_have_one_title() -> None:
    titles = collections.Counter(one.title for one in by_id().values())
    assert [title for title, count in titles.items() if count > 1] == []


@pytest.mark.parametrize("name", ["title", "statement", "rationale", "observed"])
def test_no_requirement_leaves_a_text_empty(name: str) -> None:
    assert [one.id for one in by_id().values() if not getattr(one, name).strip()] == []


def test_the_clauses_of_a_basis_are_in_its_editions() -> None:
    for one in by_id().values():
        names = set(one.clauses)
        if one.id in OF_6_6_ONLY:
            assert names == {"acpi-6.6"}, one.id
        elif one.basis is Basis.ACPI_6_4 or one.id == "RST-14":  # 2 is reserved in the editions before 6.6
            assert {"acpi-6.4", "acpi-6.5"} <= names, one.id
        else:
            assert names == ({"dt-binding"} if one.basis is Basis.DT_BINDING else set()), one.id
    assert {one.id for one in by_id().values() if one.basis is Basis.ACPI_6_6} == OF_6_6_ONLY - {"RST-16"} | {"RST-14"}


@pytest.mark.parametrize("edition", ACPI)
def test_a_requirement_applies_where_its_edition_states_it(edition: Edition) -> None:
    outside = {one.id for one in by_id().values() if not one.applies(edition)}
    assert outside == ({"MADT-02"} if edition is Edition.ACPI_6_6 else OF_6_6_ONLY)


@pytest.mark.parametrize("edition", ACPI)
def test_what_no_acpi_edition_states_applies_under_every_one(edition: Edition) -> None:
    outside_acpi = (Basis.DT_BINDING, Basis.INTEROP, Basis.ROBUSTNESS)
    assert all(one.applies(edition) for one in by_id().values() if one.basis in outside_acpi)


@pytest.mark.parametrize(
    ("one", "edition", "clause"),
    [
        ("MADT-02", Edition.ACPI_6_4, "acpi-6.4: section 5.2.12.19, Table 5.43"),
        ("MADT-02", Edition.ACPI_6_5, "acpi-6.5: section 5.2.12.19, Table 5.43"),
        ("MADT-02", Edition.ACPI_6_6, "acpi-6.5: section 5.2.12.19, Table 5.43"),
        ("MADT-03", Edition.ACPI_6_6, "acpi-6.6: section 5.2.12.19, Table 5.45"),
        ("DT-01", Edition.ACPI_6_4, "dt-binding: reserved-memory/intel,wakeup-mailbox.yaml, compatible"),
        ("DT-05", Edition.ACPI_6_6, "interop: LDT, A66-P2, BIND"),
        ("MADT-15", Edition.ACPI_6_6, "robustness: LFW, KUT, RAC"),
    ],
)
def test_a_verdict_cites_the_clause_of_its_edition(one: str, edition: Edition, clause: str) -> None:
    assert registry()[one].clause(edition) == clause


@pytest.mark.parametrize(
    ("basis", "strength", "expected"),
    [
        *((basis, Strength.SHALL, Weight.CONFORMANCE) for basis in COLUMNS[:3]),
        *((basis, Strength.SHOULD, Weight.GUIDANCE) for basis in COLUMNS[:3]),
        *((Basis.INTEROP, strength, Weight.INTEROP) for strength in Strength),
        *((Basis.ROBUSTNESS, strength, Weight.ROBUSTNESS) for strength in Strength),
    ],
)
def test_only_what_a_specification_demands_counts_as_conformance(
    basis: Basis, strength: Strength, expected: Weight
) -> None:
    assert weight(basis, strength) is expected


def test_each_requirement_has_the_weight_of_its_basis_and_strength() -> None:
    assert registry()["MADT-07"].weight is Weight.CONFORMANCE
    assert registry()["MADT-19"].weight is registry()["MADT-29"].weight is Weight.GUIDANCE
    assert registry()["DT-05"].weight is Weight.INTEROP
    assert registry()["MADT-15"].weight is Weight.ROBUSTNESS
    counted = collections.Counter(one.weight.value for one in by_id().values())
    assert counted == {"conformance": 86, "guidance": 5, "interop": 78, "robustness": 60}


def test_an_id_is_found_with_its_area_and_its_features_folder() -> None:
    assert registry()["MADT-07"].area == registry().area_of("MADT-07").area == "MADT"
    for area in registry().areas:
        assert area.title
        assert area.chapter
        if any(Role.TABLES in one.roles for one in area.requirements):
            assert (suite_root() / "features" / area.chapter / f"{area.area.lower()}.feature").is_file()


@pytest.mark.parametrize(("word", "hint"), [("MADT-077", "MADT-07"), ("madt-07", "MADT-07"), ("RVC-01", "RCV-01")])
def test_an_unknown_id_names_the_nearest(word: str, hint: str) -> None:
    for find in (registry().__getitem__, requirement):
        with pytest.raises(InputError, match=f"no requirement '{word}'") as caught:
            find(word)
        assert caught.value.hint == f"did you mean {hint!r}?"


@pytest.mark.parametrize("word", ["", "-", "MADT", "XYZ-01", "../platforms/reference-01", "MADT-07 "])
def test_what_is_no_id_is_no_requirement(word: str) -> None:
    with pytest.raises(InputError, match="no requirement"):
        requirement(word)


def test_one_requirement_alone_is_that_of_the_registry() -> None:
    assert [requirement(one) for one in ("MADT-01", "IPI-15")] == [by_id()["MADT-01"], by_id()["IPI-15"]]


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in FILES.items() for path in paths])
def test_every_file_keeps_to_the_published_schema(name: str, path: Path) -> None:
    schema = schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document.load(path).plain())
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_schemas_refuse_what_is_not_such_a_file() -> None:
    for name, schema in schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert not jsonschema.Draft202012Validator(schema).is_valid({}), name


def line_of(path: Path, text: str, nth: int = 1) -> int:
    """Return the line on which some text stands for the n-th time."""
    found = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return found[nth - 1]


@pytest.fixture
def area_file(tmp_path: Path) -> Path:
    path = tmp_path / "madt.yaml"
    path.write_text((scenarios("requirements") / "madt.yaml").read_text())
    return path


def told(path: Path) -> tuple[InputError, str]:
    with pytest.raises(InputError) as caught:
        load_area(path)
    return caught.value, caught.value.where.removeprefix(f"{path}:")


def test_a_copy_of_a_file_is_read_as_the_file(area_file: Path) -> None:
    assert load_area(area_file) == registry().areas[0]


@pytest.mark.parametrize(
    ("old", "new", "marked", "column", "message", "hint"),
    [
        ("    party: firmware", "    partei: firmware", "    partei:", 5, "unknown key 'partei'", "'party'"),
        ("    kind: static\n", "", "  - id: MADT-01", 5, "the key 'kind' is missing", "How it can be observed"),
        ("party: firmware", "party: firmwar", "party: firmwar", 12, "'firmwar' is not a known value", "'firmware'"),
        ("kind: static", "kind: [static]", "kind: [static]", 11, "['static'] is not a known value", "known: dynamic"),
        (
            "basis: acpi-6.4",
            "basis: acpi-6.5",
            "basis: acpi-6.5",
            12,
            "'acpi-6.5' is not a known value",
            "did you mean",
        ),
        ("roles: [tables]", "roles: [table]", "roles: [table]", 13, "'table' is not a known value", "'tables'"),
        ("roles: [tables]", "roles: tables", "roles: tables", 12, "expected a list, found 'tables'", ""),
        ("roles: [tables]", "roles: []", "  - id: MADT-01", 5, "MADT-01 names no role", ""),
        ("title: The", "title: 5 #", "title: 5 #", 12, "expected text, found 5", ""),
        ("      acpi-6.5:", "      acpi-7.0:", "  - id: MADT-01", 5, "'acpi-7.0' is not an edition; did you mean", ""),
        ("      acpi-6.5:", "      acpi-6.4:", "      acpi-6.4:", 7, "duplicate key 'acpi-6.4'", "first given at line"),
        ("section: 5.2.12.19", "section: 5.2", "section: 5.2,", 27, "expected text, found 5.2", ""),
        ("basis: acpi-6.4", "basis: interop", "  - id: MADT-01", 5, "MADT-01: basis interop has no clauses", ""),
        ("id: MADT-01", "id: MADT-1", "  - id: MADT-1", 5, "'MADT-1' is not an id such as MADT-07", ""),
        ("    party: firmware", "\tparty: firmware", "\tparty", 1, "not valid YAML", ""),
        ("    party: firmware", "    party: &p firmware", "party: &p", 12, "anchors and aliases are not read", ""),
        ("area: MADT", "area: 5", "area: 5", 7, "expected text, found 5", ""),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(
    area_file: Path, old: str, new: str, marked: str, column: int, message: str, hint: str
) -> None:
    text = area_file.read_text()
    assert old in text
    area_file.write_text(text.replace(old, new, 1))
    error, place = told(area_file)
    nth = 2 if message.startswith("duplicate") else 1
    assert message in error.message
    assert hint in error.hint
    assert place == f"{line_of(area_file, marked, nth)}:{column}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: MADT-02", "id: MADT-01", "MADT-01 stands after MADT-01; ids are unique and in order"),
        ("id: MADT-02", "id: MADT-31", "MADT-03 stands after MADT-31; ids are unique and in order"),
        ("id: MADT-02", "id: DT-02", "DT-02 does not belong to area MADT"),
        ("area: MADT", "area: MAD", "MADT-01 does not belong to area MAD"),
    ],
)
def test_ids_out_of_order_are_told_with_their_file(area_file: Path, old: str, new: str, message: str) -> None:
    area_file.write_text(area_file.read_text().replace(old, new, 1))
    error, place = told(area_file)
    assert error.message == message
    assert place == "1:1"


Edit = Callable[[Path], object]


def remove(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def copy_of(name: str, as_name: str, old: str = "", new: str = "") -> Edit:
    return lambda folder: (folder / as_name).write_text((folder / name).read_text().replace(old, new))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a registry of one's own, which ``registry.__wrapped__`` reads."""
    for path in FILES["requirement"]:
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(requirements, "scenarios", lambda _: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (remove("hvl.yaml"), "one file for each area is needed"),
        (copy_of("hvl.yaml", "new.yaml", "HVL", "NEW"), "one file for each area is needed, .*NEW"),
    ],
)
def test_an_area_that_is_missing_or_unknown_is_told(folder: Path, edit: Edit, message: str) -> None:
    assert registry.__wrapped__() == registry()
    edit(folder)
    with pytest.raises(InputError, match=message) as caught:
        registry.__wrapped__()
    assert caught.value.where == str(folder)


def test_two_files_of_one_area_are_refused(folder: Path) -> None:
    text = (folder / "hvl.yaml").read_text()
    (folder / "hvl2.yaml").write_text(text[: text.index("  - id: HVL-02")])
    with pytest.raises(InputError):
        registry.__wrapped__()
