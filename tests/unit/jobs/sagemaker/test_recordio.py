"""recordIO-protobuf against bytes that the SageMaker SDK wrote, and against everything protobuf allows."""

import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jobs.sagemaker.recordio import RecordIOError, decode, decode_labels, encode, encode_labels, frame_bytes, reader

MAGIC = bytes.fromhex("0a23d7ce")

# What sagemaker 2.257.7 writes; tests/conformance/test_recordio.py compares many more.
SDK_FLOAT32 = "0a23d7ce180000000a160a0676616c756573120c120a0a080000803f0000803f"
SDK_FLOAT64_LABELED = (
    "0a23d7ce380000000a1e0a0676616c75657312141a120a10000000000000f03f000000000000f03f"
    "12160a0676616c756573120c1a0a0a080000000000000000"
)
SDK_INT64_LABELED = (
    "0a23d7ce2e0000000a1b0a0676616c75657312113a0f0a0d01ffffffffffffffffff01ac02120f0a0676616c75657312053a030a01020000"
)
SDK_SPARSE_ROWS = (
    "0a23d7ce270000000a250a0676616c756573121b1a190a10000000000000f03f0000000000000040120201021a010300"
    "0a23d7ce110000000a0f0a0676616c75657312051a031a0103000000"
)


def framed(payload: bytes) -> bytes:
    return MAGIC + struct.pack("<I", len(payload)) + payload + b"\0" * (-len(payload) % 4)


def message(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([number << 3 | 2, len(content)]) + content for number, content in fields)


def record(tensor: bytes, kind: int = 1, tensor_type: int = 2, name: bytes = b"values") -> bytes:
    return framed(message((kind, message((1, name), (2, message((tensor_type, tensor)))))))


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


class TestWriting:
    @pytest.mark.parametrize(
        ("matrix", "labels", "expected"),
        [
            (np.ones((1, 2), np.float32), None, SDK_FLOAT32),
            (np.ones((1, 2), np.float64), np.zeros(1), SDK_FLOAT64_LABELED),
            (np.array([[1, -1, 300]]), np.array([2]), SDK_INT64_LABELED),
            (np.array([[1, -1, 300]], np.int32), np.array([2], np.int32), SDK_INT64_LABELED),
            (np.ones((1, 2), ">f4"), None, SDK_FLOAT32),
        ],
    )
    def test_equals_what_the_sdk_writes(self, matrix: Any, labels: Any, expected: str) -> None:
        assert encode(matrix, labels).hex() == expected

    def test_no_rows_are_no_bytes(self) -> None:
        assert encode(np.ones((0, 3), np.float32)) == b""

    def test_memory_order_does_not_matter(self) -> None:
        matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
        assert encode(np.asfortranarray(matrix)) == encode(matrix)
        assert encode(matrix[::2, ::-1]) == encode(matrix[::2, ::-1].copy())

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("columns", [0, 1, 25, 26, 29, 30, 34, 4090, 4096])
    def test_frame_bytes_is_what_a_row_takes(self, columns: int, dtype: type) -> None:
        assert frame_bytes(columns, dtype) == len(encode(np.ones((1, columns), dtype)))

    def test_frame_bytes_of_the_census_row(self) -> None:
        assert frame_bytes(34) == 164

    @pytest.mark.parametrize(
        ("matrix", "labels", "message"),
        [
            (np.ones(3, np.float32), None, "matrix has 1 dimensions"),
            (np.ones((2, 2), np.uint8), None, "type is uint8; expected float32, float64, int32 or int64"),
            (np.ones((2, 2), np.float16), None, "type is float16"),
            (np.array([[2**31]]), None, "do not fit into 32 bits"),
            (np.array([[-(2**31) - 1]]), None, "do not fit into 32 bits"),
            (np.ones((2, 2)), np.ones(3), r"labels have shape \(3,\); expected \(2,\)"),
        ],
    )
    def test_refuses_what_sagemaker_cannot_hold(self, matrix: Any, labels: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            encode(matrix, labels)

    def test_frame_bytes_refuses_integers(self) -> None:
        with pytest.raises(ValueError, match="no fixed frame"):
            frame_bytes(3, np.int64)


class TestReadingBack:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
    # 26 and 30 float32 columns, and 4,090 and more, are where a length takes one more byte.
    @pytest.mark.parametrize("columns", [1, 2, 25, 26, 27, 28, 29, 30, 31, 32, 33, 4089, 4090, 4091, 4096])
    @pytest.mark.parametrize("rows", [1, 3])
    def test_matrix_of_any_width(self, rows: int, columns: int, dtype: type) -> None:
        matrix: Any = np.random.default_rng(columns).normal(scale=1e4, size=(rows, columns)).astype(dtype)
        read = decode(encode(matrix))
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, matrix)

    def test_a_thousand_rows(self) -> None:
        matrix = np.random.default_rng(0).random((1000, 34), np.float32)
        np.testing.assert_array_equal(decode(encode(matrix)), matrix)

    @given(
        npst.arrays(
            st.sampled_from([np.float32, np.float64, np.int32]),
            st.tuples(st.integers(1, 20), st.integers(0, 40)),
        ),
        st.sampled_from([np.float32, np.float64, np.int32]),
    )
    def test_any_matrix_with_labels_of_any_type(self, matrix: Any, label_type: type) -> None:
        labels: Any = np.arange(-3, len(matrix) - 3).astype(label_type)
        data = encode(matrix, labels)
        np.testing.assert_array_equal(decode(data), matrix)
        np.testing.assert_array_equal(decode_labels(data, "values")["values"], labels)

    def test_not_a_number_and_infinities_survive(self) -> None:
        matrix = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
        assert decode(encode(matrix)).tobytes() == matrix.tobytes()

    def test_reads_any_buffer(self) -> None:
        data = encode(np.ones((2, 2), np.float32))
        for buffer in (bytearray(data), memoryview(data)):
            assert decode(buffer).tolist() == [[1, 1], [1, 1]]


