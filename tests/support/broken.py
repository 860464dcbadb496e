"""Runs ``mpwake`` with a check that breaks, as a defect in the suite would."""

import builtins
import sys

import attrs

from mpwake.checks import core
from mpwake.cli.main import main
from mpwake.spec.requirements import Role

fault = getattr(builtins, sys.argv.pop(1))


def breaks(_tables):
    raise fault("the check itself is at fault")


key = ("MADT-07", Role.TABLES)
core.CLAIMS[core.CHECKS[key].then] = attrs.evolve(core.CHECKS[key], judge=breaks)
main()
