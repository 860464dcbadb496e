"""The corpus of firmware: packages through an apt that the test makes, and images held against what is known."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import attrs
import jsonschema
import pytest

from mpwake.cli import corpus as command
from mpwake.cli.registry import schemas
from mpwake.evidence.behaviour import Behaviour
from mpwake.model.probe import probe
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.requirements import Role, registry
from mpwake.spec.resources import scenarios
from mpwake.spec.verdicts import Verdict
from mpwake.targets.base import Target
from mpwake.targets.firmware import archive, declared
from mpwake.targets.firmware.archive import UnavailableError, source_of
from mpwake.targets.firmware.corpus import (
    Changed,
    Comparison,
    CorpusFile,
    Specimen,
    catch,
    changed_loops,
    compare,
    corpus,
    fetch,
    image_in,
)
from mpwake.targets.firmware.drive import trials
from mpwake.targets.firmware.patches import Patch
from mpwake.targets.firmware.stage import bare_stage
from support.machine_code import changed

PATH_IN_PACKAGE = "usr/share/ovmf/OVMF.fd"
SOURCES = """\
Types: deb deb-src
URIs: http://somebody.example/packages
Suites: here
Components: main

# The archive
Types: deb deb-src
URIs: http://user:secret@mirror.example/debian
Suites: stable stable-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg
"""
APT_CONFIG = """
print("list='{0}/sources.list'\\nparts='{0}/parts/'".format(HOME))
"""
APT_GET = """
import pathlib, shutil, sys
settings = dict(word.split("=", 1) for word in sys.argv if "::" in word)
suite = pathlib.Path(settings["Dir::Etc::sourcelist"]).read_text()
asked = sys.argv[sys.argv.index("Acquire::Retries=3") + 1:]
with open(HOME + "/asked", "a") as log:
    print(*asked, file=log)
if asked == ["update"]:
    if "Suites: gone" in suite:
        sys.exit("E: The repository 'http://user:secret@mirror.example/debian gone Release' has no Release file.")
    (pathlib.Path(settings["Dir::State::Lists"]) / "mirror_Packages").touch()
else:
    package = pathlib.Path(HOME, "pool", asked[1] + ".deb")
    if not package.exists():
        sys.exit("E: Version '%s' was not found" % asked[1])
    shutil.copy(package, ".")
"""
DPKG_DEB = """
import json, pathlib, sys
_, package, root = sys.argv[1:]
with open(HOME + "/asked", "a") as log:
    print("unpack", file=log)
for name, text in json.loads(pathlib.Path(package).read_text()).items():
    path = pathlib.Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def specimen(name: str = "one", package: bytes = b"", text: str = "an image", **more: object) -> Specimen:
    digests = {"package_sha256": sha256(package), "sha256": sha256(text.encode())}
    plain: dict[str, object] = {
        "name": name,
        "title": name,
        "suite": "sid",
        "package": "ovmf",
        "version": "1-1",
        "variable": "X",
    }
    plain = {**plain, "path": PATH_IN_PACKAGE, **digests, **more}
    return document.decode(document.from_plain(plain, "corpus.yaml"), Specimen)


