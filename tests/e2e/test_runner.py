"""The runner target as a user meets it, where the program under test is the one that breaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.cli import mpwake

HELLO = '{"message":"hello","protocol":"mpwake-runner/1","name":"breaks","capabilities":[]}'
# It says hello and bye, and breaks as soon as processors are asked for.
BREAKS = f"""#!/bin/sh
while read -r line; do
    case $line in
    *hello*) echo '{HELLO}' ;;
    *go*) WHAT ;;
    *bye*) echo '{{"message":"bye"}}'; exit ;;
    esac
done
"""


def program(folder: Path, text: str) -> str:
    path = folder / "dut"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return "runner:./dut"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("exit 7", "the program closed its connection without a bye, and exited with 7"),
        ("echo nonsense", "message 2: not JSON: b'nonsense'"),
        ("yes nonsense", "message 2: not JSON: b'nonsense'"),
        ("""echo '{"message":"fault","text":"no board"}' """, "the program reports: no board"),
    ],
)
def test_a_program_that_breaks_in_a_trial_is_an_error(what: str, words: str, tmp_path: Path) -> None:
    done = mpwake("run", program(tmp_path, BREAKS.replace("WHAT", what)), "RCV-01", "RCV-09", cwd=tmp_path)
    assert (done.returncode, "non-conforming" in done.stdout) == (3, False)
    assert words in " ".join(done.stdout.split())


def test_a_program_that_does_not_start_is_bad_input(tmp_path: Path) -> None:
    done = mpwake("run", program(tmp_path, "#!/bin/sh\nexit 7\n"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mpwake: runner:dut: the program closed its connection")
    assert "Traceback" not in done.stderr


def held(folder: Path, target: str, *more: str) -> tuple[str, str]:
    done = mpwake("run", target, "RST-10", "--format", "json", *more, cwd=folder)
    told = json.loads(done.stdout)
    return told["edition"], told["edition_reason"]


def test_the_edition_of_hello_gives_way_to_a_target_file_and_that_to_the_option(tmp_path: Path) -> None:
    hello = HELLO.replace("}", ',"edition":"acpi-6.4"}')
    target = program(tmp_path, BREAKS.replace("WHAT", "exit 7").replace(HELLO, hello))
    file = tmp_path / "target.yaml"
    file.write_text("kind: runner\nlocation: dut\nedition: acpi-6.5\n", encoding="utf-8")
    assert held(tmp_path, target) == ("acpi-6.4", "the program says so")
    assert held(tmp_path, "target.yaml") == ("acpi-6.5", "target.yaml says so")
    assert held(tmp_path, "target.yaml", "--edition", "acpi-6.6") == ("acpi-6.6", "chosen with --edition")


def test_an_edition_that_there_is_none_of_is_bad_input(tmp_path: Path) -> None:
    hello = HELLO.replace("}", ',"edition":"acpi-9.9"}')
    done = mpwake("run", program(tmp_path, BREAKS.replace("WHAT", "exit 7").replace(HELLO, hello)), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "runner:dut: message 1: no edition 'acpi-9.9'; known: acpi-6.4, acpi-6.5, acpi-6.6" in done.stderr
