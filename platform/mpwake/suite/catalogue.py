"""What the feature files hold: every scenario, its requirement ids and its role.

Read with a few lines of our own rather than with behave's parser, because ``list`` and ``explain`` must answer at
once; a test holds the two readings together.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from mpwake.spec.requirements import ID, Role
from mpwake.spec.resources import relative, suite_root

_KEYWORD = re.compile(r"(Feature|Rule|Background|Scenario Outline|Scenario|Examples):\s*(.*)")
_STEP = re.compile(r"(Given|When|Then|And|But|\*) (.*)")
SYSTEMS = "systems"
ROLES = {role.value: role for role in Role}


@attrs.frozen
class Scenario:
    """One scenario as written. ``steps`` are (keyword, sentence), those of the background first."""

    name: str
    feature: str
    file: str
    line: int
    tags: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The requirement ids among its tags."""
        return tuple(tag for tag in self.tags if ID.fullmatch(tag))

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles among its tags."""
        return tuple(ROLES[tag] for tag in self.tags if tag in ROLES)

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"

    @property
    def system(self) -> str:
        """The platform that its feature is about and that alone it judges, or "" where it judges whatever there is."""
        path = Path(self.file)
        return path.stem if path.parent.name == SYSTEMS else ""

    @property
    def chapter(self) -> str:
        """The folder under ``features/``."""
        return Path(self.file).parent.name


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.feature = ""
        self.feature_tags: tuple[str, ...] = ()
        self.tags: list[str] = []
        self.background: list[tuple[str, str]] = []
        self.steps: list[tuple[str, str]] | None = None
        self.scenario: Scenario | None = None

    def line(self, number: int, text: str) -> Iterator[Scenario]:
        keyword, step = _KEYWORD.fullmatch(text), _STEP.fullmatch(text)
        if text.startswith("@"):
            self.tags += [tag.lstrip("@") for tag in text.split()]
        elif keyword:
            yield from self.keyword(number, keyword[1], keyword[2])
        elif step and self.steps is not None:
            self.steps.append((step[1], step[2]))

    def keyword(self, number: int, word: str, name: str) -> Iterator[Scenario]:
        yield from self.close()
        if word == "Feature":
            self.feature, self.feature_tags = name, tuple(self.tags)
        elif word == "Background":
            self.steps = self.background
        elif word.startswith("Scenario"):
            tags = tuple(dict.fromkeys((*self.feature_tags, *self.tags)))
            self.scenario = Scenario(name, self.feature, self.file, number, tags, ())
            self.steps = []
        self.tags = []

    def close(self) -> Iterator[Scenario]:
        if self.scenario is not None:
            yield attrs.evolve(self.scenario, steps=(*self.background, *(self.steps or ())))
        self.scenario = self.steps = None


def read_feature(path: Path) -> tuple[Scenario, ...]:
    """Return the scenarios of one feature file, in order."""
    reader = _Reader(relative(path))
    found: list[Scenario] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found += reader.line(number, text.strip())
    return (*found, *reader.close())


@functools.cache
def scenarios() -> tuple[Scenario, ...]:
    """Return every scenario of the suite, by file and line."""
    paths = sorted((suite_root() / "features").rglob("*.feature"))
    return tuple(one for path in paths for one in read_feature(path))


def of_requirement(requirement_id: str, role: Role | None = None) -> tuple[Scenario, ...]:
    """Return the scenarios that judge a requirement, in one role or in all."""
    return tuple(one for one in scenarios() if requirement_id in one.ids and (role is None or role in one.roles))
