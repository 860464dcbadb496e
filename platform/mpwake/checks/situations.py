"""Which checks a trial of an AP loop can be judged by: whether what was done in it is what their sentence says.

A probe is arranged for its sentence. A trial that nobody arranged may be such a situation all the same, and only what
was done decides that, never what came of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import attrs

from mpwake.checks import confidential, landing, loop, page, receiver, reset
from mpwake.checks.always import ALWAYS, ANY_BOOT
from mpwake.checks.core import Check, checks_of, not_testable
from mpwake.checks.traffic import OS_HEADER, OS_SECTION, WAKES
from mpwake.evidence.trace import Trace
from mpwake.model.environment import Host
from mpwake.model.probe import Probe, Request, probe
from mpwake.spec.editions import FACTS, Edition
from mpwake.spec.requirements import Role

ALL, NOBODY = 0xFFFFFFFE, 0xFFFFFFFF
WAKEUP, TEST = 1, 2
_LOOSE = ("stale", "byte", "id", "vector", "send", "torn")
_QUIET = ("settle", "clear", "fields")
PAGE, LOW, HIGH, REPORTED = 0x1000, 0x100000, 1 << 32, 0x101000000


@attrs.frozen
class Done:
    """A request, and what it meets where everybody keeps to ACPI.

    ``state`` is that of the processor with its APIC ID, nothing where none has it; ``pending`` is the command that
    stands in the page because nobody answers it, 0 for none.
    """

    request: Request
    state: str
    pending: int

    @property
    def commands(self) -> bool:
        """Whether it stores a command other than 0 for an APIC ID."""
        one = self.request
        return one.op in (*WAKES, "test") or (one.op == "command" and one.value != 0)


@attrs.frozen
class Plan:
    """What is done in a trial, step by step."""

    probe: Probe
    edition: Edition
    steps: tuple[Done, ...]

    @property
    def ops(self) -> tuple[str, ...]:
        """The names of what is done, without what only lets time pass."""
        return tuple(one.request.op for one in self.steps if one.request.op != "settle")

    @property
    def woken(self) -> tuple[int, ...]:
        """Who is asked to wake, in order."""
        return tuple(one.request.id for one in self.steps if one.request.op in WAKES)

    @property
    def paused(self) -> bool:
        """Whether the host does no more than hold processors back."""
        return attrs.evolve(self.probe.host, pauses=(), holds=()) == Host()

    @property
    def honest(self) -> bool:
        """Whether the host does nothing at all but let processors begin late."""
        return self.paused and not self.probe.host.pauses

    @property
    def orderly(self) -> bool:
        """Whether each of several wakes goes to a parked processor, and there is nothing else but time that passes."""
        return bool(self.woken) and all(
            one.request.op in ("settle", "clear") or (one.request.op in ("wake", "overwrite") and one.state == "parked")
            for one in self.steps
        )

    @property
    def page_is_theirs(self) -> bool:
        """Whether nothing was poisoned but what belongs to the operating system."""
        return all(one.at >= OS_HEADER and one.at + one.count <= OS_SECTION for one in self.probe.poison)

    @property
    def clean(self) -> bool:
        """Whether processors are woken, each once, by an operating system and a host that keep to ACPI."""
        return self.honest and self.orderly and self.page_is_theirs

    @property
    def tidy(self) -> bool:
        """Whether no command and no field is stored while another command stands there, and none without its fields."""
        changes = [one for one in self.steps if one.commands or one.request.op == "fields"]
        loose = any(one.request.op in _LOOSE or _says_reserved(one.request) for one in self.steps)
        forged = any(_is_wakeup(one.request) or one.request.id == ALL for one in changes)
        return not loose and not forged and not any(one.pending for one in changes) and self.page_is_theirs

    @property
    def racy(self) -> bool:
        """Whether fields are stored while a command stands there that somebody may take in between."""
        known, stores = set(FACTS[self.edition].commands) - {0}, (*WAKES, "test", "command", "fields", "torn")
        return any(one.pending in known for one in self.steps if one.request.op in stores)

    @property
    def dense(self) -> bool:
        """Whether APIC IDs are the processors' numbers, so that nothing hangs on how a loop compares them."""
        return self.probe.ids == tuple(range(1, len(self.probe.ids) + 1))

    @property
    def low(self) -> bool:
        """Whether vectors lie below 4 GiB, so that nothing hangs on how much of them a loop reads."""
        return all(one.request.value < HIGH for one in self.steps if one.request.op in WAKES)

    @property
    def once(self) -> bool:
        """Whether nobody is asked to wake twice."""
        return len(set(self.woken)) == len(self.woken)

    def before_wakes(self) -> Iterator[Done]:
        """Yield what is done before anybody is asked to wake."""
        for one in self.steps:
            if one.request.op in WAKES:
                return
            yield one

    def ends_in_roll_call(self, first: int) -> bool:
        """Say whether from a step on each processor is woken once, in a page without another command."""
        rest = self.steps[first:]
        called = [one.request.id for one in rest if one.request.op in WAKES]
        plain = all(one.request.op in ("wake", "clear", "settle") for one in rest)
        return (
            plain and sorted(called) == sorted(self.probe.ids) and not any(one.pending for one in rest if one.commands)
        )


