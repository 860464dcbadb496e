"""Opens ``kernel:BZIMAGE``: an unmodified Linux, booted under QEMU for each situation."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import attrs

from mpwake.checks.core import Unjudged, not_testable
from mpwake.evidence.behaviour import Behaviour
from mpwake.evidence.trace import Trace
from mpwake.model.probe import probes
from mpwake.model.situation import situations
from mpwake.spec.requirements import Role
from mpwake.targets.base import Source, Target
from mpwake.targets.kernel import initramfs, qemu
from mpwake.targets.kernel.boots import Boots
from mpwake.targets.kernel.evidence import trace_of
from mpwake.targets.kernel.image import Image, read_image
from mpwake.targets.kernel.kvm import probe as kvm
from mpwake.targets.kernel.kvm.run import HIGHEST_ID as HIGHEST_UNDER_KVM
from mpwake.targets.kernel.probe import proved
from mpwake.targets.kernel.recording import Backend, Machine, NotRealisable, Recording
from mpwake.targets.kernel.run import run
from mpwake.targets.kernel.situate import HIGHEST_ID, Trial, trial

# What the suite adds to the command line of a situation: every line with its level, and lines that are for debugging.
SAID = (
    "console_msg_format=syslog",
    "printk.time=1",
    "printk.devkmsg=on",
    "ignore_loglevel",
    "panic=-1",
    "tsc=reliable",
    "log_buf_len=1M",
    'dyndbg="file arch/x86/kernel/smpboot.c +p"',
    "rdinit=/init",
)
CRASH_KERNEL = "192M"
PLACING = "memblock=debug"
# Kernels before 6.5 know no other way.
ONE_BY_ONE = "cpuhp.parallel=off"
_SHORT = {"online": "on", "offline": "off"}
_OF_ONE = ("online", "offline", "panic")


def action_words(one: Trial) -> tuple[str, ...]:
    """Return what init is asked to do, processors by their number, or by their APIC ID where they have none."""
    words = ["fill"] * one.fill
    for action in one.actions:
        number = one.numbers.index(action.id) if action.id in one.numbers else action.id
        words.append(_SHORT.get(action.op, action.op) + (str(number) if action.op in _OF_ONE else ""))
    return tuple(words)


def machine_of(one: Trial, image: Image, backend: Backend = "tcg", following: Image | None = None) -> Machine:
    """Return the machine that is booted for a sentence; ``following`` is the next kernel, where that is another."""
    given = one.tables.boot_arguments
    line = given.text if given else "console=ttyS0"
    asked = action_words(one)
    words = [line, *SAID, *(["noapic"] if one.tables.madt is None else [])]
    if one.placing:
        words.append(PLACING)
    if one.absent:
        words.append(ONE_BY_ONE)
    if asked:
        words.append(f"mpwake.do={','.join(asked)}")
    if "crash" in asked:
        words.append(f"crashkernel={CRASH_KERNEL}")
    starts_next = {"kexec", "crash"} & {action.op for action in one.actions}
    return Machine(
        kernel=image.path,
        initramfs=initramfs.build((following or image).data if starts_next else None),
        tables=one.tables,
        mailbox=one.mailbox,
        boot_id=one.boot_id,
        processors=one.processors,
        command_line=" ".join(words),
        marks=(initramfs.DONE,),
        reset_vector=one.reset_vector,
        backend=backend,
        seconds=one.seconds,
    )


def key_of(one: Trial) -> str:
    """Return what tells the machine of one sentence from that of another."""
    tables = one.tables
    published = [part.data.hex() for part in (tables.madt, tables.fdt) if part]
    parked = sorted((apic, repr(how)) for apic, how in one.processors.items())
    line = tables.boot_arguments
    return repr(
        (
            *(published, tables.memory_map, line and line.text, tables.mailbox, one.mailbox, one.boot_id, parked),
            *(one.actions, one.fill, one.reset_vector, one.seconds, one.placing, one.absent),
        )
    )


@attrs.define
class Driver:
    """Boots a kernel for each sentence; equal machines are booted once."""

    image: Image
    takes_tree: bool
    backend: Backend = "tcg"
    following: Image | None = None
    boots: Boots = attrs.Factory(Boots)

    def _trial(self, sentence: str) -> Trial:
        return trial(sentence, HIGHEST_UNDER_KVM if self.backend == "kvm" else HIGHEST_ID)

    def _boot(self, one: Trial) -> Recording:
        return run(machine_of(one, self.image, self.backend, self.following))

    def prepare(self, sentences: Iterable[str]) -> None:
        """Begin to boot for sentences that will be asked for."""
        for sentence in sentences:
            if sentence in situations() or sentence in probes(Role.SENDER):
                try:
                    one = self._trial(sentence)
                except Unjudged:
                    continue
                if one.tables.madt is None and not self.takes_tree:
                    continue
                self.boots.expect(key_of(one), functools.partial(self._boot, one))

    def drive(self, sentence: str, _seed: int) -> tuple[Trace, ...]:
        """Boot into a situation, or as a probe says, and return what was seen."""
        one = self._trial(sentence)
        try:
            recording = self.boots.result(key_of(one), functools.partial(self._boot, one))
        except NotRealisable as error:
            raise not_testable(error.reason) from None
        assert isinstance(recording, Recording)
        return (trace_of(recording, one),)


def _notes(image: Image, backend: Backend) -> tuple[str, ...]:
    known = "whether it takes a mailbox from a DeviceTree is not known; a target .yaml can say that it does"
    if image.takes_tree is not None:
        takes = "takes" if image.takes_tree else "takes no"
        known = f"it {takes} mailbox from a DeviceTree: {image.source}".replace("takes mailbox", "takes a mailbox")
    under = "KVM, by the suite's own monitor" if backend == "kvm" else f"QEMU {qemu.version(qemu.find())} without KVM"
    return f"it calls itself Linux {image.version}", known, f"booted under {under}"


def open_kernel(
    path: Path, follows: tuple[str, ...] = (), backend: Backend = "tcg", following: Path | None = None
) -> Target:
    """Open a kernel image; ``follows`` is what it claims beside what it tells itself, ``following`` its next kernel.

    Raises ``InputError`` for what is no bzImage, and ``ToolError`` where QEMU or KVM, or busybox, is missing or unfit.
    """
    image = read_image(path)
    if backend == "kvm":
        kvm.proved()
    else:
        proved(qemu.find())
    notes = _notes(image, backend)
    sources = [Source(str(path), "kernel image", image.data)]
    then = read_image(following) if following else None
    if then:
        notes += (f"the kernel that it starts calls itself Linux {then.version}",)
        sources.append(Source(str(following), "next kernel", then.data))
    claims = {"linux", *follows} | ({"dt-binding"} if image.takes_tree else set())
    driver = Driver(image, "dt-binding" in claims, backend, then)
    behaviour = Behaviour(driver.drive, follows=frozenset(claims), boots=True, prepare=driver.prepare)
    return Target(
        kind="kernel",
        name=f"kernel:{path}",
        sources=tuple(sources),
        driven={Role.SENDER: behaviour},
        notes=notes,
    )
