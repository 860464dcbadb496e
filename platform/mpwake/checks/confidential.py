"""The AP loop of a guest that does not trust its host (areas TDX, RCV and MADT)."""

from __future__ import annotations

from collections.abc import Iterator

from mpwake.checks.core import inconclusive, not_applicable, not_testable
from mpwake.checks.loop import (
    IN_TURN,
    Seen,
    a_confidential_guest,
    acts,
    before_wakes,
    fact,
    mailbox_region,
    needed,
    placed,
    receiver,
    wakes,
)
from mpwake.evidence.trace import Event, Kind, Trace

SEEDED = "the host writes a Wakeup into the page before the guest starts"
LIED = "the host tells processors the APIC IDs of others"
REFUSED = "the host refuses the call of one processor"
CHANGED = "the host changes every register that a call shows it and that carries no answer"
HOSTILE = "the host hands over a MADT with a wakeup entry of its own"
# Bits of RCX at TDG.VP.VMCALL, and those of the registers that carry no argument of it (GHCI, section 3.1).
BITS = {"rdx": 2, "rbx": 3, "rbp": 5, "rsi": 6, "rdi": 7, "r8": 8, "r9": 9, **{f"r{n}": n for n in range(10, 16)}}
UNUSED = ("rdx", "rbx", "rbp", "rsi", "rdi", "r8", "r9")
KEPT = ("rbx", "rbp")


def _calls(trace: Trace) -> tuple[Event, ...]:
    if trace.facts.get("calls") == 0:
        raise not_applicable("the AP loop does not call the host")
    calls = trace.of(Kind.TDCALL)
    if not calls:
        raise not_testable("the target does not tell which calls the AP loop makes to its host")
    return calls


def _exposed(one: Event) -> Iterator[tuple[str, int]]:
    mask = int(fact(one, "mask", "the mask of a call"))
    for name, bit in BITS.items():
        if mask >> bit & 1:
            yield name, int(one.facts.get(name, 0))


@receiver("RCV-23", IN_TURN, "no register that the host may read holds a pointer", a_confidential_guest)
def no_pointer_leaks(trace: Trace) -> Iterator[Seen]:
    """Judge the registers that a call exposes: whether one holds an address in the memory of the loop."""
    for one in _calls(trace):
        leaks = [
            f"{name.upper()} {value:#x}, in {region.name}"
            for name, value in _exposed(one)
            for region in trace.regions
            if region.start <= value < region.end
        ]
        yield Seen(not leaks, f"exposed: {'; '.join(leaks) or 'no pointer'}", "no pointer", one, state=True)


@receiver("TDX-03", SEEDED, "no processor acts on it, and the page is private", a_confidential_guest)
def seed_is_ignored(trace: Trace) -> Iterator[Seen]:
    """Judge what processors do before the operating system asks anything, and the state of the page."""
    bad = next(before_wakes(trace), None)
    found = f"AP {trace.ids[bad.agent]:#x} acts on it" if bad else "no processor acts on it"
    yield Seen(bad is None, found, "no processor acts on it", bad)
    page = mailbox_region(trace)
    if page.private is None or page.measured is None:
        raise not_testable("the target does not tell whether the mailbox page is private and initialised")
    yield Seen(page.private, f"the page is {'private' if page.private else 'shared'}", "private", page)


@receiver("TDX-05", LIED, "each takes the commands for its true APIC ID only", a_confidential_guest)
def id_is_own(trace: Trace) -> Iterator[Seen]:
    """Judge who lands, by the true APIC IDs."""
    want = dict(wakes(trace))
    bad = next((one for one in trace.of(Kind.LANDING) if want.get(trace.ids[one.agent]) != one.value), None)
    found = (
        f"AP {trace.ids[bad.agent]:#x} lands at {bad.value:#x}, another's vector"
        if bad
        else "none on another's command"
    )
    yield Seen(bad is None, found, "none on another's command", bad)


@receiver("TDX-06", REFUSED, "the calls keep to the register rules, and a refused one is noticed", a_confidential_guest)
def keeps_to_call_rules(trace: Trace) -> Iterator[Seen]:
    """Judge R10, the mask, the registers without a meaning, and what follows a failure that R10 tells."""
    for one in _calls(trace):
        r10 = int(fact(one, "r10", "R10 at a call"))
        exposed = dict(_exposed(one))
        wrong = [f"R10 {r10:#x}"] * (r10 != 0)
        wrong += [f"{name.upper()} in the mask" for name in KEPT if name in exposed]
        wrong += [f"{name.upper()} not cleared" for name in UNUSED if exposed.get(name) and name not in KEPT]
        found = f"a call with {', '.join(wrong)}" if wrong else "a call by the rules"
        yield Seen(not wrong, found, "R10 0, RBX and RBP not in the mask, the unused cleared", one, state=True)
        if fact(one, "answer", "the answer to a call"):
            bad = next((act for act in acts(trace) if act.agent == one.agent), None)
            found = "after the failure AP {:#x} {}".format(trace.ids[one.agent], "goes on" if bad else "does not go on")
            yield Seen(bad is None, found, "it does not go on", bad or one)


@receiver(
    "TDX-06", CHANGED, "no processor polls or lands where the host wants it to", a_confidential_guest, beside=True
)
def host_moves_nobody(trace: Trace) -> Iterator[Seen]:
    """Judge where each processor polls and lands after a call whose registers the host has changed."""
    want = wakes(trace)
    for agent in dict.fromkeys(one.agent for one in _calls(trace)):
        own = [one for one in trace.events if one.agent == agent]
        away = next((one for one in own if "page" in one.facts), None)
        landing = next((one for one in own if one.kind is Kind.LANDING), None)
        apic, expected = trace.ids[agent], "each polls the mailbox, and lands where it was asked to"
        if away is None and landing is None:
            raise inconclusive(f"AP {apic:#x} neither lands nor polls where the host wants it to")
        lost = away is not None or (apic, landing.value if landing else 0) not in want
        where = f" and lands at {landing.value:#x}" if landing else ""
        polls = f"polls the host's page at {away.facts['page']:#x}" if away else "polls the mailbox"
        yield Seen(not lost, f"AP {apic:#x} {polls}{where}", expected, away or landing, state=True)


@receiver("TDX-07", IN_TURN, "every page that the loop uses was accepted before hand-off", a_confidential_guest)
def pages_are_accepted(trace: Trace) -> Iterator[Seen]:
    """Judge the state of the loop's memory."""
    for one in needed(trace):
        if one.accepted is None:
            raise not_testable(f"the target does not tell whether {placed(one)} was accepted")
        found = f"{placed(one)} is {'accepted' if one.accepted else 'not accepted'}"
        yield Seen(one.accepted, found, "accepted", one)


@receiver("MADT-30", HOSTILE, "the first wakeup entry in it is the firmware's", a_confidential_guest)
def own_entry_wins(trace: Trace) -> Iterator[Seen]:
    """Judge the entry that an operating system finds first."""
    entries = trace.of(Kind.TABLE)
    if not entries or "mailbox" not in trace.facts:
        raise not_testable("the target does not tell what firmware makes of a MADT of the host")
    first, own = entries[0].value, int(trace.facts["mailbox"])
    whose = "the firmware's" if first == own else "the host's"
    yield Seen(first == own, f"the first is {whose}, {first:#x}", f"{own:#x}", entries[0])
