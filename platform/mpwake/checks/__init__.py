"""One pure function per requirement, from evidence to findings, registered under the requirement's id."""

from mpwake.checks import confidential, devicetree, enumeration, landing, madt, page, platform, receiver, reset, sender

__all__ = [
    "confidential",
    "devicetree",
    "enumeration",
    "landing",
    "madt",
    "page",
    "platform",
    "receiver",
    "reset",
    "sender",
]
