"""Errors of the command line, as one line that a user can act on."""

import errno
import os
import traceback
from pathlib import Path
from typing import Any, Final

from local.terminal import escape_unprintable

LOG: Final = Path(os.environ.get("CENSUS_HOME", Path(__file__).parents[1] / ".local")) / "error.log"
_DISK_IS_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


class UserError(Exception):
    """A command cannot continue, for a reason that its user can act on.

    Parameters
    ----------
    message
        One line that says what is wrong and how to fix it.
    details
        Further lines, such as the problems of a refused CSV.
    document
        The content of the JSON document that ``--json`` prints.
    exit_code
        The exit code of the process.
    """

    def __init__(
        self,
        message: str,
        *,
        details: tuple[str, ...] = (),
        document: dict[str, Any] | None = None,
        exit_code: int = 1,
    ) -> None:
        super().__init__(_one_line(message))
        self.details = tuple(_one_line(detail) for detail in details)
        self.document = document
        self.exit_code = exit_code


def explain_unexpected(error: BaseException) -> UserError:
    """Return the user's view of an error that no command expects.

    A full disk is reported as such. Any other error is written to the log file with its stack trace.
    """
    if isinstance(error, OSError) and error.errno in _DISK_IS_FULL:
        place = f" for {error.filename}" if error.filename else ""
        return UserError(f"no space is left on the disk{place}; free some space and run the command again")
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    summary = f"unexpected {type(error).__name__}: {first_line}"
    try:
        LOG.parent.mkdir(parents=True, exist_ok=True)
        LOG.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as log_error:
        return UserError(f"{summary} (the log cannot be written: {log_error})")
    return UserError(f"{summary} (the details are in {LOG})")


def _one_line(text: str) -> str:
    return escape_unprintable(" ".join(text.split()))
