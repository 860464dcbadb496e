"""Enumeration in a DeviceTree (area DT, as far as a blob shows it)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mpwake.checks import conditions as c
from mpwake.checks.core import Finding, check, inconclusive, not_applicable, not_testable
from mpwake.evidence.exhibit import Exhibit
from mpwake.evidence.fdt import Fdt, Node, Property
from mpwake.evidence.tables import Tables
from mpwake.spec.editions import FACTS, NEWEST
from mpwake.spec.requirements import Weight

# reserved-memory.yaml of dt-schema, and what dt-schema allows in every node (its fixups).
_ALLOWED = frozenset(
    """
    compatible reg size alignment alloc-ranges iommu-addresses no-map reusable
    phandle linux,phandle status secure-status pinctrl-names
    bootph-all bootph-pre-ram bootph-pre-sram bootph-some-ram bootph-verify
    """.split()
)
_ALLOWED_PATTERN = re.compile(r"pinctrl-[0-9]+")
_ANNOUNCES_RESET = re.compile(r"version|reset", re.IGNORECASE)
# Devicetree Specification, standard property status; the suffix of fail- is the device's own.
_STATUS = re.compile(r"okay|ok|disabled|reserved|fail|fail-.+")
_NO_APIC_ID = 0xFFFFFFFF
_MAX_CELLS = 4
_LONGEST = 120


def _shown(fdt: Fdt, node: Node, name: str = "") -> tuple[Exhibit, ...]:
    prop = node.prop(name) if name else None
    if prop is not None:
        return (fdt.exhibit(prop.offset, max(1, len(prop.value))),)
    return (fdt.exhibit(node.offset, 4 + len(node.name)),)


def _each(tables: Tables) -> Iterator[tuple[Fdt, Node]]:
    fdt = c.fdt_of(tables)
    for node in c.nodes(tables):
        yield fdt, node


def _placed(tables: Tables) -> Iterator[tuple[Fdt, Node, int, int]]:
    read = False
    for fdt, node in _each(tables):
        place = c.base_and_size(fdt, node)
        if place:
            read = True
            yield fdt, node, *place
    if not read:
        raise inconclusive("the reg of the mailbox node is missing or cannot be read")


def _with_reg(tables: Tables) -> Iterator[tuple[Fdt, Node, Property, Node]]:
    read = False
    for fdt, node in _each(tables):
        prop, parent = node.prop("reg"), fdt.parent(node)
        if prop is not None and parent is not None:
            read = True
            yield fdt, node, prop, parent
    if not read:
        raise inconclusive("the mailbox node has no reg, which DT-02 judges")


@check(
    "DT-01",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="its compatible is the single string intel,wakeup-mailbox",
)
def compatible_is_exact(tables: Tables) -> Iterator[Finding]:
    """Judge the bytes of compatible, its NUL included."""
    want = c.COMPATIBLE.encode() + b"\0"
    for fdt, node in _each(tables):
        prop = node.prop("compatible")
        value = prop.value if prop else b""
        shown = (
            repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r} and {len(value) - _LONGEST} bytes more"
        )
        found = f"{node.path} compatible with {shown}"
        yield Finding(value == want, found, f"{want!r}", _shown(fdt, node, "compatible"))


@check("DT-02", given=(c.a_mailbox_node,), when=c.read_fdt, then="it has a reg, not a size alone")
def reg_is_present(tables: Tables) -> Iterator[Finding]:
    """Judge that the page has a fixed place."""
    for fdt, node in _each(tables):
        found = f"{node.path} with {', '.join(prop.name for prop in node.properties)}"
        yield Finding(node.prop("reg") is not None, found, "compatible and reg", _shown(fdt, node, "reg"))


@check("DT-03", given=(c.a_mailbox_node,), when=c.read_fdt, then="it is a child of /reserved-memory")
def under_reserved_memory(tables: Tables) -> Iterator[Finding]:
    """Judge the node's parent."""
    for fdt, node in _each(tables):
        parent = fdt.parent(node)
        good = parent is not None and parent.path == "/reserved-memory"
        yield Finding(good, f"the node is {node.path}", "a child of /reserved-memory", _shown(fdt, node))


@check("DT-04", given=(c.a_mailbox_node,), when=c.read_fdt, then="its reg holds one address and one size")
def one_tuple(tables: Tables) -> Iterator[Finding]:
    """Judge the length of reg by the cells of the parent."""
    for fdt, node, prop, parent in _with_reg(tables):
        want = 4 * (parent.address_cells + parent.size_cells)
        found = f"reg of {len(prop.value)} bytes under {parent.address_cells}+{parent.size_cells} cells"
        yield Finding(len(prop.value) == want, found, f"{want} bytes, one tuple", _shown(fdt, node, "reg"))


