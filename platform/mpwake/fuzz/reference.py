"""A trial beside the reference: who landed on whose account, what was answered, and the page that is left.

The reference is an AP loop of the model that keeps to ACPI, driven by the same requests. Where its own outcome hangs on
the schedule there is nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mpwake.checks.situations import ALL, Done, Plan
from mpwake.checks.traffic import NAMES, OS_SECTION, TIMED_OUT, WAKES, place
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.fuzz.problem import Problem
from mpwake.model.agent import FIELDS
from mpwake.model.probe import Probe, Schedule, agent, trial
from mpwake.spec.editions import NEWEST, Edition

DIFFERS = "differs"
HIGH = 1 << 32
ELSEWHERE = -1
VECTORS = (*WAKES, "fields", "vector")
_NAMES = {
    "wake": "Wakeup",
    "overwrite": "Wakeup",
    "send": "Wakeup",
    "torn": "Wakeup in pieces",
    "test": "Test",
    "fields": "fields without a command",
    "reset": "reset",
    "reserved": "Reserved",
    "clear": "a command taken back",
    "settle": "time",
    "vector": "WakeupVector alone",
    "id": "ApicId alone",
    "stale": "Command alone",
    "byte": "the low byte of Command",
}
_STATES = {"parked": "a parked processor", "running": "a processor that runs", "": "nobody"}
_FIRST = (Schedule("sc", 0), Schedule("relaxed", 1))
_FURTHER = tuple(
    Schedule(memory, seed, "ticks" if seed == 12 else "events")
    for memory in ("sc", "tso", "relaxed")
    for seed in (10, 11, 12)
)


@attrs.frozen
class Outcome:
    """What came of a trial: landings as pairs of APIC ID and request, answers by request, the page."""

    landings: frozenset[tuple[int, int]]
    answers: tuple[bool, ...]
    page: bytes


def reference_of(edition: Edition) -> str:
    """Return the name of the agent that keeps to an edition."""
    return "acpi-6.6" if edition is NEWEST else "acpi-6.4"


def outcome(trace: Trace) -> Outcome:
    """Return what came of a trial."""
    asked: list[Event] = []
    landings = set()
    for one in trace.events:
        if one.kind is Kind.REQUEST:
            asked.append(one)
        elif one.kind is Kind.LANDING:
            landings.add((trace.ids[one.agent], _account(asked, trace.ids[one.agent], one.value)))
    answers = tuple(one.value != TIMED_OUT for one in trace.of(Kind.RETURN))
    return Outcome(frozenset(landings), answers, trace.after[:OS_SECTION])


def _account(asked: list[Event], apic: int, vector: int) -> int:
    # The last request with that vector, if there is one that was for whoever lands there; else the last that stored a
    # command and no vector for it. A landing may be late, after requests that have nothing to do with it.
    found = [number for number, one in enumerate(asked) if NAMES.get(one.value) in VECTORS and one.vector == vector]
    own = [number for number in found if asked[number].target == apic]
    bare = [number for number, one in enumerate(asked) if NAMES.get(one.value) == "command" and one.target == apic]
    return (own or found or bare or [ELSEWHERE])[-1]


def named(done: Done) -> str:
    """Write a request by what it is and whom it meets."""
    one = done.request
    if one.op == "command":
        command = one.value & 0xFFFF
        name = f"Command {command:#x}" if command < 3 else "a reserved command"
        name += f" with low byte {command & 0xFF}" if command > 0xFF and 0 < command & 0xFF < 3 else ""
    else:
        name = _NAMES[one.op]
    if one.op in ("settle", "clear", "reserved", "stale", "byte", "vector"):
        return name
    whom = f"APIC ID {one.id:#x}" if one.id == ALL and not done.state else _STATES[done.state]
    where = ", to a vector above 4 GiB" if one.op in WAKES and one.value >= HIGH else ""
    return f"{name} for {whom}{where}"


def differences(plan: Plan, trace: Trace) -> tuple[tuple[Problem, ...], bool]:
    """Return where a trial is otherwise than the reference, and whether it could be compared at all."""
    if trace.spent or not plan.honest or plan.racy:
        return (), False
    found, name = outcome(trace), reference_of(plan.edition)
    wanted = {_run(name, plan.probe, one) for one in _FIRST}
    if len(wanted) > 1:
        return (), False
    want = wanted.pop()
    problems = tuple(_between(plan, found, want, name)) if want else ()
    if not problems:
        return (), want is not None
    if any(_run(name, plan.probe, one) != want for one in _FURTHER):
        return (), False
    return problems, True


def _run(name: str, probe: Probe, schedule: Schedule) -> Outcome | None:
    trace = trial(agent(name), attrs.evolve(probe, host=attrs.evolve(probe.host, holds=())), schedule)
    return None if trace.spent else outcome(trace)


def _between(plan: Plan, found: Outcome, want: Outcome, name: str) -> Iterator[Problem]:
    """Yield the first request that is answered otherwise, and the first after which others land."""
    if len(found.answers) != len(want.answers):
        return
    steps = range(len(plan.steps))
    first = (next((at for at in steps if differs(at, found, want)), None) for differs in (_otherwise, _elsewhere))
    at = sorted({one for one in first if one is not None})
    for number in at:
        step = plan.steps[number]
        before = (one for one in plan.steps[:number] if one.request.op not in ("settle", "clear"))
        yield _different(
            f"{named(step)}: {' and '.join(_of_request(number, found, want))}",
            f"request {number + 1}, {named(step)}: {_said(number, found)}",
            f"{name}: {_said(number, want)}",
            frozenset(map(named, before)),
        )
    stray = sorted(f"{apic:#x}" for apic, number in found.landings if number == ELSEWHERE)
    if stray and not any(number == ELSEWHERE for _, number in want.landings):
        yield _different(
            "a landing at no vector of a request", f"landed elsewhere: {', '.join(stray)}", f"{name}: nobody"
        )
    if not at and not stray:
        yield from _of_page(found.page, want.page, name)


def _otherwise(number: int, found: Outcome, want: Outcome) -> bool:
    return found.answers[number] != want.answers[number]


def _elsewhere(number: int, found: Outcome, want: Outcome) -> bool:
    return _lands(number, found) != _lands(number, want)


def _different(shape: str, found: str, expected: str, causes: frozenset[str] = frozenset()) -> Problem:
    return Problem("", shape, found, expected, causes, kind=DIFFERS)


def _lands(number: int, one: Outcome) -> set[int]:
    return {apic for apic, at in one.landings if at == number}


def _of_request(number: int, found: Outcome, want: Outcome) -> Iterator[str]:
    if _otherwise(number, found, want):
        yield "answered" if found.answers[number] else "never answered"
    if _lands(number, found) - _lands(number, want):
        yield "a processor lands"
    if _lands(number, want) - _lands(number, found):
        yield "the processor never lands"


def _said(number: int, one: Outcome) -> str:
    who = ", ".join(f"{apic:#x}" for apic in sorted(_lands(number, one)))
    return f"{'answered' if one.answers[number] else 'never answered'}, {who or 'nobody'} lands"


def _of_page(found: bytes, want: bytes, name: str) -> Iterator[Problem]:
    fields = [(field, at, width) for field, (at, width) in FIELDS.items()]
    fields.append((place(16, 2032), 16, OS_SECTION - 16))
    other = [field for field, at, width in fields if found[at : at + width] != want[at : at + width]]
    if other:
        text = f"otherwise at the end: {', '.join(other)}"
        yield _different(
            text, text, f"{name}: the page as the operating system left it, with Command 0 where it is answered"
        )
