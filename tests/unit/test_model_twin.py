"""The twin, told by hand: what each agent sees, in which order, and what is left behind."""

from __future__ import annotations

import attrs
import pytest

from mpwake.model.agent import EMITS, PAGE, Agent
from mpwake.model.twin import DEAD, HALTED, LANDED, RUNNING, Effect, Memory, Twin
from mpwake.spec.document import decode, parse
from mpwake.spec.requirements import Role

NONE, IMPOSSIBLE = Effect("none"), Effect("impossible")
MASK = (1 << 64) - 1
TWO_MEMORIES = pytest.mark.parametrize("memory", ["tso", "relaxed"])

RECEIVER = """
  - label: park
  - load: {to: command, from: Command}
  - branch: {if: [command, ne, 1], to: park}
  - load: {to: id, from: ApicId}
  - branch: {if: [id, ne, self], to: park}
  - load: {to: vector, from: WakeupVector}
  - store: {to: Command, value: 0}
  - jump: vector
"""
SENDER = """
  - label: idle
  - next: {op: op, target: target, vector: vector, none: end}
  - woken_test: {id: target, to: busy}
  - store: {to: ApicId, value: target}
  - store: {to: WakeupVector, value: vector}
  - store: {to: Command, value: 1, release: true}
  - poll: {from: Command, until: [eq, 0], to: taken}
  - label: taken
  - woken_add: target
  - return: 0
  - branch: {to: idle}
  - label: busy
  - return: -16
  - branch: {to: idle}
  - label: end
"""


def agent(program: str, more: str = "") -> Agent:
    """Return an agent from the YAML of its program."""
    text = f"name: a\ntitle: An agent\nrole: receiver\n{more}program:{program}"
    return decode(parse(text, "a.yaml"), Agent)


def lines(*operations: str) -> str:
    return "".join(f"\n  - {one}" for one in operations)


def alone(*operations: str, memory: Memory = "sc", page: bytes = bytes(PAGE), more: str = "") -> Twin:
    """Return a machine with one agent, whose APIC ID is 9."""
    return Twin([agent(lines(*operations), more)], [9], [], memory, page)


def steps(twin: Twin, *actions: int) -> list[Effect]:
    return [twin.step(0, action) for action in actions]


def run(twin: Twin, one: int, count: int = 200) -> list[Effect]:
    """Carry out up to ``count`` operations of one agent, until it runs no more; drop the effects that are none."""
    effects = [twin.step(one, 0) for _ in range(count) if twin.status[one] == RUNNING]
    return [effect for effect in effects if effect != NONE]


def settle(twin: Twin, one: int) -> list[Effect]:
    """Make all stores of an agent visible, in their order."""
    return [twin.step(one, 1) for _ in range(len(twin.buffers[one]))]


def test_one_ap_is_woken_and_the_other_goes_on_waiting() -> None:
    receiver = agent(RECEIVER)
    twin = Twin([agent(SENDER), receiver, receiver], [0, 4, 6], [(1, 6, 0xFFFF0000)], "sc")
    sent = [twin.step(0, 0) for _ in range(6)]
    assert sent == [
        Effect("request", value=1),
        NONE,
        Effect("visible", 4, 4, 6),
        Effect("visible", 8, 8, 0xFFFF0000),
        Effect("visible", 0, 2, 1),
        Effect("load", 0, 2, 1),
    ]
    assert run(twin, 1, 5) == [Effect("load", 0, 2, 1), Effect("load", 4, 4, 6), Effect("load", 0, 2, 1)]
    assert run(twin, 2) == [
        Effect("load", 0, 2, 1),
        Effect("load", 4, 4, 6),
        Effect("load", 8, 8, 0xFFFF0000),
        Effect("visible", 0, 2, 0),
        Effect("landing", value=0xFFFF0000),
    ]
    assert run(twin, 0) == [Effect("load", 0, 2, 0), Effect("return", value=0)]
    assert twin.status == [HALTED, RUNNING, LANDED]
    assert (twin.woken, twin.position) == ({6}, 1)
    assert twin.page[:16] == bytes.fromhex("0000 0000 06000000 0000ffff00000000")
    assert twin.registers[2] == {"self": 6, "index": 2, "command": 1, "id": 6, "vector": 0xFFFF0000}


def test_a_second_request_for_a_woken_processor_is_refused() -> None:
    twin = Twin([agent(SENDER), agent(RECEIVER)], [0, 4], [(1, 4, 8), (1, 4, 9)], "sc")
    for _ in range(6):
        twin.step(0, 0)
    run(twin, 1)
    codes = [effect.value for effect in run(twin, 0) if effect.kind == "return"]
    assert codes == [0, MASK - 15]
    assert (twin.woken, twin.position, twin.status[0]) == ({4}, 2, HALTED)


