"""Which operations of SageMaker which client has called, and whether the tests that called them passed."""

from collections import defaultdict
from dataclasses import dataclass, field

SERVICES = ("sagemaker", "sagemaker-runtime")
CLIENTS = ("SageMaker SDK", "boto3", "AWS CLI")


@dataclass
class Touched:
    """The record of one test session."""

    tests: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    calls: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    failed: set[str] = field(default_factory=set)
    paused: bool = False

    def add(self, client: str, operation: str, test: str) -> None:
        """Note one call that `client` made in `test`, unless paused: a test's own checks are nobody's calls."""
        if self.paused:
            return
        self.tests[operation, client].add(test)
        self.calls[operation, client] += 1

    def table(self) -> list[str]:
        """Return one line an operation: calls by each client, and PASS where every test that called it passed."""
        operations = sorted({operation for operation, _ in self.tests})
        lines = [f"{'operation':<34}" + "".join(f"{client:>15}" for client in CLIENTS) + "   result"]
        for operation in operations:
            tests = set().union(*(self.tests.get((operation, client), set()) for client in CLIENTS))
            result = "FAIL" if tests & self.failed else "PASS"
            counts = "".join(f"{self.calls.get((operation, client), 0) or '-':>15}" for client in CLIENTS)
            lines.append(f"{operation:<34}{counts}   {result}")
        return lines
