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
    from mpwake.targets.firmware.declaration import coded, is_declaration, read_declaration
    from mpwake.targets.firmware.open import check_extra

    try:
        node = document.load(file)
        if not is_declaration(node):
            raise node.error("no declaration of machine code", "it has kind: firmware, and code: in place of location:")
        declared = read_declaration(node, file.parent)
    except InputError as error:
        raise coded("declaration", error) from None
    check_extra()
    from mpwake.targets.firmware.smoke import VECTOR, Smoke

    given, smoke = declared.declaration, Smoke(declared)
    woken = smoke.run()
    asked = ", ".join(woken.asked) or f"nothing is asked, and id says {given.id}"
    click.echo(f"{file}: {len(declared.code)} bytes of code at {given.code.at:#x}, entered at +{given.code.entry:#x}")
    click.echo(f"  APIC ID   {asked}")
    click.echo(f"  Wakeup    taken for {smoke.apic_id:#x} at {VECTOR:#x}, {woken.steps} instructions after the entry")
    click.echo(f"  Command   {woken.command:#x} after that")