def test_the_state_of_a_new_machine() -> None:
    twin = Twin(
        [agent(lines("label: a", "halt: true", "label: b", "set: {to: x, value: 7}"), "entry: b\n")], [-1], [], "sc"
    )
    assert (twin.pc, twin.status, twin.wait, twin.buffers) == ([1], [RUNNING], [0], [[]])
    assert twin.registers == [{"self": MASK, "index": 0, "x": 0}]
    assert (twin.page, twin.woken, twin.position) == (bytearray(PAGE), set(), 0)
    with pytest.raises(ValueError, match="zip"):
        Twin(twin.agents, [1, 2], [], "sc")


@TWO_MEMORIES
def test_a_load_takes_each_byte_from_the_newest_own_store_that_holds_it(memory: Memory) -> None:
    twin = alone(
        "store: {to: WakeupVector, value: 0x1122334455667788}",
        "store: {to: {at: 10, width: 1}, value: 0xaa}",
        "load: {to: within, from: {at: 9, width: 2}}",
        "load: {to: across, from: {at: 7, width: 2}}",
        "load: {to: behind, from: {at: 15, width: 2}}",
        "load: {to: all, from: WakeupVector}",
        memory=memory,
        page=b"\xee" * PAGE,
    )
    effects = steps(twin, 0, 0, 0, 0, 0, 0)
    assert effects[:2] == [Effect("store", 8, 8, 0x1122334455667788), Effect("store", 10, 1, 0xAA)]
    assert effects[2:] == [
        Effect("load", 9, 2, 0xAA77),
        Effect("load", 7, 2, 0x88EE),
        Effect("load", 15, 2, 0xEE11),
        Effect("load", 8, 8, 0x1122334455AA7788),
    ]
    assert twin.registers[0]["across"] == 0x88EE
    assert twin.page == b"\xee" * PAGE


@TWO_MEMORIES
def test_a_wide_load_joins_a_narrow_store_with_the_page(memory: Memory) -> None:
    twin = alone(
        "store: {to: {at: 11, width: 2}, value: 0xffff1234}",
        "load: {to: x, from: WakeupVector}",
        memory=memory,
        page=bytes(range(16)) + bytes(PAGE - 16),
    )
    assert steps(twin, 0, 0) == [Effect("store", 11, 2, 0x1234), Effect("load", 8, 8, 0x0F0E0D12340A0908)]
    assert settle(twin, 0) == [Effect("visible", 11, 2, 0x1234)]
    assert twin.page[8:16] == bytes.fromhex("08090a 3412 0d0e0f")


@TWO_MEMORIES
def test_nobody_else_sees_a_buffered_store(memory: Memory) -> None:
    watcher = agent(lines("label: top", "load: {to: x, from: Command}", "branch: {to: top}"))
    twin = Twin([agent(lines("store: {to: Command, value: 1}")), watcher], [0, 1], [], memory)
    twin.step(0, 0)
    assert twin.step(1, 0) == Effect("load", 0, 2, 0)
    assert twin.actions(0) == [0, 1]
    assert twin.step(0, 1) == Effect("visible", 0, 2, 1)
    assert [twin.step(1, 0), twin.step(1, 0)] == [NONE, Effect("load", 0, 2, 1)]


THREE_STORES = (
    "store: {to: ApicId, value: 7}",
    "store: {to: WakeupVector, value: 8}",
    "store: {to: Command, value: 1, release: true}",
)


def test_under_tso_stores_become_visible_in_their_order() -> None:
    twin = alone(*THREE_STORES, memory="tso")
    steps(twin, 0, 0, 0)
    assert twin.actions(0) == [0, 1]
    assert steps(twin, 2, 3) == [IMPOSSIBLE, IMPOSSIBLE]
    assert [effect.offset for effect in settle(twin, 0)] == [4, 8, 0]


def test_a_relaxed_store_overtakes_and_a_release_waits_for_all_before_it() -> None:
    twin = alone(*THREE_STORES, memory="relaxed")
    steps(twin, 0, 0, 0)
    assert twin.buffers == [[(4, 4, 7, False), (8, 8, 8, False), (0, 2, 1, True)]]
    assert twin.actions(0) == [0, 1, 2]
    assert steps(twin, 3, 2, 2) == [IMPOSSIBLE, Effect("visible", 8, 8, 8), IMPOSSIBLE]
    assert steps(twin, 1, 1) == [Effect("visible", 4, 4, 7), Effect("visible", 0, 2, 1)]


