"""A mutant of the model as a platform in a file, so that a command may take it."""

import json
from pathlib import Path

from mpwake.spec.changes import apply
from mpwake.suite.mutants import declared
from mpwake.targets.model import load_platform


def platform_of(id: str, folder: Path) -> str:
    """Write a mutant's platform into a folder; return the path of the file."""
    mutant, node = next(one for one in declared() if one[0].id == id)
    base = load_platform(mutant.base)
    apply(base, mutant.changes, node.value["changes"])
    path = folder / f"{id}.yaml"
    path.write_text(json.dumps(base.plain()))
    return str(path)
