"""A target declared in YAML: an AP loop as machine code of its own, and how its processors are parked in it.

Nothing is executed here. Every value is held against what the suite's machine can give, and refused with its place.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import attrs

from mpwake.spec import document
from mpwake.spec.document import Node, described
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.targets.firmware.elf import between
from mpwake.targets.firmware.tdx import NAMES

PAGE = 0x1000
LOWEST, HIGHEST = 32 << 20, 1 << 32
MAX_FILE = 16 << 20
MAX_INSTRUCTIONS = 1_000_000
WORDS = ("mailbox", "code", "index", "apic-id")


@attrs.frozen
class Code:
    """The machine code of an AP loop, and where it is placed."""

    file: str = described("The file that holds it; a relative path counts from this document")
    at: int = described("The physical address that its first byte is placed at, a multiple of 4096")
    format: Literal["raw", "elf"] = described("What the file is: the code alone, or an ELF object or program", "raw")
    start: str = described("In an ELF file: the symbol of its first byte", "")
    end: str = described("In an ELF file: the symbol behind its last byte", "")
    entry: int = described("Offset of the instruction that a parked processor begins with", 0)
    reset: int | None = described("Offset of ResetVector, if there is one", None)


@attrs.frozen
class Budget:
    """How long a processor is given."""

    instructions: int = described("Instructions of each processor in a trial", 8_000)
    patience: int = described("Instructions without any store, after which a processor is taken to wait", 400)


@attrs.frozen
class Declaration:
    """An AP loop in machine code, and its platform."""

    kind: Literal["firmware"] = described("firmware")
    code: Code = described("The machine code, and where it is placed")
    mailbox: int = described("The physical address of the mailbox page")
    id: Literal["tdcall-cpuid", "tdcall-rdmsr", "cpuid", "register", "index"] = described(
        "Where a processor gets its APIC ID: from the host by TDG.VP.VMCALL, CPUID leaf 0xB or RDMSR 0x802; from the "
        "instruction CPUID; from a register that firmware left it in; or it is the processor's index"
    )
    registers: dict[str, int | str] = described(
        "Registers at the entry, a number each, or mailbox, code, index or apic-id; all others hold junk",
        attrs.Factory(dict),
    )
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] | None = described("Edition to be held against", None)
    budget: Budget = described("How long a processor is given", Budget())


@attrs.frozen
class Declared:
    """A declaration that was read and is sound, with the bytes of its code and the place of each of its parts."""

    declaration: Declaration
    code: bytes
    node: Node

    def place(self, key: str) -> str:
        """Return where a key is declared, or where the document begins if it is not."""
        found: Node = self.node.value.get(key, self.node)
        return found.where


def is_declaration(node: Node) -> bool:
    """Say whether a target YAML declares machine code, and not the place of an image."""
    given = node.value if isinstance(node.value, dict) else {}
    return "location" not in given and "kind" in given and given["kind"].value == "firmware"


def read_declaration(node: Node, base: Path) -> Declared:
    """Decode a declaration; paths count from ``base``. Raises ``InputError`` at the first value that cannot be."""
    declared = document.decode(node, Declaration)
    given = node.value
    code = _code(declared.code, given["code"], base)
    _check_place(given["mailbox"])
    if declared.mailbox == declared.code.at:
        raise given["mailbox"].error("the mailbox lies where the code does", "each has a page of its own")
    _check_registers(declared, node)
    if "budget" in given:
        _check_budget(declared.budget, given["budget"])
    return Declared(declared, code, node)


def _code(declared: Code, node: Node, base: Path) -> bytes:
    given = node.value
    _check_place(given["at"])
    code = _extracted(declared, node, _contents(given["file"], base))
    if not 0 < len(code) <= PAGE:
        raise given["file"].error(f"{len(code)} bytes of code, where 1 to {PAGE} can be placed")
    for key in ("entry", "reset"):
        offset = getattr(declared, key)
        if key in given and offset is not None and not 0 <= offset < len(code):
            raise given[key].error(f"{offset:#x} is no offset in {len(code)} bytes of code")
    return code


def _contents(node: Node, base: Path) -> bytes:
    try:
        path = base / str(node.value)
        if not stat.S_ISREG(path.stat().st_mode):
            raise node.error(f"{node.value!r} is not a regular file")
        with path.open("rb") as stream:
            data: bytes = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise node.error(f"{node.value!r} cannot be read: {error.strerror}") from None
    except ValueError:
        raise node.error(f"{node.value!r} is not a path") from None
    if len(data) > MAX_FILE:
        raise node.error(f"{node.value!r} has more than {MAX_FILE} bytes")
    return data


def _extracted(declared: Code, node: Node, data: bytes) -> bytes:
    given = node.value
    named = [key for key in ("start", "end") if getattr(declared, key)]
    if declared.format == "raw":
        if named:
            raise given[named[0]].error("a raw file has no symbols", "format: elf reads them")
        return data
    if len(named) < 2:
        raise node.error("an ELF file needs the symbols start and end")
    try:
        return between(data, declared.start, declared.end)
    except ValueError as error:
        raise given["file"].error(f"{declared.file!r}: {error}") from None


def _check_place(node: Node) -> None:
    if node.value % PAGE:
        raise node.error(f"{node.value:#x} is not a multiple of {PAGE}")
    if not LOWEST <= node.value < HIGHEST:
        hint = "below are the suite's own page tables and vectors; its page tables map 4 GiB"
        raise node.error(f"{node.value:#x} does not lie between {LOWEST:#x} and {HIGHEST:#x}", hint)


def _check_registers(declared: Declaration, node: Node) -> None:
    registers = node.value.get("registers")
    given: dict[str, Node] = registers.value if registers else {}
    for name, value in given.items():
        if name not in NAMES:
            assert registers is not None
            raise registers.keys[name].error(f"no register {name!r}", did_you_mean(name, NAMES))
        _check_value(value, declared.id)
    if declared.id == "register" and "apic-id" not in declared.registers.values():
        raise node.value["id"].error("no register holds the APIC ID", "write apic-id for one under registers")


def _check_value(node: Node, source: str) -> None:
    if isinstance(node.value, str):
        if node.value not in WORDS:
            raise node.error(f"{node.value!r} is not a known value", did_you_mean(node.value, WORDS))
        if node.value == "apic-id" and source != "register":
            raise node.error(f"a register holds the APIC ID, and id says {source}", "write id: register")
    elif not 0 <= node.value < 1 << 64:
        raise node.error("the number does not fit into 64 bits")


def _check_budget(declared: Budget, node: Node) -> None:
    for key in ("instructions", "patience"):
        value, most = getattr(declared, key), MAX_INSTRUCTIONS if key == "instructions" else declared.instructions
        if not 1 <= value <= most:
            raise _at(node, key).error(f"{key}: {value} is not between 1 and {most}")


def _at(node: Node, key: str) -> Node:
    found: Node = node.value.get(key, node)
    return found


def coded(code: str, error: InputError) -> InputError:
    """Return an error with a code before its message."""
    return InputError(f"{code}: {error.message}", error.where, error.hint)
