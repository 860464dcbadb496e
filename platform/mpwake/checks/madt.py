"""Enumeration in the MADT (area MADT, as far as tables show it)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks import conditions as c
from mpwake.checks.core import Finding, check, inconclusive, not_applicable
from mpwake.evidence import madt as codec
from mpwake.evidence.aml import find_mat
from mpwake.evidence.exhibit import bytes_exhibit
from mpwake.evidence.madt import Entry, Madt
from mpwake.evidence.memory_map import MemoryType
from mpwake.evidence.tables import Tables
from mpwake.spec.editions import FACTS
from mpwake.spec.requirements import Weight

# Types that x86 firmware never publishes with a Length of 16 or 24 (Table 5.21): the GIC ITS is 20 bytes long,
# the LoongArch core interrupt controller 15. A wakeup structure under such a number is a wrong number.
_NEIGHBOUR_TYPES = (0x0F, 0x11)
_LENGTHS = {0: 16, 1: 24}
_REVISION_OF_6_6 = 7


def _at(tables: Tables, entry: Entry, offset: int, length: int) -> tuple:  # type: ignore[type-arg]
    return (c.madt_of(tables).exhibit(entry.offset + offset, length),)


def _misnumbered(madt: Madt) -> Iterator[Entry]:
    for entry in madt.entries:
        shape = codec.decode_wakeup(entry)
        fits = entry.type in _NEIGHBOUR_TYPES and _LENGTHS.get(shape.version or 0) == entry.length
        if fits and shape.reserved == 0 and shape.address and shape.address % c.PAGE == 0:
            yield entry


@check("MADT-01", given=(c.a_madt,), when=c.walk_madt, then="the wakeup structure has the type 0x10")
def type_is_0x10(tables: Tables) -> Iterator[Finding]:
    """Judge the number of the entry that has the shape of a wakeup structure."""
    madt = c.madt_of(tables)
    for wakeup in madt.wakeups:
        yield Finding(True, "type 0x10", "type 0x10", _at(tables, wakeup.entry, 0, 1))
    wrong = () if madt.wakeups else tuple(_misnumbered(madt))
    for entry in wrong:
        found = f"an entry of type {entry.type:#04x} with the shape of a wakeup structure, and none of type 0x10"
        yield Finding(False, found, "type 0x10", _at(tables, entry, 0, 1))
    if not wrong:
        c.wakeups(tables)


@check("MADT-02", given=(c.version_0,), when=c.walk_madt, then="the Length of the version 0 structure is 16")
def version_0_length(tables: Tables) -> Iterator[Finding]:
    """Judge Length where MailBoxVersion is 0."""
    yield from _length(tables, 0)


@check("MADT-03", given=(c.version_1,), when=c.walk_madt, then="the Length of the version 1 structure is 24")
def version_1_length(tables: Tables) -> Iterator[Finding]:
    """Judge Length where MailBoxVersion is 1."""
    yield from _length(tables, 1)


def _length(tables: Tables, version: int) -> Iterator[Finding]:
    want = _LENGTHS[version]
    for one in c.wakeups(tables):
        if one.version == version:
            found = f"MailBoxVersion {version} with Length {one.entry.length}"
            yield Finding(one.entry.length == want, found, f"Length {want}", _at(tables, one.entry, 1, 1))


@check(
    "MADT-04",
    given=(c.a_wakeup_structure,),
    when=c.walk_madt,
    then="MailBoxVersion is the one of the edition: 0 in ACPI 6.4 and 6.5, 1 in ACPI 6.6",
)
def version_of_edition(tables: Tables) -> Iterator[Finding]:
    """Judge MailBoxVersion against the edition that the table is held against."""
    want = FACTS[tables.edition].mailbox_version
    for one in c.wakeups(tables):
        if one.version is None:
            raise inconclusive(f"Length {one.entry.length} leaves no room for a MailBoxVersion")
        expected = f"MailBoxVersion {want} under {tables.edition.value}"
        yield Finding(one.version == want, f"MailBoxVersion {one.version}", expected, _at(tables, one.entry, 2, 2))


@check("MADT-05", given=(c.a_wakeup_structure,), when=c.walk_madt, then="the Reserved field at offset 4 is 0")
def reserved_is_zero(tables: Tables) -> Iterator[Finding]:
    """Judge the four bytes at offset 4."""
    for one in c.wakeups(tables):
        if one.reserved is not None:
            found = f"Reserved {one.reserved:#x}"
            yield Finding(one.reserved == 0, found, "Reserved 0", _at(tables, one.entry, 4, 4))


@check(
    "MADT-06",
    given=(c.a_wakeup_structure,),
    when=c.walk_madt,
    then="MailBoxAddress, eight bytes at offset 8, is a processor-physical address",
)
def address_is_physical(tables: Tables) -> Iterator[Finding]:
    """Judge that the field is there, in its place, and within what a processor can address."""
    for one in c.wakeups(tables):
        expected = "a physical address of at most 52 bits, eight bytes at offset 8"
        where = _at(tables, one.entry, 8, 8)
        if one.address is None:
            found = f"Length {one.entry.length}, which leaves no room for MailBoxAddress"
            yield Finding(False, found, expected, _at(tables, one.entry, 1, 1))
        elif one.address == 0 and one.reserved and one.reserved % c.PAGE == 0:
            found = f"0 at offset 8 and the address {one.reserved:#x} at offset 4"
            yield Finding(False, found, expected, _at(tables, one.entry, 4, 12))
        elif one.address == 0:
            raise inconclusive(c.ZEROED)
        else:
            yield Finding(one.address < c.PHYSICAL_LIMIT, f"MailBoxAddress {one.address:#x}", expected, where)
    yield from _truncation(tables)


def _truncation(tables: Tables) -> Iterator[Finding]:
    nodes = c.mailbox_nodes(tables.fdt) if tables.fdt else ()
    places = [place[0] for node in nodes if (place := c.base_and_size(c.fdt_of(tables), node))]
    whole = {base & 0xFFFFFFFF: base for base in places if base >> 32}
    for one in c.wakeups(tables):
        if one.address in whole:
            base = whole[one.address]
            found = f"MailBoxAddress {one.address:#x}, the lower half of the DeviceTree's {base:#x}"
            yield Finding(False, found, f"MailBoxAddress {base:#x}", _at(tables, one.entry, 8, 8))


@check("MADT-07", given=(c.an_address,), when=c.walk_madt, then="MailBoxAddress is a multiple of 4096")
def address_is_aligned(tables: Tables) -> Iterator[Finding]:
    """Judge the low twelve bits."""
    for one, address in c.addressed(tables):
        yield Finding(
            address % c.PAGE == 0, f"MailBoxAddress {address:#x}", "a multiple of 0x1000", _at(tables, one.entry, 8, 8)
        )


@check(
    "MADT-08",
    given=(c.an_address,),
    when=c.look_up,
    then="the mailbox lies in a range of type ACPI NVS",
)
def lies_in_nvs(tables: Tables) -> Iterator[Finding]:
    """Judge the type of the range that the mailbox begins in."""
    for _, address in c.addressed(tables):
        kinds = c.map_of(tables).types_of(address, address + 1)
        found = f"{address:#x} is {_kinds(kinds)}"
        exhibit = c.map_of(tables).exhibit(address, address + c.PAGE)
        yield Finding(kinds == {MemoryType.ACPI_NVS}, found, "ACPI NVS memory", (exhibit,))


def _kinds(kinds: frozenset[MemoryType | None]) -> str:
    names = sorted("in no range" if kind is None else f"{kind.value} memory" for kind in kinds)
    return " and ".join(names)


@check(
    "MADT-09",
    given=(c.an_address, c.begins_in_nvs),
    when=c.look_up,
    then="all 4096 bytes of the mailbox lie in ACPI NVS memory",
)
def whole_block_in_nvs(tables: Tables) -> Iterator[Finding]:
    """Judge the whole block, over one or several adjacent ranges."""
    for _, address in c.addressed(tables):
        kinds = c.map_of(tables).types_of(address, address + c.PAGE)
        found = f"{address:#x} to {address + c.PAGE - 1:#x} is {_kinds(kinds)}"
        exhibit = c.map_of(tables).exhibit(address, address + c.PAGE)
        yield Finding(kinds == {MemoryType.ACPI_NVS}, found, "ACPI NVS memory throughout", (exhibit,))


@check(
    "MADT-10",
    given=(c.a_reset_vector,),
    when=c.walk_madt,
    then="ResetVector, eight bytes at offset 16, is 0 or a physical address",
)
def reset_vector_is_physical(tables: Tables) -> Iterator[Finding]:
    """Judge ResetVector; 0 is legal and means that the mailbox cannot be reset."""
    for one in c.wakeups(tables):
        if one.reset_vector is not None and one.version:
            yield Finding(
                one.reset_vector < c.PHYSICAL_LIMIT,
                f"ResetVector {one.reset_vector:#x}" + ("" if one.reset_vector else ": not resettable"),
                "0, or a physical address of at most 52 bits",
                _at(tables, one.entry, 16, 8),
            )


@check(
    "MADT-11",
    given=(c.a_usable_reset_vector,),
    when=c.reset_code,
    then="the code at ResetVector ends in the physical page that it begins in",
)
def reset_code_in_one_page(tables: Tables) -> Iterator[Finding]:
    """Judge the extent of the reset code."""
    size = tables.reset_code_size or 0
    for one in c.wakeups(tables):
        if one.reset_vector and one.version:
            last = one.reset_vector + size - 1
            found = f"{size} bytes of code at {one.reset_vector:#x} end at {last:#x}"
            inside = one.reset_vector // c.PAGE == last // c.PAGE
            yield Finding(inside, found, "an end in the same page", _at(tables, one.entry, 16, 8))


@check(
    "MADT-12",
    given=(c.a_wakeup_structure_or_damage,),
    when=c.sum_madt,
    then="Length covers the wakeup structure and all bytes sum to 0 modulo 256",
)
def header_is_sound(tables: Tables) -> Iterator[Finding]:
    """Judge the header's Length and checksum."""
    madt = c.madt_of(tables)
    if madt.cut:
        raise inconclusive(
            f"Length is {madt.table.length} and the input has {len(madt.data)} bytes: one of the two is wrong"
        )
    outside = c.trailing_wakeup(madt)
    found = f"Length {madt.table.length}" + (", and a wakeup structure right behind it" if outside else "")
    yield Finding(not outside, found, "a Length that covers every entry", (madt.exhibit(4, 4),))
    if madt.table.sum and any(one.address == 0 for one in madt.wakeups):
        raise inconclusive(f"the bytes sum to {madt.table.sum:#04x}, and {c.ZEROED}")
    right = (madt.table.checksum - madt.table.sum) & 0xFF
    found = f"the checksum byte at offset 9 is {madt.table.checksum:#04x} and the bytes sum to {madt.table.sum:#04x}"
    yield Finding(madt.table.sum == 0, found, f"checksum {right:#04x} and the sum 0x00", (madt.exhibit(9, 1),))