@check("DT-05", given=(c.a_mailbox_node,), when=c.read_fdt, then="its base is a multiple of 4096")
def base_is_aligned(tables: Tables) -> Iterator[Finding]:
    """Judge the low twelve bits of the base."""
    for fdt, node, base, _ in _placed(tables):
        yield Finding(base % c.PAGE == 0, f"base {base:#x}", "a multiple of 0x1000", _shown(fdt, node, "reg"))


@check("DT-06", given=(c.a_mailbox_node,), when=c.read_fdt, then="its size is 0x1000")
def size_is_a_page(tables: Tables) -> Iterator[Finding]:
    """Judge the size in reg."""
    for fdt, node, _, size in _placed(tables):
        yield Finding(size == c.PAGE, f"size {size:#x}", "size 0x1000", _shown(fdt, node, "reg"))


@check(
    "DT-07",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="it has no property beyond those of reserved memory, and no child",
)
def no_other_properties(tables: Tables) -> Iterator[Finding]:
    """Judge every property's name."""
    for fdt, node in _each(tables):
        extra = [prop for prop in node.properties if not _allowed(prop)]
        for prop in extra:
            yield Finding(
                False, f"the property {prop.name}", "reserved-memory properties", _shown(fdt, node, prop.name)
            )
        for child in node.children:
            yield Finding(False, f"the child {child.path}", "no child nodes", _shown(fdt, child))
        if not extra and not node.children:
            names = ", ".join(prop.name for prop in node.properties)
            yield Finding(True, f"only {names}", "reserved-memory properties", _shown(fdt, node))


def _allowed(prop: Property) -> bool:
    return prop.name in _ALLOWED or _ALLOWED_PATTERN.fullmatch(prop.name) is not None


@check(
    "DT-08",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="/reserved-memory has the address and size cells of the root",
)
def cells_equal_root(tables: Tables) -> Iterator[Finding]:
    """Judge #address-cells and #size-cells of /reserved-memory."""
    fdt, parent = c.fdt_of(tables), _reserved_memory(tables)
    for name in ("#address-cells", "#size-cells"):
        mine, root = _cell(parent, name), _cell(fdt.root, name)
        found = f"{name} is {_or_missing(mine)} in /reserved-memory and {_or_missing(root)} in the root"
        yield Finding(mine is not None and mine == root, found, "the same number in both", _shown(fdt, parent, name))


def _cell(node: Node, name: str) -> int | None:
    prop = node.prop(name)
    return prop.cells[0] if prop and prop.cells and len(prop.cells) == 1 else None


def _or_missing(number: int | None) -> str:
    return "missing" if number is None else str(number)


def _reserved_memory(tables: Tables) -> Node:
    parent = c.fdt_of(tables).find("/reserved-memory")
    if parent is None:
        raise not_applicable("the DeviceTree has no /reserved-memory, which DT-03 judges")
    return parent


@check("DT-09", given=(c.a_mailbox_node,), when=c.read_fdt, then="/reserved-memory has an empty ranges")
def ranges_is_empty(tables: Tables) -> Iterator[Finding]:
    """Judge that addresses pass through /reserved-memory untranslated."""
    fdt, parent = c.fdt_of(tables), _reserved_memory(tables)
    prop = parent.prop("ranges")
    found = "no ranges in /reserved-memory" if prop is None else f"ranges of {len(prop.value)} bytes"
    good = prop is not None and prop.value == b""
    yield Finding(good, found, "an empty ranges", _shown(fdt, parent, "ranges"))


@check(
    "DT-10",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="it is not reusable, least of all together with no-map",
)
def not_reusable(tables: Tables) -> Iterator[Finding]:
    """Judge no-map against reusable (the schema), and reusable alone (it gives the page to the OS)."""
    for fdt, node in _each(tables):
        reusable, no_map = node.prop("reusable") is not None, node.prop("no-map") is not None
        names = [name for name, there in (("no-map", no_map), ("reusable", reusable)) if there]
        weight = None if no_map else Weight.ROBUSTNESS
        found = " and ".join(names) or "neither no-map nor reusable"
        yield Finding(not reusable, found, "no reusable", _shown(fdt, node, "reusable"), weight)


