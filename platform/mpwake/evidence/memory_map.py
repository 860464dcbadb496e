"""Memory maps: what firmware says that each range of physical memory is for.

Read from what Linux prints at boot, from /sys/firmware/memmap, and from YAML. Types are those of the INT 15h,
E820h interface (ACPI 6.4 Table 15.1) and of UEFI (2.10 section 7.2.1, EFI_MEMORY_TYPE).
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from mpwake.evidence.exhibit import CodecError, Exhibit, text_exhibit
from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.errors import InputError, did_you_mean

LIMIT = 1 << 64
UEFI_PAGE = 4096
MAX_RANGES = 4096
MAX_TEXT = 16 << 20
MAX_SYSFS_FILE = 128
SHOWN_AROUND, SHOWN_AT_MOST = 2, 48


class MemoryType(enum.Enum):
    """What a range is for: the address range types 1 to 5 and 7 of ACPI 6.4 Table 15.1, and all others."""

    USABLE = "usable"
    RESERVED = "reserved"
    ACPI_RECLAIMABLE = "acpi-reclaimable"
    ACPI_NVS = "acpi-nvs"
    UNUSABLE = "unusable"
    PERSISTENT = "persistent"
    OTHER = "other"


# What Linux prints for each type (e820_print_type), and writes when a range came from elsewhere.
_PRINTED = {
    MemoryType.USABLE: "usable",
    MemoryType.RESERVED: "reserved",
    MemoryType.ACPI_RECLAIMABLE: "ACPI data",
    MemoryType.ACPI_NVS: "ACPI NVS",
    MemoryType.UNUSABLE: "unusable",
    MemoryType.PERSISTENT: "persistent (type 7)",
    MemoryType.OTHER: "type 0",
}
# All words of Linux, older and newer: e820_print_type (dmesg) and e820_type_to_string (/sys/firmware/memmap).
# Its legacy persistent memory is type 12, which ACPI leaves to the OEM, and its soft reserved memory no type of ACPI.
_WORDS = {
    "usable": MemoryType.USABLE,
    "System RAM": MemoryType.USABLE,
    "reserved": MemoryType.RESERVED,
    "device reserved": MemoryType.RESERVED,
    "ACPI data": MemoryType.ACPI_RECLAIMABLE,
    "ACPI Tables": MemoryType.ACPI_RECLAIMABLE,
    "ACPI NVS": MemoryType.ACPI_NVS,
    "ACPI Non-volatile Storage": MemoryType.ACPI_NVS,
    "unusable": MemoryType.UNUSABLE,
    "Unusable memory": MemoryType.UNUSABLE,
    "Persistent Memory": MemoryType.PERSISTENT,
    "Persistent Memory (legacy)": MemoryType.OTHER,
    "soft reserved": MemoryType.OTHER,
    "Unknown E820 type": MemoryType.OTHER,
}
_FOLDED = {word.lower(): kind for word, kind in _WORDS.items()}
_NUMBERS = {
    1: MemoryType.USABLE,
    2: MemoryType.RESERVED,
    3: MemoryType.ACPI_RECLAIMABLE,
    4: MemoryType.ACPI_NVS,
    5: MemoryType.UNUSABLE,
    7: MemoryType.PERSISTENT,
}
_NUMBERED = re.compile(r"(?:persistent (?:ram )?\(type ([0-9]{1,10})\)|type ([0-9]{1,10}))")

# EFI_MEMORY_TYPE in the order of its numbers, 0 to 15.
UEFI_TYPES = (
    "EfiReservedMemoryType",
    "EfiLoaderCode",
    "EfiLoaderData",
    "EfiBootServicesCode",
    "EfiBootServicesData",
    "EfiRuntimeServicesCode",
    "EfiRuntimeServicesData",
    "EfiConventionalMemory",
    "EfiUnusableMemory",
    "EfiACPIReclaimMemory",
    "EfiACPIMemoryNVS",
    "EfiMemoryMappedIO",
    "EfiMemoryMappedIOPortSpace",
    "EfiPalCode",
    "EfiPersistentMemory",
    "EfiUnacceptedMemoryType",
)
# What do_add_efi_memmap (Linux arch/x86/platform/efi/efi.c) makes of them, as ACPI 6.4 Table 15.6 has it; whatever is
# not named here is reserved. Linux's EFI stub takes unaccepted memory for usable, after it has accepted it.
_UEFI = {
    "EfiLoaderCode": MemoryType.USABLE,
    "EfiLoaderData": MemoryType.USABLE,
    "EfiBootServicesCode": MemoryType.USABLE,
    "EfiBootServicesData": MemoryType.USABLE,
    "EfiConventionalMemory": MemoryType.USABLE,
    "EfiUnusableMemory": MemoryType.UNUSABLE,
    "EfiACPIReclaimMemory": MemoryType.ACPI_RECLAIMABLE,
    "EfiACPIMemoryNVS": MemoryType.ACPI_NVS,
    "EfiPersistentMemory": MemoryType.PERSISTENT,
}


def _check_range(start: int, end: int) -> None:
    if not 0 <= start < LIMIT:
        raise ValueError(f"the start {start:#x} is not an address of 64 bits")
    if not start < end <= LIMIT:
        raise ValueError(f"the end {end:#x} is not above the start {start:#x} and at most {LIMIT:#x}")


@attrs.frozen
class Range:
    """Bytes ``start`` to ``end`` (exclusive, at most 2**64) and what they are for.

    ``label`` is the type as it was written; ``line`` the line it stood on, counted from one, or 0 where there are
    no lines. Raises ``ValueError`` when the range is empty or no range of 64-bit addresses.
    """

    start: int
    end: int
    type: MemoryType
    label: str
    line: int

    def __attrs_post_init__(self) -> None:
        _check_range(self.start, self.end)

    def __str__(self) -> str:
        """Return the range as Linux prints it, with the label behind it where that says something else."""
        word = _linux_word(self)
        other = "" if self.label.lower() in (word.lower(), self.type.value) else f" ({self.label})"
        return f"{_span(self)} {word}{other}"


def _span(one: Range) -> str:
    return f"[mem {one.start:#018x}-{one.end - 1:#018x}]"


def _linux_word(one: Range) -> str:
    return one.label if type_named(one.label) is one.type else _PRINTED[one.type]


def _sorted(ranges: Iterable[Range]) -> tuple[Range, ...]:
    return tuple(sorted(ranges, key=lambda one: (one.start, one.end)))


@attrs.frozen
class MemoryMap:
    """Ranges sorted by start. They may overlap, as firmware's sometimes do; ``source`` says where they are from."""

    source: str
    ranges: tuple[Range, ...] = attrs.field(converter=_sorted)

    def covering(self, start: int, end: int) -> tuple[Range, ...]:
        """Return the ranges that have a byte in ``start`` to ``end`` (exclusive)."""
        if start >= end:
            return ()
        return tuple(one for one in self.ranges if one.start < end and one.end > start)

    def types_of(self, start: int, end: int) -> frozenset[MemoryType | None]:
        """Return all types that bytes ``start`` to ``end`` (exclusive) have; None stands for bytes in no range."""
        kinds: set[MemoryType | None] = set()
        at = start
        for one in self.covering(start, end):
            if one.start > at:
                kinds.add(None)
            kinds.add(one.type)
            at = max(at, one.end)
        if at < end:
            kinds.add(None)
        return frozenset(kinds)

    def usable_below(self, limit: int) -> tuple[Range, ...]:
        """Return the usable ranges below ``limit``, clipped to it and to what no range of another type claims."""
        usable = (one for one in self.ranges if one.type is MemoryType.USABLE and one.start < limit)
        return tuple(piece for one in usable for piece in self._unclaimed(one, min(one.end, limit)))

    def _unclaimed(self, one: Range, end: int) -> Iterator[Range]:
        at = one.start
        for other in self.covering(one.start, end):
            if other.type is MemoryType.USABLE:
                continue
            if other.start > at:
                yield attrs.evolve(one, start=at, end=other.start)
            at = max(at, other.end)
        if at < end:
            yield attrs.evolve(one, start=at, end=end)

    def exhibit(self, start: int, end: int) -> Exhibit:
        """Show the ranges around ``start`` to ``end`` (exclusive); those that cover some of it begin with "> "."""
        marked = [index for index, one in enumerate(self.ranges) if one.start < end and one.end > start]
        next_one = sum(one.start < start for one in self.ranges)
        first, last = (marked[0], marked[-1] + 1) if marked else (next_one, next_one)
        shown = range(max(0, first - SHOWN_AROUND), min(len(self.ranges), last + SHOWN_AROUND))
        lines = [("> " if index in marked else "  ") + str(self.ranges[index]) for index in shown[:SHOWN_AT_MOST]]
        if len(shown) > SHOWN_AT_MOST:
            lines.append(f"  ... and {len(shown) - SHOWN_AT_MOST} more")
        return text_exhibit(self.source, "\n".join(lines) or "  no ranges")


