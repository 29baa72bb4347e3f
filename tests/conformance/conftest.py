"""The judges' environment: MXNet and the SageMaker SDK, unmodified."""

import importlib.util
import os
import warnings

# The SDK says on every import that version 3 exists; version 3 has neither recordIO nor PCA nor k-means.
os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"

_MISSING = [name for name in ("mxnet", "sagemaker") if importlib.util.find_spec(name) is None]
collect_ignore_glob = ["test_*.py", "clients/*"] if _MISSING else []


def pytest_report_header() -> str | None:
    return (
        f"tests/conformance is left out: no {' and '.join(_MISSING)} here; run make conformance" if _MISSING else None
    )


if not _MISSING:
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy announces that np.bool will come back
        np.bool = np.bool_  # type: ignore[misc]  # MXNet 1.9.1 was written before NumPy dropped it
