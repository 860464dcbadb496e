"""The command line, end to end: exit codes, screens, and what bad input is told."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpwake.evidence.acpi import checksummed
from mpwake.spec.verdicts import Verdict
from mpwake.suite import events
from mpwake.targets import open_target
from support.cli import check_screen, environment, mpwake

SUPPORT = Path(__file__).parent.parent / "support"


@pytest.fixture
def good(tmp_path):
    """A conforming MADT of ACPI 6.6 in a directory of its own."""
    path = tmp_path / "good-v1.dat"
    path.write_bytes(open_target("model:reference").tables.madt.data)
    return path


def changed(good, edit, name="bad.dat"):
    path = good.with_name(name)
    path.write_bytes(edit(bytearray(good.read_bytes())))
    return path


def flip_checksum(data):
    data[9] ^= 0x55
    return bytes(data)


def shorten(data):
    at = open_target("model:reference").tables.madt.wakeups[0].entry.offset
    data = data[:at] + bytes([0x10, 16]) + data[at + 2 : at + 16]
    return checksummed(bytes(data[:4] + len(data).to_bytes(4, "little") + data[8:]))


def document(result):
    return json.loads(result.stdout)


def verdicts(result):
    return {one["id"]: one["verdict"] for one in document(result)["requirements"]}


def test_a_conforming_table_exits_0(good):
    result = mpwake("run", f"tables:{good.name}", "--edition", "acpi-6.6", cwd=good.parent)
    assert result.returncode == 0, result.stderr
    check_screen("run-good-v1", result.stdout)
    assert {path.name for path in (good.parent / "reports/out").iterdir()} == {
        "events.ndjson",
        "results.json",
        "junit.xml",
        "report.html",
        "allure-results",
    }


def test_a_wrong_checksum_exits_1_names_madt_12_and_shows_the_offset(good):
    bad = changed(good, flip_checksum)
    result = mpwake("run", f"tables:{bad.name}", cwd=good.parent)
    assert result.returncode == 1
    assert "non-conforming: 1 requirement fails (MADT-12)" in result.stdout
    assert "byte at offset 9" in result.stdout
    check_screen("run-checksum", result.stdout)


def test_version_1_with_length_16_names_madt_03(good):
    result = mpwake("run", f"tables:{changed(good, shorten).name}", "--format", "json", cwd=good.parent)
    assert result.returncode == 1
    assert [one for one, verdict in verdicts(result).items() if verdict == "fail"] == ["MADT-03", "MADT-14"]
    assert document(result)["verdict"] == "fail"


def test_a_file_of_another_kind_exits_2_with_one_sentence(tmp_path):
    result = mpwake("run", "tables:/etc/passwd", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    check_screen("run-passwd", result.stderr)
    assert not (tmp_path / "reports").exists()


def test_the_reference_platform_is_the_default(tmp_path):
    result = mpwake("run", cwd=tmp_path)
    assert result.returncode == 0
    check_screen("run-reference", result.stdout)
    assert "reports: reports/out/report.html" in result.stderr


def test_a_table_without_a_mailbox_is_no_success(tmp_path):
    data = open_target("model:reference").tables.madt
    kept = b"".join(entry.data for entry in data.entries if entry.type != 0x10)
    table = data.data[:4] + (44 + len(kept)).to_bytes(4, "little") + data.data[8:44] + kept
    (tmp_path / "none.dat").write_bytes(checksummed(table))
    result = mpwake("run", "tables:none.dat", "--format", "json", cwd=tmp_path)
    assert result.returncode == 4
    assert document(result)["verdict"] == "not-applicable"
    assert "pass" not in verdicts(result).values()
    reasons = {one["reason"] for one in document(result)["requirements"] if one["id"] == "MADT-07"}
    assert reasons == {"the MADT has no entry of type 0x10 (Multiprocessor Wakeup Structure)"}


def test_json_is_one_document_with_the_promised_keys(good):
    result = mpwake("run", f"tables:{good.name}", "--format", "json", cwd=good.parent)
    told = document(result)
    assert {"complete", "verdict", "exit_code", "edition", "subject", "requirements"} <= told.keys()
    assert (told["complete"], told["exit_code"]) == (True, 0)
    assert told["subject"]["inputs"][0]["sha256"]
    row = told["requirements"][0]
    assert {"id", "title", "basis", "role", "verdict", "reason", "scenarios", "evidence"} <= row.keys()


def test_failures_of_other_weights_fail_only_when_asked(good):
    def old_revision(data):
        data[8] = 1
        return checksummed(bytes(data))

    bad = changed(good, old_revision)
    assert mpwake("run", f"tables:{bad.name}", cwd=good.parent).returncode == 0
    strict = mpwake("run", f"tables:{bad.name}", "--strict", "interop", cwd=good.parent)
    assert strict.returncode == 1
    assert "MADT-14" in strict.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "tabels:x"], 2, "did you mean 'tables'?"),
        (["run", "model:refrence"], 2, "did you mean 'reference'?"),
        (["run", "MADT-77"], 2, "nothing is called 'MADT-77'"),
        (["run", "KEX", "--role", "tables"], 5, "nothing selected: no scenario of role tables is among KEX"),
        (["run", "model:devicetree", "--role", "sender"], 5, "nothing selected"),
        (["run", "madt.feature:1"], 2, "no scenario at madt.feature:1"),
        (["run", "nosuch.feature"], 2, "no feature file 'nosuch.feature'"),
        (["run", "tables:nosuch.dat"], 2, "nosuch.dat: no such file or directory"),
        (["run", "--strict", "intreop"], 2, "did you mean 'interop'?"),
        (["run", "--edition", "acpi-5.0"], 2, "'acpi-5.0' is not one of"),
        (["explain", "MADT-99"], 2, "no requirement 'MADT-99'"),
        (["report", "nosuch"], 2, "nosuch: cannot be read"),
        (["rnu"], 2, "did you mean 'run'?"),
        (["run", "--out", "/dev/null/x"], 2, "--out"),
    ],
)
def test_bad_usage_is_told_in_words(arguments, code, told, tmp_path):
    result = mpwake(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["MADT-07"], {"MADT-07"}),
        (["@MADT-07", "MEM-01"], {"MADT-07", "MEM-01"}),
        (["HVL", "--role", "tables"], {"HVL-06", "HVL-07", "HVL-08"}),
        (["features/mailbox/mem.feature", "--role", "tables"], {"MEM-01", "MEM-02", "MEM-15", "MEM-16"}),
        (["enumeration/sel.feature", "--role", "tables"], {"SEL-03", "SEL-11"}),
        (["madt.feature:8"], {"MADT-01"}),
    ],
)
def test_selection(words, expected, tmp_path):
    assert set(verdicts(mpwake("run", *words, "--format", "json", cwd=tmp_path))) == expected


def test_a_check_that_breaks_is_an_error_and_never_a_failure(tmp_path):
    for fault in ("ValueError", "AssertionError"):
        result = mpwake("run", "--format", "json", cwd=tmp_path, program=(str(SUPPORT / "broken.py"), fault))
        assert result.returncode == 3, result.stderr
        told = {one["id"]: one for one in document(result)["requirements"]}
        assert told["MADT-07"]["verdict"] == "error"
        assert "the check itself is at fault" in told["MADT-07"]["reason"]
        assert told["MADT-08"]["verdict"] == "pass"


def start_slowly(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, SUPPORT / "slowed.py", "run", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_scenarios(stream, count):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = stream.read_text() if stream.is_file() else ""
        if text and text.count('"event":"scenario"') >= count and '"event":"footer"' not in text:
            return
        time.sleep(0.02)
    pytest.fail("the run did not get going")


def test_a_killed_run_reads_as_incomplete(tmp_path):
    mpwake("run", cwd=tmp_path)
    assert (tmp_path / "reports/out/report.html").exists()
    process = start_slowly(tmp_path)
    wait_for_scenarios(tmp_path / "reports/out/events.ndjson", 5)
    process.kill()
    process.communicate()
    left = {path.name for path in (tmp_path / "reports/out").iterdir()}
    assert left == {"events.ndjson"}, "reports of the run before would read as this one's"
    result = mpwake("report", "reports/out", cwd=tmp_path)
    assert result.returncode == 4
    assert "incomplete" in result.stdout.splitlines()[-1]
    told = json.loads(mpwake("report", "json", "reports/out/events.ndjson", cwd=tmp_path).stdout)
    assert (told["complete"], told["verdict"]) == (False, "incomplete")
    assert mpwake("report", "html", "reports/out", "-o", "page.html", cwd=tmp_path).returncode == 4


def test_any_cut_of_a_stream_reads_as_incomplete(tmp_path):
    mpwake("run", cwd=tmp_path)
    stream = (tmp_path / "reports/out/events.ndjson").read_bytes()
    header = stream.index(b"\n") + 1
    for length in range(header, len(stream), max(1, (len(stream) - header) // 12)):
        (tmp_path / "cut.ndjson").write_bytes(stream[:length])
        assert mpwake("report", "json", "cut.ndjson", cwd=tmp_path).returncode == 4
    (tmp_path / "cut.ndjson").write_bytes(stream[: header // 2])
    assert mpwake("report", "json", "cut.ndjson", cwd=tmp_path).returncode == 2


def test_ctrl_c_keeps_what_was_judged_and_exits_130(tmp_path):
    process = start_slowly(tmp_path)
    stream = tmp_path / "reports/out/events.ndjson"
    wait_for_scenarios(stream, 5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    events = [json.loads(line) for line in stream.read_text().splitlines()]
    assert events[-1]["event"] != "footer"
    assert sum(event["event"] == "scenario" for event in events) >= 5
    assert not any(one["verdict"] == "error" for event in events for one in event.get("judged", ()))
    assert mpwake("report", "reports/out", cwd=tmp_path).returncode == 4


@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_at_a_random_moment_exits_130(seed, tmp_path):
    process = start_slowly(tmp_path)
    stream = tmp_path / "reports/out/events.ndjson"
    wait_for_scenarios(stream, 0)
    time.sleep(random.Random(seed).uniform(0, 0.7))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "interrupted" in errors, "Traceback" in errors) == (130, True, False)
    run = events.load(stream)
    assert (run.complete, run.exit_code) == (False, 4)
    judged = {one.verdict for result in run.results for one in result.judged}
    assert not judged & {Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE}


def test_the_same_seed_gives_the_same_events_but_for_time(tmp_path):
    def events(folder):
        mpwake("run", "--seed", "7", "--out", "out", cwd=folder)
        lines = [json.loads(line) for line in (folder / "out/events.ndjson").read_text().splitlines()]
        for line in lines:
            line.pop("duration", None)
        return lines

    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    assert events(folders[0]) == events(folders[1])


def test_a_report_can_be_made_again_from_the_stream(good):
    result = mpwake("run", f"tables:{good.name}", cwd=good.parent)
    again = mpwake("report", "reports/out", cwd=good.parent)
    assert (again.returncode, again.stdout) == (0, result.stdout)
    for form, name in (("json", "results.json"), ("junit", "junit.xml"), ("html", "report.html")):
        made = mpwake("report", form, "reports/out", cwd=good.parent).stdout
        assert made == (good.parent / "reports/out" / name).read_text(encoding="utf-8")


def test_evidence_given_with_options_is_judged(good):
    (good.parent / "e820.txt").write_text(
        "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n"
        "BIOS-e820: [mem 0x000000007f5e5000-0x000000007f5e7fff] ACPI NVS\n"
    )
    extra = ["--with", "e820.txt", "--with", "boot-apic-id:0", "--with", "reset-code-size:0x98"]
    result = mpwake("run", f"tables:{good.name}", *extra, "--format", "json", cwd=good.parent)
    told = verdicts(result)
    assert {told[one] for one in ("MADT-08", "MADT-09", "MADT-11", "MADT-29", "MEM-02", "TRM-10")} == {"pass"}


def test_a_target_file_declares_the_same(good):
    (good.parent / "target.yaml").write_text(
        f"kind: tables\nlocation: {good.name}\nevidence: [boot-apic-id:4]\nedition: acpi-6.6\n"
    )
    result = mpwake("run", "target.yaml", "MADT-29", "--strict", "guidance", "--format", "json", cwd=good.parent)
    assert result.returncode == 1
    assert document(result)["edition_reason"] == "target.yaml says so"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["explain", "MADT-07"],
        ["coverage"],
        ["mutants", "--role", "tables"],
        ["list", "platforms"],
        ["list", "editions"],
    ],
    ids=" ".join,
)
def test_screens(arguments, tmp_path):
    result = mpwake(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    check_screen("-".join(arguments).replace("--", ""), result.stdout)


@pytest.mark.parametrize("what", ["requirements", "scenarios", "platforms", "mutants", "editions"])
def test_every_list_is_json_too(what, tmp_path):
    rows = json.loads(mpwake("list", what, "--format", "json", cwd=tmp_path).stdout)
    assert rows
    assert what != "requirements" or len(rows) == 229


@pytest.mark.parametrize("name", ["requirement", "platform", "mutant", "target", "corpus", "events"])
def test_schemas_are_printed(name, tmp_path):
    assert json.loads(mpwake("schema", name, cwd=tmp_path).stdout)["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("arguments", [["--help"], ["list", "requirements"], ["explain", "MADT-07"]], ids=" ".join)
def test_quick_commands_leave_the_heavy_libraries_alone(arguments, tmp_path):
    script = (
        "import sys\n"
        "from mpwake.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'numpy', 'hypothesis', 'rich', 'behave', 'jinja2', 'allure_commons'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    result = mpwake(*arguments, cwd=tmp_path, program=("-c", script))
    assert result.returncode == 0, f"imported: {result.stderr}"


def test_a_closed_pipe_is_no_traceback(tmp_path):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "mpwake", "list", "requirements"],
        cwd=tmp_path,
        env=environment(),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert "Traceback" not in process.stderr
