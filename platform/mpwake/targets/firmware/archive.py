"""Packages of other suites of the machine's Debian archive: fetched and unpacked, never installed.

The machine's own apt configuration reaches the archive: its sources say where that is and which key signs it, its
options say how. Nothing of the machine's is written to: apt has a state directory of its own here, in which no package
counts as installed.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

SECONDS = 600
OS_RELEASE = Path("/etc/os-release")
# Names that a release has by its age; the one that the machine runs is known by its own name too.
AGES = frozenset({"oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"})
# Settings of the machine's apt that are not for here: hooks that act on it, its own suite.
DROPPED = ("APT::Update", "DPkg::Post-Invoke", "APT::Default-Release")
_LINE = re.compile(r"(\s*deb\s+(?:\[[^\]]*\]\s*)?\S+\s+)(\S+)(\s+[^#]*)")
_SETTING = re.compile(r"'([^']*)'")


@attrs.frozen(auto_exc=True)
class UnavailableError(Exception):
    """A suite or a package cannot be had; ``reason`` is one sentence without a stop."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def _killed(process: subprocess.Popen[str]) -> None:
    """End a program with everything that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ran(command: list[str], folder: Path | None = None) -> tuple[int, str, str]:
    """Run a program, and return its exit code and what it printed on stdout and stderr.

    Raises ``UnavailableError`` when it cannot be started, or is not done in ``SECONDS``.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603  # a list of words, and no shell
            command,
            cwd=folder,
            env=environment,
            stdin=null,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(f"{command[0]} cannot be started: {error.strerror}") from None
    try:
        out, told = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        _killed(process)
        raise UnavailableError(f"{command[0]} was not done in {SECONDS} seconds") from None
    except BaseException:
        _killed(process)
        raise
    return process.returncode, out, told


def _release() -> str:
    try:
        text = OS_RELEASE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r'(?m)^VERSION_CODENAME="?([a-z]+)"?$', text)
    return found[1] if found else ""


def _in_suite(text: str, suite: str, known: frozenset[str]) -> str | None:
    """Return a stanza of a ``.sources`` file for another suite, or None where it is not the archive's."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    fields = {name.lower(): value.split() for name, _, value in (line.partition(":") for line in lines)}
    off = fields.get("enabled", ["yes"])[0:1] == ["no"]
    usable = "deb" in fields.get("types", ()) and "main" in fields.get("components", ()) and not off
    if not usable or not known.intersection(fields.get("suites", ())):
        return None
    replaced = {"suites": f"Suites: {suite}", "types": "Types: deb"}
    return "\n".join(replaced.get(line.partition(":")[0].lower(), line) for line in lines) + "\n"


def _candidates(path: Path, suite: str, known: frozenset[str]) -> Iterator[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".sources":
        stanzas = (_in_suite(one, suite, known) for one in re.split(r"\n\s*\n", text))
        yield from (one for one in stanzas if one)
        return
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and found[2] in known and "main" in found[3].split():
            yield f"{found[1]}{suite}{found[3].rstrip()}\n"


def source_of(files: Iterable[Path], suite: str) -> tuple[str, str]:
    """Return the machine's entry for the Debian archive, with another suite in it, and the kind of file that it is.

    Options and keys of the entry are kept as they are. Raises ``UnavailableError`` where there is none.
    """
    paths = [path for path in files if path.is_file()]
    for known in (frozenset({_release()}) - {""}, AGES):
        for path in paths:
            for text in _candidates(path, suite, known):
                return text, ".sources" if path.suffix == ".sources" else ".list"
    raise UnavailableError("the apt sources of this machine name no Debian archive")


def _machine_files() -> list[Path]:
    names = ["list", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d"]
    _, out, _ = ran(["apt-config", "shell", *names])
    values = [Path(value) for value in _SETTING.findall(out)]
    parts = [one for folder in values[1:] for one in sorted(folder.glob("*")) if one.suffix in (".list", ".sources")]
    return [*values[:1], *parts]


@attrs.frozen
class Archive:
    """One suite, through an apt whose state is in ``home``."""

    home: Path
    suite: str
    sources: Path

    def _run(self, *words: str, folder: Path | None = None) -> tuple[int, str]:
        """Run apt-get, and return its exit code and its first complaint, with no address in it."""
        settings = {
            "Dir::Etc::sourcelist": self.sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State": self.home,
            "Dir::State::Lists": self.home / "lists",
            "Dir::State::status": self.home / "status",
            "Dir::Cache": self.home / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        code, _, told = ran(["apt-get", "-c", str(self.home / "apt.conf"), *options, *words], folder)
        complaints = re.findall(r"(?m)^E: (.*)$", told) or re.findall(r"(?m)^W: (.*)$", told)
        why = complaints[0] if complaints else f"apt-get exits with {code}"
        return code, re.sub(r"[a-z+]+://\S+", "the mirror", why).rstrip(".")

    def update(self) -> None:
        """Have the suite's lists of packages. Raises ``UnavailableError``."""
        code, why = self._run("update")
        if code or not list((self.home / "lists").glob("*_Packages*")):
            raise UnavailableError(f"the suite {self.suite} cannot be had: {why}")

    def download(self, package: str, version: str, folder: Path) -> Path:
        """Download one version of a package into an empty directory. Raises ``UnavailableError``."""
        code, why = self._run("download", f"{package}={version}", folder=folder)
        files = sorted(folder.glob("*.deb"))
        if code or len(files) != 1:
            raise UnavailableError(f"{package} {version} of {self.suite} cannot be downloaded: {why}")
        return files[0]


def open_archive(home: Path, suite: str) -> Archive:
    """Prepare a suite of the machine's archive, with its state in ``home``. Raises ``UnavailableError``."""
    text, suffix = source_of(_machine_files(), suite)
    for folder in ("lists/partial", "cache/archives/partial"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)  # the address of a mirror may hold a password
    (home / "status").touch()
    (home / "apt.conf").write_text("".join(f"#clear {name};\n" for name in DROPPED), encoding="utf-8")
    sources = home / f"suite{suffix}"
    sources.write_text(text, encoding="utf-8")
    archive = Archive(home, suite, sources)
    archive.update()
    return archive


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(package: Path, sha256: str, root: Path) -> None:
    """Unpack a package whose digest is as expected into a directory. Raises ``UnavailableError``."""
    found = digest(package)
    if found != sha256:
        raise UnavailableError(f"{package.name} is another package, and was not unpacked: its SHA-256 is {found}")
    code, _, told = ran(["dpkg-deb", "-x", str(package), str(root)])
    if code:
        raise UnavailableError(f"{package.name} cannot be unpacked: {(told.splitlines() or ['no reason given'])[0]}")
