"""Opens ``runner:PROGRAM``: a program that runs AP loops which the suite cannot emulate."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.probe import probe
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target
from mpwake.targets.runner.drive import Runner, greeted, mailbox, trials
from mpwake.targets.runner.process import Process
from mpwake.targets.runner.protocol import Hello

BROKEN = 3


def open_runner(path: Path, arguments: tuple[str, ...] = ()) -> Target:
    """Open a program. Raises ``InputError`` for one that cannot be started, or does not speak the protocol."""
    command = (str(path.absolute()), *arguments)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    if not os.access(path, os.X_OK):
        raise InputError("is not executable", str(path), f"chmod +x {path}")
    runner = Runner(f"runner:{path}", command)
    hello = meet(runner)
    runner.capabilities = hello.capabilities
    driver = Driver(runner)
    offered = f" and offers {', '.join(hello.capabilities)}" if hello.capabilities else ""
    return Target(
        kind="runner",
        name=runner.name,
        sources=(Source(str(path), "program", data),),
        driven={Role.RECEIVER: Behaviour(driver.drive)},
        edition=Edition(hello.edition) if hello.edition else None,
        edition_reason="the program says so" if hello.edition else "",
        notes=(f"it calls itself {hello.name}{offered}",),
        program=runner,
    )


def meet(runner: Runner) -> Hello:
    """Start a program once and let it go again, so that one that does not work is told before anything is judged."""
    with mailbox() as page, Process(runner.name, (*runner.command, page.path)) as process:
        hello = greeted(process, page)
        process.end()
    return hello


@attrs.define
class Driver:
    """Runs probes on a program. What broke once is not tried again, and three breakages end it."""

    runner: Runner
    broken: dict[str, InputError] = attrs.field(factory=dict)

    def drive(self, sentence: str, _seed: int) -> tuple[Trace, ...]:
        """Run the probe that a sentence names; real processors take no seed."""
        if sentence in self.broken or len(self.broken) >= BROKEN:
            raise self.broken.get(sentence) or next(iter(self.broken.values()))
        try:
            return tuple(trials(self.runner, probe(sentence, Role.RECEIVER)))
        except InputError as error:
            self.broken[sentence] = error
            raise
