"""Properties of the model's machine: the step function and its twin agree in every state that they come through.

Both copies of the core are held to the twin: the compiled one, and the same source as NUMBA_DISABLE_JIT=1 runs it.
"""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, event, example, given, settings
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
    Poll,
    Span,
    Store,
    WokenTest,
)
from mpwake.model.program import Program, compile_agent
from mpwake.model.twin import Memory, Twin
from mpwake.spec.requirements import Role

MASK = (1 << 64) - 1
MEMORIES: tuple[Memory, ...] = ("sc", "tso", "relaxed")
Step = tuple[int, int]


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


def agree(of: ModuleType, setting: Setting, steps: list[Step]) -> Twin:
    """Take the steps on both machines, compare effect and state after each, and return the twin."""
    programs = [compile_agent(agent) for agent in setting.agents]
    machine, twin = setting.machine(of, programs), setting.twin()
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
        event(expected.kind)
    return twin


# Few bytes, few APIC IDs and few numbers, so that stores overlap, ids meet and conditions hold now and then.
APIC_IDS = st.sampled_from([0, 1, 2, 3, 0xFFFFFFFF])
CONSTANTS = st.one_of(
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([-1, -5, 0xFF, 0x100, 0xFFFF, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, MASK, -(1 << 63)]),
    st.integers(-(1 << 63), MASK),
)
PLACES = st.one_of(
    st.sampled_from(sorted(FIELDS)),
    st.builds(Span, st.integers(0, 16), st.sampled_from(WIDTHS)),
    st.sampled_from(WIDTHS).map(lambda width: Span(PAGE - width, width)),
)


def operations(names: list[str], labels: list[str], sender: bool) -> st.SearchStrategy[Operation]:
    """Return any one operation over these registers and labels; those that end an agent's run come seldom."""
    to, label, word = st.sampled_from(names), st.sampled_from(labels), st.sampled_from(CONDITIONS)
    value = CONSTANTS | st.sampled_from([*names, "self", "index"])
    identity = APIC_IDS | st.sampled_from([*names, "self"])
    condition = st.none() | st.tuples(value, word, value)
    store, load = st.builds(Store, PLACES, value, st.booleans()), st.builds(Load, to, PLACES)
    poll = st.builds(Poll, PLACES, st.tuples(word, value), label, st.sampled_from([*names, *names, None]))
    often = [
        st.builds(Operation, store=store),
        st.builds(Operation, load=load),
        st.builds(Operation, branch=st.builds(Branch, label, condition)),
        st.builds(Operation, reset=identity),
    ]
    seldom = [
        st.builds(Operation, set=st.builds(Assign, to, value)),
        st.builds(Operation, add=st.builds(Add, to, value, st.sampled_from(WIDTHS))),
        st.builds(Operation, poll=poll),
        *[st.builds(Operation, next=st.builds(Next, to, to, to, label))] * sender,
        st.builds(Operation, return_=value),
        st.builds(Operation, woken_test=st.builds(WokenTest, identity, label)),
        st.builds(Operation, woken_add=identity),
        st.builds(Operation, woken_remove=identity),
        st.builds(Operation, emit=st.builds(Emit, st.sampled_from(EMITS), value)),
        st.builds(Operation, fence=st.just(True)),
        st.builds(Operation, delay=st.integers(0, 3) | st.sampled_from(["self", "index"])),
        *[st.builds(Operation, jump=value)] * (not sender),
    ]
    last = st.sampled_from([Operation(halt=True), Operation(die=True), Operation(jump=1)])
    return st.sampled_from([*often * 3, often[0], often[0], *seldom * 2, last]).flatmap(lambda one: one)


def used(one: Operation) -> set[str]:
    """Return all words of an operation, its registers among them."""
    words: set[str] = set()
    for part in attrs.astuple(one, recurse=True):
        for word in part if isinstance(part, tuple) else (part,):
            words.update(word if isinstance(word, tuple) else (word,))
    return {word for word in words if isinstance(word, str)}


@st.composite
def agents(draw: st.DrawFn, sender: bool) -> Agent:
    """Return a valid agent: every label stands somewhere, every register is written somewhere."""
    names = [f"r{number}" for number in range(draw(st.sampled_from([1, 2, 3, 14])))]
    labels = [f"l{number}" for number in range(draw(st.integers(1, 4)))]
    body = draw(st.lists(operations(names, labels, sender), min_size=draw(st.integers(0, 8)), max_size=24))
    body += [Operation(branch=Branch(labels[0]))] * draw(st.sampled_from([1, 1, 1, 0]))  # most go on and on
    missing = sorted(set().union(*map(used, body)) & set(names))
    body += [Operation(set=Assign(name, 0)) for name in missing]
    program: list[Operation] = []
    stations = {label: draw(st.integers(0, len(body))) for label in labels}
    for number in range(len(body) + 1):
        program += [Operation(label=label) for label, at in stations.items() if at == number]
        program += body[number : number + 1]
    entry, park, reset = (draw(st.sampled_from([*labels, None])) for _ in range(3))
    return Agent("a", "An agent", draw(st.sampled_from(Role)), tuple(program), entry, park, reset)


@st.composite
def settings_of(draw: st.DrawFn) -> Setting:
    """Return any machine of up to four agents."""
    some = (draw(agents(sender=True)), *draw(st.lists(agents(sender=False), min_size=1, max_size=3)))
    ids = draw(st.sampled_from([(0, 1, 2, 3), (1, 2, 1, 2)]) | st.tuples(*[APIC_IDS] * 4))[: len(some)]
    requests = tuple(draw(st.lists(st.tuples(CONSTANTS, APIC_IDS, CONSTANTS), max_size=4)))
    page = draw(st.sampled_from([bytes(PAGE), bytes(range(256)) * (PAGE // 256)]) | st.binary(max_size=24))
    return Setting(some, ids, requests, draw(st.sampled_from(MEMORIES)), page.ljust(PAGE, b"\0"))


# A byte is a step: two bits for the agent, six for what it does, mostly to carry out an operation.
ACTIONS = [0] * 45 + [1] * 8 + [2, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]
SCHEDULES = st.binary(min_size=60, max_size=240)


def steps_of(setting: Setting, schedule: bytes) -> list[Step]:
    return [((one & 3) % len(setting.agents), ACTIONS[one >> 2]) for one in schedule]


@BOTH
@given(settings_of(), SCHEDULES)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_core_and_twin_agree_after_every_step(name: str, setting: Setting, schedule: bytes) -> None:
    agree(CORES[name], setting, steps_of(setting, schedule))
