"""ACPICA's compiler and disassembler beside ours, on the same bytes.

What iasl makes of the wakeup structure is asserted as it is, mistakes included: where one of these tests fails with a
newer iasl, ACPICA has changed, and docs that say so have to follow.
"""

import re

import pytest

from mpwake.evidence.madt import decode_madt
from mpwake.targets import open_target
from support.tools import DATA, current_iasl, ids, judged, old_iasl, run

HEAD = """\
[0004]                          Signature : "APIC"
[0004]                       Table Length : 00000000
[0001]                           Revision : {revision}
[0001]                           Checksum : 00
[0006]                             Oem ID : "MPWSPC"
[0008]                       Oem Table ID : "MPWTESTS"
[0004]                       Oem Revision : 00000001
[0004]                    Asl Compiler ID : "MPWC"
[0004]              Asl Compiler Revision : 00000001
[0004]                 Local Apic Address : FEE00000
[0004]              Flags (decoded below) : 00000001
                      PC-AT Compatibility : 1
"""
LAPIC = """
[0001]                      Subtable Type : 00 [Processor Local APIC]
[0001]                             Length : 08
[0001]                       Processor ID : 00
[0001]                      Local Apic ID : 00
[0004]              Flags (decoded below) : 00000001
                        Processor Enabled : 1
                   Runtime Online Capable : 0
"""
X2APIC = """
[0001]                      Subtable Type : 09 [Processor Local x2APIC]
[0001]                             Length : 10
[0002]                           Reserved : 0000
[0004]                Processor x2Apic ID : 000001FF
[0004]              Flags (decoded below) : 00000001
                        Processor Enabled : 1
[0004]                      Processor UID : 00000001
"""
# The labels, the misspelt one included, are those of `iasl -T APIC`.
WAKEUP = """
[0001]                      Subtable Type : 10 [Mutiprocessor Wakeup]
[0001]                             Length : {length}
[0002]                    Mailbox Version : {version}
[0004]                           Reserved : {reserved}
[0008]                    Mailbox Address : {address}
"""
RESET = "[0008]                        ResetVector : {reset}\n"
GOOD = {
    "revision": "07",
    "length": "18",
    "version": "0001",
    "reserved": "00000000",
    "address": "000000007F5E5000",
    "reset": "000000007F5E6080",
}
FILES = ("good-v0", "good-v1", "good-v1-noreset")


def compiled(iasl, text, folder):
    """Compile a table from its source; return what iasl said, and where its output is."""
    (folder / "table.dsl").write_text(text, encoding="ascii")
    return run(iasl, "table.dsl", cwd=folder), folder / "table.aml"


def made(folder, text=HEAD + LAPIC + X2APIC + WAKEUP + RESET, **values):
    """Return the file that the current iasl compiles from a source, with some of its values changed."""
    result, table = compiled(current_iasl(), text.format(**{**GOOD, **values}), folder)
    assert result.returncode == 0, result.stdout
    return table


def disassembled(iasl, data, folder):
    """Return the source that iasl makes of a table, and what it said."""
    (folder / "table.dat").write_bytes(data)
    result = run(iasl, "-d", "table.dat", cwd=folder)
    return (folder / "table.dsl").read_text(encoding="ascii"), result


def fields(text):
    """Return the fields of the wakeup structure in a source that iasl has written: label to value."""
    part = re.split(r"\n(?=\[)", text.partition("Subtable Type : 10")[2])[1:]
    found = {}
    for line in part:
        label, _, value = line.partition("]")[2].partition(" : ")
        if label.strip() == "Subtable Type":
            break
        found[label.strip()] = value.split("\n")[0]
    return found


def mid_table_v0():
    """Return a conforming MADT of ACPI 6.5 in which processor entries follow the version 0 structure."""
    data = open_target("model:acpi-6.5").tables.madt.data
    assert decode_madt(data).entries[-1].type != 0x10
    return data


def test_a_compiled_version_1_table_conforms(tmp_path):
    document = judged(made(tmp_path), cwd=tmp_path)
    assert (document["exit_code"], document["edition"]) == (0, "acpi-6.6")
    passed = {f"MADT-{number:02}" for number in (1, 3, 4, 5, 6, 7, 10, 12, 13, 14, 15, 18, 19)}
    assert ids(document, "pass") == passed | {"MEM-01"}
    assert ids(document, "not-applicable") == {"MADT-02", "SEL-11"}


