"""KVM as it is here: structures against the kernel's headers, the probe, small guests, and a kernel where it can run.

A KVM that is a software emulation fails the probe, so no verdict rests on it; kernels are run there nevertheless, by
a monitor that makes up for INT3, to see that all around them is right.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from mpwake.spec.errors import ToolError
from mpwake.targets.kernel import layout, qemu
from mpwake.targets.kernel import probe as accesses_probe
from mpwake.targets.kernel.kvm import abi, probe, run
from mpwake.targets.kernel.kvm.collect import Collector
from mpwake.targets.kernel.recording import Fault, Machine, Seen
from mpwake.targets.kernel.situate import trial
from support.kernel import LINE, accesses, archive, fit_qemu, machine, small_kernel
from support.kvm import unpacked

EMULATED = "support.emulated_kvm"
# What a software emulation lacks, a kernel can be told to do without.
WITHOUT = (
    "noxsave mitigations=off clearcpuid=cx16,popcnt,erms,fsrm,smap,smep,umip,fsgsbase,bmi1,bmi2,invpcid,pcid,rdrand,"
    "rdseed,lzcnt,abm"
)
RESET_VECTOR = 0x200000
HEADER = Path("/usr/include/linux/kvm.h")
SPARSE = "an operating system boots with sparse APIC IDs"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@functools.cache
def refused() -> str:
    """Return why KVM is not to be had at all, or nothing."""
    try:
        probe.accesses()
    except ToolError as error:
        return str(error).splitlines()[0]
    return ""


@functools.cache
def lacks() -> str:
    """Return what KVM cannot carry out, or nothing."""
    try:
        probe.proved()
    except ToolError as error:
        return str(error).splitlines()[0]
    return ""


def needs_kvm() -> None:
    if refused():
        pytest.skip(f"no KVM that tells accesses: {refused()}")


@pytest.mark.skipif(shutil.which("cc") is None or not HEADER.exists(), reason="no C compiler, or no linux/kvm.h")
def test_structures_and_numbers_are_those_of_the_headers(tmp_path: Path) -> None:
    kinds = {
        "regs": abi.Regs,
        "segment": abi.Segment,
        "dtable": abi.Table,
        "sregs": abi.Sregs,
        "userspace_memory_region": abi.MemoryRegion,
        "cpuid_entry2": abi.CpuidEntry,
        "enable_cap": abi.EnableCap,
        "pit_config": abi.PitConfig,
        "mp_state": abi.MpState,
        "lapic_state": abi.Lapic,
        "vcpu_events": abi.Events,
    }
    numbers = [name for name, one in vars(abi).items() if isinstance(one, int) and one >> 8 & 0xFF == 0xAE]
    assert len(numbers) == 24
    places = [("segment", "type"), ("sregs", "gdt"), ("sregs", "efer"), ("vcpu_events", "flags")]
    lines = [f'printf("%zu\\n", sizeof(struct kvm_{name}));' for name in kinds]
    lines += [f'printf("%zu\\n", offsetof(struct kvm_{kind}, {field}));' for kind, field in places]
    lines += [f'printf("%lu\\n", (unsigned long)KVM_{name});' for name in numbers]
    lines += [
        f'printf("%zu\\n", offsetof(struct kvm_run, {field}));' for field in ("immediate_exit", "exit_reason", "mmio")
    ]
    source, program = tmp_path / "a.c", tmp_path / "a"
    head = "#include <stdio.h>\n#include <stddef.h>\n#include <linux/kvm.h>\n"
    source.write_text(f"{head}int main(void) {{ {' '.join(lines)} }}\n")
    subprocess.run(["cc", "-o", program, source], check=True)
    found = [int(one) for one in subprocess.run([program], capture_output=True, check=True).stdout.split()]
    expected = [ctypes.sizeof(kind) for kind in kinds.values()]
    expected += [getattr(kinds[kind], field).offset for kind, field in places]
    expected += [getattr(abi, name) for name in numbers]
    assert found == [*expected, abi.IMMEDIATE_EXIT, abi.EXIT_REASON, abi.EXIT]


def test_the_probe_of_accesses_passes_where_there_is_kvm() -> None:
    needs_kvm()
    probe.accesses()


def test_a_kvm_is_trusted_or_refused_with_the_instruction() -> None:
    needs_kvm()
    if lacks():
        assert any(f"cannot carry out {one}, which kernels use" in lacks() for one in probe.INSTRUCTIONS), lacks()
    else:
        probe.proved()


def test_the_probe_of_instructions_passes_on_a_machine_that_has_them() -> None:
    """QEMU has them all; what the probe tells at its port there is what a good KVM tells."""
    program = fit_qemu()
    code = (Path(probe.__file__).parent / "instructions.bin").read_bytes()
    bare = layout.bare(accesses_probe.machine(), accesses_probe.ENTRY, code)
    with qemu.Files(bare) as files:
        told = os.memfd_create("told")
        arguments = qemu.command(program, bare, files, False, False)
        arguments[arguments.index("max,cx16=off,la57=off")] = "max,la57=off"
        arguments += ["-chardev", f"file,id=told,path=/proc/{os.getpid()}/fd/{told}"]
        arguments += ["-device", f"isa-debugcon,iobase={probe.PORT:#x},chardev=told"]
        with qemu.Process(arguments, files) as process:
            for _ in process.output(time.monotonic() + 30):
                pass
        numbers = list(os.pread(told, 100, 0))
        os.close(told)
    found = Collector((), 1.0)
    found.ports, found.end = numbers, "off"
    probe.judge(found)
    assert {1, 2, 3, 5, 6, 9} <= set(numbers), "those that QEMU has had since long"


def guest(code: bytes, seconds: float = 20.0, reset_vector: int = 0) -> tuple[Collector, tuple[Fault, ...]]:
    """Run code in place of a kernel, and the code at ResetVector where it is asked for."""
    needs_kvm()
    one = attrs.evolve(accesses_probe.machine(), seconds=seconds)
    bare = layout.bare(one, accesses_probe.ENTRY, code)
    if reset_vector:
        bare = attrs.evolve(bare, memory=(*bare.memory, (reset_vector, layout.reset_code())))
    with qemu.Files(bare) as files:
        found = run.watched(one, bare, files, port=probe.PORT)
        return found, run.faults_of(found, files)


def test_a_guest_that_does_nothing_ends_with_its_budget() -> None:
    began = time.monotonic()
    found, _ = guest(b"\xf4\xeb\xfd", seconds=1.0)
    assert (found.end, found.seen()) == ("", ())
    assert time.monotonic() - began < 1.0 + run.STARTING


def test_a_guest_that_faults_is_told_with_its_code() -> None:
    found, faults = guest(b"\x90\x0f\x0b" + b"\x90" * 20)
    assert found.end == "reset"
    (fault,) = faults
    assert (fault.apic_id, fault.rip) == (0, accesses_probe.ENTRY + 1)
    assert fault.code == b"\x0f\x0b" + b"\x90" * 14


def test_a_guest_that_runs_where_nothing_is_breaks_kvm_and_is_no_result() -> None:
    found, _ = guest(b"\xb8\x00\x00\x00\xd0\xff\xe0")
    assert "KVM_EXIT_INTERNAL_ERROR" in found.broken


ASSEMBLY = f"""
.intel_syntax noprefix
.set MAILBOX, 0x7F5E5000
        mov     ebx, MAILBOX
        mov     dword ptr [rbx + 4], 1
        mov     qword ptr [rbx + 8], offset woken
        mov     word ptr [rbx], 1