@check("DT-11", given=(c.a_mailbox_node,), when=c.read_fdt, then="its unit address is its base")
def unit_address_is_base(tables: Tables) -> Iterator[Finding]:
    """Judge what follows the @ of the node's name."""
    for fdt, node, base, _ in _placed(tables):
        expected = f"{node.base_name}@{base:x}"
        yield Finding(node.name == expected, f"the node name {node.name}", expected, _shown(fdt, node))


@check(
    "DT-12",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="it announces no version and no reset vector",
)
def no_version(tables: Tables) -> Iterator[Finding]:
    """Judge the names of the node's properties."""
    for fdt, node in _each(tables):
        wrong = [prop for prop in node.properties if _ANNOUNCES_RESET.search(prop.name)]
        for prop in wrong:
            found = f"the property {prop.name}"
            yield Finding(False, found, "no version and no reset vector", _shown(fdt, node, prop.name))
        if not wrong:
            yield Finding(True, "no such property", "no version and no reset vector", _shown(fdt, node))


def cpu_nodes(fdt: Fdt) -> tuple[Node, ...]:
    """Return the processor nodes under /cpus: those called cpu, or that say device_type cpu."""
    cpus = fdt.find("/cpus")
    children = cpus.children if cpus else ()
    return tuple(node for node in children if node.base_name == "cpu" or _text(node, "device_type") == "cpu")


def _text(node: Node, name: str) -> str | None:
    prop = node.prop(name)
    return prop.strings[0] if prop and prop.strings else None


def _cpus(tables: Tables) -> tuple[Fdt, tuple[Node, ...]]:
    fdt = c.fdt_of(tables)
    found = cpu_nodes(fdt)
    if not found:
        raise not_applicable("the DeviceTree has no cpu node, which DT-14 judges")
    return fdt, found


def apic_id(fdt: Fdt, node: Node) -> int | None:
    """Return the address in a cpu node's reg, or None when it cannot be read."""
    place = c.base_and_size(fdt, node)
    return place[0] if place else None


@check(
    "DT-14",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="/cpus has one address cell or more and no size cell, and each cpu its device_type and a reg of its own",
)
def cpus_are_well_formed(tables: Tables) -> Iterator[Finding]:
    """Judge /cpus and its cpu nodes."""
    fdt = c.fdt_of(tables)
    cpus = fdt.find("/cpus")
    if cpus is None:
        yield Finding(False, "no /cpus node", "a /cpus node")
        return
    yield from _cpus_cells(fdt, cpus)
    seen: set[int | None] = set()
    found = cpu_nodes(fdt)
    if not found:
        yield Finding(False, "no cpu node under /cpus", "a node for each processor", _shown(fdt, cpus))
    for node in found:
        kind, number = _text(node, "device_type"), apic_id(fdt, node)
        yield Finding(kind == "cpu", f"{node.path} with device_type {kind}", "device_type cpu", _shown(fdt, node))
        told = "no readable reg" if number is None else f"reg {number:#x}" + (" again" if number in seen else "")
        fresh = number is not None and number not in seen
        yield Finding(fresh, f"{node.path} with {told}", "a reg of its own", _shown(fdt, node, "reg"))
        seen.add(number)


def _cpus_cells(fdt: Fdt, cpus: Node) -> Iterator[Finding]:
    address, size = _cell(cpus, "#address-cells"), _cell(cpus, "#size-cells")
    yield Finding(
        bool(address),
        f"#address-cells of /cpus is {_or_missing(address)}",
        "1 or more",
        _shown(fdt, cpus, "#address-cells"),
    )
    yield Finding(size == 0, f"#size-cells of /cpus is {_or_missing(size)}", "0", _shown(fdt, cpus, "#size-cells"))


@check(
    "DT-15",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="the reg of each cpu is a local APIC ID of 32 bits, the one of the MADT where there is one",
)
def reg_is_apic_id(tables: Tables) -> Iterator[Finding]:
    """Judge the range of reg, and against the MADT's processors when both enumerations are given."""
    fdt, cpus = _cpus(tables)
    known = {one.apic_id for one in tables.madt.processors if one.usable} if tables.madt else set()
    listed = ", ".join(f"{one:#x}" for one in sorted(known)[:8])
    for node in cpus:
        number = apic_id(fdt, node)
        if number is None:
            continue
        at = _shown(fdt, node, "reg")
        yield Finding(number < _NO_APIC_ID, f"{node.path} with reg {number:#x}", "an APIC ID of 32 bits", at)
        if known:
            yield Finding(number in known, f"reg {number:#x}", f"an APIC ID of the MADT ({listed})", at)


