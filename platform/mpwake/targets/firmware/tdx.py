"""The TDX module and the host's side of its calls, as far as AP loops use them.

Leaves, registers and codes are those of Intel's "Guest-Host Communication Interface" (GHCI) and of the TDX module's
ABI. Two hosts are played. The strict one keeps to the register rules of GHCI, the lenient one looks at the function
only: a loop that breaks a rule works on the one and not on the other, and each hides mistakes that the other shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from mpwake.model.environment import FAILED, Host, changed

TDCALL = bytes.fromhex("660f01cc")
VMCALL, VP_INFO, ACCEPT = 0, 1, 6
CPUID, HLT, IO, RDMSR, WRMSR, MAP_GPA = 10, 12, 30, 31, 32, 0x10001
X2APIC_ID = 0x802
# TDX_OPERAND_INVALID; in its low half stands the register that is wrong.
OPERAND_INVALID = 0xC000010000000000
GPAW = 52
# The registers by the number of their bit in RCX at TDG.VP.VMCALL.
NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
_REFUSED_BITS = 0b10011  # RAX, RCX and RSP cannot be passed
Registers = Mapping[str, int]


@attrs.frozen
class Identity:
    """What a processor is, what its host says that it is, and what else the host does to its calls.

    ``forged`` is what the host writes to each register that it is shown and that carries no answer, unless it is 0.
    """

    index: int
    processors: int
    apic_id: int
    told_id: int
    refused: bool = False
    forged: int = 0


@attrs.frozen
class Call:
    """A call to the host as it was made, how it was answered, and the registers that the host has changed beside."""

    function: int
    registers: Registers
    answer: int
    within_rules: bool
    changed: tuple[str, ...] = ()


@attrs.frozen
class Tdx:
    """The TDX module and the host of one trial."""

    strict: bool = True

    def call(self, registers: Registers, who: Identity) -> tuple[dict[str, int], Call | None]:
        """Carry out TDCALL: return the registers that change, and the call to the host if it was one."""
        leaf = registers["rax"]
        if leaf == VMCALL:
            return self._vmcall(registers, who)
        if leaf == VP_INFO:
            counts = who.processors | who.processors << 32
            return {"rax": 0, "rcx": GPAW, "rdx": 0, "r8": counts, "r9": who.index, "r10": 0, "r11": 0}, None
        return {"rax": 0 if leaf == ACCEPT else OPERAND_INVALID}, None

    def _vmcall(self, registers: Registers, who: Identity) -> tuple[dict[str, int], Call]:
        mask = registers["rcx"]
        if self.strict and (mask & _REFUSED_BITS or mask >> 16):
            call = Call(registers["r11"], registers, registers["r10"], within_rules=False)
            return {"rax": OPERAND_INVALID | 1}, call
        shown = {name: registers[name] if mask >> bit & 1 else 0 for bit, name in enumerate(NAMES)}
        within = shown["r10"] == 0
        answered = {"r10": FAILED} if self.strict and not within else _answer(shown, who)
        if who.refused:
            answered["r10"] = FAILED  # and the rest of an answer, for who does not look
        forged = tuple(changed(mask, shown["r11"])) if who.forged else ()
        answered |= dict.fromkeys(forged, who.forged)
        passed = {name: value for name, value in answered.items() if mask >> NAMES.index(name) & 1}
        call = Call(shown["r11"], registers, answered["r10"], within, forged)
        return {"rax": 0, **passed}, call


def _answer(shown: Registers, who: Identity) -> dict[str, int]:
    function = shown["r11"]
    if function == CPUID:
        values = cpuid(shown["r12"] & 0xFFFFFFFF, shown["r13"] & 0xFFFFFFFF, who.told_id)
        return {"r10": 0, "r11": 0, **dict(zip(("r12", "r13", "r14", "r15"), values, strict=True))}
    if function == RDMSR and shown["r12"] == X2APIC_ID:
        return {"r10": 0, "r11": who.told_id}
    if function in (HLT, IO, WRMSR, MAP_GPA):
        return {"r10": 0, "r11": 0}
    return {"r10": FAILED}


def cpuid(leaf: int, subleaf: int, apic_id: int) -> tuple[int, int, int, int]:
    """Return what CPUID answers in the registers EAX, EBX, ECX and EDX (SDM, volume 2A)."""
    if leaf in (0xB, 0x1F):
        level = {0: (1, 1 << 8), 1: (8, 2 << 8)}.get(subleaf, (0, 0))
        return level[0], 1 if level[1] else 0, level[1] | subleaf & 0xFF, apic_id
    known = {
        0: (0x21, 0x756E6547, 0x6C65746E, 0x49656E69),  # GenuineIntel
        1: (0x000806F0, (apic_id & 0xFF) << 24, 1 << 31 | 1 << 21, 1 << 9 | 1 << 6),
        0x21: (0, 0x65746E49, 0x20202020, 0x5844546C),  # IntelTDX
    }
    return known.get(leaf, (0, 0, 0, 0))


def told_ids(ids: tuple[int, ...], host: Host) -> tuple[int, ...]:
    """Return the APIC IDs that a host tells the processors with these."""
    return host.ids or ids
