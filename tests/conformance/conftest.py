"""The judges' environment: MXNet and the SageMaker SDK, unmodified."""

import importlib.util
import os
import warnings

import pytest

# The SDK says on every import that version 3 exists; version 3 has neither recordIO nor PCA nor k-means.
os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"

_MISSING = [name for name in ("mxnet", "sagemaker") if importlib.util.find_spec(name) is None]
collect_ignore_glob = ["test_*.py"] if _MISSING else []


def pytest_report_header() -> str | None:
    return (
        f"tests/conformance is left out: no {' and '.join(_MISSING)} here; run make conformance" if _MISSING else None
    )


def pytest_configure(config: pytest.Config) -> None:
    for module in ("mxnet", "sagemaker"):  # both are retired: their warnings are nobody's to mend
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{module}.*")


if not _MISSING:
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy announces that np.bool will come back
        np.bool = np.bool_  # type: ignore[misc,assignment]  # MXNet 1.9.1 was written before NumPy dropped it


@pytest.fixture(scope="session", autouse=True)
def _no_personal_sdk_defaults() -> None:
    """Keep the SDK from reading the defaults file of whoever runs the tests."""
    os.environ["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"] = os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = os.devnull
