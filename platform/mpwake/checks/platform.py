"""What spans several sources: the choice of enumeration (SEL), the page (MEM), the trampoline (TRM), OpenHCL (HVL)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks import conditions as c
from mpwake.checks.core import Finding, check, not_applicable, not_testable
from mpwake.checks.devicetree import apic_id, cpu_nodes
from mpwake.evidence.command_line import acpi_disabled
from mpwake.evidence.exhibit import text_exhibit
from mpwake.evidence.memory_map import MemoryType
from mpwake.evidence.tables import Tables
from mpwake.spec.requirements import Weight

LOW_LIMIT = 0x100000
_NO_APIC_ID = 0xFFFFFFFF
_OPENHCL_BASE = 0xFFFFF000
_OPENHCL_NAME = "wakeup_table"


@check(
    "SEL-03",
    given=(c.a_mailbox_node, c.no_madt_mailbox),
    when=c.read_command_line,
    then="it turns ACPI off",
)
def acpi_is_off(tables: Tables) -> Iterator[Finding]:
    """Judge the effect of the acpi= parameters."""
    line = c.arguments_of(tables)
    exhibit = text_exhibit("command line", line.text)
    yield Finding(acpi_disabled(line), "ACPI " + ("off" if acpi_disabled(line) else "left on"), "acpi=off", (exhibit,))


@check("SEL-11", given=(c.both_places,), when=c.compare, then="both name the same page")
def same_page(tables: Tables) -> Iterator[Finding]:
    """Judge the two addresses."""
    places = c.published(tables)
    found = ", ".join(f"{who} {address:#x}" for who, address in places.items())
    fdt, madt = c.fdt_of(tables), c.madt_of(tables)
    node, entry = c.nodes(tables)[0], c.wakeups(tables)[0].entry
    reg = node.prop("reg")
    shown = fdt.exhibit(reg.offset, len(reg.value)) if reg else fdt.exhibit(node.offset, 4)
    at = (madt.exhibit(entry.offset + 8, 8), shown)
    yield Finding(len(set(places.values())) == 1, found, "one address", at)


@check("MEM-01", given=(c.a_mailbox,), when=c.compare, then="it is one block of 4096 bytes, aligned to 4096")
def one_aligned_block(tables: Tables) -> Iterator[Finding]:
    """Judge alignment wherever it is published, and the size that a DeviceTree gives."""
    for who, address in c.published(tables).items():
        yield Finding(address % c.PAGE == 0, f"{who}: base {address:#x}", "a multiple of 0x1000")
    several = {one.address for one in tables.madt.wakeups if one.address} if tables.madt else set()
    for node in c.mailbox_nodes(tables.fdt) if tables.fdt else ():
        fdt = c.fdt_of(tables)
        place, reg = c.base_and_size(fdt, node), node.prop("reg")
        if place and reg:
            at = (fdt.exhibit(reg.offset, len(reg.value)),)
            several.add(place[0])
            yield Finding(place[1] >= c.PAGE, f"DeviceTree: {place[1]:#x} bytes", "a block of 0x1000 bytes", at)
    # No specification says how often the block may be published, so several are bad practice, not non-conforming.
    listed = ", ".join(f"{address:#x}" for address in sorted(several))
    yield Finding(len(several) == 1, f"published: {listed}", "one block", (), Weight.ROBUSTNESS)


@check(
    "MEM-02",
    given=(c.a_madt_mailbox,),
    when=c.look_up,
    then="firmware has allocated it in ACPI NVS memory",
)
def allocated_in_nvs(tables: Tables) -> Iterator[Finding]:
    """Judge every byte of the block."""
    address = c.published(tables)["MADT"]
    kinds = c.map_of(tables).types_of(address, address + c.PAGE)
    named = sorted("no range" if kind is None else kind.value for kind in kinds)
    exhibit = c.map_of(tables).exhibit(address, address + c.PAGE)
    yield Finding(kinds == {MemoryType.ACPI_NVS}, f"the block lies in {', '.join(named)}", "acpi-nvs", (exhibit,))


@check("MEM-15", given=(c.a_mailbox,), when=c.read_page, then="Command is 0")
def command_is_idle(tables: Tables) -> Iterator[Finding]:
    """Judge bytes 0 and 1 at hand-off."""
    command = _field(tables, 0, 2)
    yield Finding(command == 0, f"Command {command:#x}", "Command 0", (tables.mailbox_exhibit(0, 2),))


@check("MEM-16", given=(c.a_mailbox,), when=c.read_page, then="ApicId is 0xFFFFFFFF and WakeupVector 0")
def fields_are_impossible(tables: Tables) -> Iterator[Finding]:
    """Judge bytes 4 to 15 at hand-off."""
    apic = _field(tables, 4, 4)
    yield Finding(apic == _NO_APIC_ID, f"ApicId {apic:#x}", "ApicId 0xffffffff", (tables.mailbox_exhibit(4, 4),))
    vector = _field(tables, 8, 8)
    yield Finding(vector == 0, f"WakeupVector {vector:#x}", "WakeupVector 0", (tables.mailbox_exhibit(8, 8),))


def _field(tables: Tables, offset: int, size: int) -> int:
    part = c.page_of(tables)[offset : offset + size]
    if len(part) < size:
        raise not_testable(f"the image of the mailbox page ends before byte {offset + size}")
    return int.from_bytes(part, "little")


@check(
    "TRM-10",
    given=(c.a_mailbox, c.not_openhcl),
    when=c.look_up_low,
    then="a whole usable page is there that is not the mailbox",
)
def low_page_for_trampoline(tables: Tables) -> Iterator[Finding]:
    """Judge that Linux finds a place for its trampoline before it reserves the first MiB."""
    mailboxes = set(c.published(tables).values())
    pages = 0
    for one in c.map_of(tables).usable_below(LOW_LIMIT):
        first = max(c.PAGE, -(-one.start // c.PAGE) * c.PAGE)
        pages += sum(page not in mailboxes for page in range(first, one.end - c.PAGE + 1, c.PAGE))
    exhibit = c.map_of(tables).exhibit(0, LOW_LIMIT)
    yield Finding(pages > 0, f"{pages} usable pages below 1 MiB", "at least one", (exhibit,))


@check(
    "HVL-06",
    given=(c.any_openhcl,),
    when=c.read_fdt,
    then="a TDX guest, and no other, has the node wakeup_table at 0xFFFFF000",
)
def openhcl_node(tables: Tables) -> Iterator[Finding]:
    """Judge the shape that OpenHCL's boot loader gives the node, and that only a TDX guest has it."""
    fdt, kind = c.fdt_of(tables), c.isolation(tables)
    found = c.mailbox_nodes(fdt)
    if kind not in (None, "tdx"):
        named = f"isolation {kind} with {len(found)} mailbox nodes"
        yield Finding(not found, named, "no mailbox node", (fdt.exhibit(found[0].offset if found else 0, 4),))
        return
    if not found and kind is None:
        raise not_applicable("no mailbox node, and the DeviceTree does not say what isolates the guest")
    if not found:
        yield Finding(False, "no mailbox node", f"{_OPENHCL_NAME} in a TDX guest", (fdt.exhibit(fdt.root.offset, 4),))
    for node in found:
        place, reg = c.base_and_size(fdt, node), node.prop("reg")
        at = (fdt.exhibit(reg.offset, len(reg.value)),) if reg else (fdt.exhibit(node.offset, 4),)
        good = node.base_name == _OPENHCL_NAME and place == (_OPENHCL_BASE, c.PAGE)
        told = f"{node.name} with base {place[0]:#x} and size {place[1]:#x}" if place else f"{node.name} without reg"
        yield Finding(good, told, f"{_OPENHCL_NAME} at {_OPENHCL_BASE:#x} of size 0x1000", at)


