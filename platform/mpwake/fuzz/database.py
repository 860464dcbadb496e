"""Where Hypothesis keeps failing examples: a directory, or a Redis server that machines share."""

from __future__ import annotations

from pathlib import Path

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, InMemoryExampleDatabase

from mpwake.spec.errors import InputError

REDIS = "redis://"


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
