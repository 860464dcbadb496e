"""Where Hypothesis keeps failing examples: a directory, or a Redis server that machines share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, InMemoryExampleDatabase

from mpwake.spec.errors import InputError

REDIS = "redis://"


class Apart(ExampleDatabase):
    """A database as it was when it was first read, and what is done to it here, which ``keep`` hands over.

    What others do to it in the meantime changes nothing of what is drawn.
    """

    def __init__(self, kept: ExampleDatabase) -> None:
        super().__init__()
        self.kept = kept
        self.read: dict[bytes, frozenset[bytes]] = {}
        self.changes: dict[tuple[bytes, bytes], bool] = {}

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """Return what is kept under a key."""
        if key not in self.read:
            self.read[key] = frozenset(self.kept.fetch(key))
        here = {value: there for (of, value), there in self.changes.items() if of == key}
        return sorted(value for value in self.read[key] | set(here) if here.get(value, True))

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example under a key."""
        self.changes[key, bytes(value)] = True

    def delete(self, key: bytes, value: bytes) -> None:
        """Keep an example no longer."""
        self.changes[key, bytes(value)] = False

    def keep(self) -> None:
        """Do to the database what was done here."""
        for (key, value), there in self.changes.items():
            (self.kept.save if there else self.kept.delete)(key, value)


def database_of(place: str) -> ExampleDatabase:
    """Return a database of examples: a directory, a Redis server, or for no place one that forgets.

    With or without one the same is drawn, but for what it gives to try first. Raises ``InputError`` for one that
    cannot be had, ``ToolError`` for a server that does not answer.
    """
    if place.startswith(REDIS):
        from mpwake.fuzz.shared import shared

        return shared(place)
    try:
        if place:
            Path(place).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--database: {error.strerror}", place) from None
    return DirectoryBasedExampleDatabase(place) if place else InMemoryExampleDatabase()