@check(
    "MADT-13",
    given=(c.a_wakeup_structure_or_damage,),
    when=c.walk_madt,
    then="the chain of entries ends exactly at the table's end",
)
def chain_is_sound(tables: Tables) -> Iterator[Finding]:
    """Judge the Length byte of every entry."""
    madt = c.madt_of(tables)
    broken = madt.broken
    if madt.cut and (broken is None or broken.expected != codec.MINIMUM):
        raise inconclusive(f"the input ends at byte {len(madt.data):#x}, before the header's Length does")
    if broken:
        found = f"byte {broken.offset:#x}: {broken.found}"
        yield Finding(False, found, broken.expected, (madt.exhibit(broken.offset),))
    else:
        found = f"{len(madt.entries)} entries end at byte {madt.end:#x}"
        last = madt.entries[-1] if madt.entries else None
        at = (madt.exhibit(last.offset + 1),) if last else ()
        yield Finding(True, found, "an end at the table's end", at)


@check(
    "MADT-14",
    given=(c.a_wakeup_structure,),
    when=c.walk_madt,
    then="the revision of the MADT fits the version and Length of the structure",
)
def revision_is_coherent(tables: Tables) -> Iterator[Finding]:
    """Judge as fwts does: revision 7 with version 1 and Length 24, 5 and 6 with 0 and 16, none below."""
    madt = c.madt_of(tables)
    revision = madt.table.revision
    version = 1 if revision >= _REVISION_OF_6_6 else 0
    expected = f"version {version} and Length {_LENGTHS[version]} under revision {revision}"
    if revision < FACTS[min(FACTS, key=lambda one: FACTS[one].madt_revision)].madt_revision:
        expected = "revision 5 or above, the first that defines type 0x10"
        version = -1
    for one in madt.wakeups:
        fits = (one.version, one.entry.length) == (version, _LENGTHS.get(version))
        found = f"revision {revision} with MailBoxVersion {one.version} and Length {one.entry.length}"
        yield Finding(fits, found, expected, (madt.exhibit(8, 1), *_at(tables, one.entry, 0, 4)))


