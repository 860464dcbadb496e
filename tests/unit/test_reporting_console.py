"""The report on a terminal, and the progress bar."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpwake.reporting import console
from mpwake.reporting.evidence_text import sentence
from mpwake.spec.verdicts import Verdict
from mpwake.suite.events import Run, Started
from support import runs

EXAMPLES = [runs.conforming(), runs.non_conforming(), runs.interop_failing(), runs.incomplete(), runs.every_verdict()]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize("run", EXAMPLES)
@pytest.mark.parametrize("width", [60, 80, 132])
def test_every_line_but_the_last_keeps_to_the_width(run: Run, width: int) -> None:
    lines = console.text(run, width).splitlines()
    assert max(len(line) for line in lines[:-1]) <= width
    assert lines[-1] == sentence(run)


def test_a_failure_is_shown_with_clause_reason_and_bytes() -> None:
    text = console.text(runs.non_conforming(), 80)
    assert "x MADT-03  A version 1 structure is 24 bytes long\n" in text
    assert "  acpi-6.6 section 5.2.12.19, Table 5.45 (tables, conformance)\n" in text
    assert "  the structure is 16 bytes long, not 24\n" in text
    assert "  found     Length 16\n  expected  Length 24, because MailBoxVersion is 1\n" in text
    assert "  00000030  01 00 00 00 10[10]01 00  00 00 00 00 00 f0 0e 00  |................|\n" in text
    assert "MailBoxVersion 1\n" not in text
    assert text.endswith("non-conforming: 2 requirements fail (MADT-03, MEM-01)\n")


def test_a_reason_that_only_repeats_the_evidence_is_not_printed_twice() -> None:
    one = runs.selected("MADT-03")
    evidence = [runs.seen(False, "Length 16", "Length 24")]
    run = runs.run_of((one, runs.judge(one, Verdict.FAIL, "Length 16; expected Length 24", evidence)))
    text = console.text(run, 80)
    assert "Length 16; expected" not in text
    assert "  found     Length 16\n  expected  Length 24\n" in text


def test_the_head_says_what_was_tested_and_against_what() -> None:
    text = console.text(runs.non_conforming(), 80)
    assert re.search(r"^tested +tables:/sys/firmware/acpi$", text, re.MULTILINE)
    assert re.search(r"^MADT +/sys/firmware/acpi/tables/APIC  68 bytes  sha256 [0-9a-f]{12}$", text, re.MULTILINE)
    assert re.search(r"^held against +acpi-6.6: the MADT declares revision 7$", text, re.MULTILINE)


def test_what_does_not_count_stands_apart_with_the_option_that_counts_it() -> None:
    text = console.text(runs.interop_failing(), 80)
    assert "Failures" not in text
    assert "Other findings (do not fail this run; --strict interop)\n" in text
    assert console.text(runs.interop_failing("interop"), 80).count("Failures") == 1


def test_what_was_not_judged_is_grouped_by_reason() -> None:
    text = console.text(runs.every_verdict(), 80)
    assert "Not testable\n  the target has no AML: MADT-16, TDX-01\n" in text
    assert "Not applicable\n  not in acpi-6.6: MADT-02\n" in text
    assert "Waived\n  known; A. Vendor, until 2026-12-31: MADT-12\n" in text


def test_ids_of_one_area_are_run_together() -> None:
    many = [runs.selected(f"MADT-0{number}") for number in (1, 2, 3)]
    run = runs.run_of(*((one, runs.judge(one, Verdict.NOT_TESTABLE, "no tables")) for one in many))
    assert "  no tables: MADT-01 02 03\n" in console.text(run, 80)


def test_an_incomplete_run_never_shows_green_and_lists_what_was_never_judged() -> None:
    text = console.text(runs.incomplete(), 80, colour=True)
    assert "\x1b[32m" not in text
    assert "\x1b[1;32m" not in text
    plain = console.text(runs.incomplete(), 80)
    assert "Never judged\n  the run ended before this was judged: SND-01\n" in plain
    assert plain.splitlines()[-1].startswith("incomplete: ")


def test_colour_changes_nothing_but_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "33")
    coloured = console.text(runs.every_verdict(), 80, colour=True)
    assert "\x1b[" in coloured
    plain = "".join(f"{line.rstrip()}\n" for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines())
    assert plain == console.text(runs.every_verdict(), 80)


def test_long_evidence_is_cut_with_a_note() -> None:
    one, finished = runs.length_fails()
    seen = tuple(runs.seen(False, f"entry {number}") for number in range(9))
    judged = (attrs.evolve(finished.judged[0], seen=seen),)
    text = console.text(runs.run_of((one, attrs.evolve(finished, judged=judged))), 80)
    assert "entry 5" in text
    assert "entry 6" not in text
    assert "... and 3 more" in text


@settings(deadline=None)
@given(st.text())
def test_no_text_reaches_the_terminal_as_a_command(text: str) -> None:
    shown = console.text(runs.worded(text), 80)
    assert all(character == "\n" or character.isprintable() or ord(character) > 0x9F for character in shown)


def test_progress_is_silent_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    one, finished = runs.length_fails()
    with console.Progress(stream) as progress:
        for event in (runs.header([one]), finished):
            progress(event)
    assert stream.getvalue() == ""


def test_progress_shows_how_far_a_run_has_come() -> None:
    stream = Terminal()
    one, finished = runs.length_fails()
    with console.Progress(stream) as progress:
        progress(runs.header([one, runs.selected("MADT-07")]))
        progress(Started("started", one.scenarios[0], "[bold]a scenario\x1b[2J", "tables"))
        progress(finished)
    shown = stream.getvalue()
    assert "1/2" in shown
    assert "\x1b[2J" not in shown


def test_progress_stops_when_the_run_breaks() -> None:
    stream = Terminal()
    with pytest.raises(KeyError), console.Progress(stream) as progress:
        progress(runs.header([runs.selected("MADT-07")]))
        raise KeyError
    assert stream.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in stream.getvalue()


def test_rich_is_not_imported_until_something_is_printed() -> None:
    program = "import sys, mpwake.reporting.console; sys.exit('rich' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0
