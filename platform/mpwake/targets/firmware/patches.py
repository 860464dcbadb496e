"""Changes to the bytes of an AP loop: to see what the suite says of a loop that is not the vendor's own."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from mpwake.spec.document import described


@attrs.frozen(kw_only=True)
class Patch:
    """Bytes of the code that are replaced."""

    at: int = described("Offset of the first byte in the code")
    old: str = described("The bytes that stand there, in hex", key="from")
    new: str = described("As many bytes that replace them, in hex", key="to")
    why: str = described("What the change does, in one line")

    def __attrs_post_init__(self) -> None:
        for text in (self.old, self.new):
            try:
                bytes.fromhex(text)
            except ValueError:
                raise ValueError(f"{text!r} is not hex") from None
        if not self.before or len(self.before) != len(self.after):
            raise ValueError(f"{len(self.before)} bytes are replaced by {len(self.after)}: as many are needed")
        if self.before == self.after:
            raise ValueError("it changes nothing")

    @property
    def before(self) -> bytes:
        """The bytes that stand there."""
        return bytes.fromhex(self.old)

    @property
    def after(self) -> bytes:
        """The bytes that replace them."""
        return bytes.fromhex(self.new)

    def apply(self, code: bytes) -> bytes:
        """Return the code with this change. Raises ``ValueError`` where other bytes stand there."""
        end = self.at + len(self.before)
        if not 0 <= self.at < end <= len(code):
            raise ValueError(f"no {len(self.before)} bytes stand at {self.at:#x}, in {len(code)} bytes of code")
        found = code[self.at : end]
        if found != self.before:
            raise ValueError(f"at {self.at:#x} stands {found.hex(' ')}, and not {self.before.hex(' ')}")
        return code[: self.at] + self.after + code[end:]

    @property
    def told(self) -> str:
        """What it does, for a report."""
        return f"+{self.at:#x} {self.before.hex(' ')} is {self.after.hex(' ')} here ({self.why})"


def patched(code: bytes, patches: Iterable[Patch]) -> bytes:
    """Return code with changes, one after the other. Raises ``ValueError`` for one that does not fit."""
    for one in patches:
        code = one.apply(code)
    return code


def warning(patches: tuple[Patch, ...]) -> tuple[str, ...]:
    """Return what a report says of changed code: nothing where it is the vendor's."""
    if not patches:
        return ()
    return (f"THE CODE WAS CHANGED, this is not the vendor's: {'; '.join(one.told for one in patches)}",)
