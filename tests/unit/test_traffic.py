"""Mailbox traffic: what of a trial is shown around an event, and how it is named."""

from __future__ import annotations

import attrs
import pytest

from mpwake.checks.traffic import place, told
from mpwake.evidence.exhibit import Traffic, TrafficRow
from mpwake.evidence.trace import OPS, Event, Kind, Trace
from mpwake.suite.engine import shown

IDS = (0, 0x1FF, 5, 7)
PAGE = bytes(4) + b"\xff" * 4 + bytes(4088)
WAKE = Event(1, 0, Kind.REQUEST, value=OPS["wake"], target=0x1FF, vector=0x9A000)
VECTOR = Event(2, 0, Kind.STORE, 8, 8, 0x9A000)
ID = Event(3, 0, Kind.STORE, 4, 4, 0x1FF)
COMMAND = Event(4, 0, Kind.STORE, 0, 2, 1, facts={"release": True})
ACK = Event(9, 1, Kind.STORE, 0, 2, 0)
LANDING = Event(10, 1, Kind.LANDING, value=0x9A000)


def of(*events: Event, marked: Event | None = None, ids: tuple[int, ...] = IDS) -> Traffic:
    """Return what is shown of a trace of these events."""
    traffic = told(Trace(ids, events, PAGE, PAGE, 100), marked).traffic
    assert traffic is not None
    return traffic


def load(time: int, agent: int, value: int = 1, offset: int = 0, count: int = 1) -> Event:
    """Return equal loads of two bytes."""
    return Event(time, agent, Kind.LOAD, offset, 2, value, count, time + count - 1)


def kinds(traffic: Traffic) -> list[tuple[int, str]]:
    """Return when each row was and what it is."""
    return [(row.time, row.kind) for row in traffic.rows]


def rows_of(traffic: Traffic, kind: str) -> list[TrafficRow]:
    """Return the rows of a kind."""
    return [row for row in traffic.rows if row.kind == kind]


def test_a_row_tells_who_did_what_where() -> None:
    traffic = of(WAKE, VECTOR, ID, COMMAND, ACK, LANDING, marked=ACK)
    assert [lane.name for lane in traffic.lanes] == ["OS", "AP 0x1ff"]
    assert [lane.agent for lane in traffic.lanes] == [0, 1]
    assert [(row.lane, row.kind, row.place, row.value, row.marked) for row in traffic.rows] == [
        (0, "request", "", OPS["wake"], False),
        (0, "store", "WakeupVector", 0x9A000, False),
        (0, "store", "ApicId", 0x1FF, False),
        (0, "store", "Command", 1, False),
        (1, "store", "Command", 0, True),
        (1, "landing", "", 0x9A000, False),
    ]
    assert [row.text for row in traffic.rows] == ["wake  APIC ID 0x1ff  0x9a000", "", "", "release", "", "0x9a000"]
    assert (traffic.earlier, traffic.later, traffic.loads) == (0, 0, 0)


def test_the_text_is_made_from_the_rows() -> None:
    exhibit = told(Trace(IDS, (WAKE, COMMAND, load(5, 0), ACK, LANDING), PAGE, PAGE, 100), ACK)
    assert exhibit.text.split("\n") == [
        "        1  OS       request wake  APIC ID 0x1ff  0x9a000",
        "        4  OS       store   2 bytes at 0x000  0x1  release",
        ">       9  AP 0x1ff store   2 bytes at 0x000  0x0",
        "       10  AP 0x1ff landing 0x9a000",
    ]


def test_the_text_has_its_columns_under_each_other_whatever_the_names() -> None:
    ids = (0, 5, 0xFFFF0000)
    exhibit = told(Trace(ids, (ACK, attrs.evolve(LANDING, agent=2)), PAGE, PAGE, 100), ACK)
    assert exhibit.text.split("\n") == [
        ">       9  AP 0x5        store   2 bytes at 0x000  0x0",
        "       10  AP 0xffff0000 landing 0x9a000",
    ]


def test_each_store_has_the_fields_as_they_are_after_it() -> None:
    traffic = of(VECTOR, ID, LANDING, COMMAND)
    assert traffic.page == PAGE[:16]
    assert [row.page.hex(" ", 4) for row in traffic.rows] == [
        "00000000 ffffffff 00a00900 00000000",
        "00000000 ff010000 00a00900 00000000",
        "",
        "01000000 ff010000 00a00900 00000000",
    ]


