"""The smoke test of a declaration: one processor is parked and woken, and told is what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mpwake.evidence.trace import OPS
from mpwake.targets.firmware.declaration import Declared, Refused
from mpwake.targets.firmware.declared import Platform
from mpwake.targets.firmware.machine import PAGE, Done, Processor
from mpwake.targets.firmware.stage import Stage
from mpwake.targets.firmware.tdx import CPUID, RDMSR, Identity, Tdx

# With the probes' own vector, and an APIC ID that is no index.
VECTOR, APIC_ID = 0x9A000, 5
WAKE = OPS["wake"]
_CALLS = {CPUID: "tdcall-cpuid", RDMSR: "tdcall-rdmsr"}
_CPUID = b"\x0f\xa2"
_POLLS = 3
CODE = ("code", "image")
FAULTED = "what is not declared under registers holds junk; memory is the code's pages, the mailbox, and 32 MiB from 0"
NOT_POLLED = "is the mailbox's address right, and the register that holds it?"


@attrs.define
class Seen:
    """What was seen of the processor: where it got its APIC ID, how often it read Command, how far it got."""

    asked: dict[str, int] = attrs.field(factory=dict)
    polls: int = 0
    steps: int = 0


@attrs.frozen
class Woken:
    """What a sound declaration showed."""

    asked: tuple[str, ...]
    steps: int
    command: int


class Smoke:
    """One processor of a declared platform."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.stage: Stage = Platform(declared).stage(1)
        self.mailbox = self.stage.placed.mailbox
        self.one: Processor = self.stage.processors[1]
        self.apic_id = 1 if declared.source == "index" else APIC_ID
        self.seen = Seen()

    def run(self) -> Woken:
        """Park and wake. Raises ``InputError`` with a code, a cause and a hint for what does not work."""
        self._park()
        self._send(WAKE, self.apic_id)
        self._wake()
        self._check_source()
        asked = tuple(f"{source} at {self.stage.named(rip)}" for source, rip in self.seen.asked.items())
        left = self.stage.board.number(self.mailbox, 2)
        assert left is not None
        woken = Woken(asked, self.seen.steps, left)
        self._check_private()
        return woken

    def _send(self, command: int, apic_id: int) -> None:
        self.stage.board.write(self.mailbox + 8, VECTOR.to_bytes(8, "little"))
        self.stage.board.write(self.mailbox + 4, apic_id.to_bytes(4, "little"))
        self.stage.board.write(self.mailbox, command.to_bytes(2, "little"))

    def _steps(self) -> Iterator[Done]:
        for _ in range(self.stage.budget):
            rip = self.one.rip
            cpuid = (self.stage.board.read(rip, 2) or b"") == _CPUID
            done = self.one.step()
            self._note(done, cpuid)
            if done.leaf:
                hint = f"leaves under tdx are what the code asks the TDX module for; add {done.leaf} if it may"
                raise self._problem("tdx", ("tdx", "id"), f"{done.fault}, in {self._at(rip)}", hint)
            if done.fault:
                raise self._problem("fault", ("registers",), f"{done.fault}, in {self._at(rip)}", FAULTED)
            yield done

    def _note(self, done: Done, cpuid: bool) -> None:
        self.seen.steps += 1
        self.seen.polls += any(not one.store and one.address == self.mailbox for one in done.accesses)
        sources = [_CALLS[one.function] for one in done.calls if one.function in _CALLS]
        for source in (*sources, *["cpuid"] * cpuid):
            self.seen.asked.setdefault(source, done.rip)

    def _park(self) -> None:
        self.stage.board.restore()
        # The lenient host: what it lets pass, the requirements judge.
        self.stage.park(1, Identity(1, 2, self.apic_id, self.apic_id), Tdx(strict=False))
        content = (b"\0\0\0\0" + b"\xff" * 4).ljust(PAGE, b"\0")
        self.stage.board.write(self.mailbox, self.stage.page(content))
        self.seen = Seen()
        for done in self._steps():
            if not self.stage.is_firmware(self.one.rip):
                where = f"it leaves the code for {self.one.rip:#x} from {self._at(done.rip)}, and nobody woke it"
                raise self._problem("left", CODE, where, "entry is the offset of the first instruction")
            if self.seen.polls >= _POLLS:
                return
        found = f"Command at {self.mailbox:#x} is read {self.seen.polls} times in {self.stage.budget} instructions"
        hint = f"it goes on at {self._at(self.one.rip)}; {NOT_POLLED}"
        raise self._problem("no-poll", ("mailbox", "image"), found, hint)

    def _wake(self) -> None:
        for done in self._steps():
            if not self.stage.is_firmware(self.one.rip):
                if self.one.rip != VECTOR:
                    found = f"woken to {VECTOR:#x}, it goes to {self.one.rip:#x} from {self._at(done.rip)}"
                    raise self._problem("astray", CODE, found, "WakeupVector is 8 bytes at 8 of the mailbox")
                return
        asked = ", ".join(self.seen.asked) or "nobody"
        found = f"a Wakeup to APIC ID {self.apic_id:#x} is not taken in {self.stage.budget} instructions"
        hint = f"it asked {asked} for its APIC ID; the mailbox has it at 4"
        raise self._problem("no-wake", ("id", "image"), found, hint)

    def _check_source(self) -> None:
        source = self.declared.source
        if source in ("", "register", "index") or source in self.seen.asked:
            return
        asked = ", ".join(f"id: {one}" for one in self.seen.asked) or "id: register or id: index"
        raise self._problem("id-source", ("id",), f"it takes its Wakeup, and never asks by {source}", f"write {asked}")

    def _check_private(self) -> None:
        """Raise for an extension that is declared and that the code has not."""
        given = self.declared.declaration.private
        hint = "only what the code does is declared"
        if given.broadcast is not None and not self._takes(given.broadcast):
            found = f"apic-broadcast {given.broadcast:#x} is declared, and a Wakeup to it is not taken"
            raise self._problem("private", ("private",), found, hint)
        for command in given.commands:
            if not self._reacts(command):
                found = f"command {command:#x} is declared, and nothing comes of it"
                raise self._problem("private", ("private",), found, hint)

    def _takes(self, apic_id: int) -> bool:
        self._park()
        self._send(WAKE, apic_id)
        return self._lands()

    def _reacts(self, command: int) -> bool:
        """Say whether a command is answered, or ends it that a Wakeup is taken."""
        self._park()
        self._send(command, self.apic_id)
        for _ in range(self.stage.patience):
            done = self.one.step()
            if done.fault or not self.stage.is_firmware(self.one.rip) or any(one.store for one in done.accesses):
                return True
        self._send(WAKE, self.apic_id)
        return not self._lands()

    def _lands(self) -> bool:
        for _ in range(self.stage.budget):
            done = self.one.step()
            if done.fault or not self.stage.is_firmware(self.one.rip):
                return not done.fault and self.one.rip == VECTOR
        return False

    def _at(self, rip: int) -> str:
        text = self.stage.listing.get(rip, "")
        return self.stage.named(rip) + (f" ({text.partition('  ')[2].strip()})" if text else "")

    def _problem(self, code: str, keys: tuple[str, ...], found: str, hint: str) -> Refused:
        return Refused(found, self.declared.place(*keys), hint, code)
