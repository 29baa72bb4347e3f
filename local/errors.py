"""What may go wrong on the command line, told in one line; what nobody foresaw goes to a log file."""

import os
import traceback
from pathlib import Path
from typing import Any, Final

LOG: Final = Path(os.environ.get("CENSUS_HOME", Path(__file__).parents[1] / ".local")) / "error.log"


class Trouble(Exception):  # noqa: N818 - it is told to a person, who need not know that it is an error in Python
    """A command can't go on, for a reason that its user can act on.

    Parameters
    ----------
    message
        One line: what is wrong, and what would be right.
    details
        Further lines, such as the problems of a refused CSV.
    document
        The same and more for programs, where ``--json`` was given.
    exit_code
        What the process exits with.
    """

    def __init__(
        self,
        message: str,
        *,
        details: tuple[str, ...] = (),
        document: dict[str, Any] | None = None,
        exit_code: int = 1,
    ) -> None:
        super().__init__(" ".join(message.split()))
        self.details = details
        self.document = document
        self.exit_code = exit_code


def unforeseen(error: BaseException) -> Trouble:
    """Write an unexpected error with its stack to the log file, and return the one line that tells of it."""
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    told = f"{type(error).__name__}: {first_line}"
    try:
        LOG.parent.mkdir(parents=True, exist_ok=True)
        LOG.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as refused:
        return Trouble(f"unexpected {told} (and no log could be written: {refused})")
    return Trouble(f"unexpected {told} (the details are in {LOG})")
