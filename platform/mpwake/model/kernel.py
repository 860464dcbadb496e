"""An operating system of the model: what it decides, in order, from what firmware publishes to the next kernel.

Everything but the mailbox traffic itself, which the sender's program makes when it is asked (``model/boot.py``).
"""

from __future__ import annotations

from typing import Any

import attrs

from mpwake.evidence.command_line import acpi_disabled
from mpwake.evidence.memory_map import MemoryMap, MemoryType
from mpwake.evidence.tables import Tables
from mpwake.evidence.trace import ACTIONS, Event, Kind
from mpwake.model.agent import PAGE
from mpwake.model.enumeration import Found, Mailbox, Panic, read_madt, read_tree
from mpwake.model.situation import Action, Boot, Situation
from mpwake.model.system import System, Trampoline

NOT_SUPPORTED, NO_MEMORY, NOT_PERMITTED, NO_DEVICE = -95, -12, -1, -19
OS_SECTION = (16, PAGE // 2)
NOT_STARTED = -5
ENDS = ("restart", "poweroff", "panic")
_OVERHEAD = 40
_WRAP = 1 << 64
_TOP = 1 << 32
_DATA = 0x100


@attrs.frozen
class Ask:
    """What is asked of the sender's program."""

    op: int
    id: int
    vector: int = 0


Item = Event | Ask


@attrs.define
class Kernel:
    """One kernel: what it knows, and what it has done so far."""

    system: System
    tables: Tables
    boot: Boot
    madt: bytes
    number: int = 1
    items: list[Item] = attrs.Factory(list)
    found: Found | None = None
    method: str = "nothing"
    base: int | None = None
    vector: int | None = None
    limit: int = 0
    tsc: int = 0
    mapped: bool = False
    booted: bool = False
    woken: list[int] = attrs.Factory(list)
    faults: set[str] = attrs.Factory(set)
    crashed: bool = False

    @property
    def situation(self) -> Situation:
        """The situation that it boots into."""
        return self.boot.situation

    @property
    def td(self) -> bool:
        """Whether it runs in a TD."""
        return self.situation.host.isolation == "tdx"

    @property
    def mailbox(self) -> Mailbox | None:
        """The mailbox that it has found."""
        return self.found.mailbox if self.found else None

    @property
    def reset_vector(self) -> int | None:
        """Where processors can be given back, or None."""
        if self.system.reset.supported and self.mailbox and "reset-map" not in self.faults:
            return self.mailbox.reset_vector
        return None

    def tell(self, kind: Kind, value: int = 0, note: str = "", **more: Any) -> None:
        """Add an event; ``width`` and ``offset`` are those of the event, everything else its facts."""
        places = {name: more.pop(name) for name in ("width", "offset", "target", "vector") if name in more}
        self.items.append(Event(0, 0, kind, value=value, note=note, facts=more, **places))

    def say(self, words: str, level: str = "info") -> None:
        """Print a line on the console."""
        self.tell(Kind.CONSOLE, note=words, level=level)

    def ask(self, op: str, id: int, vector: int = 0) -> None:
        """Hand a request to the sender's program."""
        self.items.append(Ask(ACTIONS[op], id, vector))

    def refuse(self, op: str, id: int, code: int, vector: int = 0, **facts: Any) -> None:
        """Tell of a request that ends without the mailbox."""
        self.tell(Kind.REQUEST, ACTIONS[op], target=id, vector=vector)
        self.tell(Kind.RETURN, code, **facts)


def _start(kernel: Kernel) -> None:
    """Boot: limits, the trampoline, the enumeration, the method, the processors. Raises ``Panic``."""
    kernel.tell(Kind.KERNEL, kernel.number)
    kernel.faults = set(kernel.situation.host.faults)
    kernel.limit = kernel.system.trampoline.limit
    vtl = kernel.system.vtl if kernel.situation.host.vtl else None
    reserves = not vtl or (vtl.td_reserves if kernel.td else not vtl.stub)
    if vtl and vtl.limits_first:
        _vtl_limits(kernel)
    if vtl and not reserves:
        kernel.tell(Kind.ALLOC, note="stub header")
    if reserves:
        _reserve(kernel)
    if vtl and not vtl.limits_first:
        _vtl_limits(kernel)
    kernel.found = _enumerate(kernel)
    _install(kernel)
    for words in kernel.found.said:
        kernel.say(words, "warning")
    _private_answers(kernel)
    _take_memory(kernel)
    if kernel.system.mapping.when == "boot" and kernel.method == "mailbox" and _mailbox_usable(kernel):
        _map(kernel)
    _bring_up(kernel)


def _vtl_limits(kernel: Kernel) -> None:
    vtl = kernel.system.vtl
    if vtl and kernel.td:
        kernel.limit = vtl.td_limit
    kernel.tell(Kind.METHOD, kernel.limit, "realmode limit")


def highest_place(memory: MemoryMap | None, trampoline: Trampoline, limit: int) -> int | None:
    """Return the highest place for the trampoline below the limit, or None."""
    if memory is None:
        return 0x9A000
    for one in reversed(memory.usable_below(limit)):
        base = (one.end - trampoline.size) // trampoline.align * trampoline.align
        if base >= one.start and base > 0:
            return base
    return None


def _reserve(kernel: Kernel) -> None:
    trampoline = kernel.system.trampoline
    if trampoline.place == "mailbox":
        return
    base = trampoline.base or None
    if trampoline.place == "below":
        base = highest_place(kernel.tables.memory_map, trampoline, kernel.limit)
    if base is None:
        kernel.say(f"real mode trampoline: no usable memory below {kernel.limit:#x}", "info")
        if trampoline.fallback == "panic":
            raise Panic("no memory for the trampoline")
        if trampoline.fallback != "anyway":
            return
        base = 0x8000
    _place(kernel, base, trampoline.size)
    if trampoline.low_megabyte and trampoline.place == "below":
        kernel.tell(Kind.ALLOC, 0, "first MiB", width=0x100000)


def _place(kernel: Kernel, base: int, size: int) -> None:
    trampoline = kernel.system.trampoline
    kernel.base = base
    kernel.vector = base + (trampoline.entry64 if trampoline.vector == "entry64" else trampoline.entry16)
    kernel.tell(
        Kind.ALLOC,
        base,
        "trampoline",
        width=size,
        entry16=base + trampoline.entry16,
        entry64=base + trampoline.entry64,
        limit=kernel.limit,
        page_tables=trampoline.page_tables,
        compat=trampoline.compat,
    )


def _enumerate(kernel: Kernel) -> Found:
    system, tables = kernel.system, kernel.tables
    line = tables.boot_arguments
    off = system.selection.acpi_off and line is not None and acpi_disabled(line)
    built = kernel.situation.host.built
    acpi = bool(kernel.madt) and not off and "acpi" in built
    tree = tables.fdt if system.tree and "of" in built else None
    prefers = system.selection.prefers
    found = Found((kernel.situation.boot_id,), kernel.situation.boot_id, None)
    if acpi and (prefers != "tree" or tree is None):
        found = read_madt(kernel.madt, system.parser, kernel.situation.boot_id)
    if tree and system.tree and (prefers != "acpi" or not acpi):
        other = read_tree(tree, system.tree, kernel.situation.boot_id)
        both = prefers == "both" and acpi
        ids = (*found.ids, *other.ids) if both else other.ids
        found = attrs.evolve(other, ids=ids, mailbox=other.mailbox or (found.mailbox if both else None))
    if found.mailbox and not set(system.selection.needs) <= set(built):
        unbuilt = found.mailbox if system.selection.unbuilt == "stub" else None
        found = attrs.evolve(found, mailbox=unbuilt and attrs.evolve(unbuilt, address=0))
    return found


def _install(kernel: Kernel) -> None:
    found, host, selection = kernel.found, kernel.situation.host, kernel.system.selection
    assert found is not None
    mailbox = found.mailbox if kernel.td or selection.decides == "mailbox" else None
    if found.mailbox_first and mailbox:
        _use(kernel, "mailbox", mailbox.address)
    for index, apic in enumerate(found.ids):
        kernel.tell(Kind.CPU, apic, boot=apic == found.boot, index=index)
    if mailbox and not found.mailbox_first:
        _use(kernel, "mailbox", mailbox.address)
    if not mailbox:
        method = selection.td if kernel.td else selection.bare
        _use(kernel, method if not host.vtl or kernel.td else "hypercall")
    vtl = kernel.system.vtl if host.vtl else None
    if vtl and kernel.method != "hypercall" and (vtl.td_hypercall if kernel.td else vtl.hypercall_last):
        _use(kernel, "hypercall")


def _use(kernel: Kernel, method: str, address: int = 0) -> None:
    kernel.method = method
    kernel.tell(Kind.METHOD, address, method)


def _private_answers(kernel: Kernel) -> None:
    # What is_private_mmio() says at the borders of the mailbox page; only a guest at a VTL has the callback.
    if not (kernel.td and kernel.system.vtl and kernel.situation.host.vtl):
        return
    base = kernel.mailbox.address if kernel.mailbox else None
    for asked in (0,) if base is None else (base - 1, base, base + PAGE - 1, base + PAGE):
        kernel.tell(Kind.PRIVATE, asked, answer=_is_private(kernel, asked))


def _is_private(kernel: Kernel, asked: int) -> bool:
    kind = kernel.system.mapping.private_pages
    if kernel.mailbox is None:
        return kind in ("always", "page-or-0")
    if kind in ("always", "none"):
        return kind == "always"
    base = kernel.mailbox.address
    return base - (kind == "too-low") <= asked < base + PAGE + (kind == "too-long")


def _take_memory(kernel: Kernel) -> None:
    # What the operating system puts its own data into.
    for one in kernel.tables.memory_map.ranges if kernel.tables.memory_map else ():
        kept = {MemoryType.ACPI_NVS, MemoryType.RESERVED}
        if one.type is MemoryType.USABLE or (kernel.system.nvs == "reclaimed" and one.type in kept):
            kernel.tell(Kind.ALLOC, one.start, "own use", width=one.end - one.start)


def _limit_of(kernel: Kernel) -> int:
    line = kernel.tables.boot_arguments
    parameter = line.get("maxcpus") if line else None
    value = parameter.value if parameter else None
    return int(value) if value is not None and value.isdigit() else 1 << 32


def _bring_up(kernel: Kernel) -> None:
    assert kernel.found is not None
    if "smp" not in kernel.situation.host.built:
        return
    others = [apic for apic in kernel.found.ids if apic != kernel.found.boot]
    if kernel.system.parser.counted:
        others = list(kernel.found.ids[1:])
    alone = kernel.crashed and kernel.system.kexec.crash == "one"
    others = others[: 0 if alone else max(0, _limit_of(kernel) - 1)]
    if kernel.method == "ipi" or (kernel.method == "mailbox" and kernel.system.selection.ipis_too):
        _send_ipis(kernel, others)
    if kernel.method == "ipi":
        return
    for apic in others:
        _online(kernel, apic)


def _online(kernel: Kernel, apic: int) -> None:
    """Start one processor, with the method that is installed."""
    if kernel.method == "ipi":
        _send_ipis(kernel, [apic])
        return
    if kernel.method == "hypercall":
        kernel.tell(Kind.HYPERCALL, apic, "start processor")
        return
    if kernel.method == "nothing" or kernel.mailbox is None or not _mailbox_usable(kernel):
        kernel.refuse("online", apic, NOT_SUPPORTED)
        kernel.say(f"processor {apic:#x} cannot be started", "error")
        if kernel.system.failure == "panic":
            raise Panic("a processor cannot be started")
        return
    if not _map(kernel):
        kernel.refuse("online", apic, NO_MEMORY)
        kernel.say("the mailbox cannot be mapped", "error")
        return
    _trampoline_in_mailbox(kernel)
    if kernel.vector is None:
        kernel.refuse("online", apic, NO_MEMORY)
        return
    if kernel.system.trampoline.fills == "before":
        kernel.tell(Kind.ROUTINE, data_of(kernel, apic), "fill", target=apic)
    kernel.ask("online", apic, kernel.vector)
    kernel.woken.append(apic)
    if apic in kernel.situation.host.mute:
        for _ in range(kernel.system.retries):
            kernel.ask("online", apic, kernel.vector)
        kernel.say(f"processor {apic:#x} did not come alive", "error")


def data_of(kernel: Kernel, apic: int) -> int:
    """Return where the routine's data for a processor stand."""
    ids = kernel.found.ids if kernel.found else ()
    number = ids.index(apic) if apic in ids and kernel.system.trampoline.data == "each" else 0
    return (kernel.base or 0) + _DATA + 8 * number


def _mailbox_usable(kernel: Kernel) -> bool:
    assert kernel.mailbox is not None
    rereads = kernel.system.kexec.rereads and kernel.mailbox.entry
    if rereads and int.from_bytes(kernel.madt[kernel.mailbox.entry + 8 :][:8], "little") == 0:
        return False
    return kernel.mailbox.address != 0 or kernel.system.parser.zero == "used"


def _trampoline_in_mailbox(kernel: Kernel) -> None:
    trampoline = kernel.system.trampoline
    wanted = trampoline.place == "mailbox" or trampoline.fallback == "mailbox"
    start, end = OS_SECTION
    if kernel.vector is None and wanted and kernel.mailbox and trampoline.length <= end - start:
        _place(kernel, kernel.mailbox.address + start, trampoline.length)


def _map(kernel: Kernel) -> bool:
    # Whether the mailbox may be used; raises Panic where a failure goes unnoticed.
    mapping = kernel.system.mapping
    if kernel.mapped and mapping.when != "every-use":
        return True
    if mapping.sealed and kernel.booted:
        raise Panic("page fault at a store to the pointer to the mailbox")
    assert kernel.mailbox is not None
    ok = "map" not in kernel.faults
    at_vtl = kernel.system.vtl and kernel.situation.host.vtl
    private = not kernel.td or (_is_private(kernel, kernel.mailbox.address) if at_vtl else mapping.private)
    kernel.tell(
        Kind.MAP, kernel.mailbox.address, "mailbox", width=PAGE, private=private, cache=mapping.cache, mapped=ok
    )
    if not ok and not mapping.checked:
        raise Panic("page fault at a store to the mailbox")
    kernel.mapped = ok
    return ok


def _send_ipis(kernel: Kernel, others: list[int]) -> None:
    ipis, host = kernel.system.ipis, kernel.situation.host
    missing = [apic for apic in others if apic in host.mute]
    kernel.tsc = kernel.tsc or host.tsc
    for apic in others if any(one.directed for one in ipis.sequence) else others[:1]:
        for one in ipis.sequence:
            if one.if_missing and not missing:
                continue
            wait = one.wait + one.micros * host.tsc_mhz
            page = (kernel.base or 0) >> 12
            icr = one.icr | (page & 0xFF if ipis.vector and one.icr >> 8 & 7 == 6 else 0)
            shift = ipis.x2apic_shift if host.apic == "x2apic" else ipis.shift
            _send(kernel, icr | (apic << shift if one.directed else 0))
            late = kernel.tsc + wait >= _WRAP
            kernel.tsc = (kernel.tsc + (0 if late and not ipis.wrap_safe else wait) + _OVERHEAD) % _WRAP
    for apic in others:
        started = apic not in host.mute
        if started:
            _come_alive(kernel, apic)
        code = 0 if started or ipis.confirmed == "assumed" else NOT_STARTED
        kernel.refuse("online", apic, code, tsc=kernel.tsc)


def _come_alive(kernel: Kernel, apic: int) -> None:
    # What a processor does that was started by SIPI: it enters in real mode, and joins the others.
    trampoline = kernel.system.trampoline
    base = kernel.base or 0
    kernel.tell(Kind.ROUTINE, base + trampoline.entry16, "enter", target=apic)
    kernel.tell(Kind.ROUTINE, base + joins(trampoline, trampoline.entry16), "join", target=apic)
    kernel.tell(Kind.ALIVE, apic, "counted")


def joins(trampoline: Trampoline, entry: int) -> int:
    """Return the offset of the 64-bit code that is reached from an entry, which is an offset too."""
    return trampoline.joins[0 if entry == trampoline.entry16 else 1]


def _send(kernel: Kernel, icr: int) -> None:
    ipis = kernel.system.ipis
    icr %= _WRAP
    if kernel.situation.host.apic == "x2apic":
        writes = [(0x828, 8, 0)] if ipis.esr else []
        low, high = (0x830, 4, icr % _TOP), (0x831, 4, icr // _TOP)
        writes += [(0x830, 8, icr)] if ipis.msr_writes == 1 else [high, low]
    else:
        writes = [(0x280, 4, 0)] if ipis.esr else []
        pair = [(0x310, 4, icr // _TOP), (0x300, 4, icr % _TOP)]
        writes += pair if ipis.order == "high-low" else pair[::-1]
    for offset, width, value in writes:
        kernel.tell(Kind.APIC, value, "write", offset=offset, width=width)
    if ipis.polls:
        kernel.tell(Kind.APIC, icr % _TOP, "read", offset=writes[-1][0], width=4)
    host = kernel.situation.host
    kernel.tell(Kind.IPI, icr, host.apic, tsc=kernel.tsc, tsc_mhz=host.tsc_mhz)


def _invalidate(kernel: Kernel) -> None:
    """Take the mailbox out of the table in memory, where processors cannot be reset and there may be a next kernel."""
    box = kernel.mailbox
    if not kernel.system.kexec.supported or box is None or not box.entry or kernel.reset_vector is not None:
        return
    if kernel.system.kexec.erases:
        at = box.entry + 8
        kernel.madt = kernel.madt[:at] + bytes(8) + kernel.madt[at + 8 :]
        if kernel.system.kexec.checksum == "corrected":
            kernel.madt = corrected(kernel.madt)
        kernel.tell(Kind.TABLE, 0, "madt", offset=at, width=8, checksum=sum(kernel.madt) & 0xFF)


def corrected(table: bytes) -> bytes:
    """Return an ACPI table with a checksum, byte 9, that fits."""
    rest = table[:9] + table[10:]
    return table[:9] + bytes([-sum(rest) & 0xFF]) + table[10:]


def _act(kernel: Kernel, action: Action) -> None:
    """Do what the operating system is asked for once it has booted, kexec aside."""
    listed = kernel.found.ids if kernel.found else ()
    if action.op == "online" and action.id not in listed and kernel.system.selection.unlisted == "refused":
        kernel.refuse("online", action.id, NO_DEVICE)
    elif action.op == "online" and action.id in kernel.woken and kernel.system.selection.running == "ignored":
        kernel.refuse("online", action.id, 0)
    elif action.op == "online":
        _online(kernel, action.id)
    elif action.op == "offline":
        _offline(kernel, action.id)


def _offline(kernel: Kernel, apic: int) -> None:
    vector = kernel.reset_vector
    if kernel.system.reset.failure == "goes-on" and "reset-map" in kernel.faults:
        raise Panic("no page tables for the jump to ResetVector")
    if vector is None and kernel.system.reset.without == "refused":
        kernel.refuse("offline", apic, NOT_PERMITTED)
        return
    if vector is None:
        kernel.refuse("offline", apic, 0)
        return
    _give_back(kernel, apic, vector, kernel.system.reset.tests)


def _give_back(kernel: Kernel, apic: int, vector: int, tests: bool) -> None:
    kernel.tell(Kind.ALLOC, vector & ~0xFFF, "reset environment", width=PAGE, target=apic)
    kernel.ask("offline" if tests else "park", apic, vector)
    if apic in kernel.woken:
        kernel.woken.remove(apic)


def _hand_over(kernel: Kernel) -> None:
    """Give processors back and leave for the next kernel."""
    kexec, vector = kernel.system.kexec, kernel.reset_vector
    if vector is not None and kexec.resets:
        for apic in list(kernel.woken):
            _give_back(kernel, apic, vector, kexec.tests)
        if kernel.system.reset.boot_too:
            kernel.tell(
                Kind.RESET, kernel.situation.boot_id, **reset_state(kernel.system, kernel.situation.boot_id, vector)
            )
    kernel.tell(Kind.KERNEL, kernel.number, "leaves")


def _end(kernel: Kernel, action: Action) -> None:
    """End the machine, by a processor that sends others to ResetVector first or does not."""
    boot, vector, reset = kernel.situation.boot_id, kernel.reset_vector, kernel.system.reset
    ends = action.id if action.op == "panic" else boot
    kernel.tell(Kind.REQUEST, ACTIONS[action.op], target=ends)
    if action.op == "panic":
        kernel.say("panic: asked for", "panic")
    if vector is None or reset.ends == "nobody":
        return
    for apic in [one for one in kernel.woken if one != ends]:
        _give_back(kernel, apic, vector, tests=False)
    if reset.boot_too or (reset.ends == "all" and ends != boot):
        kernel.tell(Kind.RESET, boot, **reset_state(kernel.system, boot, vector))


def reset_state(system: System, apic: int, vector: int) -> dict[str, Any]:
    """Return the state of the processor at its jump to ResetVector, as facts."""
    reset = system.reset
    return {
        "by": apic if reset.jumps == "each" else 0,
        "jumps_to": vector,
        "interrupts": reset.interrupts,
        "mode": reset.mode,
        "identity": reset.identity,
        "executable": reset.executable,
        "flat": reset.flat,
        "global_pages": reset.global_pages,
        "code_mapped": reset.code_mapped,
        "nmi": reset.nmi,
    }


def plan(kernel: Kernel, actions: list[Action]) -> str:
    """Decide everything up to the next kernel and return how that is started, "" when there is none.

    Takes the actions that were done off the list.
    """
    try:
        _start(kernel)
        kernel.booted = True
        _invalidate(kernel)
        while actions:
            action = actions.pop(0)
            if action.op in ("kexec", "crash"):
                if not kernel.system.kexec.supported:
                    kernel.refuse(action.op, 0, NOT_SUPPORTED)
                    continue
                if action.op == "kexec":
                    _hand_over(kernel)
                else:
                    kernel.tell(Kind.KERNEL, kernel.number, "leaves")
                return action.op
            if action.op in ENDS:
                _end(kernel, action)
                break
            _act(kernel, action)
    except Panic as panic:
        kernel.say(f"panic: {panic.words}", "panic")
    return ""
