"""AP loops in machine code, on the processors of the firmware target, judged by the checks of the receiver role."""

from __future__ import annotations

import random

import pytest

from mpwake.checks.core import CHECKS, Judgement, checks_of, find, judge
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import SENDER, Kind, Trace
from mpwake.model.probe import Probe, Request, probe
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.firmware.drive import Trial, trials
from mpwake.targets.firmware.stage import bare_stage
from mpwake.targets.firmware.tdx import Tdx
from support.machine_code import CONFORMING, assemble, changed

RECEIVER = Role.RECEIVER
IN_TURN = "the operating system wakes one processor after the other"
ACK = "66 c7 03 00 00         ; mov word [rbx], 0\nff e0"


def behaviour(code: bytes) -> Behaviour:
    stage = bare_stage(code, 8)
    return Behaviour(lambda sentence, seed: tuple(trials(stage, probe(sentence, RECEIVER), seed)))


def judged(code: bytes, *ids: str) -> list[Judgement]:
    loop = behaviour(code)
    return [judge(find(one, RECEIVER), loop) for one in ids]


def first(code: bytes, sentence: str = IN_TURN, strict: bool = True) -> Trace:
    return Trial(bare_stage(code, 8), probe(sentence, RECEIVER), Tdx(strict), 0).run()


def test_a_loop_that_conforms_fails_nothing() -> None:
    loop = behaviour(assemble(CONFORMING))
    found = {one.id: judge(one, loop) for (_, role), one in CHECKS.items() if role is RECEIVER}
    assert {id: one.reason for id, one in found.items() if one.verdict is Verdict.FAIL} == {
        "RCV-13": "the vector 0x100001000 above 4 GiB is not mapped (4 times of 24); "
        "expected mapped to itself and executable",
        "TDX-05": "AP 0x2 lands at 0x9a000, another's vector; expected none on another's command",
    }
    assert not [id for id, one in found.items() if one.verdict is Verdict.INCONCLUSIVE]
    passed = {id for id, one in found.items() if one.verdict is Verdict.PASS}
    assert passed >= {
        "RCV-01",
        "RCV-07",
        "RCV-09",
        "RCV-11",
        "RCV-12",
        "RCV-14",
        "RCV-23",
        "MEM-06",
        "MEM-19",
        "ORD-05",
    }
    assert passed >= {"ORD-07", "ORD-10", "DUP-07", "RST-10", "RST-11", "RST-15", "TDX-06"}


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        pytest.param([("tdcall", "66 0f 01 cc\nfb")], "RCV-11", id="interrupts-on"),
        pytest.param([("mov rax, [rbx + 8]", "8b 43 08")], "RCV-05 MEM-11", id="half-a-vector"),
        pytest.param([("xor r10d, r10d", "41 ba 01 00 00 00")], "TDX-06", id="r10-not-zero"),
        pytest.param([("mov ecx, 0xfc00", "b9 08 fc 00 00")], "RCV-23 TDX-06", id="rbx-shown"),
        pytest.param([("cmp eax, 2", "83 f8 07")], "RST-10 RST-15", id="no-test"),
        pytest.param(
            [("cmp eax, 1", "85 c0"), ("je wake", "75 >wake"), ("cmp word [rbx], 1", "39 c0")],
            "RCV-10",
            id="any-command",
        ),
        pytest.param([("pause", "f4")], "RCV-22", id="waits-for-events"),
        pytest.param([("movzx eax", "8b 03 90")], "ORD-07", id="reads-four-bytes"),
        pytest.param(
            [("movzx eax", "0f b6 03"), ("cmp word [rbx], 1", "80 3b 01")], "MEM-08 ORD-07", id="reads-one-byte"
        ),
        pytest.param([("test r10, r10", "48 85 c0")], "TDX-06", id="looks-in-rax"),
    ],
)
def test_a_mutant_is_caught_by_what_it_breaks(changes: list[tuple[str, str]], ids: str) -> None:
    for id, one in zip(ids.split(), judged(changed(*changes), *ids.split()), strict=True):
        assert one.verdict is Verdict.FAIL, (id, one.reason)


