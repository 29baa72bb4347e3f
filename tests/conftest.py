"""Fixtures that are expensive and may be shared: the synthesized stack, and a running embedded AWS."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# As the functions are configured. It stands before the first import of NumPy, which reads it.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from local.synth import synth
from tests.cloud import cloud, stack, workshop

__all__ = ["cloud", "stack", "workshop"]

# On a busy machine, elapsed time says nothing about the code.
settings.register_profile("without elapsed time", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without elapsed time")


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The cloud assembly of the stack with ``cdk.json``'s settings, layers not built; one for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    return synth(shared / "assembly")


# With REQUIRE_ALL=1, which CI sets, a skipped test is a failure unless the beginning of its reason stands here.
MAY_BE_SKIPPED: tuple[str, ...] = ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skipped test as failed where every test is required."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("REQUIRE_ALL") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"REQUIRE_ALL=1, and this test was skipped. {reason}"
    return report
