"""What an AP loop declares beside its program, what an observer sees of it, and what a hostile host does."""

from __future__ import annotations

import attrs
import pytest

from mpwake.checks.core import Judgement, find, judge
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Event, Fact, Kind, Region, Trace
from mpwake.model.agent import PAGE
from mpwake.model.environment import (
    Environment,
    Host,
    Landing,
    Mapping,
    Memory,
    Pause,
    Point,
    Tdvmcall,
    landing_facts,
    lives,
    observed,
    poisoned,
    redirected,
    regions,
)
from mpwake.model.probe import agent, paused, probe, trials
from mpwake.spec import document
from mpwake.spec.editions import Edition
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict

RECEIVER = Role.RECEIVER
IN_TURN = "the operating system wakes one processor after the other"

# Declarations

FILE = """\
mailbox: 0x7F5E5000
landing: {segments: {cs: {limit: 0xFFFF}}}
maps:
  - {start: 0, end: 0x1000, access: rx}
regions:
  - {name: loop, start: 0, end: 0x1000, memory: reserved, used: [entry]}
calls:
  - {function: 10, mask: 0xFC00, registers: {rbx: 5}}
"""


def test_an_environment_is_read() -> None:
    one = document.decode(document.parse(FILE, "e.yaml"), Environment)
    assert one.mailbox == 0x7F5E5000
    assert one.landing is not None
    assert one.landing.segments["cs"].limit == 0xFFFF
    assert one.maps == (Mapping(0, 0x1000, "rx"),)
    assert one.regions == (Memory("loop", 0, 0x1000, "reserved", ("entry",)),)
    assert one.calls == (Tdvmcall(10, 0xFC00, registers={"rbx": 5}),)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("access: rx", "access: xr", "4:5", "the access 'xr'"),
        ("start: 0, end: 0x1000, access", "start: 0x1000, end: 0x1000, access", "4:5", "0x1000 to 0x1000 is no range"),
        ("start: 0, end: 0x1000, memory", "start: -1, end: 5, memory", "6:5", "-0x1 to 0x5 is no range"),
        ("[entry]", "[sometimes]", "6:66", "'sometimes' is not a known value"),
        ("rbx: 5", "rbz: 5", "8:5", "no register 'rbz'"),
        ("mailbox:", "mailboks:", "1:1", "unknown key 'mailboks'"),
        ("{limit: 0xFFFF}", "{limit: all}", "2:34", "expected an integer, found 'all'"),
    ],
)
def test_a_mistake_in_an_environment_is_told_with_its_place(old: str, new: str, place: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(InputError) as caught:
        document.decode(document.parse(FILE.replace(old, new), "e.yaml"), Environment)
    assert caught.value.where == f"e.yaml:{place}"
    assert message in caught.value.message


# What is seen

MAPS = (Mapping(0, 0x1000, "rx"), Mapping(0x1000, 0x2000, "rw", to=0x5000), Mapping(0x2000, 0x4000))


@pytest.mark.parametrize(
    ("vector", "mapped", "identity", "executable", "writable"),
    [
        (0xFFF, True, True, True, False),
        (0x1000, True, False, False, True),
        (0x3FFF, True, True, True, True),
        (0x4000, False, False, False, False),
    ],
)
def test_a_landing_tells_of_the_page_of_its_vector(
    vector: int, mapped: bool, identity: bool, executable: bool, writable: bool
) -> None:
    facts = landing_facts(Environment(landing=Landing(), maps=MAPS), vector)
    assert [facts[name] for name in ("mapped", "identity", "executable", "writable")] == [
        mapped,
        identity,
        executable,
        writable,
    ]


def test_what_is_not_declared_is_not_told() -> None:
    assert landing_facts(Environment(), 0) == {}
    assert "mapped" not in landing_facts(Environment(landing=Landing()), 0)
    trace = observed(Environment(), Host(), Trace((0,), (), bytes(PAGE), bytes(PAGE), 0), resettable=True)
    assert (trace.regions, trace.facts) == ((), {})


@pytest.mark.parametrize(
    ("protect", "start", "end", "access"),
    [(True, 0, 0x1000, "rx"), (False, 0, 0x1000, "rwx"), (True, 0x800, 0x1800, "r"), (True, 0x3000, 0x5000, "")],
)
def test_the_access_to_a_region_is_that_of_all_its_pages(protect: bool, start: int, end: int, access: str) -> None:
    around = Environment(
        landing=Landing(write_protect=protect), maps=MAPS, regions=(Memory("m", start, end, "reserved"),)
    )
    assert [one.access for one in regions(around)] == [access]


def test_a_host_that_drops_events_or_refuses_a_call_stops_those_who_need_it() -> None:
    waiting, asking = Environment(halts=True), Environment(calls=(Tdvmcall(10, 0),))
    trusting = Environment(calls=(Tdvmcall(10, 0, status="rax"),))
    assert lives(waiting, Host(), 1)
    assert not lives(waiting, Host(events=False), 1)
    assert [lives(asking, Host(refuses=(2,)), apic) for apic in (1, 2)] == [True, False]
    assert lives(trusting, Host(refuses=(2,)), 2)


def test_what_a_host_writes_before_the_start_stays_in_a_page_that_nobody_initialises() -> None:
    mailbox = Memory("mailbox", 0, PAGE, "acpi-nvs", measured=True)
    assert poisoned(Environment(regions=(mailbox,)), Host())
    assert not poisoned(Environment(regions=(mailbox,)), Host(seeds=True))
    assert poisoned(Environment(regions=(attrs.evolve(mailbox, measured=False),)), Host(seeds=True))


def test_a_trace_carries_the_true_ids_whatever_the_host_says() -> None:
    one = probe("the host tells processors the APIC IDs of others", RECEIVER)
    trace = next(trials(agent("td-shim"), one))
    assert trace.ids == (0, *one.ids)
    assert next((trace.ids[event.agent], event.value) for event in trace.of(Kind.LANDING)) == (2, 0x9A000)


CHANGED = "the host changes every register that a call shows it and that carries no answer"


def test_a_host_moves_who_polls_by_a_register_that_it_may_change() -> None:
    shown, hidden = Tdvmcall(10, 0xFC08, registers={"rbx": 0x5000}), Tdvmcall(10, 0xFC00, registers={"rbx": 0x5000})
    # R13 carries an answer of CPUID, and none of RDMSR.
    answers, other = (Tdvmcall(one, 1 << 13, registers={"r13": 0x5000}) for one in (10, 31))
    around = [Environment(mailbox=0x5000, calls=(one,)) for one in (shown, hidden, answers, other)]
    assert [redirected(one, Host(changes=(1,)), 1) for one in around] == [True, False, False, True]
    assert not redirected(around[0], Host(changes=(2,)), 1)
    assert not redirected(Environment(calls=(shown,)), Host(changes=(1,)), 1)


def test_who_is_moved_polls_the_forged_page_and_lands_in_it() -> None:
    for trace in trials(agent("td-shim"), probe(CHANGED, RECEIVER)):
        own = [one for one in trace.events if one.agent == 2 and one.kind is not Kind.TDCALL]
        assert {one.facts["page"] for one in own} == {0x1802000}
        assert [one.value for one in own if one.kind is Kind.LANDING] == [0x1802800]
        assert [one.facts["changed"] for one in trace.of(Kind.TDCALL)] == ["rdx, rbx, rsi, rdi, r8, r9, r11"] * 2
        assert [one.time for one in trace.events] == sorted(one.time for one in trace.events)


@pytest.mark.parametrize(
    ("after", "place"), [("command", "load"), ("id", "load"), ("vector", "load"), ("acknowledgement", "store")]
)
def test_a_pause_comes_after_what_it_names(after: Point, place: str) -> None:
    program = paused(agent("acpi-6.6"), (Pause(after, 77),)).agent.program
    at = [number for number, one in enumerate(program) if one.delay == 77]
    fields = {"command": "Command", "id": "ApicId", "vector": "WakeupVector", "acknowledgement": "Command"}
    before = [program[number - 1] for number in at]
    assert at
    assert {one.load.from_ if one.load else one.store.to if one.store else "" for one in before} == {fields[after]}
    assert {one.name for one in before} == {place}


def test_a_processor_that_is_held_takes_its_time_and_nothing_else_changes() -> None:
    one = probe("the host holds processors back after their acknowledgements, while others are woken", RECEIVER)
    for trace in trials(agent("acpi-6.6"), one):
        assert [trace.ids[event.agent] for event in trace.of(Kind.LANDING)] in ([3, 2, 1], [3, 1, 2])
        assert {(trace.ids[event.agent], event.value) for event in trace.of(Kind.LANDING)} == {
            (request.id, request.value) for request in one.requests if request.op == "wake"
        }


def test_a_pause_of_no_steps_is_refused() -> None:
    with pytest.raises(InputError, match="a pause of 0 steps"):
        document.decode(document.parse("pauses: [{after: call, steps: 0}]\n", "h.yaml"), Host)


def test_a_request_is_shown_as_it_was_made_when_the_processor_is_lost_by_it() -> None:
    program = agent("acpi-6.6")
    around = attrs.evolve(program.agent.environment, lost_cr4=0x20000)
    lost = attrs.evolve(program, agent=attrs.evolve(program.agent, environment=around))
    one = probe("the operating system sets bits of CR4 before it resets a processor", RECEIVER)
    trace = next(trials(lost, one))
    shown = [(event.target, event.facts["cr4"]) for event in trace.of(Kind.REQUEST) if "cr4" in event.facts]
    assert shown == [(request.id, request.value) for request in one.requests if request.op == "reset"]
    assert len(trace.of(Kind.RESET)) == len(shown) - 1


def test_a_loop_that_polls_elsewhere_is_seen_there_and_never_in_the_published_page() -> None:
    program = agent("acpi-6.6")
    around = attrs.evolve(program.agent.environment, polls=0x5000)
    moved = attrs.evolve(program, agent=attrs.evolve(program.agent, environment=around))
    seen = [event for trace in trials(moved, probe(IN_TURN, RECEIVER)) for event in trace.events if event.agent]
    loads = [event for event in seen if event.kind is Kind.LOAD]
    assert loads
    assert {event.facts.get("page") for event in loads} == {0x5000}
    assert not [event for event in seen if event.kind in (Kind.STORE, Kind.LANDING)]


# Judging

LANDED: dict[str, Fact] = {"paging": True, "mapped": True, "identity": True, "executable": True, "writable": True}
LANDED |= {"write protect": True, "interrupts": False, "long mode": True, "64-bit code": True, "cs base": 0}


def told(
    id: str, *events: Event, edition: Edition = Edition.ACPI_6_6, known: dict[str, Fact] | None = None
) -> Judgement:
    """Judge a trace of these events, with this known of the platform."""
    memory = (Region("mailbox", 0x5000, 0x6000, "acpi-nvs", "rw", private=True, accepted=True, measured=True),)
    facts = {"mailbox": 0x5000, "confidential": True, "calls": 1} | (known or {})
    trace = Trace((0, 1, 2), events, bytes(PAGE), bytes(PAGE), 100, regions=memory, facts=facts)
    return judge(find(id, RECEIVER), Behaviour(lambda *_: (trace,), edition))


def landing(vector: int, **facts: Fact) -> Event:
    """Return a landing at a vector, as it should be but for these facts."""
    return Event(
        9, 1, Kind.LANDING, value=vector, facts=LANDED | {name.replace("_", " "): one for name, one in facts.items()}
    )


def weights(judgement: Judgement) -> set[str]:
    """Return what the bad findings weigh, where that is less than the requirement."""
    return {one.weight.value if one.weight else "" for one in judgement.findings if not one.ok}


def test_a_vector_above_4_gib_that_is_not_mapped_is_a_non_conformance_only_where_acpi_names_no_places() -> None:
    bad = landing(0x100001000, mapped=False)
    high: dict[str, Fact] = {"high memory": True}
    assert weights(told("RCV-13", bad, known=high)) == {"robustness"}
    assert weights(told("RCV-13", bad, known=high, edition=Edition.ACPI_6_5)) == {""}
    assert weights(told("RCV-13", landing(0x9A000, mapped=False), known=high)) == {""}


def test_a_vector_where_there_is_no_memory_is_not_held_against_the_page_tables() -> None:
    assert told("RCV-13", landing(0x100001000, mapped=False)).verdict is Verdict.PASS
    low: dict[str, Fact] = {"low memory": False}
    assert told("RCV-15", landing(0x9A000, mapped=False), landing(0x5010), known=low).verdict is Verdict.PASS
    assert told("RCV-15", landing(0x9A000), landing(0x5010, executable=False), known=low).verdict is Verdict.FAIL


def test_a_read_only_page_is_no_fault_while_the_processor_may_write_it_all_the_same() -> None:
    assert told("TRM-07", landing(0x9A000, writable=False)).verdict is Verdict.FAIL
    assert told("TRM-07", landing(0x9A000, writable=False, write_protect=False)).verdict is Verdict.PASS


def test_fs_and_gs_weigh_less_than_the_other_selectors() -> None:
    assert weights(told("RCV-14", landing(0x9A000, ds_base=16))) == {""}
    assert weights(told("RCV-14", landing(0x9A000, gs_base=16))) == {"robustness"}
    assert told("RCV-14", landing(0x9A000, cs_limit=0xFFFF)).reason.startswith("AP 0x1 has cs limit 0xffff")


def call(**facts: Fact) -> Event:
    """Return a call to the host by the rules, but for these facts."""
    return Event(0, 1, Kind.TDCALL, value=10, facts={"mask": 0xFC00, "r10": 0, "answer": 0, "r11": 10} | facts)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"r10": 5}, "R10 0x5"),
        ({"mask": 0xFC08}, "RBX in the mask"),
        ({"mask": 0xFC20}, "RBP in the mask"),
        ({"mask": 0xFCC0, "rdi": 3}, "RDI not cleared"),
    ],
)
def test_a_call_against_the_rules_is_found(facts: dict[str, Fact], found: str) -> None:
    judgement = told("TDX-06", call(**facts), landing(0x9A000))
    assert judgement.reason.startswith(f"a call with {found}")
    assert told("TDX-06", call(), landing(0x9A000)).verdict is Verdict.PASS


