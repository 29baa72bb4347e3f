"""jobs/sagemaker/ndarray.py against mx.nd.save and mx.nd.load: the same bytes, and each reads what the other wrote."""

import struct
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jobs.sagemaker import ndarray

# What mx.nd.array makes an array of; the test below shows that there is no other.
TYPES = [np.float16, np.float32, np.float64, np.bool_, np.uint8, np.int8, np.int32, np.int64]

many = settings(
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
arrays = st.sampled_from(TYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=6))
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


def mxnet_bytes(content: Any, path: Path) -> bytes:
    def convert(array: Any) -> Any:
        return mx.nd.array(array, dtype=array.dtype)

    if isinstance(content, dict):
        mx.nd.save(str(path), {name: convert(array) for name, array in content.items()})
    else:
        mx.nd.save(str(path), [convert(array) for array in content])
    return path.read_bytes()


def same(left: Any, right: Any) -> None:
    """Equal to the bit, not-a-numbers included."""
    assert left.shape == right.shape
    assert left.dtype == right.dtype
    assert left.tobytes() == right.tobytes()


@many
@given(content=st.lists(arrays, max_size=4))
def test_lists_are_the_same_bytes_and_read_both_ways(content: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "list"
    theirs = mxnet_bytes(content, path)
    ours = ndarray.save(content)
    assert ours == theirs
    for array, read in zip(content, ndarray.load(theirs), strict=True):
        same(read, array)
    path.write_bytes(ours)
    for array, read in zip(content, mx.nd.load(str(path)), strict=True):
        same(read.asnumpy(), array)


@many
@given(content=st.dictionaries(names, arrays, min_size=1, max_size=4))
def test_dicts_are_the_same_bytes_and_read_both_ways(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "dict"
    theirs = mxnet_bytes(content, path)
    ours = ndarray.save(content)
    assert ours == theirs
    read = ndarray.load(theirs)
    assert isinstance(read, dict)
    assert list(read) == list(content)
    path.write_bytes(ours)
    judged = mx.nd.load(str(path))
    for name, array in content.items():
        same(read[name], array)
        same(judged[name].asnumpy(), array)


@many
@given(content=st.lists(arrays, min_size=1, max_size=3), version=st.sampled_from(["V1", "without magic"]))
def test_older_files_are_read_as_mxnet_reads_them(content: list[Any], version: str, tmp_path: Path) -> None:
    # No release that still installs writes these forms: MXNet's own reader of them is the judge.
    path = tmp_path / "old"
    data = struct.pack("<QQQ", 0x112, 0, len(content))
    for array in content:
        if version == "V1":
            data += struct.pack(f"<II{array.ndim}q", 0xF993FAC8, array.ndim, *array.shape)
        else:
            data += struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape)
        kind = struct.unpack_from("<i", ndarray.save([np.zeros(1, array.dtype)]), 24 + 28)[0]
        data += struct.pack("<iii", 1, 0, kind) + array.tobytes()
    path.write_bytes(data + struct.pack("<Q", 0))
    theirs = mx.nd.load(str(path))
    for array, ours, judged in zip(content, ndarray.load(path.read_bytes()), theirs, strict=True):
        same(ours, array)
        same(judged.asnumpy(), array)


def test_bfloat16_is_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bfloat16"
    mx.nd.save(str(path), [mx.nd.array([1.0, -3.5]).astype(ndarray.BFLOAT16)])
    read = ndarray.load(path.read_bytes())
    assert isinstance(read, list)
    same(read[0], mx.nd.load(str(path))[0].asnumpy())
    assert ndarray.save(read) == path.read_bytes()


def test_we_store_every_type_that_mxnet_stores() -> None:
    theirs = {np.dtype(kind): number for kind, number in mx.ndarray.ndarray._DTYPE_NP_TO_MX.items() if kind}
    assert theirs == ndarray._NUMBERS


@pytest.mark.parametrize("storage", ["row_sparse", "csr"])
def test_sparse_arrays_are_refused_by_name(storage: str, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    mx.nd.save(str(path), [mx.nd.array([[0.0, 1], [0, 0]]).tostype(storage)])
    with pytest.raises(ndarray.NDArrayError, match=f"storage type {storage}"):
        ndarray.load(path.read_bytes())


def test_version_3_is_refused_as_mxnet_refuses_it(tmp_path: Path) -> None:
    path = tmp_path / "np_shape"
    with mx.util.np_shape(True):
        mx.nd.save(str(path), [mx.nd.ones((2,))])
    with pytest.raises(mx.base.MXNetError, match="np shape semantics"):
        mx.nd.load(str(path))
    with pytest.raises(ndarray.NDArrayError, match="version 3"):
        ndarray.load(path.read_bytes())


def test_the_artifacts_of_pca_and_kmeans_are_read_by_mxnet(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pca = {name: rng.random(shape, np.float32) for name, shape in {"s": (5,), "v": (34, 5), "mean": (1, 34)}.items()}
    (tmp_path / "pca").write_bytes(ndarray.save(pca))
    judged = mx.nd.load(str(tmp_path / "pca"))
    assert {name: array.shape for name, array in judged.items()} == {"s": (5,), "v": (34, 5), "mean": (1, 34)}
    (tmp_path / "kmeans").write_bytes(ndarray.save([rng.random((8, 7), np.float32)]))
    assert [array.shape for array in mx.nd.load(str(tmp_path / "kmeans"))] == [(8, 7)]