@check(
    "DT-17",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="the status of each cpu is one that tells which processors to leave alone",
)
def status_is_known(tables: Tables) -> Iterator[Finding]:
    """Judge the spelling of status: Linux skips fail and fail-*, and wakes everything else."""
    fdt, cpus = _cpus(tables)
    for node in cpus:
        prop = node.prop("status")
        strings = prop.strings if prop else ("okay",)
        good = strings is not None and len(strings) == 1 and _STATUS.fullmatch(strings[0]) is not None
        found = f"{node.path} with status {prop.value!r}" if prop else f"{node.path} without a status"
        yield Finding(good, found, "okay, disabled, reserved, fail or fail-...", _shown(fdt, node, "status"))


@check(
    "DT-18",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="no cpu has the status disabled without an enable-method",
)
def disabled_needs_method(tables: Tables) -> Iterator[Finding]:
    """Judge status together with enable-method."""
    fdt, cpus = _cpus(tables)
    for node in cpus:
        status, method = _text(node, "status") or "okay", _text(node, "enable-method")
        found = f"{node.path} with status {status} and {'enable-method ' + method if method else 'no enable-method'}"
        good = status != "disabled" or method is not None
        yield Finding(good, found, "okay, or an enable-method", _shown(fdt, node, "status"))


@check("DT-22", given=(c.a_mailbox_node,), when=c.read_fdt, then="the cells of its reg are big-endian")
def cells_are_big_endian(tables: Tables) -> Iterator[Finding]:
    """Judge the byte order: wrong where only the other order gives a page."""
    for fdt, node, prop, parent in _with_reg(tables):
        if not prop.cells or not prop.cells_little:
            raise inconclusive(f"a reg of {len(prop.value)} bytes holds no cells")
        big = _looks_like_page(prop.cells, parent)
        little = _looks_like_page(prop.cells_little, parent)
        found = f"reg {prop.value.hex(' ', 4)}" + (", a page only when read little-endian" if little > big else "")
        yield Finding(big or not little, found, "big-endian cells", _shown(fdt, node, "reg"))


def _looks_like_page(cells: tuple[int, ...], parent: Node) -> bool:
    split = parent.address_cells
    if not 1 <= split <= _MAX_CELLS or not 1 <= parent.size_cells <= _MAX_CELLS:
        return False
    base, size = _joined(cells[:split]), _joined(cells[split : split + parent.size_cells])
    return size == c.PAGE and base % c.PAGE == 0 and base < c.PHYSICAL_LIMIT


def _joined(cells: tuple[int, ...]) -> int:
    number = 0
    for cell in cells:
        number = number << 32 | cell
    return number


@check(
    "DT-23",
    given=(c.a_mailbox_node,),
    when=c.read_fdt,
    then="an address at or above 4 GiB stands in it in full",
)
def high_address_is_whole(tables: Tables) -> Iterator[Finding]:
    """Judge a base of 4 GiB or more, or one that is the lower half of the MADT's."""
    wakeups = tables.madt.wakeups if tables.madt else ()
    madt = {one.address & 0xFFFFFFFF: one.address for one in wakeups if one.address and one.address >> 32}
    high = False
    for fdt, node, base, _ in _placed(tables):
        address = madt.get(base)
        if address is not None:
            found = f"base {base:#x}, the lower half of the MADT's {address:#x}"
            yield Finding(False, found, f"base {address:#x}", _shown(fdt, node, "reg"))
        if base >> 32:
            yield Finding(True, f"base {base:#x}", "an address in full", _shown(fdt, node, "reg"))
        high = high or address is not None or bool(base >> 32)
    if not high:
        raise not_applicable("the mailbox lies below 4 GiB")


@check(
    "DT-24",
    given=(c.a_mailbox_node,),
    when=c.read_page,
    then="Command holds a value that ACPI defines",
)
def page_speaks_acpi(tables: Tables) -> Iterator[Finding]:
    """Judge what a page can show without running anything: a reserved Command betrays another protocol."""
    page = c.page_of(tables)
    if len(page) < 2:
        raise not_testable("the image of the mailbox page is shorter than Command")
    command = int.from_bytes(page[:2], "little")
    known = FACTS[NEWEST].commands
    expected = "0 (Noop), 1 (Wakeup) or 2 (Test)"
    yield Finding(command in known, f"Command {command:#x}", expected, (tables.mailbox_exhibit(0, 2),))
