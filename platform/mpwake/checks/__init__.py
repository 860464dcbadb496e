"""One pure function per requirement, from evidence to findings, registered under the requirement's id."""

from mpwake.checks import (
    confidential,
    cpunodes,
    devicetree,
    enumeration,
    landing,
    layout,
    madt,
    page,
    platform,
    receiver,
    reset,
    selection,
    sender,
)

__all__ = [
    "confidential",
    "cpunodes",
    "devicetree",
    "enumeration",
    "landing",
    "layout",
    "madt",
    "page",
    "platform",
    "receiver",
    "reset",
    "selection",
    "sender",
]