def type_named(label: str) -> MemoryType | None:
    """Return the type that a word of Linux names, in any case of letters, or None when Linux has no such word."""
    found = _NUMBERED.fullmatch(label.lower())
    if found:
        return _NUMBERS.get(int(found[1] or found[2]), MemoryType.OTHER)
    return _FOLDED.get(label.lower())


# Who prints a map (e820__print_table and its callers), those nearest to what firmware said first.
_PRINTERS = ("BIOS-e820", "Xen", "BIOS-e801", "BIOS-88", "reserve setup_data", "e820", "user", "modified")
_MAP_LINE = re.compile(rf"(?<![\w.-])({'|'.join(_PRINTERS)}):[ \t]*(.*)")
_RANGE = re.compile(r"\[mem[ \t]+0x([0-9a-fA-F]+)-0x([0-9a-fA-F]+)\][ \t]*(.*)")
_TITLE = "physical RAM map:"
_E820 = "an e820 memory map"
_FORM = "[mem 0x<start>-0x<end>] <type>"


def parse_e820(text: str) -> MemoryMap:
    """Read the memory map that Linux prints at boot: dmesg, or part of it, with or without what dmesg prefixes.

    The ``BIOS-e820`` lines are read when there are any, else those of the printer nearest to firmware; of several
    maps by one printer (two boots in one log) the last, and of equal lines one. An end in the text is inclusive.
    Raises ``CodecError`` with the line when there is no such line or one of them is malformed, and when there are
    more than 16 MiB of text or 4096 ranges.
    """
    if len(text) > MAX_TEXT:
        raise _line_error(1, f"at most {MAX_TEXT} characters", f"{len(text)}")
    lines = text.split("\n")
    maps = _printed(lines)
    printer = next((one for one in _PRINTERS if one in maps), "")
    ranges: dict[tuple[int, int, str], Range] = {}
    for number, body in maps.get(printer, ()):
        one = _range(number, body)
        ranges.setdefault((one.start, one.end, one.label), one)
        if len(ranges) > MAX_RANGES:
            raise _line_error(number, f"at most {MAX_RANGES} ranges", "more")
    if not ranges:
        raise _line_error(len(lines), f"a line 'BIOS-e820: {_FORM}'", "none in the whole text")
    return MemoryMap(f"{printer} map", tuple(ranges.values()))


