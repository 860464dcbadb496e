"""The evidence of the ``tables`` role: everything that firmware publishes, as far as it was given."""

from __future__ import annotations

import attrs

from mpwake.evidence.acpi import AcpiTable
from mpwake.evidence.command_line import CommandLine, parse
from mpwake.evidence.exhibit import Exhibit, bytes_exhibit
from mpwake.evidence.fdt import Fdt
from mpwake.evidence.madt import Madt
from mpwake.evidence.memory_map import MemoryMap
from mpwake.spec.editions import NEWEST, Edition, edition_of


@attrs.frozen
class Tables:
    """What firmware publishes. Whatever was not given is None or empty.

    ``mailbox`` is the mailbox page as firmware left it at hand-off, at most 4096 bytes; ``boot_apic_id`` the APIC
    ID of the processor that boots; ``reset_code_size`` how many bytes the code at ResetVector has; ``edition``
    the edition that all this is held against.
    """

    madt: Madt | None = None
    fdt: Fdt | None = None
    memory_map: MemoryMap | None = None
    command_line: CommandLine | None = None
    aml: tuple[AcpiTable, ...] = ()
    mailbox: bytes | None = None
    boot_apic_id: int | None = None
    reset_code_size: int | None = None
    edition: Edition = NEWEST

    def mailbox_exhibit(self, offset: int, length: int) -> Exhibit:
        """Show bytes of the mailbox page."""
        return bytes_exhibit("mailbox page", self.mailbox or b"", offset, length)

    @property
    def boot_arguments(self) -> CommandLine | None:
        """The kernel command line: the one given, else /chosen/bootargs of the DeviceTree.

        Raises ``CodecError`` when those are longer than a command line can be.
        """
        if self.command_line is not None or self.fdt is None:
            return self.command_line
        chosen = self.fdt.find("/chosen")
        arguments = chosen.prop("bootargs") if chosen else None
        return parse(arguments.value.decode("latin-1")) if arguments else None


def declared_edition(madt: Madt | None) -> Edition | None:
    """Return the edition that a MADT declares by its revision and MailBoxVersion, or None when there is none."""
    if madt is None or not madt.wakeups:
        return None
    return edition_of(madt.table.revision, madt.wakeups[0].version)
