"""jobs/sagemaker/recordio.py against sagemaker.amazon.common: the same bytes, and each reads what the other wrote."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sagemaker.amazon import common
from sagemaker.amazon.record_pb2 import Record
from sagemaker.deserializers import RecordDeserializer
from scipy import sparse

from jobs.sagemaker import recordio

TYPES = [np.float32, np.float64, np.int64]
TENSORS = {"f4": "float32_tensor", "f8": "float64_tensor", "i8": "int32_tensor", "i4": "int32_tensor"}

many = settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])


def elements(dtype: Any) -> Any:
    """All values that SageMaker can hold: its integers have 32 bits."""
    return st.integers(-(2**31), 2**31 - 1) if dtype is np.int64 else npst.from_dtype(np.dtype(dtype))


@st.composite
def matrices(draw: Any) -> Any:
    dtype = draw(st.sampled_from(TYPES))
    rows = draw(st.integers(1, 8))
    # Most are narrow; some are as wide as where a length takes one more byte.
    columns = draw(st.integers(1, 40) | st.sampled_from([4089, 4090, 4096]))
    return draw(npst.arrays(dtype, (rows, columns), elements=elements(dtype), fill=elements(dtype)))


@st.composite
def labels(draw: Any, rows: int) -> Any:
    dtype = draw(st.sampled_from(TYPES))
    return draw(npst.arrays(dtype, rows, elements=elements(dtype)))


def sdk_dense(matrix: Any, label: Any = None) -> bytes:
    buffer = io.BytesIO()
    common.write_numpy_to_dense_tensor(buffer, matrix, label)
    return buffer.getvalue()


def sdk_sparse(matrix: Any, label: Any = None) -> bytes:
    buffer = io.BytesIO()
    common.write_spmatrix_to_sparse_tensor(buffer, matrix, label)
    return buffer.getvalue()


def sdk_values(data: bytes, dtype: str, entries: str = "features", name: str = "values") -> Any:
    records = common.read_records(io.BytesIO(data))
    tensors = [getattr(getattr(record, entries)[name], TENSORS[dtype]) for record in records]
    return np.array([list(tensor.values) for tensor in tensors]).astype(dtype)


def same(left: Any, right: Any) -> None:
    """Equal to the bit, not-a-numbers included."""
    assert left.shape == right.shape
    assert left.dtype == right.dtype
    assert left.tobytes() == right.tobytes()


def as_read(array: Any) -> Any:
    """Integers have 32 bits once they are in a record."""
    return array.astype(np.int32) if array.dtype.kind == "i" else array


@many
@given(matrices())
def test_matrices_are_the_same_bytes_and_read_both_ways(matrix: Any) -> None:
    theirs = sdk_dense(matrix)
    ours = recordio.encode(matrix)
    assert ours == theirs
    same(recordio.decode(theirs), as_read(matrix))
    np.testing.assert_array_equal(sdk_values(ours, matrix.dtype.str[1:]), matrix)


@many
@given(st.data())
def test_labeled_matrices_are_the_same_bytes_and_read_both_ways(data: Any) -> None:
    matrix = data.draw(matrices())
    label = data.draw(labels(len(matrix)))
    theirs = sdk_dense(matrix, label)
    assert recordio.encode(matrix, label) == theirs
    same(recordio.decode(theirs), as_read(matrix))
    same(recordio.decode_labels(theirs, "values")["values"], as_read(label))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("columns", [1, 2, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 4088, 4089, 4090, 4091])
@pytest.mark.parametrize("rows", [1, 1000])
def test_lengths_around_each_varint_boundary(rows: int, columns: int, dtype: Any) -> None:
    matrix = np.random.default_rng(columns).integers(-300, 300, (rows, columns)).astype(dtype)
    label = np.arange(rows).astype(dtype)
    if rows * columns > 100_000:  # the SDK takes a second for each half million values
        matrix, label = matrix[:20], label[:20]
    assert recordio.encode(matrix) == sdk_dense(matrix)
    assert recordio.encode(matrix, label) == sdk_dense(matrix, label)
    same(recordio.decode(sdk_dense(matrix)), as_read(matrix))


def test_a_matrix_without_rows_or_columns_is_the_same_bytes() -> None:
    for shape in ((0, 3), (2, 0)):
        matrix = np.ones(shape, np.float32)
        assert recordio.encode(matrix) == sdk_dense(matrix)


@settings(max_examples=200)
@given(st.data())
@example(None)
def test_sparse_matrices_of_the_sdk_are_read(data: Any) -> None:
    if data is None:  # a row without any value, which the SDK writes as a shape alone
        matrix, label = np.array([[0, 0], [0, 3]], np.float32), np.array([1.0, 2])
    else:
        dtype = data.draw(st.sampled_from(TYPES))
        shape = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 300)))
        matrix = data.draw(npst.arrays(dtype, shape, elements=elements(dtype), fill=st.just(dtype(0))))
        label = data.draw(labels(len(matrix)))
    theirs = sdk_sparse(sparse.csr_matrix(matrix), label)
    np.testing.assert_array_equal(recordio.decode(theirs), matrix)
    same(recordio.decode_labels(theirs, "values")["values"], as_read(label))


@settings(max_examples=200)
@given(matrices(), st.integers(0, 2**64 - 1))
def test_messages_with_fields_that_we_do_not_use_are_read(matrix: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    for record, row in zip(common.read_records(io.BytesIO(sdk_dense(matrix))), matrix, strict=True):
        record.uid = "u" * int(rng.integers(0, 200))
        record.metadata = '{"of": "no interest"}'
        record.features["other"].float32_tensor.values.extend([0.5] * len(row))
        record.label["bytes"].bytes.value.append(b"\0\1")
        common._write_recordio(buffer, record.SerializeToString())
    same(recordio.decode(buffer.getvalue()), as_read(matrix))


@settings(max_examples=100)
@given(npst.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 40))))
def test_answers_of_pca_are_read_by_the_sdk(projection: Any) -> None:
    data = recordio.encode_labels({"projection": projection})
    records = RecordDeserializer().deserialize(io.BytesIO(data), "application/x-recordio-protobuf")
    theirs = np.array([record.label["projection"].float32_tensor.values for record in records], np.float32)
    np.testing.assert_array_equal(theirs, projection)
    same(recordio.decode_labels(data, "projection")["projection"], projection)


def test_answers_of_kmeans_are_read_by_the_sdk() -> None:
    answer = {
        "closest_cluster": np.array([2, 0], np.float32),
        "distance_to_cluster": np.array([0.5, 0], np.float32),
    }
    records = RecordDeserializer().deserialize(
        io.BytesIO(recordio.encode_labels(answer)), "application/x-recordio-protobuf"
    )
    for name, values in answer.items():
        assert [list(record.label[name].float32_tensor.values) for record in records] == [[v] for v in values]


def test_answers_equal_what_protobuf_writes_for_the_same_message() -> None:
    record, buffer = Record(), io.BytesIO()
    record.label["projection"].float32_tensor.values.extend([1.5, -2])
    common._write_recordio(buffer, record.SerializeToString())
    assert recordio.encode_labels({"projection": np.array([[1.5, -2]], np.float32)}) == buffer.getvalue()
