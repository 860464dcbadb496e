"""Example runs for the tests of reports, put together the way a real run is: header, scenarios, footer, fold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs

from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite.events import (
    Finished,
    Header,
    Input,
    Judged,
    Lane,
    Run,
    Seen,
    Selected,
    Shown,
    Step,
    Subject,
    Traffic,
    TrafficRow,
    close,
    fold,
)

STARTED = "2026-03-14T09:26:53Z"
FINISHED = "2026-03-14T09:26:58Z"
MADT = bytes.fromhex(
    "41504943 44000000 07d54f56 4d462020 4f564d46 45444b32 02000000 4f564d46"
    "13000010 0000e0fe 01000000 00080000 01000000 10100100 00000000 00f00e00"
    "00000000"
)
CHAPTERS = {"MADT": "enumeration", "SND": "bring-up", "RCV": "hand-off", "MEM": "memory", "TDX": "confidential"}


def selected(
    requirement: str,
    title: str = "The mailbox address is a multiple of 4096",
    role: str = "tables",
    weight: Weight = Weight.CONFORMANCE,
    scenarios: Sequence[str] = (),
) -> Selected:
    """Return a requirement to judge; its scenario is ``features/<area>.feature:<number>`` unless given."""
    area, number = requirement.split("-")
    stated = weight in (Weight.CONFORMANCE, Weight.GUIDANCE)
    return Selected(
        id=requirement,
        role=role,
        title=title,
        area=area,
        chapter=CHAPTERS.get(area, "other"),
        basis="acpi-6.4" if stated else weight.value,
        weight=weight,
        clause="acpi-6.6 section 5.2.12.19, Table 5.45" if stated else f"{weight.value}: FWTS, LMW",
        statement=f"{title}, in every table that firmware publishes.",
        scenarios=tuple(scenarios) or (f"features/{area.lower()}.feature:{int(number)}",),
    )


def bytes_shown(offset: int = 0x20, start: int = 0x2C, length: int = 1) -> Shown:
    """Return an exhibit of the example MADT with some bytes marked."""
    return Shown("MADT", offset, MADT[offset:].hex(), ((start, length),), "")


def text_shown(text: str = "000000007ffe0000-000000007ffeffff usable") -> Shown:
    """Return an exhibit that is text."""
    return Shown("memory map", 0, "", (), text)


def traffic() -> Traffic:
    """Return a wakeup whose acknowledgement overwrites ApicId; that store is marked."""
    lanes = (Lane(0, "OS"), Lane(2, "AP 0x1ff"))
    rows = (
        TrafficRow(2, 0, "request", value=1, text="wake  APIC ID 0x1ff  0x9a000"),
        TrafficRow(30, 0, "store", "ApicId", 4, 4, 0x1FF, page="00000000ff0100000000000000000000"),
        TrafficRow(37, 0, "store", "Command", 0, 2, 1, page="01000000ff0100000000000000000000", text="release"),
        TrafficRow(38, 0, "load", "Command", 0, 2, 1, 400, 73),
        TrafficRow(74, 1, "store", "Command to ApicId", 0, 8, 0, page="0" * 32, marked=True),
        TrafficRow(80, 1, "landing", value=0x9A000, text="0x9a000"),
    )
    return Traffic(lanes, rows, "00000000ffffffff0000000000000000", 12, 1, 3)


def traffic_shown(one: Traffic | None = None) -> Shown:
    """Return an exhibit of mailbox traffic."""
    return Shown("mailbox traffic", 0, "", (), "> 74  AP 0x1ff store 8 bytes", one or traffic())


def seen(
    ok: bool = True,
    found: str = "0xef000",
    expected: str = "a multiple of 0x1000",
    weight: Weight = Weight.CONFORMANCE,
    exhibits: Sequence[Shown] = (),
) -> Seen:
    """Return one thing that a check looked at."""
    return Seen(ok, weight, found, expected, tuple(exhibits))


def judge(one: Selected, verdict: Verdict, reason: str = "", evidence: Sequence[Seen] = (), name: str = "") -> Finished:
    """Return the scenario of a requirement, judged."""
    status = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.ERROR: "error"}.get(verdict, "skipped")
    steps = (Step("Given the tables of the platform", "passed"), Step("Then the structure is as required", status))
    return Finished(
        event="scenario",
        file=one.scenarios[0],
        name=name or f"{one.title}, as published",
        feature=f"{one.area}: the example",
        role=one.role,
        judged=(Judged(one.id, verdict, reason, tuple(evidence)),),
        steps=steps,
        duration=0.25,
    )


def header(every: Sequence[Selected], strict: Sequence[str] = (), name: str = "tables:/sys/firmware/acpi") -> Header:
    """Return the header of a run on the example MADT."""
    return Header(
        event="header",
        schema="mpwake-events/1",
        mpwake="0.1.0",
        command=("run", name),
        started=STARTED,
        seed=20260314,
        edition="acpi-6.6",
        edition_reason="the MADT declares revision 7",
        target="tables",
        strict=tuple(strict),
        subject=Subject(
            name,
            (Input("/sys/firmware/acpi/tables/APIC", "MADT", len(MADT), hashlib.sha256(MADT).hexdigest()),),
            ("the DSDT was not read: it is not needed",),
        ),
        selected=tuple(every),
    )


def folded(begun: Header, finished: Sequence[Finished], complete: bool = True) -> Run:
    """Fold a header and its scenarios, with a footer unless the run is to be incomplete."""
    cut = fold([begun, *finished])
    if not complete:
        return cut
    whole = fold([begun, *finished, close(cut, FINISHED)])
    return attrs.evolve(whole, footer=close(whole, FINISHED))


def run_of(
    *judged: tuple[Selected, Finished | None], strict: Sequence[str] = (), complete: bool = True, name: str = "model"
) -> Run:
    """Return the run of these requirements; one whose scenario is None was selected and never judged."""
    begun = header([one for one, _ in judged], strict, name)
    return folded(begun, [finished for _, finished in judged if finished is not None], complete)


def passed(one: Selected, *evidence: Seen) -> tuple[Selected, Finished]:
    """Return a requirement that passes."""
    return one, judge(one, Verdict.PASS, "", evidence or (seen(),))


def length_fails() -> tuple[Selected, Finished]:
    """Return MADT-03 failing with marked bytes."""
    one = selected("MADT-03", "A version 1 structure is 24 bytes long")
    evidence = (
        seen(found="MailBoxVersion 1", expected="MailBoxVersion 1", exhibits=[bytes_shown(0x20, 0x36, 2)]),
        seen(False, "Length 16", "Length 24, because MailBoxVersion is 1", exhibits=[bytes_shown(0x20, 0x35)]),
    )
    return one, judge(one, Verdict.FAIL, "the structure is 16 bytes long, not 24", evidence)


def traffic_fails() -> tuple[Selected, Finished]:
    """Return RCV-09 failing with mailbox traffic, after something that is as required with traffic of its own."""
    one = selected("RCV-09", "The acknowledgement modifies only Command", "receiver")
    evidence = (
        seen(True, "a store of 2 bytes at 0x0", "2 bytes at 0", exhibits=[traffic_shown()]),
        seen(False, "a store of 8 bytes at 0x0", "2 bytes at 0", exhibits=[traffic_shown()]),
    )
    return one, judge(one, Verdict.FAIL, "a store of 8 bytes at 0x0; expected 2 bytes at 0", evidence)


def memory_fails() -> tuple[Selected, Finished]:
    """Return MEM-01 failing with text."""
    one = selected("MEM-01", "The mailbox lies in ACPI NVS memory")
    exhibit = text_shown("0000000000000000-000000000009ffff usable\n00000000000ef000-00000000000effff reserved")
    evidence = (seen(False, "0xef000 is reserved memory", "ACPI NVS memory", exhibits=[exhibit]),)
    return one, judge(one, Verdict.FAIL, "the page at 0xef000 is not ACPI NVS memory", evidence)


def interop_fails() -> tuple[Selected, Finished]:
    """Return MADT-14 failing; it is of weight interop."""
    one = selected("MADT-14", "The revision and the structure's version agree", weight=Weight.INTEROP)
    evidence = (seen(False, "revision 1", "revision 7", Weight.INTEROP, [bytes_shown(0x0, 0x8)]),)
    return one, judge(one, Verdict.FAIL, "a reader that goes by the revision expects version 0", evidence)


def conforming() -> Run:
    """Return a run in which all that counts passes."""
    return run_of(passed(selected("MADT-07")), passed(selected("MADT-01", "There is one structure of type 0x10")))


def non_conforming() -> Run:
    """Return a run with two failures, one shown by bytes and one by text, and a pass."""
    return run_of(length_fails(), memory_fails(), passed(selected("MADT-07")), name="tables:/sys/firmware/acpi")


def interop_failing(*strict: str) -> Run:
    """Return a run in which only an interop requirement fails."""
    return run_of(passed(selected("MADT-07")), interop_fails(), strict=strict)


def incomplete() -> Run:
    """Return a run that was cut: one pass, one failure, one requirement never judged."""
    never = selected("SND-01", "The command is written last", "sender")
    return run_of(passed(selected("MADT-07")), length_fails(), (never, None), complete=False)


def single(verdict: Verdict, reason: str = "") -> Run:
    """Return a run of one requirement with this verdict."""
    one = selected("MADT-07")
    return run_of((one, judge(one, verdict, reason)))


def every_verdict() -> Run:
    """Return a run with each verdict, in three roles and all weights."""
    others = (
        (selected("RCV-02", "The AP acknowledges with a Noop", "receiver"), Verdict.ERROR, "the emulator stopped"),
        (selected("SND-04", "The vector is written first", "sender"), Verdict.INCONCLUSIVE, "no store seen"),
        (selected("MADT-02", "A version 0 structure is 16 bytes long"), Verdict.NOT_APPLICABLE, "not in acpi-6.6"),
        (selected("MADT-16", "No _MAT returns a type 0x10"), Verdict.NOT_TESTABLE, "the target has no AML"),
        (selected("TDX-01", "The mailbox is private memory"), Verdict.NOT_TESTABLE, "the target has no AML"),
        (selected("MADT-12", "The checksum is right"), Verdict.WAIVED, "known; A. Vendor, until 2026-12-31"),
    )
    guidance = selected("MADT-29", "The boot processor is listed first", weight=Weight.GUIDANCE)
    robust = selected("RCV-30", "An unknown command is left alone", "receiver", Weight.ROBUSTNESS)
    return run_of(
        length_fails(),
        memory_fails(),
        interop_fails(),
        passed(selected("MADT-07")),
        passed(selected("MADT-07", role="sender")),
        passed(robust),
        (guidance, judge(guidance, Verdict.FAIL, "it is listed last", (seen(False, weight=Weight.GUIDANCE),))),
        *((one, judge(one, verdict, reason)) for one, verdict, reason in others),
        name="firmware:/srv/images/OVMF.fd",
    )


def worded(text: str, verdict: Verdict = Verdict.FAIL, complete: bool = True) -> Run:
    """Return a run in which every free text is ``text``."""
    one = attrs.evolve(selected("MADT-07", text), statement=text, clause=text)
    row = TrafficRow(1, 0, "store", text, 0, 2, 1, text=text, marked=True)
    drawn = Traffic((Lane(0, text), Lane(1, text)), (row, attrs.evolve(row, lane=1, kind=text)), "0" * 32)
    exhibits = [Shown(text, 0, MADT.hex(), ((0, 1),), ""), Shown(text, 0, "", (), text, drawn)]
    finished = judge(one, verdict, text, [seen(False, text, text, exhibits=exhibits)], text or "a scenario")
    finished = attrs.evolve(finished, feature=text, steps=(Step(text, "failed"),))
    subject = Subject(text, (Input(text, text, 4, "0" * 64),), (text,))
    begun = attrs.evolve(header([one]), subject=subject, command=("run", text), edition_reason=text)
    return folded(begun, [finished], complete)