1:      cmp     word ptr [rbx], 0
        jne     1b
        mov     word ptr [rbx], 2
1:      cmp     word ptr [rbx], 0
        jne     1b
        mov     qword ptr [rbx + 8], offset again
        mov     word ptr [rbx], 1
1:      cmp     dword ptr [rbx + 0x100], 0
        je      1b
        mov     edx, 0x604
        mov     eax, 1 << 13
        out     dx, ax
2:      hlt
        jmp     2b
woken:  mov     eax, {RESET_VECTOR}
        jmp     rax
again:  mov     ebx, MAILBOX
        mov     dword ptr [rbx + 0x100], 0xAA
        jmp     2b
"""
BY_IPI = """
.intel_syntax noprefix
        mov     edi, 0x8000
        mov     rsi, offset real
        mov     ecx, real_end - real
        rep movsb
        mov     ebx, 0xFEE00000
        mov     dword ptr [rbx + 0xF0], 0x1FF
        mov     dword ptr [rbx + 0x310], 1 << 24
        mov     dword ptr [rbx + 0x300], 0x4500
        mov     ecx, 1000
1:      pause
        loop    1b
        mov     dword ptr [rbx + 0x310], 1 << 24
        mov     dword ptr [rbx + 0x300], 0x4608
1:      cmp     byte ptr [0x9000], 0x77
        jne     1b
        mov     edx, 0x604
        mov     eax, 1 << 13
        out     dx, ax
2:      hlt
        jmp     2b
real:   .byte   0xC6, 0x06, 0x00, 0x90, 0x77    # mov byte ptr [0x9000], 0x77, as of 16 bits
3:      hlt
        jmp     3b
