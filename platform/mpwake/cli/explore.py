"""``mpwake explore``: all interleavings of an AP loop and an operating system, in machine code or of the model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click

from mpwake.evidence.exploration import Exploration, Step, Violation, compressed
from mpwake.spec import document
from mpwake.spec.errors import InputError
from mpwake.spec.resources import scenarios
from mpwake.spec.verdicts import TABLE
from mpwake.targets import open_target
from mpwake.targets.base import Target

OUT = Path("reports/out/interleaving.yaml")
MOST = 8


def _opened(location: str) -> Target:
    target = open_target(location)
    if target.kind != "firmware":
        hint = "firmware:IMAGE, or an AP loop declared in YAML"
        raise InputError(f"{location} is no AP loop in machine code", hint=hint)
    return target


def _named(result: Exploration, agent: int) -> str:
    if agent >= len(result.ids):
        return f"OS {agent - len(result.ids) + 2}"
    return f"AP {result.ids[agent]:#x}" if agent else "OS"


def _rows(result: Exploration, steps: tuple[Step, ...]) -> Iterator[tuple[str, ...]]:
    machine = any(one.code for one in steps)
    code = ("bytes", "instruction") if machine else ("operation",)
    yield "step", "agent", "at", *code, "what it did"
    for number, one in enumerate(steps, start=1):
        text = (one.code, one.text) if machine else (one.text,)
        yield str(number), _named(result, one.agent), one.at, *text, ", ".join(one.did)


def listing(result: Exploration, steps: tuple[Step, ...]) -> Iterator[str]:
    """Yield a schedule as lines: whose each step is, its instruction, and what that loaded or stored."""
    rows = list(_rows(result, steps))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        number, *others = (text.ljust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].rjust(widths[0]), number, *others)).rstrip()


def _lines(result: Exploration, seconds: float, file: Path | None) -> Iterator[str]:
    aps = len(result.ids) - 1
    order = "instructions" if not result.target.startswith("model:") else f"loads and stores ({result.memory})"
    many = "any number of processors" if result.any_number else f"{aps} processor{'s' * (aps > 1)}"
    yield f"{result.target}: {many} and {result.agent}, in every order of {order}"
    counted = f"{result.states} states, {result.transitions} transitions, depth {result.depth}"
    yield f"  seen      {counted}, in {seconds:.2f} s"
    for name, count in result.sometimes.items():
        yield f"  reached   {name}: {count} times" if count else f"  never     {name}"
    for note in result.notes:
        yield f"  note      {note}; mpwake run judges that"
    if result.violation:
        yield from _violation(result, result.violation, file)
    else:
        yield f"{result.verdict.value}: {result.reason}"


def _violation(result: Exploration, one: Violation, file: Path | None) -> Iterator[str]:
    if file:
        yield f"  scenario  {file}; mpwake run takes it"
    yield ""
    yield from listing(result, one.steps)
    yield ""
    failed = ", ".join(one.requirements) or "none that can be asked of any trial"
    yield f"{result.verdict.value}: {one.what} ({failed})"


def plain(result: Exploration, seconds: float, file: Path | None) -> dict[str, Any]:
    """Return a result as JSON has it."""
    found: dict[str, Any] = {
        "target": result.target,
        "agent": result.agent,
        "aps": "all" if result.any_number else len(result.ids) - 1,
        "ids": list(result.ids[1:]),
        "memory": result.memory,
        "verdict": result.verdict.value,
        "exit_code": TABLE[result.verdict].exit_code,
        "reason": result.reason,
        "states": result.states,
        "transitions": result.transitions,
        "depth": result.depth,
        "seconds": round(seconds, 3),
        "complete": not result.incomplete,
        "incomplete": result.incomplete,
        "sometimes": dict(result.sometimes),
        "notes": list(result.notes),
        "violation": None,
    }
    one = result.violation
    if one:
        found["violation"] = {
            "what": one.what,
            "role": one.role.value,
            "requirements": list(one.requirements),
            "schedule": compressed(one.schedule),
            "scenario": str(file or ""),
            "steps": [
                {
                    "agent": step.agent,
                    "name": _named(result, step.agent),
                    "at": step.at,
                    "bytes": step.code,
                    "instruction": step.text,
                    "did": list(step.did),
                }
                for step in one.steps
            ],
        }
    return found


def write(file: Path, text: str) -> None:
    """Write a file that was asked for. Raises ``InputError`` where that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out: {error.strerror}", str(file)) from None


def _platform(location: str) -> str | None:
    """Return the platform of the model that a target names, or None."""
    if location.startswith("model:"):
        return location.removeprefix("model:")
    if (scenarios("platforms") / f"{Path(location).name}.yaml").is_file() and "/" not in location:
        return location
    return None if ":" in location or "/" in location or "." in Path(location).name else location


def _aps(context: click.Context, option: click.Parameter, value: str) -> int | Literal["all"]:
    """Return a number of processors, or ``all``: all numbers at once."""
    return "all" if value == "all" else int(click.IntRange(1, 64)(value, option, context))