def _line_error(number: int, expected: str, found: str) -> CodecError:
    return CodecError(_E820, number, expected, found, "line")


def _printed(lines: list[str]) -> dict[str, list[tuple[int, str]]]:
    # By printer, the lines (number, what follows the printer's name) of the last map it printed.
    maps: dict[str, list[tuple[int, str]]] = {}
    begun: dict[str, int] = {}
    titles = 0
    for number, line in enumerate(lines, 1):
        titles += _TITLE in line
        found = _MAP_LINE.search(line)
        if found is None or not _belongs(found[1], found[2].strip()):
            continue
        if begun.setdefault(found[1], titles) != titles:
            begun[found[1]] = titles
            maps[found[1]].clear()
        maps.setdefault(found[1], []).append((number, found[2].strip()))
    return maps


def _belongs(printer: str, body: str) -> bool:
    if printer == "BIOS-e820":
        return not body.startswith("[gap ")
    if printer == "e820":
        # "e820: [mem 0xc0000000-0xfebfffff] available for PCI devices" is no line of a map.
        found = _RANGE.fullmatch(body)
        return found is not None and type_named(found[3]) is not None
    return body.startswith("[mem ")


def _range(number: int, body: str) -> Range:
    found = _RANGE.fullmatch(body)
    if found is None:
        raise _line_error(number, _FORM, _shown(body))
    start, last, label = int(found[1], 16), int(found[2], 16), found[3].strip()
    if max(start, last) >= LIMIT:
        raise _line_error(number, "addresses of 64 bits", _shown(body))
    if last < start:
        raise _line_error(number, f"an end of at least the start {start:#x}", f"{last:#x}")
    kind = type_named(label)
    if kind is None:
        hint = did_you_mean(label[:80], _PRINTED.values())
        raise _line_error(number, "a type as Linux prints it", f"{_shown(label)} ({hint})")
    return Range(start, last + 1, kind, label, number)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def encode_e820(memory_map: MemoryMap) -> str:
    """Return the lines that Linux would print for a map; a label that is no word of Linux gives way to one."""
    return "".join(f"BIOS-e820: {_span(one)} {_linux_word(one)}\n" for one in memory_map.ranges)