def _is_wakeup(one: Request) -> bool:
    return one.op == "command" and one.value & 0xFFFF == WAKEUP


def _says_reserved(one: Request) -> bool:
    return one.op == "reserved" and one.value != 0


@attrs.define
class _Expected:
    """Processors and page where everybody keeps to ACPI."""

    known: frozenset[int]
    state: dict[int, str]
    target: int = NOBODY
    pending: int = 0

    def take(self, one: Request) -> None:
        """Do what a request says."""
        command = one.value & 0xFFFF
        if one.op in (*WAKES, "test", "fields", "command", "id"):
            self.target = one.id
        if one.op in WAKES:
            self.pending = WAKEUP
        elif one.op == "test":
            self.pending = TEST
        elif one.op in ("command", "stale"):
            self.pending = command
        elif one.op == "byte":
            self.pending = self.pending & 0xFF00 | one.value & 0xFF
        elif one.op == "clear":
            self.target, self.pending = NOBODY, 0
        elif one.op == "reset" and self.state.get(one.id) == "running":
            self.state[one.id] = "parked"
        self._answer()

    def _answer(self) -> None:
        if self.state.get(self.target) == "parked" and self.pending in (WAKEUP, TEST) and self.pending in self.known:
            self.state[self.target] = "running" if self.pending == WAKEUP else "parked"
            self.pending = 0


def plan_of(trial: Probe, edition: Edition) -> Plan:
    """Return what is done in a trial, with what each step meets."""
    expected = _Expected(frozenset(FACTS[edition].commands), dict.fromkeys(trial.ids, "parked"))
    steps = list[Done]()
    for one in trial.requests:
        steps.append(Done(one, expected.state.get(one.id, ""), expected.pending))
        expected.take(one)
    return Plan(trial, edition, tuple(steps))


def _in_turn(plan: Plan) -> bool:
    return plan.clean and plan.woken == plan.probe.ids and set(plan.ops) == {"wake"}


def _backwards(plan: Plan) -> bool:
    return plan.clean and plan.woken == plan.probe.ids[::-1]


def _one_of_several(plan: Plan) -> bool:
    return plan.clean and len(plan.woken) == 1 and len(plan.probe.ids) > 1


def _fields_only(plan: Plan) -> bool:
    before = list(plan.before_wakes())
    quiet = all(one.request.op in _QUIET for one in before)
    return plan.honest and plan.page_is_theirs and quiet and any(one.request.op == "fields" for one in before)


def _overwritten(plan: Plan) -> bool:
    return plan.clean and set(plan.ops) == {"overwrite"}


def _strange(plan: Plan) -> set[int]:
    # The commands before anybody is asked to wake, where none of them is defined and nothing else is done.
    known = FACTS[plan.edition].commands
    before = list(plan.before_wakes())
    sent = {one.request.value & 0xFFFF for one in before if one.request.op == "command"}
    quiet = all(one.request.op in ("command", *_QUIET) for one in before)
    return sent if quiet and not sent & {0, *known} and plan.honest and plan.page_is_theirs else set()


def _reserved(plan: Plan) -> bool:
    return bool(_strange(plan)) and plan.ends_in_roll_call(len(list(plan.before_wakes())))


def _halves(plan: Plan) -> bool:
    return {0x100, 0x101} <= _strange(plan) and plan.woken[:1] != (ALL,)


def _reserved_word(plan: Plan) -> bool:
    if not plan.honest or not plan.page_is_theirs or plan.ops[:3] != ("reserved", "wake", "reserved"):
        return False
    first, sent, last, *rest = (one for one in plan.steps if one.request.op != "settle")
    wakes = all(one.request.op in ("wake", "clear") and (one.state or one.request.op == "clear") for one in rest)
    set_and_gone = bool(first.request.value) and not last.request.value
    return set_and_gone and sent.state == "parked" and wakes and plan.once