@check(
    "HVL-07",
    given=(c.openhcl, c.a_mailbox_node),
    when=c.read_fdt,
    then="each cpu is okay, and its reg is its APIC ID",
)
def openhcl_cpus(tables: Tables) -> Iterator[Finding]:
    """Judge status and reg; that the node names count from one instead is OpenHCL's way and not judged."""
    fdt = c.fdt_of(tables)
    cpus = cpu_nodes(fdt)
    if not cpus:
        raise not_applicable("the DeviceTree has no cpu node")
    for node in cpus:
        status, number = node.prop("status"), apic_id(fdt, node)
        okay = status is not None and status.strings == ("okay",)
        told = status.value if status else b"nothing"
        at = (fdt.exhibit(node.offset, 4 + len(node.name)),)
        yield Finding(okay, f"{node.path} with status {told!r}", "status okay", at)
        good = number is not None and number < _NO_APIC_ID
        yield Finding(good, f"{node.path} with reg {number}", "an APIC ID of 32 bits", at)


@check(
    "HVL-08",
    given=(c.openhcl, c.a_mailbox_node),
    when=c.look_up,
    then="the page is reserved, and not ACPI NVS memory",
)
def openhcl_page_is_reserved(tables: Tables) -> Iterator[Finding]:
    """Judge the type of the page in the map that OpenHCL's boot loader gives its kernel."""
    kinds = c.map_of(tables).types_of(_OPENHCL_BASE, _OPENHCL_BASE + c.PAGE)
    named = sorted("no range" if kind is None else kind.value for kind in kinds)
    exhibit = c.map_of(tables).exhibit(_OPENHCL_BASE, _OPENHCL_BASE + c.PAGE)
    yield Finding(kinds == {MemoryType.RESERVED}, f"the page lies in {', '.join(named)}", "reserved", (exhibit,))
