r"""Text output that is safe on any terminal.

Names in a census are untrusted text. Control characters could change what the terminal shows, and bidirectional
overrides could reorder it, so both are printed as escape sequences such as ``\x9b``.
"""

import codecs
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH: Final = 120
_ERROR_HANDLER: Final = "census.degrade"
_ASCII: Final = {"✓": "+", "✗": "x", "…": "...", "·": "|"}


def escape_unprintable(text: str) -> str:
    r"""Replace control, format and unassigned characters with Python's escape sequences; line feeds stay.

    Example
    -------
    >>> escape_unprintable("Adams\x9b31m\u202eoihO")
    'Adams\\x9b31m\\u202eoihO'
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escape(character) for character in text)


def console(*, stderr: bool = False) -> "Console":
    """Return a console that escapes unprintable characters in strings, and does not interpret them as markup.

    It is 120 columns wide if the output is not a terminal, and it honors ``NO_COLOR``.
    """
    from rich.console import Console  # noqa: PLC0415 - --help does not need it
    from rich.text import Text  # noqa: PLC0415

    class SafeConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(escape_unprintable(text), **options)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def print_line(text: str, *, stderr: bool = False) -> None:
    """Print text whose unprintable characters are escaped."""
    stream = sys.stderr if stderr else sys.stdout
    stream.write(escape_unprintable(text) + "\n")
    stream.flush()


def degrade_output() -> None:
    """Make standard output and error accept any text, whatever their encoding.

    A character that the encoding lacks is replaced: a symbol of the command line by a similar ASCII character, any
    other character by its escape sequence.
    """
    codecs.register_error(_ERROR_HANDLER, _replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors=_ERROR_HANDLER)  # type: ignore[union-attr]


def abandon_output() -> None:
    """Discard whatever is still to be written, because the reader of the output is gone or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character == "\n" or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    refused = error.object[error.start : error.end]
    return "".join(_ASCII.get(character) or _escape(character) for character in refused), error.end
