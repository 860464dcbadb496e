"""The packages that the firmware target needs beyond those of the suite."""

from __future__ import annotations

import importlib.util

from mpwake.spec.errors import InputError

EXTRA = {"unicorn": "unicorn", "uefi_firmware": "uefi-firmware", "capstone": "capstone", "pefile": "pefile"}


def check_extra() -> None:
    """Raise ``InputError`` where a package is missing that the firmware target needs."""
    missing = [package for module, package in EXTRA.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"the firmware target needs {' and '.join(missing)}", hint="pip install 'mpwake[firmware]'")
