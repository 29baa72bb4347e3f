"""A failed run, as failure.json and the notification tell it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from contract.layout import RunLayout
from contract.run_settings import RunSettings


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Attributes
    ----------
    phase
        The phase of the state machine that failed.
    error, cause
        The first error's name and what it says.
    cleanup
        What went wrong while cleaning up after it; ``None`` when all was removed.
    """

    run_id: str
    input_uri: str
    version_id: str | None
    phase: str
    error: str
    cause: str
    cleanup: str | None
    execution: str

    @classmethod
    def of_event(cls, event: dict[str, Any], error: dict[str, str]) -> Self:
        """Read what the state machine noted.

        Parameters
        ----------
        event
            With ``run_id``, ``input``, ``execution`` and ``failure``: the phase and, where cleaning up failed too, why.
        error
            The first error: ``Error`` and ``Cause``.
        """
        noted, source = event["failure"], event["input"]
        cleanup = noted.get("cleanup")
        return cls(
            run_id=event["run_id"],
            input_uri=f"s3://{source['bucket']}/{source['key']}",
            version_id=source.get("version_id"),
            phase=noted["phase"],
            error=error.get("Error", "Unknown"),
            cause=_plain(error.get("Cause", "")),
            cleanup=f"{cleanup.get('Error')}: {_plain(cleanup.get('Cause', ''))}" if cleanup else None,
            execution=event["execution"]["Id"],
        )

    @property
    def subject(self) -> str:
        """One line for a mail's subject: ASCII without line breaks, as SNS wants it."""
        return f"Census run {self.run_id}: {self.error} in {self.phase}"

    def as_dict(self) -> dict[str, Any]:
        """Return failure.json's content."""
        return asdict(self)

    def message(self, settings: RunSettings) -> str:
        """Tell people what failed, what that means for their file, and what to do."""
        results = f"s3://{settings.results_bucket}/"
        refused = self.error == "InvalidCensus"
        lines = [
            f"{self.input_uri} was refused." if refused else f"The run of {self.input_uri} failed in {self.phase}.",
            f"{self.error}: {self.cause}",
            "",
            "The file is untouched, and nothing was left running."
            if self.cleanup is None
            else f"The file is untouched, but cleaning up failed: {self.cleanup}. The janitor tries again.",
            f"All problems: {results}{RunLayout(self.run_id).problems}. Mend the file and upload it again."
            if refused
            else f"Details: {results}{RunLayout(self.run_id).failure}. Mend the cause and redrive the execution: "
            f"aws stepfunctions redrive-execution --execution-arn {self.execution}",
        ]
        return "\n".join(lines)


def _plain(cause: str) -> str:
    """Return the message of a Lambda's error, which Step Functions wraps in JSON; any other cause as it is."""
    try:
        parsed = json.loads(cause)
    except ValueError:
        return cause
    return str(parsed.get("errorMessage", cause)) if isinstance(parsed, dict) else cause
