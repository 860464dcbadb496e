"""What can be written in the declaration of an AP loop in machine code: the documents alone.

The code comes from a file, or from a module of a firmware image. In the third form the image parks its processors
itself, and there is no platform to declare.
"""

from __future__ import annotations

from typing import Literal

import attrs

from mpwake.spec.document import described
from mpwake.targets.firmware.image import TDX_DXE
from mpwake.targets.firmware.patches import Patch

Leaf = Literal[
    "vp.info",
    "mem.page.accept",
    "vp.vmcall.cpuid",
    "vp.vmcall.hlt",
    "vp.vmcall.io",
    "vp.vmcall.rdmsr",
    "vp.vmcall.wrmsr",
    "vp.vmcall.map-gpa",
]
IdSource = Literal["tdcall-cpuid", "tdcall-rdmsr", "cpuid", "register", "index"]
LOCATES = ("relocation-map", "symbol", "offset")


@attrs.frozen(kw_only=True)
class Placement:
    """Where machine code is placed, and its entries."""

    at: int = described(
        "The physical address that its first byte is placed at: a multiple of 4096, or one in the mailbox page behind "
        "the fields"
    )
    entry: int = described("Offset of the instruction that a parked processor begins with", 0)
    reset: int | None = described("Offset of ResetVector, if there is one", None)


@attrs.frozen(kw_only=True)
class Code(Placement):
    """The machine code of an AP loop in a file, and where it is placed."""

    file: str = described("The file that holds it; a relative path counts from this document")
    format: Literal["raw", "elf", "pe"] = described(
        "What the file is: the code alone, an ELF object or program, or a PE32+ image", "raw"
    )
    start: str | int | None = described(
        "Its first byte: a symbol; or an offset in the file, and in a PE image an RVA, which sha256 pins", None
    )
    end: str | int | None = described("What is behind its last byte, as start", None)
    sha256: str = described("The SHA-256 of the file", "")


@attrs.frozen(kw_only=True)
class ModuleCode(Placement):
    """The machine code of an AP loop in a module of a firmware image, and where it is placed."""

    file: str = described("The image; a relative path counts from this document")
    guid: str = described("The GUID of the module, a PE32+ image in a section of that kind")
    locate: Literal["symbol", "offset"] = described("How the code is found in the module")
    start: str | int = described("Its first byte: a symbol, or an RVA in the module")
    end: str | int = described("What is behind its last byte, as start")
    sha256: str = described("The SHA-256 of the module; an offset needs it", "")


@attrs.frozen(kw_only=True)
class WholeImage:
    """A firmware image that parks its processors itself: EDK2's, with TdxDxe in it."""

    file: str = described("The image; a relative path counts from this document")
    guid: str = described("The GUID of TdxDxe", TDX_DXE)
    locate: Literal["relocation-map"] = described("The driver's own function tells of the loop", "relocation-map")
    sha256: str = described("The SHA-256 of the module", "")


@attrs.frozen(kw_only=True)
class Guest:
    """What code asks the TDX module for."""

    leaves: tuple[Leaf, ...] = described("Leaves of TDCALL, and functions of TDG.VP.VMCALL; any other ends a processor")


@attrs.frozen(kw_only=True)
class Private:
    """What firmware does beyond ACPI, and says so. It is told of in reports, and changes no verdict."""

    broadcast: int | None = described("An ApicId that every processor takes", None, key="apic-broadcast")
    commands: tuple[int, ...] = described("Values of Command that ACPI does not define so", ())


@attrs.frozen(kw_only=True)
class Budget:
    """How long a processor is given."""

    instructions: int = described("Instructions of each processor in a trial", 8_000)
    patience: int = described("Instructions without any store, after which a processor is taken to wait", 400)


@attrs.frozen(kw_only=True)
class Common:
    """What every declaration of machine code may say."""

    kind: Literal["firmware"] = described("firmware")
    tdx: Guest | None = described("What the code asks the TDX module for; without it all that the suite plays", None)
    private: Private = described("Private extensions, as firmware declares them", Private())
    patches: tuple[Patch, ...] = described("Changes to the bytes of the code, for a trial of the suite", ())
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] | None = described("Edition to be held against", None)
    budget: Budget = described("How long a processor is given", Budget())


@attrs.frozen(kw_only=True)
class Loose(Common):
    """The platform of code that is run without the firmware around it."""

    mailbox: int = described("The physical address of the mailbox page")
    id: IdSource = described(
        "Where a processor gets its APIC ID: from the host by TDG.VP.VMCALL, CPUID leaf 0xB or RDMSR 0x802; from the "
        "instruction CPUID; from a register that firmware left it in; or it is the processor's index"
    )
    registers: dict[str, int | str] = described(
        "Registers at the entry, a number each, or mailbox, code, index or apic-id; all others hold junk",
        attrs.Factory(dict),
    )


@attrs.frozen(kw_only=True)
class Declaration(Loose):
    """An AP loop in machine code, and its platform."""

    code: Code = described("The machine code, and where it is placed")


@attrs.frozen(kw_only=True)
class ModuleDeclaration(Loose):
    """An AP loop in a module of a firmware image, and its platform."""

    image: ModuleCode = described("The image, the code in it, and where that is placed")


@attrs.frozen(kw_only=True)
class ImageDeclaration(Common):
    """A firmware image that parks its processors itself."""

    image: WholeImage = described("The image")


AnyDeclaration = Declaration | ModuleDeclaration | ImageDeclaration
FORMS = (Declaration, ModuleDeclaration, ImageDeclaration)
