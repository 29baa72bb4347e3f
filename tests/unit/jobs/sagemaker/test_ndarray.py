"""NDArray list files against bytes that MXNet wrote, and its older versions."""

import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jobs.sagemaker.ndarray import BFLOAT16, NDArrayError, load, save

# What mxnet 1.9.1 writes for {"b": ones(1), "a": ones(2)}; tests/conformance compares many more.
MXNET_DICT = (
    "120100000000000000000000000000000200000000000000"
    "c9fa93f90000000001000000010000000000000001000000000000000000"
    "00000000803f"
    "c9fa93f90000000001000000020000000000000001000000000000000000"
    "00000000803f0000803f"
    "0200000000000000010000000000000062010000000000000061"
)
TYPES = [np.bool_, np.float16, np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64]
HEAD = struct.pack("<QQQ", 0x112, 0, 1)
NO_NAMES = struct.pack("<Q", 0)
CONTEXT_FLOAT32 = struct.pack("<iii", 1, 0, 0)


def v2(shape: tuple[int, ...] = (2,), *, storage: int = 0, kind: int = 0, values: bytes = bytes(8)) -> bytes:
    head = struct.pack("<IiI", 0xF993FAC9, storage, len(shape)) + struct.pack(f"<{len(shape)}q", *shape)
    return HEAD + head + struct.pack("<iii", 1, 0, kind) + values + NO_NAMES


class TestWriting:
    def test_a_dict_equals_what_mxnet_writes(self) -> None:
        arrays = {"b": np.ones(1, np.float32), "a": np.ones(2, np.float32)}
        assert save(arrays).hex() == MXNET_DICT

    @pytest.mark.parametrize("empty", [[], {}])
    def test_nothing_is_an_empty_list(self, empty: Any) -> None:
        assert load(save(empty)) == []

    @pytest.mark.parametrize("dtype", [np.uint16, np.complex64, "U3"])
    def test_refuses_types_that_mxnet_lacks(self, dtype: Any) -> None:
        with pytest.raises(ValueError, match=r"mean has type .*; expected one of float32"):
            save({"mean": np.zeros(1, dtype)})

    def test_refuses_arrays_without_dimension(self) -> None:
        with pytest.raises(ValueError, match="array 0 has no dimension"):
            save([np.array(1.0)])