def _broadcast(plan: Plan) -> bool:
    if not plan.honest or not plan.page_is_theirs or plan.ops[:2] != ("wake", "clear"):
        return False
    same = len({one.request.value for one in plan.steps if one.request.op in WAKES}) == 1
    return (
        same and plan.woken[0] == ALL and ALL not in plan.probe.ids and plan.ends_in_roll_call(plan.ops.index("clear"))
    )


def _twice(plan: Plan) -> bool:
    whole = plan.honest and plan.page_is_theirs and plan.ops == ("wake", "wake")
    first = [number for number, one in enumerate(plan.steps) if one.request.op == "wake"]
    waits = whole and any(one.request.value >= 100 for one in plan.steps[first[0] + 1 : first[1]])
    return waits and plan.steps[first[0]].state == "parked" and len(set(plan.woken)) == 1


def _of_one_command(plan: Plan) -> bool:
    return plan.honest and plan.tidy and plan.once and bool(plan.woken) and "reset" not in plan.ops


def _held_after_command(plan: Plan) -> bool:
    points = {one.after for one in plan.probe.host.pauses}
    return plan.paused and points <= {"command", "id", "vector"} and _of_one_command(_unpaused(plan))


def _unpaused(plan: Plan) -> Plan:
    return attrs.evolve(plan, probe=attrs.evolve(plan.probe, host=Host()))


def _held_after_ack(plan: Plan) -> bool:
    return plan.paused and plan.orderly and plan.page_is_theirs


def _tested(plan: Plan) -> bool:
    return plan.honest and plan.page_is_theirs and plan.ops == ("test",) and plan.steps[0].state == "parked"


def _foreign_test(plan: Plan) -> bool:
    before = list(plan.before_wakes())
    tests = [one for one in before if one.request.op == "test"]
    nobody = bool(tests) and all(not one.state and one.request.id != ALL for one in tests)
    quiet = all(one.request.op in ("test", "clear", "settle") for one in before)
    return plan.honest and plan.page_is_theirs and nobody and quiet


def _valid(plan: Plan, *ops: str) -> bool:
    # Each thing is asked of a processor that can do it.
    states = {"wake": "parked", "overwrite": "parked", "test": "parked", "reset": "running"}
    fit = all(one.state == states.get(one.request.op, one.state) for one in plan.steps)
    known = all(one.request.op in (*ops, "settle", "clear") for one in plan.steps)
    return plan.honest and plan.page_is_theirs and fit and known and not any(one.pending for one in plan.steps)


def _test_then_wake(plan: Plan) -> bool:
    return _valid(plan, "test", "wake") and {"test", "wake"} <= set(plan.ops) and plan.once


def _cycles(plan: Plan) -> bool:
    resets = [one.request for one in plan.steps if one.request.op == "reset"]
    return _valid(plan, "test", "wake", "reset") and bool(resets) and not any(one.value for one in resets)


def _one_reset(plan: Plan) -> bool:
    return _cycles(plan) and plan.ops.count("reset") == 1 and plan.ops[0] == "wake"


def _bits(plan: Plan) -> bool:
    return _valid(plan, "test", "wake", "reset") and ("reset", "test") in zip(plan.ops, plan.ops[1:], strict=False)


def _with_host(what: Callable[[Host], object]) -> Callable[[Plan], bool]:
    def situation(plan: Plan) -> bool:
        host = plan.probe.host
        alone = attrs.evolve(host, ids=(), refuses=(), changes=(), events=True, entry=0, seeds=False) == Host()
        return alone and bool(what(host)) and plan.orderly and plan.page_is_theirs and plan.once

    return situation


def _seeded(plan: Plan) -> bool:
    before = list(plan.before_wakes())
    waits = bool(before) and all(one.request.op == "settle" for one in before)
    return plan.probe.host == Host(seeds=True) and waits


def _at_places(plan: Plan) -> bool:
    # Above 4 GiB a machine need not have memory at any place but the first.
    return (
        plan.clean and plan.dense and all(one.request.value < REPORTED for one in plan.steps if one.request.op in WAKES)
    )


def _at_edges(plan: Plan) -> bool:
    return plan.clean and all(_at_edge(one.request) for one in plan.steps if one.request.op in WAKES)


def _at_edge(one: Request) -> bool:
    if one.base == "mailbox":
        return OS_HEADER <= one.value < OS_SECTION
    return PAGE <= one.value < LOW