@pytest.mark.parametrize(
    ("old", "new", "ids"),
    [
        pytest.param(ACK, ACK.replace("66 c7 03 00 00", "48 c7 03 00 00 00 00"), "RCV-09 MEM-06 ORD-10", id="wide-ack"),
        pytest.param(ACK, "48 c7 43 08 00 00 00 00\nff e0", "RCV-06 RCV-08 MEM-06", id="clears-the-vector"),
        pytest.param(ACK, "ff e0", "RCV-06 RCV-08", id="no-ack"),
        pytest.param(
            "48 8b 43 08            ; mov rax, [rbx + 8]\n" + ACK,
            "66 c7 03 00 00\nf3 90\n48 8b 43 08\nff e0",
            "RCV-07 ORD-05 ORD-09",
            id="ack-before-the-vector",
        ),
        pytest.param(
            "wake:\n44 39 7b 04            ; cmp [rbx + 4], r15d",
            "wake:\n44 38 7b 04",
            "MEM-10",
            id="one-byte-of-the-id",
        ),
        pytest.param(
            "wake:\n44 39 7b 04            ; cmp [rbx + 4], r15d\n75 >park               ; jne park",
            "wake:",
            "RCV-02 RCV-03",
            id="takes-all",
        ),
    ],
)
def test_a_mutant_of_several_lines_is_caught_too(old: str, new: str, ids: str) -> None:
    assert CONFORMING.count(old) == 1
    for id, one in zip(ids.split(), judged(assemble(CONFORMING.replace(old, new)), *ids.split()), strict=True):
        assert one.verdict is Verdict.FAIL, (id, one.reason)


def test_a_trace_tells_widths_values_and_the_instruction_of_each_access() -> None:
    trace = first(assemble(CONFORMING))
    own = [one for one in trace.events if one.agent == 1 and one.kind in (Kind.LOAD, Kind.STORE, Kind.LANDING)]
    wake = [(one.kind.value, one.offset, one.width, one.value) for one in own[-6:]]
    assert wake == [
        ("load", 0, 2, 1),
        ("load", 4, 4, 1),
        ("load", 0, 2, 1),
        ("load", 8, 8, 0x9A000),
        ("store", 0, 2, 0),
        ("landing", 0, 0, 0x9A000),
    ]
    assert all(one.facts["rip"] in trace.listing for one in own)
    assert trace.listing[int(own[-2].facts["rip"])].endswith("mov word ptr [rbx], 0")
    assert trace.memory == "sc"
    assert not trace.spent


def test_the_state_at_the_vector_is_read_from_the_processor() -> None:
    landing = first(assemble(CONFORMING)).of(Kind.LANDING)[0]
    names = ("interrupts", "long mode", "64-bit code", "paging", "write protect", "mapped", "identity", "executable")
    assert [landing.facts[name] for name in names] == [False, True, True, True, True, True, True, True]
    assert (landing.facts["ds base"], landing.facts["ds limit"]) == (0, 0xFFFFFFFF)


CHANGED = "the host changes every register that a call shows it and that carries no answer"
BY_RBX = ("mov ecx, 0xfc00", "b9 08 fc 00 00         ; mov ecx, 0xfc08")


def judged_by(code: bytes, id: str, when: str) -> Judgement:
    (one,) = (one for one in checks_of(id, RECEIVER) if one.when.sentence == when)
    return judge(one, behaviour(code))


def test_a_host_that_may_write_rbx_has_the_processor_poll_and_land_where_it_likes() -> None:
    trace = first(changed(BY_RBX), CHANGED)
    own = [one for one in trace.events if one.agent == 1]
    assert next(one.facts["changed"] for one in own if one.kind is Kind.TDCALL) == "rbx, r11"
    assert {one.facts["page"] for one in own if one.kind in (Kind.LOAD, Kind.STORE)} == {0x1801000}
    assert [one.value for one in own if one.kind is Kind.LANDING] == [0x1801800]
    judgement = judged_by(changed(BY_RBX), "TDX-06", CHANGED)
    assert judgement.reason.startswith("AP 0x1 polls the host's page at 0x1801000 and lands at 0x1801800")
    wrong = next(one for one in judgement.findings if not one.ok)
    assert any("movzx eax, word ptr [rbx]" in one.text and "> 0x7f5e60" in one.text for one in wrong.exhibits)


def test_a_host_that_may_write_its_answers_only_moves_nobody() -> None:
    trace = first(assemble(CONFORMING), CHANGED)
    assert {one.facts["changed"] for one in trace.of(Kind.TDCALL)} == {"r11"}
    assert judged_by(assemble(CONFORMING), "TDX-06", CHANGED).verdict is Verdict.PASS


BEFORE_ACK = "the host holds a processor back at its call, and between its load of the vector and its acknowledgement"
AFTER_ACK = "the host holds processors back after their acknowledgements, while others are woken"
AFTER_COMMAND = "the host holds processors back after each load of Command, while one is tested and others are woken"


def test_a_processor_is_held_where_the_probe_says() -> None:
    trace = first(assemble(CONFORMING), BEFORE_ACK)
    own = [one for one in trace.events if one.agent == 2]
    call, vector, ack = (
        next(one.time for one in own if found(one))
        for found in (
            lambda one: one.kind is Kind.TDCALL,
            lambda one: one.kind is Kind.LOAD and one.offset == 8,
            lambda one: one.kind is Kind.STORE,
        )
    )
    polls = next(one.time for one in own if one.kind is Kind.LOAD)
    assert polls - call >= 2000
    assert ack - vector >= 2000
    assert [one.value for one in trace.of(Kind.RETURN)] == [0, 0, 0, 0]
    assert not trace.spent