def test_a_relaxed_store_after_a_release_overtakes_it() -> None:
    twin = alone("store: {to: Command, value: 1, release: true}", "store: {to: ApicId, value: 7}", memory="relaxed")
    assert steps(twin, 0, 0, 2) == [Effect("store", 0, 2, 1), Effect("store", 4, 4, 7), Effect("visible", 4, 4, 7)]


@pytest.mark.parametrize(("at", "width", "action"), [(7, 1, 2), (7, 2, None), (15, 1, None), (16, 1, 2), (8, 8, None)])
def test_a_relaxed_store_never_overtakes_one_that_shares_a_byte(at: int, width: int, action: int | None) -> None:
    twin = alone(
        "store: {to: WakeupVector, value: 0}",
        f"store: {{to: {{at: {at}, width: {width}}}, value: 1}}",
        memory="relaxed",
    )
    steps(twin, 0, 0)
    assert twin.actions(0) == ([0, 1, action] if action else [0, 1])


def test_without_a_buffer_a_store_is_visible_at_once() -> None:
    twin = alone("store: {to: Command, value: -2, release: true}", "fence: true")
    assert steps(twin, 0, 1, 0) == [Effect("visible", 0, 2, 0xFFFE), IMPOSSIBLE, NONE]
    assert twin.page[:3] == b"\xfe\xff\0"
    assert (twin.pc, twin.buffers) == ([2], [[]])


@TWO_MEMORIES
def test_a_fence_waits_until_the_own_stores_are_visible_and_for_no_others(memory: Memory) -> None:
    program = agent(lines("store: {to: Command, value: 1}", "fence: true", "die: true"))
    twin = Twin([program, program], [0, 1], [], memory)
    for one in (0, 1, 0, 0, 1):
        twin.step(one, 0)
    assert twin.pc == [1, 1]
    assert twin.step(0, 1) == Effect("visible", 0, 2, 1)
    assert [twin.step(0, 0), twin.step(1, 0)] == [NONE, NONE]
    assert twin.pc == [2, 1]


@TWO_MEMORIES
def test_a_swap_waits_as_a_fence_does_and_is_seen_at_once(memory: Memory) -> None:
    program = agent(lines("store: {to: ApicId, value: 7}", "swap: {to: was, place: ApicId, value: 0x100000009}"))
    twin = Twin([program, program], [0, 1], [], memory)
    assert steps(twin, 0, 0) == [Effect("store", 4, 4, 7), NONE]
    assert twin.step(0, 1) == Effect("visible", 4, 4, 7)
    assert twin.step(0, 0) == Effect("visible", 4, 4, 9)
    assert (twin.registers[0]["was"], twin.pc[0], twin.buffers[0]) == (7, 2, [])
    assert twin.page[4:8] == b"\x09\0\0\0"


def test_requests_are_for_all_agents_in_the_role_of_a_sender() -> None:
    other = attrs.evolve(agent(SENDER), role=Role.SENDER)
    twin = Twin([agent(SENDER), agent(SENDER), other], [0, 1, 2], [(1, 6, 0), (1, 4, 0)], "sc")
    assert [twin.step(one, 0).kind for one in (1, 2, 0)] == ["none", "request", "request"]
    assert twin.position == 2


@TWO_MEMORIES
def test_the_ninth_store_waits_for_a_place_in_the_buffer(memory: Memory) -> None:
    twin = alone("label: top", "store: {to: Command, value: 1}", "branch: {to: top}", memory=memory)
    steps(twin, *[0] * 16)
    assert len(twin.buffers[0]) == 8
    assert steps(twin, 0, 0) == [NONE, NONE]
    assert (twin.pc, len(twin.buffers[0])) == ([0], 8)
    assert steps(twin, 1, 0) == [Effect("visible", 0, 2, 1), Effect("store", 0, 2, 1)]


@TWO_MEMORIES
@pytest.mark.parametrize(("end", "status"), [("jump: 1", LANDED), ("halt: true", HALTED), ("die: true", DEAD)])
def test_a_store_becomes_visible_after_its_agent_has_ended(memory: Memory, end: str, status: int) -> None:
    twin = alone("store: {to: Command, value: 1}", end, memory=memory)
    steps(twin, 0, 0)
    assert (twin.status, twin.pc) == ([status], [1])
    assert twin.actions(0) == [1]
    assert steps(twin, 0, 1, 1) == [IMPOSSIBLE, Effect("visible", 0, 2, 1), IMPOSSIBLE]


