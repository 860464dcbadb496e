"""Opens ``trace:FILE``: what a saved run has seen, or a recorder elsewhere, in place of driving anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from mpwake.checks.always import ANY_BOOT
from mpwake.checks.core import Unjudged, inconclusive, not_testable
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import OPS, Kind, Trace
from mpwake.model.probe import probes
from mpwake.model.situation import situations
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.base import Source, Target
from mpwake.targets.trace.form import Side
from mpwake.targets.trace.read import Recording, load


def open_trace(path: Path) -> Target:
    """Open a trace file. Raises ``InputError``, with the line, for whatever is wrong in it."""
    read, data = load(path)
    header = read.header
    only = {Role(one.role): ANY_BOOT[Role(one.role)] for one in header.roles} if read.boots else {}
    return Target(
        kind="trace",
        name=f"trace:{path}",
        sources=(Source(str(path), "trace", data),),
        driven={Role(side.role): _behaviour(read, side, only) for side in header.roles},
        edition=Edition(header.edition) if header.edition else None,
        edition_reason=(header.edition_reason or "the trace says so") if header.edition else "",
        notes=(*_notes(read), *header.notes),
        selects=tuple(one for ids in only.values() for one in ids) or header.requirements,
        platform=header.platform,
    )


def _behaviour(read: Recording, side: Side, only: dict[Role, tuple[str, ...]]) -> Behaviour:
    role = Role(side.role)
    allowed = frozenset(only.get(role, ()))
    return Behaviour(Replay(read, role).drive, follows=frozenset(side.follows), boots=side.boots, only=allowed)


@attrs.frozen
class Replay:
    """The trials of a file in one role, in place of a target that is driven."""

    read: Recording
    role: Role

    def drive(self, sentence: str, _seed: int) -> tuple[Trace, ...]:
        """Return what was recorded of a probe; raise what the target did, or that nothing was recorded."""
        told = self.read.probes.get((self.role, sentence))
        if told and told.verdict == "error":
            raise InputError(told.reason)
        if told and told.verdict:
            raise Unjudged(Verdict(told.verdict), told.reason)
        found = tuple(self.read.boots.get(self.role, ()) or self.read.trials.get((self.role, sentence), ()))
        if self.role is Role.RECEIVER and not self.read.boots:
            _as_arranged(sentence, found)
        if told or (found and self.read.complete):
            return found
        if found:
            return (*found, unfinished(found[-1]))
        if self.read.complete:
            raise not_testable("the trace does not record it")
        raise inconclusive("the trace has no footer, and does not record it")


def _as_arranged(sentence: str, found: tuple[Trace, ...]) -> None:
    """Raise where a trial of an AP loop was not asked for what the suite asks for under this sentence."""
    one = probes(Role.RECEIVER).get(sentence)
    if one is None:
        return
    asked = [(OPS[request.op], request.id, None if request.base else request.value) for request in one.requests]
    for trace in found:
        told = [(event.value, event.target, event.vector) for event in trace.of(Kind.REQUEST)]
        same = len(told) == len(asked) and all(
            ours[:2] == theirs[:2] and ours[2] in (None, theirs[2]) for ours, theirs in zip(asked, told, strict=True)
        )
        if trace.ids[1:] != one.ids or not (same or trace.spent):
            raise not_testable("the processors or the requests of a trial are others than those of its sentence")


def unfinished(trace: Trace) -> Trace:
    """Return what stands for the trials that a file without a footer may have lost: nothing passes beside it."""
    return attrs.evolve(trace, events=(), after=trace.before, stuck=False, spent=True)


def _notes(read: Recording) -> Iterator[str]:
    yield f"recorded of {read.header.target}"
    if not read.complete:
        yield f"the trace is incomplete: it ends at line {read.last} without a footer"
    if read.boots:
        yield "its trials stand for no sentence: they are judged by what holds of any boot"
    for (role, sentence), line in read.lines.items():
        known = {*probes(role), *(situations() if role is Role.SENDER else ())}
        if sentence not in known:
            hint = did_you_mean(sentence, known)
            yield f"line {line}: no scenario asks a {role.value} for {sentence!r}; {hint}"
