"""The event stream: what is written can be read, what is cut is incomplete, and verdicts fold as they should."""

import io
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mpwake.cli.registry import schemas
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite import events
from mpwake.suite.engine import Options, run
from mpwake.suite.selection import select
from mpwake.targets import open_target
from support import runs


@pytest.fixture(scope="module")
def told():
    found = []
    target = open_target("model:openhcl-boot-dt")
    run(target, select((), target.roles), Options(), found.append)
    return tuple(found)


def write(path, told):
    buffer = io.StringIO()
    for event in told:
        events.Stream(buffer)(event)
    path.write_text(buffer.getvalue(), encoding="utf-8")
    return path


def test_a_stream_reads_back_as_it_was_written(told, tmp_path):
    assert tuple(events.read(write(tmp_path / "e", told))) == told


def test_every_line_keeps_to_the_published_schema(told):
    validator = Draft202012Validator(schemas()["events"])
    for event in told:
        validator.validate(json.loads(json.dumps(events.to_json(event))))


def test_without_its_footer_a_run_is_incomplete(told):
    cut = events.fold(told[:-1])
    assert (cut.complete, cut.verdict, cut.exit_code) == (False, "incomplete", 4)


def test_what_was_not_reached_is_inconclusive_in_a_cut_run(told):
    cut = events.fold(told[:3])
    reached = {one.id for one in told[2].judged}
    left = [one for one in cut.results if one.selected.id not in reached]
    assert {one.verdict for one in left} == {Verdict.INCONCLUSIVE}
    assert {one.reason for one in left} == {"the run ended before this was judged"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "not a line of JSON"),
        ("[1]", "not an event"),
        ('{"event": "header"}', "the key 'schema' is missing"),
        ('{"event": "started", "file": 3, "name": "", "role": ""}', "expected text, found 3"),
        ('{"event": "started", "file": "", "name": "", "role": "", "more": 1}', "unknown key 'more'"),
        ("[" * 100000, "not a line of JSON"),
    ],
)
def test_a_line_that_is_no_event_is_told_with_its_number(told, tmp_path, line, message):
    path = write(tmp_path / "e", told[:2])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError) as caught:
        list(events.read(path))
    assert message in str(caught.value)
    assert f"{path}:3" in str(caught.value)


def test_a_stream_without_a_header_is_refused(told):
    with pytest.raises(InputError, match="no header"):
        events.fold(told[1:])


@given(st.binary(max_size=400))
def test_any_bytes_are_events_or_one_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("stream") / "e"
    path.write_bytes(data)
    try:
        events.load(path)
    except InputError as error:
        assert str(path) in str(error) or "no header" in str(error)


def judged(told, **verdicts):
    """The same run with other verdicts for some requirements."""

    def change(one):
        name = one.id.replace("-", "_")
        if name not in verdicts:
            return one
        verdict, weight = verdicts[name]
        seen = (events.Seen(verdict is not Verdict.FAIL, weight, "found", "expected"),)
        return attrs.evolve(one, verdict=verdict, reason="", seen=seen)

    return tuple(
        attrs.evolve(event, judged=tuple(map(change, event.judged))) if isinstance(event, events.Finished) else event
        for event in told
    )


SOUND = {"DT_08": (Verdict.PASS, Weight.CONFORMANCE)}


@pytest.mark.parametrize(
    ("verdicts", "strict", "expected"),
    [
        (SOUND, (), Verdict.PASS),
        ({}, (), Verdict.FAIL),
        (SOUND | {"HVL_06": (Verdict.FAIL, Weight.INTEROP)}, (), Verdict.PASS),
        (SOUND | {"HVL_06": (Verdict.FAIL, Weight.INTEROP)}, ("interop",), Verdict.FAIL),
        (SOUND | {"HVL_06": (Verdict.INCONCLUSIVE, Weight.INTEROP)}, (), Verdict.PASS),
        (SOUND | {"DT_01": (Verdict.INCONCLUSIVE, Weight.CONFORMANCE)}, (), Verdict.INCONCLUSIVE),
        (SOUND | {"HVL_06": (Verdict.ERROR, Weight.INTEROP)}, (), Verdict.ERROR),
        (SOUND | {"DT_10": (Verdict.FAIL, Weight.ROBUSTNESS)}, (), Verdict.PASS),
    ],
)
def test_the_verdict_of_a_run(told, verdicts, strict, expected):
    header = attrs.evolve(told[0], strict=strict)
    assert events.verdict_of(events.fold((header, *judged(told[1:], **verdicts)))) is expected


def test_a_failure_weighs_as_much_as_its_heaviest_finding(told):
    run = events.fold(judged(told, DT_10=(Verdict.FAIL, Weight.ROBUSTNESS)))
    result = next(one for one in run.results if one.selected.id == "DT-10")
    assert (result.selected.weight, result.weight) == (Weight.CONFORMANCE, Weight.ROBUSTNESS)
    assert not run.counts_against(result)


def with_traffic(traffic):
    _, finished = runs.traffic_fails()
    (judged,) = finished.judged
    seen = attrs.evolve(judged.seen[1], exhibits=(runs.Shown("mailbox traffic", 0, "", (), "text", traffic),))
    return attrs.evolve(finished, judged=(attrs.evolve(judged, seen=(seen,)),))


def test_traffic_reads_back_as_it_was_written(tmp_path):
    told = (runs.header([runs.traffic_fails()[0]]), with_traffic(runs.traffic()))
    assert tuple(events.read(write(tmp_path / "e", told))) == told
    Draft202012Validator(schemas()["events"]).validate(json.loads(json.dumps(events.to_json(told[1]))))


def test_a_stream_from_before_there_was_traffic_is_read(tmp_path):
    path = write(tmp_path / "e", [with_traffic(None)])
    assert path.read_text().count(',"traffic":null') == 1
    path.write_text(path.read_text().replace(',"traffic":null', ""))
    assert tuple(events.read(path)) == (with_traffic(None),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lane":1', '"lane":2', "a row of traffic names none of its 2 participants"),
        ('"lane":1', '"lane":-1', "a row of traffic names none of its 2 participants"),
        ('"page":"' + "0" * 32, '"page":"' + "0" * 31 + "x", "is not the first 16 bytes of the mailbox in hex"),
        ('"page":"' + "0" * 32, '"page":"' + "0" * 34, "is not the first 16 bytes of the mailbox in hex"),
        ('"page":"00000000ffffffff0000000000000000"', '"page":""', "is not the first 16 bytes of the mailbox in hex"),
        ('"value":511', '"value":"x"', "expected an integer"),
    ],
)
def test_traffic_that_cannot_be_drawn_is_refused_with_its_line(tmp_path, old, new, message):
    path = write(tmp_path / "e", [with_traffic(runs.traffic())])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        list(events.read(path))
    assert message in str(caught.value)
    assert f"{path}:1" in str(caught.value)


@pytest.mark.parametrize("part", ["rows", "lanes"])
def test_traffic_of_more_than_40_rows_or_participants_is_refused(part):
    many = getattr(runs.traffic(), part)[:1] * 41
    with pytest.raises(ValueError, match=r"41 .* more than 40"):
        attrs.evolve(runs.traffic(), **{part: many})
