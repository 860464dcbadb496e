"""Any trace, whatever a target says in it, is shown in bounded text, a bounded stream and a bounded diagram."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from mpwake.checks.traffic import told
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.reporting import sequence
from mpwake.spec import document
from mpwake.suite import events
from mpwake.suite.engine import shown

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.integers(0, 2**64 - 1)
FACTS = st.dictionaries(st.text(max_size=40), st.one_of(NUMBERS, st.booleans(), st.text(max_size=200)), max_size=8)
EVENTS = st.builds(
    Event,
    time=NUMBERS,
    agent=st.integers(0, 6),
    kind=st.sampled_from(Kind),
    offset=st.integers(0, 4100),
    width=st.sampled_from((1, 2, 4, 8)),
    value=NUMBERS,
    count=st.integers(1, 10**6),
    until=NUMBERS,
    target=st.integers(0, 9),
    vector=NUMBERS,
    note=st.text(max_size=300),
    facts=FACTS,
)
LOADS = st.builds(Event, time=NUMBERS, agent=st.integers(0, 3), kind=st.just(Kind.LOAD), value=st.integers(0, 3))


@st.composite
def exhibits(draw: st.DrawFn) -> events.Shown:
    """Return the exhibit of any trace, with one of its events marked or none."""
    every = draw(st.lists(st.one_of(EVENTS, LOADS), max_size=80))
    marked = draw(st.sampled_from([None, *every]))
    before = draw(st.binary(max_size=32))
    return shown(told(Trace((0, 1, 2, 0x1FF), tuple(every), before, before, 0), marked))


@given(exhibits(), st.text(max_size=300))
def test_any_trace_is_a_well_formed_diagram_of_bounded_size(exhibit: events.Shown, title: str) -> None:
    assert exhibit.traffic is not None
    text = sequence.document(exhibit.traffic, title)
    root = ElementTree.fromstring(text)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "path", "text", "g"
    }  # fmt: skip
    assert len(text) < 200_000
    assert float(str(root.get("width"))) < 4000
    assert float(str(root.get("height"))) < 1400
    assert len(exhibit.traffic.rows) <= events.MAX_ROWS
    assert sum(row.marked for row in exhibit.traffic.rows) <= 24


@given(exhibits())
def test_any_trace_reads_back_from_a_stream_of_bounded_size(exhibit: events.Shown) -> None:
    line = json.dumps(events.to_json(exhibit))
    assert len(line) < 100_000
    assert document.decode(document.from_plain(json.loads(line), "e", 1), events.Shown) == exhibit