def test_a_register_that_is_not_in_the_mask_leaks_nothing() -> None:
    assert told("RCV-23", call(rbx=0x5008), landing(0x9A000)).verdict is Verdict.PASS
    leak = told("RCV-23", call(rbx=0x5008, mask=0xFC08), landing(0x9A000))
    assert leak.reason == "exposed: RBX 0x5008, in mailbox; expected no pointer"


def test_a_loop_whose_calls_are_not_told_is_not_judged_by_them_and_one_that_makes_none_need_not_be() -> None:
    assert told("TDX-06", landing(0x9A000)).verdict is Verdict.NOT_TESTABLE
    assert told("TDX-06", landing(0x9A000), known={"calls": 0}).verdict is Verdict.NOT_APPLICABLE


def test_who_goes_on_after_a_failed_call_is_found() -> None:
    failed = told("TDX-06", call(answer=1 << 63), landing(0x9A000))
    assert failed.reason.startswith("after the failure AP 0x1 goes on")


def test_a_good_state_of_a_processor_that_did_nothing_is_no_pass() -> None:
    assert told("TDX-07").reason == "no processor was seen to take a command in this trial"
    assert told("MEM-19").verdict is Verdict.INCONCLUSIVE


def test_what_is_wrong_with_a_loop_that_did_nothing_stays_wrong() -> None:
    entry = Event(0, 0, Kind.TABLE, value=0x66666000)
    assert told("MADT-30", entry).verdict is Verdict.FAIL


# Exhibits


def test_a_finding_about_memory_shows_all_of_it_with_the_piece_marked() -> None:
    judgement = told("DT-21", landing(0x9A000), known={"announced": "devicetree"})
    (exhibit,) = judgement.findings[0].exhibits
    assert exhibit.name == "memory of the AP loop"
    assert exhibit.text.startswith("> 0x000005000 to 0x000005fff  mailbox      acpi-nvs  rw   wait")


def test_a_finding_about_the_state_of_a_processor_shows_all_of_it() -> None:
    _, state = told("RCV-11", landing(0x9A000, interrupts=True)).findings[0].exhibits
    assert state.name == "state of AP 0x1"
    assert {line.split("  ")[0]: line.split()[-1] for line in state.text.split("\n")}["interrupts"] == "yes"
