"""A target declared in YAML: an AP loop as machine code, and how its processors are parked in it.

Every value is held against what the suite's machine can give, and refused with its place. Nothing is executed here but
what tells of the loop in an image that is asked for it.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.files import read_bounded
from mpwake.targets.firmware.cut import CUTS, check_digest
from mpwake.targets.firmware.extra import check_extra
from mpwake.targets.firmware.form import (
    LOCATES,
    AnyDeclaration,
    Budget,
    Code,
    Declaration,
    ImageDeclaration,
    ModuleCode,
    ModuleDeclaration,
    Private,
)
from mpwake.targets.firmware.image import TDX_DXE, Image, read_image
from mpwake.targets.firmware.patches import patched
from mpwake.targets.firmware.tdx import NAMES

if TYPE_CHECKING:
    from mpwake.targets.firmware.stage import Firmware

PAGE = 0x1000
LOWEST, HIGHEST = 32 << 20, 1 << 32
FIELDS = 16  # bytes of the mailbox page that the fields take
MAX_FILE = 16 << 20
MAX_CODE = 16 * PAGE
MAX_INSTRUCTIONS = 1_000_000
WORDS = ("mailbox", "code", "index", "apic-id")
DEFINED = (0, 1)  # commands of every edition
CALLS = {"tdcall-cpuid": "vp.vmcall.cpuid", "tdcall-rdmsr": "vp.vmcall.rdmsr"}


@attrs.frozen(auto_exc=True)
class Refused(InputError):
    """A declaration that cannot be used; ``code`` is the kind of mistake, as ``mpwake target check`` tells it."""

    code: str = "declaration"


@attrs.frozen
class Declared:
    """A declaration that was read and is sound, with the bytes of its code and the place of each of its parts.

    ``firmware`` is an image that parks its processors itself; its loop is the code that is declared.
    """

    declaration: AnyDeclaration
    code: bytes
    node: Node
    firmware: Firmware | None = None

    @property
    def source(self) -> str:
        """The APIC ID's source, where it is declared."""
        return "" if isinstance(self.declaration, ImageDeclaration) else self.declaration.id

    @property
    def placement(self) -> Code | ModuleCode | None:
        """The place of code that is run without the firmware around it."""
        given = self.declaration
        if isinstance(given, ImageDeclaration):
            return None
        return given.code if isinstance(given, Declaration) else given.image

    @property
    def leaves(self) -> frozenset[str] | None:
        """What the code may ask the TDX module for, or None for all that is played."""
        if self.declaration.tdx is not None:
            return frozenset(self.declaration.tdx.leaves)
        return None if not self.source or self.source in CALLS else frozenset()

    def place(self, *keys: str) -> str:
        """Return where the first of these keys is declared that is, or where the document begins if none is."""
        found: Node = next((self.node.value[key] for key in keys if key in self.node.value), self.node)
        return found.where


def is_declaration(node: Node) -> bool:
    """Say whether a target YAML declares machine code, and not the place of an image."""
    given = node.value if isinstance(node.value, dict) else {}
    return "location" not in given and "kind" in given and given["kind"].value == "firmware"


def read_declaration(node: Node, base: Path) -> Declared:
    """Decode a declaration; paths count from ``base``. Raises ``InputError`` at the first value that cannot be."""
    given = document.decode(node, _form(node))
    _check_common(given, node)
    if isinstance(given, ImageDeclaration):
        return _whole(given, node, base)
    own = node.value["code" if isinstance(given, Declaration) else "image"]
    code = _from_file(given.code, own, base) if isinstance(given, Declaration) else _from_module(given.image, own, base)
    placement = given.code if isinstance(given, Declaration) else given.image
    if not 0 < len(code) <= MAX_CODE:
        raise own.value["file"].error(f"{len(code)} bytes of code, where 1 to {MAX_CODE} can be placed")
    _check_entries(placement, own, len(code))
    _check_places(own.value["at"], node.value["mailbox"], len(code))
    _check_registers(given, node)
    return Declared(given, _patched(code, given, node), node)


def _form(node: Node) -> type[AnyDeclaration]:
    given = node.value if isinstance(node.value, dict) else {}
    if "image" not in given:
        return Declaration
    if "code" in given:
        raise given["code"].error("the code is that of the image", "code: or image:, not both")
    image = given["image"].value if isinstance(given["image"].value, dict) else {}
    locate = image.get("locate")
    if locate is not None and locate.value not in LOCATES:
        raise locate.error(f"{locate.plain()!r} is not a known value", did_you_mean(str(locate.plain()), LOCATES))
    return ImageDeclaration if locate is None or locate.value == LOCATES[0] else ModuleDeclaration