@attrs.frozen
class Machine:
    """A machine with an apt of its own."""

    home: Path
    cache: Path

    def publish(self, text: str = "an image", version: str = "1-1") -> bytes:
        data = json.dumps({PATH_IN_PACKAGE: text, "usr/share/ovmf/other.fd": "another"}).encode()
        (self.home / "pool" / f"ovmf={version}.deb").write_bytes(data)
        return data

    @property
    def asked(self) -> list[str]:
        log = self.home / "asked"
        return log.read_text().splitlines() if log.exists() else []

    def without(self, program: str) -> None:
        (self.home / "bin" / program).unlink()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for folder in ("bin", "parts", "pool"):
        (tmp_path / folder).mkdir()
    for name, text in (("apt-config", APT_CONFIG), ("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        program = tmp_path / "bin" / name
        program.write_text(f"#!{sys.executable}\nHOME = {str(tmp_path)!r}\n{text}")
        program.chmod(0o755)
    (tmp_path / "parts" / "debian.sources").write_text(SOURCES)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Machine(tmp_path, tmp_path / "cache" / "mpwake" / "corpus")


def states(machine: Machine, *specimens: Specimen) -> list[tuple[str, str]]:
    return [(one.state, one.reason) for one in fetch(specimens, machine.cache)]


# What is fetched


def test_a_package_is_asked_for_once_and_then_taken_from_the_cache(machine: Machine) -> None:
    package = machine.publish()
    one, other = specimen(package=package), specimen("other", package, "another", path="usr/share/ovmf/other.fd")
    assert states(machine, one, other) == [("fetched", ""), ("fetched", "")]
    assert image_in(machine.cache, one).read_text() == "an image"
    assert machine.asked == ["update", "download ovmf=1-1", "unpack"]
    assert states(machine, one, other) == [("cached", ""), ("cached", "")]
    assert machine.asked == ["update", "download ovmf=1-1", "unpack"]
    assert sorted(path.name for path in machine.cache.iterdir()) == [".lock", "apt", one.folder]


def test_apt_gets_the_machines_own_entry_with_another_suite_in_it(machine: Machine) -> None:
    list(fetch([specimen(package=machine.publish())], machine.cache))
    home = machine.cache / "apt" / "sid"
    assert (home / "suite.sources").read_text().splitlines() == [
        "Types: deb",
        "URIs: http://user:secret@mirror.example/debian",
        "Suites: sid",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian.gpg",
    ]
    assert home.stat().st_mode & 0o77 == 0
    assert "#clear APT::Update;" in (home / "apt.conf").read_text()


def test_a_package_of_another_digest_is_not_unpacked(machine: Machine) -> None:
    found = sha256(machine.publish())
    assert states(machine, specimen(package=b"what was expected")) == [
        ("skipped", f"ovmf=1-1.deb is another package, and was not unpacked: its SHA-256 is {found}")
    ]
    assert "unpack" not in machine.asked
    assert sorted(path.name for path in machine.cache.iterdir()) == [".lock", "apt"]


def test_an_image_of_another_digest_or_not_in_its_package_is_skipped(machine: Machine) -> None:
    package = machine.publish("changed")
    found = sha256(b"changed")
    absent = specimen("absent", package, path="usr/share/nothing.fd")
    outside = specimen("outside", package, path="../apt/sid/status", text="")
    assert states(machine, specimen(package=package), absent, outside) == [
        ("skipped", f"{PATH_IN_PACKAGE} is another image: its SHA-256 is {found}"),
        ("skipped", "ovmf 1-1 has no file usr/share/nothing.fd"),
        ("skipped", "ovmf 1-1 has no file ../apt/sid/status"),
    ]


def test_a_broken_cache_is_made_again(machine: Machine) -> None:
    one = specimen(package=machine.publish())
    list(fetch([one], machine.cache))
    image_in(machine.cache, one).write_text("half an im")
    assert states(machine, one) == [("fetched", "")]
    assert image_in(machine.cache, one).read_text() == "an image"


def test_what_is_missing_is_skipped_with_the_reason_and_the_rest_is_fetched(machine: Machine) -> None:
    there = specimen(package=machine.publish())
    absent = specimen("absent", version="2-1")
    gone = specimen("gone", suite="gone")
    assert states(machine, absent, gone, attrs.evolve(gone, version="7"), there) == [
        ("skipped", "ovmf 2-1 of sid cannot be downloaded: Version 'ovmf=2-1' was not found"),
        *[("skipped", "the suite gone cannot be had: The repository 'the mirror gone Release' has no Release file")]
        * 2,
        ("fetched", ""),
    ]
    assert machine.asked.count("update") == 2


@pytest.mark.parametrize("program", ["apt-config", "apt-get", "dpkg-deb"])
def test_a_machine_without_a_program_says_so(machine: Machine, program: str) -> None:
    one = specimen(package=machine.publish())
    machine.without(program)
    assert states(machine, one) == [("skipped", f"{program} cannot be started: No such file or directory")]


def test_a_machine_of_another_distribution_says_so(machine: Machine) -> None:
    (machine.home / "parts" / "debian.sources").write_text(SOURCES.partition("# The archive")[0])
    assert states(machine, specimen()) == [("skipped", "the apt sources of this machine name no Debian archive")]


def test_a_program_that_does_not_end_is_ended_with_its_children(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])'
    hanging = f"#!{sys.executable}\nimport subprocess, sys, time\n{child}\ntime.sleep(60)\n"
    (machine.home / "bin" / "apt-get").write_text(hanging)
    monkeypatch.setattr(archive, "SECONDS", 1)
    assert states(machine, specimen()) == [("skipped", "apt-get was not done in 1 seconds")]


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("deb http://m.example/debian stable main  # comment", "deb http://m.example/debian sid main\n"),
        (
            "deb [signed-by=/k.gpg arch=amd64] http://m stable main x",
            "deb [signed-by=/k.gpg arch=amd64] http://m sid main x\n",
        ),
    ],
)
def test_an_entry_of_one_line_keeps_its_options(tmp_path: Path, line: str, entry: str) -> None:
    path = tmp_path / "sources.list"
    path.write_text(f"# deb http://no stable main\ndeb-src http://m stable main\ndeb http://m stable contrib\n{line}\n")
    assert source_of([tmp_path / "absent", path], "sid") == (entry, ".list")


