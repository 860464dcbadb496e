"""Probes: what the suite does to an implementation, as data. A scenario's When names one by its sentence.

An AP loop gets a tester as its operating system; a bring-up gets processors that behave as the probe says.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import attrs

from mpwake.evidence.trace import OPS, Trace
from mpwake.model.agent import PAGE, load_agent
from mpwake.model.program import Program, compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks
from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.resources import relative, scenarios

BOOT_ID = 0


@attrs.frozen
class Request:
    """One thing that the tester does; ``scenarios/agents/tester.yaml`` says what each op means."""

    op: str = described("wake, test, fields, command, reset, settle, overwrite, reserved or send")
    id: int = described("APIC ID", 0)
    value: int = described("The wakeup vector, the command, the steps to settle, or the Reserved word", 0)

    def __attrs_post_init__(self) -> None:
        if self.op not in OPS:
            raise ValueError(f"no op {self.op!r}; {did_you_mean(self.op, OPS)}")


@attrs.frozen
class Poison:
    """Bytes that the page holds before anything is done."""

    at: int = described("Byte offset")
    count: int = described("How many bytes")
    value: int = described("Each byte's value")

    def __attrs_post_init__(self) -> None:
        if self.at < 0 or self.count < 0 or self.at + self.count > PAGE:
            raise ValueError(f"{self.count} bytes at {self.at} do not lie in the page of {PAGE} bytes")
        if not 0 <= self.value <= 0xFF:
            raise ValueError(f"{self.value:#x} is not a byte")


@attrs.frozen
class Probe:
    """A topology, and what is done to it."""

    says: str = described("The sentence that a scenario's When says")
    ids: tuple[int, ...] = described("APIC IDs of the parked processors, in the order of their numbers")
    requests: tuple[Request, ...] = described("What is done, one after the other")
    poison: tuple[Poison, ...] = described("Bytes of the page before that; the rest is as firmware hands it over", ())
    loops: tuple[str, ...] = described("For a bring-up: the agent of each processor, all acpi-6.6 unless given", ())
    ticks: bool = described("Whether to run it tick by tick too, which cannot tell that nothing happens any more", True)

    def __attrs_post_init__(self) -> None:
        if self.loops and len(self.loops) != len(self.ids):
            raise ValueError(f"{len(self.loops)} loops for {len(self.ids)} processors")


@attrs.frozen
class ProbeFile:
    """The file of probes."""

    probes: tuple[Probe, ...] = described("The probes")


@functools.cache
def probes(role: Role) -> dict[str, Probe]:
    """Return the probes of a role by their sentences."""
    path = scenarios("probes") / f"{role.value}.yaml"
    found = document.decode(document.load(path, relative(path)), ProbeFile).probes
    return {one.says: one for one in found}


def probe(sentence: str, role: Role) -> Probe:
    """Return the probe that a sentence names."""
    known = probes(role)
    if sentence not in known:
        raise InputError(f"no probe says {sentence!r}", hint=did_you_mean(sentence, known))
    return known[sentence]


def page_of(one: Probe) -> bytes:
    """Return the mailbox page at hand-off: idle, ApicId impossible, and what the probe poisons."""
    page = bytearray(PAGE)
    page[4:8] = b"\xff" * 4
    for poison in one.poison:
        page[poison.at : poison.at + poison.count] = bytes([poison.value]) * poison.count
    return bytes(page)


@functools.cache
def agent(name: str) -> Program:
    """Return an agent that comes with the suite, compiled."""
    return compile_node(load_agent(name))


SCHEDULES = tuple((memory, seed) for memory in ("sc", "tso", "relaxed") for seed in range(4))
TICKS = 40_000


def trials(tested: Program, one: Probe, seed: int = 0) -> Iterator[Trace]:
    """Run a probe on an agent: under every memory model, several schedules of each engine."""
    if tested.agent.role is Role.RECEIVER:
        programs = (agent("tester"), *[tested] * len(one.ids))
    else:
        programs = (tested, *map(agent, one.loops or ["acpi-6.6"] * len(one.ids)))
    requests = tuple((OPS[request.op], request.id, request.value) for request in one.requests)
    for memory, number in SCHEDULES:
        simulation = Simulation(
            programs=programs,
            ids=(BOOT_ID, *one.ids),
            requests=requests,
            memory=memory,
            seed=seed * len(SCHEDULES) + number,
            page=page_of(one),
        )
        yield simulate(simulation)
        if one.ticks:
            yield simulate_ticks(attrs.evolve(simulation, budget=TICKS * len(simulation.ids)))
