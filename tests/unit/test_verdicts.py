"""The verdict table: its order, and the exit codes that ARCHITECTURE.md promises."""

from __future__ import annotations

import itertools

import pytest

from mpwake.cli.main import main
from mpwake.spec import verdicts
from mpwake.spec.verdicts import TABLE, Verdict, merge
from mpwake.suite.errors import NothingSelected

# From what says least to what says most.
ORDER = ("not-applicable", "not-testable", "pass", "waived", "inconclusive", "fail", "error")
EXIT_CODES = {
    "pass": 0,
    "waived": 0,
    "fail": 1,
    "error": 3,
    "inconclusive": 4,
    "not-applicable": 4,
    "not-testable": 4,
}


def test_the_table_has_a_row_for_every_verdict_and_no_two_of_one_rank() -> None:
    assert set(TABLE) == set(Verdict)
    assert len({row.rank for row in TABLE.values()}) == len(Verdict)


@pytest.mark.parametrize(("low", "high"), [*itertools.pairwise(ORDER)])
def test_the_higher_verdict_wins(low: str, high: str) -> None:
    assert merge([Verdict(low), Verdict(high)]) is merge([Verdict(high), Verdict(low)]) is Verdict(high)


def test_nothing_judged_is_no_pass() -> None:
    assert merge([]) is Verdict.NOT_TESTABLE


def test_verdicts_may_come_from_an_iterator() -> None:
    assert merge(iter([Verdict.PASS, Verdict.FAIL])) is Verdict.FAIL


@pytest.mark.parametrize(("verdict", "code"), [*EXIT_CODES.items()])
def test_each_verdict_has_the_exit_code_that_the_architecture_states(verdict: str, code: int) -> None:
    assert TABLE[Verdict(verdict)].exit_code == code


def test_only_passes_and_waivers_exit_with_0() -> None:
    assert {verdict for verdict, row in TABLE.items() if row.exit_code == 0} == {Verdict.PASS, Verdict.WAIVED}


def test_the_ends_that_are_no_verdict_have_codes_of_their_own() -> None:
    assert verdicts.EXIT_USAGE == 2
    assert verdicts.EXIT_HARNESS == 3
    assert verdicts.EXIT_INCOMPLETE == 4
    assert verdicts.EXIT_NOTHING_SELECTED == NothingSelected.exit_code == 5
    assert verdicts.EXIT_INTERRUPTED == 130


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "MADT-07"], 0),
        (["explain", "MADT-77"], 2),
        (["explian"], 2),
        (["run", "--no-such-option"], 2),
        (["run", "model:no-such-platform"], 2),
        (["run", "KEX-01", "--role", "tables"], 5),
    ],
)
def test_the_command_exits_with_them(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("oops"), 3, "the suite itself broke: RuntimeError: oops"),
    ],
)
def test_a_broken_or_interrupted_command_says_so(
    raised: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("mpwake.cli.main.cli.main", broken)
    with pytest.raises(SystemExit) as caught:
        main(["list", "platforms"])
    assert caught.value.code == code
    assert said in capsys.readouterr().err
