"""The sender role: what the suite says of bring-ups that keep to ACPI, of those that are known, and of each mutant."""

import pytest

from mpwake.checks.core import CHECKS, Judgement, judge
from mpwake.spec.editions import Edition
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.suite.mutants import Outcome, check_of, judge_all, mutants, mutated
from mpwake.targets import open_target

# Of Linux in every version: an unaligned address, the result of the mapping, a wake routine of two pages, IPIs in a TD.
LINUX = ("MADT-27", "SND-15", "SND-19", "SEL-07", "TDX-04", "TRM-08")
# What an operating system that never gives up on a wake leaves open, and what others promise.
UNLIMITED = ("TMO-04", "TMO-08")
OF_OTHERS = ("TRM-04", "TRM-09", *(f"IPI-{number:02}" for number in (2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14)))
# Of those that give up on a wake after a number of tries.
IMPATIENT = ("SND-05", "TDX-08", "TMO-03", "TMO-04", "TMO-07")
# Of those that count processors, or take the first entry for that of the boot processor, and read entries of type 0.
COUNTING = ("MADT-17", "MADT-18", "MADT-27", "MADT-29", "SND-09")
SENDERS = [(mutant, node) for mutant, node in mutants() if mutant.role is Role.SENDER]


def judged(platform: str, edition: Edition | None = None) -> dict[str, Judgement]:
    target = open_target(f"model:{platform}")
    held = target.held_to(edition, "asked") if edition else target
    return judge_all(held.evidence(Role.SENDER), Role.SENDER)


def failing(platform: str) -> set[str]:
    return {one for one, judgement in judged(platform).items() if judgement.verdict is Verdict.FAIL}


@pytest.mark.parametrize(
    ("platform", "others"),
    [
        ("reference", {"DUP-01", "RST-14"}),
        (
            "os-reference",
            {"MADT-10", "SND-13", "SND-14", "DUP-02", "TRM-01", "KEX-05"}
            | {f"RST-{number:02}" for number in (1, 3, 4, 5, 6, 7, 9, 12, 16)},
        ),
    ],
)
def test_an_operating_system_that_takes_care_has_no_failure_and_no_open_question(
    platform: str, others: set[str]
) -> None:
    told = judged(platform)
    allowed = {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert {judgement.verdict for judgement in told.values()} == allowed
    unjudged = {one for one, judgement in told.items() if judgement.verdict is Verdict.NOT_APPLICABLE}
    assert unjudged == {*UNLIMITED, *OF_OTHERS, *others}


@pytest.mark.parametrize(
    ("platform", "deviations"),
    [
        (
            "linux-7.2",
            {"MADT-10", "RST-02", "RST-09", "RST-16", "DUP-02", "KEX-05", "KEX-06", "KEX-07", *LINUX, "DUP-04"}
            | {"RST-22", "SND-17"},
        ),
        ("linux-6.1", {"MADT-26", "KEX-01", *LINUX, "DUP-01", "DUP-04"}),
        (
            "linux-tdx-acpi",
            {"MADT-26", "KEX-01", *LINUX, *IMPATIENT, "SND-07"},
        ),
        ("linux-kexec", {*LINUX, "DUP-01", "DUP-04"}),
        ("ohcl-vtl2-tdx-dt", {"MADT-27", "SND-13", "SND-15", "SND-19", "TRM-01", "TRM-08", "DUP-04"}),
        ("ohcl-vtl2-dt", {"DUP-04"}),
        (
            "asterinas",
            {*COUNTING, "MADT-20", "MADT-28", "SEL-07", *IMPATIENT, "SND-07", "ORD-01", "ORD-06", "DUP-01", "DUP-04"},
        ),
        ("gramine-tdx", {*COUNTING, "MADT-24", "MADT-25", "SND-20", *IMPATIENT, "SND-02", "DUP-01", "DUP-04"}),
    ],
)
def test_the_known_deviations_are_found_and_no_others(platform: str, deviations: set[str]) -> None:
    assert failing(platform) == deviations


def test_one_use_is_demanded_where_the_mailbox_has_version_0() -> None:
    assert judged("linux-6.1", Edition.ACPI_6_6)["DUP-01"].verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("number", range(len(SENDERS)), ids=[mutant.id for mutant, _ in SENDERS])
def test_each_mutant_is_killed_by_the_requirement_that_it_breaks(number: int) -> None:
    mutant, node = SENDERS[number]
    judgement = judge(check_of(mutant), mutated(mutant, node))
    assert judgement.verdict is Verdict.FAIL, judgement


def test_every_check_of_the_role_has_a_mutant() -> None:
    assert {one for one, role in CHECKS if role is Role.SENDER} == {mutant.breaks for mutant, _ in SENDERS}


def test_a_plain_store_is_caught_under_the_relaxed_model_alone() -> None:
    mutant, node = next((one, node) for one, node in SENDERS if one.id == "ord-plain-store")
    judged = judge_all(mutated(mutant, node), Role.SENDER)
    outcome = Outcome(mutant, judged, judged[mutant.breaks])
    assert outcome.judgements["SND-01"].verdict is Verdict.PASS
    assert outcome.judgements["ORD-01"].verdict is Verdict.FAIL
