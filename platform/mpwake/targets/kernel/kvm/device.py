"""/dev/kvm as objects: a machine and its processors, over ``ioctl``."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Iterable

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel.kvm import abi

DEVICE = "/dev/kvm"
HINT = "KVM takes a processor with virtualization and the right to /dev/kvm; without backend: kvm none is needed"
_TSS, _IDENTITY_MAP = 0xFFFBD000, 0xFFFBC000
_SPEAKER = 1


def _unusable(what: str) -> ToolError:
    return ToolError(what, DEVICE, HINT)


class Kvm:
    """The device, opened. Raises ``ToolError`` where it is missing, forbidden or unfit."""

    def __init__(self) -> None:
        try:
            self.file = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(f"cannot be opened: {error.strerror}") from None
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, self.file)
            self._check()
            stack.pop_all()

    def _check(self) -> None:
        try:
            version = fcntl.ioctl(self.file, abi.GET_API_VERSION, 0)
        except OSError as error:
            raise _unusable(f"is not KVM: {error.strerror}") from None
        if version != abi.VERSION:
            raise _unusable(f"speaks version {version} of its interface, and not {abi.VERSION}")
        for number, what in abi.NEEDED.items():
            if self.capability(number) <= 0:
                raise _unusable(f"lacks {what}")

    def capability(self, number: int) -> int:
        """Return what KVM says of a capability; 0 where it has none."""
        return fcntl.ioctl(self.file, abi.CHECK_EXTENSION, number)

    def cpuid(self) -> list[abi.CpuidEntry]:
        """Return what a processor of KVM can be."""
        told = abi.Cpuid(nent=abi.MOST_CPUID)
        fcntl.ioctl(self.file, abi.GET_SUPPORTED_CPUID, told, True)
        return list(told.entries[: told.nent])

    def close(self) -> None:
        """Let go of it."""
        os.close(self.file)


def _ioctl_long(file: int, code: int, value: int) -> None:
    # fcntl.ioctl takes no number above 2 GiB.
    function = ctypes.CDLL(None, use_errno=True).ioctl
    if function(file, ctypes.c_ulong(code), ctypes.c_ulong(value)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Vm:
    """A machine without processors: interrupt controllers, a timer, and memory where it is given some."""

    def __init__(self, kvm: Kvm, wide_ids: bool) -> None:
        self.kvm = kvm
        self.file = fcntl.ioctl(kvm.file, abi.CREATE_VM, 0)
        self.slots = 0
        if wide_ids:
            cap = abi.EnableCap(cap=abi.X2APIC_API)
            cap.args[0] = abi.X2APIC_API_FLAGS
            fcntl.ioctl(self.file, abi.ENABLE_CAP, cap)
        _ioctl_long(self.file, abi.SET_TSS_ADDR, _TSS)
        fcntl.ioctl(self.file, abi.SET_IDENTITY_MAP_ADDR, struct.pack("<Q", _IDENTITY_MAP))
        fcntl.ioctl(self.file, abi.CREATE_IRQCHIP, 0)
        fcntl.ioctl(self.file, abi.CREATE_PIT2, abi.PitConfig(flags=_SPEAKER))

    def add_memory(self, address: int, memory: mmap.mmap) -> None:
        """Put memory at an address."""
        at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        region = abi.MemoryRegion(self.slots, 0, address, len(memory), at)
        fcntl.ioctl(self.file, abi.SET_USER_MEMORY_REGION, region)
        self.slots += 1


class Vcpu:
    """A processor of a machine."""

    def __init__(self, vm: Vm, apic_id: int, cpuid: Iterable[abi.CpuidEntry]) -> None:
        self.apic_id = apic_id
        self.file = fcntl.ioctl(vm.file, abi.CREATE_VCPU, apic_id)
        self.area = mmap.mmap(self.file, fcntl.ioctl(vm.kvm.file, abi.GET_VCPU_MMAP_SIZE, 0))
        entries = list(cpuid)
        told = abi.Cpuid(nent=len(entries))
        told.entries[: len(entries)] = entries
        fcntl.ioctl(self.file, abi.SET_CPUID2, told)

    def run(self) -> int:
        """Run it until KVM has something to tell; return the reason."""
        while True:
            try:
                fcntl.ioctl(self.file, abi.RUN, 0)
            except InterruptedError:
                continue
            reason: int = struct.unpack_from("<I", self.area, abi.EXIT_REASON)[0]
            return reason

    def settle(self) -> None:
        """Bring the instruction that led to an exit to its end, and run no other."""
        self.area[abi.IMMEDIATE_EXIT] = 1
        with contextlib.suppress(InterruptedError):
            fcntl.ioctl(self.file, abi.RUN, 0)
        self.area[abi.IMMEDIATE_EXIT] = 0

    def regs(self) -> abi.Regs:
        """Return the general registers."""
        found = abi.Regs()
        fcntl.ioctl(self.file, abi.GET_REGS, found, True)
        return found

    def sregs(self) -> abi.Sregs:
        """Return the registers of the system."""
        found = abi.Sregs()
        fcntl.ioctl(self.file, abi.GET_SREGS, found, True)
        return found

    def set(self, regs: abi.Regs, sregs: abi.Sregs) -> None:
        """Put it into a state, in which it is about to run."""
        fcntl.ioctl(self.file, abi.SET_MP_STATE, abi.MpState(abi.RUNNABLE))
        fcntl.ioctl(self.file, abi.SET_SREGS, sregs)
        fcntl.ioctl(self.file, abi.SET_REGS, regs)

    def mp_state(self) -> int:
        """Return what it waits for, once an INIT and a start-up that have come are taken."""
        found = abi.MpState()
        fcntl.ioctl(self.file, abi.GET_MP_STATE, found, True)
        return int(found.mp_state)

    def forget_events(self) -> None:
        """Take away every interrupt that is pending or in service."""
        fcntl.ioctl(self.file, abi.SET_VCPU_EVENTS, abi.Events(flags=1))
        lapic = abi.Lapic()
        fcntl.ioctl(self.file, abi.GET_LAPIC, lapic, True)
        for start in (0x100, 0x200):  # in service, and requested
            for at in range(start, start + 0x80, 0x10):
                ctypes.memset(ctypes.addressof(lapic) + at, 0, 4)
        fcntl.ioctl(self.file, abi.SET_LAPIC, lapic)
