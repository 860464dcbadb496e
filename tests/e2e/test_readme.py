"""What the README and the written pages show is what a user sees: their commands are run, and their output compared.

In a block fenced as ``console``, a line that begins with ``$ `` is a command, and what stands below it up to the next
command or the end of the block must appear in its output, in that order; ``...`` stands for anything, on a line of its
own or inside one, and digests and times are taken out of both. A command that ends with ``# exit N`` must exit with N,
every other with 0. A block fenced as ``LANGUAGE NAME`` is a file of that name. All commands of a page are run in one
empty directory, and those that set something up (``OTHERS``) are left out.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from support.cli import environment

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWING = [path for path in PAGES if "```console\n" in path.read_text(encoding="utf-8")]
OTHERS = ("git clone", "make", "pip", "python3 -m venv", "sudo", "cd")

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit (\d+)$")
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{64}\b|(?<=sha256 )[0-9a-f]{12}\b"), "DIGEST"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)"), "TIME"),
    (re.compile(r"\b\d+\.\d+(?= ?s(econds)?\b)"), "SECONDS"),
    (re.compile(r'(?<="duration":)\d+\.\d+'), "SECONDS"),
)


@attrs.frozen
class Command:
    """A command of a page, what it must exit with, and the lines that it must print."""

    line: int
    words: str
    code: int
    shown: tuple[str, ...]


def blocks(text):
    """Yield each fenced block: its line in the text, the words after the fence, its body."""
    for found in _FENCE.finditer(text):
        yield text.count("\n", 0, found.start()) + 2, found["info"].split(), found["body"]


def files(text):
    return {words[1]: body for _, words, body in blocks(text) if len(words) == 2 and words[0] != "console"}


def commands(text):
    return [one for line, words, body in blocks(text) if words[:1] == ["console"] for one in reading(line, body)]


def reading(first, body):
    lines = body.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        words = lines[at].removeprefix("$ ").rstrip()
        code = _EXIT.search(words)
        shown = tuple(line.rstrip() for line in lines[at + 1 : end] if line.strip())
        yield Command(first + at, _EXIT.sub("", words), int(code[1]) if code else 0, shown)


def is_run(command):
    return not any(command.words == other or command.words.startswith(other + " ") for other in OTHERS)


def settled(line):
    for pattern, word in _CHANGING:
        line = pattern.sub(word, line)
    return line.rstrip()


def missing(shown, printed):
    """Return the first of the shown lines that is not in the output behind those before it, or None."""
    rest = iter([settled(line) for line in printed.splitlines()])
    for line in shown:
        if line.strip() == "...":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in settled(line).split("...")))
        if not any(pattern.fullmatch(other) for other in rest):
            return line
    return None


def run(command, folder):
    """Run a command in a shell that finds this environment's programs first; return its exit code and its output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["/bin/sh", "-c", command.words],
        cwd=folder,
        env=environment(PATH=path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def problem(command, folder):
    """Return what is wrong with a command of a page, or None."""
    code, printed = run(command, folder)
    absent = missing(command.shown, printed)
    if code == command.code and absent is None:
        return None
    what = f"does not print {absent!r} there" if absent is not None else f"exits with {code}, not {command.code}"
    return f"line {command.line}: {command.words!r} {what}:\n{printed}"


@pytest.mark.parametrize("path", SHOWING, ids=lambda path: path.name)
def test_what_a_page_shows_is_what_a_user_sees(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    for file, content in files(text).items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    checked = [one for one in commands(text) if is_run(one)]
    assert checked, f"{path.name} shows no command that can be run"
    problems = [told for one in checked if (told := problem(one, tmp_path))]
    assert not problems, "\n\n".join([path.name, *problems])


SAMPLE = """# Sample

```console
$ make run
$ echo 'sha256 0123456789ab'; echo two; false  # exit 1
sha256 ba9876543210
...
$ cat greeting.txt
he...
```

```text greeting.txt
hello, world
```
"""


def test_a_page_is_read_as_it_is_meant():
    assert files(SAMPLE) == {"greeting.txt": "hello, world\n"}
    assert commands(SAMPLE) == [
        Command(4, "make run", 0, ()),
        Command(5, "echo 'sha256 0123456789ab'; echo two; false", 1, ("sha256 ba9876543210", "...")),
        Command(8, "cat greeting.txt", 0, ("he...",)),
    ]
    assert [is_run(one) for one in commands(SAMPLE)] == [False, True, True]


@pytest.mark.parametrize(
    ("shown", "printed", "absent"),
    [
        (("a", "c"), "a\nb\nc\n", None),
        (("c", "a"), "a\nb\nc\n", "a"),
        (("a", "a"), "a\n", "a"),
        (("...", "b ... d"), "a\nb c d\n", None),
        (("b",), "a b\n", "b"),
        (("reports in 0.25 s",), "reports in 1.75 s\n", None),
        (("at 2026-01-02T03:04:05Z",), "at 2025-11-12T13:14:15Z\n", None),
        (("a.c",), "abc\n", "a.c"),
    ],
)
def test_lines_are_looked_for_in_order(shown, printed, absent):
    assert missing(shown, printed) == absent


def test_a_wrong_line_and_a_wrong_exit_code_are_told(tmp_path):
    assert problem(Command(1, "echo one", 0, ("one",)), tmp_path) is None
    assert "does not print 'two' there" in problem(Command(1, "echo one", 0, ("two",)), tmp_path)
    assert "exits with 0, not 1" in problem(Command(1, "echo one", 1, ("one",)), tmp_path)
