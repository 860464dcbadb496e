"""The runner target as a user meets it, where the program under test is the one that breaks."""

from __future__ import annotations

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