@check("MADT-15", given=(c.a_wakeup_structure,), when=c.walk_madt, then="there is one wakeup structure and no second")
def one_structure(tables: Tables) -> Iterator[Finding]:
    """Judge the number of entries of type 0x10."""
    found = c.wakeups(tables)
    at = tuple(c.madt_of(tables).exhibit(one.entry.offset, one.entry.length) for one in found)
    yield Finding(len(found) == 1, f"{len(found)} entries of type 0x10", "one", at)


@check(
    "MADT-16",
    given=(c.mat_objects,),
    when=c.search_aml,
    then="no _MAT object returns an entry of type 0x10",
)
def mat_returns_no_wakeup(tables: Tables) -> Iterator[Finding]:
    """Judge the constant buffers of _MAT objects; what a method computes cannot be told without running it."""
    unread = 0
    for table in tables.aml:
        for found in find_mat(table):
            unread += not found.complete
            for offset, data in found.buffers:
                kinds = [item.type for item in codec.walk(data, 0, len(data)) if isinstance(item, Entry)]
                listed = ", ".join(f"{kind:#04x}" for kind in kinds) or "nothing"
                exhibit = bytes_exhibit(table.signature, table.data, offset, max(1, len(data)))
                yield Finding(codec.WAKEUP not in kinds, f"_MAT returns {listed}", "no entry of type 0x10", (exhibit,))
    if unread:
        raise inconclusive(f"{unread} _MAT methods build what they return when they run")


