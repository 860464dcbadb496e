"""The verdict table: the values, their order when merged, and what each becomes elsewhere.

Every report and the exit code read this table; nothing else in the project maps a verdict.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs


class Verdict(enum.Enum):
    """What a run may say of a requirement. The values are the words used in every report."""

    PASS = "pass"  # noqa: S105  (not a password)
    FAIL = "fail"
    NOT_APPLICABLE = "not-applicable"
    NOT_TESTABLE = "not-testable"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"
    ERROR = "error"


@attrs.frozen
class Row:
    """One line of the table.

    ``rank`` orders verdicts when scenarios of one requirement are merged: the highest wins.
    ``exit_code`` is that of a run whose merged verdict this is.
    """

    rank: int
    exit_code: int
    allure: str
    junit: str
    colour: str
    mark: str


TABLE: dict[Verdict, Row] = {
    Verdict.NOT_APPLICABLE: Row(0, 4, "skipped", "skipped", "bright_black", "-"),
    Verdict.NOT_TESTABLE: Row(1, 4, "skipped", "skipped", "bright_black", "."),
    Verdict.PASS: Row(2, 0, "passed", "passed", "green", "+"),
    Verdict.WAIVED: Row(3, 0, "skipped", "skipped", "cyan", "w"),
    Verdict.INCONCLUSIVE: Row(4, 4, "unknown", "error", "yellow", "?"),
    Verdict.FAIL: Row(5, 1, "failed", "failure", "red", "x"),
    Verdict.ERROR: Row(6, 3, "broken", "error", "magenta", "!"),
}

EXIT_USAGE = 2
EXIT_HARNESS = 3
EXIT_INCOMPLETE = 4
EXIT_NOTHING_SELECTED = 5
EXIT_INTERRUPTED = 130


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a whole from those of its parts: the one of the highest rank.

    The merge is associative, commutative and idempotent; of nothing it is ``NOT_TESTABLE``.
    """
    return max(verdicts, key=lambda verdict: TABLE[verdict].rank, default=Verdict.NOT_TESTABLE)