MODEL_ONLY = {
    "memory": "--memory",
    "order": "--order",
    "tests": "--tests",
    "twice": "--twice",
    "callers": "--callers",
    "symmetry": "--no-symmetry",
    "por": "--no-por",
    "memory_limit": "--memory-limit",
    "threads": "--threads",
    "checkpoint": "--checkpoint",
    "every": "--every",
    "resume": "--resume",
}


@click.command("explore", short_help="Try every order of steps of a few processors.")
@click.argument("location", metavar="TARGET")
@click.option("--aps", default="2", callback=_aps, show_default=True, metavar="N|all", help="How many processors.")
@click.option("--agent", metavar="NAME|FILE", help="Who plays the other side.")
@click.option("--states", type=click.IntRange(1), help="At most so many.")
@click.option("--memory", type=click.Choice(["sc", "tso", "relaxed"]), default="tso", help="Memory model [tso].")
@click.option(
    "--order", type=click.Choice(["any", "fixed"]), default="any", help="In which order they are woken [any]."
)
@click.option("--tests", is_flag=True, help="Test each processor before any is woken, in a fixed order.")
@click.option("--twice", is_flag=True, help="Ask for each processor twice.")
@click.option("--callers", type=click.IntRange(1, 3), default=1, help="How many processors wake others at a time [1].")
@click.option(
    "--no-symmetry", "symmetry", is_flag=True, flag_value=False, default=True, help="Tell like processors apart."
)
@click.option("--no-por", "por", is_flag=True, flag_value=False, default=True, help="Take no step out of its order.")
@click.option("--memory-limit", type=click.IntRange(16), default=8192, metavar="MIB", help="For the states [8192].")
@click.option("--threads", type=click.IntRange(1, 64), default=1, metavar="N", help="How many search at a time [1].")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Where what was found is kept.")
@click.option(
    "--every", type=click.FloatRange(0.1), default=60, metavar="SECONDS", help="How often it is kept there [60]."
)
@click.option("--resume", type=click.Path(path_type=Path, exists=True), help="Go on from there.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For a violation.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def explore_command(context: click.Context, /, location: str, out: Path, form: str, **options: Any) -> int:
    """Try every order of steps of a few processors in an AP loop, and of an operating system that wakes them.

    TARGET is firmware:IMAGE or an AP loop in machine code that is declared in YAML, instruction by instruction, or a
    platform of the model (model:PLATFORM, or its name), access by access under a memory model. In every state that can
    be reached, no processor may have gone astray, and everybody must still be able to get where it was asked to. A
    shortest schedule to where that is not so is shown, and written as a scenario that mpwake run takes.

    \b
    For the model only: --memory, --order, --tests, --twice, --callers, --no-symmetry, --no-por,
    --memory-limit, --threads, --checkpoint, --every, --resume.
    Exit codes: 0 all holds, 1 a violation, 2 bad usage or input, 3 the suite broke,
    4 nothing decided: no AP loop, a bound was reached, or nothing was ever woken.
    """
    platform = _platform(location)
    if platform is not None:
        from mpwake.cli.explore_model import explore_model

        return explore_model(platform, out, form, context.obj, **options)
    for name, option in MODEL_ONLY.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise InputError(f"{option} is for platforms of the model", hint="leave it out, or name model:PLATFORM")
    agent, states = options["agent"] or "tester", options["states"] or 1_000_000
    return _explore_code(location, options["aps"], agent, states, out, form)


def _explore_code(location: str, aps: int | Literal["all"], agent: str, states: int, out: Path, form: str) -> int:
    if aps == "all":
        raise InputError("--aps all is for platforms of the model", hint="give a number, or name model:PLATFORM")
    if aps > MOST:
        raise InputError(f"--aps: {aps} processors in machine code are more than {MOST}")
    target = _opened(location)
    if target.parks is None:
        click.echo(f"{target.name}: {target.notes[0]}", err=True)
        return 4
    from mpwake.targets.firmware.explore import Bounds, apart, explore, wakes
    from mpwake.targets.firmware.replay import load_system, pinned, written

    system, probe = load_system(agent), wakes(apart(aps, target.indexed))
    stage, edition = target.parks(aps), target.settled().edition
    assert edition is not None
    began = time.perf_counter()
    result = explore(target.name, stage, system, probe, Bounds(states), edition)
    seconds = time.perf_counter() - began
    file = None
    if result.violation and result.violation.requirements:
        file = out
        write(file, document.dump(written(result.violation, pinned(target, location, file.parent), agent, probe)))
    return show(result, seconds, file, form)


def show(result: Exploration, seconds: float, file: Path | None, form: str) -> int:
    """Print a result, and return the exit code."""
    if form == "json":
        click.echo(json.dumps(plain(result, seconds, file), indent=2))
    else:
        click.echo("\n".join(_lines(result, seconds, file)))
    return TABLE[result.verdict].exit_code
