"""Readers beside those of others: what is a disagreement, and which are explained."""

from __future__ import annotations

import json
import re

import pytest

from mpwake.evidence.fdt import encode_fdt
from mpwake.evidence.madt import encode_lapic, encode_madt, encode_wakeup
from mpwake.fuzz import binding, fwts, inputs, samples
from mpwake.fuzz.explained import KNOWN, told_apart
from mpwake.fuzz.inputs import READERS, examined
from mpwake.fuzz.problem import Problem
from mpwake.spec.verdicts import Verdict

MAILBOX = encode_wakeup(1, 0x7F5E5000, 0)


def madt(*more: bytes, revision: int = 7, wakeup: bytes = MAILBOX) -> bytes:
    return encode_madt((encode_lapic(0, 0, 1), *more, wakeup), revision)


def seen(monkeypatch, data: bytes, reader: str = "tables:madt", **others):
    """Examine an input beside others that answer this and nothing else."""
    silent = {"entries_of_iasl": None, "asked_fwts": None, "rewritten_by_dtc": None, "complaints_of_dtschema": None}
    for name, answer in (silent | others).items():
        monkeypatch.setattr(inputs, name, lambda _data, answer=answer: answer)
    return examined(READERS[reader], data)


def known(found) -> list[str]:
    return [name for name in found.sometimes if name.startswith("known: ")]


# fwts


@pytest.mark.parametrize(
    ("data", "finding", "told"),
    [
        # What one of our requirements says too.
        (madt(wakeup=encode_wakeup(1, 0x7F5E5010, 0)), ("SPECMADTMPWAKEUPAddress", "0x10"), None),
        # What none says.
        (madt(), ("SPECMADTMPWAKEUPAddress", "0x10"), "SPECMADTMPWAKEUPAddress"),
        (
            madt(),
            ("SPECMADTSubType", "Undefined MADT subtable type for this version: 16 (Multiprocessor Wakeup)"),
            "SPECMADTSubType for type 16",
        ),
        # A second structure is not judged: that there are two is.
        (madt(encode_wakeup(1, 0x7F5E5010, 0)), ("SPECMADTMPWAKEUPAddress", "0x10"), None),
        # What is no matter of the mailbox.
        (madt(), ("SPECMADTLAPICReserved", "type 0"), None),
    ],
)
def test_what_fwts_finds_and_we_do_not_is_told(monkeypatch, data, finding, told):
    found = seen(monkeypatch, data, asked_fwts=(finding,))
    assert found.sometimes["fwts was asked"] == 1
    assert [one.shape for one in found.problems] == ([told] if told else [])
    assert known(found) == []


def test_what_is_known_of_fwts_is_counted_and_not_told(monkeypatch):
    text = "Undefined MADT subtable type for this version of the MADT: 16 (Multiprocessor Wakeup)"
    found = seen(
        monkeypatch, madt(revision=5, wakeup=encode_wakeup(0, 0x7F5E5000)), asked_fwts=(("SPECMADTSubType", text),)
    )
    assert found.problems == ()
    assert known(found) == ["known: fwts does not know type 0x10 under MADT revision 5, although ACPI 6.4 has it"]


def test_fwts_is_not_asked_of_a_table_without_a_mailbox_or_its_end(monkeypatch):
    for data in (encode_madt((encode_lapic(0, 0, 1),), 7), madt()[:-4]):
        assert "fwts was asked" not in +seen(monkeypatch, data, asked_fwts=(("SPECMADTChecksum", "x"),)).sometimes


def test_a_finding_names_the_type_that_it_speaks_of():
    assert fwts.type_of("Subtable 2 (offset 0x34) of type 9 (Processor Local x2APIC) is 3 bytes long") == 9
    assert fwts.type_of("Undefined MADT subtable type for this version of the MADT: 16 (Multiprocessor Wakeup)") == 16
    assert fwts.type_of("MADT checksum is incorrect: 0xad") is None


def test_the_dump_for_fwts_holds_all_that_it_needs():
    assert re.findall(r"(?m)^(\w{4}) @", fwts.dump(madt())) == ["DSDT", "FACP", "APIC"]


# iasl


def test_an_iasl_that_sees_other_entries_is_told_with_what_stands_before(monkeypatch):
    entries = [(44, 0), (52, 0x10)]
    assert seen(monkeypatch, madt(), entries_of_iasl=entries).problems == ()
    (one,) = seen(monkeypatch, madt(), entries_of_iasl=entries[:1]).problems
    assert (one.kind, one.shape) == (
        "differs from iasl",
        "iasl ends behind an entry of type 0x00 with its usual Length",
    )
    (one,) = seen(monkeypatch, madt(), entries_of_iasl=[*entries, (76, 0)]).problems
    assert one.shape == "iasl goes on behind an entry of type 0x10 with its usual Length"


