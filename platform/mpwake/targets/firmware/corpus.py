"""What ships, by the packages that it comes in: firmware and kernels, with the results known. No image is kept here."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import attrs

from mpwake.spec import document
from mpwake.spec.document import described
from mpwake.spec.resources import relative, scenarios
from mpwake.spec.verdicts import Verdict
from mpwake.targets.firmware.archive import Archive, UnavailableError, digest, open_archive, unpack
from mpwake.targets.firmware.patches import Patch


@attrs.frozen
class Specimen:
    """An image in a package of Debian, and what is known of it."""

    name: str = described("Its name")
    title: str = described("What it is, in one line")
    suite: str = described("Debian's suite")
    package: str = described("The package")
    version: str = described("The package's version")
    package_sha256: str = described("The package's digest")
    path: str = described("The image's path in the package")
    sha256: str = described("The image's digest")
    variable: str = described("The environment variable that names the image, when it was fetched")
    kind: Literal["firmware", "kernel"] = described("What it is: the kind of the target that opens it", "firmware")
    loop: bool = described("Whether it has an AP loop that an operating system sees", True)
    edition: Literal["acpi-6.4", "acpi-6.5", "acpi-6.6"] = described(
        "The edition of ACPI that the results are for", "acpi-6.6"
    )
    fails: tuple[str, ...] = described("The requirements that it is known to fail", ())
    undecided: tuple[str, ...] = described("The requirements that are known to stay undecided", ())

    def __attrs_post_init__(self) -> None:
        for one in (self.package_sha256, self.sha256):
            if not re.fullmatch(r"[0-9a-f]{64}", one):
                raise ValueError(f"{one!r} is not a SHA-256")

    @property
    def folder(self) -> str:
        """The directory of the cache that its package is unpacked into."""
        return f"{self.package}_{self.version}_{self.package_sha256[:12]}"


@attrs.frozen
class Changed:
    """The AP loop of an image with bytes changed, and what must come of it."""

    name: str = described("Its name")
    title: str = described("What the changed loop does, in one line")
    specimen: str = described("The name of the image")
    patches: tuple[Patch, ...] = described("The changes")
    fails: tuple[str, ...] = described("The requirements that it must fail; none for a change for the better", ())
    passes: tuple[str, ...] = described("What the image itself fails, and such a change makes good", ())


@attrs.frozen
class CorpusFile:
    """A file of the corpus."""

    specimens: tuple[Specimen, ...] = described("The images")
    changed: tuple[Changed, ...] = described("AP loops of images, with bytes changed", (), key="mutants")


@attrs.frozen
class Fetched:
    """What became of one image: where it is, or why it is not there."""

    specimen: Specimen
    state: Literal["fetched", "cached", "skipped"]
    image: Path | None = None
    reason: str = ""


@attrs.frozen
class Comparison:
    """What a run says of an image, beside what is known of it; each a tuple of requirement ids, sorted.

    ``news`` fail and are not known to. ``gone`` are known to fail and do not. ``undecided`` are inconclusive or broke.
    ``reason`` tells what else is not as known.
    """

    news: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    reason: str = ""

    @property
    def as_known(self) -> bool:
        """Whether all is as the corpus says."""
        return not (self.news or self.gone or self.undecided or self.reason)


def _files() -> Iterator[CorpusFile]:
    for path in sorted(scenarios("corpus").glob("*.yaml")):
        yield document.decode(document.load(path, relative(path)), CorpusFile)


def corpus(kind: str = "") -> tuple[Specimen, ...]:
    """Return every image that the corpus knows, or those of a kind. Raises ``InputError`` for a mistake in a file."""
    return tuple(one for file in _files() for one in file.specimens if kind in ("", one.kind))


def changed_loops() -> tuple[Changed, ...]:
    """Return every changed loop that the corpus knows. Raises ``InputError`` for a mistake in its files."""
    return tuple(one for file in _files() for one in file.changed)


def cache_folder() -> Path:
    """Return where packages are unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpwake" / "corpus"


def image_in(cache: Path, specimen: Specimen) -> Path:
    """Return an image of the cache. Raises ``UnavailableError`` where it is not there, or is another one."""
    root = cache / specimen.folder
    path = root / specimen.path
    if not root.is_dir():
        raise UnavailableError(f"not fetched: {specimen.package} {specimen.version} of {specimen.suite}")
    if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
        raise UnavailableError(f"{specimen.package} {specimen.version} has no file {specimen.path}")
    found = digest(path)
    if found != specimen.sha256:
        raise UnavailableError(f"{specimen.path} is another image: its SHA-256 is {found}")
    return path