def test_an_agent_halts_behind_its_last_operation() -> None:
    twin = alone("return: 1")
    assert steps(twin, 0, 0, 0) == [Effect("return", value=1), NONE, IMPOSSIBLE]
    assert (twin.pc, twin.status, twin.actions(0)) == ([1], [HALTED], [])


def test_a_poll_goes_on_when_the_condition_holds_and_stays_while_it_does_not() -> None:
    sender = agent(lines("store: {to: Command, value: 5}"))
    poller = agent(lines("poll: {from: Command, until: [ge, 5], to: end}", "die: true", "label: end", "halt: true"))
    twin = Twin([sender, poller], [0, 1], [], "sc")
    assert [twin.step(1, 0) for _ in range(3)] == [Effect("load", 0, 2, 0)] * 3
    twin.step(0, 0)
    assert twin.step(1, 0) == Effect("load", 0, 2, 5)
    assert twin.pc[1] == 2


POLL_WITH_TRIES = (
    "poll: {from: Command, until: [ne, 0], to: end, tries: left}",
    "die: true",
    "label: end",
    "halt: true",
)


def test_a_poll_with_tries_gives_up_at_the_load_that_counts_to_zero() -> None:
    twin = alone("set: {to: left, value: 3}", *POLL_WITH_TRIES)
    steps(twin, 0, 0, 0)
    assert (twin.pc, twin.registers[0]["left"]) == ([1], 1)
    assert steps(twin, 0) == [Effect("load", 0, 2, 0)]
    assert (twin.pc, twin.registers[0]["left"]) == ([2], 0)
    steps(twin, 0)
    assert twin.status == [DEAD]


def test_a_poll_counts_no_load_that_satisfies_it_and_counts_from_zero_for_ever() -> None:
    twin = alone("set: {to: left, value: 1}", *POLL_WITH_TRIES, page=b"\1".ljust(PAGE, b"\0"))
    steps(twin, 0, 0)
    assert (twin.pc, twin.registers[0]["left"]) == ([3], 1)
    twin = alone("set: {to: left, value: 0}", *POLL_WITH_TRIES)
    steps(twin, 0, 0)
    assert (twin.pc, twin.registers[0]["left"]) == ([1], MASK)


def test_the_set_of_woken_ids_is_one_for_all_agents() -> None:
    asking = agent(lines("woken_test: {id: -1, to: end}", "die: true", "label: end"))
    changing = agent(lines("woken_add: 0xffffffffffffffff", "woken_add: -1", "woken_remove: -1", "woken_remove: 3"))
    twin = Twin([changing, asking, asking], [0, 1, 2], [], "sc")
    assert [twin.step(0, 0), twin.step(0, 0)] == [NONE, NONE]
    assert twin.woken == {MASK}
    twin.step(1, 0)
    twin.step(0, 0)
    twin.step(0, 0)
    twin.step(2, 0)
    assert (twin.woken, twin.pc) == (set(), [4, 2, 1])


LANDS = agent(lines("set: {to: x, value: 5}", "jump: 0x1000", "label: back", "return: x"), "reset: back\n")
RESETS = agent(lines("reset: 4", "reset: 4", "halt: true"))


def test_a_landed_processor_comes_back_at_its_reset_label_with_its_registers() -> None:
    twin = Twin([RESETS, LANDS], [4, 4], [], "sc")
    assert twin.step(0, 0) == NONE  # it has not landed yet
    assert [twin.step(1, 0), twin.step(1, 0), twin.step(1, 0)] == [NONE, Effect("landing", value=0x1000), IMPOSSIBLE]
    assert (twin.status[1], twin.pc[1]) == (LANDED, 1)
    assert twin.step(0, 0) == Effect("reset", value=4, number=1)
    assert (twin.status, twin.pc) == ([RUNNING, RUNNING], [2, 2])
    assert twin.step(1, 0) == Effect("return", value=5)


def test_of_two_processors_with_one_apic_id_the_first_comes_back_and_then_the_second() -> None:
    twin = Twin([RESETS, LANDS, LANDS], [0, 4, 4], [], "sc")
    for one in (2, 2, 1, 1):
        twin.step(one, 0)
    assert twin.step(0, 0) == Effect("reset", value=4, number=1)
    assert twin.status[1:] == [RUNNING, LANDED]
    assert twin.step(0, 0) == Effect("reset", value=4, number=2)
    assert twin.status[1:] == [RUNNING, RUNNING]


def test_a_processor_without_a_reset_label_stays_where_it_landed() -> None:
    twin = Twin([RESETS, agent(lines("jump: 1")), LANDS], [0, 4, 4], [], "sc")
    for one in (1, 2, 2):
        twin.step(one, 0)
    assert twin.step(0, 0) == NONE  # nor does another with its id come back in its place
    assert twin.status[1:] == [LANDED, LANDED]


