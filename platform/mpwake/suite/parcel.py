"""What a location names, packed so that it can be opened on a machine that has not our files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from mpwake.spec import document
from mpwake.spec.document import Node
from mpwake.spec.errors import InputError
from mpwake.spec.files import read_bounded

LARGEST = 256 << 20
MOST = 1000
_YAML = (".yaml", ".yml")
_OWN = ("mutant", "suite")
_INSIDE = (("location",), ("code", "file"), ("image", "file"), ("platform",), ("target", "location"))
RUNNER = "a program of yours is not sent to other machines"
ABSOLUTE = "an absolute path means another file on another machine"

absolute = os.path.abspath  # a link stays one: what a document names counts from the folder of the link


@attrs.frozen
class Parcel:
    """A location, the absolute path in it if it has one, and path and SHA-256 of each file that it is read from."""

    location: str
    path: str = ""
    files: tuple[tuple[str, str], ...] = ()

    @property
    def digests(self) -> frozenset[str]:
        """What its files are called."""
        return frozenset(digest for _, digest in self.files)


def packed(location: str) -> tuple[Parcel, dict[str, bytes]]:
    """Return a parcel, and the contents of its files by digest. Raises ``InputError`` for what cannot be sent."""
    files, contents = [], {}
    for path in dict.fromkeys(map(absolute, _files(location))):
        data = read_bounded(Path(path), LARGEST)
        digest = hashlib.sha256(data).hexdigest()
        files.append((path, digest))
        contents[digest] = data
    return Parcel(location, absolute(_split(location)[1]) if files else "", tuple(files)), contents


def unpacked(parcel: Parcel, contents: Mapping[str, bytes], folder: Path) -> str:
    """Write the files of a parcel below a folder, each where it was; return the location there."""
    for path, digest in parcel.files:
        there = folder / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(contents[digest])
    if not parcel.files:
        return parcel.location
    return f"{_split(parcel.location)[0]}{folder / parcel.path.lstrip('/')}"


def _split(location: str) -> tuple[str, str]:
    kind, colon, place = location.partition(":")
    return (f"{kind}:", place) if colon and "/" not in kind else ("", location)


def _files(location: str) -> Iterator[str]:
    """Yield the files of a location, itself first."""
    kind, place = _split(location)
    if kind == "runner:":
        raise InputError(RUNNER, location)
    if not place or kind.rstrip(":") in _OWN or (kind == "model:" and not place.endswith(_YAML)):
        return
    if kind == "tables:" and not Path(place).exists():
        return  # a reader of tables, by its name
    if Path(place).is_dir():
        yield from _below(place)
        return
    yield place
    if place.endswith(_YAML) and kind in ("", "scenario:"):
        yield from _named(document.load(Path(place)), Path(place).parent)


def _below(folder: str) -> Iterator[str]:
    found = sorted(str(one) for one in Path(folder).rglob("*") if one.is_file())
    if len(found) > MOST:
        raise InputError(f"more than {MOST} files", folder)
    yield from found


def _named(node: Node, base: Path) -> Iterator[str]:
    """Yield the files that a document names; their paths count from its folder."""
    given = node.value if isinstance(node.value, dict) else {}
    if "kind" in given and given["kind"].value == "runner":
        raise given["kind"].error(RUNNER)
    for keys in _INSIDE:
        at = _at(node, keys)
        if at is not None and isinstance(at.value, str):
            yield from _one(at, str(at.value), base)
    evidence = given.get("evidence")
    for at in evidence.value if evidence is not None and isinstance(evidence.value, list) else ():
        yield from _one(at, str(at.value), base)


def _one(at: Node, text: str, base: Path) -> Iterator[str]:
    kind, place = _split(text)
    if kind == "runner:":
        raise at.error(RUNNER)
    if Path(place).is_absolute():
        raise at.error(f"{place!r} is not sent: {ABSOLUTE}", "write it as it counts from this document")
    if (base / place).exists():
        yield from _files(f"{kind}{base / place}")


def _at(node: Node, keys: tuple[str, ...]) -> Node | None:
    for key in keys:
        value = node.value
        if not isinstance(value, dict) or key not in value:
            return None
        node = value[key]
    return node
