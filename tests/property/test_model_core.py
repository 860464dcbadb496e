"""Properties of the model's machine: the step function and its twin agree in every state that they come through.

Both copies of the core are held to the twin: the compiled one, and the same source as NUMBA_DISABLE_JIT=1 runs it.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator, Sequence
from random import Random
from types import ModuleType
from typing import Any, TypeVar

import attrs
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mpwake.model import core
from mpwake.model.agent import (
    CONDITIONS,
    EMITS,
    FIELDS,
    PAGE,
    WIDTHS,
    Add,
    Agent,
    Assign,
    Branch,
    Emit,
    Load,
    Next,
    Operation,
    Place,
    Poll,
    Span,
    Store,
    Swap,
    Value,
    WokenTest,
)
from mpwake.model.program import Program, compile_agent
from mpwake.model.twin import Memory, Twin
from mpwake.spec.requirements import Role

MASK = (1 << 64) - 1
MEMORIES: tuple[Memory, ...] = ("sc", "tso", "relaxed")
Step = tuple[int, int]
T = TypeVar("T")


def uncompiled() -> ModuleType:
    """Load the core a second time, with the plain function in the place of each that numba would compile."""
    spec = importlib.util.spec_from_file_location("uncompiled_core", core.__file__)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, one in list(vars(module).items()):
        setattr(module, name, getattr(one, "py_func", one))
    return module


CORES = {"compiled": core, "uncompiled": uncompiled()}
BOTH = pytest.mark.parametrize("name", CORES)


@attrs.frozen
class Setting:
    """All that a machine is made of."""

    agents: tuple[Agent, ...]
    ids: tuple[int, ...]
    requests: tuple[tuple[int, int, int], ...] = ()
    memory: Memory = "sc"
    page: bytes = bytes(PAGE)

    def twin(self) -> Twin:
        return Twin(self.agents, self.ids, self.requests, self.memory, self.page)

    def machine(self, of: ModuleType, programs: list[Program]) -> Any:
        return of.Machine.of(programs, self.ids, self.requests, self.memory, self.page)


def unsigned(value: Any) -> int:
    return int(value) & MASK


def of_core(machine: Any, programs: list[Program]) -> dict[str, Any]:
    """Return the core's state in the terms of the twin."""
    rows = machine.registers.tolist()
    for program, row in zip(programs, rows, strict=True):
        assert not any(row[len(program.registers) :]), "a register without a name is not 0"
    return {
        "pc": machine.pc.tolist(),
        "status": machine.status.tolist(),
        "wait": [unsigned(one) for one in machine.wait],
        "registers": [
            {name: unsigned(row[number]) for name, number in program.registers.items()}
            for program, row in zip(programs, rows, strict=True)
        ],
        "buffers": [
            [(offset, width, unsigned(value), bool(release)) for offset, width, value, release in slots[:count]]
            for slots, count in zip(machine.buffer.tolist(), machine.buffered, strict=True)
        ],
        "woken": {unsigned(one) for one in machine.woken_ids()},
        "position": int(machine.position[0]),
    }


def of_twin(twin: Twin) -> dict[str, Any]:
    return {name: getattr(twin, name) for name in "pc status wait registers buffers woken position".split()}


def agree(of: ModuleType, setting: Setting, steps: list[Step]) -> set[str]:
    """Take the steps on both machines, compare effect and state after each, and return the kinds of the effects."""
    programs = [compile_agent(agent) for agent in setting.agents]
    machine, twin, kinds = setting.machine(of, programs), setting.twin(), set[str]()
    assert of_core(machine, programs) == of_twin(twin)
    for number, (agent, action) in enumerate(steps):
        possible = action in twin.actions(agent)
        expected = twin.step(agent, action)
        with np.errstate(over="ignore"):  # numpy warns where compiled code wraps
            kind, offset, width, value, effect_number = machine.step(agent, action)
        found = (of.EFFECTS[kind], offset, width, unsigned(value), effect_number)
        assert found == attrs.astuple(expected), f"step {number}, {(agent, action)}"
        assert possible is (expected.kind != "impossible")
        assert of_core(machine, programs) == of_twin(twin), f"step {number}, {(agent, action)}"
        assert machine.page.tobytes() == twin.page, f"step {number}, {(agent, action)}"
        kinds.add(expected.kind)
    return kinds


# Few bytes, few APIC IDs and few numbers, so that stores overlap, ids meet and conditions hold now and then.
APIC_IDS = (1, 2, 3, 1, 2, 3, 0, 0xFFFFFFFF)
SMALL = (0, 1, 2, 3)
LARGE = (-1, -5, 0xFF, 0x100, 0xFFFF, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, MASK, -(1 << 63))


