"""The platform of a firmware image, with its processors parked in the AP loop, to be set up again for each trial."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Set

import attrs
from unicorn import x86_const as x86

from mpwake.evidence.trace import Fact, Region
from mpwake.targets.firmware import boot
from mpwake.targets.firmware.boot import Placed
from mpwake.targets.firmware.facts import PAGE_FACTS, landing_facts, ranges, regions_of
from mpwake.targets.firmware.image import BOOT_SERVICE_DRIVER, Image, Module
from mpwake.targets.firmware.listing import listing
from mpwake.targets.firmware.locate import Loop
from mpwake.targets.firmware.machine import CR4_PCIDE, PAGE, Access, Board, Done, Piece, Processor, enter_long_mode
from mpwake.targets.firmware.paging import identity_map
from mpwake.targets.firmware.tdx import NAMES, Identity, Tdx

# Where the suite places what the firmware's driver allocates: the mailbox page with the loop after it, and the driver.
MAILBOX = 0x7F5E5000
DRIVER = 0x7E5A0000
OS_TABLES = 0x10000
# CR4 bits that an operating system may have set and that are minded here as a processor does: PGE, PCIDE, SMEP, SMAP.
CR4_KNOWN = 1 << 7 | CR4_PCIDE | 1 << 20 | 1 << 21
JUNK = 0xA5A5_5EED_0000_0000  # no address that a processor accepts
_TABLES, _GDT = 0x800000, 0x6000
_SURVEY = 400
# Instructions of each processor in a trial, on the average; and those since the last store of anybody, after which a
# processor is taken to wait.
BUDGET, PATIENCE = 8_000, 400


@attrs.frozen
class Layout:
    """Where machine code alone is placed, and how its processors stand at the entry: as OVMF parks, unless said.

    ``registers`` are numbers, or ``mailbox``, ``code``, ``index`` or ``apic-id``. ``tells`` says whether the rest of
    the state stands for that of firmware: otherwise what is the suite's own work is not told of.
    """

    mailbox: int = MAILBOX
    code: int = MAILBOX + PAGE
    entry: int = 0
    reset: int | None = None
    registers: Mapping[str, int | str] = {"rbx": "mailbox", "rbp": "index", "rax": "code"}
    confidential: bool = True
    tells: bool = True
    budget: int = BUDGET
    patience: int = PATIENCE


class Stage:
    """Processors of one platform in the AP loop, and what is known of the platform beside their traces."""

    def __init__(
        self, board: Board, placed: Placed, loop: Loop, code: tuple[tuple[str, int, int], ...], resettable: bool
    ) -> None:
        self.board = board
        self.placed = placed
        self.loop = loop
        self.code = code
        self.resettable = resettable
        self.processors: dict[int, Processor] = {}
        self.contexts: dict[int, object] = {}
        self.budget, self.patience = BUDGET, PATIENCE
        self.leaves: Set[str] | None = None  # what the code may ask the TDX module for; None for all that is played
        self.made: Mapping[str, Fact] = {}  # the state at the entry, where it is the suite's work
        self.own_id: tuple[str, ...] = ()  # the registers in which a processor finds its APIC ID
        self.regions: tuple[Region, ...] = ()
        self.listing = listing(loop.code, placed.loop)
        self.facts: Mapping[str, Fact] = {
            "mailbox": placed.mailbox,
            "reset vector": 0 if loop.reset is None else placed.loop + loop.reset,
            "low memory": True,
            "high memory": True,
            "confidential": True,
        }

    def ready(self, processors: dict[int, Processor]) -> None:
        """Take over processors that stand at the loop's first instruction, by number."""
        self.processors = processors
        for number, one in processors.items():
            self.contexts[number] = one.uc.context_save()
        self.regions = tuple(regions_of(processors[1], self.placed.mailbox, self.placed.loop, self.resettable))
        self.board.keep()
        self.watch()

    def watch(self) -> None:
        """Have processors tell of their stores: code may change under the others."""
        for one in self.processors.values():
            one.wrote = self.wrote

    def wrote(self, address: int) -> None:
        """Take note that a processor stores to an address."""
        if any(start <= address < end for _, start, end in self.code):
            for one in self.processors.values():
                one.stale = True

    def park(self, number: int, who: Identity, tdx: Tdx) -> None:
        """Put a processor at the loop's first instruction, as firmware left it there."""
        one = self.processors[number]
        one.who, one.tdx, one.leaves = who, tdx, self.leaves
        one.uc.context_restore(self.contexts[number])
        one.write(**dict.fromkeys(self.own_id, who.apic_id))
        one.stale = True

    def page(self, content: bytes) -> bytes:
        """Return the mailbox page with this content: code that lies in it stays there."""
        start = self.placed.loop - self.placed.mailbox
        code = self.loop.code[: PAGE - start] if 0 <= start < PAGE else b""
        return content[:start] + code + content[start + len(code) :] if code else content

    def landing(self, number: int, vector: int) -> dict[str, Fact]:
        """Return the state of a processor at the vector, without what is as the suite made it."""
        one = self.processors[number]
        facts = landing_facts(one, vector)
        if self.made and one.uc.reg_read(x86.UC_X86_REG_CR3) == _TABLES:
            facts = {name: value for name, value in facts.items() if name not in PAGE_FACTS}
        return {name: value for name, value in facts.items() if name in PAGE_FACTS or self.made.get(name) != value}

    def is_firmware(self, address: int) -> bool:
        """Say whether an address is one of the firmware's own code."""
        return any(start <= address < end for _, start, end in self.code)

    def named(self, address: int) -> str:
        """Write an address by the code that it lies in."""
        found = next(((name, start) for name, start, end in self.code if start <= address < end), None)
        return f"{found[0]}+{address - found[1]:#x}" if found else f"{address:#x}"

    def reset_facts(self, cr4: int) -> Mapping[str, Fact]:
        """Return what is told of a request to reset: the bits of CR4, when they are such as can be set here."""
        return {} if cr4 & ~CR4_KNOWN or not self.resettable or not self._sets(cr4) else {"cr4": cr4}

    def _sets(self, cr4: int) -> bool:
        one = self.processors[1]
        before = int(one.uc.reg_read(x86.UC_X86_REG_CR4))
        one.write(cr4=before | cr4)
        kept = int(one.uc.reg_read(x86.UC_X86_REG_CR4)) == before | cr4
        one.write(cr4=before)
        return kept

    def reset(self, number: int, cr4: int) -> bool:
        """Have a processor jump to ResetVector on page tables of the operating system. False when it cannot."""
        if self.loop.reset is None or not self.reset_facts(cr4):
            return False
        one = self.processors[number]
        for at, data in identity_map(OS_TABLES):
            self.board.write(at, data)
        one.write(cr3=OS_TABLES, cr4=int(one.uc.reg_read(x86.UC_X86_REG_CR4)) | cr4)
        one.write(rip=self.placed.loop + self.loop.reset)
        return True


