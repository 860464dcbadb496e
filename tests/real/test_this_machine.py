"""The tables of the machine that the tests run on, whatever that is."""

import os
from pathlib import Path

import pytest

from mpwake.checks.conditions import NO_ENTRY
from mpwake.evidence.madt import decode_madt
from support.tools import acpica, ids, judged, run

TABLES = Path("/sys/firmware/acpi/tables")
MADT = TABLES / "APIC"


@pytest.fixture
def madt():
    """The bytes of this machine's MADT, where it has one and publishes no mailbox in it."""
    if not MADT.is_file():
        pytest.skip(f"this machine has no {MADT}")
    if not os.access(MADT, os.R_OK):
        pytest.skip(f"{MADT} takes root to read")
    data = MADT.read_bytes()
    if decode_madt(data).wakeups:
        pytest.skip("this machine publishes a wakeup mailbox: mpwake run tables:/sys/firmware/acpi/tables judges it")
    return data


def check_nothing_to_judge(document):
    assert (document["exit_code"], document["verdict"]) == (4, "not-applicable")
    assert ids(document, "pass") | ids(document, "fail") | ids(document, "error") == set()
    reasons = {one["reason"] for one in document["requirements"] if one["area"] == "MADT"}
    assert reasons == {NO_ENTRY}
    assert "no entry of type 0x10" in NO_ENTRY


def test_a_machine_without_a_mailbox_is_no_subject(tmp_path, madt):
    document = judged(TABLES, cwd=tmp_path)
    check_nothing_to_judge(document)
    inputs = {one["kind"]: one for one in document["subject"]["inputs"]}
    assert (inputs["MADT"]["name"], inputs["MADT"]["size"]) == (str(MADT), len(madt))


def test_nor_is_its_dump(tmp_path, madt):
    result = run(acpica("current", "acpidump"), "-o", "dump.txt", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    document = judged("dump.txt", cwd=tmp_path)
    check_nothing_to_judge(document)
    inputs = {one["kind"]: one for one in document["subject"]["inputs"]}
    assert inputs["MADT"]["size"] == len(madt)
