"""Compares recordIO with the SageMaker SDK, and NDArray files with MXNet, for ``make bench``.

Runs in the conformance environment, which has both references: ``python -m bench.formats`` prints a JSON list.
"""

import contextlib
import io
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jobs.sagemaker import ndarray, recordio

ROWS, FEATURES = 100_000, 34
_OUR_REPEATS = 15
_THEIR_REPEATS = 3

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure our formats and the references in one process, and check that their results are equal.

    Returns
    -------
    list
        One row per measurement: ``name``, ``reference``, ``rows``, ``seconds`` (our median), ``reference_seconds``
        (their minimum, so that a busy machine does not favor us), ``ratio`` of the two, ``mb_per_s`` (10^6 bytes of
        the format per second), ``peak_rss_mb`` (of this process after our code and before the reference).
    """
    matrix = np.random.default_rng(0).random((ROWS, FEATURES), np.float32)
    model = {
        name: np.random.default_rng(1).random(shape, np.float32)
        for name, shape in {"s": (33,), "v": (FEATURES, 33), "mean": (1, FEATURES)}.items()
    }
    with tempfile.TemporaryDirectory() as directory:
        big, small = Path(directory, "big"), Path(directory, "model_algo-1")
        big.write_bytes(ndarray.save([matrix]))
        small.write_bytes(ndarray.save(model))
        records = recordio.encode(matrix)
        ours = {
            "recordIO encode": _timed(lambda: recordio.encode(matrix)),
            "recordIO decode": _timed(lambda: recordio.decode(records)),
            "NDArray read, one matrix": _timed(lambda: _sums(ndarray.load(big.read_bytes()))),
            "NDArray read, PCA artifact": _timed(lambda: _sums(ndarray.load(small.read_bytes()))),
        }
        sdk_encode, sdk_decode, mxnet_load = _references()
        _check(matrix, records, sdk_encode, sdk_decode)
        sdk, mxnet = "sagemaker 2's", "mx.nd.load"
        theirs: dict[str, tuple[str, Callable[[], Any], int, int]] = {
            "recordIO encode": (f"{sdk} write_numpy_to_dense_tensor", lambda: sdk_encode(matrix), ROWS, len(records)),
            "recordIO decode": (f"{sdk} read_records + stack", lambda: sdk_decode(records), ROWS, len(records)),
            "NDArray read, one matrix": (mxnet, lambda: _sums(mxnet_load(big)), ROWS, big.stat().st_size),
            "NDArray read, PCA artifact": (mxnet, lambda: _sums(mxnet_load(small)), FEATURES, small.stat().st_size),
        }
        rows: list[Row] = []
        for name, (reference, function, count, size) in theirs.items():
            (seconds, rss), their_seconds = ours[name], _best(function)
            rows.append(
                {
                    "name": name,
                    "reference": reference,
                    "rows": count,
                    "seconds": round(seconds, 6),
                    "reference_seconds": round(their_seconds, 6),
                    "ratio": round(their_seconds / seconds, 1),
                    "mb_per_s": round(size / seconds / 1e6, 1),
                    "peak_rss_mb": round(rss, 1),
                }
            )
        return rows


def _timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Return the median seconds of `function`, and then the process's peak memory in MB."""
    seconds = [_seconds(function) for _ in range(_OUR_REPEATS)]
    return statistics.median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _best(function: Callable[[], Any]) -> float:
    return min(_seconds(function) for _ in range(_THEIR_REPEATS))


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _sums(arrays: Any) -> list[float]:
    """Read every value, because a view of a file has not read the matrix yet."""
    return [float(array.sum()) for array in (arrays.values() if isinstance(arrays, dict) else arrays)]


def _references() -> tuple[Callable[[Any], bytes], Callable[[bytes], Any], Callable[[Path], Any]]:
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    warnings.simplefilter("ignore")
    np.bool = np.bool_  # type: ignore[misc]  # MXNet 1.9.1 was written before NumPy dropped it
    with contextlib.redirect_stdout(sys.stderr):  # the SDK prints its configuration to standard output
        import mxnet as mx  # noqa: PLC0415 - our peak memory is read before these are loaded
        from sagemaker.amazon import common  # noqa: PLC0415

    def encode(matrix: Any) -> bytes:
        buffer = io.BytesIO()
        common.write_numpy_to_dense_tensor(buffer, matrix)
        return buffer.getvalue()

    def decode(data: bytes) -> Any:
        records = common.read_records(io.BytesIO(data))
        return np.array([record.features["values"].float32_tensor.values for record in records], np.float32)

    def load(path: Path) -> Any:
        arrays = mx.nd.load(str(path))
        if isinstance(arrays, dict):
            return {name: array.asnumpy() for name, array in arrays.items()}
        return [array.asnumpy() for array in arrays]

    return encode, decode, load


def _check(matrix: Any, records: bytes, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> None:
    if encode(matrix) != records or not np.array_equal(decode(records), recordio.decode(records)):
        raise AssertionError("our recordIO differs from the SageMaker SDK's: a ratio would mean nothing")


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
