"""Small sound files of each kind that the suite reads, to be changed: a trace, an event stream, images."""

from __future__ import annotations

import struct
import uuid
from typing import Any

from mpwake.model.probe import Probe, Request, Schedule, agent, trial
from mpwake.spec.requirements import Weight
from mpwake.spec.verdicts import Verdict
from mpwake.suite import events
from mpwake.targets.trace.form import lines_of

_FFS = uuid.UUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3").bytes_le
_WHEN = "2026-03-14T15:09:26Z"
SECTOR = 512


def trace_lines() -> tuple[dict[str, Any], ...]:
    """Return a trace file as its objects."""
    probe = Probe("a processor is woken", (1,), (Request("wake", 1, 0x9A000),))
    trace = trial(agent("acpi-6.6"), probe, Schedule("sc", 0))
    head = {"line": "header", "format": "mpwake-trace/1", "target": "drawn", "roles": [{"role": "receiver"}]}
    lines = [head, *lines_of(trace, "receiver", (probe.says,)), {"line": "footer", "trials": 1}]
    return tuple(dict(one) for one in lines if isinstance(one, dict))


def event_lines() -> tuple[dict[str, Any], ...]:
    """Return the event stream of a run as its objects, with a verdict, evidence and mailbox traffic in it."""
    place, role = "features/mailbox/rcv.feature:7", "receiver"
    selected = events.Selected(
        "RCV-09",
        role,
        "The acknowledgement modifies only Command",
        "RCV",
        "Mailbox",
        "acpi-6.4",
        Weight.CONFORMANCE,
        "section 5.2.12.19",
        "x",
        (place,),
    )
    head = events.Header(
        "header",
        "mpwake-events/1",
        "0.1.0",
        ("run",),
        _WHEN,
        0,
        "acpi-6.6",
        "x",
        "model",
        (),
        events.Subject("model:x", (events.Input("x", "platform", 1, "0" * 64),)),
        (selected,),
    )
    row = events.TrafficRow(time=1, lane=1, kind="store", place="Command", width=8, page="0" * 32)
    traffic = events.Traffic((events.Lane(0, "OS"), events.Lane(1, "AP 0x1")), (row,), "0" * 32)
    seen = events.Seen(
        False,
        Weight.CONFORMANCE,
        "8 bytes",
        "2 bytes",
        (events.Shown("mailbox traffic", 0, "00", ((0, 1),), "x", traffic),),
    )
    judged = events.Judged("RCV-09", Verdict.FAIL, "8 bytes; expected 2 bytes", (seen,))
    steps = (events.Step("When x", "passed"),)
    counts = {one.value: int(one is Verdict.FAIL) for one in Verdict}
    told = (
        head,
        events.Started("started", place, "x", role),
        events.Finished("scenario", place, "x", "x", role, (judged,), steps, 0.1),
        events.Footer("footer", True, Verdict.FAIL, 1, counts, _WHEN),
    )
    return tuple(events.to_json(one) for one in told)


def volume(body: bytes = b"", size: int = 0x1000) -> bytes:
    """Return a firmware volume whose header is sound (PI, EFI_FIRMWARE_VOLUME_HEADER)."""
    blocks = struct.pack("<IIII", size // 0x1000, 0x1000, 0, 0)
    head = bytearray(bytes(16) + _FFS + struct.pack("<Q4sIHHHBB", size, b"_FVH", 0x4FEFF, 72, 0, 0, 0, 2) + blocks)
    struct.pack_into("<H", head, 50, -sum(struct.unpack("<36H", head)) % 0x10000)
    return (bytes(head) + body).ljust(size, b"\xff")[:size]


def bzimage(version: bytes = b"6.6.6 (x) #1", kernel: bytes = bytes(2 * SECTOR)) -> bytes:
    """Return what has the header of a Linux bzImage with a 64-bit entry (Documentation/arch/x86/boot.rst)."""
    data = bytearray(2 * SECTOR)
    data[0x1F1] = 1
    struct.pack_into("<I", data, 0x1F4, len(kernel) // 16)
    struct.pack_into("<BB4sH", data, 0x200, 0xEB, 0x66, b"HdrS", 0x20F)
    struct.pack_into("<H", data, 0x20E, 0x280 - SECTOR)
    struct.pack_into("<HI", data, 0x236, 0x3F, 2047)
    struct.pack_into("<IIQI", data, 0x248, 0, len(kernel), 0x1000000, 0x100000)
    data[0x280 : 0x280 + len(version) + 1] = version + b"\0"
    return bytes(data[: 2 * SECTOR]) + kernel
