"""The runner target: its protocol, and programs that keep to it, that hold faulty loops, or that break."""

from __future__ import annotations

import os
import stat
import textwrap
import time
from pathlib import Path

import pytest

from mpwake.checks.core import Judgement, Unjudged, find, judge
from mpwake.checks.loop import Seen, needs_accesses
from mpwake.evidence.trace import Event, Kind, Trace
from mpwake.model.agent import PAGE
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role
from mpwake.spec.verdicts import Verdict
from mpwake.targets import open_target
from mpwake.targets.runner import drive, process
from mpwake.targets.runner.drive import _authored, _changed
from mpwake.targets.runner.protocol import (
    FLAT,
    MAX_LINE,
    Bye,
    Fault,
    Hello,
    Landed,
    Parked,
    ProtocolError,
    decode,
    encode,
)

RECEIVER = Role.RECEIVER
HELLO = '{"message":"hello","protocol":"mpwake-runner/1","name":"x","capabilities":[]'


def test_a_message_of_the_suite_is_one_compact_line() -> None:
    assert encode("park", id=3) == b'{"message":"park","id":3}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (HELLO + "}", Hello("x", ())),
        (HELLO + ',"edition":"acpi-6.5","mailbox":4096}', Hello("x", (), "acpi-6.5", 4096)),
        ('{"message":"parked","id":4294967295}', Parked(0xFFFFFFFF)),
        ('{"message":"landed","id":1,"vector":18446744073709551615}', Landed(1, (1 << 64) - 1)),
        ('{"message":"landed","id":1,"vector":2,"facts":{"paging":true}}', Landed(1, 2, {"paging": True})),
        ('{"message":"fault","text":"gone"}', Fault("gone")),
        (' { "message" : "bye" } ', Bye()),
    ],
)
def test_a_message_of_the_program_is_decoded(line: str, message: object) -> None:
    assert decode(line.encode()) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 4000, "not JSON"),
        (b" " * (MAX_LINE + 1), "more than 4096 bytes"),
        (b'{"message":"bye","message":"bye"}', "occurs twice"),
        (b'{"message":"bye","x":1}', "no field 'x'"),
        (b'{"message":"quit"}', "no message 'quit'"),
        (b'{"message":7}', "'message' is not text"),
        (b'{"id":7}', "'message' is missing"),
        (b'{"message":"parked"}', "'id' is missing"),
        (b'{"message":"parked","id":true}', "'id' is not an integer of 32 bits"),
        (b'{"message":"parked","id":1.0}', "'id' is not an integer of 32 bits"),
        (b'{"message":"parked","id":4294967296}', "'id' is not an integer of 32 bits"),
        (b'{"message":"parked","id":-1}', "'id' is not an integer of 32 bits"),
        (b'{"message":"parked","id":NaN}', "NaN is no number"),
        (b'{"message":"landed","id":1,"vector":18446744073709551616}', "'vector' is not an integer of 64 bits"),
        (b'{"message":"landed","id":1,"vector":1,"facts":[]}', "'facts' is not an object"),
        (b'{"message":"landed","id":1,"vector":1,"facts":{"mood":true}}', "no fact 'mood'"),
        (b'{"message":"landed","id":1,"vector":1,"facts":{"paging":1}}', "'paging' is not true or false"),
        (b'{"message":"landed","id":1,"vector":1,"facts":{"mapped":true}}', "either all are told or none"),
        (b'{"message":"landed","id":1,"vector":1,"facts":{"cs base":0}}', "either all are told or none"),
        (b'{"message":"fault","text":"a\\nb"}', "'text' is not text"),
        ((HELLO + ',"edition":"acpi-1.0"}').encode(), "no edition 'acpi-1.0'"),
        ((HELLO + "}").replace("[]", '["fly"]').encode(), "no capability 'fly'"),
        ((HELLO + "}").replace("[]", "{}").encode(), "'capabilities' is not a list"),
        ((HELLO + "}").replace("runner/1", "runner/2").encode(), "this suite speaks mpwake-runner/1"),
    ],
)
def test_anything_else_is_refused_with_the_reason(line: bytes, words: str) -> None:
    with pytest.raises(ProtocolError) as told:
        decode(line)
    assert words in str(told.value)


