"""The command ``mpwake``: arguments in, exit codes out.

Data goes to stdout, progress and diagnostics to stderr. Bad input never ends in a traceback: it exits with 2 and says
what is wrong, where, and what would be right.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mpwake import __version__
from mpwake.spec.errors import InputError, ToolError
from mpwake.spec.verdicts import EXIT_HARNESS, EXIT_INTERRUPTED, EXIT_USAGE

if TYPE_CHECKING:
    from mpwake.suite.interrupt import Interrupt

COMMANDS = {
    "run": "mpwake.cli.run",
    "report": "mpwake.cli.report",
    "compare": "mpwake.cli.compare",
    "matrix": "mpwake.cli.matrix",
    "list": "mpwake.cli.registry",
    "explain": "mpwake.cli.registry",
    "coverage": "mpwake.cli.registry",
    "schema": "mpwake.cli.registry",
    "mutants": "mpwake.cli.mutants",
    "corpus": "mpwake.cli.corpus",
    "target": "mpwake.cli.target",
    "explore": "mpwake.cli.explore",
    "fuzz": "mpwake.cli.fuzz",
    "replay": "mpwake.cli.replay",
}
SUMMARIES = {
    "run": "Judge a target, and report clause by clause.",
    "report": "Make a report of an earlier run from its event stream.",
    "compare": "Tell what was fixed and what broke between two runs.",
    "matrix": "Put many targets, or their results, beside each other.",
    "list": "List requirements, scenarios, platforms, mutants or editions.",
    "explain": "Tell all about one requirement.",
    "coverage": "Show which requirements have scenarios, checks and mutants.",
    "schema": "Print the JSON Schema of a document.",
    "mutants": "Print the matrix of requirements and mutants.",
    "corpus": "Firmware that ships: fetch it, and compare it with what is known.",
    "target": "Check a target that is declared in YAML.",
    "explore": "Try every order of instructions of a few processors.",
    "fuzz": "Do anything that can be done, in any order.",
    "replay": "Show a scenario file again.",
}


class LazyGroup(click.Group):
    """Imports the module of a command when that command is used, so that help answers at once."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or return None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        import importlib

        return getattr(importlib.import_module(COMMANDS[cmd_name]), f"{cmd_name}_command")  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; say what it could have meant when there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from mpwake.spec.errors import did_you_mean

            raise InputError(f"no command {args[0]!r}", hint=did_you_mean(args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mpwake")
def cli() -> None:
    """Conformance suite for the x86 multiprocessor wakeup mailbox.

    \b
    mpwake run                                    the reference platform
    mpwake run tables:/sys/firmware/acpi/tables   this machine's tables
    mpwake explain MADT-07                        one requirement
    """


def _guarded(call: Callable[[], Any], interrupt: Interrupt) -> int:
    from mpwake.suite.errors import Interrupted, NothingSelected

    try:
        result = call()
        if interrupt.asked:
            click.echo("mpwake: interrupted, when there was nothing left to stop", err=True)
        return result if isinstance(result, int) else 0
    except NothingSelected as error:
        click.echo(f"mpwake: {error}", err=True)
        return NothingSelected.exit_code
    except InputError as error:
        click.echo(f"mpwake: {error}", err=True)
        return EXIT_HARNESS if isinstance(error, ToolError) else EXIT_USAGE
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort, Interrupted):
        click.echo("mpwake: interrupted; what was judged is kept, and the run is incomplete", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_HARNESS
    except Exception as error:
        if os.environ.get("MPWAKE_TRACEBACK"):
            traceback.print_exc()
        click.echo(
            f"mpwake: the suite itself broke: {type(error).__name__}: {error}\n"
            "  run it again with MPWAKE_TRACEBACK=1 in the environment, and report what it prints",
            err=True,
        )
        return EXIT_HARNESS


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code, or with 130 where Ctrl-C was pressed, whatever became of it."""
    from mpwake.suite.interrupt import Interrupt

    interrupt = Interrupt()
    try:
        with interrupt.caught():
            code = _guarded(
                lambda: cli.main(args=arguments, prog_name="mpwake", standalone_mode=False, obj=interrupt), interrupt
            )
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(EXIT_INTERRUPTED if interrupt.asked else code)
