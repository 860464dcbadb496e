"""Programs as integer arrays: what the step function runs.

A row is ``op, a, b, c, d, e, f, g``. An operand takes two columns, a kind (0 constant, 1 register) and a value; 64-bit
constants stand as signed integers with the same bits. ``docs/model.md`` says what each operation does.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import attrs
import numpy as np
import numpy.typing as npt

from mpwake.model.agent import CONDITIONS, EMITS, FIELDS, MAX_OPERATIONS, WIDTHS, Agent, Operation, Place, Span, Value
from mpwake.spec.document import Node, decode
from mpwake.spec.errors import InputError, did_you_mean
from mpwake.spec.requirements import Role

COLUMNS = 8
REGISTERS = 16
SELF, INDEX = 0, 1
CONSTANT, REGISTER = 0, 1
Row = list[int]
Code = npt.NDArray[np.int64]


class Op(enum.IntEnum):
    """Operation codes, and the columns of their rows."""

    HALT = 0  #
    LOAD = 1  # register, offset, width
    STORE = 2  # offset, width, kind, value, release
    BRANCH = 3  # condition (4: always), kind, value, kind, value, target
    SET = 4  # register, kind, value
    ADD = 5  # register, kind, value, width
    POLL = 6  # offset, width, condition, kind, value, target, tries register or -1
    JUMP = 7  # kind, value
    NEXT = 8  # op register, target register, vector register, target, whether there are requests for the agent
    RETURN = 9  # kind, value
    WOKEN_TEST = 10  # kind, value, target
    WOKEN_ADD = 11  # kind, value
    WOKEN_REMOVE = 12  # kind, value
    EMIT = 13  # number of the kind, kind, value
    RESET = 14  # kind, value
    FENCE = 15  #
    DELAY = 16  # kind, value
    DIE = 17  #
    ENTER = 18  # kind, value
    SWAP = 19  # register, offset, width, kind, value


ALWAYS = len(CONDITIONS)


@attrs.frozen(eq=False)
class Program:
    """A compiled agent: its rows, and where it begins, waits, and comes back to after a reset (-1: nowhere)."""

    agent: Agent
    code: Code
    entry: int
    park: int
    reset: int
    registers: dict[str, int]


def signed(value: int) -> int:
    """Return the signed 64-bit integer with the low 64 bits of ``value``."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


class _Compiler:
    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.labels: dict[str, int] = {}
        self.registers = {"self": SELF, "index": INDEX}
        self.where = agent.name

    def fail(self, message: str, hint: str = "") -> InputError:
        return InputError(message, self.where, hint)

    def place(self, place: Place) -> Row:
        if isinstance(place, Span):
            return [place.at, place.width]
        if place not in FIELDS:
            raise self.fail(f"no field {place!r}", did_you_mean(place, FIELDS))
        return list(FIELDS[place])

    def written(self, name: str) -> int:
        if name in ("self", "index"):
            raise self.fail(f"the register {name!r} cannot be written")
        if name not in self.registers:
            if len(self.registers) == REGISTERS:
                raise self.fail(f"more than {REGISTERS} registers")
            self.registers[name] = len(self.registers)
        return self.registers[name]

    def operand(self, value: Value) -> Row:
        if isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 64:
                raise self.fail(f"{value} does not fit into 64 bits")
            return [CONSTANT, signed(value)]
        if value not in self.registers:
            raise self.fail(f"the register {value!r} is used and never written", did_you_mean(value, self.registers))
        return [REGISTER, self.registers[value]]

    def label(self, name: str) -> int:
        if name not in self.labels:
            raise self.fail(f"no label {name!r}", did_you_mean(name, self.labels))
        return self.labels[name]

    def condition(self, word: Value) -> int:
        if word not in CONDITIONS:
            raise self.fail(f"no condition {word!r}", did_you_mean(str(word), CONDITIONS))
        return CONDITIONS.index(str(word))

    def width(self, width: int) -> int:
        if width not in WIDTHS:
            raise self.fail(f"a width of {width}; expected 1, 2, 4 or 8")
        return width


def _load(c: _Compiler, one: Operation) -> Row:
    assert one.load
    return [Op.LOAD, c.written(one.load.to), *c.place(one.load.from_)]


def _store(c: _Compiler, one: Operation) -> Row:
    assert one.store
    return [Op.STORE, *c.place(one.store.to), *c.operand(one.store.value), int(one.store.release)]


def _swap(c: _Compiler, one: Operation) -> Row:
    assert one.swap
    return [Op.SWAP, c.written(one.swap.to), *c.place(one.swap.place), *c.operand(one.swap.value)]


def _branch(c: _Compiler, one: Operation) -> Row:
    assert one.branch
    if one.branch.if_ is None:
        return [Op.BRANCH, ALWAYS, 0, 0, 0, 0, c.label(one.branch.to)]
    if len(one.branch.if_) != 3:
        raise c.fail("a branch's condition is [a, eq|ne|lt|ge, b]")
    left, word, right = one.branch.if_
    return [Op.BRANCH, c.condition(word), *c.operand(left), *c.operand(right), c.label(one.branch.to)]