def test_a_change_of_a_field_is_one_store_of_it_and_other_bytes_are_runs() -> None:
    before, after = bytearray(PAGE), bytearray(PAGE)
    after[0] = after[5] = 1
    after[16:30] = b"x" * 14
    after[PAGE - 1] = 1
    assert list(_changed(bytes(before), bytes(after))) == [(0, 2), (4, 4), (16, 8), (24, 6), (PAGE - 1, 1)]


def test_a_change_belongs_to_the_processor_that_lands_next_within_the_request() -> None:
    request = Event(0, 0, Kind.REQUEST)
    store, landing = Event(1, 1, Kind.STORE, width=2), Event(2, 2, Kind.LANDING)
    stray = list(_authored([request, store, landing]))
    assert [one.agent for one in stray] == [0, 2, 2]
    later = list(_authored([request, store, request, landing]))
    assert [one.agent for one in later] == [0, 1, 0, 2]


@pytest.mark.parametrize("hidden", [False, True])
def test_what_is_good_needs_every_access_and_what_is_bad_does_not(hidden: bool) -> None:
    facts = {"accesses": False} if hidden else {}
    trace = Trace((0, 1), (), bytes(PAGE), bytes(PAGE), 0, facts=facts)
    good, bad = Seen(True, "good", ""), Seen(False, "bad", "")
    judged = iter(needs_accesses(lambda _trace: (good, bad))(trace))
    if not hidden:
        assert list(judged) == [good, bad]
        return
    assert next(judged) == bad
    with pytest.raises(Unjudged) as reason:
        next(judged)
    assert "does not see each load and store" in reason.value.reason


PROGRAM = """
#!/usr/bin/env python3
import json, mmap, os, struct, sys, threading, time

def say(message, **fields):
    os.write(1, (json.dumps({"message": message, **fields}) + "\\n").encode())

def loop(own):
    say("parked", id=own)
    while True:
        command, _, apic, vector = struct.unpack("<HHIQ", page[:16])
        if __MATCH__:
            __ACK__
            if command != 2:
                __LAND__
        time.sleep(0.0003)

page, parked = None, []
file = open(sys.argv[-1], "r+b")
page = mmap.mmap(file.fileno(), 4096)
for line in sys.stdin:
    told = json.loads(line)
    kind = told["message"]
    if kind == "hello":
        say("hello", protocol="mpwake-runner/1", name="x", capabilities=[], **__MORE__)
    elif kind == "park":
        parked.append(told["id"])
    elif kind == "go":
        __GO__
        for own in parked:
            threading.Thread(target=loop, args=(own,), daemon=True).start()
    elif kind == "bye":
        say("bye")
        os._exit(0)
"""
PARTS = {
    "MATCH": "command in (1, 2) and apic == own",
    "ACK": "page[0:2] = b'\\0\\0'",
    "LAND": "return say('landed', id=own, vector=vector)",
    "MORE": "{}",
    "GO": "pass",
}


def program(folder: Path, **changes: str) -> str:
    text = PROGRAM
    for name, value in (PARTS | changes).items():
        text = text.replace(f"__{name}__", value)
    return script(folder, text)


def script(folder: Path, text: str) -> str:
    path = folder / "dut"
    path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    path.chmod(stat.S_IRWXU)
    return f"runner:{path}"


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "TRIALS", 1)
    monkeypatch.setattr(drive, "LIMIT", 1.5)
    monkeypatch.setattr(process, "ENDS", 1.0)


def judged(spec: str, *ids: str) -> dict[str, Judgement]:
    side = open_target(spec).driven[RECEIVER]
    return {one: judge(find(one, RECEIVER), side) for one in ids}


def verdicts(spec: str, *ids: str) -> dict[str, Verdict]:
    return {id: one.verdict for id, one in judged(spec, *ids).items()}


