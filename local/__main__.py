"""Runs the command line as ``python -m local``."""

from local.cli import main

main()
