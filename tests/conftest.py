"""How long the property tests search: MPWAKE_HYPOTHESIS names the profile, ``default`` or ``ci``."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

DATABASE = DirectoryBasedExampleDatabase(Path(__file__).parent / ".cache" / "hypothesis")

for name, examples in (("default", 100), ("ci", 400)):
    settings.register_profile(
        name, max_examples=examples, deadline=None, derandomize=False, print_blob=True, database=DATABASE
    )
settings.load_profile(os.environ.get("MPWAKE_HYPOTHESIS", "default"))
