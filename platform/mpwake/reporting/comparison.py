"""What became of each requirement between two runs."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from mpwake.reporting.results import Judged, Key, Results
from mpwake.spec.verdicts import EXIT_INCOMPLETE, Verdict

EXIT_BROKE = 1


class Change(enum.Enum):
    """What became of a requirement; each is in exactly one of these. In the order that reports list them in."""

    BROKE = "broke"
    NEWLY_FAILING = "newly-failing"
    FIXED = "fixed"
    CHANGED = "changed"
    NOT_REACHED = "not-reached"
    ONLY_NEW = "only-in-new"
    ONLY_OLD = "only-in-old"
    SAME = "same"


MEANINGS = {
    Change.BROKE: "passed before, fails now",
    Change.NEWLY_FAILING: "fails now, or fails with weight conformance now, and did not pass before",
    Change.FIXED: "failed before, passes now",
    Change.CHANGED: "another verdict or weight, neither broken nor fixed",
    Change.NOT_REACHED: "one of the runs was cut off before it was judged: nothing can be said of it",
    Change.ONLY_NEW: "the old run was not to judge it",
    Change.ONLY_OLD: "the new run was not to judge it",
    Change.SAME: "the same verdict",
}


@attrs.frozen
class Entry:
    """One requirement in one role, as either run judged it; at least one of them is there."""

    old: Judged | None
    new: Judged | None
    change: Change

    @property
    def either(self) -> Judged:
        """The newer of what there is, for its title."""
        found = self.new or self.old
        assert found
        return found


@attrs.frozen
class Strayed:
    """A scenario that only one of the runs has, of a requirement that both have."""

    id: str
    role: str
    file: str
    name: str
    new: bool


@attrs.frozen
class Comparison:
    """Two runs beside each other."""

    old: Results
    new: Results
    entries: tuple[Entry, ...]
    strayed: tuple[Strayed, ...]
    warnings: tuple[str, ...]

    def of(self, change: Change) -> tuple[Entry, ...]:
        """Return the requirements that this became of."""
        return tuple(one for one in self.entries if one.change is change)

    @property
    def counts(self) -> dict[str, int]:
        """Requirements by what became of them."""
        return {change.value: len(self.of(change)) for change in Change}

    @property
    def exit_code(self) -> int:
        """1 when something broke or newly fails with weight conformance; else 4 when a run was cut off; else 0."""
        if self.of(Change.BROKE) or any(one.either.nonconforming for one in self.of(Change.NEWLY_FAILING)):
            return EXIT_BROKE
        return 0 if self.old.complete and self.new.complete else EXIT_INCOMPLETE


def change(old: Judged | None, new: Judged | None) -> Change:
    """Say what became of a requirement. Broke and fixed are each other's reverse."""
    if old and new and old.reached and new.reached and (old.verdict, new.verdict) == (Verdict.PASS, Verdict.FAIL):
        return Change.BROKE
    if _newly_fails(old, new):
        return Change.NEWLY_FAILING
    if old is None or new is None:
        return Change.ONLY_NEW if old is None else Change.ONLY_OLD
    if not (old.reached and new.reached):
        return Change.SAME if old.reached == new.reached else Change.NOT_REACHED
    if (old.verdict, new.verdict) == (Verdict.FAIL, Verdict.PASS):
        return Change.FIXED
    weighs = Verdict.FAIL is old.verdict is new.verdict and old.weight is not new.weight
    return Change.CHANGED if weighs or old.verdict is not new.verdict else Change.SAME


def _newly_fails(old: Judged | None, new: Judged | None) -> bool:
    if new is None or not new.reached or new.verdict is not Verdict.FAIL:
        return False
    if new.nonconforming:
        return not (old and old.nonconforming)
    return old is not None and old.reached and old.verdict is not Verdict.FAIL


def compare(old: Results, new: Results) -> Comparison:
    """Put two runs beside each other."""
    before = {one.key: one for one in old.judged}
    after = {one.key: one for one in new.judged}
    entries = []
    for key in _order(old, new):
        pair = before.get(key), after.get(key)
        entries.append(Entry(*pair, change(*pair)))
    return Comparison(old, new, tuple(entries), tuple(_strayed(old, new, entries)), tuple(_warnings(old, new)))


def _order(old: Results, new: Results) -> list[Key]:
    return list(dict.fromkeys(one.key for one in (*new.judged, *old.judged)))


def _strayed(old: Results, new: Results, entries: list[Entry]) -> Iterator[Strayed]:
    if not (old.complete and new.complete):
        return
    for one in entries:
        if one.old and one.new:
            for own, other, newer in ((one.old, one.new, False), (one.new, one.old, True)):
                for file, name in sorted(set(own.scenarios) - set(other.scenarios)):
                    yield Strayed(own.id, own.role, file, name, newer)


def _warnings(old: Results, new: Results) -> Iterator[str]:
    for word, one in (("old", old), ("new", new)):
        if not one.complete:
            yield f"the {word} run is incomplete: it was cut off, and what it did not judge is neither fixed nor broken"
    told = "a change may be due to that"
    if old.edition != new.edition:
        yield f"held against {old.edition} before and {new.edition} now: {told}"
    if old.mpwake != new.mpwake:
        yield f"judged by mpwake {old.mpwake} before and {new.mpwake} now: {told}"
    if old.roles != new.roles:
        yield f"judged in the roles {_words(old.roles)} before and {_words(new.roles)} now: {told}"
    if old.target != new.target:
        yield f"a target of kind {old.target} before and {new.target} now: {told}"
    if old.seed != new.seed:
        yield f"the seed was {old.seed} before and is {new.seed} now: {told}"
    digests = [[one.sha256 for one in run.inputs] for run in (old, new)]
    if digests[0] and digests[0] == digests[1]:
        yield "both runs were given the same inputs, byte for byte"


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(words) or "none"