@attrs.define
class Fetcher:
    """Brings packages into a cache: asks for each suite once, and for each package once."""

    cache: Path
    suites: dict[str, Archive | UnavailableError] = attrs.Factory(dict)
    packages: dict[str, UnavailableError | None] = attrs.Factory(dict)

    def fetch(self, specimen: Specimen) -> Fetched:
        """Return what became of an image; an image that is in the cache is not asked for."""
        with contextlib.suppress(UnavailableError):
            image = image_in(self.cache, specimen)
            return Fetched(specimen, "cached" if specimen.folder not in self.packages else "fetched", image)
        try:
            self._bring_once(specimen)
            return Fetched(specimen, "fetched", image_in(self.cache, specimen))
        except UnavailableError as error:
            return Fetched(specimen, "skipped", reason=error.reason)

    def _archive(self, suite: str) -> Archive:
        if suite not in self.suites:
            try:
                self.suites[suite] = open_archive(self.cache / "apt" / suite, suite)
            except UnavailableError as error:
                self.suites[suite] = error
        found = self.suites[suite]
        if isinstance(found, UnavailableError):
            raise found
        return found

    def _bring_once(self, specimen: Specimen) -> None:
        if specimen.folder not in self.packages:
            try:
                self._bring(specimen)
                self.packages[specimen.folder] = None
            except UnavailableError as error:
                self.packages[specimen.folder] = error
        failed = self.packages[specimen.folder]
        if failed is not None:
            raise failed

    def _bring(self, specimen: Specimen) -> None:
        archive = self._archive(specimen.suite)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.cache) as work:
            root, debs = Path(work) / "root", Path(work) / "debs"
            root.mkdir()
            debs.mkdir()
            package = archive.download(specimen.package, specimen.version, debs)
            unpack(package, specimen.package_sha256, root)
            place = self.cache / specimen.folder
            shutil.rmtree(place, ignore_errors=True)
            root.rename(place)


def fetch(specimens: Iterable[Specimen], cache: Path) -> Iterator[Fetched]:
    """Bring images into the cache, one after the other; what cannot be had is skipped, with the reason."""
    cache = cache.absolute()  # apt runs in another directory
    cache.mkdir(parents=True, exist_ok=True)
    fetcher = Fetcher(cache)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for one in specimens:
            yield fetcher.fetch(one)


def compare(specimen: Specimen, verdicts: Mapping[str, Verdict]) -> Comparison:
    """Hold the verdicts of a whole run against what is known of an image."""
    named: dict[Verdict, set[str]] = {verdict: set() for verdict in Verdict}
    for one, verdict in verdicts.items():
        named[verdict].add(one)
    fails, known = named[Verdict.FAIL], set(specimen.fails)
    seen = bool(fails or named[Verdict.PASS])
    reason = ""
    if seen is not specimen.loop:
        reason = "an AP loop was found, and none is known" if seen else "no AP loop was judged, and one is known"
    undecided = (named[Verdict.INCONCLUSIVE] | named[Verdict.ERROR]) - set(specimen.undecided)
    return Comparison(tuple(sorted(fails - known)), tuple(sorted(known - fails)), tuple(sorted(undecided)), reason)


State = Literal["caught", "made good", "SURVIVES", "differs"]


@attrs.frozen
class Caught:
    """What a run says of a changed loop: what it was to fail and does, what it was to fail and does not, what else."""

    caught: tuple[str, ...]
    missed: tuple[str, ...]
    also: tuple[str, ...]
    undecided: tuple[str, ...]
    state: State


def catch(changed: Changed, specimen: Specimen, verdicts: Mapping[str, Verdict]) -> Caught:
    """Hold the verdicts of a whole run against what must come of a change.

    A fault is caught when all fails that it must fail. A change for the better leaves nothing new, nothing open, and
    makes good what it is to make good.
    """
    failing = {one for one, verdict in verdicts.items() if verdict is Verdict.FAIL}
    undecided = {one for one, verdict in verdicts.items() if verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR)}
    must, also = set(changed.fails), failing - set(specimen.fails) - set(changed.fails)
    good = all(verdicts.get(one) is Verdict.PASS for one in changed.passes)
    state: State
    if must:
        state = "caught" if must <= failing else "SURVIVES"
    else:
        state = "made good" if good and not also and not undecided else "differs"
    caught, missed, more, left = (tuple(sorted(one)) for one in (must & failing, must - failing, also, undecided))
    return Caught(caught, missed, more, left, state)
