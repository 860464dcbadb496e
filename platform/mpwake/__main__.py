"""``python -m mpwake`` is the command ``mpwake``."""

from mpwake.cli.main import main

main()
