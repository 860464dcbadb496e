"""Saves what is seen in a run: every probe as it is carried out, so that a run that was cut leaves what there was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import attrs

from mpwake import __version__
from mpwake.checks.core import Unjudged
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.spec.document import Plain, encode
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.base import Target
from mpwake.targets.trace.form import FORMAT, Carried, Footer, Header, Side, lines_of


@contextlib.contextmanager
def saving(target: Target, roles: frozenset[Role], seed: int, path: Path | None) -> Iterator[Target]:
    """Give the same target, whose trials in ``roles`` are written to ``path`` as they are run, or the target alone.

    The footer is written only where no exception ends it. Raises ``InputError`` for a target that has no trials there,
    and for a path that cannot be written.
    """
    if path is None:
        yield target
        return
    driven = {role: side for role, side in target.driven.items() if role in roles}
    if not driven:
        raise InputError("--save-traces: there are no trials in what is judged", hint="a receiver or a sender has some")
    try:
        file = path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"--save-traces: {error.strerror}", str(path)) from None
    with file:
        saver = Saver(file)
        saver.write([encode(header_of(target, driven, seed))])
        kept = {role: saver.over(role, side) if role in driven else side for role, side in target.driven.items()}
        yield attrs.evolve(target, driven=kept)
        saver.write([encode(Footer("footer", saver.trials))])


def header_of(target: Target, driven: dict[Role, Behaviour], seed: int) -> Header:
    """Return the first line of what is saved of a target."""
    return Header(
        line="header",
        format=FORMAT,
        target=target.name,
        roles=tuple(Side(role.value, tuple(sorted(one.follows)), one.boots) for role, one in driven.items()),  # type: ignore[arg-type]
        edition=target.edition.value if target.edition else None,  # type: ignore[arg-type]
        edition_reason=target.edition_reason if target.edition else "",
        platform=target.platform,
        requirements=target.selects,
        notes=target.notes,
        seed=seed,
        recorder=f"mpwake {__version__}",
    )


@attrs.define
class Saver:
    """Appends trials to a file; each probe once."""

    file: TextIO
    trials: int = 0
    written: set[tuple[Role, str]] = attrs.Factory(set)

    def write(self, lines: list[Plain]) -> None:
        """Write lines, and have them on the disk's side before anything else happens."""
        self.file.writelines(json.dumps(one, separators=(",", ":")) + "\n" for one in lines)
        self.file.flush()

    def over(self, role: Role, side: Behaviour) -> Behaviour:
        """Return a side of a target whose probes are written as they are carried out."""

        def drive(sentence: str, seed: int) -> tuple[Trace, ...]:
            try:
                traces = side.drive(sentence, seed)
            except Unjudged as reason:
                self._probe(role, sentence, (), reason.verdict.value, reason.reason)
                raise
            except InputError as error:
                self._probe(role, sentence, (), "error", str(error))
                raise
            self._probe(role, sentence, traces)
            return traces

        return attrs.evolve(side, drive=drive, seen={})

    def _probe(
        self, role: Role, sentence: str, traces: tuple[Trace, ...], verdict: str | None = None, reason: str = ""
    ) -> None:
        if (role, sentence) in self.written:
            return
        self.written.add((role, sentence))
        self.trials += len(traces)
        for trace in traces:
            self.write(lines_of(trace, role.value, (sentence,)))  # type: ignore[arg-type]
        self.write([encode(Carried("probe", role.value, sentence, len(traces), verdict, reason))])  # type: ignore[arg-type]