def _clean(plan: Plan) -> bool:
    return plan.clean


def _sparse(plan: Plan) -> bool:
    return plan.clean and plan.low


def _high(plan: Plan) -> bool:
    return plan.clean and plan.dense and not plan.low


def _alike(sentence: str) -> Callable[[Plan], bool]:
    # The APIC IDs of a probe, as many as there are: with others it may be another comparison that is at fault.
    def situation(plan: Plan) -> bool:
        ids = plan.probe.ids
        return plan.clean and plan.low and len(ids) > 1 and ids == probe(sentence, Role.RECEIVER).ids[: len(ids)]

    return situation


SITUATIONS: dict[str, Callable[[Plan], bool]] = {
    loop.IN_TURN: _in_turn,
    receiver.SPARSE: _sparse,
    receiver.BACKWARDS: _backwards,
    receiver.ONE_OF_THREE: _one_of_several,
    receiver.FIELDS_ONLY: _fields_only,
    receiver.OVERWRITTEN: _overwritten,
    receiver.RESERVED: _reserved,
    receiver.RESERVED_WORD: _reserved_word,
    receiver.BROADCAST: _broadcast,
    receiver.TWICE: _twice,
    receiver.RETARGETED: _of_one_command,
    receiver.FIELDS_CHANGED: _of_one_command,
    receiver.HELD_BEFORE_ACK: _held_after_ack,
    receiver.HELD_AFTER_ACK: _held_after_ack,
    receiver.HELD_AFTER_COMMAND: _held_after_command,
    receiver.NO_EVENTS: _with_host(lambda host: not host.events),
    page.POISONED: _clean,
    page.HIGH_VECTOR: _high,
    page.HALVES: _halves,
    page.ALIKE: _alike(page.ALIKE),
    page.REVERSED: _alike(page.REVERSED),
    landing.PLACES: _at_places,
    landing.EDGES: _at_edges,
    reset.TESTED: _tested,
    reset.TEST_NOBODY: _foreign_test,
    reset.TEST_THEN_WAKE: _test_then_wake,
    reset.CYCLES: _cycles,
    reset.ONE_RESET: _one_reset,
    reset.BITS: _bits,
    confidential.SEEDED: _seeded,
    confidential.LIED: _with_host(lambda host: host.ids),
    confidential.REFUSED: _with_host(lambda host: host.refuses),
    confidential.CHANGED: _with_host(lambda host: host.changes),
    confidential.HOSTILE: _with_host(lambda host: host.entry),
}

# The sentences that speak of APIC IDs or vectors themselves. Of all others no more is said than that processors with
# ordinary ones do as they should: what a loop makes of odd ones is not to be held against it twice.
_PECULIAR = (receiver.SPARSE, page.HIGH_VECTOR, page.ALIKE, page.REVERSED, landing.PLACES)


def asks(check: Check, plan: Plan) -> bool:
    """Say whether a trial in which this was done can be judged by a check of an AP loop."""
    first = check is checks_of(check.id, Role.RECEIVER)[0]
    if first and check.id in ANY_BOOT[Role.RECEIVER]:
        return True
    sentence = check.when.sentence
    if sentence not in _PECULIAR and not (plan.dense and plan.low):
        return False
    if first and check.id in ALWAYS[Role.RECEIVER] and sentence not in _PECULIAR and plan.clean:
        return True
    met = SITUATIONS.get(sentence)
    return met is not None and met(plan)


def drive_of(play: Callable[[Probe], Trace], plan: Plan, ids: Iterable[str]) -> Callable[[str, int], tuple[Trace, ...]]:
    """Return what drives one trial alone, for the checks of these requirements; ``play`` runs a probe.

    A sentence of theirs that is not its situation is not testable by it. Where a host is hostile and a check compares
    with an honest one, the same is run with that.
    """
    checks = [one for id in ids for one in checks_of(id, Role.RECEIVER)]
    met = {one.when.sentence for one in checks if asks(one, plan)}
    missed = {one.when.sentence for one in checks} - met - {loop.IN_TURN}

    @functools.cache
    def played(honest: bool) -> Trace:
        return play(attrs.evolve(plan.probe, host=Host()) if honest else plan.probe)

    def drive(sentence: str, _seed: int) -> tuple[Trace, ...]:
        if sentence in missed:
            raise not_testable("what is done in this trial is not what the sentence says")
        return (played(sentence == loop.IN_TURN and not plan.paused),)

    return drive