def test_who_is_held_after_its_acknowledgement_is_overtaken() -> None:
    trace = first(assemble(CONFORMING), AFTER_ACK)
    assert [trace.ids[one.agent] for one in trace.of(Kind.LANDING)] == [3, 2, 1]


# After the acknowledgement has been delayed, a processor that finds the command of another clears it.
TAKES_BACK = CONFORMING.replace(
    "wake:\n44 39 7b 04            ; cmp [rbx + 4], r15d\n75 >park               ; jne park",
    "wake:\n44 39 7b 04            ; cmp [rbx + 4], r15d\n74 >mine\nff c6\n81 fe 00 02 00 00\n75 >park\n"
    "31 f6\n66 c7 03 00 00\neb >park\nmine:",
)
# The vector goes through a word behind the OS section, that all processors share.
SHARED = CONFORMING.replace(
    "66 c7 03 00 00         ; mov word [rbx], 0\nff e0",
    "48 89 83 20 08 00 00\n66 c7 03 00 00\nf3 90\n48 8b 83 20 08 00 00\nff e0",
)
# Command is not read again after ApicId.
ONCE = CONFORMING.replace("66 83 3b 01            ; cmp word [rbx], 1\n75 >park               ; jne park\n", "")


@pytest.mark.parametrize(
    ("text", "id", "when"),
    [(TAKES_BACK, "RCV-03", BEFORE_ACK), (SHARED, "RCV-07", AFTER_ACK), (ONCE, "ORD-04", AFTER_COMMAND)],
    ids=["takes-back", "shared-word", "command-once"],
)
def test_what_a_delay_shows_is_found(text: str, id: str, when: str) -> None:
    assert text != CONFORMING
    assert judged_by(assemble(text), id, when).verdict is Verdict.FAIL
    assert judged_by(assemble(CONFORMING), id, when).verdict is Verdict.PASS


def test_a_seed_is_a_schedule() -> None:
    stage = bare_stage(assemble(CONFORMING), 8)
    one, two, three = (Trial(stage, probe(IN_TURN, RECEIVER), Tdx(), seed).run() for seed in (1, 1, 2))
    assert one == two
    assert one != three


def test_both_hosts_are_played_when_a_call_breaks_a_rule() -> None:
    good, bad = assemble(CONFORMING), changed(("xor r10d, r10d", "41 ba 01 00 00 00"))
    hosts = [[one.facts["host"] for one in behaviour(code).trials(IN_TURN)] for code in (good, bad)]
    assert hosts == [["strict"] * 4, ["strict"] * 4 + ["lenient"] * 4]
    landed = {one.facts["host"]: len(one.of(Kind.LANDING)) for one in behaviour(bad).trials(IN_TURN)}
    assert landed == {"strict": 0, "lenient": 3}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0f 0b", "#UD: 0f 0b 45 31 is no instruction of this machine, in loop+0xf"),
        ("48 8b 04 25 00 00 00 40", "a load of 8 bytes at 0x40000000, which it was not given, in loop+0xf"),
        ("48 89 04 25 00 00 00 40", "a store of 8 bytes at 0x40000000, which it was not given, in loop+0xf"),
        ("48 8b 06", "#GP, in loop+0xf"),
        ("48 b8 00 00 00 00 80 00 00 00 48 8b 00", "#PF at 0x8000000000, in loop+0x19"),
    ],
)
def test_a_processor_that_cannot_go_on_says_why(line: str, fault: str) -> None:
    trace = first(changed(("xor r14d", line)))
    assert {one.note for one in trace.of(Kind.EMIT)} == {fault}
    assert not trace.of(Kind.LANDING)


ONE_OF_THREE = "the operating system wakes one processor of three"


def test_a_loop_that_counts_while_it_polls_is_judged() -> None:
    trace = first(changed(("pause", "48 ff c2")), ONE_OF_THREE)
    assert not trace.spent
    assert [one.value for one in trace.of(Kind.RETURN)] == [0, 0]


def test_a_loop_that_never_rests_is_stopped_by_the_budget() -> None:
    code = changed(("pause", "ff 83 00 08 00 00"))
    assert first(code, ONE_OF_THREE).spent
    (judgement,) = judged(code, "RCV-03")
    assert (judgement.verdict, judgement.reason) == (
        Verdict.INCONCLUSIVE,
        "a trial was not finished within its budget",
    )


