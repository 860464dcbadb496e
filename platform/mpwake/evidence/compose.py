"""The table composer: YAML to the bytes of a MADT, a DTB, a memory map, an SSDT, a mailbox page.

Every field can be given a wrong value, and any byte can be patched afterwards, because mutants are made with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from mpwake.evidence import fdt, madt
from mpwake.evidence.acpi import checksummed, decode_header
from mpwake.evidence.command_line import parse
from mpwake.evidence.exhibit import CodecError
from mpwake.evidence.memory_map import MemoryRange, memory_map_of
from mpwake.evidence.tables import Tables
from mpwake.spec.document import Node, described
from mpwake.spec.editions import NEWEST, Edition

PAGE = 0x1000


def hex_bytes(text: str) -> bytes:
    """Read bytes written as hex digits, blanks allowed; raises ``ValueError`` that says what is wrong."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text!r} is not bytes in hex, such as '10 18 01 00'") from None


def _in(value: int, bits: int, name: str) -> None:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} is {value:#x}, which does not fit into {bits} bits")


def _decodable(decode: Callable[[Any], object], data: bytes | str) -> None:
    try:
        decode(data)
    except CodecError as error:
        raise ValueError(f"what is composed cannot be read: {error}") from None


@attrs.frozen
class Patch:
    """Bytes written over the finished table, or behind it, after its checksum was made."""

    at: int = described("Byte offset")
    data: str = described("Bytes in hex")

    def __attrs_post_init__(self) -> None:
        hex_bytes(self.data)
        _in(self.at, 20, "at")


@attrs.frozen
class ProcessorEntry:
    """A processor entry, type 0 or type 9."""

    apic_id: int = described("APIC ID")
    uid: int = described("ACPI processor UID")
    flags: int = described("Flags: 1 enabled, 2 online capable", 1)
    length: int | None = described("Length byte, when it is to be wrong", None)

    def __attrs_post_init__(self) -> None:
        for name in ("apic_id", "uid", "flags"):
            _in(getattr(self, name), 32, name)
        _in(self.length or 0, 8, "length")


@attrs.frozen
class WakeupEntry:
    """A Multiprocessor Wakeup Structure."""

    version: int = described("MailBoxVersion")
    address: int = described("MailBoxAddress")
    reset_vector: int | None = described("ResetVector; absent in version 0", None)
    reserved: int = described("The Reserved field at offset 4", 0)
    length: int | None = described("Length byte, when it is to be wrong", None)
    type: int = described("Type byte, when it is to be wrong", madt.WAKEUP)

    def __attrs_post_init__(self) -> None:
        for name, bits in (("version", 16), ("address", 64), ("reserved", 32), ("type", 8)):
            _in(getattr(self, name), bits, name)
        _in(self.reset_vector or 0, 64, "reset_vector")
        _in(self.length or 0, 8, "length")


@attrs.frozen
class MadtEntry:
    """One entry: exactly one of the four keys."""

    lapic: ProcessorEntry | None = described("Processor Local APIC, type 0", None)
    x2apic: ProcessorEntry | None = described("Processor Local x2APIC, type 9", None)
    wakeup: WakeupEntry | None = described("Multiprocessor Wakeup Structure, type 0x10", None)
    raw: str | None = described("Any bytes in hex", None)

    def __attrs_post_init__(self) -> None:
        given = [name for name in ("lapic", "x2apic", "wakeup", "raw") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("an entry has exactly one of the keys lapic, x2apic, wakeup, raw")
        if self.lapic:
            _in(self.lapic.apic_id, 8, "apic_id of a type 0 entry")
            _in(self.lapic.uid, 8, "uid of a type 0 entry")
        hex_bytes(self.raw or "")

    def encode(self) -> bytes:
        """Return the entry's bytes."""
        if self.lapic:
            return madt.encode_lapic(self.lapic.uid, self.lapic.apic_id, self.lapic.flags, self.lapic.length)
        if self.x2apic:
            return madt.encode_x2apic(self.x2apic.uid, self.x2apic.apic_id, self.x2apic.flags, self.x2apic.length)
        if self.wakeup:
            one = self.wakeup
            return madt.encode_wakeup(one.version, one.address, one.reset_vector, one.reserved, one.length, one.type)
        return hex_bytes(self.raw or "")


@attrs.frozen
class MadtDocument:
    """A MADT."""

    revision: int = described("Revision of the header")
    entries: tuple[MadtEntry, ...] = described("Entries in order")
    length: int | None = described("Length of the header, when it is to be wrong", None)
    patch: tuple[Patch, ...] = described("Bytes written over the finished table", ())

    def __attrs_post_init__(self) -> None:
        _in(self.revision, 8, "revision")
        _in(self.length or 0, 32, "length")
        _decodable(madt.decode_madt, self.encode())

    def encode(self) -> bytes:
        """Return the table's bytes."""
        data = madt.encode_madt(tuple(entry.encode() for entry in self.entries), self.revision)
        if self.length is not None:
            data = checksummed(data[:4] + self.length.to_bytes(4, "little") + data[8:])
        return _patched(data, self.patch)


@attrs.frozen
class FdtDocument:
    """A DeviceTree blob. In ``tree`` a mapping is a node and anything else a property.

    A property is text or a list of texts (strings), an integer or a list of integers (cells), ``true`` (empty), or
    ``{bytes: hex}``.
    """

    tree: Node = described("The root node")
    boot_cpuid: int = described("boot_cpuid_phys of the header", 0)
    patch: tuple[Patch, ...] = described("Bytes written over the finished blob", ())

    def encode(self) -> bytes:
        """Return the blob's bytes."""
        return _patched(fdt.encode_fdt(_tree(self.tree), boot_cpuid=self.boot_cpuid), self.patch)

    def __attrs_post_init__(self) -> None:
        _in(self.boot_cpuid, 32, "boot_cpuid")
        _decodable(fdt.decode_fdt, self.encode())


def _tree(node: Node) -> fdt.Tree:
    if not isinstance(node.value, dict):
        raise node.error("a node of the tree is a mapping")
    return {name: _value(item) for name, item in node.value.items()}


def _value(node: Node) -> bytes | fdt.Tree:
    value = node.value
    if isinstance(value, dict) and set(value) == {"bytes"}:
        if not isinstance(value["bytes"].value, str):
            raise value["bytes"].error("bytes in hex are text", "put them in quotes")
        try:
            return hex_bytes(value["bytes"].value)
        except ValueError as error:
            raise value["bytes"].error(str(error)) from None
    if isinstance(value, dict):
        return _tree(node)
    if value is True:
        return b""
    items = [item.value for item in value] if isinstance(value, list) else [value]
    if items and all(isinstance(item, str) for item in items):
        return fdt.strings(*items)
    if items and all(type(item) is int and 0 <= item < 1 << 32 for item in items):
        return fdt.cells(*items)
    raise node.error(
        f"{node.plain()!r} is not a property", "text, integers below 2**32, true, {bytes: hex}, or a mapping for a node"
    )


@attrs.frozen
class TablesDocument:
    """All that firmware publishes."""

    madt: MadtDocument | None = described("The MADT", None)
    fdt: FdtDocument | None = described("The DeviceTree blob", None)
    memory_map: tuple[MemoryRange, ...] | None = described("The memory map", None)
    command_line: str | None = described("The kernel command line", None)
    mailbox: tuple[Patch, ...] | None = described("The mailbox page at hand-off: zeros, with these bytes", None)
    mat: tuple[str, ...] = described("Buffers in hex that _MAT objects of an SSDT return", ())
    boot_apic_id: int | None = described("APIC ID of the processor that boots", None)
    reset_code_size: int | None = described("Bytes of code at ResetVector", None)

    def __attrs_post_init__(self) -> None:
        _in(self.boot_apic_id or 0, 32, "boot_apic_id")
        _in(self.reset_code_size or 0, 32, "reset_code_size")
        encode_mat(tuple(map(hex_bytes, self.mat)))
        _decodable(parse, self.command_line or "")
        if len(_patched(bytes(PAGE), self.mailbox or ())) > PAGE:
            raise ValueError(f"the mailbox is one page: a patch goes beyond its {PAGE} bytes")


def _patched(data: bytes, patches: tuple[Patch, ...]) -> bytes:
    for patch in patches:
        new = hex_bytes(patch.data)
        data = data[: patch.at].ljust(patch.at, b"\0") + new + data[patch.at + len(new) :]
    return data


def _package_length(size: int) -> bytes:
    # ACPI 6.6 section 20.2.4: one byte below 64, else a lead byte with the low nibble and one byte more.
    if size + 1 < 64:
        return bytes([size + 1])
    return bytes([0x40 | (size + 2) & 0x0F, (size + 2) >> 4])


def encode_mat(buffers: tuple[bytes, ...]) -> bytes:
    """Return an SSDT with a device for each buffer whose Name(_MAT) is that buffer (at most 255 bytes each)."""
    body = b""
    for number, data in enumerate(buffers):
        if number > 0xF or len(data) > 0xFF:
            raise ValueError("at most 16 _MAT buffers of at most 255 bytes are composed")
        content = b"\x0a" + bytes([len(data)]) + data
        name = b"\x08_MAT\x11" + _package_length(len(content)) + content
        device = b"CPU" + b"%X" % number + name
        body += b"\x5b\x82" + _package_length(len(device)) + device
    head = b"SSDT" + (36 + len(body)).to_bytes(4, "little") + b"\x02\0MPWSPCMPWTESTS"
    return checksummed(head + (1).to_bytes(4, "little") + b"MPWC" + (1).to_bytes(4, "little") + body)


def compose(document: TablesDocument, edition: Edition = NEWEST, source: str = "composed") -> Tables:
    """Return the evidence that a document describes."""
    page = None if document.mailbox is None else _patched(bytes(PAGE), document.mailbox)
    ranges = document.memory_map
    line = document.command_line
    ssdt = encode_mat(tuple(hex_bytes(one) for one in document.mat)) if document.mat else None
    return Tables(
        madt=madt.decode_madt(document.madt.encode()) if document.madt else None,
        fdt=fdt.decode_fdt(document.fdt.encode()) if document.fdt else None,
        memory_map=None if ranges is None else memory_map_of(ranges, source),
        command_line=None if line is None else parse(line),
        aml=(decode_header(ssdt),) if ssdt else (),
        mailbox=page,
        boot_apic_id=document.boot_apic_id,
        reset_code_size=document.reset_code_size,
        edition=edition,
    )
