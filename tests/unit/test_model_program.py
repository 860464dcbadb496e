"""Compilation of agents: what is refused and where, and the row of each operation."""

from __future__ import annotations

import pytest

from mpwake.model.agent import EMITS, MAX_OPERATIONS, Agent, Assign, Operation
from mpwake.model.program import (
    ALWAYS,
    COLUMNS,
    INDEX,
    REGISTERS,
    SELF,
    Op,
    Program,
    compile_agent,
    compile_node,
    signed,
)
from mpwake.spec.document import parse
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role

HEAD = "name: a\ntitle: An agent\nrole: receiver\n{more}program:\n"
# Registers get their numbers in the order in which the program writes them.
X, Y, Z = 2, 3, 4
WRITES = ("set: {to: x, value: 0}", "set: {to: y, value: 0}", "set: {to: z, value: 0}")


def compiled(*lines: str, more: str = "") -> Program:
    text = HEAD.format(more=more) + "".join(f"  - {line}\n" for line in lines)
    return compile_node(parse(text, "a.yaml"))


def refused(*lines: str, more: str = "") -> InputError:
    with pytest.raises(InputError) as caught:
        compiled(*lines, more=more)
    return caught.value


def row_of(line: str) -> list[int]:
    """Return the row of an operation that may use the registers x, y, z and the label here, at operation 3."""
    row: list[int] = compiled(*WRITES, "label: here", line).code[3].tolist()
    return row


def padded(*row: int) -> list[int]:
    return [*row, *[0] * (COLUMNS - len(row))]


ROWS = [
    ("halt: true", padded(Op.HALT)),
    ("load: {to: y, from: Command}", padded(Op.LOAD, Y, 0, 2)),
    ("load: {to: y, from: Reserved}", padded(Op.LOAD, Y, 2, 2)),
    ("load: {to: y, from: ApicId}", padded(Op.LOAD, Y, 4, 4)),
    ("load: {to: y, from: WakeupVector}", padded(Op.LOAD, Y, 8, 8)),
    ("load: {to: y, from: {at: 4095, width: 1}}", padded(Op.LOAD, Y, 4095, 1)),
    ("store: {to: ApicId, value: 7}", padded(Op.STORE, 4, 4, 0, 7, 0)),
    ("store: {to: {at: 4088, width: 8}, value: z, release: true}", padded(Op.STORE, 4088, 8, 1, Z, 1)),
    ("store: {to: Command, value: self}", padded(Op.STORE, 0, 2, 1, SELF, 0)),
    ("swap: {to: y, place: ApicId, value: x}", padded(Op.SWAP, Y, 4, 4, 1, X)),
    ("swap: {to: x, place: {at: 16, width: 1}, value: 1}", padded(Op.SWAP, X, 16, 1, 0, 1)),
    ("branch: {to: here}", padded(Op.BRANCH, ALWAYS, 0, 0, 0, 0, 3)),
    ("branch: {if: [x, eq, 2], to: here}", padded(Op.BRANCH, 0, 1, X, 0, 2, 3)),
    ("branch: {if: [2, ne, y], to: here}", padded(Op.BRANCH, 1, 0, 2, 1, Y, 3)),
    ("branch: {if: [x, lt, index], to: here}", padded(Op.BRANCH, 2, 1, X, 1, INDEX, 3)),
    ("branch: {if: [1, ge, 2], to: here}", padded(Op.BRANCH, 3, 0, 1, 0, 2, 3)),
    ("set: {to: y, value: z}", padded(Op.SET, Y, 1, Z)),
    ("set: {to: y, value: -1}", padded(Op.SET, Y, 0, -1)),
    ("add: {to: z, value: 1}", padded(Op.ADD, Z, 0, 1, 8)),
    ("add: {to: z, value: y, width: 1}", padded(Op.ADD, Z, 1, Y, 1)),
    ("poll: {from: Command, until: [eq, 0], to: here}", [Op.POLL, 0, 2, 0, 0, 0, 3, -1]),
    ("poll: {from: ApicId, until: [ge, x], to: here, tries: z}", [Op.POLL, 4, 4, 3, 1, X, 3, Z]),
    ("jump: y", padded(Op.JUMP, 1, Y)),
    ("jump: 0", padded(Op.JUMP, 0, 0)),
    ("enter: 0x1000", padded(Op.ENTER, 0, 0x1000)),
    ("next: {op: z, target: y, vector: x, none: here}", padded(Op.NEXT, Z, Y, X, 3)),
    ("return: -5", padded(Op.RETURN, 0, -5)),
    ("woken_test: {id: y, to: here}", padded(Op.WOKEN_TEST, 1, Y, 3)),
    ("woken_add: 9", padded(Op.WOKEN_ADD, 0, 9)),
    ("woken_remove: y", padded(Op.WOKEN_REMOVE, 1, Y)),
    ("reset: 9", padded(Op.RESET, 0, 9)),
    ("fence: true", padded(Op.FENCE)),
    ("delay: 100", padded(Op.DELAY, 0, 100)),
    ("die: true", padded(Op.DIE)),
    *[(f"emit: {{kind: {kind}, value: 3}}", padded(Op.EMIT, at, 0, 3)) for at, kind in enumerate(EMITS)],
]


