"""Agents in YAML: senders and receivers as small programs. ``docs/model.md`` says what each operation does."""

from __future__ import annotations

import attrs

from mpwake.model.environment import Environment
from mpwake.spec import document
from mpwake.spec.document import Node, described
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role
from mpwake.spec.resources import relative, scenarios

PAGE = 4096
FIELDS: dict[str, tuple[int, int]] = {
    "Command": (0, 2),
    "Reserved": (2, 2),
    "ApicId": (4, 4),
    "WakeupVector": (8, 8),
}
WIDTHS = (1, 2, 4, 8)
CONDITIONS = ("eq", "ne", "lt", "ge")
EMITS = ("warning", "map", "unmap", "ipi", "msr", "free", "note")
MAX_OPERATIONS = 4096


@attrs.frozen
class Span:
    """A byte range of the page."""

    at: int = described("Byte offset in the page")
    width: int = described("Bytes: 1, 2, 4 or 8")

    def __attrs_post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise ValueError(f"a width of {self.width}; expected 1, 2, 4 or 8")
        if not 0 <= self.at <= PAGE - self.width:
            raise ValueError(f"{self.width} bytes at {self.at} do not lie in the page of {PAGE} bytes")


Place = str | Span
Value = int | str


@attrs.frozen
class Load:
    """Read a place into a register."""

    to: str = described("Register")
    from_: Place = described("Field of the mailbox, or {at, width}", key="from")


@attrs.frozen
class Store:
    """Write a value to a place."""

    to: Place = described("Field of the mailbox, or {at, width}")
    value: Value = described("Integer or register")
    release: bool = described("Ordered after every earlier store of the agent", False)


@attrs.frozen
class Swap:
    """Read a place and write it, with nothing in between."""

    to: str = described("Register")
    place: Place = described("Field of the mailbox, or {at, width}")
    value: Value = described("Integer or register")


@attrs.frozen
class Branch:
    """Go to a label, under a condition or always."""

    to: str = described("Label")
    if_: tuple[Value, ...] | None = described("[a, eq|ne|lt|ge, b]; always when it is not given", None, "if")


@attrs.frozen
class Assign:
    """Give a register a value."""

    to: str = described("Register")
    value: Value = described("Integer or register")


@attrs.frozen
class Add:
    """Add a value to a register."""

    to: str = described("Register")
    value: Value = described("Integer or register")
    width: int = described("Bytes that the sum is cut to: 1, 2, 4 or 8", 8)


@attrs.frozen
class Poll:
    """Load a place until it satisfies a condition."""

    from_: Place = described("Field of the mailbox, or {at, width}", key="from")
    until: tuple[Value, ...] = described("[eq|ne|lt|ge, b]")
    to: str = described("Label to go to when it does")
    tries: str | None = described("Register that counts the loads down; for ever when it is not given", None)


@attrs.frozen
class Next:
    """Take the next request of the sender."""

    op: str = described("Register for what is asked")
    target: str = described("Register for the APIC ID")
    vector: str = described("Register for the wakeup vector")
    none: str = described("Label to go to when there is no request")


@attrs.frozen
class WokenTest:
    """Ask whether an APIC ID was woken."""

    id: Value = described("Integer or register")
    to: str = described("Label to go to when it was")


@attrs.frozen
class Emit:
    """Tell of something outside the mailbox."""

    kind: str = described("warning, map, unmap, ipi, msr, free or note")
    value: Value = described("Integer or register")


@attrs.frozen
class Operation:
    """One line of a program: a label, or one operation."""

    label: str | None = described("Name of the place before the next operation", None)
    load: Load | None = described("Read a place", None)
    store: Store | None = described("Write a place", None)
    swap: Swap | None = described("Read a place and write it at once", None)
    branch: Branch | None = described("Go to a label", None)
    set: Assign | None = described("Give a register a value", None)
    add: Add | None = described("Add to a register", None)
    poll: Poll | None = described("Load until a condition holds", None)
    jump: Value | None = described("Leave for the vector", None)
    enter: Value | None = described("Land, while the loop goes on", None)
    next: Next | None = described("Take a request", None)
    return_: Value | None = described("End the request with a code", None, "return")
    woken_test: WokenTest | None = described("Branch on the set of woken APIC IDs", None)
    woken_add: Value | None = described("Add to the set of woken APIC IDs", None)
    woken_remove: Value | None = described("Remove from the set of woken APIC IDs", None)
    emit: Emit | None = described("Tell of something outside the mailbox", None)
    reset: Value | None = described("The landed processor with this APIC ID jumps to ResetVector", None)
    fence: bool | None = described("true: wait until all own stores are visible", None)
    delay: Value | None = described("Do nothing for that many steps", None)
    halt: bool | None = described("true: end", None)
    die: bool | None = described("true: be gone", None)

    def __attrs_post_init__(self) -> None:
        if len(self._given()) != 1:
            raise ValueError(f"a line of a program has exactly one key, not {', '.join(self._given()) or 'none'}")

    def _given(self) -> list[str]:
        return [document.key_of(field) for field in attrs.fields(type(self)) if getattr(self, field.name) is not None]

    @property
    def name(self) -> str:
        """The operation's name, or ``label``."""
        return self._given()[0]


@attrs.frozen
class Agent:
    """A sender or a receiver of the model."""

    name: str = described("Its name: that of its file")
    title: str = described("What it is, in one line")
    role: Role = described("sender or receiver")
    program: tuple[Operation, ...] = described("Its program")
    entry: str | None = described("Label where it begins; the first operation when not given", None)
    park: str | None = described("Label of the loop in which it waits for a command", None)
    reset: str | None = described("Label that ResetVector stands for", None)
    description: str = described("What it stands for", "")
    environment: Environment = described("For a receiver: what is around its loop", Environment())

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The program without its labels."""
        return tuple(one for one in self.program if one.label is None)

    @property
    def labels(self) -> dict[str, int]:
        """Label to the number of the operation after it."""
        found: dict[str, int] = {}
        count = 0
        for one in self.program:
            if one.label is None:
                count += 1
            else:
                found[one.label] = count
        return found


def load_agent(name: str) -> Node:
    """Read the YAML of an agent that comes with the suite, undecoded, so that a mutant can change it."""
    path = scenarios("agents") / f"{name}.yaml"
    if "/" in name or not path.is_file():
        raise InputError(f"no agent {name!r}", hint=did_you_mean(name, agent_names()))
    return document.load(path, relative(path))


def agent_names() -> list[str]:
    """Return the names of the agents that come with the suite."""
    return sorted(path.stem for path in scenarios("agents").glob("*.yaml"))