def test_an_entry_that_is_switched_off_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "debian.sources"
    path.write_text("Enabled: no\nTypes: deb\nURIs: http://m\nSuites: stable\nComponents: main\n")
    with pytest.raises(UnavailableError, match="no Debian archive"):
        source_of([path], "sid")


# What is known


KNOWN = specimen(fails=["RCV-09", "MEM-06"])
AS_KNOWN = {"RCV-09": Verdict.FAIL, "MEM-06": Verdict.FAIL, "RCV-01": Verdict.PASS, "TDX-03": Verdict.NOT_TESTABLE}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Comparison()),
        ({"RCV-01": Verdict.FAIL}, Comparison(news=("RCV-01",))),
        ({"RCV-09": Verdict.PASS}, Comparison(gone=("RCV-09",))),
        ({"RCV-09": Verdict.NOT_TESTABLE}, Comparison(gone=("RCV-09",))),
        ({"RCV-09": Verdict.INCONCLUSIVE}, Comparison(gone=("RCV-09",), undecided=("RCV-09",))),
        ({"RCV-01": Verdict.ERROR}, Comparison(undecided=("RCV-01",))),
    ],
)
def test_verdicts_are_held_against_what_is_known(changes: dict[str, Verdict], expected: Comparison) -> None:
    found = compare(KNOWN, {**AS_KNOWN, **changes})
    assert found == expected
    assert found.as_known is (not changes)


def test_silence_is_not_as_known() -> None:
    none = {"RCV-01": Verdict.NOT_APPLICABLE}
    assert compare(specimen(), {}).reason == "no AP loop was judged, and one is known"
    assert not compare(specimen(), none).as_known
    assert compare(specimen(loop=False), none).as_known
    assert compare(specimen(loop=False), {"RCV-01": Verdict.PASS}).reason == "an AP loop was found, and none is known"


def test_the_corpus_keeps_to_its_schema_and_names_requirements() -> None:
    validator = jsonschema.Draft202012Validator(schemas()["corpus"])
    for path in sorted(scenarios("corpus").glob("*.yaml")):
        validator.validate(document.load(path).plain())
    assert {id for one in corpus() for id in one.fails} <= registry().requirements.keys()
    assert len({one.folder for one in corpus()}) == 12


def test_a_digest_that_is_none_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    text = (scenarios("corpus") / "ovmf.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("package_sha256: e7", "package_sha256: xx", 1))
    with pytest.raises(InputError, match="is not a SHA-256") as caught:
        document.decode(document.load(path), CorpusFile)
    assert caught.value.where.startswith(f"{path}:4:")


# Changed loops


def changed_loop(fails: tuple[str, ...] = (), passes: tuple[str, ...] = ()) -> Changed:
    patch = Patch(at=0, old="90", new="91", why="x")
    return Changed(name="x", title="x", specimen="one", patches=(patch,), fails=fails, passes=passes)


GOOD = {**AS_KNOWN, "RCV-09": Verdict.PASS}


@pytest.mark.parametrize(
    ("fails", "passes", "verdicts", "state"),
    [
        (("RCV-01",), (), {**AS_KNOWN, "RCV-01": Verdict.FAIL}, "caught"),
        (("RCV-01",), (), {**AS_KNOWN, "RCV-01": Verdict.FAIL, "RCV-02": Verdict.FAIL}, "caught"),
        (("RCV-01", "RCV-02"), (), {**AS_KNOWN, "RCV-01": Verdict.FAIL}, "SURVIVES"),
        (("RCV-01",), (), {**AS_KNOWN, "RCV-01": Verdict.INCONCLUSIVE}, "SURVIVES"),
        (("RCV-01",), (), {}, "SURVIVES"),
        ((), ("RCV-09",), GOOD, "made good"),
        ((), ("RCV-09",), AS_KNOWN, "differs"),
        ((), ("RCV-09",), {**GOOD, "RCV-09": Verdict.NOT_TESTABLE}, "differs"),
        ((), ("RCV-09",), {**GOOD, "RCV-01": Verdict.FAIL}, "differs"),
        ((), ("RCV-09",), {**GOOD, "RCV-01": Verdict.INCONCLUSIVE}, "differs"),
    ],
)
def test_a_changed_loop_is_caught_when_all_fails_that_must(
    fails: tuple[str, ...], passes: tuple[str, ...], verdicts: dict[str, Verdict], state: str
) -> None:
    found = catch(changed_loop(fails, passes), KNOWN, verdicts)
    assert found.state == state
    assert set(found.caught) | set(found.missed) == set(fails)


def test_the_changed_loops_name_images_and_requirements() -> None:
    known = {one.name: one for one in corpus()}
    for one in changed_loops():
        assert set(one.fails) | set(one.passes) <= registry().requirements.keys()
        assert set(one.passes) <= set(known[one.specimen].fails)
        assert one.fails or one.passes
    assert len({one.name for one in changed_loops()}) == len(changed_loops())


# The commands


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = command.corpus_command.main(list(words), "mpwake corpus", standalone_mode=False)
    out, told = capsys.readouterr()
    return code, out, told


def test_fetch_counts_what_it_skips(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (specimen("there", machine.publish()), specimen("absent", version="2-1"))
    monkeypatch.setattr(command, "corpus", lambda: known)
    code, out, told = called(capsys, "fetch", "--format", "json")
    assert code == 0
    assert [(row["name"], row["state"]) for row in json.loads(out)] == [("there", "fetched"), ("absent", "skipped")]
    assert json.loads(out)[0]["image"] == str(image_in(machine.cache, known[0]))
    assert told == "2 images: 1 fetched, 0 cached, 1 skipped\n"
    code, out, _ = called(capsys, "fetch", "absent")
    assert code == 4
    assert out.splitlines()[1].startswith("absent  skipped  ovmf 2-1 of sid cannot be downloaded: ")


def test_fetch_says_when_the_cache_cannot_be_used(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.home / "bin" / "apt-get"))
    with pytest.raises(InputError, match="the cache cannot be used: Not a directory"):
        called(capsys, "fetch")


def test_an_image_that_nobody_knows_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"no image 'ovmf-2025.20' in the corpus") as caught:
        called(capsys, "run", "ovmf-2025.20")
    assert caught.value.hint == "did you mean 'ovmf-2025.02'?"


