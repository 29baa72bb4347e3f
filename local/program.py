"""The name by which the user runs the command line, for help and messages."""

import os
from typing import Final

MODULE: Final = "python -m local"
PROGRAM: Final = os.environ.get("CENSUS_COMMAND", MODULE)
"""``census`` if the installed script was started, what make calls it if make started it, otherwise `MODULE`."""
