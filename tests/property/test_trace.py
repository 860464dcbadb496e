"""Trace files: any trace comes back as it was, and whatever is not a trace file is told with its line."""

from __future__ import annotations

import json
import re
from typing import Any

import allure
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mpwake.cli.registry import schemas
from mpwake.evidence.trace import Event, Kind, Region, Trace
from mpwake.model.agent import PAGE
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.targets.trace.form import ACCESSES, COUNTED, NUMBERS, SIGNED, TRUTHS, lines_of
from mpwake.targets.trace.read import parse

SAYS = "a sentence"
HEADER = {"line": "header", "format": "mpwake-trace/1", "target": "x", "roles": [{"role": "sender"}]}
WORDS = st.text(max_size=20) | st.sampled_from(("0x10", "-0x1", "0x", "0xg", '"', "\u2028", "\x1b[0m"))
COUNTS = st.integers(0, COUNTED - 1)
UNSIGNED = st.integers(0, (1 << 64) - 1)
NUMBER = st.integers(-(1 << 63), (1 << 64) - 1)
OTHERS = WORDS.filter(lambda name: name not in NUMBERS | TRUTHS)
FACTS = st.builds(
    lambda numbers, truths, others: {**numbers, **truths, **others},
    st.dictionaries(st.sampled_from(sorted(NUMBERS)), NUMBER, max_size=3),
    st.dictionaries(st.sampled_from(sorted(TRUTHS)), st.booleans(), max_size=3),
    st.dictionaries(OTHERS, NUMBER | st.booleans() | WORDS, max_size=3),
)
FLAGS = st.none() | st.booleans()
REGIONS = st.builds(
    Region, WORDS, UNSIGNED, UNSIGNED, WORDS, st.none() | WORDS, st.lists(WORDS).map(tuple), FLAGS, FLAGS, FLAGS
)
PAGES = st.binary(max_size=64).map(lambda head: head.ljust(PAGE, b"\0")) | st.binary(min_size=PAGE, max_size=PAGE)


@st.composite
def events(draw: st.DrawFn, time: int, agents: int) -> Event:
    kind = draw(st.sampled_from(Kind))
    offset, width, value = draw(UNSIGNED), draw(COUNTS), draw(UNSIGNED)
    if kind in ACCESSES:
        width = draw(st.integers(1, 8))
        offset = draw(st.integers(0, PAGE - width))
        value = draw(st.integers(0, (1 << 8 * width) - 1))
    elif kind in SIGNED:
        value = draw(st.integers(-(1 << 63), (1 << 63) - 1))
    return Event(
        *(time, draw(st.integers(0, agents - 1)), kind, offset, width, value, draw(COUNTS), draw(COUNTS)),
        *(draw(UNSIGNED), draw(UNSIGNED), draw(WORDS), draw(FACTS)),
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    ids = tuple(draw(st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=4)))
    times = sorted(draw(st.lists(COUNTS, max_size=8)))
    return Trace(
        ids=ids,
        events=tuple(draw(events(time, len(ids))) for time in times),
        before=draw(PAGES),
        after=draw(PAGES),
        end=draw(st.integers(times[-1] if times else 0, COUNTED - 1)),
        memory=draw(st.sampled_from(("sc", "tso", "relaxed"))),
        stuck=draw(st.booleans()),
        spent=draw(st.booleans()),
        regions=tuple(draw(st.lists(REGIONS, max_size=2))),
        facts=draw(FACTS),
        listing=draw(st.dictionaries(UNSIGNED, WORDS, max_size=2)),
    )


def written(these: list[Any]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in these).encode()


@allure.title("A trace that is written and read is the trace that it was, in the order of its facts too")
@given(traces())
def test_a_trace_comes_back_as_it_was(trace: Trace) -> None:
    lines = lines_of(trace, "sender", (SAYS,))
    read = parse(written([HEADER, *lines, {"line": "footer", "trials": 1}]), "t.ndjson")
    assert read.complete
    (found,) = read.trials[Role.SENDER, SAYS]
    assert found == trace
    assert [list(one.facts) for one in found.events] == [list(one.facts) for one in trace.events]


@allure.title("What is written keeps to the published schema")
@given(traces())
def test_what_is_written_keeps_to_the_schema(trace: Trace) -> None:
    validator = Draft202012Validator(schemas()["trace"])
    for one in lines_of(trace, "sender", (SAYS,)):
        validator.validate(one)


def told(data: bytes) -> None:
    """Read bytes: whatever is wrong must be an InputError that names the file, and mostly a line of it."""
    try:
        parse(data, "t.ndjson")
    except InputError as error:
        assert re.fullmatch(r"t\.ndjson(:\d+(:1)?)?", error.where)
        assert error.where != "t.ndjson" or "no header" in error.message


@allure.title("Any bytes are a trace or bad input")
@given(st.binary() | st.lists(st.binary(max_size=30)).map(b"\n".join))
def test_any_bytes(data: bytes) -> None:
    told(data)
    told(written([HEADER]) + data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just("0x1") | st.just("load"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@allure.title("A trace with anything in the place of anything is a trace or bad input")
@given(traces(), st.data())
def test_any_value_anywhere(trace: Trace, data: st.DataObject) -> None:
    these: list[Any] = [dict(HEADER), *lines_of(trace, "sender", (SAYS,)), {"line": "footer", "trials": 1}]
    one = data.draw(st.sampled_from(these))
    name = data.draw(st.sampled_from(sorted(one)) | st.sampled_from(("value", "facts", "agent", "says", "after")))
    one[name] = data.draw(JSON)
    told(written(these))


@allure.title("A trace with a line out of its place is a trace or bad input")
@given(traces(), st.data())
def test_any_order(trace: Trace, data: st.DataObject) -> None:
    these: list[Any] = [HEADER, *lines_of(trace, "sender", (SAYS,)), {"line": "footer", "trials": 1}]
    told(written(data.draw(st.permutations(these))))
    told(written(these)[: data.draw(st.integers(0, 400))])
