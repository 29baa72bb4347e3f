"""Reads requests and writes responses as the built-in containers do, for every content type and accept type."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedded_aws.sagemaker.algorithms.lloyd import assign
from embedded_aws.sagemaker.channels import read_csv
from jobs.sagemaker import artifacts, recordio

Rows = npt.NDArray[np.float32]

RECORDIO = "application/x-recordio-protobuf"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"


class RequestRefusedError(Exception):
    """The container refuses a request; `status` is the HTTP status of the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Model:
    """A loaded model: its number of features, and the function that it computes for a batch of rows."""

    features: int
    predict: Callable[[Rows], Mapping[str, npt.NDArray[np.floating]]]
    list_name: str
    """The member of a JSON response that lists the results of the rows."""


def load_model(algorithm: str, artifact: bytes) -> Model:
    """Read a model.tar.gz.

    Parameters
    ----------
    algorithm
        `pca` or `kmeans`.
    artifact
        The archive's bytes.

    Raises
    ------
    ValueError
        If the archive or the arrays in it are not in the form that the algorithm writes.
    """
    arrays = artifacts.parameters(artifact)
    if algorithm == "kmeans":
        if not isinstance(arrays, list) or len(arrays) != 1 or arrays[0].ndim != 2:
            raise ValueError("a k-means artifact holds one unnamed k x features array")
        centers = np.ascontiguousarray(arrays[0], np.float32)

        def nearest(rows: Rows) -> Mapping[str, npt.NDArray[np.floating]]:
            cluster, distance = assign(rows, centers)
            return {
                "closest_cluster": cluster.astype(np.float32),
                "distance_to_cluster": distance.astype(np.float32),
            }

        return Model(centers.shape[1], nearest, "predictions")
    if not isinstance(arrays, dict) or not {"mean", "v"} <= arrays.keys():
        raise ValueError("a PCA artifact holds arrays named s, v and mean")
    mean, vectors = arrays["mean"].reshape(1, -1), arrays["v"]
    # (x - mean) · v, with mean · v computed once, in float64 so that the result is exact to float32.
    vectors64, offset = vectors.astype(np.float64), mean.astype(np.float64) @ vectors.astype(np.float64)
    return Model(
        len(vectors), lambda rows: {"projection": (rows @ vectors64 - offset).astype(np.float32)}, "projections"
    )


def answer(model: Model, content_type: str, accept: str, body: bytes) -> tuple[str, bytes]:
    """Return the response to a request.

    Parameters
    ----------
    model
        The result of :func:`load_model`.
    content_type, accept
        The request's headers; an empty Accept or `*/*` selects JSON.
    body
        Rows in the format of the content type.

    Returns
    -------
    tuple
        The content type and body of the response.

    Raises
    ------
    RequestRefusedError
        Status 415 or 406 if the containers do not support the content type or the accept type; 400 if the body cannot
        be parsed, is empty, has the wrong number of features, or has values that are not finite numbers.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _READERS:
        raise RequestRefusedError(
            415, f"Content-type {content_type} is not supported. Supported: {', '.join(_READERS)}"
        )
    form = accept.partition(";")[0].strip().lower()
    form = JSON if form in ("", "*/*") else form
    if form not in _WRITERS:
        raise RequestRefusedError(406, f"Accept type {accept} is not supported. Supported: {', '.join(_WRITERS)}")
    return form, _WRITERS[form](model, model.predict(_rows(model, kind, body)))


def _rows(model: Model, kind: str, body: bytes) -> Rows:
    if not body:
        raise RequestRefusedError(400, "unable to evaluate payload provided: the body is empty")
    try:
        rows = np.asarray(_READERS[kind](body), dtype=np.float32)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise RequestRefusedError(400, f"unable to evaluate payload provided: {error}") from error
    if rows.ndim != 2 or not len(rows):
        raise RequestRefusedError(400, "unable to evaluate payload provided: expected at least one row of numbers each")
    if rows.shape[1] != model.features:
        raise RequestRefusedError(
            400,
            f"unable to evaluate payload provided: the rows have {rows.shape[1]} features; the model takes "
            f"{model.features}",
        )
    if not np.isfinite(rows).all():
        raise RequestRefusedError(400, "unable to evaluate payload provided: the rows contain NaN or infinite values")
    return rows


def _features(record: Any) -> Any:
    """Return the features of `{"features": […]}` or `{"data": {"features": {"values": […]}}}`."""
    if "data" in record:
        return record["data"]["features"]["values"]
    return record["features"]


def _read_json(body: bytes) -> Any:
    return [_features(record) for record in json.loads(body)["instances"]]


def _read_json_lines(body: bytes) -> Any:
    return [_features(json.loads(line)) for line in body.splitlines() if line.strip()]


_READERS: dict[str, Callable[[bytes], Any]] = {
    JSON: _read_json,
    JSON_LINES: _read_json_lines,
    CSV: read_csv,
    RECORDIO: recordio.decode,
}


def _records(predictions: Mapping[str, npt.NDArray[np.floating]]) -> list[dict[str, Any]]:
    names = list(predictions)
    columns = [predictions[name].astype(np.float64).tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _write_json(model: Model, predictions: Mapping[str, npt.NDArray[np.floating]]) -> bytes:
    return json.dumps({model.list_name: _records(predictions)}).encode()


def _write_json_lines(_: Model, predictions: Mapping[str, npt.NDArray[np.floating]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in _records(predictions)).encode()


def _write_csv(_: Model, predictions: Mapping[str, npt.NDArray[np.floating]]) -> bytes:
    table = np.column_stack([values.astype(np.float64) for values in predictions.values()])
    text = io.StringIO()
    for row in table.tolist():
        text.write(",".join(map(repr, row)) + "\n")
    return text.getvalue().encode()


def _write_recordio(_: Model, predictions: Mapping[str, npt.NDArray[np.floating]]) -> bytes:
    return recordio.encode_labels(predictions)


_WRITERS: dict[str, Callable[[Model, Mapping[str, npt.NDArray[np.floating]]], bytes]] = {
    JSON: _write_json,
    JSON_LINES: _write_json_lines,
    CSV: _write_csv,
    RECORDIO: _write_recordio,
}
