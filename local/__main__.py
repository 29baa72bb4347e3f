"""``python -m local``: the stack on this machine, no account needed."""

from local.cli import main

main()
