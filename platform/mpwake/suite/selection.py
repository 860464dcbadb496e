"""Which scenarios a run takes: by requirement id, area, role, feature file, file:line, or tag."""

from __future__ import annotations

from collections.abc import Iterable

from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import ORDER, Role
from mpwake.suite.catalogue import Scenario, scenarios
from mpwake.suite.errors import NothingSelected


def _by_place(word: str, known: tuple[Scenario, ...]) -> list[Scenario] | None:
    path, _, line = word.rpartition(":")
    if not line.isdigit():
        path, line = word, ""
    if not path.endswith(".feature"):
        return None
    wanted = path.removeprefix("./")
    inside = [one for one in known if f"/{one.file}".endswith(f"/{wanted}") or wanted.endswith(f"/{one.file}")]
    others = [one for one in scenarios() if f"/{one.file}".endswith(f"/{wanted}")] if not inside else []
    if others:
        raise InputError(
            f"{path} is about the platform {others[0].system} alone", hint=f"model:{others[0].system} before it"
        )
    if not inside:
        raise InputError(f"no feature file {path!r}", hint=did_you_mean(path, {one.file for one in known}))
    if not line:
        return inside
    number = int(line)
    before = [one for one in inside if one.line <= number]
    if not before:
        places = ", ".join(str(one.line) for one in inside)
        raise InputError(f"no scenario at {word}", hint=f"scenarios begin at lines {places}")
    return [max(before, key=lambda one: one.line)]


def _by_word(word: str, known: tuple[Scenario, ...]) -> list[Scenario]:
    placed = _by_place(word, known)
    if placed is not None:
        return placed
    tag = word.removeprefix("@")
    found = [one for one in known if tag in one.tags or tag in (i.split("-")[0] for i in one.ids)]
    if found:
        return found
    tags = {tag for one in known for tag in one.tags}
    raise InputError(f"nothing is called {word!r}", hint=did_you_mean(tag, {*ORDER, *tags}))


def select(words: Iterable[str], roles: frozenset[Role], system: str = "") -> tuple[Scenario, ...]:
    """Return the scenarios that any of ``words`` names, or all, as far as they belong to ``roles``.

    The features of the platform ``system`` are among them, those of other platforms are not. Raises ``InputError`` for
    a word that names nothing, ``NothingSelected`` when nothing is left.
    """
    known = tuple(one for one in scenarios() if one.system in ("", system))
    words = tuple(words)
    chosen = {one.place for word in words for one in _by_word(word, known)}
    found = tuple(one for one in known if (not words or one.place in chosen) and roles.intersection(one.roles))
    if not found:
        names = ", ".join(sorted(role.value for role in roles))
        raise NothingSelected(f"nothing selected: no scenario of role {names} is among {', '.join(words) or 'all'}")
    return found