class TestAnswers:
    def test_projection_is_a_vector_a_row(self) -> None:
        projection = np.arange(6, dtype=np.float32).reshape(3, 2)
        read = decode_labels(encode_labels({"projection": projection}), "projection")
        np.testing.assert_array_equal(read["projection"], projection)

    def test_projection_of_one_component_is_still_a_vector(self) -> None:
        data = encode_labels({"projection": np.ones((3, 1), np.float32)})
        assert decode_labels(data)["projection"].shape == (3, 1)

    def test_clusters_and_distances_are_a_number_a_row(self) -> None:
        response = {
            "closest_cluster": np.array([1, 0, 7], np.float32),
            "distance_to_cluster": np.array([0.5, 0.25, 3], np.float32),
        }
        read = decode_labels(encode_labels(response))
        assert list(read) == list(response)
        for name, values in response.items():
            np.testing.assert_array_equal(read[name], values)

    def test_one_label_is_read_without_the_others(self) -> None:
        response = {"closest_cluster": np.zeros(2, np.float32), "distance_to_cluster": np.ones(2, np.float32)}
        assert list(decode_labels(encode_labels(response), "distance_to_cluster")) == ["distance_to_cluster"]

    @pytest.mark.parametrize("labels", [{}, {"a": np.ones(2), "b": np.ones(3)}])
    def test_refuses_labels_of_unequal_length_or_none(self, labels: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="same number of rows"):
            encode_labels(labels)

    def test_refuses_a_label_of_three_dimensions(self) -> None:
        with pytest.raises(ValueError, match="a has 3 dimensions"):
            encode_labels({"a": np.ones((1, 1, 1))})

    def test_a_missing_label_is_named(self) -> None:
        with pytest.raises(RecordIOError, match="record 0 has no label 'projection'"):
            decode_labels(encode(np.ones((1, 1))), "projection")


