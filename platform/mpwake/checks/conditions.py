"""The situations and the ways of looking that checks of the tables role share.

An entry with MailBoxAddress 0 needs care: Linux writes that zero itself, into the table in memory, when it cannot
reset processors (catalogue KEX-01), and leaves the checksum as it was. Tables read on such a system show the
kernel's work, so a zero is never held against firmware.
"""

from __future__ import annotations

from mpwake.checks.core import given, inconclusive, not_applicable, not_testable, when
from mpwake.evidence.aml import find_mat
from mpwake.evidence.command_line import CommandLine
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.fdt import Fdt, Node, reg
from mpwake.evidence.madt import Madt, WakeupStructure
from mpwake.evidence.memory_map import MemoryMap, MemoryType
from mpwake.evidence.tables import Tables

PAGE = 0x1000
PHYSICAL_LIMIT = 1 << 52
COMPATIBLE = "intel,wakeup-mailbox"
OPENHCL = "microsoft,openvmm"
NO_MADT = "no MADT was given"
NO_ENTRY = "the MADT has no entry of type 0x10 (Multiprocessor Wakeup Structure)"
NO_MAP = "no memory map was given"
ZEROED = (
    "MailBoxAddress is 0, which Linux writes over the address of a mailbox that it cannot hand on; "
    "take the tables before an operating system has changed them"
)


def madt_of(tables: Tables) -> Madt:
    """Return the MADT, or raise that none was given."""
    if tables.madt is None:
        raise not_testable(NO_MADT)
    return tables.madt


def fdt_of(tables: Tables) -> Fdt:
    """Return the DeviceTree, or raise that none was given."""
    if tables.fdt is None:
        raise not_testable("no DeviceTree blob was given")
    return tables.fdt


def map_of(tables: Tables) -> MemoryMap:
    """Return the memory map, or raise that none was given."""
    if tables.memory_map is None:
        raise not_testable(NO_MAP)
    return tables.memory_map


def page_of(tables: Tables) -> bytes:
    """Return the image of the mailbox page, or raise that none was given."""
    if tables.mailbox is None:
        raise not_testable("no image of the mailbox page at hand-off was given")
    return tables.mailbox


def wakeups(tables: Tables) -> tuple[WakeupStructure, ...]:
    """Return the wakeup structures of the MADT; raise when there are none."""
    madt = madt_of(tables)
    if madt.wakeups:
        return madt.wakeups
    if madt.broken:
        raise inconclusive(f"no entry of type 0x10 before the chain of entries breaks at {madt.broken}")
    raise not_applicable(NO_ENTRY)


def addressed(tables: Tables) -> tuple[tuple[WakeupStructure, int], ...]:
    """Return the wakeup structures with their addresses; raise when an address is 0 or none can be read."""
    found = tuple((one, one.address) for one in wakeups(tables) if one.address is not None)
    if any(address == 0 for _, address in found):
        raise inconclusive(ZEROED)
    if not found:
        raise inconclusive("the entry of type 0x10 is too short to hold a MailBoxAddress")
    return found


def arguments_of(tables: Tables) -> CommandLine:
    """Return the kernel command line, or raise that there is none to be read."""
    try:
        line = tables.boot_arguments
    except CodecError as error:
        raise inconclusive(f"/chosen/bootargs of the DeviceTree is {error}") from None
    if line is None:
        raise not_testable("no kernel command line was given, and the DeviceTree has no /chosen/bootargs")
    return line


def mailbox_nodes(fdt: Fdt) -> tuple[Node, ...]:
    """Return the nodes that mean to be the wakeup mailbox: by their compatible, even where it is misspelt."""
    return tuple(node for node in fdt.walk() if _means_mailbox(node))


def _means_mailbox(node: Node) -> bool:
    compatible = node.prop("compatible")
    if compatible is None:
        return False
    names = compatible.value.lower().replace(b"_", b"-").split(b"\0")
    return any(name.startswith(COMPATIBLE.encode()) for name in names)


