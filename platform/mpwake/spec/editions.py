"""The editions of the specification that a run can be held against."""

from __future__ import annotations

import enum

import attrs


class Edition(enum.Enum):
    """A document that clauses are cited from. The ACPI ones can be chosen for a run, oldest first."""

    ACPI_6_4 = "acpi-6.4"
    ACPI_6_5 = "acpi-6.5"
    ACPI_6_6 = "acpi-6.6"
    DT_BINDING = "dt-binding"


@attrs.frozen
class EditionFacts:
    """What distinguishes one edition.

    ``madt_revision`` is the MADT revision of that release (ACPI 6.6 Table 5.19 gives 7; 6.5 and 6.4 give 6
    and 5), ``mailbox_version`` the MailBoxVersion that its Multiprocessor Wakeup Structure carries, ``length``
    that structure's Length and ``commands`` the values of Command that it defines.
    """

    title: str
    madt_revision: int
    mailbox_version: int
    length: int
    commands: tuple[int, ...]


FACTS: dict[Edition, EditionFacts] = {
    Edition.ACPI_6_4: EditionFacts("ACPI 6.4 (January 2021)", 5, 0, 16, (0, 1)),
    Edition.ACPI_6_5: EditionFacts("ACPI 6.5 (August 2022)", 6, 0, 16, (0, 1)),
    Edition.ACPI_6_6: EditionFacts("ACPI 6.6 (May 2025)", 7, 1, 24, (0, 1, 2)),
}

ACPI_EDITIONS = tuple(FACTS)
NEWEST = ACPI_EDITIONS[-1]


def edition_of(madt_revision: int | None, mailbox_version: int | None) -> Edition | None:
    """Return the edition that a MADT declares, or None when it declares none.

    The MADT revision decides where an edition has that revision; a revision above the newest counts as the
    newest. Below the first that defines the structure, MailBoxVersion decides: firmware that appends the
    structure to a table made by somebody else (EDK2 under QEMU) leaves that table's revision as it was.
    """
    for edition, facts in FACTS.items():
        if madt_revision == facts.madt_revision:
            return edition
    if madt_revision is not None and madt_revision > FACTS[NEWEST].madt_revision:
        return NEWEST
    versions = {0: Edition.ACPI_6_5, 1: Edition.ACPI_6_6}
    return None if mailbox_version is None else versions.get(mailbox_version, NEWEST)
