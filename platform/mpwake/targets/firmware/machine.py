"""Real instructions on processors of their own: physical memory that they share, and one Unicorn for each of them.

A processor reaches the memory that the board has and nothing else. It goes one instruction at a time, and everything
that it does there is handed out: loads, stores, calls to the host, faults.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Set
from typing import Any

import attrs
from unicorn import UC_ARCH_X86, UC_HOOK_INSN, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_MODE_64, Uc, UcError
from unicorn import unicorn_const as const
from unicorn import x86_const as x86

from mpwake.targets.firmware.leaves import leaf_of, refusal
from mpwake.targets.firmware.tdx import GPAW, NAMES, TDCALL, X2APIC_ID, Call, Identity, Tdx, cpuid

PAGE = 0x1000
CR0_PE, CR0_WP, CR0_PG = 1, 1 << 16, 1 << 31
CR4_PAE, CR4_MCE, CR4_PCIDE = 1 << 5, 1 << 6, 1 << 17
EFER = 0xC0000080
EFER_LMA = 1 << 10
# IA32_EFER of a TD's processor when it starts: SCE, LME, NXE (TDX module ABI, initial state of a VCPU).
EFER_IN_TD = 0x901
GENERAL = NAMES
NUMBERS = {name: getattr(x86, f"UC_X86_REG_{name.upper()}") for name in (*GENERAL, "rip", "rflags")}
_STATE = [NUMBERS[name] for name in NUMBERS]
_SYSTEM = ("cr0", "cr2", "cr3", "cr4", "cr8", "cs", "ds", "es", "fs", "gs", "ss", "fs_base", "gs_base")
_TABLES = ("gdtr", "idtr", "ldtr", "tr")
_VECTORS = (*(f"fp{n}" for n in range(8)), "fpsw", "fpcw", "fptag", "mxcsr", *(f"ymm{n}" for n in range(16)))
_ALL = [getattr(x86, f"UC_X86_REG_{name.upper()}") for name in (*_SYSTEM, *_TABLES, *_VECTORS)]
# Descriptors of flat segments: none, 32-bit code, data.
FLAT = (0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF)
_HLT, _RDMSR, _MONITOR, _MWAIT = b"\xf4", b"\x0f\x32", b"\x0f\x01\xc8", b"\x0f\x01\xc9"
_TO_CR0 = b"\x0f\x22"
_OWN = (TDCALL, _HLT, _RDMSR, _MONITOR, _MWAIT, *(_TO_CR0 + bytes([modrm]) for modrm in range(0xC0, 0xC8)))
_LONGEST = 4
_EXCEPTIONS = {0: "#DE", 1: "#DB", 3: "#BP", 6: "#UD", 8: "#DF", 12: "#SS", 13: "#GP", 14: "#PF"}


class Piece:
    """Physical memory from ``base`` on, shared by all processors."""

    def __init__(self, base: int, size: int, data: bytes = b"", writable: bool = True) -> None:
        self.base = base
        self.size = (size + PAGE - 1) // PAGE * PAGE
        self.bytes = mmap.mmap(-1, self.size)
        self.bytes[: len(data)] = data
        self.writable = writable
        self.pointer = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))

    def has(self, address: int) -> bool:
        """Say whether an address lies in it."""
        return self.base <= address < self.base + self.size


class Board:
    """The physical memory of a platform. What is written after ``keep`` is taken back by ``restore``."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.version = 0
        self._kept: dict[int, bytes] | None = None

    def _piece(self, address: int, size: int) -> Piece | None:
        found = next((one for one in self.pieces if one.has(address)), None)
        return found if found and address + size <= found.base + found.size else None

    def read(self, address: int, size: int) -> bytes | None:
        """Return physical memory, or None where there is none."""
        one = self._piece(address, size)
        return None if one is None else one.bytes[address - one.base : address - one.base + size]

    def number(self, address: int, size: int) -> int | None:
        """Return a little-endian number in physical memory, or None where there is none."""
        data = self.read(address, size)
        return None if data is None else int.from_bytes(data, "little")

    def write(self, address: int, data: bytes) -> None:
        """Write physical memory from outside, as an operating system or firmware does."""
        self.touch(address, len(data))
        one = self._piece(address, len(data))
        assert one is not None
        one.bytes[address - one.base : address - one.base + len(data)] = data

    def touch(self, address: int, size: int) -> None:
        """Take note that memory is about to be written."""
        self.version += 1
        if self._kept is None:
            return
        for page in range(address // PAGE, (address + size - 1) // PAGE + 1):
            if page not in self._kept:
                data = self.read(page * PAGE, PAGE)
                if data is not None:
                    self._kept[page] = data

    def keep(self) -> None:
        """Remember memory as it is."""
        self._kept = {}

    def restore(self) -> None:
        """Make memory what it was at ``keep``."""
        for page, data in (self._kept or {}).items():
            one = self._piece(page * PAGE, PAGE)
            assert one is not None
            one.bytes[page * PAGE - one.base : page * PAGE - one.base + PAGE] = data
        self.version += 1
        self._kept = {}


@attrs.frozen
class Access:
    """A load or store of a processor."""

    store: bool
    address: int
    width: int
    value: int


@attrs.define
class Done:
    """What one instruction did. ``fault`` says why the processor cannot go on, ``halted`` that it waits for events.

    ``leaf`` is what the TDX module was asked for and did not give.
    """

    rip: int
    accesses: list[Access] = attrs.field(factory=list)
    calls: list[Call] = attrs.field(factory=list)
    fault: str = ""
    leaf: str = ""
    halted: bool = False


class Processor:
    """One processor, and the step that it takes."""

    def __init__(self, board: Board, who: Identity, tdx: Tdx) -> None:
        self.board = board
        self.who = who
        self.tdx = tdx
        self.leaves: Set[str] | None = None  # what it may ask the TDX module for; None for all that is played
        self.done = Done(0)
        self.wrote: Callable[[int], None] = lambda _address: None
        self.stale = False  # whether code may have changed since it was last carried out
        self._special: dict[int, bytes] = {}
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_tcg_buffer_size(1 << 20)  # first of all: the default is a GiB of address space for each
        # An `until` whose page is not mapped raises a page fault after each run, and after the second all are silent.
        self.uc.ctl_exits_enabled(True)
        self.uc.ctl_set_exits([])
        for one in board.pieces:
            access = const.UC_PROT_ALL if one.writable else const.UC_PROT_READ | const.UC_PROT_EXEC
            self.uc.mem_map_ptr(one.base, one.size, access, one.pointer)
        self._context = self.uc.context_save()
        self._hook()

    def _hook(self) -> None:
        self.uc.hook_add(const.UC_HOOK_MEM_READ | const.UC_HOOK_MEM_WRITE, self._accessed)
        self.uc.hook_add(const.UC_HOOK_MEM_INVALID, self._missed)
        self.uc.hook_add(UC_HOOK_INTR, self._interrupted)
        self.uc.hook_add(UC_HOOK_INSN_INVALID, self._unknown)
        self.uc.hook_add(UC_HOOK_INSN, self._cpuid, None, 1, 0, x86.UC_X86_INS_CPUID)

    def _accessed(self, _uc: Any, kind: int, address: int, size: int, value: int, _data: Any) -> None:
        store = kind == const.UC_MEM_WRITE
        if store:
            self.board.touch(address, size)
            self.wrote(address)
        else:
            value = self.board.number(address, size) or 0
        self.done.accesses.append(Access(store, address, size, value & ((1 << 8 * size) - 1)))

    def _missed(self, _uc: Any, kind: int, address: int, size: int, _value: int, _data: Any) -> bool:
        fetch = kind in (const.UC_MEM_FETCH_UNMAPPED, const.UC_MEM_FETCH_PROT)
        store = kind in (const.UC_MEM_WRITE_UNMAPPED, const.UC_MEM_WRITE_PROT)
        what = "a fetch" if fetch else "a store" if store else "a load"
        self.done.fault = self.done.fault or f"{what} of {size} bytes at {address:#x}, which it was not given"
        return False

    def _interrupted(self, uc: Any, number: int, _data: Any) -> None:
        name = _EXCEPTIONS.get(number, f"interrupt {number}")
        place = f" at {uc.reg_read(x86.UC_X86_REG_CR2):#x}" if name == "#PF" else ""
        self.done.fault = self.done.fault or f"{name}{place}"
        uc.emu_stop()

    def _unknown(self, uc: Any, _data: Any) -> bool:
        rip = int(uc.reg_read(x86.UC_X86_REG_RIP))
        code = self.board.read(rip, _LONGEST) or b""
        if code.startswith(TDCALL):
            self._tdcall(rip)
            return not self.done.fault
        self.done.fault = self.done.fault or f"#UD: {code[:4].hex(' ')} is no instruction of this machine"
        return False

    def _tdcall(self, rip: int) -> None:
        leaf = leaf_of(self.registers())
        if self.leaves is not None and leaf not in self.leaves:
            self.done.leaf, self.done.fault = leaf, refusal(leaf, self.leaves)
            return
        changed, call = self.tdx.call(self.registers(), self.who)
        self.write(**changed, rip=rip + len(TDCALL))
        if call:
            self.done.calls.append(call)

    def _cpuid(self, uc: Any, _data: Any) -> int:
        leaf, subleaf = uc.reg_read(x86.UC_X86_REG_EAX), uc.reg_read(x86.UC_X86_REG_ECX)
        values = cpuid(leaf, subleaf, self.who.apic_id)
        for name, value in zip(("rax", "rbx", "rcx", "rdx"), values, strict=True):
            uc.reg_write(NUMBERS[name], value)
        return 1

    def registers(self) -> dict[str, int]:
        """Return the general registers, RIP and RFLAGS by name."""
        return dict(zip(NUMBERS, self.uc.reg_read_batch(_STATE), strict=True))

    def state(self) -> bytes:
        """Return all of the processor's state, to be compared."""
        self.uc.context_update(self._context)
        return bytes(self._context)

    def visible(self) -> tuple[Any, ...]:
        """Return the registers that instructions can tell apart, the same on each of several processors."""
        others = (self.uc.reg_read(number) for number in _ALL)
        return (*self.uc.reg_read_batch(_STATE), *others, self.uc.msr_read(EFER))

    def write(self, **registers: int) -> None:
        """Set registers by name."""
        for name, value in registers.items():
            self.uc.reg_write(NUMBERS.get(name) or getattr(x86, f"UC_X86_REG_{name.upper()}"), value)

    @property
    def rip(self) -> int:
        """The address of the next instruction."""
        return int(self.uc.reg_read(x86.UC_X86_REG_RIP))

    def _forget_code(self) -> None:
        # Unicorn translates code once, and does not see what others change in it.
        self.stale = False
        self._special.clear()
        self.uc.ctl_flush_tb()

    def _kind(self, rip: int) -> bytes:
        # Which of the instructions this is, if any, that Unicorn does not carry out, or silently and wrongly.
        if rip not in self._special:
            code = self.board.read(rip, _LONGEST) or b""
            found = next((one for one in _OWN if code.startswith(one)), b"")
            self._special[rip] = _TO_CR0 if found.startswith(_TO_CR0) else found
        return self._special[rip]

    def step(self) -> Done:
        """Carry out one instruction, and tell what it did."""
        if self.stale:
            self._forget_code()
        rip = self.rip
        self.done = Done(rip)
        kind = self._kind(rip)
        if kind == TDCALL:
            self._tdcall(rip)
        elif kind in (_MONITOR, _MWAIT):
            self.write(rip=rip + len(kind))
        elif kind == _RDMSR and self.uc.reg_read(x86.UC_X86_REG_ECX) == X2APIC_ID:
            self.write(rax=self.who.apic_id, rdx=0, rip=rip + len(kind))
        elif kind == _TO_CR0 and self._breaks_pcid(rip):
            self.done.fault = "#GP: it clears CR0.PG while CR4.PCIDE is set"
        else:
            self._go(rip, 1)
            self.done.halted = kind == _HLT
        return self.done

    def _breaks_pcid(self, rip: int) -> bool:
        # MOV to CR0 (SDM, volume 3A, 4.10.1), which Unicorn lets pass; the source is in the low bits of ModRM.
        source = GENERAL[(self.board.read(rip + 2, 1) or b"\0")[0] & 7]
        cr0, new = int(self.uc.reg_read(x86.UC_X86_REG_CR0)), int(self.uc.reg_read(NUMBERS[source]))
        return bool(cr0 & CR0_PG and not new & CR0_PG and self.uc.reg_read(x86.UC_X86_REG_CR4) & CR4_PCIDE)

    def run(self, until: int, budget: int) -> Done:
        """Go on until an address, or for so many instructions, and tell what was seen."""
        done = self.done = Done(self.rip)
        self.uc.ctl_set_exits([until])
        self._go(done.rip, budget)
        self.uc.ctl_set_exits([])
        return done

    def _go(self, rip: int, count: int) -> None:
        try:
            self.uc.emu_start(rip, 0, count=count)
        except UcError as error:
            self.done.fault = self.done.fault or str(error)


def reset(one: Processor, gdt: int) -> None:
    """Put a processor into the state in which a TD's processor starts: 32-bit protected mode, no paging.

    ``gdt`` is where a table for the flat segments may stand until it has started. (TDX module ABI, initial state.)
    """
    one.board.write(gdt, b"".join(value.to_bytes(8, "little") for value in FLAT))
    one.uc.reg_write(x86.UC_X86_REG_GDTR, (0, gdt, 8 * len(FLAT) - 1, 0))
    # Unicorn begins in long mode without paging; turning paging on and off is the way out of it.
    one.write(cr4=CR4_PAE | CR4_MCE, cr0=CR0_PG | CR0_PE | 0x20)
    one.write(cr0=CR0_PE | 0x20)
    one.write(cr4=CR4_MCE)
    one.uc.msr_write(EFER, EFER_IN_TD)
    one.write(cs=8, ds=16, es=16, ss=16, fs=16, gs=16)
    one.write(**dict.fromkeys(GENERAL, 0))
    one.write(rflags=2, rip=0xFFFFFFF0, rbx=GPAW, rsi=one.who.index)


def enter_long_mode(one: Processor, tables: int, at: int) -> None:
    """Take a processor into 64-bit code on page tables that stand in memory already, with flat segments and IF 0.

    It gets there by instructions, in a page of the suite's own at ``at``.
    """
    reset(one, at)
    one.board.write(at, b"".join(value.to_bytes(8, "little") for value in (*FLAT, 0x00AF9B000000FFFF)))
    one.uc.reg_write(x86.UC_X86_REG_GDTR, (0, at, 8 * len(FLAT) + 7, 0))
    code = at + 0x100
    jump = b"\xea" + (code + 0x10).to_bytes(4, "little") + (8 * len(FLAT)).to_bytes(2, "little")
    one.board.write(code, bytes.fromhex("0f22c0") + jump)  # mov cr0, eax; jmp far
    one.write(cr3=tables, cr4=CR4_PAE | CR4_MCE, rax=CR0_PG | CR0_WP | CR0_PE | 0x20, rip=code)
    one.step()
    one.step()
    assert one.rip == code + 0x10, one.done.fault
    one.write(rax=0)
