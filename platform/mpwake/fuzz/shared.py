"""Examples that machines share: sets in a Redis server. Imported only where one is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from hypothesis.database import ExampleDatabase

from mpwake.spec.errors import InputError, ToolError

try:
    from hypothesis.extra.redis import RedisExampleDatabase
    from redis import Redis, RedisError
except ImportError:
    raise ToolError("--database: the package redis is missing", hint="pip install 'mpwake[cluster]'") from None

SECONDS = 10.0
FORM = "redis://HOST:PORT, or redis://HOST:PORT/DB"


class Shared(RedisExampleDatabase):
    """Examples in a server; whatever goes wrong with it is a ``ToolError``."""

    def __init__(self, server: Redis, name: str) -> None:
        super().__init__(server)
        self.name = name

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """Return what is kept under a key."""
        with self._told():
            return tuple(super().fetch(key))

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example under a key."""
        with self._told():
            super().save(key, value)

    def delete(self, key: bytes, value: bytes) -> None:
        """Keep an example no longer."""
        with self._told():
            super().delete(key, value)

    def move(self, src: bytes, dest: bytes, value: bytes) -> None:
        """Keep an example under another key."""
        with self._told():
            super().move(src, dest, value)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise no_server(self.name, error) from None


def no_server(name: str, error: Exception) -> ToolError:
    """Say that a server does not answer."""
    return ToolError(f"--database: no Redis server answers at {name}: {error}")


def shared(place: str) -> ExampleDatabase:
    """Return the database in a server, which has answered once.

    Raises ``InputError`` for what names none, ``ToolError`` where none answers.
    """
    try:
        parts = urlsplit(place)
        name = f"{parts.hostname}:{parts.port}{parts.path}"  # and not who asks, nor the password
        number = parts.path.removeprefix("/")
        if not (parts.hostname and parts.port) or (number and not number.isascii()) or not (number or "0").isdigit():
            raise ValueError(place)
        server = Redis.from_url(place, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
    except ValueError:
        raise InputError(f"--database: {place!r} names no Redis server", hint=FORM) from None
    try:
        server.ping()
    except RedisError as error:
        raise no_server(name, error) from None
    return Shared(server, name)