# Where the code comes from


def _from_file(given: Code, node: Node, base: Path) -> bytes:
    data = _contents(node.value["file"], base)
    _check_pinned(given.sha256, data, node, given.file)
    named = {key: getattr(given, key) for key in ("start", "end") if getattr(given, key) is not None}
    if given.format == "raw" and not named:
        return data
    for key, place in named.items():
        if given.format == "raw" and isinstance(place, str):
            raise node.value[key].error("a raw file has no symbols", "format: elf and format: pe read them")
    if len(named) < 2:
        what = {"raw": "a part of a raw file", "elf": "an ELF file", "pe": "a PE file"}[given.format]
        raise node.error(f"{what} needs start and end", "start is its first byte, end is behind its last")
    return _cut(given, node, data, repr(given.file))


def _cut(given: Code | ModuleCode, node: Node, data: bytes, name: str) -> bytes:
    start, end = given.start, given.end
    assert start is not None
    assert end is not None
    if type(start) is not type(end):
        raise node.value["end"].error("start and end are of two kinds", "two symbols, or two offsets")
    if isinstance(start, int) and not given.sha256:
        hint = f"sha256 pins the {'file' if isinstance(given, Code) else 'module'} that the offsets are right for"
        raise node.value["start"].error("an offset without sha256", hint)
    form = given.format if isinstance(given, Code) else "pe"
    if form == "pe":
        check_extra()
    try:
        return CUTS[form](data, start, end)
    except ValueError as error:
        raise _refused("locate", node.value["file"], f"{name}: {error}") from None


def _from_module(given: ModuleCode, node: Node, base: Path) -> bytes:
    module = _image(given.guid, given.sha256, node, base).module
    for key in ("start", "end"):
        if isinstance(getattr(given, key), str) is not (given.locate == "symbol"):
            raise node.value[key].error(f"locate says {given.locate}, and this is none")
    return _cut(given, node, module, f"module {given.guid}")


def _image(guid: str, sha256: str, node: Node, base: Path) -> Image:
    """Open an image with the module that is declared, which must be there and be the one."""
    check_extra()
    try:
        wanted = str(uuid.UUID(guid))
    except ValueError:
        raise node.value["guid"].error(f"{guid!r} is not a GUID", f"for example {TDX_DXE}") from None
    name = node.value["file"]
    try:
        image = read_image(base / str(name.value), wanted)
    except InputError as error:
        raise Refused(f"{error.where}: {error.message}", name.where, error.hint) from None
    except ValueError:
        raise name.error(f"{name.value!r} is not a path") from None
    if not image.module:
        found = f"no module {wanted} with a PE image among {image.modules} in {image.volumes} volumes"
        raise _refused("locate", node.value.get("guid", name), f"{name.value!r}: {found}")
    _check_pinned(sha256, image.module, node, f"module {wanted}")
    return image


def _whole(given: ImageDeclaration, node: Node, base: Path) -> Declared:
    own = node.value["image"]
    if uuid.UUID(TDX_DXE).hex != given.image.guid.lower().replace("-", ""):
        hint = f"a relocation map is a function of TdxDxe, {TDX_DXE}; locate: symbol or offset for another module"
        raise own.value["guid"].error(f"module {given.image.guid} has no relocation map", hint)
    image = _image(given.image.guid, given.image.sha256, own, base)
    from mpwake.targets.firmware.open import firmware_in

    try:
        firmware = firmware_in(image)
    except InputError as error:
        raise Refused(f"{error.where}: {error.message}", own.value["file"].where, error.hint, "locate") from None
    code = _patched(firmware.loop.code, given, node)
    firmware = attrs.evolve(firmware, loop=attrs.evolve(firmware.loop, code=code))
    return Declared(given, code, node, firmware)


def _contents(node: Node, base: Path) -> bytes:
    try:
        return read_bounded(base / str(node.value), MAX_FILE)
    except InputError as error:
        raise node.error(f"{node.value!r}: {error.message}", error.hint) from None


def _check_pinned(sha256: str, data: bytes, node: Node, name: str) -> None:
    if sha256:
        try:
            check_digest(data, sha256)
        except ValueError as error:
            raise _refused("digest", node.value["sha256"], f"{name}: {error}") from None


