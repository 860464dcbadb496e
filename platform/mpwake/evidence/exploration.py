"""The result of an exploration: all interleavings of so many processors and an operating system, as far as it came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from mpwake.evidence.trace import Trace
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict

Turn = int | tuple[int, int]
_BUFFERED = 8


@attrs.frozen
class Step:
    """One step of a schedule: whose it is, where, what was carried out, and what that did beside."""

    agent: int
    at: str
    text: str
    code: str = ""
    did: tuple[str, ...] = ()


@attrs.frozen
class Violation:
    """What must not happen, and a shortest schedule to it: the agent of each step, 0 for the operating system.

    Where stores are buffered a step is a pair, the agent and its action: 0 for its program, k for its k-th such store.

    ``requirements`` are those that fail in ``role`` when ``trace`` is judged: the schedule, and after it everybody in
    turn until nothing new happens. ``steps`` tell of the schedule alone.
    """

    what: str
    role: Role
    requirements: tuple[str, ...]
    schedule: tuple[Turn, ...]
    steps: tuple[Step, ...]
    trace: Trace


@attrs.frozen
class Exploration:
    """What an exploration covered, and what it found.

    ``ids`` are the APIC IDs of the processors by number, that of the operating system's own first. ``depth`` is the
    length of the longest of the shortest schedules. ``incomplete`` says why not all states were seen, or nothing.
    ``sometimes`` counts the transitions of a kind without which the run would show nothing; ``notes`` are what was seen
    and is no matter of interleaving. ``any_number`` says that it holds of every number of processors: states are then
    those of one or two of a kind, and of many.
    """

    target: str
    agent: str
    ids: tuple[int, ...]
    memory: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    incomplete: str = ""
    sometimes: Mapping[str, int] = attrs.field(factory=dict, hash=False)
    notes: tuple[str, ...] = ()
    violation: Violation | None = None
    any_number: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """What was never reached, and should have been at least once."""
        return tuple(name for name, count in self.sometimes.items() if count == 0)

    @property
    def verdict(self) -> Verdict:
        """Fail with a violation; pass only where all was seen, and nothing is missing."""
        if self.violation:
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if self.incomplete or self.missing or not self.sometimes else Verdict.PASS

    @property
    def reason(self) -> str:
        """Why the verdict is what it is."""
        if self.violation:
            return self.violation.what
        if self.incomplete:
            return self.incomplete
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"never reached: {', '.join(self.missing) or 'nothing was looked for'}"
        if self.any_number:
            return "nothing goes wrong in any schedule, however many they are; one and two get where they were asked to"
        return "nothing goes wrong in any schedule, and from each of its states everybody gets where it was asked to"


def compressed(schedule: Iterable[Turn]) -> str:
    """Write a schedule as text: the agents in turn, ``1*3`` for three steps of agent 1.

    >>> compressed([0, 0, (1, 0), (0, 2)])
    '0*2 1 0.2'
    """
    runs: list[tuple[str, int]] = []
    for turn in schedule:
        agent, action = turn if isinstance(turn, tuple) else (turn, 0)
        word = f"{agent}.{action}" if action else f"{agent}"
        count = runs.pop()[1] if runs and runs[-1][0] == word else 0
        runs.append((word, count + 1))
    return " ".join(f"{word}*{count}" if count > 1 else word for word, count in runs)


def expanded(text: str, longest: int) -> tuple[int, ...]:
    """Read a schedule of agents that ``compressed`` wrote. Raises ``ValueError`` for what is none, or is longer."""
    steps = turns(text, longest)
    for agent, action in steps:
        if action:
            raise ValueError(f"'{agent}.{action}' is not an agent's number")
    return tuple(agent for agent, _ in steps)


def turns(text: str, longest: int) -> tuple[tuple[int, int], ...]:
    """Read a schedule of agents and their actions. Raises ``ValueError`` for what is none, or is longer."""
    steps: list[tuple[int, int]] = []
    for word in text.split():
        who, star, count = word.partition("*")
        agent, dot, action = who.partition(".")
        if not (agent.isascii() and agent.isdigit() and len(agent) < 5):
            raise ValueError(f"{word!r} is not an agent's number")
        if dot and not (action.isascii() and action.isdigit() and 0 < int(action) <= _BUFFERED):
            raise ValueError(f"{word!r} is not an agent and the number of a buffered store")
        if star and not (count.isascii() and count.isdigit() and len(count) < 8):
            raise ValueError(f"{word!r} is not an agent and how often")
        if len(steps) + int(count or 1) > longest:
            raise ValueError(f"a schedule of more than {longest} steps")
        steps += [(int(agent), int(action or 0))] * int(count or 1)
    return tuple(steps)