def test_code_that_changes_itself_is_carried_out_as_it_is_then() -> None:
    # The byte after mov word [rbx], imm16 is made 0: what stood there was an acknowledgement with 1.
    patch = "c6 05 >patched 00\n66 0f 01 cc"
    code = bytearray(changed(("tdcall", patch.replace(">patched", "00 00 00 00"))))
    at = code.rindex(bytes.fromhex("66c7030000")) + 3
    code[at] = 1
    start = code.index(bytes.fromhex("c60500000000"))
    code[start + 2 : start + 6] = (at - start - 7).to_bytes(4, "little")
    trace = first(bytes(code))
    assert {one.value for one in trace.stores() if one.agent != SENDER} == {0}
    assert len(trace.of(Kind.LANDING)) == 3


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([("pause", "31 c0\n31 c9\n31 d2\n0f 01 c8\n0f 01 c9")], id="monitor-mwait"),
        pytest.param([("tdcall", "b9 02 08 00 00\n0f 32\n41 89 c7\n45 31 d2")], id="rdmsr-802"),
    ],
)
def test_other_ways_to_wait_and_to_know_oneself(lines: list[tuple[str, str]]) -> None:
    assert len(first(changed(*lines)).of(Kind.LANDING)) == 3


def test_a_processor_learns_its_id_from_cpuid() -> None:
    # mov rsi, rbx; mov eax, 0xb; xor ecx, ecx; cpuid, which writes RBX; mov r15d, edx; mov rbx, rsi; xor r10d, r10d
    own = "48 89 de\nb8 0b 00 00 00\n31 c9\n0f a2\n41 89 d7\n48 89 f3\n45 31 d2"
    trace = first(changed(("tdcall", own)), "the operating system wakes them in another order, with sparse APIC IDs")
    assert [trace.ids[one.agent] for one in trace.of(Kind.LANDING)] == [0x1FF, 4, 0x80000001, 2]
    assert trace.facts["calls"] == 0


def resettable(code: bytes) -> Behaviour:
    stage = bare_stage(code, 8, reset=0)
    return Behaviour(lambda sentence, seed: tuple(trials(stage, probe(sentence, RECEIVER), seed)))


def test_a_processor_that_is_reset_polls_again() -> None:
    loop = resettable(assemble(CONFORMING))
    for id in ("RST-08", "RST-13", "RST-17"):
        assert judge(find(id, RECEIVER), loop).verdict is Verdict.PASS, id
    judgement = judge(find("RST-19", RECEIVER), loop)
    assert (judgement.verdict, judgement.reason) == (
        Verdict.NOT_TESTABLE,
        "the target does not tell which bits of CR4 were set",
    )


def lost(code: bytes, seeds: int) -> int:
    one = probe("the operating system tests one processor and wakes the next, over and over", RECEIVER)
    stage = bare_stage(code, 8)
    runs = (Trial(stage, one, Tdx(), seed).run() for seed in range(seeds))
    return sum(len(one.ids) - len(trace.of(Kind.LANDING)) for trace in runs)


def test_a_test_for_one_is_not_joined_with_a_wakeup_for_the_next() -> None:
    # Command is read, then ApicId, and in between the Test was answered and the Wakeup of this processor sent: it
    # answers as if it had been tested. No landing is wrong, and one is missing.
    once = CONFORMING
    for line in ("66 83 3b 02", "66 83 3b 01"):
        before, _, after = once.partition(line)
        once = before + after.partition("jne park")[2].lstrip()
    assert lost(assemble(CONFORMING), 8) == 0
    assert lost(assemble(once), 8) > 0


# mov rax, cr4; bts eax, 17; mov cr4, rax; mov rax, cr0; btr eax, 31; mov cr0, rax
CLEARS_PG = "0f 20 e0\n0f ba e8 11\n0f 22 e0\n0f 20 c0\n0f ba f0 1f\n0f 22 c0\n31 c0"


def test_paging_is_not_turned_off_while_pcide_is_set() -> None:
    trace = first(changed(("xor eax, eax", CLEARS_PG)))
    (note,) = {one.note for one in trace.of(Kind.EMIT)}
    assert note.startswith("#GP: it clears CR0.PG while CR4.PCIDE is set, in loop+")


def test_sixty_four_processors_are_woken_in_any_order() -> None:
    ids = tuple(range(1, 65))
    order = random.Random(1).sample(ids, 64)
    requests = (*(Request("wake", one, 0x9A000) for one in order), Request("settle", 0, 100))
    trace = Trial(bare_stage(assemble(CONFORMING), 64), Probe("many", ids, requests), Tdx(), 0).run()
    assert not trace.spent
    assert [trace.ids[one.agent] for one in trace.of(Kind.LANDING)] == order
