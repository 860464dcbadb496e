"""Traces in a file: a saved run is judged as it was, what is missing never passes, and bad lines are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mpwake.checks.always import ALWAYS, ANY_BOOT
from mpwake.checks.core import Unjudged, find, inconclusive, judge, not_applicable, not_testable
from mpwake.cli.registry import schemas
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Kind, Trace
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.base import Target
from mpwake.targets.trace import read
from mpwake.targets.trace.read import parse
from mpwake.targets.trace.save import saving
from support.cli import mpwake
from support.traces import judged, lines, saved, told, write

SENDER, RECEIVER = Role.SENDER, Role.RECEIVER
HEADER = {"line": "header", "format": "mpwake-trace/1", "target": "x", "roles": [{"role": "sender"}]}
TRIAL = {"line": "trial", "role": "sender", "ids": ["0x0", "0x1"], "before": "00000000ffffffff"}
EVENTS = (
    {"line": "store", "time": 1, "offset": "0x4", "width": 4, "value": "0x1"},
    {"line": "store", "time": 2, "offset": "0x8", "width": 8, "value": "0x9a000"},
    {"line": "store", "time": 3, "width": 2, "value": "0x1"},
    {"line": "store", "time": 4, "agent": 1, "width": 2},
    {"line": "landing", "time": 5, "agent": 1, "value": "0x9a000"},
)
END = {"line": "end", "time": 9}
FOOTER = {"line": "footer", "trials": 1}
BOOT = [HEADER, TRIAL, *EVENTS, END, FOOTER]
SAYS = "a processor never acknowledges"
NAMED = [HEADER, {**TRIAL, "says": [SAYS]}, *EVENTS, END]
REFUSED = {"line": "probe", "role": "sender", "says": SAYS, "verdict": "not-testable", "reason": "no"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


def opened(path: Path, these: list[dict[str, Any]]) -> Target:
    return open_target(f"trace:{write(path, these)}")


def verdicts(target: Target, *ids: str) -> dict[str, Verdict]:
    ((role, side),) = target.settled().driven.items()
    return {one: judge(find(one, role), side).verdict for one in ids or target.selects}


@pytest.mark.parametrize("platform", ["reference", "linux-7.2", "td-shim"])
def test_a_saved_run_is_judged_as_it_was(platform: str, folder: Path) -> None:
    path = folder / f"{platform}.ndjson"
    before = saved(f"model:{platform}", path)
    target = open_target(f"trace:{path}")
    after = judged(target)
    assert told(after) == told(before)
    assert (after.verdict, after.exit_code, after.counts) == (before.verdict, before.exit_code, before.counts)
    assert after.header.edition == before.header.edition
    assert len({one.verdict for one in before.results}) > 1
    validator = Draft202012Validator(schemas()["trace"])
    for one in lines(path)[::97]:
        validator.validate(one)


def test_a_trace_of_a_trace_is_the_same_trace(folder: Path) -> None:
    first, second = folder / "first.ndjson", folder / "second.ndjson"
    saved("model:linux-7.2", first, "SND-06", "DUP-02")
    saved(f"trace:{first}", second, "SND-06", "DUP-02")
    assert lines(first)[1:] == lines(second)[1:]


def test_the_lines_of_these_tests_keep_to_the_schema() -> None:
    validator = Draft202012Validator(schemas()["trace"])
    for one in [*BOOT, REFUSED, *NAMED]:
        validator.validate(one)
    assert set(validator.schema["$defs"]["Seen"]["properties"]["line"]["enum"]) == {one.value for one in Kind}


def refusing(reason: Exception) -> Target:
    def drive(_sentence: str, _seed: int) -> tuple[Trace, ...]:
        raise reason

    return Target("model", "model:x", (), driven={RECEIVER: Behaviour(drive)})


@pytest.mark.parametrize(
    "reason", [not_applicable("of one"), not_testable("of two"), inconclusive("of three")], ids=lambda one: one.reason
)
def test_a_refusal_is_recorded(reason: Unjudged, tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    with saving(refusing(reason), frozenset({RECEIVER}), 0, path) as target:
        assert judge(find("RCV-01", RECEIVER), target.driven[RECEIVER]).verdict is reason.verdict
        judge(find("RCV-06", RECEIVER), target.driven[RECEIVER])
    found = open_target(f"trace:{path}").driven[RECEIVER]
    again = judge(find("RCV-01", RECEIVER), found)
    assert (again.verdict, again.reason) == (reason.verdict, reason.reason)
    assert [one["line"] for one in lines(path)] == ["header", "probe", "footer"]


def test_what_broke_breaks_again(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    with saving(refusing(InputError("gone", "here")), frozenset({RECEIVER}), 0, path) as target:
        before = judged(target, "RCV-01")
    assert before.results[0].verdict is Verdict.ERROR
    assert told(judged(open_target(f"trace:{path}"), "RCV-01")) == told(before)


def test_a_probe_that_was_not_recorded_is_not_testable(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    saved("model:linux-7.2", path, "SND-06")
    (one,) = judged(open_target(f"trace:{path}"), "SND-02").results
    assert (one.verdict, one.reason) == (Verdict.NOT_TESTABLE, "the trace does not record it")


def test_a_run_that_breaks_off_leaves_no_footer(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    target = open_target("model:os-reference")
    with pytest.raises(KeyboardInterrupt), saving(target, frozenset({SENDER}), 0, path) as one:
        judged(one, "SND-06", roles=frozenset({SENDER}))
        raise KeyboardInterrupt
    assert lines(path)[-1]["line"] == "probe"
    left = open_target(f"trace:{path}")
    assert verdicts(left, "SND-06", "SND-02") == {"SND-06": Verdict.PASS, "SND-02": Verdict.INCONCLUSIVE}
    assert any("incomplete" in note for note in left.notes)


def test_nothing_passes_on_trials_that_may_have_been_lost(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    saved("model:os-reference", path, "SND-07", "DUP-04", roles=frozenset({SENDER}))
    whole = lines(path)
    for at in [at for at, one in enumerate(whole) if one["line"] == "end"]:
        probes = [one["says"] for one in whole[: at + 1] if one["line"] == "probe"]
        found = verdicts(opened(tmp_path / "cut.ndjson", whole[: at + 1]), "SND-07", "DUP-04")
        assert list(found.values()).count(Verdict.PASS) == len(probes)
        assert set(found.values()) <= {Verdict.PASS, Verdict.INCONCLUSIVE}


def test_what_is_wrong_stays_wrong_in_a_trace_that_was_cut(tmp_path: Path) -> None:
    stray = {"line": "store", "time": 6, "offset": "0x900", "width": 1, "value": "0x1"}
    for these in ([HEADER, TRIAL, *EVENTS, stray], [HEADER, TRIAL, *EVENTS, stray, END]):
        found = verdicts(opened(tmp_path / "t.ndjson", these))
        assert found.pop("MEM-05") is Verdict.FAIL
        assert set(found.values()) == {Verdict.INCONCLUSIVE}


def test_a_boot_cut_anywhere_never_passes_and_never_breaks(tmp_path: Path) -> None:
    path = tmp_path / "t.ndjson"
    data = "".join(json.dumps(one) + "\n" for one in BOOT).encode()
    for at in range(len(data) - len(json.dumps(FOOTER)) - 1):
        path.write_bytes(data[:at])
        try:
            target = open_target(f"trace:{path}")
        except InputError as error:
            assert "no header" in error.message
            continue
        if not target.selects:
            continue
        assert set(verdicts(target).values()) == {Verdict.INCONCLUSIVE}, at


def test_a_boot_of_ones_own_is_judged_by_what_holds_of_any(tmp_path: Path) -> None:
    target = opened(tmp_path / "t.ndjson", BOOT)
    assert verdicts(target) == dict.fromkeys(ANY_BOOT[SENDER], Verdict.PASS)
    assert set(verdicts(target, "TMO-07", "TMO-08", "DUP-04").values()) == {Verdict.NOT_TESTABLE}
    (one,) = judged(target, "TMO-07").results
    assert one.reason == "nobody arranged its situation for these trials"


@pytest.mark.parametrize("role", [SENDER, RECEIVER])
def test_what_holds_of_any_boot_holds_of_every_trial(role: Role) -> None:
    assert set(ANY_BOOT[role]) < set(ALWAYS[role])


def test_the_receiver_of_a_boot_of_ones_own(tmp_path: Path) -> None:
    header = {**HEADER, "roles": [{"role": "receiver"}]}
    these = [header, {**TRIAL, "role": "receiver"}, *EVENTS, END, FOOTER]
    assert verdicts(opened(tmp_path / "t.ndjson", these)) == dict.fromkeys(ANY_BOOT[RECEIVER], Verdict.PASS)
    wide = [{**one, "width": 8} if one.get("agent") and one["line"] == "store" else one for one in these]
    found = verdicts(opened(tmp_path / "t.ndjson", wide))
    assert found == dict.fromkeys(ANY_BOOT[RECEIVER], Verdict.FAIL)
    hidden = [{**one, "facts": {"accesses": False}} if one["line"] == "trial" else one for one in these]
    assert set(verdicts(opened(tmp_path / "t.ndjson", hidden)).values()) == {Verdict.NOT_TESTABLE}


@pytest.mark.parametrize("claim", [lambda one: one["line"] != "request", lambda one: one["line"] != "landing", None])
def test_an_ap_loop_is_judged_by_a_sentence_only_if_it_was_asked_for_that(
    claim: Callable[[dict[str, Any]], bool] | None, tmp_path: Path
) -> None:
    path = tmp_path / "t.ndjson"
    saved("model:acpi-6.6", path, "RCV-03", roles=frozenset({RECEIVER}))
    these = [one for one in lines(path) if claim is None or claim(one)]
    if claim is None:
        these = [{**one, "ids": [*one["ids"][:-1], "0x77"]} if one["line"] == "trial" else one for one in these]
    arranged = claim is not None and any(one["line"] == "request" for one in these)
    side = opened(path, these).settled().driven[RECEIVER]
    judgement = judge(find("RCV-03", RECEIVER), side)
    assert ("others than those of its sentence" in judgement.reason) is not arranged
    assert judgement.verdict is (Verdict.PASS if arranged else Verdict.NOT_TESTABLE)


def test_a_sentence_that_nobody_asks_for_is_noted(tmp_path: Path) -> None:
    these = [HEADER, {**TRIAL, "says": ["a processor never acknowledge"]}, *EVENTS, END, FOOTER]
    (note,) = [one for one in opened(tmp_path / "t.ndjson", these).notes if "line 2" in one]
    assert "did you mean 'a processor never acknowledges'?" in note


def test_a_trial_may_stand_for_several_sentences(tmp_path: Path) -> None:
    both = [SAYS, "a processor acknowledges late"]
    target = opened(tmp_path / "t.ndjson", [HEADER, {**TRIAL, "says": both}, *EVENTS, END, FOOTER])
    side = target.driven[SENDER]
    assert side.trials(both[0]) == side.trials(both[1]) != ()


def text(these: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in these).encode()


def changed(at: int, **more: object) -> bytes:
    these = [dict(one) for one in BOOT]
    these[at] |= more
    return text(these)


BAD: list[tuple[bytes, int, str]] = [
    (b"", 0, "no header"),
    (text([TRIAL]), 1, "no header before it"),
    (text([HEADER, HEADER]), 2, "a second header"),
    (b"[]\n", 1, "not an object"),
    (b"{}\n", 1, "not a line of a trace"),
    (text([{"line": "verdict"}]), 1, "not a line of a trace"),
    (text([HEADER]) + b"{\n", 2, "not a line of JSON"),
    (text([HEADER]) + b"\xff\n", 2, "not a line of JSON"),
    (text([HEADER]) + b'{"line":"end","line":"end"}\n', 2, "not a line of JSON"),
    (text([HEADER]) + b'{"line":"end","time":1.5}\n', 2, "not a line of JSON"),
    (text([HEADER]) + b'{"line":"end","time":NaN}\n', 2, "not a line of JSON"),
    (text([HEADER]) + b"[" * 100_000 + b"\n", 2, "not a line of JSON"),
    (text([HEADER]) + b'{"line":"trial","facts":' + b'{"x":' * 60 + b"1" + b"}" * 61 + b"\n", 2, "nested deeper"),
    (text([HEADER, END]), 2, "not in a trial"),
    (text([HEADER, EVENTS[0]]), 2, "not in a trial"),
    (text([HEADER, TRIAL, TRIAL]), 3, "the trial of line 2 has not ended"),
    (text([HEADER, TRIAL, FOOTER]), 3, "the trial of line 2 has not ended"),
    (text([HEADER, FOOTER]), 2, "1 trials told, and 0 there"),
    (text([*BOOT, FOOTER]), 10, "a line behind the footer"),
    (text([*NAMED, REFUSED]), 9, "0 trials told, and 1 there"),
    (text([HEADER, REFUSED, REFUSED]), 3, "a second probe line"),
    (text([HEADER, REFUSED, NAMED[1]]), 3, "a trial behind the probe line"),
    (text([*NAMED, TRIAL]), 9, "trials that stand for sentences"),
    (text([*BOOT[:-1], NAMED[1]]), 9, "trials that stand for sentences"),
    (text([*BOOT[:-1], REFUSED]), 9, "a probe beside trials that stand for none"),
    (text([HEADER, {**REFUSED, "trials": 1}]), 2, "trials or a verdict"),
    (text([HEADER, {**REFUSED, "verdict": "pass"}]), 2, "is not a known value"),
    (text([HEADER, {**REFUSED, "role": "receiver"}]), 2, "does not name the role"),
    (text([HEADER, {**TRIAL, "says": [SAYS, SAYS]}]), 2, "a sentence twice"),
    (changed(0, format="mpwake-trace/2"), 1, "is not a known value"),
    (changed(0, roles=[]), 1, "one at least"),
    (changed(0, roles=[{"role": "sender"}, {"role": "sender"}]), 1, "each role once"),
    (changed(0, edition="acpi-5"), 1, "is not a known value"),
    (changed(1, role="tables"), 2, "is not a known value"),
    (changed(1, role="receiver"), 2, "does not name the role"),
    (changed(1, ids=[]), 2, "one at least"),
    (changed(1, ids=["0x100000000"]), 2, "32 bits"),
    (changed(1, ids=[1]), 2, "expected a number in hex"),
    (changed(1, before="0"), 2, "expected bytes in hex"),
    (changed(1, before="00" * 4097), 2, "longer than the page"),
    (changed(1, listing={"here": "nop"}), 2, "listing"),
    (changed(1, facts={"mailbox": "here"}), 2, "'mailbox' is not a number in hex"),
    (changed(1, facts={"mailbox": 1}), 2, "expected"),
    (changed(1, facts={"accesses": "no"}), 2, "'accesses' is not true or false"),
    (changed(1, surprise=1), 2, "unknown key 'surprise'"),
    (changed(2, value="1"), 3, "expected a number in hex"),
    (changed(2, value="0x1FFFFFFFFFFFFFFFF"), 3, "expected a number in hex"),
    (changed(2, value="0x100000000"), 3, "does not fit in 4 bytes"),
    (changed(2, value="-0x1"), 3, "not negative in a store"),
    (changed(2, line="return", value="-0x8000000000000001"), 3, "does not fit in 64 bits"),
    (changed(2, offset="0xffe"), 3, "in the page"),
    (changed(2, offset="-0x1"), 3, "not negative"),
    (changed(2, width=0), 3, "1 to 8 bytes"),
    (changed(2, width=16), 3, "1 to 8 bytes"),
    (changed(2, width=True), 3, "expected an integer"),
    (changed(2, time=1 << 53), 3, "2**53"),
    (changed(2, time=-1), 3, "2**53"),
    (changed(3, time=0), 4, "time 0 after time 1"),
    (changed(2, agent=2), 3, "agent 2, of 2"),
    (changed(2, facts={"rip": True}), 3, "'rip' is not a number in hex"),
    (changed(7, time=4), 8, "time 4 after time 5"),
    (changed(7, time=-1), 8, "2**53"),
    (changed(7, after="00" * 4097), 8, "longer than the page"),
]


@pytest.mark.parametrize(("data", "line", "words"), BAD, ids=[f"{at}" for at in range(len(BAD))])
def test_a_bad_line_is_told(data: bytes, line: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(data, "t.ndjson")
    assert words in str(caught.value)
    assert caught.value.where.startswith(f"t.ndjson:{line}" if line else "t.ndjson")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("MAX_LINES", 3, "more than 3 lines"), ("MAX_LINE", 60, "a line of more than 60 bytes")],
)
def test_reading_is_bounded(name: str, value: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, name, value)
    with pytest.raises(InputError, match=words):
        parse(text(BOOT), "t.ndjson")


def test_a_file_that_is_too_large_or_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.ndjson", BOOT)
    monkeypatch.setattr(read, "MAX_BYTES", 100)
    for spec, words in (
        (f"trace:{path}", "more than 100 bytes"),
        (f"trace:{tmp_path}", "not a regular file"),
        (f"trace:{tmp_path}/absent", "cannot be read"),
        ("trace:", "names no place"),
    ):
        with pytest.raises(InputError, match=words):
            open_target(spec)
    with pytest.raises(InputError, match="no further evidence"):
        open_target(f"trace:{path}", ("page.bin",))


def test_a_number_in_hex_is_no_text(tmp_path: Path) -> None:
    facts = {"announced": "madt", "host": {"text": "0x10"}, "calls": "0x10", "accesses": True}
    these = [HEADER, {**TRIAL, "says": [SAYS], "facts": facts, "listing": {"0x7F5E6000": "nop"}}, END, FOOTER]
    (trace,) = opened(tmp_path / "t.ndjson", these).driven[SENDER].trials(SAYS)
    assert trace.facts == {"announced": "madt", "host": "0x10", "calls": 16, "accesses": True}
    assert trace.listing == {0x7F5E6000: "nop"}


def test_the_command_saves_and_judges_again(tmp_path: Path) -> None:
    first = mpwake("run", "model:td-shim", "RCV-09", "--save-traces", "t.ndjson", "--quiet", cwd=tmp_path)
    second = mpwake("run", "trace:t.ndjson", "RCV-09", "--quiet", cwd=tmp_path)
    assert first.returncode == second.returncode == 1, second.stderr
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model:reference", "MADT-01", "--role", "tables", "--save-traces", "t.ndjson"), "there are no trials"),
        (("model:os-reference", "SND-06", "--save-traces", "."), "Is a directory"),
    ],
)
def test_what_cannot_be_saved_is_told(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = mpwake("run", *words, "--quiet", cwd=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert not (tmp_path / "t.ndjson").exists()