def read_sysfs_memmap(folder: Path) -> MemoryMap:
    """Read a folder like /sys/firmware/memmap (Linux Documentation/ABI/testing/sysfs-firmware-memmap).

    Raises ``CodecError`` that names the folder of the range whose files are missing or garbled, or when there are
    no ranges or more than 4096; ``InputError`` when the folder or a file cannot be read.
    """
    try:
        names = [one.name for one in itertools.islice(folder.iterdir(), MAX_RANGES + 1)]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(folder)) from None
    if len(names) > MAX_RANGES:
        raise CodecError(f"a memory map ({folder})", 0, f"at most {MAX_RANGES} folders", "more")
    numbers = sorted((name for name in names if re.fullmatch("[0-9]{1,9}", name)), key=int)
    if not numbers:
        raise CodecError(f"a memory map ({folder})", 0, "folders named 0, 1, 2 and so on", "none")
    return MemoryMap(str(folder), tuple(_sysfs_range(folder / name) for name in numbers))


def _sysfs_range(folder: Path) -> Range:
    start, last = _sysfs_number(folder / "start"), _sysfs_number(folder / "end")
    if last < start:
        raise _sysfs_error(folder / "end", f"an end of at least the start {start:#x}", f"{last:#x}")
    label = _sysfs_text(folder / "type")
    kind = type_named(label)
    if kind is None:
        hint = did_you_mean(label, _WORDS)
        raise _sysfs_error(folder / "type", "a type as Linux writes it", f"{_shown(label)} ({hint})")
    return Range(start, last + 1, kind, label, 0)


def _sysfs_number(file: Path) -> int:
    text = _sysfs_text(file)
    if not re.fullmatch("0x[0-9a-fA-F]{1,16}", text):
        raise _sysfs_error(file, "an address of 64 bits such as 0x9fbff", _shown(text))
    return int(text, 16)


def _sysfs_text(file: Path) -> str:
    try:
        if not file.is_file():
            raise _sysfs_error(file, "a file", "a folder or a device" if file.exists() else "none of that name")
        with file.open("rb") as stream:
            data = stream.read(MAX_SYSFS_FILE + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(file)) from None
    if len(data) > MAX_SYSFS_FILE or not data.isascii():
        raise _sysfs_error(file, f"at most {MAX_SYSFS_FILE} bytes of ASCII", _shown(data.decode("latin-1")))
    return data.decode("ascii").strip()