class TestReading:
    @given(
        st.lists(
            npst.arrays(st.sampled_from(TYPES), npst.array_shapes(min_dims=1, max_dims=4, min_side=0)),
            min_size=1,
            max_size=3,
        )
    )
    def test_lists_of_any_arrays_come_back(self, arrays: list[Any]) -> None:
        read = load(save(arrays))
        assert isinstance(read, list)
        for there, back in zip(arrays, read, strict=True):
            assert (back.dtype, back.shape) == (there.dtype, there.shape)
            assert back.tobytes() == there.tobytes()

    def test_a_dict_comes_back_in_order(self) -> None:
        read = load(bytes.fromhex(MXNET_DICT))
        assert isinstance(read, dict)
        assert {name: array.tolist() for name, array in read.items()} == {"b": [1], "a": [1, 1]}
        assert list(read) == ["b", "a"]

    def test_bfloat16_keeps_its_bits(self) -> None:
        read = load(save([np.array([(16256,), (49248,)], BFLOAT16)]))[0]  # type: ignore[index]
        assert read.dtype == BFLOAT16
        assert read["bfloat16"].tolist() == [16256, 49248]

    @pytest.mark.parametrize("order", ["F", "C"])
    def test_memory_order_and_byte_order_do_not_matter(self, order: Any) -> None:
        array = np.array([[1, 2, 3], [4, 5, 6]], ">f8", order=order)
        read = load(save([array]))[0]  # type: ignore[index]
        np.testing.assert_array_equal(read, array)

    def test_version_1(self) -> None:
        array = struct.pack("<II2q", 0xF993FAC8, 2, 1, 2) + CONTEXT_FLOAT32 + struct.pack("<2f", 1, 2)
        assert load(HEAD + array + NO_NAMES)[0].tolist() == [[1, 2]]  # type: ignore[index]

    def test_the_form_before_versions(self) -> None:
        array = struct.pack("<I2I", 2, 2, 1) + CONTEXT_FLOAT32 + struct.pack("<2f", 1, 2)
        assert load(HEAD + array + NO_NAMES)[0].tolist() == [[1], [2]]  # type: ignore[index]

    def test_versions_may_be_mixed_in_one_file(self) -> None:
        old = struct.pack("<I1I", 1, 1) + CONTEXT_FLOAT32 + struct.pack("<f", 3)
        new = v2()[len(HEAD) : -8]
        data = struct.pack("<QQQ", 0x112, 0, 2) + old + new + NO_NAMES
        assert [array.tolist() for array in load(data)] == [[3], [0, 0]]  # type: ignore[union-attr]

    def test_an_array_from_a_gpu(self) -> None:
        data = bytearray(v2())
        data[len(HEAD) + 20 : len(HEAD) + 28] = struct.pack("<ii", 2, 3)
        assert load(bytes(data))[0].tolist() == [0, 0]  # type: ignore[index]


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "offset", "reason"),
        [
            (b"", 0, "the file's magic number is cut off: 0 of 8 bytes"),
            (b"PK\3\4....", 0, "magic number 0x2e2e2e2e04034b50; expected 0x112"),
            (HEAD, 24, "an array's magic number is cut off"),
            (v2()[:40], 36, "an array's shape is cut off: 4 of 8 bytes"),
            (v2()[:52], 52, "an array's type is cut off: 0 of 4 bytes"),
            (v2()[:-9], 56, "an array of 2 float32 is cut off: 7 of 8 bytes"),
            (v2()[:-3], 64, "the number of names is cut off"),
            (v2() + b"!", 72, "1 bytes follow the end of the list"),
            (v2((2**40,)), 56, "an array of 1099511627776 float32 is cut off"),
            (v2((2**62, 0, 2**62)), 24, "is too large for NumPy"),
            (v2((-1,)), 36, r"shape \(-1,\) has a negative extent"),
            (v2(()), 32, "0 dimensions; expected 1 to 32"),
            (v2(storage=1), 28, "storage type row_sparse; expected dense"),
            (v2(storage=2), 28, "storage type csr"),
            (v2(storage=-1), 28, "storage type -1"),
            (v2(kind=13), 52, "type 13; expected one of 0, 1, 2"),
            (v2(kind=-1), 52, "type -1"),
            (HEAD + struct.pack("<I", 0xF993FACA) + bytes(40), 24, "version 3"),
            (HEAD + struct.pack("<I", 0xDEADBEEF) + bytes(40), 24, "3735928559 dimensions"),
            (v2()[:-8] + struct.pack("<Q", 2) + bytes(16), 64, "2 names for 1 arrays"),
            (v2()[:-8] + struct.pack("<QQ", 1, 9) + b"a", 80, "a name is cut off: 1 of 9 bytes"),
            (v2()[:-8] + struct.pack("<QQ", 1, 2) + b"a\xff", 81, "a name is not UTF-8"),
        ],
    )
    def test_names_offset_and_reason(self, data: bytes, offset: int, reason: str) -> None:
        with pytest.raises(NDArrayError, match=reason) as caught:
            load(data)
        assert caught.value.offset == offset

    def test_a_file_cut_anywhere_is_refused(self) -> None:
        whole = bytes.fromhex(MXNET_DICT)
        for length in range(len(whole)):
            with pytest.raises(NDArrayError):
                load(whole[:length])

    def test_the_error_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(NDArrayError(7, "why")))
        assert (error.offset, error.reason, str(error)) == (7, "why", "byte 7: why")

    @given(st.data())
    def test_any_damage_is_read_or_refused(self, data: Any) -> None:
        whole = bytearray(bytes.fromhex(MXNET_DICT))
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        try:
            arrays = load(bytes(whole))
        except NDArrayError as error:
            assert 0 <= error.offset <= len(whole)  # noqa: PT017 - it may be read as well
        else:
            assert len(arrays) in (0, 1, 2)