def test_what_is_known_of_iasl_is_counted_and_not_told(monkeypatch):
    found = seen(monkeypatch, madt(b"\xa2\x02"), entries_of_iasl=[(44, 0), (52, 0xA2)])
    assert found.problems == ()
    assert known(found) == ["known: iasl stops at an entry that has no body, although its Length is right"]


# dtc and dt-schema

TREE = encode_fdt({"reserved-memory": {}, "cpus": {}})


def test_a_dtc_that_reads_otherwise_is_told(monkeypatch):
    other = encode_fdt({"reserved-memory": {"x": {}}, "cpus": {}})
    for answer, shapes in (
        ((True, TREE), []),
        ((False, b""), ["dtc refuses what we find sound"]),
        ((True, other), ["dtc reads another tree"]),
    ):
        found = seen(monkeypatch, TREE, "tables:dtb", rewritten_by_dtc=answer)
        assert [one.shape for one in found.problems] == shapes


def test_what_dtc_takes_and_we_call_damaged_is_known(monkeypatch):
    newer = TREE[:24] + (99).to_bytes(4, "big") + TREE[28:]
    found = seen(monkeypatch, newer, "tables:dtb", rewritten_by_dtc=(True, TREE))
    assert (found.problems, len(known(found))) == ((), 1)


def test_what_dt_schema_has_against_a_mailbox_has_to_be_found(monkeypatch):
    said = ("wakeup-mailbox@0: 'reg' is a required property",)
    (one,) = seen(monkeypatch, TREE, "tables:dtb", complaints_of_dtschema=said).problems
    assert (one.kind, one.shape) == ("differs from dt-schema", "'reg' is a required property")
    node = {"wakeup-mailbox": {"compatible": b"intel,wakeup-mailbox\0"}}
    ours = encode_fdt({"reserved-memory": node, "cpus": {}})
    assert seen(monkeypatch, ours, "tables:dtb", complaints_of_dtschema=said).problems == ()


def test_a_dt_schema_that_is_not_there_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("MPWAKE_DTSCHEMA", str(tmp_path))
    assert binding.interpreter() is None
    monkeypatch.setattr(binding, "_ASKED", {})
    assert binding.complaints_of_dtschema(TREE) is None


def test_a_dt_schema_that_ends_or_says_nothing_sensible_is_no_verdict(monkeypatch, tmp_path):
    for number, script in enumerate(("#!/bin/false\n", "#!/bin/cat\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "dt-validate").write_text(script, encoding="ascii")
        (folder / "dt-validate").chmod(0o755)
        monkeypatch.setenv("MPWAKE_DTSCHEMA", str(folder))
        monkeypatch.setattr(binding, "_ASKED", {})
        assert binding.complaints_of_dtschema(TREE) is None


# What is explained


def test_each_explanation_is_of_something_that_a_comparison_says():
    kinds = ("differs from iasl: ", "differs from dtc: ", "differs from fwts: ", "differs from dt-schema: ")
    assert all(shape.startswith(kinds) and why for shape, why in KNOWN)


def test_what_nobody_has_explained_is_told():
    one = Problem("", "dtc reads another tree", "x", "y", kind="differs from dtc")
    assert told_apart((one,)) == ((one,), {})


# What inputs are made from


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        ("suite:trace", "\n".join(map(json.dumps, samples.trace_lines())).encode() + b"\n"),
        ("suite:events", "\n".join(map(json.dumps, samples.event_lines())).encode() + b"\n"),
        ("suite:kernel", samples.bzimage()),
        ("suite:image", samples.volume()),
    ],
)
def test_what_inputs_are_made_from_is_sound(reader, data):
    if reader == "suite:image":
        pytest.importorskip("uefi_firmware")
    found = examined(READERS[reader], data)
    assert (found.sometimes[inputs.READ], found.problems) == (1, ())


def test_each_of_the_suites_own_files_is_drawn():
    assert {name for name in READERS if name.startswith("suite:")} == {
        "suite:yaml",
        "suite:trace",
        "suite:events",
        "suite:image",
        "suite:kernel",
    }


def test_a_sound_stream_has_the_verdict_that_it_says():
    assert inputs.read_events("\n".join(map(json.dumps, samples.event_lines())).encode() + b"\n") is Verdict.FAIL
