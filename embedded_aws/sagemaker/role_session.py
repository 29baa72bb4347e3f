"""AWS clients under the execution role, for use inside a container.

They call the gateway over HTTPS as other clients do, so the role's policies apply.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.sagemaker.locations import split_uri

_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 3},
    connect_timeout=5,
    read_timeout=60,
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Error(Exception):
    """A call of S3 was refused or failed; the message has SageMaker's wording: `AccessDenied (403): …`."""


@lru_cache(maxsize=1)
def _session() -> Any:
    return botocore.session.Session()


def warm_up() -> None:
    """Load the service models once; forked containers inherit them."""
    for service in ("s3", "logs", "cloudwatch"):
        _session().create_client(
            service,
            "us-east-1",
            endpoint_url="https://localhost",
            aws_access_key_id="-",
            aws_secret_access_key="-",  # noqa: S106
        )


@dataclass(frozen=True)
class Connection:
    """A container's endpoint and credentials. `credentials` has the three AWS_* variables of the role's session."""

    endpoint_url: str
    ca_bundle: str | None
    region: str
    credentials: dict[str, str]

    def client(self, service: str) -> Any:
        """Return a client with the role's credentials."""
        return _session().create_client(
            service,
            self.region,
            endpoint_url=self.endpoint_url,
            verify=self.ca_bundle,
            aws_access_key_id=self.credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=self.credentials["AWS_SESSION_TOKEN"] or None,
            config=_CONFIG,
        )


class Bucket:
    """Access to S3 with the role's credentials."""

    def __init__(self, connection: Connection) -> None:
        self._s3 = connection.client("s3")

    def keys(self, uri: str) -> list[str]:
        """Return the URIs of all objects under a prefix, sorted; folder markers are left out.

        Raises
        ------
        S3Error
            If listing is refused or fails.
        """
        bucket, prefix = split_uri(uri)
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        except (ClientError, BotoCoreError) as error:
            raise S3Error(_reason(error)) from error
        return [f"s3://{bucket}/{key}" for key in sorted(found) if not key.endswith("/")]

    def read(self, uri: str) -> bytes:
        """Return a whole object.

        Raises
        ------
        S3Error
            If reading is refused or fails.
        """
        return b"".join(self.chunks(uri, 1 << 24))

    def chunks(self, uri: str, size: int) -> Iterator[bytes]:
        """Read an object in pieces of at most `size` bytes.

        Raises
        ------
        S3Error
            If reading is refused or fails.
        """
        bucket, key = split_uri(uri)
        try:
            body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
            while chunk := body.read(size):
                yield chunk
        except (ClientError, BotoCoreError) as error:
            raise S3Error(_reason(error)) from error

    def write(self, uri: str, content: bytes, kms_key: str | None) -> None:
        """Write an object, encrypted with a customer key if one is given.

        Raises
        ------
        S3Error
            If writing is refused or fails.
        """
        bucket, key = split_uri(uri)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=io.BytesIO(content), **encryption)
        except (ClientError, BotoCoreError) as error:
            raise S3Error(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        answer = error.response
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        return f"{answer['Error']['Code']} ({status}): {answer['Error'].get('Message', '')}"
    return str(error)
