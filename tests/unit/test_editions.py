"""Which edition a MADT declares, by its revision and MailBoxVersion."""

from __future__ import annotations

import pytest

from mpwake.evidence.madt import decode_madt, encode_lapic, encode_madt, encode_wakeup
from mpwake.evidence.tables import declared_edition
from mpwake.spec.editions import ACPI_EDITIONS, FACTS, NEWEST, Edition, edition_of

OF_6_4, OF_6_5, OF_6_6 = ACPI_EDITIONS

# Revision to what versions 0, 1 and 2 declare under it, and no version at all.
DECLARED = {
    1: (OF_6_5, OF_6_6, OF_6_6, None),
    2: (OF_6_5, OF_6_6, OF_6_6, None),
    3: (OF_6_5, OF_6_6, OF_6_6, None),
    4: (OF_6_5, OF_6_6, OF_6_6, None),
    5: (OF_6_4,) * 4,
    6: (OF_6_5,) * 4,
    7: (OF_6_6,) * 4,
    8: (OF_6_6,) * 4,
    9: (OF_6_6,) * 4,
    255: (OF_6_6,) * 4,
    None: (OF_6_5, OF_6_6, OF_6_6, None),
}


def test_the_editions_that_can_be_chosen_are_those_of_acpi_oldest_first() -> None:
    assert [edition.value for edition in ACPI_EDITIONS] == ["acpi-6.4", "acpi-6.5", "acpi-6.6"]
    assert NEWEST is OF_6_6
    assert Edition.DT_BINDING not in FACTS


@pytest.mark.parametrize(
    ("edition", "facts"),
    [(OF_6_4, (5, 0, 16, (0, 1))), (OF_6_5, (6, 0, 16, (0, 1))), (OF_6_6, (7, 1, 24, (0, 1, 2)))],
)
def test_what_distinguishes_an_edition(edition: Edition, facts: tuple[object, ...]) -> None:
    one = FACTS[edition]
    assert (one.madt_revision, one.mailbox_version, one.length, one.commands) == facts


@pytest.mark.parametrize(
    ("revision", "version", "edition"),
    [
        (revision, version, edition)
        for revision, editions in DECLARED.items()
        for version, edition in zip((0, 1, 2, None), editions, strict=True)
    ],
)
def test_a_revision_that_an_edition_has_decides_else_the_version(
    revision: int | None, version: int | None, edition: Edition | None
) -> None:
    assert edition_of(revision, version) is edition


@pytest.mark.parametrize("revision", range(1, 10))
@pytest.mark.parametrize("version", [0, 1])
def test_a_madt_declares_the_edition_of_its_structure(revision: int, version: int) -> None:
    structure = encode_wakeup(version, 0x7F5E5000, 0 if version else None)
    madt = decode_madt(encode_madt((encode_lapic(0, 0, 1), structure), revision))
    assert declared_edition(madt) is DECLARED[revision][version]


def test_what_has_no_structure_declares_nothing() -> None:
    assert declared_edition(None) is None
    assert declared_edition(decode_madt(encode_madt((encode_lapic(0, 0, 1),), 7))) is None


def test_a_structure_too_short_for_a_version_leaves_it_to_the_revision() -> None:
    assert declared_edition(decode_madt(encode_madt((b"\x10\x02",), 6))) is OF_6_5
    assert declared_edition(decode_madt(encode_madt((b"\x10\x02",), 3))) is None
