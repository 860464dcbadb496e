"""Ctrl-C at any moment of a run: it exits with 130, and what it has told so far can be read and is true."""

import contextlib
import io
import os
import signal
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mpwake.cli.main import main
from mpwake.spec.errors import InputError
from mpwake.suite import events

WORDS = ("run", "--quiet", "MADT-05", "MADT-07", "MEM-01", "MADT-12")
NOTHING_LEFT = "nothing left to stop"


class Presses:
    """A profile function that presses Ctrl-C at the calls of those numbers, wherever these come from."""

    def __init__(self, *moments):
        self.moments = moments
        self.count = 0
        self.pressed = 0

    def __call__(self, _frame, event, _argument):
        if event not in ("call", "c_call"):
            return
        self.count += 1
        if self.count in self.moments:
            self.pressed += 1
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory for the runs, with Python's own handler of Ctrl-C in place, as at the start of a process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path_factory.mktemp("interrupted")
    signal.signal(signal.SIGINT, before)


def pressing(folder, *moments):
    """Run the command with Ctrl-C at those moments; return what was pressed, its exit code and its messages."""
    presses, errors = Presses(*moments), io.StringIO()
    (folder / "events.ndjson").unlink(missing_ok=True)
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(errors):
        sys.setprofile(presses)
        try:
            main([*WORDS, "--out", str(folder)])
        finally:
            sys.setprofile(None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return presses, ended.value.code, errors.getvalue()


def told(folder):
    """Return the run that was told of, or None where there is no header yet."""
    path = folder / "events.ndjson"
    if not path.exists():
        return None
    try:
        return events.load(path)
    except InputError as error:
        assert "no header" in str(error)
        return None


def verdicts(run):
    return {(one.selected.id, one.selected.role): one.verdict for one in run.results if one.judged}


@pytest.fixture(scope="module")
def whole(folder):
    """The verdicts of the run that nobody interrupts, and how many calls it makes."""
    pressing(folder)
    presses, code, _ = pressing(folder)
    run = told(folder)
    assert (code, run.complete) == (0, True)
    return verdicts(run), presses.count


@settings(max_examples=25)
@given(st.floats(0, 0.99), st.none() | st.integers(1, 2000))
def test_ctrl_c_at_any_call_exits_130(folder, whole, share, again):
    expected, calls = whole
    first = 200 + int(share * (calls - 400))
    presses, code, errors = pressing(folder, first, first + again) if again else pressing(folder, first)
    assume(presses.pressed)
    assert code == 130
    run = told(folder)
    assert run is None or verdicts(run).items() <= expected.items()
    finished = run is not None and run.complete
    assert finished <= (NOTHING_LEFT in errors or presses.pressed > 1)


def test_a_parent_that_has_ctrl_c_ignored_is_obeyed(folder):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            main([*WORDS, "--out", str(folder)])
        assert (ended.value.code, signal.getsignal(signal.SIGINT)) == (0, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
