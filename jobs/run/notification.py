"""What subscribers of the topic receive by mail."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_SUBJECT_CHARACTERS = 100
_MESSAGE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Notification:
    """A subject, which SNS takes only in ASCII and without line breaks, and a message."""

    subject: str
    message: str

    @classmethod
    def of(cls, subject: str, lines: Iterable[str]) -> Self:
        """Make a notification, cut to what SNS accepts."""
        message = "\n".join(lines).encode()[:_MESSAGE_BYTES].decode(errors="ignore")
        return cls(subject[:_SUBJECT_CHARACTERS], message)
