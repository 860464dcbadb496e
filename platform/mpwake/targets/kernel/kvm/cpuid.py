"""What a processor of the machine says of itself: what KVM can do, with its own APIC ID and the machine's topology."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from mpwake.targets.kernel.kvm import abi

X2APIC, HYPERVISOR, HYPER_THREADING = 1 << 21, 1 << 31, 1 << 28
EXT_DEST_ID = 1 << 15
HAS_INDEX = 1
_FEATURES, _CACHES, _TOPOLOGY, _TOPOLOGY_V2 = 0x1, 0x4, 0xB, 0x1F
_KVM = 0x40000001
_SMT, _CORE = 1, 2


@attrs.frozen
class Machine:
    """What the processors have in common: their APIC IDs, and whether they begin in x2APIC mode."""

    apic_ids: tuple[int, ...]
    x2apic: bool


def _copy(one: abi.CpuidEntry, **changes: int) -> abi.CpuidEntry:
    found = abi.CpuidEntry.from_buffer_copy(one)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def entries(supported: Iterable[abi.CpuidEntry], machine: Machine, apic_id: int) -> list[abi.CpuidEntry]:
    """Return the leaves of one processor."""
    found = [_entry(one, machine, apic_id) for one in supported if one.function not in (_TOPOLOGY, _TOPOLOGY_V2)]
    return [*found, *_topology(machine, apic_id)]


def _entry(one: abi.CpuidEntry, machine: Machine, apic_id: int) -> abi.CpuidEntry:
    count = len(machine.apic_ids)
    if one.function == _FEATURES:
        ebx = one.ebx & 0xFFFF | min(count, 0xFF) << 16 | (apic_id & 0xFF) << 24
        ecx = (one.ecx | HYPERVISOR) & ~X2APIC | (X2APIC if machine.x2apic else 0)
        edx = one.edx & ~HYPER_THREADING | (HYPER_THREADING if count > 1 else 0)
        return _copy(one, ebx=ebx, ecx=ecx, edx=edx)
    if one.function == _CACHES:
        return _copy(one, eax=one.eax & 0x3FFF)  # nobody shares a cache
    if one.function == _KVM:
        return _copy(one, eax=one.eax & ~EXT_DEST_ID | (EXT_DEST_ID if machine.x2apic else 0))
    return _copy(one)


def _topology(machine: Machine, apic_id: int) -> list[abi.CpuidEntry]:
    # Intel SDM volume 2, CPUID leaf 0xB: one thread to a core, all cores in one package.
    bits = max(machine.apic_ids).bit_length()
    threads = abi.CpuidEntry(_TOPOLOGY, 0, HAS_INDEX, 0, 1, _SMT << 8, apic_id)
    cores = abi.CpuidEntry(_TOPOLOGY, 1, HAS_INDEX, bits, len(machine.apic_ids), _CORE << 8 | 1, apic_id)
    return [threads, cores, abi.CpuidEntry(_TOPOLOGY, 2, HAS_INDEX, 0, 0, 2, apic_id)]
