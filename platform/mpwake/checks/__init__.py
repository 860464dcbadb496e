"""One pure function per requirement, from evidence to findings, registered under the requirement's id."""

from mpwake.checks import (
    bringup,
    confidential,
    cpunodes,
    devicetree,
    enumeration,
    giveback,
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
    "bringup",
    "confidential",
    "cpunodes",
    "devicetree",
    "enumeration",
    "giveback",
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