def _sysfs_error(file: Path, expected: str, found: str) -> CodecError:
    return CodecError(f"a range of a memory map ({file.parent}, file {file.name})", 0, expected, found)


@attrs.frozen
class MemoryRange:
    """A range of physical memory."""

    start: int = described("First byte")
    end: int = described("Byte after the last, at most 2**64")
    type: MemoryType = described("What it is for")

    def __attrs_post_init__(self) -> None:
        _check_range(self.start, self.end)


@attrs.frozen
class UefiDescriptor:
    """A descriptor of a UEFI memory map (UEFI 2.10 section 7.2.3, EFI_MEMORY_DESCRIPTOR)."""

    type: int | str = described("Type: its name, such as EfiACPIMemoryNVS, or its number")
    start: int = described("PhysicalStart, a multiple of 4096")
    pages: int = described("NumberOfPages, of 4096 bytes each")

    def __attrs_post_init__(self) -> None:
        if isinstance(self.type, int) and not 0 <= self.type < 1 << 32:
            raise ValueError(f"the type {self.type} is not a number of 32 bits")
        if self.pages < 1:
            raise ValueError(f"{self.pages} pages, where at least one is needed")
        _check_range(self.start, self.end)
        if self.start % UEFI_PAGE:
            raise ValueError(f"the start {self.start:#x} is not a multiple of {UEFI_PAGE:#x}")

    @property
    def end(self) -> int:
        """The byte after the last."""
        return self.start + self.pages * UEFI_PAGE

    @property
    def kind(self) -> MemoryType:
        """The type of E820 that the range gets; whatever is not named in ``_UEFI`` is reserved."""
        name = self.type
        if isinstance(name, int):
            name = UEFI_TYPES[name] if name < len(UEFI_TYPES) else ""
        return _UEFI.get(name, MemoryType.RESERVED)


@attrs.frozen
class MemoryMapDocument:
    """A memory map, in one of two forms."""

    memory_map: tuple[MemoryRange, ...] | None = described("Ranges as this suite writes them", None)
    uefi_memory_map: tuple[UefiDescriptor, ...] | None = described("Descriptors as UEFI has them", None)

    def __attrs_post_init__(self) -> None:
        if (self.memory_map is None) == (self.uefi_memory_map is None):
            raise ValueError("a memory map has exactly one of the keys memory_map and uefi_memory_map")
        given = self.memory_map or self.uefi_memory_map or ()
        if not 1 <= len(given) <= MAX_RANGES:
            raise ValueError(f"{len(given)} ranges, where 1 to {MAX_RANGES} are read")


def memory_map_of(ranges: tuple[MemoryRange, ...], source: str) -> MemoryMap:
    """Return the map of ranges from a document, whose places are not known any more."""
    return MemoryMap(source, tuple(_from_document(one, 0) for one in ranges))


def parse_uefi_yaml(node: document.Node) -> MemoryMap:
    """Read ``{uefi_memory_map: [{type, start, pages}, ...]}`` or ``{memory_map: [{start, end, type}, ...]}``.

    A UEFI type becomes the type that Linux gives it in its E820 map (do_add_efi_memmap); one that is not known
    is reserved. Raises ``InputError`` with ``file:line:column``.
    """
    given = document.decode(node, MemoryMapDocument)
    name = "memory_map" if given.uefi_memory_map is None else "uefi_memory_map"
    items: tuple[MemoryRange | UefiDescriptor, ...] = given.memory_map or given.uefi_memory_map or ()
    places = [item.line for item in node.value[name].value]
    return MemoryMap(node.file, tuple(_from_document(one, at) for one, at in zip(items, places, strict=True)))


def _from_document(one: MemoryRange | UefiDescriptor, line: int) -> Range:
    if isinstance(one, UefiDescriptor):
        return Range(one.start, one.end, one.kind, str(one.type), line)
    return Range(one.start, one.end, one.type, one.type.value, line)