def rejected_designs(fdt: Fdt) -> tuple[tuple[Node, str], ...]:
    """Return what announces a mailbox as drafts of the binding did that were rejected: where it is, and what it is.

    Versions 1 and 2 (August 2024) had an enable-method and the address in /cpus, version 3 (May 2025) an enable-method
    in each cpu node.
    """
    cpus = fdt.find("/cpus")
    found: list[tuple[Node, str]] = []
    for node in (cpus, *cpus.children) if cpus else ():
        for prop in node.properties:
            names = prop.strings if prop.name == "enable-method" else None
            if prop.name.endswith("mailbox-addr"):
                found.append((node, f"{prop.name}, of the first two drafts of the binding"))
            elif "acpi-wakeup-mailbox" in (names or ()):
                found.append((node, "enable-method acpi-wakeup-mailbox, of the first two drafts of the binding"))
            elif COMPATIBLE in (names or ()):
                found.append((node, f"enable-method {COMPATIBLE}, of the third draft of the binding"))
    return tuple(found)


def no_node(fdt: Fdt) -> str:
    """Say that there is no mailbox node, and what stands in its place."""
    words = f"the DeviceTree has no node compatible with {COMPATIBLE}"
    rejected = rejected_designs(fdt)
    if rejected:
        node, what = rejected[0]
        words += f"; {node.path} has {what}, a design that was rejected: the node alone announces the mailbox"
    return words


def nodes(tables: Tables) -> tuple[Node, ...]:
    """Return the mailbox nodes of the DeviceTree; raise when there are none."""
    fdt = fdt_of(tables)
    found = mailbox_nodes(fdt)
    if not found and fdt.damage:
        raise inconclusive(f"no mailbox node before the blob is damaged at {fdt.damage[0]}")
    if not found:
        raise not_applicable(no_node(fdt))
    return found


def base_and_size(fdt: Fdt, node: Node) -> tuple[int, int] | None:
    """Return the first address and size of a node's reg, or None when it cannot be read."""
    parent = fdt.parent(node)
    ranges = reg(node, parent) if parent else None
    return ranges[0] if ranges else None


def is_openhcl(tables: Tables) -> bool:
    """Say whether the DeviceTree is one that OpenHCL's boot loader makes."""
    compatible = tables.fdt.root.prop("compatible") if tables.fdt else None
    return bool(compatible and compatible.strings and OPENHCL in compatible.strings)


def published(tables: Tables) -> dict[str, int]:
    """Return where the mailbox is, by who says it: ``MADT`` and ``DeviceTree``. Raise when nobody says it."""
    places: dict[str, int] = {}
    if tables.madt is not None and tables.madt.wakeups:
        places["MADT"] = addressed(tables)[0][1]
    if tables.fdt is not None:
        for node in mailbox_nodes(tables.fdt):
            found = base_and_size(tables.fdt, node)
            if found:
                places.setdefault("DeviceTree", found[0])
    if places:
        return places
    if tables.madt is None and tables.fdt is None:
        raise not_testable("neither a MADT nor a DeviceTree was given")
    if tables.fdt is not None and mailbox_nodes(tables.fdt):
        raise inconclusive("the reg of the mailbox node cannot be read")
    if tables.madt is not None and tables.madt.broken:
        wakeups(tables)
    if tables.fdt is not None and rejected_designs(tables.fdt):
        raise not_applicable(no_node(tables.fdt))
    raise not_applicable("no wakeup mailbox is published" if tables.fdt else NO_ENTRY)


@given("a wakeup structure in the MADT")
def a_wakeup_structure(tables: Tables) -> None:
    """At least one entry of type 0x10."""
    wakeups(tables)