real_end:
"""


def assembled(source: str, tmp_path: Path) -> bytes:
    if shutil.which("as") is None:
        pytest.skip("no binutils")
    (tmp_path / "a.s").write_text(source)
    subprocess.run(["as", "-o", tmp_path / "a.o", tmp_path / "a.s"], check=True)
    entry = f"{accesses_probe.ENTRY:#x}"
    subprocess.run(["ld", "-e", entry, f"-Ttext={entry}", "-o", tmp_path / "a", tmp_path / "a.o"], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", tmp_path / "a", tmp_path / "a.bin"], check=True)
    return (tmp_path / "a.bin").read_bytes()


def done(seen: tuple[Seen, ...]) -> list[tuple[str, int, int, int]]:
    return [(one.what, one.apic_id, one.offset, one.value) for one in seen if one.what != "load"]


def test_a_processor_comes_back_by_reset_vector_and_is_woken_again(tmp_path: Path) -> None:
    found, _ = guest(assembled(ASSEMBLY, tmp_path), reset_vector=RESET_VECTOR)
    assert found.end == "off", (found.broken, found.seen())
    told = done(found.seen())
    acknowledged = [number for number, one in enumerate(told) if one == ("store", 1, 0, 0)]
    assert len(acknowledged) == 3
    kinds = [one[0] for one in told if one[1] == 1]
    assert kinds == ["store", "jump", "reset", "store", "store", "jump", "store"]
    assert told[-1] == ("store", 1, 0x100, 0xAA)


def test_a_processor_can_be_started_by_interrupts_instead(tmp_path: Path) -> None:
    found, _ = guest(assembled(BY_IPI, tmp_path))
    assert found.end == "off", (found.broken, found.seen())
    assert found.seen() == (), "nothing was done to the mailbox"


KILLED = """
import sys
import attrs
from mpwake.targets.kernel import layout, probe, qemu
from mpwake.targets.kernel.kvm import run
one = attrs.evolve(probe.machine(), seconds=60.0)
bare = layout.bare(one, probe.ENTRY, bytes([0xF4, 0xEB, 0xFD]))
with qemu.Files(bare) as files:
    print("begins", flush=True)
    run.watched(one, bare, files)
"""


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.6])
def test_nothing_is_left_of_a_machine_whose_suite_is_killed(delay: float) -> None:
    needs_kvm()
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as suite:
        assert suite.stdout
        assert suite.stdout.readline() == b"begins\n"
        limit = time.monotonic() + 20
        while not (monitors := children(suite.pid)) and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(delay)
        os.kill(suite.pid, signal.SIGKILL)
        suite.wait()
    assert monitors
    limit = time.monotonic() + 10
    while not all(gone(one) for one in monitors) and time.monotonic() < limit:
        time.sleep(0.05)
    assert all(gone(one) for one in monitors)


def kernel_machine(tmp_path: Path, sentence: str, mark: str) -> tuple[Machine, str]:
    """Return the machine of a small kernel, and the monitor that can run it here."""
    needs_kvm()
    emulated = bool(lacks())
    one = trial(sentence, run.HIGHEST_ID)
    kernel = unpacked(small_kernel(), tmp_path) if emulated else small_kernel()
    found = machine(
        kernel,
        archive=archive(),
        sentence=sentence,
        tables=one.tables,
        mailbox=one.mailbox,
        processors=dict(one.processors),
        command_line=f"{LINE} {WITHOUT}" if emulated else LINE,
        marks=(mark,),
        seconds=240.0,
    )
    return found, EMULATED if emulated else run.MONITOR


def test_a_kernel_wakes_processors_one_of_them_with_a_large_apic_id(tmp_path: Path) -> None:
    one, monitor = kernel_machine(tmp_path, SPARSE, "smp: Brought up 1 node, 4 CPUs")
    found = run.run(one, monitor)
    assert found.end == "mark"
    assert any("x2apic: enabled by BIOS" in line.text for line in found.seen if line.what == "line")
    done = [one for one in accesses(found.seen) if one[0] != "load"]
    vector = done[1][4]
    for number, apic_id in enumerate((1, 4, 0x1FF)):
        assert done[5 * number : 5 * number + 5] == [
            ("store", 0, 4, 4, apic_id),
            ("store", 0, 8, 8, vector),
            ("store", 0, 0, 2, 1),
            ("store", apic_id, 0, 2, 0),
            ("jump", apic_id, 0, 0, vector),
        ]
    assert found.page[:8] == bytes([0, 0, 0, 0, 0xFF, 1, 0, 0])
    assert found.facts["kvm"] is True


def test_a_whole_boot_with_offline_and_online() -> None:
    needs_kvm()
    if lacks():
        pytest.skip(f"no KVM that runs a kernel to its init: {lacks()}")
    found = run.run(machine(small_kernel(), archive=archive(), actions="off1,on1"))
    assert found.end == "mark"
    assert [one[0] for one in accesses(found.seen) if one[1] == 1][-3:] == ["store", "store", "jump"]


def test_a_target_on_a_kvm_that_fails_the_probe_is_an_error(tmp_path: Path) -> None:
    if not (refused() or lacks()):
        pytest.skip("KVM passes the probe here")
    target = tmp_path / "target.yaml"
    target.write_text(f"kind: kernel\nlocation: {small_kernel()}\nbackend: kvm\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "mpwake", "run", str(target), "SND-01"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stdout
    assert "/dev/kvm: " in done.stderr
    assert "PASS" not in done.stdout