def test_run_without_any_image_is_no_success(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert not machine.cache.exists()
    code, out, told = called(capsys, "run", "ovmf-2025.02")
    assert code == 4
    assert "not fetched: ovmf 2025.02-8+deb13u1 of trixie" in out
    assert told == "1 images: 0 as known, 0 differs, 1 skipped\n"


def bare(code: bytes) -> Target:
    stage = bare_stage(code, 8)
    loop = Behaviour(lambda sentence, seed: tuple(trials(stage, probe(sentence, Role.RECEIVER), seed)))
    return Target(kind="firmware", name="firmware:bare", sources=(), driven={Role.RECEIVER: loop})


def test_run_prints_what_is_new_and_what_is_known_no_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = machine.publish()
    fails = ["RCV-13", "TDX-05"]
    known = (specimen("right", package, fails=fails), specimen("wrong", package, fails=[*fails[:1], "RCV-09"]))
    monkeypatch.setattr(command, "corpus", lambda: known)
    opened: list[str] = []
    monkeypatch.setattr(command, "open_target", lambda spec: opened.append(spec) or bare(changed()))
    assert called(capsys, "fetch")[0] == 0
    code, out, told = called(capsys, "run", "right", "--format", "json")
    (right,) = json.loads(out)
    assert code == 0
    assert (right["state"], right["news"], right["no_longer_fails"], right["undecided"]) == ("as known", [], [], [])
    assert told == "1 images: 1 as known, 0 differs, 0 skipped\n"
    code, out, told = called(capsys, "run", "wrong", "--format", "json")
    (wrong,) = json.loads(out)
    assert code == 1
    assert (wrong["state"], wrong["news"], wrong["no_longer_fails"]) == ("differs", ["TDX-05"], ["RCV-09"])
    assert told == "1 images: 0 as known, 1 differs, 0 skipped\n"
    assert opened == [f"firmware:{image_in(machine.cache, one)}" for one in known]


def test_changed_loops_are_judged_and_a_survivor_is_the_suites_fault(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (specimen("one", machine.publish(), fails=["RCV-13", "TDX-05"]),)
    monkeypatch.setattr(command, "corpus", lambda: known)
    monkeypatch.setattr(command, "changed_loops", lambda: (changed_loop(fails=("RCV-09",)),))
    monkeypatch.setattr(declared, "open_changed", lambda _image, _patches, _name: bare(changed()))
    assert called(capsys, "mutants")[0] == 4
    assert called(capsys, "fetch")[0] == 0
    code, out, told = called(capsys, "mutants", "--format", "json")
    (row,) = json.loads(out)
    assert (code, row["state"], row["missed"]) == (3, "SURVIVES", ["RCV-09"])
    assert told == "1 changed loops: 0 caught, 0 made good, 1 SURVIVES, 0 differs, 0 skipped\n"
    with pytest.raises(InputError, match="no changed loop 'y' in the corpus"):
        called(capsys, "mutants", "y")