def _patched(code: bytes, given: AnyDeclaration, node: Node) -> bytes:
    for number, one in enumerate(given.patches):
        try:
            code = patched(code, (one,))
        except ValueError as error:
            raise _refused("patch", node.value["patches"].value[number], str(error)) from None
    return code


# What stands beside the code


def _check_entries(given: Code | ModuleCode, node: Node, size: int) -> None:
    for key in ("entry", "reset"):
        offset = getattr(given, key)
        if key in node.value and offset is not None and not 0 <= offset < size:
            raise node.value[key].error(f"{offset:#x} is no offset in {size} bytes of code")


def _check_places(at: Node, mailbox: Node, size: int) -> None:
    inside = mailbox.value + FIELDS <= at.value < mailbox.value + PAGE
    if not inside:
        _check_aligned(at)
    _check_within(at, size)
    _check_aligned(mailbox)
    _check_within(mailbox, PAGE)
    if not inside and at.value < mailbox.value + PAGE and mailbox.value < at.value + size:
        hint = f"code in the mailbox page begins behind the fields, at {FIELDS:#x} or above"
        raise mailbox.error("the mailbox lies where the code does", hint)


def _check_aligned(node: Node) -> None:
    if node.value % PAGE:
        raise node.error(f"{node.value:#x} is not a multiple of {PAGE}")


def _check_within(node: Node, size: int) -> None:
    if not LOWEST <= node.value <= HIGHEST - size:
        hint = "below are the suite's own page tables and vectors; its page tables map 4 GiB"
        raise node.error(f"{node.value:#x} does not lie between {LOWEST:#x} and {HIGHEST:#x}", hint)


def _check_registers(declared: Declaration | ModuleDeclaration, node: Node) -> None:
    registers = node.value.get("registers")
    given: dict[str, Node] = registers.value if registers else {}
    for name, value in given.items():
        if name not in NAMES:
            assert registers is not None
            raise registers.keys[name].error(f"no register {name!r}", did_you_mean(name, NAMES))
        _check_value(value, declared.id)
    if declared.id == "register" and "apic-id" not in declared.registers.values():
        raise node.value["id"].error("no register holds the APIC ID", "write apic-id for one under registers")
    call = CALLS.get(declared.id)
    if call and declared.tdx is not None and call not in declared.tdx.leaves:
        raise node.value["tdx"].error(f"id says {declared.id}, and {call} is not among the leaves", f"add {call}")


def _check_value(node: Node, source: str) -> None:
    if isinstance(node.value, str):
        if node.value not in WORDS:
            raise node.error(f"{node.value!r} is not a known value", did_you_mean(node.value, WORDS))
        if node.value == "apic-id" and source != "register":
            raise node.error(f"a register holds the APIC ID, and id says {source}", "write id: register")
    elif not 0 <= node.value < 1 << 64:
        raise node.error("the number does not fit into 64 bits")


def _check_common(given: AnyDeclaration, node: Node) -> None:
    if "budget" in node.value:
        _check_budget(given.budget, node.value["budget"])
    if "private" in node.value:
        _check_private(given.private, node.value["private"])


def _check_budget(declared: Budget, node: Node) -> None:
    for key in ("instructions", "patience"):
        value, most = getattr(declared, key), MAX_INSTRUCTIONS if key == "instructions" else declared.instructions
        if not 1 <= value <= most:
            raise _at(node, key).error(f"{key}: {value} is not between 1 and {most}")


def _check_private(given: Private, node: Node) -> None:
    if given.broadcast is not None and not 0 <= given.broadcast < 1 << 32:
        raise node.value["apic-broadcast"].error(f"{given.broadcast:#x} is no APIC ID")
    for number, command in enumerate(given.commands):
        if command in DEFINED or not 0 <= command < 1 << 16:
            place = node.value["commands"].value[number]
            hint = "0 and 1 are defined in every edition; Command has 16 bits"
            raise place.error(f"{command:#x} is no command that could be private", hint)


def _at(node: Node, key: str) -> Node:
    found: Node = node.value.get(key, node)
    return found


def _refused(code: str, node: Node, message: str) -> Refused:
    return Refused(message, node.where, code=code)


def coded(error: InputError) -> InputError:
    """Return an error with its code before its message."""
    code = error.code if isinstance(error, Refused) else "declaration"
    return InputError(f"{code}: {error.message}", error.where, error.hint)
