"""Checks of the folders that a command writes to."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from local.errors import UserError

START_BYTES: Final = 64 * 1024 * 1024
"""Free space that a run of a census of counties needs; the embedded AWS keeps its files in about half of it."""
RUNNING_BYTES: Final = 1024 * 1024


def require_writable(directory: Path, option: str = "") -> None:
    """Check that files can be written to a folder, which need not exist yet.

    Parameters
    ----------
    option
        The command line's name for the folder, for the message.

    Raises
    ------
    UserError
        If the folder, or the nearest folder above it that exists, cannot be written to.
    """
    named = f"{option} {directory}".strip()
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{named} is a file; give a folder")
    try:
        with tempfile.TemporaryFile(dir=_existing(directory)):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {named}: {error.strerror or error}; choose a folder of yours") from error


def require_space(directory: Path, needed: int) -> None:
    """Check that a disk has at least this many bytes free.

    Raises
    ------
    UserError
        If it has fewer.
    """
    free = shutil.disk_usage(_existing(directory)).free
    if free < needed:
        raise UserError(
            f"the disk of {directory} is full: {free / 2**20:.1f} MiB are free, {needed / 2**20:.0f} MiB are needed; "
            "free some space, or set TMPDIR (run) or CENSUS_HOME (up) to a folder on another disk"
        )


def _existing(directory: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    directory = directory.absolute()
    return next(folder for folder in (directory, *directory.parents) if folder.exists())
