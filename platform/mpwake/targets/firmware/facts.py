"""What is read from a processor and its memory: its state at a landing, and the memory that the AP loop needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unicorn import x86_const as x86

from mpwake.evidence.trace import Fact, Region
from mpwake.targets.firmware.machine import CR0_PG, CR0_WP, EFER, EFER_LMA, PAGE, Processor
from mpwake.targets.firmware.paging import Page, walk

INTERRUPTS = 1 << 9
EFER_NXE = 1 << 11
_SEGMENTS = {name: getattr(x86, f"UC_X86_REG_{name.upper()}") for name in ("cs", "ds", "es", "ss", "fs", "gs")}
PAGE_FACTS = ("mapped", "identity", "executable", "writable")
_LONG, _GRANULAR = 1 << 53, 1 << 55
_GIB = 1 << 30


def landing_facts(one: Processor, vector: int) -> dict[str, Fact]:
    """Return the state of a processor that is about to fetch its first instruction at the vector."""
    cr0, efer = int(one.uc.reg_read(x86.UC_X86_REG_CR0)), int(one.uc.msr_read(EFER))
    code = descriptor(one, "cs")
    facts: dict[str, Fact] = {
        "interrupts": bool(one.registers()["rflags"] & INTERRUPTS),
        "long mode": bool(efer & EFER_LMA),
        "paging": bool(cr0 & CR0_PG),
        "write protect": bool(cr0 & CR0_WP),
    }
    if code is not None:
        facts["64-bit code"] = bool(code & _LONG)
    for name in _SEGMENTS:
        entry = descriptor(one, name)
        if entry is not None:
            facts |= {f"{name} base": segment_base(entry), f"{name} limit": segment_limit(entry)}
    if cr0 & CR0_PG:
        page = page_of(one, vector)
        facts |= {
            "mapped": page.mapped,
            "identity": page.mapped and page.physical == vector,
            "executable": page.executable or (page.mapped and not efer & EFER_NXE),
            "writable": page.writable,
        }
    return facts


def page_of(one: Processor, address: int) -> Page:
    """Walk a processor's page tables."""
    return walk(one.board.number, int(one.uc.reg_read(x86.UC_X86_REG_CR3)), address)


def descriptor(one: Processor, segment: str) -> int | None:
    """Return the descriptor that a segment register was loaded from, or None for a null selector or no such memory."""
    selector = int(one.uc.reg_read(_SEGMENTS[segment])) & 0xFFF8
    _, base, limit, _ = one.uc.reg_read(x86.UC_X86_REG_GDTR)
    if selector == 0 or selector + 7 > limit:
        return None
    return one.board.number(base + selector, 8)


def segment_base(entry: int) -> int:
    """Return the base in a segment descriptor (SDM, volume 3A, 3.4.5)."""
    return entry >> 16 & 0xFFFFFF | entry >> 56 << 24


def segment_limit(entry: int) -> int:
    """Return the last byte that a segment descriptor allows."""
    limit = entry & 0xFFFF | (entry >> 48 & 0xF) << 16
    return limit << 12 | 0xFFF if entry & _GRANULAR else limit


def tables_of(one: Processor, *addresses: int) -> tuple[int, ...]:
    """Return the pages of the page tables of a processor: those for the first 4 GiB, and for these addresses."""
    places = (*(number * _GIB for number in range(4)), *addresses)
    return tuple(sorted({table for place in places for table in page_of(one, place).tables}))


def ranges(pages: Iterable[int], size: int = PAGE) -> Iterator[tuple[int, int]]:
    """Yield ascending pieces of memory of one size joined where they meet: start, and the address after the last."""
    start = end = -1
    for page in sorted(pages):
        if page > end and end >= 0:
            yield start, end
        start = page if page > end or end < 0 else start
        end = max(end, page + size)
    if end >= 0:
        yield start, end


def regions_of(one: Processor, mailbox: int, loop: int, resettable: bool) -> Iterator[Region]:
    """Yield the memory that a processor needs while it polls, with what its page tables allow there."""
    uses = ("wait", "entry", "reset") if resettable else ("wait",)
    yield Region("mailbox", mailbox, mailbox + PAGE, access=page_of(one, mailbox).access)
    yield Region("loop", loop, loop + PAGE, access=page_of(one, loop).access, used=uses)
    for start, end in ranges(tables_of(one, mailbox, loop)):
        yield Region("page tables", start, end, access=page_of(one, start).access)
