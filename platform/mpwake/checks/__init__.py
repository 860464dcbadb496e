"""One pure function per requirement, from evidence to findings, registered under the requirement's id."""

from mpwake.checks import devicetree, madt, platform, receiver

__all__ = ["devicetree", "madt", "platform", "receiver"]
