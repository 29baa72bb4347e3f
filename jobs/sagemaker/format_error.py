"""The error for bytes that are not in the expected format."""

from typing import Self


class FormatError(ValueError):
    """The bytes are not in the expected format.

    Attributes
    ----------
    offset
        The byte at which reading stopped.
    reason
        What is wrong there.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason

    def __reduce__(self) -> tuple[type[Self], tuple[int, str]]:
        return type(self), (self.offset, self.reason)