@given("a MADT that holds a wakeup structure, or is too damaged to tell")
def a_wakeup_structure_or_damage(tables: Tables) -> None:
    """A sound MADT without the entry is no subject of this suite; a damaged one is."""
    madt = madt_of(tables)
    if not madt.wakeups and not madt.broken and not trailing_wakeup(madt):
        raise not_applicable(NO_ENTRY)


def trailing_wakeup(madt: Madt) -> bool:
    """Say whether a wakeup structure follows right behind the header's Length."""
    rest = madt.data[madt.table.length :]
    return len(rest) >= 16 and rest[0] == 0x10 and rest[1] in (16, 24)


@given("a MADT")
def a_madt(tables: Tables) -> None:
    """A MADT was given."""
    madt_of(tables)


@given("a wakeup structure with MailBoxVersion 0")
def version_0(tables: Tables) -> None:
    """The structure of ACPI 6.4 and 6.5."""
    if not any(one.version == 0 for one in wakeups(tables)):
        raise not_applicable("the wakeup structure does not have MailBoxVersion 0")


@given("a wakeup structure with MailBoxVersion 1")
def version_1(tables: Tables) -> None:
    """The structure of ACPI 6.6."""
    if not any(one.version == 1 for one in wakeups(tables)):
        raise not_applicable("the wakeup structure does not have MailBoxVersion 1")


@given("a wakeup structure long enough to hold a ResetVector")
def a_reset_vector(tables: Tables) -> None:
    """Length 24 or more, MailBoxVersion above 0."""
    if not any(one.reset_vector is not None and one.version for one in wakeups(tables)):
        raise not_applicable("the wakeup structure has no ResetVector")


@given("a ResetVector that is not 0")
def a_usable_reset_vector(tables: Tables) -> None:
    """A mailbox that can be reset."""
    a_reset_vector.require(tables)
    if not any(one.reset_vector and one.version for one in wakeups(tables)):
        raise not_applicable("ResetVector is 0: the mailbox cannot be reset")


@given("a MailBoxAddress that is not 0")
def an_address(tables: Tables) -> None:
    """An address that no kernel has erased."""
    addressed(tables)


@given("a processor whose APIC ID is 255 or above")
def a_large_apic_id(tables: Tables) -> None:
    """In either form of processor entry."""
    wakeups(tables)
    if not any(one.usable and one.apic_id >= 0xFF for one in madt_of(tables).processors):
        raise not_applicable("no processor of the MADT has an APIC ID of 255 or above")


@given("_MAT objects in the AML")
def mat_objects(tables: Tables) -> None:
    """Objects that return MADT entries."""
    wakeups(tables)
    if not tables.aml:
        raise not_testable("no DSDT or SSDT was given")
    if not any(find_mat(table) for table in tables.aml):
        raise not_applicable("the AML has no _MAT object")


@given("a mailbox node in the DeviceTree")
def a_mailbox_node(tables: Tables) -> None:
    """A node whose compatible names the wakeup mailbox, or nearly does."""
    nodes(tables)


@given("no mailbox in the MADT")
def no_madt_mailbox(tables: Tables) -> None:
    """The DeviceTree is the only place that the mailbox is published in."""
    if tables.madt is not None and tables.madt.wakeups:
        raise not_applicable("the MADT publishes a mailbox too, so ACPI may stay enabled")


@given("a mailbox published in the MADT and in the DeviceTree")
def both_places(tables: Tables) -> None:
    """Both enumerations are there."""
    places = published(tables)
    if len(places) < 2:
        raise not_applicable(f"the mailbox is published in one place only: the {next(iter(places))}")


@given("a published mailbox")
def a_mailbox(tables: Tables) -> None:
    """A mailbox in either enumeration."""
    published(tables)


@given("a mailbox published in the MADT")
def a_madt_mailbox(tables: Tables) -> None:
    """A mailbox in the MADT; with a DeviceTree alone, whether NVS memory is demanded is in dispute."""
    if "MADT" not in published(tables):
        raise not_applicable(
            "the mailbox is published in a DeviceTree only, and the binding refers to ACPI for its structure "
            "and operation: whether it must lie in ACPI NVS memory there is not settled"
        )