def test_a_store_over_the_edge_of_the_fields_changes_those_only() -> None:
    traffic = of(Event(1, 1, Kind.STORE, 12, 8, 0x1122334455667788), Event(2, 1, Kind.STORE, 0x10, 2, 1))
    assert traffic.rows[0].page.hex() == "00000000ffffffff0000000088776655"
    assert traffic.rows[1].page == b""


def test_what_was_stored_before_the_first_row_is_in_the_page() -> None:
    many = [Event(20 + number, 0, Kind.REQUEST, value=6) for number in range(60)]
    traffic = of(VECTOR, *many)
    assert traffic.page[8:16] == (0x9A000).to_bytes(8, "little")
    assert traffic.rows[0].kind == "request"


def test_equal_loads_between_two_other_events_are_one_row() -> None:
    polls = [load(10 * at, agent, count=4) for at in range(1, 21) for agent in (0, 1)]
    traffic = of(COMMAND, *polls, ACK, load(300, 0), LANDING)
    assert [(row.lane, row.time, row.count, row.until) for row in rows_of(traffic, "load")] == [
        (0, 10, 80, 203),
        (1, 10, 80, 203),
        (0, 300, 1, 300),
    ]
    assert traffic.loads == 0


def test_loads_of_other_values_and_places_stay_apart() -> None:
    traffic = of(COMMAND, load(5, 1, 0), load(6, 1, 1), load(7, 1, 0x1FF, 4), load(8, 1, 1), ACK)
    assert [(row.value, row.place, row.count) for row in rows_of(traffic, "load")] == [
        (0, "Command", 1),
        (1, "Command", 2),
        (0x1FF, "ApicId[0x4-0x5]", 1),
    ]


def test_the_marked_load_is_a_row_of_its_own() -> None:
    late = load(12, 1)
    traffic = of(COMMAND, load(5, 1), ACK, load(11, 1), late, load(13, 1), LANDING, marked=late)
    assert [(row.time, row.marked) for row in rows_of(traffic, "load")] == [
        (5, False),
        (11, False),
        (12, True),
        (13, False),
    ]


def test_who_only_polls_has_no_lifeline_and_is_counted() -> None:
    traffic = of(COMMAND, load(5, 2, count=30), load(6, 3, count=12), ACK, LANDING)
    assert [lane.agent for lane in traffic.lanes] == [0, 1]
    assert traffic.loads == 42


def test_the_processor_that_a_request_is_for_is_shown_though_it_only_loads() -> None:
    traffic = of(WAKE, COMMAND, load(5, 1), load(6, 2))
    assert [lane.name for lane in traffic.lanes] == ["OS", "AP 0x1ff"]
    assert kinds(traffic) == [(1, "request"), (4, "store"), (5, "load")]
    assert traffic.loads == 1


def test_a_long_trace_is_cut_around_the_marked_event_and_says_how_much() -> None:
    many = [Event(10 + at, 0, Kind.STORE, 2, 2, at) for at in range(200)]
    traffic = of(*many[:100], ACK, *many[100:], marked=ACK)
    assert (traffic.earlier, len(traffic.rows), traffic.later) == (88, 24, 89)
    assert [at for at, row in enumerate(traffic.rows) if row.marked] == [12]


def test_of_many_loads_the_nearest_are_shown_and_the_others_counted() -> None:
    loads = [load(10 + at, 1, at) for at in range(100)]
    traffic = of(COMMAND, *loads, ACK, LANDING, marked=ACK)
    assert [row.value for row in rows_of(traffic, "load")] == list(range(84, 100))
    assert traffic.loads == 84


def said(time: int, level: str = "info") -> Event:
    """Return a line of the console."""
    return Event(time, 0, Kind.CONSOLE, note=f"line {time}", facts={"level": level})


def test_of_the_console_the_lines_around_the_marked_event_are_shown_and_the_others_counted() -> None:
    lines = [said(10 + at) for at in range(100)]
    traffic = of(WAKE, COMMAND, *lines[:50], ACK, *lines[50:], LANDING, marked=ACK)
    assert [(row.kind, row.text) for row in traffic.rows] == [
        ("request", "wake  APIC ID 0x1ff  0x9a000"),
        ("store", "release"),
        *(("console", f"line {time}  level info") for time in (57, 58, 59)),
        ("store", ""),
        *(("console", f"line {time}  level info") for time in (60, 61, 62)),
        ("landing", "0x9a000"),
    ]
    assert (traffic.earlier, traffic.later, traffic.loads, traffic.console) == (0, 0, 0, 94)