def test_a_good_loop_fails_nothing_and_passes_nothing_that_was_not_seen(tmp_path: Path) -> None:
    hidden = "RCV-03 RCV-08 RCV-09 MEM-03 MEM-04 MEM-06 MEM-07 MEM-10 MEM-11 ORD-05 ORD-07 ORD-09 ORD-10".split()
    seen = ["RCV-01", "RCV-02", "RCV-05", "RCV-06", "RCV-10", "MEM-08", "MEM-12"]
    untold = ["RCV-11", "RCV-12", "RCV-13", "RCV-14", "RCV-21", "RCV-22", "RST-08", "RST-13", "RST-19", "TDX-03"]
    found = verdicts(program(tmp_path), *hidden, *seen, *untold)
    assert {id: one for id, one in found.items() if id in seen} == dict.fromkeys(seen, Verdict.PASS)
    rest = {*hidden, *untold}
    assert {id: one for id, one in found.items() if id in rest} == dict.fromkeys(rest, Verdict.NOT_TESTABLE)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        pytest.param({"ACK": "page[0:8] = bytes(8)"}, "MEM-06 RCV-09", id="acknowledges-with-8-bytes"),
        pytest.param({"ACK": "page[16:20] = b'abcd'; page[0:2] = bytes(2)"}, "MEM-04 MEM-12", id="scribbles"),
        pytest.param({"ACK": "page[8:16] = bytes(8)"}, "RCV-06 RCV-08 MEM-06", id="clears-the-vector-instead"),
        pytest.param({"ACK": "pass"}, "RCV-06 RCV-08", id="never-acknowledges"),
        pytest.param({"MATCH": "command == 1 and apic != own"}, "RCV-02", id="takes-what-is-for-others"),
        pytest.param({"MATCH": "apic == own"}, "RCV-04", id="never-looks-at-command"),
        pytest.param({"MATCH": "command and apic == own"}, "RCV-10", id="any-command"),
        pytest.param({"MATCH": "command == 1 and apic & 255 == own & 255"}, "MEM-10", id="one-byte-of-the-id"),
        pytest.param(
            {"LAND": "return say('landed', id=own, vector=vector & 0xffffffff)"}, "RCV-05 MEM-11", id="half-a-vector"
        ),
        pytest.param({"LAND": "say('landed', id=own, vector=vector)"}, "RCV-16 DUP-07", id="goes-on-polling"),
        pytest.param(
            {"LAND": "return say('fault', id=own, text='triple fault')"}, "RCV-01", id="faults-instead-of-landing"
        ),
    ],
)
def test_a_faulty_loop_is_found(changes: dict[str, str], broken: str, tmp_path: Path) -> None:
    found = judged(program(tmp_path, **changes), *broken.split())
    assert {id: one.verdict for id, one in found.items()} == dict.fromkeys(broken.split(), Verdict.FAIL)


def test_facts_of_a_landing_are_judged_where_they_are_told(tmp_path: Path) -> None:
    facts = {"interrupts": True, "long mode": True, "64-bit code": True}
    facts |= {name: 0 if name.endswith("base") else 0xFFFFFFFF for name in FLAT}
    land = f"return say('landed', id=own, vector=vector, facts={facts})"
    found = verdicts(program(tmp_path, LAND=land), "RCV-11", "RCV-12", "RCV-14")
    assert found == {"RCV-11": Verdict.FAIL, "RCV-12": Verdict.PASS, "RCV-14": Verdict.PASS}


def test_slowness_alone_is_inconclusive(tmp_path: Path) -> None:
    spec = program(tmp_path, MATCH="False")
    found = judged(spec, "RCV-01", "RCV-10")
    assert {one.verdict for one in found.values()} == {Verdict.INCONCLUSIVE}


