"""``target``: the smoke test of a declaration."""

from __future__ import annotations

from pathlib import Path

import click

from mpwake.spec import document
from mpwake.spec.errors import InputError


@click.group("target")
def target_command() -> None:
    """Work on targets that are declared in YAML."""


@target_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_command(file: Path) -> None:
    """Open the declaration of an AP loop in machine code, park one processor and wake it.

    Says what is wrong, with its place, a code and a hint, and exits with 2.
    """
    from mpwake.targets.firmware.declaration import coded

    try:
        _check(file)
    except InputError as error:
        raise coded(error) from None


def _check(file: Path) -> None:
    from mpwake.targets.firmware.declaration import is_declaration, read_declaration
    from mpwake.targets.firmware.declared import private_note
    from mpwake.targets.firmware.extra import check_extra
    from mpwake.targets.firmware.patches import warning

    node = document.load(file)
    if not is_declaration(node):
        raise node.error("no declaration of machine code", "it has kind: firmware, and code: in place of location:")
    declared = read_declaration(node, file.parent)
    check_extra()
    from mpwake.targets.firmware.smoke import VECTOR, Smoke

    smoke = Smoke(declared)
    woken = smoke.run()
    asked = ", ".join(woken.asked) or f"nothing is asked, and id says {declared.source}"
    at, entry = smoke.stage.placed.loop, 0 if declared.placement is None else declared.placement.entry
    click.echo(f"{file}: {len(declared.code)} bytes of code at {at:#x}, entered at +{entry:#x}")
    click.echo(f"  APIC ID   {asked}")
    click.echo(f"  Wakeup    taken for {smoke.apic_id:#x} at {VECTOR:#x}, {woken.steps} instructions after the entry")
    click.echo(f"  Command   {woken.command:#x} after that")
    for note in (*warning(declared.declaration.patches), *private_note(declared.declaration.private)):
        click.echo(f"  {note}")
