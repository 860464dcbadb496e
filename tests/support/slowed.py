"""Runs ``mpwake`` with a pause before every check, so that a test can stop it half way."""

import time

from mpwake.checks import core
from mpwake.cli.main import main

judge = core.judge


def slow_judge(*arguments):
    time.sleep(0.05)
    return judge(*arguments)


core.judge = slow_judge
main()
