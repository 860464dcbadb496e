"""Operating systems in a TD and at a Hyper-V virtual trust level (areas TDX and HVL)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.boot import PAGE, answers, booted, like_linux_at_vtl, noted, sees, sent
from mpwake.checks.core import Finding, inconclusive
from mpwake.checks.traffic import each, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Kind, Trace

IN_TD = "an operating system boots in a TD with a mailbox"
IN_TD_WITHOUT = "an operating system boots in a TD without a mailbox"
HELD_BACK = "an operating system boots in a TD whose host holds a processor back"
OFFLINE = "an operating system boots in a TD with a version 0 mailbox, and is asked to take a processor offline"
AT_VTL = "an operating system boots at a virtual trust level in a TD with a mailbox in the DeviceTree"
AT_VTL_WITHOUT = "an operating system boots at a virtual trust level in a TD without a mailbox"
NO_ISOLATION = "an operating system boots at a virtual trust level without isolation"
SNP = "an operating system boots at a virtual trust level with SNP isolation"
VBS = "an operating system boots at a virtual trust level with VBS isolation"
OTHERS = (VBS, SNP, NO_ISOLATION)
LIMIT = 1 << 32
INIT, START_UP = 5, 6


def available(behaviour: Behaviour, *sentences: str) -> Iterator[tuple[str, Trace]]:
    """Yield the trials of those situations that the target runs in; raise where it runs in none."""
    inside = [one for one in sentences if behaviour.trials(one)]
    for sentence in inside or sentences:
        yield from ((sentence, trace) for trace in each(behaviour, sentence))


def came_far(trace: Trace) -> None:
    """Raise where a boot did not come as far as its processors, so that what is missing proves nothing."""
    if not trace.of(Kind.CPU):
        raise inconclusive("the operating system did not come as far as the processors")


def fact(one: Event, name: str) -> int:
    """Return a number, or a truth, that was seen with an event; raise where it was not."""
    value = one.facts.get(name)
    if not isinstance(value, int):
        raise inconclusive(f"{name.replace('_', ' ')} was not seen at {one.kind.value} {one.note}".rstrip())
    return value


def placed_at(trace: Trace) -> Event:
    """Return the allocation of the trampoline."""
    found = noted(trace, Kind.ALLOC, "trampoline")
    if not found:
        raise inconclusive("no trampoline was allocated")
    return found[-1]


def starts(trace: Trace) -> list[Event]:
    """Return the INIT and Start-Up IPIs."""
    sees(trace, "ipis")
    return [one for one in trace.of(Kind.IPI) if one.value >> 8 & 7 in (INIT, START_UP)]


@booted("TDX-01", IN_TD, "the mailbox page is mapped as private memory")
def maps_private(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge every mapping of the page."""
    for trace in each(behaviour, IN_TD):
        mapped = noted(trace, Kind.MAP, "mailbox")
        if not mapped:
            raise inconclusive("the mailbox was not mapped")
        for one in mapped:
            private = bool(fact(one, "private"))
            found = f"mapped as {'private' if private else 'shared'} memory"
            yield Finding(private, found, "private", (told(trace, one),))