@pytest.mark.parametrize(
    ("values", "edition", "failed", "exit_code"),
    [
        ({"reset": "0000000000000000"}, "acpi-6.6", set(), 0),
        ({"reset": "FFFFFFFF810000A0"}, "acpi-6.6", {"MADT-10"}, 1),
        ({"address": "000000007F5E5010"}, "acpi-6.6", {"MADT-07", "MEM-01"}, 1),
        ({"address": "FFFF88807F5E5000"}, "acpi-6.6", {"MADT-06"}, 1),
        ({"version": "0002"}, "acpi-6.6", {"MADT-04", "MADT-14"}, 1),
        ({"version": "0000"}, "acpi-6.6", {"MADT-04", "MADT-14"}, 1),
        ({"version": "0000", "revision": "05"}, "acpi-6.4", {"MADT-02", "MADT-14"}, 1),
        ({"revision": "06"}, "acpi-6.5", {"MADT-04", "MADT-14"}, 1),
        # As EDK2 appends it to QEMU's table: interoperability, not conformance.
        ({"revision": "01"}, "acpi-6.6", {"MADT-14"}, 0),
    ],
)
def test_a_compiled_mistake_is_found(tmp_path, values, edition, failed, exit_code):
    document = judged(made(tmp_path, **values), cwd=tmp_path)
    assert (ids(document, "fail"), document["edition"], document["exit_code"]) == (failed, edition, exit_code)


def test_iasl_itself_looks_at_the_reserved_field_alone(tmp_path):
    """It refuses a Reserved field that is not 0, and passes every other mistake above without a word."""
    text = (HEAD + LAPIC + WAKEUP + RESET).format(**{**GOOD, "reserved": "00000001"})
    result, _ = compiled(current_iasl(), text, tmp_path)
    assert result.returncode != 0
    assert "Must be zero" in result.stdout + result.stderr


def test_the_wakeup_structure_is_read_as_iasl_compiled_it(tmp_path):
    (one,) = decode_madt(made(tmp_path).read_bytes()).wakeups
    assert (one.version, one.reserved, one.address, one.reset_vector) == (1, 0, 0x7F5E5000, 0x7F5E6080)


@pytest.mark.parametrize("name", FILES[1:])
def test_the_current_iasl_and_we_read_version_1_alike(tmp_path, name):
    data = (DATA / f"{name}.dat").read_bytes()
    text, _ = disassembled(current_iasl(), data, tmp_path)
    (one,) = decode_madt(data).wakeups
    assert fields(text) == {
        "Length": f"{one.entry.length:02X}",
        "Mailbox Version": f"{one.version:04X}",
        "Reserved": f"{one.reserved:08X}",
        "Mailbox Address": f"{one.address:016X}",
        "ResetVector": f"{one.reset_vector:016X}",
    }
    assert judged(DATA / f"{name}.dat", cwd=tmp_path)["exit_code"] == 0


def test_the_current_iasl_takes_a_version_0_table_for_a_cut_one(tmp_path):
    data = (DATA / "good-v0.dat").read_bytes()
    text, result = disassembled(current_iasl(), data, tmp_path)
    assert "ACPI table terminates in the middle of a data structure" in text
    assert result.returncode == 0
    madt = decode_madt(data)
    (one,) = madt.wakeups
    assert (madt.broken, one.version, one.address, one.reset_vector) == (None, 0, 0x7F5E5000, None)
    document = judged(DATA / "good-v0.dat", cwd=tmp_path)
    assert (document["exit_code"], document["edition"]) == (0, "acpi-6.4")
    assert {"MADT-02", "MADT-04", "MADT-12", "MADT-13", "MADT-14"} <= ids(document, "pass")


def test_the_current_iasl_shows_the_next_entry_as_the_reset_vector_of_version_0(tmp_path):
    data = mid_table_v0()
    text, _ = disassembled(current_iasl(), data, tmp_path)
    (one,) = decode_madt(data).wakeups
    behind = one.entry.offset + one.entry.length
    assert int(fields(text)["ResetVector"], 16) == int.from_bytes(data[behind : behind + 8], "little")
    assert one.reset_vector is None
    assert ids(judged(tmp_path / "table.dat", cwd=tmp_path), "fail") == set()


