"""Probes: what the suite does to an AP loop, as data. A scenario's When names one by its sentence."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import attrs

from mpwake.evidence.trace import OPS, Trace
from mpwake.model.agent import load_agent
from mpwake.model.program import Program, compile_node
from mpwake.model.simulator import Simulation, simulate, simulate_ticks
from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.errors import InputError, did_you_mean
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


@attrs.frozen
class Probe:
    """A topology, and what is done to it."""

    says: str = described("The sentence that a scenario's When says")
    ids: tuple[int, ...] = described("APIC IDs of the parked processors, in the order of their numbers")
    requests: tuple[Request, ...] = described("What is done, one after the other")
    poison: tuple[Poison, ...] = described("Bytes of the page before that; the rest is as firmware hands it over", ())


@attrs.frozen
class ProbeFile:
    """The file of probes."""

    probes: tuple[Probe, ...] = described("The probes")


@functools.cache
def probes() -> dict[str, Probe]:
    """Return the probes by their sentences."""
    path = scenarios("probes") / "receiver.yaml"
    found = document.decode(document.load(path, relative(path)), ProbeFile).probes
    return {one.says: one for one in found}


def probe(sentence: str) -> Probe:
    """Return the probe that a sentence names."""
    if sentence not in probes():
        raise InputError(f"no probe says {sentence!r}", hint=did_you_mean(sentence, probes()))
    return probes()[sentence]


def page_of(one: Probe) -> bytes:
    """Return the mailbox page at hand-off: idle, ApicId impossible, and what the probe poisons."""
    page = bytearray(4096)
    page[4:8] = b"\xff" * 4
    for poison in one.poison:
        page[poison.at : poison.at + poison.count] = bytes([poison.value]) * poison.count
    return bytes(page)


@functools.cache
def tester() -> Program:
    """Return the sender that the suite plays."""
    return compile_node(load_agent("tester"))


SCHEDULES = tuple((memory, seed) for memory in ("sc", "tso", "relaxed") for seed in range(4))
TICKS = 40_000


def trials(receiver: Program, one: Probe, seed: int = 0) -> Iterator[Trace]:
    """Run a probe on an AP loop: under every memory model, several schedules of each engine."""
    requests = tuple((OPS[request.op], request.id, request.value) for request in one.requests)
    for memory, number in SCHEDULES:
        simulation = Simulation(
            programs=(tester(), *[receiver] * len(one.ids)),
            ids=(BOOT_ID, *one.ids),
            requests=requests,
            memory=memory,
            seed=seed * len(SCHEDULES) + number,
            page=page_of(one),
        )
        yield simulate(simulation)
        yield simulate_ticks(attrs.evolve(simulation, budget=TICKS * len(simulation.ids)))
