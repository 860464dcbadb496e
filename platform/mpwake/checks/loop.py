"""What the checks of an AP loop share: how they are declared, the proof that the loop lives, and words for traces."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Iterator

import attrs

from mpwake.checks.core import (
    Condition,
    Finding,
    Judge,
    Unjudged,
    check,
    further,
    given,
    inconclusive,
    not_applicable,
    not_testable,
    probe,
)
from mpwake.checks.traffic import NAMES, REGISTERS, TIMED_OUT, WAKES, each, head_at, told
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.exhibit import Exhibit, text_exhibit
from mpwake.evidence.trace import SENDER, Event, Fact, Kind, Region, Trace
from mpwake.spec.editions import FACTS
from mpwake.spec.requirements import Role, Weight

RECEIVER = Role.RECEIVER
TEST = 2
LOW = 0x100000
HIGH = 0x100000000
_AROUND = 6

IN_TURN = "the operating system wakes one processor after the other"


@attrs.frozen
class Seen:
    """What a check saw in one trial, good or bad.

    ``about`` is the event or the memory that its exhibit marks; ``state`` asks for all facts of that event.
    """

    ok: bool
    found: str
    expected: str
    about: Event | Region | None = None
    weight: Weight | None = None
    state: bool = False


TraceJudge = Callable[[Trace], Iterable[Seen]]


@given("an AP loop that polls the mailbox")
def a_loop(_behaviour: Behaviour) -> None:
    """Every receiver has one."""


@given("an edition that defines Test")
def defines_test(behaviour: Behaviour) -> None:
    """ACPI 6.6 and later."""
    if TEST not in FACTS[behaviour.edition].commands:
        raise not_applicable(f"{behaviour.edition.value} does not define the command Test")


def _of_platform(behaviour: Behaviour, name: str, words: str) -> Fact:
    traces = behaviour.trials(IN_TURN)
    if not traces or name not in traces[0].facts:
        raise not_testable(f"the target does not tell {words}")
    return traces[0].facts[name]


@given("a reset vector")
def a_reset_vector(behaviour: Behaviour) -> None:
    """One that is not 0."""
    if not _of_platform(behaviour, "reset vector", "where the reset vector is"):
        raise not_applicable("there is no reset vector")


@given("a confidential guest")
def a_confidential_guest(behaviour: Behaviour) -> None:
    """A TD, or another guest that does not trust its host."""
    if not _of_platform(behaviour, "confidential", "whether this is a confidential guest"):
        raise not_applicable("this is no confidential guest")


@given("a mailbox that a DeviceTree announces")
def in_devicetree(behaviour: Behaviour) -> None:
    """And no MADT."""
    if _of_platform(behaviour, "announced", "where the mailbox is announced") != "devicetree":
        raise not_applicable("a MADT announces the mailbox")


def took_a_command(trace: Trace) -> bool:
    """Say whether a processor was seen to do something on account of a command: the proof that the loop lives."""
    return bool(trace.of(Kind.LANDING)) or any(one.touches(0, 2) for one in ap_stores(trace))


def judged_alive(trace: Trace, findings: Iterable[Seen]) -> Iterator[Seen]:
    """Yield the findings of one trial; raise where a good one would rest on a loop that was not seen to live.

    What is found wrong is yielded all the same.
    """
    alive = took_a_command(trace)
    silent = False
    for one in findings:
        if alive or not one.ok:
            yield one
        silent = silent or (one.ok and not alive)
    if silent:
        raise inconclusive("no processor was seen to take a command in this trial")


def over_trials(behaviour: Behaviour, sentence: str, judge: TraceJudge) -> Iterator[Finding]:
    """Judge every trial of a probe, each of which must show that its loop lives.

    Equal findings of several trials stand as one, with the exhibit of the first.
    """
    first: dict[tuple[bool, str, str], tuple[Seen, Trace]] = {}
    often: collections.Counter[tuple[bool, str, str]] = collections.Counter()
    unjudged: Unjudged | None = None
    try:
        for trace in each(behaviour, sentence):
            unjudged = _add(trace, judge, first, often) or unjudged
    except Unjudged as reason:
        unjudged = reason
    for key, (one, trace) in first.items():
        times = "" if often[key] == often.total() else f" ({often[key]} times of {often.total()})"
        yield Finding(one.ok, one.found + times, one.expected, _exhibits(trace, one), one.weight)
    if unjudged:
        raise unjudged


def _exhibits(trace: Trace, one: Seen) -> tuple[Exhibit, ...]:
    if isinstance(one.about, Region):
        memory = "\n".join(_row(region, one.about) for region in trace.regions)
        return (text_exhibit("memory of the AP loop", memory), *_around(trace, one.about.rip))
    if one.ok:
        code = _around(trace, _rip(one.about)) if one.about else ()
    else:
        code = machine_code(trace, one.about) or tuple(_where_they_stand(trace))
    if one.state and one.about:
        known = ((name, value) for name, value in one.about.facts.items() if name != REGISTERS)
        state = "\n".join(f"{name:<14} {_written(value)}" for name, value in known)
        return (told(trace, one.about), text_exhibit(f"state of AP {trace.ids[one.about.agent]:#x}", state), *code)
    return (told(trace, one.about), *code)


def _where_they_stand(trace: Trace) -> Iterator[Exhibit]:
    """Show the machine code at which those ended, or are in the end, who were asked for something and are not gone."""
    asked = {one.target for one in trace.of(Kind.REQUEST)}
    places = set()
    for one in (*trace.of(Kind.EMIT), *trace.of(Kind.STANDS)):
        if one.agent and trace.ids[one.agent] in asked and _rip(one) not in places:
            places.add(_rip(one))
            yield from machine_code(trace, one)


def machine_code(trace: Trace, about: Event | None) -> tuple[Exhibit, ...]:
    """Show the machine code around the instruction that an event tells of, where that is known.

    And the registers, and the mailbox before and after, where it is a processor's.
    """
    code = _around(trace, _rip(about)) if about else ()
    if about is None or not code or REGISTERS not in about.facts:
        return code
    who = f"AP {trace.ids[about.agent]:#x}"
    words = str(about.facts[REGISTERS]).split("  ")
    lines = ("  ".join(f"{word:<22}" for word in words[at : at + 3]).rstrip() for at in range(0, len(words), 3))
    before, after = head_at(trace, about)
    page = "\n".join(f"{name:<7} {data.hex(' ')}" for name, data in (("before", before), ("after", after)))
    registers = text_exhibit(f"registers of {who} after that", "\n".join(lines))
    return (*code, registers, text_exhibit("the mailbox, its first 16 bytes", page))


def _rip(about: Event) -> int | None:
    return int(about.facts["rip"]) if "rip" in about.facts else None


def _around(trace: Trace, rip: int | None) -> tuple[Exhibit, ...]:
    if rip is None or rip not in trace.listing:
        return ()
    places = sorted(trace.listing)
    at = places.index(rip)
    shown = places[max(0, at - _AROUND) : at + _AROUND + 1]
    lines = (f"{'>' if place == rip else ' '} {place:#x}  {trace.listing[place]}" for place in shown)
    return (text_exhibit("machine code", "\n".join(lines)),)


def _row(one: Region, marked: Region) -> str:
    told_of = (("private", one.private), ("accepted", one.accepted), ("measured", one.measured))
    state = "".join(f"  {'' if value else 'not '}{name}" for name, value in told_of if value is not None)
    where = f"{one.start:#011x} to {one.end - 1:#011x}  {one.name:<12} {one.memory:<9} {one.access or '':<3}"
    return f"{'>' if one is marked else ' '} {where}  {', '.join(one.used)}{state}"


def _written(value: Fact) -> str:
    return f"{value:#x}" if type(value) is int else "yes" if value is True else "no" if value is False else str(value)


def _add(
    trace: Trace,
    judge: TraceJudge,
    first: dict[tuple[bool, str, str], tuple[Seen, Trace]],
    often: collections.Counter[tuple[bool, str, str]],
) -> Unjudged | None:
    try:
        for one in judged_alive(trace, judge(trace)):
            key = (one.ok, one.found, one.expected)
            first.setdefault(key, (one, trace))
            often[key] += 1
    except Unjudged as reason:
        return reason
    return None


def receiver(
    id: str, when: str, then: str, *also: Condition, beside: bool = False
) -> Callable[[TraceJudge], TraceJudge]:
    """Register a check that judges each trial of a probe by itself; ``beside`` another one of its requirement."""

    def register(judge: TraceJudge) -> TraceJudge:
        @functools.wraps(judge)
        def over(behaviour: Behaviour) -> Iterator[Finding]:
            return over_trials(behaviour, when, judge)

        declare = further if beside else check
        declare(id, given=(a_loop, *also), when=probe(when), then=then, role=RECEIVER)(over)
        return judge

    return register


def whole_receiver(id: str, when: str, then: str, *also: Condition) -> Callable[[Judge], Judge]:
    """Register a check that looks at more than one trial."""
    return check(id, given=(a_loop, *also), when=probe(when), then=then, role=RECEIVER)


def needs_accesses(judge: TraceJudge) -> TraceJudge:
    """Let nothing good rest on accesses that the target does not see; what it has seen to be wrong stays wrong."""

    @functools.wraps(judge)
    def over(trace: Trace) -> Iterator[Seen]:
        hidden = trace.facts.get("accesses") is False
        yield from (one for one in judge(trace) if not (hidden and one.ok))
        each_access(trace)

    return over


def each_access(trace: Trace) -> None:
    """Raise where the target sees what processors make of the page, and not each of their loads and stores."""
    if trace.facts.get("accesses") is False:
        raise not_testable("the target does not see each load and store of a processor")


def ap_stores(trace: Trace) -> tuple[Event, ...]:
    """Return the stores of the processors."""
    return tuple(one for one in trace.stores() if one.agent != SENDER)


def accesses(trace: Trace) -> tuple[Event, ...]:
    """Return the loads and stores of the processors."""
    return tuple(one for one in trace.events if one.kind in (Kind.LOAD, Kind.STORE) and one.agent != SENDER)


def acts(trace: Trace) -> tuple[Event, ...]:
    """Return what the processors do: stores and landings."""
    kinds = (Kind.STORE, Kind.LANDING)
    return tuple(one for one in trace.events if one.kind in kinds and one.agent != SENDER)


def acknowledgements(trace: Trace) -> list[Event]:
    """Return the stores of the processors that make Command 0."""
    return [one for one in ap_stores(trace) if one.touches(0, 2) and one.value & 0xFFFF == 0]


def landings(trace: Trace) -> list[tuple[int, int]]:
    """Return who landed where: pairs of APIC ID and vector."""
    return [(trace.ids[one.agent], one.value) for one in trace.of(Kind.LANDING)]


def wakes(trace: Trace) -> list[tuple[int, int]]:
    """Return who was asked to wake where."""
    return [(one.target, one.vector) for one in trace.of(Kind.REQUEST) if NAMES.get(one.value) in WAKES]


def before_wakes(trace: Trace) -> Iterator[Event]:
    """Yield what processors do before the operating system asks any of them to wake."""
    for one in trace.events:
        if one.kind is Kind.REQUEST and NAMES.get(one.value) in WAKES:
            return
        if one.agent != SENDER and one.kind in (Kind.STORE, Kind.LANDING):
            yield one


def answers(trace: Trace) -> list[tuple[Event, int]]:
    """Return each request with the code that it ended with."""
    return list(zip(trace.of(Kind.REQUEST), (one.value for one in trace.of(Kind.RETURN)), strict=False))


def timed_out(trace: Trace) -> int:
    """Return how many commands were left unanswered."""
    return sum(one.value == TIMED_OUT for one in trace.of(Kind.RETURN))


def named(pairs: list[tuple[int, int]]) -> str:
    """Write pairs of APIC ID and vector."""
    return ", ".join(f"{apic:#x} at {vector:#x}" for apic, vector in pairs) or "nobody"


def landed_as_asked(trace: Trace) -> Iterator[Seen]:
    """Judge that those who were asked landed, where they were asked to, in whatever order they leave the loop."""
    found, want = landings(trace), wakes(trace)
    yield Seen(sorted(found) == sorted(want), f"landed: {named(found)}", named(want), next(_strays(trace), None))


def nobody_astray(trace: Trace) -> Iterator[Seen]:
    """Judge that whoever landed was asked to, there; who never landed is not looked at."""
    bad = next(iter(answerable(trace, _strays(trace))), None)
    found = f"landed: {named([(trace.ids[bad.agent], bad.value)])}" if bad else "each lands on its own command"
    yield Seen(bad is None, found, "each on its own command", bad)


def answerable(trace: Trace, landings: Iterable[Event]) -> list[Event]:
    """Return those of some wrong landings that are the processor's fault.

    Whose wake was given up may land at a vector that was written over its own since. Raises where all are such.
    """
    wrong = list(landings)
    sure = [one for one in wrong if not _given_up_before(trace, one)]
    if wrong and not sure:
        apic = trace.ids[wrong[0].agent]
        raise inconclusive(f"the wake of AP {apic:#x} was given up, and its fields written over, before it landed")
    return sure


def _given_up_before(trace: Trace, landing: Event) -> bool:
    returns = zip(answers(trace), trace.of(Kind.RETURN), strict=False)
    return any(
        one.target == trace.ids[landing.agent] and NAMES.get(one.value) in WAKES and code == TIMED_OUT
        for (one, code), back in returns
        if back.time < landing.time
    )


def _strays(trace: Trace) -> Iterator[Event]:
    want = wakes(trace)
    return (one for one in trace.of(Kind.LANDING) if (trace.ids[one.agent], one.value) not in want)


def nobody_acts(trace: Trace) -> Iterator[Seen]:
    """Judge that nobody does anything before the ordinary Wakeup that ends the trial."""
    bad = next(before_wakes(trace), None)
    found = f"AP {trace.ids[bad.agent]:#x} acts" if bad else "no processor acts"
    yield Seen(bad is None, found, "no processor acts", bad)


def fact(one: Event, name: str, words: str = "") -> Fact:
    """Return a fact of an event; raises where the target does not tell it."""
    if name not in one.facts:
        raise not_testable(f"the target does not tell {words or name}")
    return one.facts[name]


def needed(trace: Trace, *uses: str) -> tuple[Region, ...]:
    """Return the memory that the loop needs at one of these times; raises where the target does not tell it."""
    found = tuple(one for one in trace.regions if not uses or set(uses) & set(one.used))
    if not found:
        raise not_testable("the target does not tell which memory the AP loop needs")
    return found


def mailbox_region(trace: Trace) -> Region:
    """Return the memory of the mailbox; raises where the target does not tell it."""
    found = next((one for one in trace.regions if one.name == "mailbox"), None)
    if found is None:
        raise not_testable("the target does not tell where the mailbox is in memory")
    return found


def placed(one: Region) -> str:
    """Write a region."""
    return f"{one.name} at {one.start:#x} to {one.end - 1:#x}"


def reserved(regions: tuple[Region, ...]) -> Iterator[Seen]:
    """Judge that memory is of a type that the operating system leaves alone."""
    for one in regions:
        if not one.memory:
            raise not_testable(f"the target does not tell the type of the memory of {placed(one)}")
        good = one.memory in ("reserved", "acpi-nvs")
        yield Seen(good, f"{placed(one)} is {one.memory}", "reserved or acpi-nvs", one)
