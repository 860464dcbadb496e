"""One pure function per requirement, from evidence to findings, registered under the requirement's id."""

from mpwake.checks import devicetree, madt, platform, receiver, sender

__all__ = ["devicetree", "madt", "platform", "receiver", "sender"]
