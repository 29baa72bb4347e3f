"""Counts the calls of SageMaker operations by outcome."""

from __future__ import annotations

from collections import Counter, defaultdict


class CallCounts:
    """Number of calls per operation and outcome."""

    def __init__(self) -> None:
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, operation: str, outcome: str) -> None:
        """Count one call; the outcome is ``ok`` or the error's code."""
        self._outcomes[operation][outcome] += 1

    def clear(self) -> None:
        """Set all counts to zero."""
        self._outcomes.clear()

    def to_json(self) -> list[dict[str, object]]:
        """Return one entry per operation: the number of successful calls, and of errors by code."""
        return [
            {
                "operation": operation,
                "ok": outcomes["ok"],
                "errors": {code: count for code, count in sorted(outcomes.items()) if code != "ok"},
            }
            for operation, outcomes in sorted(self._outcomes.items())
        ]


def render(entries: list[dict[str, object]]) -> str:
    """Return the counts as a plain text table."""
    lines = [f"{'operation':36} {'ok':>6}  errors"]
    for entry in entries:
        errors = entry["errors"]
        shown = ", ".join(f"{code} x {count}" for code, count in errors.items()) if isinstance(errors, dict) else ""
        lines.append(f"{entry['operation']:36} {entry['ok']:>6}  {shown}")
    return "\n".join(lines)
