"""Reads and writes SageMaker's recordIO-protobuf as whole matrices instead of row by row.

Each record has the frame of MXNet's recordIO: the uint32 magic number ``0xCED7230A``, the uint32 length of the
payload, the payload, and zeros up to a multiple of four bytes; all numbers are little-endian. The payload is the
protobuf message that SageMaker's developer guide defines under "Common data formats for training"::

    Record {map<string, Value> features = 1, label = 2; uid = 3; metadata = 4; configuration = 5}
    Value  {oneof {Float32Tensor = 2; Float64Tensor = 3; Int32Tensor = 7; Bytes = 9}}
    Tensor {repeated values = 1; repeated uint64 keys = 2; repeated uint64 shape = 3}, all packed
"""

from jobs.sagemaker.recordio.reader import decode, decode_labels
from jobs.sagemaker.recordio.wire import RecordIOError
from jobs.sagemaker.recordio.writer import encode, encode_labels, frame_bytes

__all__ = ["RecordIOError", "decode", "decode_labels", "encode", "encode_labels", "frame_bytes"]
