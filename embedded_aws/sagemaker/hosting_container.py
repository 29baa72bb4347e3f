"""Runs inside an endpoint's container: loads the model from S3 under the role, then responds to requests."""

from __future__ import annotations

import time
from typing import Any, Protocol

from embedded_aws.sagemaker import inference
from embedded_aws.sagemaker.container_logs import ContainerLog
from embedded_aws.sagemaker.role_session import Bucket, S3Error
from embedded_aws.sagemaker.tasks import HostingTask, endpoint_log_group


class Channel(Protocol):
    """The container's connection to the server."""

    def receive(self) -> Any:
        """Wait for a request."""

    def send(self, *message: Any) -> None:
        """Send a message."""


def _stream(host: HostingTask) -> str:
    return f"{host.variant}/i-{int(time.time() * 1000):017x}"


def run(host: HostingTask, channel: Channel) -> None:
    """Load the model, then respond to requests until the endpoint is deleted.

    Parameters
    ----------
    host
        The model to serve, and the connection under the role.
    channel
        Receives `("ready",)` or `("failed", reason, from_s3)`. Each request is (content type, accept, body); each
        response is `("answer", content type, body)` or `("refused", status, message)`.
    """
    log = ContainerLog(host.connection, endpoint_log_group(host.endpoint), _stream(host))
    try:
        model = inference.load_model(host.algorithm, Bucket(host.connection).read(host.artifact))
    except (S3Error, ValueError) as error:
        log.line(f"loading the model failed: {error}")
        log.flush()
        channel.send("failed", str(error), isinstance(error, S3Error))
        return
    log.line("loading entry points")
    log.line(f"loaded request iterator {', '.join((inference.JSON, inference.JSON_LINES, inference.CSV))}")
    log.line("Model server started.")
    log.flush()
    channel.send("ready")
    while True:
        content_type, accept, body = channel.receive()
        try:
            channel.send("answer", *inference.answer(model, content_type, accept, body))
        except inference.RequestRefusedError as refused:
            log.line(str(refused))
            log.flush()
            channel.send("refused", refused.status, str(refused))