@pytest.mark.parametrize(("line", "row"), ROWS)
def test_each_operation_has_its_row(line: str, row: list[int]) -> None:
    assert row_of(line) == row


def test_every_operation_is_tried_above() -> None:
    assert {row[0] for _, row in ROWS} == set(Op)


def test_a_program_ends_with_the_halt_that_it_may_run_into() -> None:
    program = compiled("set: {to: x, value: 5}")
    assert program.code.tolist() == [padded(Op.SET, X, 0, 5), padded(Op.HALT)]
    assert (program.code.dtype.name, program.code.shape) == ("int64", (2, COLUMNS))
    assert compile_agent(Agent("a", "", Role.SENDER, ())).code.tolist() == [padded(Op.HALT)]


def test_registers_are_numbered_as_they_are_written_whatever_reads_them_first() -> None:
    program = compiled(
        "store: {to: Command, value: last}",
        "load: {to: first, from: Command}",
        "next: {op: second, target: first, vector: third, none: end}",
        "add: {to: last, value: 1}",
        "label: end",
    )
    assert program.registers == {"self": 0, "index": 1, "first": 2, "second": 3, "third": 4, "last": 5}
    assert program.code[0].tolist() == padded(Op.STORE, 0, 2, 1, 5, 0)


def test_labels_count_operations_only_and_may_stand_at_the_end() -> None:
    more = "entry: second\npark: first\nreset: end\n"
    program = compiled(
        "label: first", "fence: true", "label: second", "label: also", "die: true", "label: end", more=more
    )
    assert (program.entry, program.park, program.reset) == (1, 0, 2)
    assert program.agent.labels == {"first": 0, "second": 1, "also": 1, "end": 2}


def test_without_labels_an_agent_begins_at_its_first_operation_and_has_no_loop_and_no_reset() -> None:
    program = compiled("label: here", "halt: true")
    assert (program.entry, program.park, program.reset) == (0, -1, -1)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        ("0x7fffffffffffffff", (1 << 63) - 1),
        ("0x8000000000000000", -(1 << 63)),
        ("0xffffffffffffffff", -1),
        ("0xfffffffffffffffb", -5),
        ("-9223372036854775808", -(1 << 63)),
        ("-1", -1),
        ("0", 0),
    ],
)
def test_a_constant_is_the_signed_integer_with_its_bits(value: str, bits: int) -> None:
    assert row_of(f"set: {{to: x, value: {value}}}") == padded(Op.SET, X, 0, bits)
    assert signed(int(value, 0)) == bits