def test_an_edition_and_a_mailbox_that_the_program_declares_count(tmp_path: Path) -> None:
    spec = program(tmp_path, MORE="{'edition': 'acpi-6.5', 'mailbox': 0x7F5E5000}")
    target = open_target(spec).settled()
    assert (target.edition and target.edition.value, target.edition_reason) == ("acpi-6.5", "the program says so")
    side = target.driven[RECEIVER]
    assert judge(find("RST-10", RECEIVER), side).verdict is Verdict.NOT_APPLICABLE
    assert (
        judge(find("RCV-13", RECEIVER), side).reason
        == "the target does not tell the state of the processor at the vector"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\nexit 3\n", "exited with 3"),
        ("#!/bin/sh\nkill -9 $$\n", "was ended by signal 9"),
        ("#!/nowhere/at/all\n", "cannot be started"),
        ("#!/bin/sh\necho hello; sleep 60\n", "message 1: not JSON"),
        ('#!/bin/sh\necho \'{"message":"bye"}\'; sleep 60\n', "does not begin with hello"),
        (f"#!/bin/sh\necho '{HELLO}}}'; sleep 60\n", "does not answer bye within 1 s"),
        ("#!/bin/sh\nexec head -c 1000000 /dev/zero\n", "a line of more than 4096 bytes"),
        ('#!/bin/sh\nexec yes \'{"message":"bye"}\'\n', "more than 1000 messages in one trial"),
    ],
)
def test_a_program_that_does_not_work_is_bad_input(text: str, words: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match=words):
        open_target(script(tmp_path, text))
    assert time.monotonic() - began < 5


def test_a_program_that_says_nothing_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STARTS", 0.5)
    with pytest.raises(InputError, match=r"says nothing within 0\.5 s"):
        open_target(script(tmp_path, "#!/bin/sh\nsleep 60\n"))


@pytest.mark.parametrize(
    ("go", "words"),
    [
        ("os._exit(7)", "exited with 7"),
        ("say('parked', id=99)", "a processor 0x63, which was never named"),
        ("say('fault', text='no board')", "the program reports: no board"),
        ("say('hello', protocol='mpwake-runner/1', name='x', capabilities=[])", "hello in the middle of a trial"),
        ("say('parked', id=1); say('parked', id=1)", "which was not asked"),
        ("os.write(1, b'no' * 5000)", "a line of more than 4096 bytes"),
        ("say('parked', id='1')", "'id' is not an integer"),
    ],
)
def test_a_program_that_breaks_in_a_trial_is_an_error_and_no_failure(go: str, words: str, tmp_path: Path) -> None:
    side = open_target(program(tmp_path, GO=go)).driven[RECEIVER]
    for _ in range(2):
        with pytest.raises(InputError, match=words):
            judge(find("RCV-01", RECEIVER), side)


def test_after_three_breakages_it_is_not_started_any_more(tmp_path: Path) -> None:
    side = open_target(program(tmp_path, GO="os._exit(7)")).driven[RECEIVER]
    for one in ("RCV-01", "RCV-02", "RCV-04"):
        with pytest.raises(InputError, match="exited with 7"):
            judge(find(one, RECEIVER), side)
    (tmp_path / "dut").unlink()
    with pytest.raises(InputError, match="exited with 7"):
        judge(find("RCV-05", RECEIVER), side)


def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    answers = f"read hello\necho '{HELLO}}}'\nread bye\necho '{{\"message\":\"bye\"}}'\n"
    text = f"#!/bin/sh\nsleep 300 & echo $! > {note}\n{answers}"
    open_target(script(tmp_path, text))
    pid = int(note.read_text())
    until = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_a_program_that_is_not_there_or_not_executable_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        open_target(f"runner:{tmp_path / 'nothing'}")
    path = tmp_path / "text"
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    with pytest.raises(InputError, match="is not executable"):
        open_target(f"runner:{path}")


def test_a_target_file_gives_arguments(tmp_path: Path) -> None:
    script(
        tmp_path,
        f'#!/bin/sh\n[ "$1" = -v ] || exit 9\nread hello\necho \'{HELLO}}}\'\nread bye\necho \'{{"message":"bye"}}\'\n',
    )
    file = tmp_path / "target.yaml"
    file.write_text('kind: runner\nlocation: dut\narguments: ["-v"]\n', encoding="utf-8")
    assert open_target(str(file)).notes == ("it calls itself x",)
    file.write_text("kind: tables\nlocation: dut\narguments: [x]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"takes no arguments") as told:
        open_target(str(file))
    assert told.value.where == f"{file}:3:12"
