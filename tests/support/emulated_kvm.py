"""The monitor for a KVM that is a software emulation: what that lacks of a small kernel's instructions is made up for.

Run as ``python -m support.emulated_kvm JSON``. No verdict may rest on it: tests alone use it.
"""

from __future__ import annotations

import fcntl
import struct

from mpwake.targets.kernel.kvm import abi
from mpwake.targets.kernel.kvm.monitor import Processor, main

INT3, BREAKPOINT = b"\xcc", 3
EMULATION = 1


class Emulated(Processor):
    """A processor whose INT3 is carried out here."""

    def unanswered(self, reason: int) -> None:
        if reason == abi.EXIT_INTERNAL_ERROR and self._made_up_for():
            return
        super().unanswered(reason)

    def _made_up_for(self) -> bool:
        suberror, _, flags = struct.unpack_from("<IIQ", self.vcpu.area, abi.EXIT)
        size, *code = struct.unpack_from("<B15B", self.vcpu.area, abi.EXIT + 16)
        regs, sregs, found = self.vcpu.regs(), self.vcpu.sregs(), bytes(code[:size])
        if suberror != EMULATION or not flags & 1:
            return False
        if found.startswith(INT3):
            regs.rip += 1
            self.vcpu.set(regs, sregs)
            events = abi.Events()
            fcntl.ioctl(self.vcpu.file, abi.GET_VCPU_EVENTS, events, True)
            events.head[0], events.head[1], events.head[2], events.head[3] = 1, BREAKPOINT, 0, 0
            fcntl.ioctl(self.vcpu.file, abi.SET_VCPU_EVENTS, events)
            return True
        return False


if __name__ == "__main__":
    main(Emulated)