@booted("TDX-02", AT_VTL, "is_private_mmio() says yes inside the mailbox page and nowhere else", like_linux_at_vtl)
def private_inside_the_page(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the answers at the borders of the page, and those without a mailbox."""
    for sentence, trace in available(behaviour, AT_VTL, AT_VTL_WITHOUT):
        asked = trace.of(Kind.PRIVATE)
        page = next((one.value for one in noted(trace, Kind.METHOD, "mailbox")), None)
        inside = {one: page is not None and page <= one.value < page + PAGE for one in asked}
        if set(inside.values()) != ({True, False} if sentence == AT_VTL else {False}):
            raise inconclusive("the callback was not asked on both sides of the border")
        for one, private in inside.items():
            answer = bool(fact(one, "answer"))
            found = f"{one.value:#x} is {'private' if answer else 'shared'}"
            yield Finding(answer is private, found, "private" if private else "shared", (told(trace, one),))


@booted("TDX-04", IN_TD, "processors are started through the mailbox, and by nothing else")
def starts_through_mailbox_only(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge IPIs and hypercalls, with a mailbox and without one."""
    for sentence, trace in available(behaviour, IN_TD, IN_TD_WITHOUT):
        if sentence == IN_TD and not sent(trace):
            raise inconclusive("no processor was started through the mailbox")
        bad = [*starts(trace), *trace.of(Kind.HYPERCALL)]
        found = f"{len(starts(trace))} INIT and SIPI, {len(trace.of(Kind.HYPERCALL))} hypercalls"
        yield Finding(not bad, found, "none", (told(trace, bad[0] if bad else None),))


@booted("TDX-08", HELD_BACK, "the Wakeup of a processor that the host holds back is waited for")
def waits_for_the_host(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the answers to all starts."""
    for trace in each(behaviour, HELD_BACK):
        codes = [back.value if back else None for _, back in answers(trace, "online")]
        if not sent(trace):
            raise inconclusive("no Wakeup was sent")
        good = all(code == 0 for code in codes) and len(trace.of(Kind.ALIVE)) == len(codes)
        yield Finding(good, f"the starts returned {codes}", "0 for each, once it lives", (told(trace),))


@booted("TDX-09", OFFLINE, "the processor stays online")
def refuses_offline(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the answer to the request, and that the processor leaves for no vector."""
    for trace in each(behaviour, OFFLINE):
        asked = answers(trace, "offline")
        if not asked or not trace.of(Kind.ALIVE):
            raise inconclusive("no running processor was asked to go offline")
        resets = trace.of(Kind.RESET)
        for one, back in asked:
            good = back is not None and back.value < 0 and not resets
            found = f"offline returned {back.value if back else None}, {len(resets)} resets"
            yield Finding(good, found, "an error, and no reset", (told(trace, one),))


def _limits(trace: Trace) -> list[Event]:
    return noted(trace, Kind.METHOD, "realmode limit")


@booted("HVL-01", AT_VTL, "the limit is 4 GiB, and the trampoline is reserved and set up", like_linux_at_vtl)
def raises_limit(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the limit, and which set-up runs."""
    for trace in each(behaviour, AT_VTL):
        came_far(trace)
        limit = _limits(trace)[-1].value if _limits(trace) else 0
        placed, stubs = noted(trace, Kind.ALLOC, "trampoline"), noted(trace, Kind.ALLOC, "stub header")
        found = f"limit {limit:#x}, {len(placed)} trampolines, {len(stubs)} stub headers"
        good = limit == LIMIT and len(placed) == 1 and not stubs
        yield Finding(good, found, f"limit {LIMIT:#x}, 1 trampolines, 0 stub headers", (told(trace),))


@booted("HVL-02", VBS, "there is a stub header and no trampoline", like_linux_at_vtl)
def allocates_no_trampoline(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the set-up under every isolation but TDX."""
    for _, trace in available(behaviour, *OTHERS):
        came_far(trace)
        placed, stubs = noted(trace, Kind.ALLOC, "trampoline"), noted(trace, Kind.ALLOC, "stub header")
        found = f"{len(placed)} trampolines, {len(stubs)} stub headers"
        yield Finding(not placed and bool(stubs), found, "no trampoline, and a stub header", (told(trace),))


@booted(
    "HVL-03", AT_VTL, "the hypercall is installed where the isolation is not TDX, and only there", like_linux_at_vtl
)
def installs_hypercall(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge which method is the last that was installed."""
    for sentence, trace in available(behaviour, AT_VTL, *OTHERS):
        methods = [one for one in trace.of(Kind.METHOD) if one.note != "realmode limit"]
        if not methods:
            raise inconclusive("no method of starting processors was seen")
        wanted = sentence != AT_VTL
        installed = [one for one in methods if one.note == "hypercall"]
        good = methods[-1].note == "hypercall" if wanted else not installed
        found = f"installed: {', '.join(one.note for one in methods)}"
        yield Finding(good, found, "the hypercall last" if wanted else "no hypercall", (told(trace, methods[-1]),))


@booted("HVL-04", AT_VTL_WITHOUT, "every start fails, and no callback or hypercall is used", like_linux_at_vtl)
def fails_without_mailbox(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge what is installed and used, and the answers to the starts."""
    for trace in each(behaviour, AT_VTL_WITHOUT):
        installed = [one.note for one in trace.of(Kind.METHOD) if one.note in ("hypercall", "ipi", "mailbox")]
        used = [*trace.of(Kind.HYPERCALL), *starts(trace)]
        codes = [back.value if back else None for _, back in answers(trace, "online")]
        if not codes and not used:
            raise inconclusive("no processor was asked for")
        found = (
            f"installed: {', '.join(installed) or 'nothing'}; {len(used)} hypercalls and IPIs; starts returned {codes}"
        )
        good = not installed and not used and all(code is not None and code < 0 for code in codes)
        yield Finding(good, found, "nothing installed, nothing used, an error for each", (told(trace),))


@booted(
    "HVL-05",
    AT_VTL,
    "the limit is set before the trampoline is reserved, and the mailbox is found later",
    like_linux_at_vtl,
)
def limits_come_first(behaviour: Behaviour) -> Iterator[Finding]:
    """Judge the order of the three."""
    for trace in each(behaviour, AT_VTL):
        steps = {
            "limit": _limits(trace),
            "trampoline": noted(trace, Kind.ALLOC, "trampoline"),
            "mailbox": noted(trace, Kind.METHOD, "mailbox"),
        }
        missing = [name for name, events in steps.items() if not events]
        if missing:
            raise inconclusive(f"not seen: {', '.join(missing)}")
        order = sorted(steps, key=lambda name: trace.events.index(steps[name][0]))
        yield Finding(order == list(steps), ", ".join(order), ", ".join(steps), (told(trace, steps["trampoline"][0]),))
