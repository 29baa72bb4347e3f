"""Reads a training job's input channels from S3 in chunks, without holding a whole object in memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from embedded_aws.sagemaker.algorithms.failures import TrainingError, client_error
from embedded_aws.sagemaker.role_session import Bucket, S3Error
from jobs.sagemaker import recordio

Rows = npt.NDArray[Any]

_CHUNK = 8 << 20
_HEAD = 8
RECORDIO = "application/x-recordio-protobuf"
_CSV = "text/csv"


class Channel:
    """One channel of the job.

    Parameters
    ----------
    config
        An entry of the request's InputDataConfig.
    bucket
        S3 under the execution role.
    hosts
        The job's InstanceCount.

    Raises
    ------
    TrainingError
        If the algorithms do not accept the channel's type, or its objects cannot be listed, or there are none.
    """

    def __init__(self, config: dict[str, Any], bucket: Bucket, hosts: int) -> None:
        self._bucket = bucket
        self.hosts = hosts
        self._name = config["ChannelName"]
        source = config["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] == "AugmentedManifestFile":
            raise client_error(
                f"Channel {self._name}: data of type AugmentedManifestFile or a file system is not supported; use "
                "S3Prefix or ManifestFile"
            )
        self._content = _content_type(config)
        self._gzip = config.get("CompressionType", "None") == "Gzip"
        self._sharded = source.get("S3DataDistributionType", "FullyReplicated") == "ShardedByS3Key"
        self.keys = self._find(source)

    def of_host(self, host: int) -> Iterator[Rows]:
        """Yield the rows that one host reads, as n x features matrices.

        Replicated data is read only by the first host, so that further instances do not change the model.

        Raises
        ------
        TrainingError
            If an object cannot be read or parsed.
        """
        keys = self.keys[host :: self.hosts] if self._sharded else self.keys if host == 0 else []
        for key in keys:
            yield from self._object(key)

    def rows(self) -> Iterator[Rows]:
        """Yield all rows, of all hosts."""
        for host in range(self.hosts):
            yield from self.of_host(host)

    def _find(self, source: dict[str, Any]) -> list[str]:
        try:
            if source["S3DataType"] == "ManifestFile":
                keys = self._manifest(source["S3Uri"])
            else:
                keys = self._bucket.keys(source["S3Uri"])
        except S3Error as error:
            raise TrainingError(f"ClientError: Data download failed:{error}") from error
        if not keys:
            raise TrainingError(
                f"ClientError: Data download failed:NoSuchKey (404): no object matches {source['S3Uri']} of channel "
                f"{self._name}"
            )
        return keys

    def _manifest(self, uri: str) -> list[str]:
        try:
            entries = json.loads(self._bucket.read(uri))
            prefix = entries[0]["prefix"] if isinstance(entries[0], dict) else ""
            names = entries[1:] if isinstance(entries[0], dict) else entries
            return [prefix + name for name in names]
        except (ValueError, TypeError, KeyError, IndexError):
            raise client_error(
                f'Manifest {uri} is not valid: expected [{{"prefix": "s3://…/"}}, "relative/key", …]'
            ) from None

    def _object(self, key: str) -> Iterator[Rows]:
        try:
            chunks = self._bucket.chunks(key, _CHUNK)
            yield from _parse(_unzip(chunks) if self._gzip else chunks, self._content)
        except S3Error as error:
            raise TrainingError(f"ClientError: Data download failed:{error}") from error
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise client_error(f"Unable to read data channel '{self._name}': {key}: {error}") from error


def _content_type(config: dict[str, Any]) -> str:
    text = config.get("ContentType", RECORDIO)
    kind, _, parameters = (part.strip() for part in text.partition(";"))
    if kind == RECORDIO:
        return RECORDIO
    if kind == _CSV:
        options = dict(option.strip().split("=", 1) for option in parameters.split(";") if "=" in option)
        if options.get("label_size", "1") != "0":
            raise client_error(
                f"Channel {config['ChannelName']}: content type '{text}' has a label column; unsupervised algorithms "
                "take text/csv;label_size=0"
            )
        return _CSV
    raise client_error(
        f"No iterator has been registered for ContentType ('{kind}', '1.0'). Supported: {RECORDIO}, "
        "text/csv;label_size=0"
    )


def _unzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    reader = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            yield reader.decompress(rest, _CHUNK)
            rest = reader.unconsumed_tail


def _parse(chunks: Iterator[bytes], content: str) -> Iterator[Rows]:
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        size = whole_records(buffer) if content == RECORDIO else buffer.rfind(b"\n") + 1
        if size:
            yield _decode(buffer[:size], content)
            buffer = buffer[size:]
    if buffer:
        yield _decode(buffer, content)


def _decode(data: bytes, content: str) -> Rows:
    return recordio.decode(data) if content == RECORDIO else read_csv(data)


def whole_records(data: bytes) -> int:
    """Return how many leading bytes of recordIO are complete records.

    The records of a file usually have the same length. If every record of that length has the header of the first one,
    they are counted together, otherwise one by one.
    """
    if len(data) < _HEAD:
        return 0
    frame = _frame_length(data, 0)
    count = len(data) // frame
    if count > 1:
        heads = np.frombuffer(data, np.uint8, count * frame).reshape(count, frame)[:, :_HEAD]
        if (heads == heads[0]).all():
            return count * frame
    end = 0
    while end + _HEAD <= len(data) and end + _frame_length(data, end) <= len(data):
        end += _frame_length(data, end)
    return end


def _frame_length(data: bytes, offset: int) -> int:
    length = int.from_bytes(data[offset + 4 : offset + 8], "little")
    return _HEAD + (length + 3) // 4 * 4


def read_csv(data: bytes) -> npt.NDArray[np.float32]:
    """Read comma-separated numbers without a header into an n x columns float32 matrix.

    Raises
    ------
    ValueError
        If the rows have different numbers of cells, or a cell is not a number.
    """
    lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise ValueError("the CSV data is empty")
    width = lines[0].count(",") + 1
    try:
        values = np.array(",".join(lines).split(","), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"the CSV data holds a cell that is no number: {error}") from None
    if values.size != width * len(lines) or any(line.count(",") != width - 1 for line in lines):
        row = next(number for number, line in enumerate(lines, 1) if line.count(",") != width - 1)
        raise ValueError(f"CSV row {row} has {lines[row - 1].count(',') + 1} cells; the first row has {width}")
    return values.reshape(len(lines), width).astype(np.float32)
