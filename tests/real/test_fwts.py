"""The madt test of fwts beside our checks, on the same tables.

fwts is the only other checker that knows type 0x10. Whatever it finds there we find too; what it misses, and where it
is wrong, is asserted below as it is.
"""

import attrs
import pytest

from mpwake.evidence.madt import decode_madt, encode_lapic, encode_madt, encode_wakeup
from mpwake.evidence.tables import Tables, declared_edition
from mpwake.fuzz.fwts import OPTIONS, RAN, dump, false_alarm, findings_in, ours_for
from mpwake.spec.editions import NEWEST
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import judge_all, mutants, mutated
from mpwake.targets import open_target
from support.tools import fwts, run

GOOD = ("reference", "acpi-6.5", "both")
MUTANTS = [pair for pair in mutants() if pair[0].role is Role.TABLES and mutated(*pair).madt is not None]
MISSED = {
    "madt-address-virtual",
    "madt-address-truncated",
    "madt-mailbox-reserved",
    "madt-mailbox-usable",
    "madt-mailbox-nowhere",
    "madt-nvs-half",
    "madt-reset-vector-virtual",
    "madt-reset-vector-spills",
    "madt-length-short",
    "madt-two-structures",
    "madt-mat-wakeup",
    "madt-id-255-type-0",
    "madt-small-id-type-9",
    "madt-both-forms",
    "madt-listed-twice",
    "madt-bsp-last",
}


@attrs.frozen
class Report:
    """What fwts says: its findings, label and text, and how many of its five tests came to an end."""

    findings: frozenset[tuple[str, str]]
    text: str

    @property
    def labels(self):
        return {label for label, _ in self.findings}

    @property
    def aborted(self):
        return "Aborted test" in self.text


def examined(data, folder):
    """Have a MADT examined by fwts."""
    program = fwts()
    (folder / "tables.txt").write_text(dump(data), encoding="ascii")
    result = run(program, *OPTIONS, cwd=folder)
    assert RAN in result.stdout, result.stderr
    return Report(frozenset(findings_in(result.stdout)), result.stdout)


def failures(tables):
    return {one for one, judgement in judge_all(tables, Role.TABLES).items() if judgement.verdict is Verdict.FAIL}


def tables_of(data):
    madt = decode_madt(data)
    return Tables(madt=madt, edition=declared_edition(madt) or NEWEST)


def raised(data):
    """The same MADT under revision 6 instead of 5, its checksum as right or wrong as before."""
    assert data[8] == 5
    return data[:8] + bytes([6, (data[9] - 1) & 0xFF]) + data[10:]


def check_we_find(report, revision, failed):
    """Everything that fwts finds we find."""
    for label, text in report.findings:
        if not false_alarm((label, text), revision):
            assert ours_for(label, text) & failed, f"fwts finds {label}: {text}; we find only {sorted(failed)}"


@pytest.mark.parametrize("name", GOOD)
def test_fwts_finds_nothing_in_our_good_tables(tmp_path, name):
    tables = open_target(f"model:{name}").tables
    report = examined(tables.madt.data, tmp_path)
    assert report.findings == frozenset()
    assert "Multiprocessor Wakeup mailbox address is 4K aligned" in report.text
    assert failures(tables) == set()


def test_fwts_is_wrong_about_acpi_6_4(tmp_path):
    """It takes a conforming version 0 structure in a MADT of revision 5 for an undefined type."""
    tables = open_target("model:acpi-6.4").tables
    report = examined(tables.madt.data, tmp_path)
    assert report.labels == {"SPECMADTSubType", "SPECMADTSubLen"}
    assert all(false_alarm(finding, 5) for finding in report.findings)
    assert failures(tables) == set()
    assert examined(raised(tables.madt.data), tmp_path).findings == frozenset()


@pytest.mark.parametrize(("mutant", "node"), MUTANTS, ids=[mutant.id for mutant, _ in MUTANTS])
def test_we_find_what_fwts_finds_in_a_mutant(tmp_path, mutant, node):
    tables = mutated(mutant, node)
    report = examined(tables.madt.data, tmp_path)
    revision = tables.madt.table.revision
    check_we_find(report, revision, failures(tables))
    if revision == 5:
        data = raised(tables.madt.data)
        check_we_find(examined(data, tmp_path), 6, failures(tables_of(data)))


@pytest.mark.parametrize("revision", range(1, 8))
def test_we_find_what_fwts_finds_in_any_mixture(tmp_path, revision):
    """Each MADT revision with each version and Length, each with a sound and with broken other fields."""
    for version, reset in ((0, None), (1, 0), (1, None), (0, 0), (2, 0)):
        for reserved, address in ((0, 0x7F5E5000), (1, 0x7F5E5000), (0, 0x7F5E5800), (0x7F5E5000, 0x7F5E5010)):
            structure = encode_wakeup(version, address, reset, reserved)
            data = encode_madt((encode_lapic(0, 0, 1), structure, encode_lapic(1, 1, 1)), revision)
            report = examined(data, tmp_path)
            assert not report.aborted
            check_we_find(report, revision, failures(tables_of(data)))


def test_fwts_misses_most_of_the_mutants(tmp_path):
    """A mutant is missed when fwts says the same of it as of what it was made from, its false alarm left aside."""
    missed = {}
    for mutant, node in MUTANTS:
        base, data = open_target(f"model:{mutant.base}").tables.madt.data, mutated(mutant, node).madt.data
        said = [examined(raised(one) if one[8] == 5 else one, tmp_path).findings for one in (base, data)]
        if said[0] == said[1]:
            missed[mutant.id] = mutant.breaks
    print(f"fwts misses {len(missed)} of {len(MUTANTS)}: {', '.join(f'{id} ({one})' for id, one in missed.items())}")
    assert missed.keys() >= MISSED


def test_fwts_takes_the_address_0(tmp_path):
    data = encode_madt((encode_lapic(0, 0, 1), encode_wakeup(1, 0, 0)), 7)
    assert examined(data, tmp_path).findings == frozenset()
    judgement = judge_all(tables_of(data), Role.TABLES)["MADT-06"]
    assert judgement.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("revision", [0, 8])
def test_fwts_gives_up_on_a_revision_that_it_does_not_know(tmp_path, revision):
    data = encode_madt((encode_lapic(0, 0, 1), encode_wakeup(1, 0x7F5E5000)), revision)
    report = examined(data, tmp_path)
    assert report.aborted
    assert report.findings == frozenset()
    assert {"MADT-03", "MADT-14"} <= failures(tables_of(data))


def test_fwts_reports_the_version_1_structure_that_edk2_appends(tmp_path):
    """As EDK2 does under QEMU: correct in itself, in a MADT of an old revision. With us that is interoperability."""
    data = encode_madt((encode_lapic(0, 0, 1), encode_wakeup(1, 0x7F5E5000, 0x7F5E6080)), 1)
    assert {"SPECMADTSubType", "SPECMADTSubLen", "SPECMADTMPWAKEUPVersion"} == examined(data, tmp_path).labels
    assert failures(tables_of(data)) == {"MADT-14"}
