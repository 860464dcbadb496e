"""Text that we write is what acpixtract reads, and text that acpidump writes is what we read."""

import pytest

from mpwake.evidence.acpi import checksummed
from mpwake.evidence.acpidump import AcpiDumpTable, format_acpidump, parse_acpidump
from support.tools import DATA, acpica, judged, run

AGES = ("current", "old")
FILES = ("good-v0", "good-v1", "good-v1-noreset")


def table(signature, body):
    size = (36 + len(body)).to_bytes(4, "little")
    return checksummed(signature + size + b"\x02\0MPWSPCMPWTESTS\1\0\0\0MPWC\1\0\0\0" + body)


def dump(name):
    """Return a dump of several tables, one of them larger than 64 KiB, as acpidump writes one."""
    madt = (DATA / f"{name}.dat").read_bytes()
    tables = (
        AcpiDumpTable("DSDT", 0x7F5E4000, table(b"DSDT", b""), 1),
        AcpiDumpTable("APIC", 0x7F5E3000, madt, 1),
        AcpiDumpTable("SSDT", 0x7F5C0000, table(b"SSDT", bytes(range(256)) * 0x101), 1),
        AcpiDumpTable("SSDT", 0, table(b"SSDT", b"\x10\x05_SB_"), 1),
    )
    return tables, format_acpidump(tables)


def verdicts(document):
    """Return all verdicts but the one that takes AML, which stands in the dump and not in the MADT."""
    return {one["id"]: one["verdict"] for one in document["requirements"] if one["id"] != "MADT-16"}


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("name", FILES)
def test_acpixtract_gets_the_same_bytes_out_of_our_text(tmp_path, age, name):
    tables, text = dump(name)
    (tmp_path / "dump.txt").write_text(text, encoding="ascii")
    result = run(acpica(age, "acpixtract"), "-a", "dump.txt", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    names = ("dsdt.dat", "apic.dat", "ssdt1.dat", "ssdt2.dat")
    assert [(tmp_path / file).read_bytes() for file in names] == [one.data for one in tables]
    whole, alone = judged("dump.txt", cwd=tmp_path), judged("apic.dat", cwd=tmp_path)
    assert (whole["exit_code"], whole["edition"]) == (0, alone["edition"])
    assert verdicts(whole) == verdicts(alone)


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("name", FILES)
def test_we_get_the_same_bytes_out_of_the_text_of_acpidump(tmp_path, age, name):
    path = DATA / f"{name}.dat"
    result = run(acpica(age, "acpidump"), "-f", path, cwd=tmp_path)
    (one,) = parse_acpidump(result.stdout)
    assert (one.name, one.data) == ("APIC", path.read_bytes())
    assert result.stdout.strip() == format_acpidump([one]).strip()
    (tmp_path / "dump.txt").write_text(result.stdout, encoding="ascii")
    document = judged("dump.txt", cwd=tmp_path)
    assert (document["exit_code"], document["subject"]["inputs"][0]["name"]) == (0, "dump.txt (APIC)")