@check(
    "MADT-18",
    given=(c.a_large_apic_id,),
    when=c.walk_madt,
    then="that processor is described by a type 9 entry of 16 bytes",
)
def large_ids_in_x2apic_form(tables: Tables) -> Iterator[Finding]:
    """Judge every usable processor entry with an APIC ID of 255 or above."""
    for one in c.madt_of(tables).processors:
        if one.usable and one.apic_id >= 0xFF:
            found = f"APIC ID {one.apic_id:#x} in an entry of type {one.entry.type} and Length {one.entry.length}"
            good = (one.entry.type, one.entry.length) == (codec.LOCAL_X2APIC, 16)
            yield Finding(good, found, "type 9 and Length 16", _at(tables, one.entry, 0, one.entry.length))


@check(
    "MADT-19",
    given=(c.a_wakeup_structure,),
    when=c.walk_madt,
    then="processors with an APIC ID below 255 are described by type 0 entries, each processor once",
)
def small_ids_in_apic_form(tables: Tables) -> Iterator[Finding]:
    """Judge the form of every usable processor entry, and that no APIC ID is given twice."""
    seen: dict[int, Entry] = {}
    for one in c.madt_of(tables).processors:
        if not one.usable:
            continue
        at = _at(tables, one.entry, 0, one.entry.length)
        if one.apic_id < 0xFF:
            found = f"APIC ID {one.apic_id:#x} in an entry of type {one.entry.type}"
            yield Finding(one.entry.type == codec.LOCAL_APIC, found, "type 0", at)
        if one.apic_id in seen:
            found = f"APIC ID {one.apic_id:#x} again, first at byte {seen[one.apic_id].offset:#x}"
            yield Finding(False, found, "each processor once", at, Weight.ROBUSTNESS)
        seen.setdefault(one.apic_id, one.entry)
    if not seen:
        raise not_applicable("the MADT describes no usable processor")


@check(
    "MADT-29",
    given=(c.a_wakeup_structure,),
    when=c.boot_processor,
    then="the first processor entry is that of the boot processor",
)
def boot_processor_first(tables: Tables) -> Iterator[Finding]:
    """Judge the first usable processor entry."""
    first = next((one for one in c.madt_of(tables).processors if one.usable), None)
    if first is None:
        raise not_applicable("the MADT describes no usable processor")
    found = f"the first processor entry has APIC ID {first.apic_id:#x}"
    expected = f"{tables.boot_apic_id:#x}, the boot processor's"
    yield Finding(
        first.apic_id == tables.boot_apic_id, found, expected, _at(tables, first.entry, 0, first.entry.length)
    )