class TestOtherEncodings:
    """Valid protobuf that the SDK does not write, so that the fast path cannot serve it."""

    def test_sparse_rows_of_the_sdk_are_expanded(self) -> None:
        assert decode(bytes.fromhex(SDK_SPARSE_ROWS)).tolist() == [[0, 1, 2], [0, 0, 0]]

    def test_unpacked_values(self) -> None:
        tensor = b"".join(b"\x0d" + floats(value) for value in (1, 2.5))
        assert decode(record(tensor)).tolist() == [[1, 2.5]]

    def test_values_in_several_packed_pieces(self) -> None:
        assert decode(record(message((1, floats(1)), (1, floats(2, 3))))).tolist() == [[1, 2, 3]]

    def test_unpacked_integers(self) -> None:
        assert decode(record(b"\x08\x05\x08\xac\x02", tensor_type=7)).tolist() == [[5, 300]]

    def test_dense_tensor_that_names_its_shape(self) -> None:
        tensor = message((1, floats(1, 2)), (3, b"\x02"))
        assert decode(record(tensor)).tolist() == [[1, 2]]

    def test_unknown_fields_are_skipped(self) -> None:
        known = message((1, message((1, b"values"), (2, message((2, message((1, floats(4)))))))))
        unknown = b"\x50\x96\x01" + b"\x59" + b"\0" * 8 + b"\x65" + b"\0" * 4 + message((3, b"uid"), (15, b"?"))
        assert decode(framed(unknown + known)).tolist() == [[4]]

    def test_unknown_fields_beside_a_value_are_skipped(self) -> None:
        one, other = (message((2, message((1, floats(number))))) for number in (4, 9))
        assert decode(framed(message((1, message((1, b"values"), (2, one), (3, other)))))).tolist() == [[4]]

    def test_the_last_tensor_type_of_a_value_holds(self) -> None:
        value = message((2, message((1, floats(1)))), (3, message((1, struct.pack("<d", 2)))))
        payload = message((1, message((1, b"values"), (2, value))))
        assert decode(framed(payload)).tolist() == [[2]]

    def test_the_last_of_two_equal_keys_holds(self) -> None:
        entries = [(1, message((1, b"values"), (2, message((2, message((1, floats(x)))))))) for x in (1.0, 2.0)]
        assert decode(framed(message(*entries))).tolist() == [[2]]

    def test_records_of_mixed_frames(self) -> None:
        plain = encode(np.full((2, 2), 3, np.float32))
        other = record(message((1, floats(1)), (1, floats(2))))
        assert decode(plain + other).tolist() == [[3, 3], [3, 3], [1, 2]]
        assert decode(other + plain).tolist() == [[1, 2], [3, 3], [3, 3]]

    def test_frames_of_equal_size_but_other_content_are_not_mistaken(self) -> None:
        # given a record of the first one's size whose values carry another name
        data = encode(np.ones((1, 2), np.float32)) + record(message((1, floats(5, 6))), name=b"valuez")
        with pytest.raises(RecordIOError, match="record 1 has no feature 'values'"):
            decode(data)

    def test_labels_of_any_kind_do_not_disturb_the_features(self) -> None:
        matrix = np.ones((2, 3), np.float32)
        assert decode(encode(matrix, np.array([1, 70000]))).tolist() == matrix.tolist()