@pytest.mark.parametrize("value", ["0x10000000000000000", "-9223372036854775809"])
def test_a_constant_of_more_than_64_bits_is_refused_with_its_place(value: str) -> None:
    error = refused("set: {to: x, value: 0}", f"add: {{to: x, value: {value}}}")
    assert (error.where, error.message) == ("a.yaml:6:5", f"{int(value, 0)} does not fit into 64 bits")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("store: {to: Command, value: vectr}", "the register 'vectr' is used and never written", "'vector'"),
        ("jump: vectr", "the register 'vectr' is used and never written", "'vector'"),
        ("branch: {if: [1, eq, slef], to: here}", "the register 'slef' is used and never written", "'self'"),
        ("poll: {from: Command, until: [eq, 0], to: here, tries: vectr}", "the register 'vectr' is used", "'vector'"),
        ("branch: {to: hero}", "no label 'hero'", "'here'"),
        ("poll: {from: Command, until: [eq, 0], to: hero}", "no label 'hero'", "'here'"),
        ("woken_test: {id: 1, to: hero}", "no label 'hero'", "'here'"),
        ("next: {op: vector, target: vector, vector: vector, none: hero}", "no label 'hero'", "'here'"),
        ("load: {to: vector, from: Comand}", "no field 'Comand'", "'Command'"),
        ("store: {to: wakeupvector, value: 0}", "no field 'wakeupvector'", "'WakeupVector'"),
        ("branch: {if: [1, eqq, 2], to: here}", "no condition 'eqq'", "'eq'"),
        ("branch: {if: [1, 2, 3], to: here}", "no condition 2", "known: eq, ge, lt, ne"),
        ("emit: {kind: warn, value: 0}", "no kind 'warn' of emit", "'warning'"),
    ],
)
def test_a_name_that_is_none_is_told_with_its_place_and_the_nearest_one(line: str, message: str, hint: str) -> None:
    error = refused("label: here", "set: {to: vector, value: 0}", line)
    assert error.where == "a.yaml:7:5"
    assert error.message.startswith(message)
    assert hint in error.hint
    assert hint.startswith("known") or error.hint.startswith("did you mean")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("add: {to: x, value: 1, width: 3}", "a width of 3; expected 1, 2, 4 or 8"),
        ("branch: {if: [1, eq], to: here}", "a branch's condition is [a, eq|ne|lt|ge, b]"),
        ("branch: {if: [], to: here}", "a branch's condition is [a, eq|ne|lt|ge, b]"),
        ("poll: {from: Command, until: [1, eq, 2], to: here}", "a poll's condition is [eq|ne|lt|ge, b]"),
        ("fence: false", "fence: is true or not given"),
        ("halt: false", "halt: is true or not given"),
        ("die: false", "die: is true or not given"),
        ("poll: {from: Command, until: [eq, 0], to: here, tries: self}", "the register 'self' cannot be written"),
    ],
)
def test_a_mistake_in_an_operation_is_told_with_its_place(line: str, message: str) -> None:
    error = refused("label: here", "set: {to: x, value: 0}", line)
    assert (error.where, error.message) == ("a.yaml:7:5", message)


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("load: {to: x, from: {at: 0, width: 3}}", "6:25", "a width of 3; expected 1, 2, 4 or 8"),
        ("load: {to: x, from: {at: 4095, width: 2}}", "6:25", "2 bytes at 4095 do not lie in the page of 4096 bytes"),
        ("load: {to: x, from: {at: -1, width: 1}}", "6:25", "1 bytes at -1 do not lie in the page of 4096 bytes"),
        ("store: {to: {at: 4096, width: 1}, value: 0}", "6:17", "1 bytes at 4096 do not lie in the page of 4096 bytes"),
        ("load: {to: x, from: 4}", "6:25", "expected text or a mapping, found 4"),
        ("{halt: true, die: true}", "6:5", "a line of a program has exactly one key, not halt, die"),
        ("{label: a, fence: true}", "6:5", "a line of a program has exactly one key, not label, fence"),
        ("{}", "6:5", "a line of a program has exactly one key, not none"),
        ("{halt: null}", "6:5", "a line of a program has exactly one key, not none"),
        ("jmp: 0", "6:5", "unknown key 'jmp'"),
        ("jump: true", "6:11", "expected an integer or text, found True"),
        ("store: {value: 0}", "6:12", "the key 'to' is missing"),
    ],
)
def test_what_does_not_decode_is_told_with_the_place_of_the_value(line: str, where: str, message: str) -> None:
    error = refused("label: here", line)
    assert (error.where, error.message) == (f"a.yaml:{where}", message)


@pytest.mark.parametrize(
    "line",
    [
        "load: {to: self, from: Command}",
        "set: {to: self, value: 0}",
        "add: {to: index, value: 1}",
        "next: {op: x, target: self, vector: x, none: here}",
    ],
)
def test_self_and_index_cannot_be_written(line: str) -> None:
    error = refused("label: here", "set: {to: x, value: 0}", line)
    assert error.message in ("the register 'self' cannot be written", "the register 'index' cannot be written")
    assert error.where == "a.yaml:7:5"


FULL = [f"set: {{to: r{number}, value: 0}}" for number in range(REGISTERS - 2)]


def test_an_agent_has_sixteen_registers() -> None:
    assert len(compiled(*FULL).registers) == REGISTERS


def test_an_agent_has_no_more_than_sixteen_registers() -> None:
    error = refused(*FULL, "fence: true", "set: {to: extra, value: 0}")
    assert (error.where, error.message) == (f"a.yaml:{5 + REGISTERS - 1}:5", "more than 16 registers")


def test_a_label_stands_once() -> None:
    error = refused("label: here", "fence: true", "label: here")
    assert error.where == "a.yaml:7:5"
    assert "the label 'here' is given twice" in str(error)


@pytest.mark.parametrize("key", ["entry", "park", "reset"])
def test_a_label_that_an_agent_begins_or_waits_at_must_stand_in_its_program(key: str) -> None:
    error = refused("label: here", "halt: true", more=f"{key}: hero\n")
    assert (error.message, error.hint) == ("no label 'hero'", "did you mean 'here'?")
    assert error.where.startswith("a.yaml:4:")


def test_without_places_an_error_names_the_agent() -> None:
    with pytest.raises(InputError) as caught:
        compile_agent(Agent("acpi-6.6", "", Role.RECEIVER, (Operation(jump="vector"),)))
    assert caught.value.where == "acpi-6.6"


def test_a_program_has_a_bounded_length() -> None:
    one = Operation(set=Assign("x", 0))
    assert len(compile_agent(Agent("a", "", Role.SENDER, (one,) * MAX_OPERATIONS)).code) == MAX_OPERATIONS + 1
    with pytest.raises(InputError, match="4097 operations, more than 4096"):
        compile_agent(Agent("a", "", Role.SENDER, (one,) * (MAX_OPERATIONS + 1)))
