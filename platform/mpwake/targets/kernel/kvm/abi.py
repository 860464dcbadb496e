"""What user space and KVM pass each other (Linux include/uapi/linux/kvm.h and arch/x86/include/uapi/asm/kvm.h)."""

from __future__ import annotations

import ctypes
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64

VERSION = 12
MOST_CPUID = 256


class Regs(ctypes.Structure):
    """``struct kvm_regs``."""

    _fields_ = [  # ctypes takes a list
        (name, c_uint64) for name in "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags".split()
    ]


class Segment(ctypes.Structure):
    """``struct kvm_segment``."""

    _fields_ = [
        ("base", c_uint64),
        ("limit", c_uint32),
        ("selector", c_uint16),
        *((name, c_uint8) for name in "type present dpl db s l g avl unusable padding".split()),
    ]


class Table(ctypes.Structure):
    """``struct kvm_dtable``."""

    _fields_ = [("base", c_uint64), ("limit", c_uint16), ("padding", c_uint16 * 3)]


class Sregs(ctypes.Structure):
    """``struct kvm_sregs``."""

    _fields_ = [
        *((name, Segment) for name in "cs ds es fs gs ss tr ldt".split()),
        ("gdt", Table),
        ("idt", Table),
        *((name, c_uint64) for name in "cr0 cr2 cr3 cr4 cr8 efer apic_base".split()),
        ("interrupt_bitmap", c_uint64 * 4),
    ]


class MemoryRegion(ctypes.Structure):
    """``struct kvm_userspace_memory_region``."""

    _fields_ = [
        ("slot", c_uint32),
        ("flags", c_uint32),
        ("guest_phys_addr", c_uint64),
        ("memory_size", c_uint64),
        ("userspace_addr", c_uint64),
    ]


class CpuidEntry(ctypes.Structure):
    """``struct kvm_cpuid_entry2``."""

    _fields_ = [
        *((name, c_uint32) for name in "function index flags eax ebx ecx edx".split()),
        ("padding", c_uint32 * 3),
    ]


class Cpuid(ctypes.Structure):
    """``struct kvm_cpuid2`` with room for its entries."""

    _fields_ = [("nent", c_uint32), ("padding", c_uint32), ("entries", CpuidEntry * MOST_CPUID)]


class EnableCap(ctypes.Structure):
    """``struct kvm_enable_cap``."""

    _fields_ = [
        ("cap", c_uint32),
        ("flags", c_uint32),
        ("args", c_uint64 * 4),
        ("padding", c_uint8 * 64),
    ]


class PitConfig(ctypes.Structure):
    """``struct kvm_pit_config``."""

    _fields_ = [("flags", c_uint32), ("padding", c_uint32 * 15)]


class MpState(ctypes.Structure):
    """``struct kvm_mp_state``."""

    _fields_ = [("mp_state", c_uint32)]


class Lapic(ctypes.Structure):
    """``struct kvm_lapic_state``."""

    _fields_ = [("registers", c_uint8 * 0x400)]


class Events(ctypes.Structure):
    """``struct kvm_vcpu_events``, of which nothing but zeros is written."""

    _fields_ = [("head", c_uint8 * 16), ("sipi_vector", c_uint32), ("flags", c_uint32), ("rest", c_uint8 * 40)]


_WRITE, _READ = 1, 2
_KVMIO = 0xAE


def _code(direction: int, number: int, size: int) -> int:
    # Linux include/uapi/asm-generic/ioctl.h
    return direction << 30 | size << 16 | _KVMIO << 8 | number


GET_API_VERSION = _code(0, 0x00, 0)
CREATE_VM = _code(0, 0x01, 0)
CHECK_EXTENSION = _code(0, 0x03, 0)
GET_VCPU_MMAP_SIZE = _code(0, 0x04, 0)
# The header of struct kvm_cpuid2 alone is what the number counts.
GET_SUPPORTED_CPUID = _code(_READ | _WRITE, 0x05, 8)
CREATE_VCPU = _code(0, 0x41, 0)
SET_USER_MEMORY_REGION = _code(_WRITE, 0x46, ctypes.sizeof(MemoryRegion))
SET_TSS_ADDR = _code(0, 0x47, 0)
SET_IDENTITY_MAP_ADDR = _code(_WRITE, 0x48, 8)
CREATE_IRQCHIP = _code(0, 0x60, 0)
CREATE_PIT2 = _code(_WRITE, 0x77, ctypes.sizeof(PitConfig))
RUN = _code(0, 0x80, 0)
GET_REGS = _code(_READ, 0x81, ctypes.sizeof(Regs))
SET_REGS = _code(_WRITE, 0x82, ctypes.sizeof(Regs))
GET_SREGS = _code(_READ, 0x83, ctypes.sizeof(Sregs))
SET_SREGS = _code(_WRITE, 0x84, ctypes.sizeof(Sregs))
GET_LAPIC = _code(_READ, 0x8E, ctypes.sizeof(Lapic))
SET_LAPIC = _code(_WRITE, 0x8F, ctypes.sizeof(Lapic))
SET_CPUID2 = _code(_WRITE, 0x90, 8)
GET_MP_STATE = _code(_READ, 0x98, ctypes.sizeof(MpState))
SET_MP_STATE = _code(_WRITE, 0x99, ctypes.sizeof(MpState))
GET_VCPU_EVENTS = _code(_READ, 0x9F, ctypes.sizeof(Events))
SET_VCPU_EVENTS = _code(_WRITE, 0xA0, ctypes.sizeof(Events))
ENABLE_CAP = _code(_WRITE, 0xA3, ctypes.sizeof(EnableCap))

# Capabilities by number, with what they are for.
NEEDED = {
    0: "an interrupt controller in the kernel (KVM_CAP_IRQCHIP)",
    3: "memory of user space (KVM_CAP_USER_MEMORY)",
    4: "an address for its task state (KVM_CAP_SET_TSS_ADDR)",
    7: "CPUID as it is told (KVM_CAP_EXT_CPUID)",
    14: "the state of a processor that waits (KVM_CAP_MP_STATE)",
    33: "a timer in the kernel (KVM_CAP_PIT2)",
    37: "an address for its page table (KVM_CAP_SET_IDENTITY_MAP_ADDR)",
    41: "the events of a processor (KVM_CAP_VCPU_EVENTS)",
    136: "an end of KVM_RUN that is asked for (KVM_CAP_IMMEDIATE_EXIT)",
}
MAX_VCPU_ID = 128
X2APIC_API = 129
X2APIC_API_FLAGS = 3  # 32-bit IDs, and no quirk about broadcasts

# struct kvm_run: where what an exit tells begins, and the byte that asks for an exit at once.
IMMEDIATE_EXIT, EXIT_REASON, EXIT = 1, 8, 32
EXIT_IO, EXIT_MMIO, EXIT_SHUTDOWN, EXIT_FAIL_ENTRY, EXIT_INTERNAL_ERROR, EXIT_SYSTEM_EVENT = 2, 6, 8, 9, 17, 24
# Exits after which a processor is only run again: an interrupt window, and a signal.
EXITS_OF_NOTHING = (7, 10)
RUNNABLE, INIT_RECEIVED = 0, 2
