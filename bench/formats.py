"""Compares recordIO with the SageMaker SDK, and NDArray files with MXNet, for ``make bench``.

Runs in the conformance environment, which has both references: ``python -m bench.formats`` prints a JSON list.
"""

import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jobs.sagemaker import ndarray, recordio

ROWS, FEATURES = 50_000, 34
_OUR_REPEATS = 15
_THEIR_REPEATS = 2

FORMATS = {
    "recordIO encode": "sagemaker 2's write_numpy_to_dense_tensor",
    "recordIO decode": "sagemaker 2's read_records + stack",
    "NDArray read, one matrix": "mx.nd.load",
    "NDArray read, PCA artifact": "mx.nd.load",
}
"""Each measurement, and its reference."""

Row = dict[str, Any]


def measure() -> list[Row]:
    """Measure each format and its reference in a process of its own.

    Returns
    -------
    list
        One row per measurement: ``name``, ``reference``, ``rows``, ``seconds`` (our median), ``reference_seconds``
        (their minimum, so that a busy machine does not favor us), ``ratio`` of the two, ``mb_per_s`` (10^6 bytes of
        the format per second), and the peak memory of both.
    """
    commands = ([sys.executable, "-m", "bench.formats", name] for name in FORMATS)
    return [json.loads(subprocess.run(each, stdout=subprocess.PIPE, check=True).stdout) for each in commands]


def _one(name: str) -> Row:
    """Measure our code and then the reference, and check that both read and write the same."""
    matrix = np.random.default_rng(0).random((ROWS, FEATURES), np.float32)
    shapes = {"s": (33,), "v": (FEATURES, 33), "mean": (1, FEATURES)}
    model = {key: np.random.default_rng(1).random(shape, np.float32) for key, shape in shapes.items()}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model_algo-1")
        path.write_bytes(ndarray.save(model if name.endswith("artifact") else [matrix]))
        records = recordio.encode(matrix)
        ours: Callable[[], Any]
        theirs: Callable[[], Any]
        if name == "recordIO encode":
            ours, size = lambda: recordio.encode(matrix), len(records)
        elif name == "recordIO decode":
            ours, size = lambda: recordio.decode(records), len(records)
        else:
            ours, size = lambda: _sums(ndarray.load(path.read_bytes())), path.stat().st_size
        seconds, peak = _timed(ours)
        sdk_encode, sdk_decode, mxnet_load = _references()
        if name == "recordIO encode":
            theirs = lambda: sdk_encode(matrix)  # noqa: E731 - one of three
        elif name == "recordIO decode":
            theirs = lambda: sdk_decode(records)  # noqa: E731
        else:
            theirs = lambda: _sums(mxnet_load(path))  # noqa: E731
        their_seconds = _best(theirs)
        their_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        if name.startswith("recordIO"):
            _check(matrix, records, sdk_encode, sdk_decode)
    return {
        "name": name,
        "reference": FORMATS[name],
        "rows": FEATURES if name.endswith("artifact") else ROWS,
        "seconds": round(seconds, 6),
        "reference_seconds": round(their_seconds, 6),
        "ratio": round(their_seconds / seconds, 1),
        "mb_per_s": round(size / seconds / 1e6, 1),
        "peak_rss_mb": round(peak, 1),
        "reference_peak_rss_mb": round(their_peak, 1),
    }


def _timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Return the median seconds of `function`, and then the process's peak memory in MB."""
    seconds = [_seconds(function) for _ in range(_OUR_REPEATS)]
    return statistics.median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _best(function: Callable[[], Any]) -> float:
    return min(_seconds(function) for _ in range(_THEIR_REPEATS))


def _seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


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
    print(json.dumps(_one(sys.argv[1]) if len(sys.argv) > 1 else measure(), indent=2))
