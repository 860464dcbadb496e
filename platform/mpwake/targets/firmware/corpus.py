"""Firmware that ships, by the packages that it comes in, with the results known for it. No image is kept here."""

from __future__ import annotations

import re

import attrs

from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.resources import relative, scenarios


@attrs.frozen
class Specimen:
    """An image in a package of Debian, and what is known of it."""

    name: str = described("Its name")
    title: str = described("What it is, in one line")
    suite: str = described("Debian's suite")
    package: str = described("The package")
    version: str = described("The package's version")
    path: str = described("The image's path in the package")
    sha256: str = described("The image's digest")
    variable: str = described("The environment variable that names the image, when it was fetched")
    loop: bool = described("Whether it has an AP loop that an operating system sees", True)
    edition: str = described("The edition of ACPI that the results are for", "acpi-6.6")
    fails: tuple[str, ...] = described("The requirements that it is known to fail", ())

    def __attrs_post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"{self.sha256!r} is not a SHA-256")


@attrs.frozen
class CorpusFile:
    """A file of the corpus."""

    specimens: tuple[Specimen, ...] = described("The images")


def corpus() -> tuple[Specimen, ...]:
    """Return every image that the corpus knows. Raises ``InputError`` for a mistake in its files."""
    files = sorted(scenarios("corpus").glob("*.yaml"))
    read = (document.decode(document.load(path, relative(path)), CorpusFile) for path in files)
    return tuple(one for file in read for one in file.specimens)
