"""How an operating system of the model reads what firmware publishes, well or badly, as its ``System`` says."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mpwake.evidence.fdt import Fdt, Node, reg
from mpwake.evidence.madt import ENABLED, FIRST_ENTRY, LOCAL_APIC, LOCAL_X2APIC, ONLINE_CAPABLE, WAKEUP
from mpwake.model.system import Parser, TreeParser

COMPATIBLE = "intel,wakeup-mailbox"
NO_APIC_ID = 0xFFFFFFFF
_BEYOND = b"\xa5" * 256
_PAGE = 0x1000


@attrs.frozen
class Panic(Exception):
    """The operating system gave up, with these words."""

    words: str


@attrs.frozen
class Mailbox:
    """A mailbox that was found: its address (0: there is one, and it may not be used) and where resets go to."""

    address: int
    reset_vector: int | None = None
    entry: int = 0
    said: str = ""


@attrs.frozen
class Found:
    """What an enumeration yielded: APIC IDs in order, the boot processor's among them, and the mailbox."""

    ids: tuple[int, ...]
    boot: int
    mailbox: Mailbox | None
    said: tuple[str, ...] = ()
    mailbox_first: bool = False


def _entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    # Offset, type and Length of each entry; a Length below 2 ends the walk.
    end, at = min(len(data), int.from_bytes(data[4:8], "little")), FIRST_ENTRY
    while at + 2 <= end and data[at + 1] >= 2:
        yield at, data[at], data[at + 1]
        at += data[at + 1]


def read_madt(data: bytes, parser: Parser, boot_id: int) -> Found:
    """Read a MADT. Raises ``Panic`` where the operating system would."""
    end = min(len(data), int.from_bytes(data[4:8], "little"))
    memory = data[:end] + _BEYOND
    ids: list[int] = []
    boxes: list[Mailbox] = []
    listed = 0
    for at, kind, length in _entries(data):
        if at + length > end and (parser.bounds or kind != WAKEUP):
            break
        if kind == WAKEUP:
            box = _wakeup(memory, at, length, parser)
            if box is None and parser.malformed == "stops":
                break
            boxes += [box] if box else []
        apic = _processor(memory, at, kind, parser)
        if apic is not None:
            listed += 1
            if apic not in ids or parser.repeats:
                ids.append(apic)
    if parser.counted:
        ids = list(range(listed))
    boot = boot_id if parser.boot == "own-id" or not ids else ids[0]
    mailbox = (boxes[0] if parser.which == "first" else boxes[-1]) if boxes else None
    said = ("more than one wakeup entry: the others are ignored",) if len(boxes) > 1 else ()
    return Found(tuple(ids), boot, mailbox, said + ((mailbox.said,) if mailbox and mailbox.said else ()))


def _processor(memory: bytes, at: int, kind: int, parser: Parser) -> int | None:
    if kind == LOCAL_APIC and "lapic" in parser.entries:
        apic, flags = memory[at + 3], memory[at + 4]
    elif kind == LOCAL_X2APIC and "x2apic" in parser.entries:
        apic, flags = int.from_bytes(memory[at + 4 : at + 8], "little"), memory[at + 8]
    else:
        return None
    wanted = {"enabled": ENABLED, "online-capable": ENABLED | ONLINE_CAPABLE, "all": 0}[parser.takes]
    return apic & ((1 << parser.id_bits) - 1) if flags & wanted or not wanted else None


def _wakeup(memory: bytes, at: int, length: int, parser: Parser) -> Mailbox | None:
    version = int.from_bytes(memory[at + 2 : at + 4], "little")
    address = int.from_bytes(memory[at + 8 : at + 16], "little")
    if not parser.shortest <= length <= parser.longest or version > parser.newest:
        if parser.malformed == "panic":
            raise Panic(f"wakeup entry of length {length} and version {version}")
        return None
    vector: int | None = int.from_bytes(memory[at + 16 : at + 24], "little")
    checks = parser.reset_checks
    refused = ("version" in checks and version < 1, "length" in checks and length < 24, "zero" in checks and not vector)
    said = ""
    if address % _PAGE and parser.unaligned != "used":
        said = f"mailbox address {address:#x} is not aligned"
        if parser.unaligned == "refused":
            return Mailbox(0, None, at, said)
    if address == 0 and parser.zero == "unsupported":
        return Mailbox(0, None, at, "the mailbox address is 0: no usable mailbox")
    return Mailbox(address, None if any(refused) else vector, at, said)


def read_tree(tree: Fdt, parser: TreeParser, boot_id: int) -> Found:
    """Read a DeviceTree. Raises ``Panic`` where the operating system would."""
    ids: list[int] = []
    said: list[str] = []
    cpus = tree.find("/cpus")
    methods = set()
    for index, node in enumerate(cpus.children if cpus else ()):
        status, method = node.prop("status"), node.prop("enable-method")
        word = (status.strings or ("",))[0] if status else "okay"
        methods |= set((method.strings if method else None) or ())
        if (word.startswith("fail") and parser.failed == "skipped") or (
            word == "disabled" and parser.disabled == "skipped"
        ):
            continue
        place = reg(node, cpus) if cpus else None
        if place or parser.no_reg == "used":
            found = place[0][0] & NO_APIC_ID if place else NO_APIC_ID
            ids.append(found if parser.ids == "reg" else index)
        elif parser.no_reg == "panic":
            raise Panic(f"{node.path} has no reg")
        else:
            said.append(f"{node.path}: missing local APIC ID")
    mailbox = _node(tree, parser)
    if parser.method and parser.method not in methods:
        mailbox = None
    return Found(tuple(ids), boot_id, mailbox, tuple(said), parser.order == "mailbox-first")


def _node(tree: Fdt, parser: TreeParser) -> Mailbox | None:
    if parser.cpus_property:
        return _on_cpus(tree, parser.cpus_property)
    boxes = [one for one in tree.walk() if _is_mailbox(one) and (parser.status == "ignored" or not _disabled(one))]
    if not boxes:
        return None
    found = boxes[0] if parser.which == "first" else boxes[-1]
    parent = tree.parent(found)
    place = reg(found, parent) if parent else None
    wrong = not place or (parser.alignment and place[0][0] % _PAGE) or (parser.size and place[0][1] != _PAGE)
    if not wrong and place:
        return Mailbox(place[0][0], 0 if parser.resettable else None)
    if parser.invalid == "panic":
        raise Panic(f"{found.path} is not a mailbox")
    return None


def _on_cpus(tree: Fdt, name: str) -> Mailbox | None:
    cpus = tree.find("/cpus")
    prop = cpus.prop(name) if cpus else None
    return Mailbox(int.from_bytes(prop.value, "big")) if prop and len(prop.value) == 8 else None


def _disabled(node: Node) -> bool:
    status = node.prop("status")
    return status is not None and status.strings not in (("okay",), ("ok",))


def _is_mailbox(node: Node) -> bool:
    compatible = node.prop("compatible")
    return compatible is not None and COMPATIBLE in (compatible.strings or ())
