"""The machine of the kernel target under QEMU: its probe, a small kernel's trace, and that nothing is left of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import probe
from mpwake.targets.kernel.recording import Entry, Parking, Recording
from mpwake.targets.kernel.run import run
from support.kernel import accesses, archive, fit_qemu, machine, small_kernel

WAKEUP = 1
TEST = 2
KILLS = 8


def booted(actions: str = "", parking: Parking | None = None, **changes: object) -> Recording:
    fit_qemu()
    parked = dict.fromkeys((1, 2, 3), parking) if parking else None
    return run(machine(small_kernel(), actions=actions, archive=archive(), processors=parked, **changes))


def start_of(apic_id: int, sender: int, vector: int) -> list[tuple[str, int, int, int, int]]:
    return [
        ("store", sender, 4, 4, apic_id),
        ("store", sender, 8, 8, vector),
        ("store", sender, 0, 2, WAKEUP),
        ("load", sender, 0, 2, WAKEUP),
        ("store", apic_id, 0, 2, 0),
        ("jump", apic_id, 0, 0, vector),
        ("load", sender, 0, 2, 0),
    ]


def test_the_probe_finds_that_qemu_tells_what_is_done() -> None:
    probe.proved(fit_qemu())


STAND_INS = {
    "traces nothing": 'set -- $(printf "%s\\n" "$@" | sed "s/memory_region_subpage_.*/memory_region_sync_dirty/")',
    "traces no loads": 'set -- $(printf "%s\\n" "$@" | sed "s/memory_region_subpage_read/memory_region_sync_dirty/")',
    "does nothing": "exit 0",
    "fails": "echo no such machine >&2; exit 1",
}


@pytest.mark.parametrize("name", STAND_INS)
def test_a_qemu_that_does_not_tell_what_is_done_is_an_error(name: str, tmp_path: Path) -> None:
    real = fit_qemu()
    stand_in = tmp_path / "qemu"
    asked = 'case "$*" in --version | *help) exec "$REAL" "$@" ;; esac'
    stand_in.write_text(f'#!/bin/sh\nREAL={real}\n{asked}\n{STAND_INS[name]}\nexec "$REAL" "$@"\n')
    stand_in.chmod(0o755)
    with pytest.raises(ToolError, match=r"does not tell what the probe did|exited with 1: no such machine"):
        probe.proved(str(stand_in))


def test_a_kernel_is_seen_to_start_stop_and_start_processors() -> None:
    found = booted("off1,on1")
    assert found.end == "mark"
    seen = accesses(found.seen)
    vector = seen[1][4]
    assert vector < 0x100000
    boot = [one for apic_id in (1, 2, 3) for one in start_of(apic_id, 0, vector)]
    assert seen[: len(boot)] == boot
    later = seen[len(boot) :]
    sender = later[1][1]
    assert later[:6] == [
        ("reset", 1, 0, 0, 0),
        ("store", sender, 4, 4, 1),
        ("store", sender, 0, 2, TEST),
        ("load", sender, 0, 2, TEST),
        ("store", 1, 0, 2, 0),
        ("load", sender, 0, 2, 0),
    ]
    assert later[6:] == start_of(1, later[6][1], vector)
    assert found.madt == machine().tables.madt.data
    assert found.page[:8] == bytes([0, 0, 0, 0, 1, 0, 0, 0])
    assert any("mpwake: off 1 -> 0" in one.text for one in found.seen)


def test_under_version_0_the_address_is_taken_out_of_the_table() -> None:
    found = booted(sentence="an operating system boots with sparse APIC IDs", seconds=30.0)
    assert [one for one in accesses(found.seen) if one[0] == "jump" and one[1] in (1, 4)]
    assert found.madt[-8:] == bytes(8)
    assert sum(found.madt) & 0xFF != 0


def test_a_kernel_that_finds_the_mailbox_in_a_tree_uses_it() -> None:
    sentence = "an operating system boots with acpi=off, a MADT and a DeviceTree"
    found = booted(sentence=sentence, command_line="console=ttyS0 acpi=off noapic rdinit=/init panic=-1")
    assert {one.page for one in found.seen if one.what == "store"} == {0x7F5E9000}
    assert [one.apic_id for one in found.seen if one.what == "jump"] == [1, 4]


def test_a_kernel_that_is_to_know_of_no_table_has_a_timer_all_the_same() -> None:
    sentence = "an operating system boots with acpi=off and a MADT"
    found = booted(sentence=sentence, command_line="console=ttyS0 acpi=off rdinit=/init panic=-1", seconds=60.0)
    assert found.end == "mark"
    assert accesses(found.seen) == []


@pytest.mark.parametrize(
    ("action", "end", "back"),
    [("panic1", "reset", {0, 2, 3}), ("restart", "reset", {1, 2, 3}), ("poweroff", "off", None)],
)
def test_who_jumps_when_the_machine_ends(action: str, end: str, back: set[int] | None) -> None:
    found = booted(action)
    assert found.end == end
    assert back in (None, {one.apic_id for one in found.seen if one.what == "reset"})


def test_five_runs_are_one_trace() -> None:
    first = booted("off1,on1")
    for _ in range(4):
        assert booted("off1,on1").seen == first.seen


def test_a_processor_that_is_never_acknowledged_is_waited_for_in_time_of_the_machine() -> None:
    began = time.monotonic()
    found = booted(parking=Parking(takes="never"), seconds=40.0)
    assert found.end == "budget"
    assert accesses(found.seen)[:3] == start_of(1, 0, accesses(found.seen)[1][4])[:3]
    waited = [one for one in found.seen if one.what == "load"]
    assert sum(one.times for one in waited) > 1000
    assert len(waited) < 100
    assert time.monotonic() - began < 60


def test_a_fault_that_nobody_handles_is_told_with_its_code() -> None:
    found = booted(parking=Parking(entry=Entry(nxe=False)))
    assert found.end == "reset"
    (fault,) = found.faults
    (vector,) = {one.value for one in found.seen if one.what == "jump"}
    assert (fault.apic_id, fault.name) == (1, "#PF")
    assert fault.error & 8, "a reserved bit: the page tables have NX, and EFER.NXE is clear"
    assert vector <= fault.rip < vector + 0x1000
    assert len(fault.code) == 16


@pytest.mark.parametrize(
    "entry",
    [Entry(la57=True), Entry(mapped=3), Entry(direction=True, cr0=1 << 3, cr4=0x680), Entry(junk=False)],
    ids=["five levels", "three pages around", "flags", "zeros"],
)
def test_states_that_a_kernel_takes(entry: Entry) -> None:
    found = booted(parking=Parking(entry=entry))
    assert found.end == "mark"
    assert [one.apic_id for one in found.seen if one.what == "jump"] == [1, 2, 3]


BOOTS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mpwake.targets.kernel.run import run
from support.kernel import archive, machine
found = machine(Path(sys.argv[2]), archive=archive())
print("begins", flush=True)
run(found)
"""


def own(marker: str) -> set[int]:
    """The QEMUs whose environment has a marker."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"\0-icount\0" in command and marker.encode() in environment.split(b"\0"):
            found.add(int(folder.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_killed(how: signal.Signals, tmp_path: Path) -> None:
    fit_qemu()
    kernel, support = small_kernel(), Path(__file__).parent.parent
    archive()
    marker = f"MPWAKE_TEST_OF_KILLS={os.getpid()}-{how}"
    environment = {**os.environ, marker.split("=")[0]: marker.split("=")[1], "TMPDIR": str(tmp_path)}
    chosen = random.Random(int(how))
    started = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", BOOTS, support, kernel],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chosen.uniform(0, 1.5))
            started += bool(own(marker))
            child.send_signal(how)
            child.wait(10)
        until = time.monotonic() + 5
        while own(marker) and time.monotonic() < until:
            time.sleep(0.02)
        assert not own(marker)
        assert list(tmp_path.iterdir()) == []
        assert not [one for one in Path("/dev/shm").iterdir() if "mpwake" in one.name]
    assert started, "no kill came while QEMU ran"
