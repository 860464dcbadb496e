"""``mpwake compare``: what was fixed, and what broke, between two runs."""

from __future__ import annotations

from pathlib import Path

import click

from mpwake.reporting import comparison_text, files
from mpwake.reporting.comparison import compare
from mpwake.reporting.results import load

MAKERS = {"text": comparison_text.text, "json": comparison_text.json_text, "markdown": comparison_text.markdown}
RESULT = click.Path(path_type=Path)


@click.command("compare", short_help="Tell what was fixed and what broke between two runs.")
@click.argument("old", type=RESULT)
@click.argument("new", type=RESULT)
@click.option("--format", "form", type=click.Choice(list(MAKERS)), default="text", show_default=True)
@click.option("--out", "-o", type=RESULT, help="Where to write it, in place of stdout.")
def compare_command(old: Path, new: Path, form: str, out: Path | None) -> int:
    """Tell what was fixed and what broke between the runs OLD and NEW.

    Each is the directory of a run's --out, its events.ndjson or its results.json.

    \b
    Exit codes: 0 nothing broke, 1 something broke or newly fails, 2 bad usage or input,
    4 nothing broke as far as it was judged, and a run was cut off.
    """
    comparison = compare(load(old), load(new))
    told = MAKERS[form](comparison)
    if out is None:
        click.echo(told, nl=False)
    else:
        files.write(out, told)
    return comparison.exit_code