def _set(c: _Compiler, one: Operation) -> Row:
    assert one.set
    value = c.operand(one.set.value)
    return [Op.SET, c.written(one.set.to), *value]


def _add(c: _Compiler, one: Operation) -> Row:
    assert one.add
    value = c.operand(one.add.value)
    return [Op.ADD, c.written(one.add.to), *value, c.width(one.add.width)]


def _poll(c: _Compiler, one: Operation) -> Row:
    assert one.poll
    if len(one.poll.until) != 2:
        raise c.fail("a poll's condition is [eq|ne|lt|ge, b]")
    word, right = one.poll.until
    tries = -1
    if one.poll.tries is not None:
        c.operand(one.poll.tries)
        tries = c.written(one.poll.tries)
    return [Op.POLL, *c.place(one.poll.from_), c.condition(word), *c.operand(right), c.label(one.poll.to), tries]


def _next(c: _Compiler, one: Operation) -> Row:
    assert one.next
    registers = [c.written(name) for name in (one.next.op, one.next.target, one.next.vector)]
    return [Op.NEXT, *registers, c.label(one.next.none), int(c.agent.role is Role.SENDER)]


def _woken_test(c: _Compiler, one: Operation) -> Row:
    assert one.woken_test
    return [Op.WOKEN_TEST, *c.operand(one.woken_test.id), c.label(one.woken_test.to)]


def _emit(c: _Compiler, one: Operation) -> Row:
    assert one.emit
    if one.emit.kind not in EMITS:
        raise c.fail(f"no kind {one.emit.kind!r} of emit", did_you_mean(one.emit.kind, EMITS))
    return [Op.EMIT, EMITS.index(one.emit.kind), *c.operand(one.emit.value)]


def _of_value(op: Op, attribute: str) -> Callable[[_Compiler, Operation], Row]:
    return lambda c, one: [op, *c.operand(getattr(one, attribute))]


def _of_nothing(op: Op, attribute: str) -> Callable[[_Compiler, Operation], Row]:
    def row(c: _Compiler, one: Operation) -> Row:
        if getattr(one, attribute) is not True:
            raise c.fail(f"{attribute}: is true or not given")
        return [op]

    return row


ROWS: dict[str, Callable[[_Compiler, Operation], Row]] = {
    "load": _load,
    "store": _store,
    "swap": _swap,
    "branch": _branch,
    "set": _set,
    "add": _add,
    "poll": _poll,
    "jump": _of_value(Op.JUMP, "jump"),
    "enter": _of_value(Op.ENTER, "enter"),
    "next": _next,
    "return": _of_value(Op.RETURN, "return_"),
    "woken_test": _woken_test,
    "woken_add": _of_value(Op.WOKEN_ADD, "woken_add"),
    "woken_remove": _of_value(Op.WOKEN_REMOVE, "woken_remove"),
    "emit": _emit,
    "reset": _of_value(Op.RESET, "reset"),
    "fence": _of_nothing(Op.FENCE, "fence"),
    "delay": _of_value(Op.DELAY, "delay"),
    "halt": _of_nothing(Op.HALT, "halt"),
    "die": _of_nothing(Op.DIE, "die"),
}


def _names(c: _Compiler, lines: Sequence[tuple[Operation, str]]) -> None:
    # Labels and registers first, in the order of the program, so that a loop may use what stands further down.
    count = 0
    for one, c.where in lines:
        count += one.label is None
        if one.label is not None:
            if one.label in c.labels:
                raise c.fail(f"the label {one.label!r} is given twice")
            c.labels[one.label] = count
        for record in (one.load, one.swap, one.set, one.add):
            if record:
                c.written(record.to)
        for name in (one.next.op, one.next.target, one.next.vector) if one.next else ():
            c.written(name)


def compile_agent(agent: Agent, places: Mapping[str | int, str] = MappingProxyType({})) -> Program:
    """Compile an agent; ``places`` tells where in its file a line of the program (by number) or a key stands.

    Raises ``InputError`` for a name that is none, or a program that is too long.
    """
    c = _Compiler(agent)
    lines = [(one, places.get(number, agent.name)) for number, one in enumerate(agent.program)]
    operations = [(one, where) for one, where in lines if one.label is None]
    if len(operations) > MAX_OPERATIONS:
        raise c.fail(f"{len(operations)} operations, more than {MAX_OPERATIONS}")
    _names(c, lines)
    code = np.zeros((len(operations) + 1, COLUMNS), dtype=np.int64)
    for number, (one, c.where) in enumerate(operations):
        row = ROWS[one.name](c, one)
        code[number, : len(row)] = row
    starts = {}
    for key, name in (("entry", agent.entry), ("park", agent.park), ("reset", agent.reset)):
        c.where = places.get(key, agent.name)
        starts[key] = -1 if name is None else c.label(name)
    return Program(agent, code, max(0, starts["entry"]), starts["park"], starts["reset"], dict(c.registers))


def compile_node(node: Node) -> Program:
    """Decode and compile; a mistake in the program is told with file, line and column."""
    agent = decode(node, Agent)
    places: dict[str | int, str] = {name: item.where for name, item in node.value.items()}
    places |= {number: item.where for number, item in enumerate(node.value["program"].value)}
    return compile_agent(agent, places)