def test_of_a_panic_the_line_that_says_so_is_shown() -> None:
    lines = [said(100 + at, "warning") for at in range(100)]
    traffic = of(COMMAND, said(50, "panic"), *lines, ACK, marked=ACK)
    assert next(row.text for row in rows_of(traffic, "console")) == "line 50  level panic"
    assert len(rows_of(traffic, "console")) == 6


def test_lines_do_not_push_accesses_out_and_rows_have_a_limit() -> None:
    stores = [Event(2 * at, 0, Kind.STORE, 2, 2, at) for at in range(100)]
    events = sorted(
        [*stores, *(said(2 * at + 1) for at in range(100)), *(load(2 * at, 0, at) for at in range(100))],
        key=lambda one: one.time,
    )
    traffic = of(*events, marked=stores[50])
    assert len(rows_of(traffic, "store")) == 24
    assert (len(rows_of(traffic, "console")), len(rows_of(traffic, "load"))) == (6, 10)


def test_of_very_many_processors_only_those_in_the_rows_have_a_lifeline() -> None:
    ids = tuple(range(65536))
    acts = [Event(at, at, Kind.LANDING, value=0x1000) for at in range(1, 65536)]
    traffic = of(*acts, marked=acts[40_000], ids=ids)
    assert len(traffic.lanes) == len(traffic.rows) == 24
    assert acts[40_000].agent in {lane.agent for lane in traffic.lanes}


def test_a_trace_in_which_nothing_was_seen_shows_no_rows() -> None:
    assert of() == Traffic((), (), PAGE[:16])


def test_an_agent_without_an_apic_id_is_called_by_its_number() -> None:
    assert [lane.name for lane in of(attrs.evolve(ACK, agent=9)).lanes] == ["agent 9"]


@pytest.mark.parametrize("kind", [one for one in Kind if one.value not in ("load", "store", "request", "return")])
def test_any_other_kind_of_event_is_shown_with_all_it_tells(kind: Kind) -> None:
    (row,) = of(Event(1, 0, kind, value=0x12, note="said", facts={"a": 255, "b": "x", "c": True, "d": False})).rows
    assert row.kind == kind.value
    assert "0x12" in row.text
    assert row.text.endswith("a 0xff  b x  c  d False")
    assert ("said" in row.text) is (kind is not Kind.RESET)


def test_a_long_text_and_many_facts_are_cut_visibly() -> None:
    (long,) = of(Event(1, 0, Kind.CONSOLE, note="x" * 5000)).rows
    assert (len(long.text), long.text[-3:]) == (96, "...")
    (many,) = of(Event(1, 1, Kind.CPU, note="state", facts={f"f{at}": at for at in range(9)})).rows
    assert many.text == "state  f0 0x0  f1 0x1  f2 0x2  f3 0x3  ..."


@pytest.mark.parametrize(
    ("offset", "width", "name"),
    [
        (0, 2, "Command"),
        (2, 2, "Reserved"),
        (4, 4, "ApicId"),
        (8, 8, "WakeupVector"),
        (4, 2, "ApicId[0x4-0x5]"),
        (0, 4, "Command to Reserved"),
        (0, 8, "Command to ApicId"),
        (1, 2, "Command to Reserved[0x1-0x2]"),
        (0x10, 8, "ReservedForOs[0x10-0x17]"),
        (0x7FC, 8, "ReservedForOs to ReservedForFirmware[0x7fc-0x803]"),
        (0x800, 2048, "ReservedForFirmware"),
        (0x1000, 4, "bytes 0x1000-0x1003"),
    ],
)
def test_bytes_are_named_by_their_field(offset: int, width: int, name: str) -> None:
    assert place(offset, width) == name


def test_the_stream_holds_all_of_it() -> None:
    exhibit = told(Trace(IDS, (WAKE, VECTOR, load(5, 1), ACK), PAGE, PAGE, 100), ACK)
    held = shown(exhibit)
    assert held.traffic is not None
    assert exhibit.traffic is not None
    assert held.text == exhibit.text
    assert held.traffic.page == exhibit.traffic.page.hex()
    assert [row.page for row in held.traffic.rows] == [row.page.hex() for row in exhibit.traffic.rows]
    plain = [attrs.asdict(one) | {"page": ""} for one in held.traffic.rows]
    assert plain == [attrs.asdict(one) | {"page": ""} for one in exhibit.traffic.rows]