class Choices:
    """Choices out of drawn bytes, 0 for ever behind the last: faster than a strategy for each, and it shrinks."""

    def __init__(self, data: bytes) -> None:
        self.left = iter(data)

    def number(self, below: int) -> int:
        return next(self.left, 0) % below

    def of(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def constant(self) -> int:
        kind = self.number(8)
        if kind < 5:
            return self.of(SMALL)
        return self.of(LARGE) if kind < 7 else int.from_bytes(bytes(self.number(256) for _ in range(8)))


class Author(Choices):
    """Writes one operation after the other over some registers and labels."""

    def __init__(self, data: bytes, sender: bool) -> None:
        super().__init__(data)
        self.registers = [f"r{number}" for number in range(self.of([1, 2, 3, 14]))]
        self.labels = [f"l{number}" for number in range(1 + self.number(4))]
        self.words = [*OFTEN * 6, *SELDOM * 4, *(("next",) * 4 if sender else ("jump",) * 4), *ENDS]
        if self.number(2):  # few kinds of operation, and each of them often; resets want both sides
            few = ("reset", "delay") if sender else ("jump", "store")
            self.words = [*few, *(self.of(self.words) for _ in range(4))][self.number(3) :]

    def value(self) -> Value:
        return self.constant() if self.number(2) else self.of([*self.registers, "self", "index"])

    def id(self) -> Value:
        return self.of(APIC_IDS) if self.number(4) else self.of([*self.registers, "self"])

    def place(self) -> Place:
        kind, width = self.number(4), self.of(WIDTHS)
        if kind == 0:
            return self.of(sorted(FIELDS))
        return Span(self.number(13) if kind < 3 else PAGE - width, width)

    def register(self) -> str:
        return self.of(self.registers)

    def label(self) -> str:
        return self.of(self.labels)

    def condition(self) -> tuple[Value, Value]:
        return self.of(CONDITIONS), self.value()

    def branch(self) -> Branch:
        return Branch(self.label(), (self.value(), *self.condition()) if self.number(4) else None)

    def poll(self) -> Poll:
        tries = self.register() if self.number(4) else None
        return Poll(self.place(), self.condition(), self.label(), tries)

    def operation(self) -> Operation:
        word = self.of(self.words)
        return Operation(**{word: WRITTEN[word](self)})

    def program(self) -> Iterator[Operation]:
        """Yield an agent's operations, and what makes it valid: every register is written somewhere."""
        body = [self.operation() for _ in range(1 + self.number(20))]
        stations = [(self.number(len(body)), label) for label in self.labels]
        if self.number(8):
            body.append(Operation(branch=Branch(self.labels[0])))  # most go on and on
        body += [Operation(set=Assign(name, 0)) for name in self.registers]
        if not self.number(8):
            stations[-1] = (len(body), self.labels[-1])
        for number, one in enumerate([*body, None]):
            yield from (Operation(label=label) for at, label in stations if at == number)
            yield from [one] if one else []


OFTEN = ("store", "store", "load", "branch", "reset")
SELDOM = tuple("swap set add poll enter return_ woken_test woken_add woken_remove emit fence delay".split())
ENDS = ("jump", "halt", "die")
WRITTEN: dict[str, Callable[[Author], Any]] = {
    "load": lambda a: Load(a.register(), a.place()),
    "store": lambda a: Store(a.place(), a.value(), a.number(4) == 0),
    "swap": lambda a: Swap(a.register(), a.place(), a.value()),
    "branch": Author.branch,
    "set": lambda a: Assign(a.register(), a.value()),
    "add": lambda a: Add(a.register(), a.value(), a.of(WIDTHS)),
    "poll": Author.poll,
    "jump": Author.value,
    "enter": Author.value,
    "next": lambda a: Next(a.register(), a.register(), a.register(), a.label()),
    "return_": Author.value,
    "woken_test": lambda a: WokenTest(a.id(), a.label()),
    "woken_add": Author.id,
    "woken_remove": Author.id,
    "emit": lambda a: Emit(a.of(EMITS), a.value()),
    "reset": Author.id,
    "fence": lambda _: True,
    "delay": lambda a: a.of([0, 1, 2, 3, "index"]),
    "halt": lambda _: True,
    "die": lambda _: True,
}


def agent_of(data: bytes, sender: bool) -> Agent:
    """Return a valid agent."""
    author = Author(data, sender)
    entry, park, reset = (author.of([*author.labels, None]) for _ in range(3))
    return Agent("a", "An agent", Role.SENDER if sender else Role.RECEIVER, tuple(author.program()), entry, park, reset)


def setting_of(data: bytes, programs: list[bytes]) -> Setting:
    """Return a machine with an agent for each program."""
    choices = Choices(data)
    memory = choices.of(MEMORIES)
    page = bytes(range(256)) * (PAGE // 256) if choices.number(4) else bytes(PAGE)
    ids = range(4) if choices.number(2) else [choices.of(APIC_IDS) for _ in programs]
    requests = [(choices.constant(), choices.of(APIC_IDS), choices.constant()) for _ in range(choices.number(5))]
    agents = (agent_of(one, sender=number == 0 or not choices.number(4)) for number, one in enumerate(programs))
    return Setting(tuple(agents), tuple(ids[: len(programs)]), tuple(requests), memory, page)


# A byte is a step: two bits for the agent, six for what it does, mostly to carry out an operation.
ACTIONS = [0] * 48 + [1] * 4 + [2] * 4 + [3, 3, 4, 5, 6, 7, 8, 9]


def drawn(size: int) -> st.SearchStrategy[bytes]:
    """Draw bytes: Hypothesis' own, which shrink well and repeat themselves, or random ones, which do neither."""
    return st.binary(min_size=size, max_size=size) | st.integers(0, MASK).map(lambda seed: Random(seed).randbytes(size))


SCHEDULES = drawn(300)
SETTINGS = st.builds(setting_of, drawn(40), st.lists(drawn(150), min_size=1, max_size=4))


def steps_of(setting: Setting, schedule: bytes) -> list[Step]:
    return [((one & 3) % len(setting.agents), ACTIONS[one >> 2]) for one in schedule]


@BOTH
@given(SETTINGS, SCHEDULES)
@settings(max_examples=3 * settings().max_examples)
def test_core_and_twin_agree_after_every_step(name: str, setting: Setting, schedule: bytes) -> None:
    for kind in sorted(agree(CORES[name], setting, steps_of(setting, schedule))):
        event(kind)


def told(*operations: Operation) -> Agent:
    """Return an agent that does just that, with a label at the first operation and one behind the last."""
    program = (Operation(label="top"), *operations, Operation(label="end"))
    return Agent("a", "An agent", Role.RECEIVER, program, reset="top")


def rounds(setting: Setting, count: int) -> list[Step]:
    return [(agent, 0) for _ in range(count) for agent in range(len(setting.agents))]


IDLE = told()
SPANS = [Span(at, width) for at in range(17) for width in WIDTHS]


@BOTH
@pytest.mark.parametrize("memory", MEMORIES)
def test_two_stores_overtake_each_other_and_are_forwarded_alike_however_they_lie(name: str, memory: Memory) -> None:
    for first in (Span(8, width) for width in WIDTHS):
        for second in SPANS:
            agent = told(
                Operation(store=Store(first, 0x1122334455667788)),
                Operation(store=Store(second, 0x99AABBCCDDEEFF00)),
                *[Operation(load=Load("x", Span(at, 8))) for at in (0, 4, 7, 8, 9)],
            )
            setting = Setting((agent,), (0,), memory=memory)
            agree(CORES[name], setting, [(0, 0)] * 7 + [(0, 2), (0, 1), (0, 1)])


@BOTH
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("width", WIDTHS)
def test_sums_and_comparisons_are_unsigned_at_every_edge(name: str, memory: Memory, width: int) -> None:
    edges = (0, 1, 0x7F, 0x80, (1 << 63) - 1, 1 << 63, MASK)
    for left in edges:
        for right in edges:
            agent = told(
                Operation(set=Assign("x", left)),
                Operation(add=Add("x", right, width)),
                Operation(store=Store("WakeupVector", left)),
                Operation(poll=Poll("WakeupVector", ("lt", right), "end", "x")),
                *[Operation(branch=Branch("end", (left, word, right))) for word in CONDITIONS],
            )
            agree(CORES[name], Setting((agent,), (0,), memory=memory), [(0, 0)] * 9)


@BOTH
@pytest.mark.parametrize("memory", MEMORIES)
def test_of_processors_with_one_apic_id_the_first_that_landed_comes_back(name: str, memory: Memory) -> None:
    landing = told(Operation(delay="index"), Operation(store=Store("Command", "index")), Operation(jump=7))
    stays = attrs.evolve(landing, reset=None)
    resetting = told(Operation(delay=3), Operation(reset=5), Operation(branch=Branch("top")))
    for processors in itertools.product((landing, stays, IDLE, resetting), repeat=3):
        for sender in (resetting, landing):
            setting = Setting((sender, *processors), (5, 5, 5, 5), memory=memory)
            agree(CORES[name], setting, rounds(setting, 20))


@BOTH
def test_the_set_of_woken_ids_loses_none_while_others_come_and_go(name: str) -> None:
    random = Random(1)
    ids = [random.choice((1, 1 << 24, -1)) * random.randrange(20) for _ in range(600)]
    agent = told(*[Operation(woken_add=one) if random.random() < 0.5 else Operation(woken_remove=one) for one in ids])
    agree(CORES[name], Setting((agent,), (0,)), [(0, 0)] * 600)


CORNERS = {
    "a receiver takes a request": (
        Setting((IDLE, told(Operation(next=Next("x", "y", "z", "end")), Operation(halt=True))), (0, 1), ((1, 2, 3),)),
        [(1, 0)],
    ),
    "an action below 0 is not possible": (Setting((told(Operation(halt=True)),), (0,)), [(0, -1)]),
    "a delay of 2^63 steps is not over at once": (Setting((told(Operation(delay=1 << 63)),), (0,)), [(0, 0)] * 2),
    "the set of woken ids holds as many as are added": (
        Setting(
            (
                told(
                    Operation(add=Add("x", 1)),
                    Operation(woken_add="x"),
                    Operation(branch=Branch("top", ("x", "lt", 70))),
                    Operation(woken_test=WokenTest(1000, "top")),
                ),
            ),
            (0,),
        ),
        [(0, 0)] * 220,
    ),
}


@BOTH
@pytest.mark.parametrize("case", CORNERS)
def test_corners(name: str, case: str) -> None:
    agree(CORES[name], *CORNERS[case])
