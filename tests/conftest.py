"""How long the property tests search: MPWAKE_HYPOTHESIS names the profile, ``default`` or ``ci``; and Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

DATABASE = DirectoryBasedExampleDatabase(Path(__file__).parent / ".cache" / "hypothesis")

for name, examples in (("default", 100), ("ci", 400)):
    settings.register_profile(
        name, max_examples=examples, deadline=None, derandomize=False, print_blob=True, database=DATABASE
    )
settings.load_profile(os.environ.get("MPWAKE_HYPOTHESIS", "default"))

# A shell without a terminal has what it starts with & ignore SIGINT; commands that tests interrupt would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
