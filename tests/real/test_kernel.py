"""Linux as it ships, booted under QEMU: what is known of it, by a few boots of each kernel."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mpwake.checks.kexec import NEXT
from mpwake.evidence.trace import Kind
from mpwake.spec.requirements import Role
from mpwake.targets import open_target
from mpwake.targets.firmware.corpus import Specimen, corpus
from mpwake.targets.kernel.run import run as boot
from support.kernel import archive, machine
from support.specimens import specimen_file
from support.tools import run

# From some ten boots: the protocol, version 0 and 1, offline, kexec, no time-out, what firmware leaves.
ASKED = ("SND-01", "SND-02", "SND-04", "SND-06", "SND-13", "ORD-01", "ORD-07", "MEM-05", "MADT-17", "MADT-23")
ASKED += ("TMO-03", "DUP-03", "RST-01", "RST-09", "SND-17", "TRM-02", "TRM-08", "KEX-02", "KEX-04", "SEL-05")


NAMED = ("linux-6.12", "linux-6.1")
# The others fail what 6.12 does; `mpwake corpus run` and their variables are for who wants to see that.
ALWAYS = ("linux-6.1", "linux-6.12", "linux-7.2")
ASKED_FOR = [one for one in corpus("kernel") if one.name in ALWAYS or one.variable in os.environ]


def judged(path: Path, folder: Path, *ids: str) -> dict[str, Any]:
    program = shutil.which("mpwake") or "mpwake"
    result = run(program, "run", f"kernel:{path}", *ids, "--role", "sender", "--out", folder / "out", "-q", cwd=folder)
    assert result.returncode in (0, 1, 4), result.stdout + result.stderr
    document = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    return {one["id"]: one for one in document["requirements"]}


def needs_qemu() -> None:
    if shutil.which("qemu-system-x86_64") is None and "MPWAKE_QEMU" not in os.environ:
        pytest.skip("no QEMU (qemu-system-x86)")
    if shutil.which("busybox") is None and "MPWAKE_BUSYBOX" not in os.environ:
        pytest.skip("no busybox (busybox-static)")


def kernel(one: Specimen) -> Path:
    needs_qemu()
    return specimen_file(one)


@pytest.mark.parametrize("one", ASKED_FOR, ids=lambda one: one.name)
def test_what_is_known_of_a_kernel_is_found_and_nothing_else(one: Specimen, tmp_path: Path) -> None:
    found = judged(kernel(one), tmp_path, *ASKED)
    fails = {id for id, result in found.items() if result["verdict"] == "fail"}
    assert fails == set(one.fails) & set(ASKED)
    open_ = {id for id, result in found.items() if result["verdict"] in ("inconclusive", "error")}
    assert open_ <= set(one.undecided)


def test_a_processor_that_is_offline_at_kexec_is_left_alone_by_the_interrupt_for_all() -> None:
    path = kernel(next(one for one in corpus("kernel") if one.name == "linux-6.12"))
    line = "console=ttyS0 printk.time=1 printk.devkmsg=on rdinit=/init panic=-1 mpwake.do=off2,kexec"
    found = boot(machine(path, archive=archive(path), command_line=line, seconds=120.0))
    assert found.end == "mark"
    came = [(one.what, one.apic_id) for one in found.seen if one.what in ("jump", "reset")]
    assert came[:4] == [("jump", 1), ("jump", 2), ("jump", 3), ("reset", 2)]
    assert sorted(came[4:6]) == [("reset", 1), ("reset", 3)]
    assert came[6:] == [("jump", 1), ("jump", 2), ("jump", 3)]


def test_a_kernel_starts_another_one_where_the_target_says_so(tmp_path: Path) -> None:
    first, then = (kernel(next(one for one in corpus("kernel") if one.name == name)) for name in NAMED)
    (tmp_path / "t.yaml").write_text(f"kind: kernel\nlocation: {first}\nnext: {then}\n", encoding="utf-8")
    target = open_target(str(tmp_path / "t.yaml"))
    assert [one.kind for one in target.sources] == ["kernel image", "next kernel"]
    (trace,) = target.driven[Role.SENDER].trials(NEXT)
    began = [one.note.split()[2].split(".0-")[0][:4] for one in trace.of(Kind.CONSOLE) if "Linux version" in one.note]
    assert began == ["6.12", "6.1"]
    assert not trace.stuck
    assert len(trace.of(Kind.LANDING)) == 4


def test_a_kernel_with_a_devicetree_takes_its_mailbox_from_there(tmp_path: Path) -> None:
    needs_qemu()
    named = os.environ.get("MPWAKE_KERNEL_OF")
    if named is None:
        pytest.skip("no kernel with CONFIG_OF: MPWAKE_KERNEL_OF names it")
    found = judged(Path(named).absolute(), tmp_path, "DT-05", "DT-13", "DT-17", "SEL-02")
    assert {id: result["verdict"] for id, result in found.items()} == dict.fromkeys(found, "pass")
    assert set(found) == {"DT-05", "DT-13", "DT-17", "SEL-02"}


def test_what_is_no_kernel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"\x7fELF" + bytes(4096))
    result = run(shutil.which("mpwake") or "mpwake", "run", "kernel:vmlinuz", cwd=tmp_path)
    assert result.returncode == 2
    assert "vmlinuz: byte 0x" in result.stderr