def bare_stage(code: bytes, processors: int, reset: int | None = None, layout: Layout | None = None) -> Stage:
    """Return a platform of machine code alone, parked as a layout says.

    All other registers hold junk, and the page tables are the suite's: 4 GiB mapped to themselves.
    """
    layout = layout or Layout(reset=reset)
    placed = Placed(layout.mailbox, layout.code)
    pages = {placed.mailbox, *range(placed.loop // PAGE * PAGE, placed.loop + len(code), PAGE)}
    board = Board(Piece(0, boot.RAM), *(Piece(start, end - start) for start, end in ranges(pages)))
    board.write(placed.loop, code)
    for at, data in identity_map(_TABLES):
        board.write(at, data)
    loop = Loop(0, code, layout.reset)
    parts = (("loop", placed.loop, placed.loop + len(code)),)
    stage = Stage(board, placed, loop, parts, layout.reset is not None)
    stage.facts = {**stage.facts, "confidential": layout.confidential}
    stage.budget, stage.patience = layout.budget, layout.patience
    stage.own_id = tuple(name for name, value in layout.registers.items() if value == "apic-id")
    ready = {
        number: Processor(board, Identity(number, processors + 1, number, number), Tdx())
        for number in range(1, processors + 1)
    }
    for number, one in ready.items():
        words = {"mailbox": placed.mailbox, "code": placed.loop, "index": number, "apic-id": number}
        enter_long_mode(one, _TABLES, _GDT)
        one.write(**{name: JUNK + bit for bit, name in enumerate(NAMES)})
        one.write(**{name: words[it] if isinstance(it, str) else it for name, it in layout.registers.items()})
        one.write(rip=placed.loop + layout.entry)
    stage.ready(ready)
    if not layout.tells:
        stage.made = landing_facts(ready[1], placed.loop)
        own = {one.name: attrs.evolve(one, access=None) for one in stage.regions if one.name in ("mailbox", "loop")}
        own["loop"] = attrs.evolve(own["loop"], start=placed.loop, end=placed.loop + len(code))
        stage.regions = tuple(own.values())
    return stage


@attrs.frozen
class Firmware:
    """A firmware image with its driver and loop found."""

    image: Image
    module: Module
    loop: Loop

    def stage(self, processors: int) -> Stage:
        """Start a platform and park so many processors. Raises ``InputError`` when they do not get there."""
        placed = Placed(MAILBOX, MAILBOX + PAGE)
        top = boot.rom(self.image.data)
        driver = Piece(self.module.base, len(self.module.data), self.module.data)
        board = Board(Piece(0, boot.RAM), driver, Piece(MAILBOX, 2 * PAGE), top)
        board.write(placed.loop, self.loop.code)
        all_of = [Processor(board, Identity(n, processors + 1, n, n), Tdx()) for n in range(processors + 1)]
        arrives = boot.arrival(self.image.data, self.image.path)
        boot.build_tables(all_of[0], all_of[1], arrives)
        for one in all_of[1:]:
            boot.park(one, board, arrives, placed)
        code = (
            ("loop", placed.loop, placed.loop + len(self.loop.code)),
            ("TdxDxe", self.module.base, self.module.base + len(self.module.data)),
            ("ROM", top.base, top.base + top.size),
        )
        resettable = self.loop.reset is not None and boot.prepare_reset(all_of[0], self.module)
        stage = Stage(board, placed, self.loop, code, resettable)
        stage.ready(dict(enumerate(all_of[1:], start=1)))
        if resettable:
            found = (*self._survey(stage), *stage.regions)
            stage.regions = tuple(sorted(found, key=lambda one: not one.memory))
        return stage

    def _survey(self, stage: Stage) -> Iterator[Region]:
        """Have a processor reset, and yield the memory that it needs for that beside the loop's own page."""
        used: dict[str, set[int]] = {"entry": set(), "reset": set()}
        stored: set[int] = set()
        first: dict[int, int] = {}
        tables: tuple[int, int] = (0, 0)
        for cr4 in (0, CR4_PCIDE):
            stage.park(1, Identity(1, 2, 1, 1), Tdx())
            collections.deque(_until_polling(stage), maxlen=0)
            stage.reset(1, cr4)
            for access, early, rip in _accesses(_until_polling(stage)):
                touched = {at // 8 * 8 for at in range(access.address, access.address + access.width)}
                used["entry" if early else "reset"] |= touched
                stored |= touched if access.store else set()
                first |= {at: first.get(at, rip) for at in touched}
            _, base, limit, _ = stage.processors[1].uc.reg_read(x86.UC_X86_REG_GDTR)
            tables = (base, base + limit)
            stage.board.restore()
        for start, end in ranges(used["entry"] | used["reset"], 8):
            uses = tuple(name for name in used if any(start <= at < end for at in used[name]))
            name = "stack" if start in stored else "gdt" if start <= tables[1] and tables[0] < end else "data"
            yield attrs.evolve(self._region(name, start, end, uses), rip=first[start])

    def _region(self, name: str, start: int, end: int, uses: tuple[str, ...]) -> Region:
        # The operating system gets the memory of a boot services driver (UEFI, memory types after ExitBootServices).
        own = self.module.has(start)
        memory = "usable" if own and self.module.subsystem == BOOT_SERVICE_DRIVER else ""
        return Region(f"{name} in TdxDxe" if own else name, start, end, memory, used=uses)


def _accesses(steps: Iterator[tuple[Done, bool]]) -> Iterator[tuple[Access, bool, int]]:
    for done, early in steps:
        for access in done.accesses:
            if not MAILBOX <= access.address < MAILBOX + 2 * PAGE:
                yield access, early, done.rip


def _until_polling(stage: Stage) -> Iterator[tuple[Done, bool]]:
    # Each step of the first processor, and whether it still runs on the page tables that it began with.
    one = stage.processors[1]
    tables = int(one.uc.reg_read(x86.UC_X86_REG_CR3))
    for _ in range(_SURVEY):
        done = one.step()
        yield done, int(one.uc.reg_read(x86.UC_X86_REG_CR3)) == tables
        polls = any(MAILBOX <= access.address < MAILBOX + PAGE for access in done.accesses)
        if polls or done.fault or not stage.is_firmware(one.rip):
            return
