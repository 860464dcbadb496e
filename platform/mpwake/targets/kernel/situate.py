"""From a sentence to what is booted: what firmware publishes, who is parked how, and what is asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping

import attrs

from mpwake.checks.core import not_testable
from mpwake.evidence.compose import MadtEntry, TablesDocument, compose
from mpwake.evidence.tables import Tables
from mpwake.model.probe import Probe, page_of, probes
from mpwake.model.situation import Action, Boot, Host, Situation, situation, situations
from mpwake.spec import document
from mpwake.spec.document import Node, described
from mpwake.spec.requirements import Role
from mpwake.spec.resources import relative, scenarios
from mpwake.targets.kernel.recording import Entry, Parking

HIGHEST_ID, FIRST_STAND_IN = 0xFE, 8
MOST = 8
PAGE = 0x1000
FIVE = 5
# What a probe is carried out in: version 0 of the mailbox, so that no operating system is judged by what it lacks.
SPARSE = "an operating system boots with sparse APIC IDs"
PROBED = "an operating system boots with three processors to start"
IDS = (1, 2, 3)
TWICE = "the operating system is asked to wake a processor twice"
# Seconds of the machine for a boot with all that is asked for; for one that may well wait for ever, of which a part is
# as good as all; and for one that may poll a million times before it gives up.
SECONDS, WAITING, PATIENT = 400.0, 60.0, 1200.0
WAITS = (
    "a processor never acknowledges",
    "an operating system takes a processor offline and online again, with a wakeup entry of version 0",
    TWICE,
)
PLACED = (
    "an operating system boots with memory below 1 MiB",
    "an operating system boots without memory below 1 MiB",
    "an operating system boots without usable memory below 1 MiB",
)


@attrs.frozen
class Agent(Parking):
    """One entry of ``scenarios/kernels/parking.yaml``: an agent, and how a processor is parked that stands for it."""

    agent: str = described("Name of the agent", "")


@attrs.frozen
class ParkingFile:
    """The file of them."""

    parking: tuple[Agent, ...] = described("The agents")


@attrs.frozen
class Trial:
    """What is booted for a sentence: what firmware publishes, the processors, and what is asked for.

    ``processors`` are the APIC IDs of all but the one that boots, with how each is parked; ``absent`` are listed and
    not there; ``numbers`` are those that the table enables, in the order in which Linux numbers them. ``seconds`` is
    the budget; ``placing`` tells that the operating system is to say where it puts its wake routine.
    """

    tables: Tables
    mailbox: int
    boot_id: int
    processors: Mapping[int, Parking]
    numbers: tuple[int, ...]
    absent: tuple[int, ...] = ()
    actions: tuple[Action, ...] = ()
    fill: bool = False
    reset_vector: int = 0
    seconds: float = SECONDS
    placing: bool = False


@functools.cache
def parkings() -> dict[str, Parking]:
    """Return how a processor is parked, by the agent that it stands for."""
    path = scenarios("kernels") / "parking.yaml"
    file = document.decode(document.load(path, relative(path)), ParkingFile)
    fields = [one.name for one in attrs.fields(Parking)]
    return {one.agent: Parking(**{name: getattr(one, name) for name in fields}) for one in file.parking}


def _parking(agent: str) -> Parking:
    known = parkings()
    if agent not in known:
        raise not_testable(f"no processor of the machine can be parked as {agent}")
    return known[agent]


def _check_host(host: Host) -> None:
    """Raise where a machine of QEMU without hardware virtualization is not what a situation asks for."""
    if host.isolation not in ("any", "none") or host.vtl:
        what = "a TD" if host.isolation == "tdx" else "a confidential guest"
        raise not_testable(f"the machine is not {'at a virtual trust level' if host.vtl else what}")
    if host.apic != "xapic":
        raise not_testable("the local APICs of the machine have no x2APIC mode")
    if host.tsc:
        raise not_testable("the time-stamp counter of the machine begins at 0")
    if host.built != Host().built:
        raise not_testable("the kernel is as it was built")
    if host.faults:
        raise not_testable("no allocation of an unmodified kernel can be made to fail")


def _stand_ins(one: Situation, taken: set[int], highest: int) -> dict[int, int]:
    """Return an APIC ID that the machine can have for each that it cannot; ``highest`` is the highest that it can.

    Where nothing is asked of gaps between them, they are closed: kernels before 6.12 lose their clock over gaps, when
    QEMU counts instructions.
    """
    gaps = highest > HIGHEST_ID or one.says == SPARSE or any(action.id not in (0, 1, 2, 3) for action in one.actions)
    if gaps or set(one.ids) & taken - set(one.ids):
        free = iter(range(FIRST_STAND_IN, HIGHEST_ID))
        return {apic: next(free) for apic in one.ids if apic > highest}
    ids = iter(apic for apic in range(1, HIGHEST_ID) if apic not in taken)
    return {apic: next(ids) for apic in sorted(one.ids) if apic > len(one.ids)}


def _with_ids(published: TablesDocument, instead: Mapping[int, int]) -> TablesDocument:
    """Return what firmware publishes with some APIC IDs replaced."""
    if not instead:
        return published
    madt, tree = published.madt, published.fdt
    if madt:
        madt = attrs.evolve(madt, entries=tuple(_entry(one, instead) for one in madt.entries))
    if tree:
        tree = attrs.evolve(tree, tree=_node(tree.tree, instead))
    return attrs.evolve(published, madt=madt, fdt=tree)


def _entry(one: MadtEntry, instead: Mapping[int, int]) -> MadtEntry:
    """Return an entry with another ID; below 255 that is one of type 0 (ACPI 6.6, 5.2.12.12)."""
    given = one.x2apic or one.lapic
    if given is None or given.apic_id not in instead:
        return one
    return MadtEntry(lapic=attrs.evolve(given, apic_id=instead[given.apic_id]))


def _node(tree: Node, instead: Mapping[int, int]) -> Node:
    """Return a tree whose cpu nodes have other numbers."""
    nodes: dict[str, Node] = {}
    for name, at in tree.value.items():
        apic = _number(at) if name.startswith("cpu@") else -1
        if apic in instead:
            new = instead[apic]
            reg = attrs.evolve(at.value["reg"], value=new)
            nodes[f"cpu@{new:x}"] = attrs.evolve(at, value={**at.value, "reg": reg})
        else:
            nodes[name] = _node(at, instead) if name == "cpus" else at
    return attrs.evolve(tree, value=nodes)


def _number(node: Node) -> int:
    reg = node.value.get("reg") if isinstance(node.value, dict) else None
    return reg.value if reg is not None and isinstance(reg.value, int) else -1


def _listed(tables: Tables, boot_id: int) -> tuple[int, ...]:
    """Return the APIC IDs that the tables enable, the one that boots first, the others in order and each once."""
    found = list(_enabled(tables))
    return tuple(dict.fromkeys((boot_id, *found)))


def _named(tables: Tables) -> Iterator[int]:
    """Yield every APIC ID that the tables name, enabled or not."""
    if tables.madt:
        yield from (one.apic_id for one in tables.madt.processors)
    for node in tables.fdt.walk() if tables.fdt else ():
        if node.path.startswith("/cpus/cpu@"):
            yield int(node.unit_address or "0", 16)


def _enabled(tables: Tables) -> Iterator[int]:
    if tables.madt:
        yield from (one.apic_id for one in tables.madt.processors if one.enabled)
    elif tables.fdt:
        for node in tables.fdt.walk():
            reg = node.prop("reg") if node.path.startswith("/cpus/cpu@") else None
            status = node.prop("status")
            if reg and not (status and status.value.startswith(b"fail")):
                yield int.from_bytes(reg.value, "big")


def _vector(tables: Tables) -> int:
    wakeups = tables.madt.wakeups if tables.madt else ()
    return next((one.reset_vector or 0 for one in wakeups), 0)


def _polled(one: Situation, tables: Tables) -> int:
    """Return where processors poll: where firmware says, if that is in the same page and no multiple of 4096."""
    wakeups = tables.madt.wakeups if tables.madt else ()
    address = next((entry.address for entry in wakeups if entry.address is not None), one.mailbox)
    return address if address // PAGE == one.mailbox // PAGE else one.mailbox


def _situated(boot: Boot, sentence: str, highest: int) -> Trial:
    one = boot.situation
    _check_host(one.host)
    if one.boot_id:
        raise not_testable("the processor that QEMU boots has APIC ID 0")
    if len(one.ids) >= MOST:
        raise not_testable(f"the machine has at most {MOST} processors")
    published = compose(boot.document)
    instead = _stand_ins(one, {one.boot_id, *one.ids, *_named(published)}, highest)
    tables = compose(_with_ids(boot.document, instead)) if instead else published
    loops = one.loops or [one.loop] * len(one.ids)
    ids = [instead.get(apic, apic) for apic in one.ids]
    entry = _state(one.host)
    mute = set(one.host.mute)
    # Whoever jumps to a ResetVector of 0 is told of and parked again, so that the boot goes on.
    stray = not _vector(tables)
    has_mailbox = bool(tables.madt and tables.madt.wakeups) or tables.fdt is not None
    processors = {}
    for apic, loop in zip(ids, loops, strict=True):
        if apic in mute and not has_mailbox:
            continue
        parked = _parking(loop)
        processors[apic] = attrs.evolve(
            parked,
            entry=entry,
            starts=parked.starts and apic not in mute,
            tests=parked.tests or stray,
            returns=parked.returns or stray,
        )
    return Trial(
        tables=tables,
        mailbox=_polled(one, tables),
        boot_id=one.boot_id,
        processors=processors,
        numbers=_listed(tables, one.boot_id),
        absent=tuple(apic for apic in ids if apic not in processors),
        actions=tuple(attrs.evolve(action, id=instead.get(action.id, action.id)) for action in one.actions),
        fill=sentence.startswith("an operating system fills all free memory"),
        reset_vector=_vector(tables),
        seconds=_seconds(sentence, processors.values(), one.actions),
        placing=sentence in PLACED,
    )


def _seconds(sentence: str, parked: Iterable[Parking], actions: tuple[Action, ...]) -> float:
    if sentence in WAITS:
        return WAITING
    offline = any(action.op == "offline" for action in actions)
    return PATIENT if offline and not all(one.tests for one in parked) else SECONDS


def _state(host: Host) -> Entry:
    return Entry(
        nxe=host.nxe, la57=host.levels == FIVE, cr0=host.cr0, cr4=host.cr4, direction=host.direction, mapped=host.mapped
    )


def _probed(one: Probe, sentence: str) -> Trial:
    """Return a boot with as many processors as a probe has, parked as its are."""
    boot = situation(PROBED)
    ids = IDS[: len(one.ids)]
    given = dict(zip(one.ids, ids, strict=True))
    madt = boot.document.madt
    assert madt is not None
    own, *others = [entry for entry in madt.entries if entry.lapic]
    wakeup = [entry for entry in madt.entries if not entry.lapic]
    parts = [(entry, entry.lapic) for entry in others[: len(ids)]]
    listed = tuple(
        attrs.evolve(entry, lapic=attrs.evolve(lapic, apic_id=apic))
        for (entry, lapic), apic in zip(parts, ids, strict=True)
        if lapic
    )
    published = attrs.evolve(boot.document, madt=attrs.evolve(madt, entries=(own, *listed, *wakeup)))
    tables = attrs.evolve(compose(published), mailbox=page_of(one))
    loops = one.loops or ("acpi-6.4",) * len(ids)
    return Trial(
        tables=tables,
        mailbox=boot.situation.mailbox,
        boot_id=boot.situation.boot_id,
        processors={apic: _parking(loop) for apic, loop in zip(ids, loops, strict=True)},
        numbers=_listed(tables, boot.situation.boot_id),
        actions=tuple(_again(one, given)),
        seconds=WAITING if sentence in WAITS else SECONDS,
    )


def _again(one: Probe, given: Mapping[int, int]) -> Iterator[Action]:
    """Yield what has to be asked for so that a processor is woken again."""
    asked = [given[request.id] for request in one.requests if request.op == "wake"]
    for apic in dict.fromkeys(asked):
        for _ in range(asked.count(apic) - 1):
            yield Action("offline", apic)
            yield Action("online", apic)


def trial(sentence: str, highest: int = HIGHEST_ID) -> Trial:
    """Return what is booted for a sentence; raise ``Unjudged`` where no machine is what it says.

    ``highest`` is the highest APIC ID that a processor of the machine can have.
    """
    if sentence in situations():
        return _situated(situation(sentence), sentence, highest)
    return _probed(probes(Role.SENDER)[sentence], sentence)