class TestRefusals:
    good = encode(np.ones((3, 2), np.float32))

    @pytest.mark.parametrize(
        ("data", "offset", "reason"),
        [
            (b"", 0, "no records"),
            (good[:5], 0, "the frame's head is cut off: 5 of 8 bytes"),
            (good[:20], 8, "the record is cut off: 12 of 24 bytes"),
            (good[:40], 40, "the record is cut off: 0 of 24 bytes"),
            (good[:-1], 72, "the record is cut off: 23 of 24 bytes"),
            (b"\1" + good[1:], 0, "magic number 0xced72301; expected 0xced7230a"),
            (good[:32] + b"\1" + good[33:], 32, "magic number 0xced72301; expected 0xced7230a"),
            (good + b"\0\0", 96, "the frame's head is cut off: 2 of 8 bytes"),
            (framed(b"\x0a"), 9, "a number is cut off"),
            (framed(b"\x0a\x05"), 8, "field 1 ends 5 bytes past its message"),
            (framed(b"\x0b"), 8, "field 1 has wire type 3, which SageMaker's records do not use"),
            (framed(b"\x02\x00"), 8, "a field has the number 0"),
            (framed(b"\xff" * 11), 8, "a number is longer than 10 bytes"),
            (framed(b""), 0, "record 0 has no feature 'values' of numbers"),
            (record(floats(1), tensor_type=9), 0, "record 0 has no feature 'values' of numbers"),
            (record(message((1, b"\0" * 5))), 8, "5 bytes of values are not a multiple of the size of float32"),
            (record(message((1, b"\x80")), tensor_type=7), 8, "a packed number is cut off"),
            (record(message((1, b"\xff" * 10 + b"\x01")), tensor_type=7), 8, "a packed number is longer than 10 bytes"),
            (record(message((1, floats(1)), (2, b"\0"))), 8, "a sparse tensor has no shape"),
            (record(message((1, floats(1)), (2, b"\0\1"), (3, b"\5"))), 8, "a sparse tensor of 1 values has 2 keys"),
            (
                record(message((1, floats(1)), (2, b"\5"), (3, b"\5"))),
                8,
                "key 5 is outside the tensor's shape, 5",
            ),
            (
                record(message((3, b"\xff" * 8 + b"\x01"))),
                8,
                "a tensor has 144115188075855871 values; at most 2147483648 bytes can be read",
            ),
        ],
    )
    def test_names_offset_and_reason(self, data: bytes, offset: int, reason: str) -> None:
        with pytest.raises(RecordIOError) as caught:
            decode(data)
        assert caught.value.offset == offset
        assert str(caught.value) == f"byte {offset}: {reason}"

    def test_padding_must_be_zero(self) -> None:
        data = bytearray(encode_labels({"closest_cluster": np.ones(2, np.float32)}))
        assert data[-1] == 0
        data[-1] = 1
        with pytest.raises(RecordIOError, match="padding is not zero"):
            decode_labels(data)

    def test_padding_of_every_record_must_be_zero(self) -> None:
        data = bytearray(encode(np.ones((3, 31), np.float32)))
        assert data[-1] == 0
        data[-1] = 1
        with pytest.raises(RecordIOError, match="padding is not zero"):
            decode(bytes(data))

    def test_records_of_unequal_width(self) -> None:
        data = encode(np.ones((1, 2), np.float32)) + encode(np.ones((1, 3), np.float32))
        with pytest.raises(RecordIOError, match="record 1 holds 3 float32 in 'values'; the first record holds 2"):
            decode(data)

    def test_records_of_unequal_type(self) -> None:
        data = encode(np.ones((1, 2), np.float32)) + encode(np.ones((1, 2), np.float64))
        with pytest.raises(RecordIOError, match="record 1 holds 2 float64"):
            decode(data)

    def test_sparse_rows_may_not_exhaust_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "_MAX_EXPANDED_BYTES", 100)
        with pytest.raises(RecordIOError, match="records expand to more than 100 bytes"):
            decode(record(message((3, b"\x14"))) * 2)

    def test_the_error_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(RecordIOError(7, "why")))
        assert (error.offset, error.reason, str(error)) == (7, "why", "byte 7: why")

    @given(st.data())
    def test_any_damage_is_read_or_refused(self, data: Any) -> None:
        whole = bytearray(data.draw(st.sampled_from([self.good, bytes.fromhex(SDK_SPARSE_ROWS)])))
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        cut = whole[: data.draw(st.integers(0, len(whole)))]
        try:
            matrix = decode(cut)
        except RecordIOError as error:
            assert 0 <= error.offset <= len(cut)  # noqa: PT017 - it may be read as well
        else:
            assert matrix.ndim == 2
