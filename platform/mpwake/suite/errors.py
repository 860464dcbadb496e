"""How a run may end without a verdict."""

from __future__ import annotations

from typing import ClassVar

from mpwake.spec.errors import InputError
from mpwake.spec.verdicts import EXIT_NOTHING_SELECTED


class NothingSelected(InputError):
    """The selection is well formed and names nothing that this target can be asked."""

    exit_code: ClassVar[int] = EXIT_NOTHING_SELECTED


class Interrupted(Exception):
    """The run was stopped by Ctrl-C: what was judged is kept, and there is no footer."""