@given("a mailbox that begins in ACPI NVS memory")
def begins_in_nvs(tables: Tables) -> None:
    """Where it does not, MADT-08 says so."""
    base = addressed(tables)[0][1]
    if MemoryType.ACPI_NVS not in map_of(tables).types_of(base, base + 1):
        raise not_applicable("the mailbox does not begin in ACPI NVS memory, which MADT-08 judges")


@given("a DeviceTree made by OpenHCL for a TDX guest")
def openhcl(tables: Tables) -> None:
    """Root compatible with microsoft,openvmm; its /openhcl node tells the isolation."""
    fdt_of(tables)
    if not is_openhcl(tables):
        raise not_applicable(f"the DeviceTree is not compatible with {OPENHCL}")
    if isolation(tables) not in (None, "tdx"):
        raise not_applicable(f"the guest's isolation is {isolation(tables)}, not TDX")


@given("a DeviceTree made by OpenHCL")
def any_openhcl(tables: Tables) -> None:
    """Root compatible with microsoft,openvmm, whatever the isolation."""
    fdt_of(tables)
    if not is_openhcl(tables):
        raise not_applicable(f"the DeviceTree is not compatible with {OPENHCL}")


def isolation(tables: Tables) -> str | None:
    """Return OpenHCL's /openhcl isolation-type (tdx, snp, vbs, none), or None when it is not said."""
    node = tables.fdt.find("/openhcl") if tables.fdt else None
    kind = node.prop("isolation-type") if node else None
    return kind.strings[0] if kind and kind.strings else None


@given("a platform other than OpenHCL")
def not_openhcl(tables: Tables) -> None:
    """Under OpenHCL, Linux raises the limit of its trampoline from 1 MiB to 4 GiB (TRM-03)."""
    if is_openhcl(tables):
        raise not_applicable("under OpenHCL the trampoline may lie anywhere below 4 GiB")


@when("the MADT is walked entry by entry")
def walk_madt(tables: Tables) -> None:
    """Every entry by its own Length."""
    madt_of(tables)


@when("the bytes of the MADT are summed")
def sum_madt(tables: Tables) -> None:
    """Over the header's Length."""
    madt_of(tables)


@when("the mailbox page is looked up in the memory map")
def look_up(tables: Tables) -> None:
    """Needs a memory map."""
    map_of(tables)


@when("the memory below 1 MiB is looked up in the memory map")
def look_up_low(tables: Tables) -> None:
    """Needs a memory map."""
    map_of(tables)


@when("the AML is searched for constant buffers")
def search_aml(tables: Tables) -> None:
    """Nothing is executed."""
    if not tables.aml:
        raise not_testable("no DSDT or SSDT was given")


@when("the APIC ID of the boot processor is known")
def boot_processor(tables: Tables) -> None:
    """Declared with the target, or the DeviceTree's boot_cpuid_phys."""
    if tables.boot_apic_id is None:
        raise not_testable("the APIC ID of the boot processor was not given")


@when("the size of the reset code is known")
def reset_code(tables: Tables) -> None:
    """Declared with the target."""
    if not tables.reset_code_size:
        raise not_testable("the size of the code at ResetVector was not given")


@when("the DeviceTree is read")
def read_fdt(tables: Tables) -> None:
    """Needs a blob."""
    fdt_of(tables)


@when("the kernel command line is read")
def read_command_line(tables: Tables) -> None:
    """Given, or /chosen/bootargs."""
    arguments_of(tables)


@when("the mailbox page is read as firmware left it")
def read_page(tables: Tables) -> None:
    """Needs an image of the page."""
    page_of(tables)


@when("the published addresses are compared")
def compare(tables: Tables) -> None:
    """Nothing beyond what publishes them."""