def test_iasl_breaks_a_version_0_table_that_it_takes_apart_and_puts_together_again(tmp_path):
    text, _ = disassembled(current_iasl(), mid_table_v0(), tmp_path)
    result, table = compiled(current_iasl(), text, tmp_path)
    assert result.returncode == 0
    assert "0 Errors, 0 Warnings" in result.stdout
    (one,) = decode_madt(table.read_bytes()).wakeups
    assert (one.version, one.entry.length) == (0, 24)
    assert ids(judged(table, cwd=tmp_path), "fail") == {"MADT-02", "MADT-14"}


def test_the_current_iasl_cannot_compile_version_0(tmp_path):
    text = (HEAD + LAPIC + WAKEUP).format(**{**GOOD, "revision": "05", "length": "10", "version": "0000"})
    result, table = compiled(current_iasl(), text, tmp_path)
    assert result.returncode != 0
    assert 'Found NULL field - Field name "ResetVector" needed' in result.stdout + result.stderr
    assert not table.exists()


def test_the_template_of_iasl_does_not_conform(tmp_path):
    """Its MADT of revision 7 shows a version 0 structure of 16 bytes, and compiles to one of 24."""
    iasl = current_iasl()
    run(iasl, "-T", "APIC", cwd=tmp_path)
    text = (tmp_path / "apic.asl").read_text(encoding="ascii")
    assert re.search(r"Revision : 07", text)
    shown = fields(text)
    assert (shown["Length"], shown["Mailbox Version"]) == ("10", "0000")
    behind = re.search(r"Subtable Type : 10.*?Subtable Type : (\w\w).*?Length : (\w\w)", text, re.DOTALL)
    assert shown["ResetVector"].endswith(behind[2] + behind[1])

    assert run(iasl, "apic.asl", cwd=tmp_path).returncode == 0
    (one,) = decode_madt((tmp_path / "apic.aml").read_bytes()).wakeups
    assert (one.version, one.entry.length, one.address) == (0, 24, 0)
    document = judged("apic.aml", cwd=tmp_path)
    assert (document["exit_code"], document["edition"]) == (1, "acpi-6.6")
    assert {"MADT-04", "MADT-14"} <= ids(document, "fail")
    assert "MADT-06" in ids(document, "inconclusive"), "address 0 is what Linux leaves behind"
    assert "MADT-02" in ids(judged("apic.aml", "--edition", "acpi-6.5", cwd=tmp_path), "fail")


@pytest.mark.parametrize("name", FILES)
def test_the_old_iasl_does_not_know_the_type(tmp_path, name):
    data = (DATA / f"{name}.dat").read_bytes()
    text, _ = disassembled(old_iasl(), data, tmp_path)
    assert "Unknown MADT subtable type 0x10" in text
    assert "7F5E5000" not in text
    (one,) = decode_madt(data).wakeups
    assert (one.version, one.address) == (int(name != "good-v0"), 0x7F5E5000)
    assert judged(DATA / f"{name}.dat", cwd=tmp_path)["exit_code"] == 0


def test_the_old_iasl_cannot_compile_the_type(tmp_path):
    result, table = compiled(old_iasl(), (HEAD + LAPIC + WAKEUP + RESET).format(**GOOD), tmp_path)
    assert result.returncode != 0
    assert "Unknown subtable type" in result.stdout + result.stderr
    assert not table.exists()


@pytest.mark.parametrize("name", FILES)
def test_iasl_and_we_name_the_same_right_checksum(tmp_path, name):
    good = (DATA / f"{name}.dat").read_bytes()
    assert "Incorrect checksum" not in disassembled(current_iasl(), good, tmp_path)[0]
    text, _ = disassembled(current_iasl(), good[:9] + bytes([good[9] ^ 0x55]) + good[10:], tmp_path)
    should = re.search(r"Incorrect checksum, should be ([0-9A-F]{2})", text)
    document = judged("table.dat", cwd=tmp_path)
    (one,) = (one for one in document["requirements"] if one["id"] == "MADT-12")
    assert ids(document, "fail") == {"MADT-12"}
    assert f"expected checksum 0x{should[1].lower()}" in one["reason"]
    assert int(should[1], 16) == good[9]
