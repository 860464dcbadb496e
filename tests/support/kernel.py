"""Machines for the tests of the kernel target, and what they are made of where that is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from mpwake.model.situation import situation
from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import initramfs, qemu
from mpwake.targets.kernel.recording import Machine, Parking, Seen

OFF_AND_ON = "an operating system takes a processor offline and online again, with a wakeup entry of version 1"
LINE = "console=ttyS0 printk.time=1 printk.devkmsg=on rdinit=/init panic=-1"


def small_kernel() -> Path:
    """Return the small kernel with CONFIG_OF, or skip the test."""
    named = os.environ.get("MPWAKE_KERNEL_OF")
    if not named:
        pytest.skip("no small kernel with CONFIG_OF: MPWAKE_KERNEL_OF names its bzImage")
    return Path(named)


def fit_qemu() -> str:
    """Return QEMU, or skip the test where it is not installed."""
    if shutil.which(os.environ.get(qemu.VARIABLE) or qemu.PROGRAM) is None:
        pytest.skip("no qemu-system-x86_64: it is in the package qemu-system-x86")
    return qemu.find()


def machine(
    kernel: Path = Path("none"),
    sentence: str = OFF_AND_ON,
    processors: Mapping[int, Parking] | None = None,
    actions: str = "",
    archive: bytes = b"",
    **changes: object,
) -> Machine:
    """Return the machine of a situation, with what init is asked to do."""
    boot = situation(sentence)
    wakeups = boot.tables.madt.wakeups if boot.tables.madt else ()
    values: dict[str, object] = {
        "kernel": kernel,
        "initramfs": archive,
        "tables": boot.tables,
        "mailbox": boot.situation.mailbox,
        "boot_id": boot.situation.boot_id,
        "processors": processors or {one: Parking() for one in boot.situation.ids},
        "command_line": f"{LINE} mpwake.do={actions}" if actions else LINE,
        "marks": (initramfs.DONE,),
        "reset_vector": next((one.reset_vector or 0 for one in wakeups), 0),
        **changes,
    }
    return Machine(**values)  # type: ignore[arg-type]


def archive(kernel: Path | None = None) -> bytes:
    """Return the initramfs, with a next kernel or without, or skip the test where there is no busybox for it."""
    try:
        return initramfs.build(kernel.read_bytes() if kernel else None)
    except ToolError as error:
        pytest.skip(str(error))


def accesses(seen: tuple[Seen, ...]) -> list[tuple[str, int, int, int, int]]:
    """Return what was done to the mailbox, equal loads once, and what firmware told."""
    kinds = ("load", "store", "jump", "reset")
    return [(one.what, one.apic_id, one.offset, one.width, one.value) for one in seen if one.what in kinds]
