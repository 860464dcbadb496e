"""From what was seen of a machine to a trace, by recordings made by hand: what is told, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpwake.checks.core import Judgement, Unjudged, checks_of, judge
from mpwake.checks.giveback import PANIC, POWER_OFF, RESTART, VERSION_0
from mpwake.checks.ipi import ABSENT
from mpwake.checks.sender import IN_TURN, NEVER, TWICE
from mpwake.checks.trampoline import FIVE_LEVELS, LEFT, NO_NXE, ONE_PAGE
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.compose import compose
from mpwake.evidence.trace import ACTIONS, SENDER, Kind, Trace
from mpwake.model.probe import probes
from mpwake.model.situation import situation, situations
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets.kernel.console import code_of, pairs, read_line
from mpwake.targets.kernel.evidence import trace_of
from mpwake.targets.kernel.image import read_image
from mpwake.targets.kernel.open import Driver, action_words, key_of
from mpwake.targets.kernel.recording import Entry, Fault, Recording, Seen
from mpwake.targets.kernel.situate import FIRST_STAND_IN, IDS, Trial, parkings, trial

PAGE, VECTOR = 0x7F5E5000, 0x9A100
IDLE = bytes(4) + b"\xff" * 4 + bytes(4088)
BOOTED = ("Linux version 9.9.9 (somebody)", "smp: Bringing up secondary CPUs ...")
MARK = "mpwake:"


def line(text: str, level: int = 6) -> Seen:
    return Seen("line", -1, 0.0, text=f"<{level}>[    0.100000] {text}")


def own(text: str) -> Seen:
    return line(f"{MARK} {text}", 12)


def access(what: str, apic: int, offset: int, width: int, value: int, times: int = 1) -> Seen:
    assert what in ("load", "store")
    return Seen("load" if what == "load" else "store", apic, 0.0, offset, width, value, page=PAGE, times=times)


def wake(apic: int, vector: int = VECTOR) -> Iterator[Seen]:
    """One start as Linux makes it, and a processor that keeps to ACPI."""
    yield access("store", 0, 4, 4, apic)
    yield access("store", 0, 8, 8, vector)
    yield access("store", 0, 0, 2, 1)
    yield access("load", 0, 0, 2, 1, 7)
    yield access("store", apic, 0, 2, 0)
    yield Seen("jump", apic, 0.0, value=vector)
    yield access("load", 0, 0, 2, 0)


def recorded(*parts: Seen, trial_: Trial | None = None, **changes: object) -> Recording:
    table = (trial_ or trial(IN_TURN)).tables.madt
    page = bytearray(IDLE)
    for one in parts:
        if one.what == "store" and one.page == PAGE and one.offset + one.width <= len(page):
            page[one.offset : one.offset + one.width] = one.value.to_bytes(one.width, "little")
    madt = table.data if table else b""
    return attrs.evolve(Recording(parts, "mark", IDLE, bytes(page), madt), **changes)


def boot(*ids: int, announced: bool = True) -> list[Seen]:
    """A boot that starts processors in turn, to its last line."""
    seen = [line(text) for text in BOOTED]
    for number, apic in enumerate(ids, 1):
        seen += [line(f"smpboot: ++++++++++++++++++++=_---CPU UP  {number}", 7)] * announced
        seen += wake(apic)
    seen.append(line(f"smp: Brought up 1 node, {len(ids) + 1} CPUs"))
    names = " ".join(f"{number}={apic:#x}" for number, apic in enumerate((0, *ids)))
    return [*seen, own(f"cpus {names}"), own("known "), own(f"present {len(ids) + 1}")]


def judged(id: str, trace: Trace) -> Judgement:
    behaviour = Behaviour(lambda _sentence, _seed: (trace,), follows=frozenset({"linux"}), boots=True)
    return judge(checks_of(id, Role.SENDER)[0], behaviour)


GOOD = trace_of(recorded(*boot(*IDS)), trial(IN_TURN))


@pytest.mark.parametrize("announced", [True, False])
def test_starts_are_told_with_whom_they_are_for_and_what_they_come_to(announced: bool) -> None:
    trace = trace_of(recorded(*boot(*IDS, announced=announced)), trial(IN_TURN))
    asked = [(one.value, one.target, one.vector) for one in trace.of(Kind.REQUEST)]
    assert asked == [(ACTIONS["online"], apic, VECTOR) for apic in IDS]
    assert [one.value for one in trace.of(Kind.RETURN)] == [0, 0, 0]
    assert [(one.value, one.facts["boot"]) for one in trace.of(Kind.CPU)] == [
        (0, True),
        *((apic, False) for apic in IDS),
    ]
    assert [one.value for one in trace.of(Kind.ALIVE)] == list(IDS)
    assert [(one.note, one.value) for one in trace.of(Kind.METHOD)] == [("mailbox", PAGE)]
    assert [one.time for one in trace.events] == sorted(one.time for one in trace.events)


@pytest.mark.parametrize(
    "id", ["SND-01", "SND-03", "SND-04", "SND-06", "SND-08", "ORD-01", "ORD-06", "MEM-05", "MEM-09"]
)
def test_a_bring_up_that_keeps_to_acpi_passes(id: str) -> None:
    assert judged(id, GOOD).verdict is Verdict.PASS


def command_first(seen: list[Seen]) -> list[Seen]:
    at = next(number for number, one in enumerate(seen) if one.what == "store" and one.offset == 4)
    return [*seen[:at], seen[at + 2], *seen[at : at + 2], *seen[at + 3 :]]


def eight_bytes(seen: list[Seen]) -> list[Seen]:
    at = next(number for number, one in enumerate(seen) if one.what == "store" and one.offset == 4)
    return [*seen[:at], seen[at + 1], access("store", 0, 0, 8, seen[at].value << 32 | 1), *seen[at + 3 :]]


def in_firmwares_half(seen: list[Seen]) -> list[Seen]:
    return [*seen, access("store", 0, 0x7FC, 4, 1), access("store", 0, 0x800, 4, 1)]


def wrong_id(seen: list[Seen]) -> list[Seen]:
    return [attrs.evolve(one, value=0x77) if one.what == "store" and one.offset == 4 else one for one in seen]


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("SND-01", command_first),
        ("ORD-01", command_first),
        ("SND-06", eight_bytes),
        ("MEM-05", in_firmwares_half),
        ("SND-04", wrong_id),
        ("SND-08", wrong_id),
    ],
)
def test_a_mistake_of_a_kernel_is_seen(id: str, change: object) -> None:
    assert callable(change)
    broken = trace_of(recorded(*change(boot(*IDS))), trial(IN_TURN))
    assert judged(id, broken).verdict is Verdict.FAIL


def test_a_kernel_that_waits_for_ever_is_stuck_and_not_cut_off() -> None:
    first = trial(NEVER).numbers[1]
    polls = [*boot()[:2], *list(wake(first))[:4]]
    trace = trace_of(recorded(*polls, end="budget"), trial(NEVER))
    assert (trace.stuck, trace.spent) == (True, False)
    assert judged("TMO-03", trace).verdict is Verdict.PASS
    assert judged("TMO-06", trace).verdict is Verdict.PASS


def test_a_boot_that_ran_out_of_time_elsewhere_is_inconclusive() -> None:
    trace = trace_of(recorded(*boot(*IDS)[:-4], end="budget"), trial(IN_TURN))
    assert (trace.stuck, trace.spent) == (False, True)
    assert judged("SND-01", trace).verdict is Verdict.INCONCLUSIVE


def test_a_kernel_that_says_nothing_passes_nothing() -> None:
    silent = trace_of(recorded(), trial(IN_TURN))
    every = {id for id, role in _every() if judged(id, silent).verdict is Verdict.PASS}
    assert every == set()


def _every() -> Iterator[tuple[str, Role]]:
    from mpwake.checks.core import CHECKS

    yield from ((id, role) for id, role in CHECKS if role is Role.SENDER)


def test_an_action_has_the_code_that_init_tells() -> None:
    refused = [own("do off 1"), own("off 1 -> 1 sh: write error: Operation not supported")]
    again = [own("do on 1"), own("on 1 -> 0")]
    trace = trace_of(recorded(*boot(*IDS[:2]), *refused, *again), trial(TWICE))
    last = [(one.kind, one.value, one.target) for one in trace.events if one.kind in (Kind.REQUEST, Kind.RETURN)][-4:]
    assert last == [
        (Kind.REQUEST, ACTIONS["offline"], IDS[0]),
        (Kind.RETURN, -95, 0),
        (Kind.REQUEST, ACTIONS["online"], IDS[0]),
        (Kind.RETURN, 0, 0),
    ]
    assert judged("DUP-04", trace).verdict is Verdict.NOT_APPLICABLE


def test_a_start_that_fails_has_the_code_that_the_kernel_tells() -> None:
    failed = [line(text) for text in BOOTED]
    failed += [line("smpboot: do_boot_cpu failed(-95) to wakeup CPU#1", 3)]
    trace = trace_of(recorded(*failed), trial(IN_TURN))
    assert [one.value for one in trace.of(Kind.RETURN)] == [-95]
    assert [one.target for one in trace.of(Kind.REQUEST)] == [IDS[0]]


def test_the_table_that_a_kernel_has_changed_is_told_when_init_reads_it() -> None:
    here = trial(VERSION_0)
    assert here.tables.madt
    table = here.tables.madt.data
    at = here.tables.madt.wakeups[0].entry.offset + 8
    erased = table[:at] + bytes(8) + table[at + 8 :]
    seen = [*boot(1, 2, 3), own(f"madt {erased.hex()}"), own("do off 1")]
    trace = trace_of(recorded(*seen, trial_=here, madt=erased), here)
    (change,) = trace.of(Kind.TABLE)
    assert (change.offset, change.width, change.value) == (at, 8, 0)
    assert change.facts["checksum"] == sum(erased) & 0xFF
    assert trace.events.index(change) < trace.events.index(trace.of(Kind.REQUEST)[-1])


def test_a_second_kernel_begins_where_the_first_has_left() -> None:
    trace = trace_of(recorded(*boot(*IDS), own("do kexec"), *boot()), trial(IN_TURN))
    assert [(one.value, one.note) for one in trace.of(Kind.KERNEL)] == [(1, ""), (1, "leaves"), (2, "")]


def test_a_processor_of_the_kernel_is_the_operating_system_until_it_is_given_back() -> None:
    late = [access("store", IDS[0], 4, 4, IDS[1]), Seen("reset", IDS[0], 0.0), access("store", IDS[0], 0, 2, 0)]
    trace = trace_of(recorded(*boot(*IDS), *late), trial(IN_TURN))
    assert [one.agent for one in trace.stores()[-2:]] == [SENDER, 1]
    assert [(one.value, one.facts["by"]) for one in trace.of(Kind.RESET)] == [(IDS[0], IDS[0])]


def test_a_fault_is_told_with_the_code_at_it() -> None:
    fault = Fault(IDS[0], "#PF", 0xA, 0x9A14E, 0x9E018, bytes.fromhex("0fba2d00000000001f"))
    trace = trace_of(recorded(*boot(*IDS), end="reset", faults=(fault,)), trial(IN_TURN))
    (one,) = trace.of(Kind.FAULT)
    assert (one.value, one.note, one.facts["rip"], one.facts["error"]) == (0x9E018, "#PF", 0x9A14E, 0xA)


ADDRESS_0 = "an operating system boots with MailBoxAddress 0"


@pytest.mark.parametrize(
    ("stored", "end", "verdict"),
    [
        ("0100ffff01000000" + "e0a0090000000000", "budget", Verdict.FAIL),
        ("", "budget", Verdict.INCONCLUSIVE),
        ("0100ffff01000000" + "e0a0090000000000", "mark", Verdict.FAIL),
    ],
)
def test_a_mailbox_at_address_0_is_known_by_what_was_stored_there(stored: str, end: str, verdict: Verdict) -> None:
    one = trial(ADDRESS_0)
    facts = {"stored at 0": stored} if stored else {}
    trace = trace_of(recorded(*(line(text) for text in BOOTED), trial_=one, end=end, facts=facts), one)
    assert judged("MADT-26", trace).verdict is verdict


def test_what_is_stored_at_address_0_is_no_mailbox_where_no_table_says_so() -> None:
    trace = trace_of(recorded(*boot(*IDS), facts={"stored at 0": "01" + "00" * 15}), trial(IN_TURN))
    assert [one.value for one in trace.of(Kind.MAP)] == [PAGE]


def by_ipis(cpu: int, apic: int, *after: Seen) -> list[Seen]:
    """One start by INIT and SIPI."""
    up = line(f"smpboot: ++++++++++++++++++++=_---CPU UP  {cpu}", 7)
    sent = [(0x310, apic << 24), (0x300, 0xC500), (0x310, apic << 24), (0x300, 0x699)]
    return [up, *(Seen("apic", 0, 0.0, offset, 4, value) for offset, value in sent), *after]


RUNS = line("smpboot: Stack at about (____ptrval____)", 7)
ONLINE = (line("smp: Brought up 1 node, 2 CPUs"), own("cpus 0=0 1=1"), own("known "), own("present 3"))


@pytest.mark.parametrize(
    ("said", "code"),
    [("CPU2 failed to report alive state", -1), ("smpboot: do_boot_cpu failed(-1) to wakeup CPU#2", -1), (None, 0)],
)
def test_a_start_by_ipis_that_is_waited_for_tells_how_it_ended(said: str | None, code: int) -> None:
    one = trial(ABSENT)
    absent = by_ipis(2, 2, *([line(said, 3)] if said else []))
    seen = [*(line(text) for text in BOOTED), *by_ipis(1, 1, RUNS), *absent, *ONLINE]
    trace = trace_of(recorded(*seen, trial_=one), one)
    assert [one.value for one in trace.of(Kind.RETURN)] == [0, code]
    assert [one.value for one in trace.of(Kind.ALIVE)] == [1]
    assert judged("IPI-15", trace).verdict is (Verdict.PASS if said else Verdict.FAIL)


def test_a_start_by_ipis_that_nothing_tells_the_end_of_is_inconclusive() -> None:
    one = trial(ABSENT)
    seen = [*(line(text) for text in BOOTED), *by_ipis(1, 1), *by_ipis(2, 2)]
    assert judged("IPI-15", trace_of(recorded(*seen, trial_=one), one)).verdict is Verdict.INCONCLUSIVE


def test_init_and_start_up_ipis_are_told_with_whom_they_are_for() -> None:
    writes = [(0x310, 4 << 24), (0x300, 0xC500), (0x310, 4 << 24), (0x300, 0x469A), (0x300, 0xFD)]
    sent = [Seen("apic", 0, 0.0, offset=offset, width=4, value=value) for offset, value in writes]
    trace = trace_of(recorded(line(BOOTED[0]), *sent), trial(IN_TURN))
    assert [one.value for one in trace.of(Kind.IPI)] == [4 << 56 | 0xC500, 4 << 56 | 0x469A]
    assert trace_of(recorded(*sent), trial(IN_TURN)).of(Kind.IPI) == ()


# What is booted for a sentence


def _sentences() -> list[str]:
    return [*situations(), *probes(Role.SENDER)]


@pytest.mark.parametrize("sentence", _sentences())
def test_every_sentence_is_a_machine_or_says_why_it_is_none(sentence: str) -> None:
    try:
        one = trial(sentence)
    except Unjudged as reason:
        assert reason.verdict is Verdict.NOT_TESTABLE
        assert reason.reason
        return
    assert max((*one.processors, *one.numbers[:1])) <= 0xFE
    assert all(word for word in action_words(one))
    assert key_of(one) == key_of(trial(sentence))


@pytest.mark.parametrize(
    ("sentence", "entry"),
    [
        (FIVE_LEVELS, Entry(la57=True)),
        (LEFT, Entry(cr0=1 << 3 | 1 << 18 | 1 << 29 | 1 << 30, cr4=1 << 7 | 1 << 9 | 1 << 10, direction=True)),
        (NO_NXE, Entry(nxe=False)),
        (ONE_PAGE, Entry(mapped=0)),
    ],
)
def test_a_situation_says_in_which_state_processors_are_handed_over(sentence: str, entry: Entry) -> None:
    assert {one.entry for one in trial(sentence).processors.values()} == {entry}


@pytest.mark.parametrize(
    ("sentence", "word", "said", "back", "verdict"),
    [
        (PANIC, "panic1", "do panic 1", (2, 3), Verdict.PASS),
        (PANIC, "panic1", "do panic 1", (2, 3, 0), Verdict.FAIL),
        (RESTART, "restart", "do restart", (), Verdict.PASS),
        (POWER_OFF, "poweroff", "do poweroff", (1, 2, 3, 0), Verdict.FAIL),
    ],
)
def test_who_jumps_when_the_machine_ends_is_judged(
    sentence: str, word: str, said: str, back: tuple[int, ...], verdict: Verdict
) -> None:
    one = trial(sentence)
    assert action_words(one) == (word,)
    (check,) = (check for check in checks_of("RST-22", Role.SENDER) if check.when.sentence == sentence)
    for seen, expected in (
        ((own(said), *(Seen("reset", apic, 0.0) for apic in back)), verdict),
        ((own(said), own(f"{said.removeprefix('do ')} -> 1 no")), Verdict.INCONCLUSIVE),
        ((), Verdict.INCONCLUSIVE),
    ):
        trace = trace_of(recorded(*boot(*IDS), *seen, trial_=one, end="reset"), one)
        behaviour = Behaviour(lambda _sentence, _seed, trace=trace: (trace,), boots=True)  # type: ignore[misc]
        assert judge(check, behaviour).verdict is expected


def test_an_apic_id_that_no_machine_has_is_stood_in_for() -> None:
    one = trial("an operating system boots with sparse APIC IDs")
    assert list(one.processors) == [1, 4, FIRST_STAND_IN]
    assert one.tables.madt
    assert [(each.entry.type, each.apic_id) for each in one.tables.madt.processors][-1] == (0, FIRST_STAND_IN)
    assert sum(one.tables.madt.data) & 0xFF == 0
    tree = trial("an operating system boots with a mailbox node in the DeviceTree")
    assert tree.numbers == (0, 1, 2)


def test_firmware_that_needs_no_stand_in_is_published_as_it_is() -> None:
    sentence = "an operating system boots with three processors to start"
    published, booted = compose(situation(sentence).document), trial(sentence).tables
    assert booted.madt and published.madt
    assert booted.madt.data == published.madt.data


def test_every_agent_that_may_be_parked_is_one_of_the_suite() -> None:
    agents = {path.stem for path in (Path(__file__).parents[2] / "scenarios" / "agents").glob("*.yaml")}
    assert set(parkings()) <= agents


def test_probes_are_carried_out_with_the_processors_parked_as_they_say() -> None:
    first, second = trial(NEVER).processors.values()
    assert (first.takes, second.takes) == ("never", "own")
    assert [(one.op, one.id) for one in trial(TWICE).actions] == [("offline", IDS[0]), ("online", IDS[0])]


def test_equal_machines_are_booted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    booted: list[Trial] = []

    def instead(_driver: Driver, one: Trial) -> Recording:
        booted.append(one)
        return recorded(*boot(*IDS))

    monkeypatch.setattr(Driver, "_boot", instead)
    driver = Driver(image=None, takes_tree=False)  # type: ignore[arg-type]
    driver.prepare([IN_TURN, IN_TURN, "no sentence of anything"])
    assert driver.drive(IN_TURN, 0) == driver.drive(IN_TURN, 1)
    assert len(booted) == 1


# The console and the image


@pytest.mark.parametrize(
    ("raw", "level", "text"),
    [
        ("<3>[    1.5] it broke", "error", "it broke"),
        ("<4>[   21.831091][    T1] rcu: stall", "warning", "rcu: stall"),
        ("<6>[    0.1] fine\r", "info", "fine"),
        ("no level", "info", "no level"),
        ("<0>[    0.5] Kernel panic - not syncing: no", "panic", "Kernel panic - not syncing: no"),
    ],
)
def test_a_line_has_its_level(raw: str, level: str, text: str) -> None:
    one = read_line(raw)
    assert (one.level, one.text, one.own) == (level, text, False)


def test_only_init_speaks_for_the_suite() -> None:
    assert read_line("<12>[    1.0] mpwake: done").own
    assert not read_line("<4>[    1.0] mpwake: done").own


@given(st.text())
def test_any_line_can_be_read(raw: str) -> None:
    assert read_line(raw).level in ("error", "warning", "info", "panic")
    assert code_of(raw) < 0
    assert pairs(raw.split()) is not None


def bzimage(**fields: bytes) -> bytes:
    data = bytearray(1024 + 4096)
    places = {"sectors": (0x1F1, b"\x01"), "size": (0x1F4, b"\0\x01\0\0"), "flag": (0x1FE, b"\x55\xaa")}
    places |= {"jump": (0x200, b"\xeb\x6a"), "magic": (0x202, b"HdrS"), "protocol": (0x206, b"\x0f\x02")}
    places |= {"text_at": (0x20E, b"\x80\x01"), "xload": (0x236, b"\x01\0"), "text": (0x380, b"9.9.9 (x) #1\0")}
    for name, (at, value) in places.items():
        value = fields.get(name, value)
        data[at : at + len(value)] = value
    return bytes(data)


def test_an_image_tells_its_version(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage())
    image = read_image(path)
    assert (image.release, image.version, image.takes_tree) == ("9.9.9", "9.9.9 (x) #1", None)
    (tmp_path / "config-9.9.9").write_text("# CONFIG_OF is not set\n")
    assert read_image(path).takes_tree is False
    (tmp_path / "config-9.9.9").write_text("CONFIG_OF=y\n")
    assert read_image(path).takes_tree is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF" + bytes(2048),
        bzimage(magic=b"HdrX"),
        bzimage(protocol=b"\0\x02"),
        bzimage(xload=b"\0\0"),
        bzimage(text=b"\x01\x02\0"),
        bzimage()[:3000],
    ],
)
def test_what_is_no_kernel_is_refused_with_its_place(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(data)
    with pytest.raises(InputError) as refused:
        read_image(path)
    assert str(path) in refused.value.where
    assert "byte 0x" in refused.value.where


@given(st.binary(max_size=4096), st.integers(0, 1023))
def test_any_bytes_are_an_image_or_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("image") / "vmlinuz"
    data = bytearray(bzimage())
    data[at : at + len(noise)] = noise
    path.write_bytes(data)
    try:
        assert read_image(path).version
    except InputError as refused:
        assert refused.message