@TWO_MEMORIES
def test_a_buffered_store_outlives_a_reset(memory: Memory) -> None:
    stores = agent(lines("label: top", "store: {to: Command, value: 3}", "jump: 1"), "reset: top\n")
    twin = Twin([RESETS, stores], [0, 4], [], memory)
    for one in (1, 1, 0, 1):
        twin.step(one, 0)
    assert [store[:3] for store in twin.buffers[1]] == [(0, 2, 3), (0, 2, 3)]


def test_an_agent_that_enters_tells_of_a_landing_and_goes_on() -> None:
    twin = alone("enter: 0x1000", "fence: true")
    assert steps(twin, 0, 0) == [Effect("landing", value=0x1000), NONE]
    assert (twin.status, twin.pc) == ([RUNNING], [2])


def test_a_delay_is_a_step_and_then_as_many_steps_of_nothing() -> None:
    twin = alone("delay: 2", "return: 1")
    assert steps(twin, 0) == [NONE]
    assert (twin.pc, twin.wait) == ([1], [2])
    assert steps(twin, 0, 0, 0) == [NONE, NONE, Effect("return", value=1)]


@TWO_MEMORIES
def test_a_store_becomes_visible_while_its_agent_waits(memory: Memory) -> None:
    twin = alone("store: {to: Command, value: 1}", "delay: 1", "halt: true", memory=memory)
    assert steps(twin, 0, 0, 1) == [Effect("store", 0, 2, 1), NONE, Effect("visible", 0, 2, 1)]
    assert twin.wait == [1]


@pytest.mark.parametrize(
    ("start", "value", "width", "total"),
    [
        (0xFF, 1, 1, 0),
        (0xFF, 2, 1, 1),
        (0x1FF, 0, 1, 0xFF),
        (0, -1, 1, 0xFF),
        (0xFFFF, 1, 2, 0),
        (0xFFFFFFFF, 1, 4, 0),
        (0xFFFFFFFF, 1, 8, 1 << 32),
        (-1, 1, 8, 0),
        (0, -1, 8, MASK),
    ],
)
def test_a_sum_is_cut_to_its_width(start: int, value: int, width: int, total: int) -> None:
    twin = alone(f"set: {{to: x, value: {start}}}", f"add: {{to: x, value: {value}, width: {width}}}")
    assert steps(twin, 0, 0) == [NONE, NONE]
    assert twin.registers[0]["x"] == total


@pytest.mark.parametrize(
    ("left", "word", "right", "holds"),
    [
        (1, "eq", 1, True),
        (1, "ne", 1, False),
        (1, "lt", 2, True),
        (2, "ge", 2, True),
        (-1, "lt", 0, False),
        (-1, "ge", "0x7fffffffffffffff", True),
        (-1, "eq", "0xffffffffffffffff", True),
        ("self", "eq", 9, True),
        ("index", "lt", "self", True),
    ],
)
def test_conditions_are_unsigned(left: int | str, word: str, right: int | str, holds: bool) -> None:
    twin = alone(f"branch: {{if: [{left}, {word}, {right}], to: end}}", "die: true", "label: end")
    assert steps(twin, 0) == [NONE]
    assert twin.pc == [2 if holds else 1]


def test_a_request_has_its_three_values_in_registers_and_none_changes_nothing() -> None:
    asking = agent(
        lines("label: top", "next: {op: a, target: b, vector: c, none: end}", "branch: {to: top}", "label: end")
    )
    twin = Twin([asking], [0], [(-1, 2, 3)], "sc")
    assert steps(twin, 0) == [Effect("request", value=MASK)]
    assert (twin.registers[0]["a"], twin.registers[0]["b"], twin.registers[0]["c"]) == (MASK, 2, 3)
    assert steps(twin, 0, 0) == [NONE, NONE]
    assert (twin.pc, twin.position, twin.registers[0]["a"]) == ([2], 1, MASK)


@pytest.mark.parametrize("kind", EMITS)
def test_an_emit_tells_the_number_of_its_kind(kind: str) -> None:
    twin = alone(f"emit: {{kind: {kind}, value: self}}")
    assert steps(twin, 0) == [Effect("emit", value=9, number=EMITS.index(kind))]


def test_an_action_that_there_is_none_of_changes_nothing() -> None:
    twin = alone("store: {to: Command, value: 1}", memory="relaxed")
    assert steps(twin, 1, 2, -1, 100) == [IMPOSSIBLE] * 4
    assert (twin.pc, twin.page) == ([0], bytearray(PAGE))
