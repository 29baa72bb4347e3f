"""Writes problems.json when a file is refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from contract.layout import RunLayout
from jobs.census.problems import InvalidCensus
from lambdas.support.storage import JSON, Bucket


@contextmanager
def problems_listed(files: RunLayout, results: Bucket) -> Iterator[None]:
    """Write problems.json before a refusal leaves the ``with`` block."""
    try:
        yield
    except InvalidCensus as refusal:
        problems = json.dumps(refusal.document(), indent=2, ensure_ascii=False)
        results.write(files.problems, problems.encode(), JSON)
        raise
