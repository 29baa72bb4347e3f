"""A container's log lines, written to CloudWatch Logs under the execution role."""

from __future__ import annotations

import logging
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded_aws.sagemaker.role_session import Connection

_METRIC_NAMESPACE = "/aws/sagemaker/TrainingJobs"
_BATCH = 1000


class ContainerLog:
    """Lines of one stream. If the role does not allow writing logs, the lines are lost, as on SageMaker."""

    def __init__(self, connection: Connection, group: str, stream: str) -> None:
        self._connection = connection
        self._group = group
        self._stream = stream
        self._events: list[dict[str, Any]] = []
        self._client: Any = None

    def line(self, text: str) -> None:
        """Add a line in the format of SageMaker's containers, with time and level."""
        stamp = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime())
        self.raw(f"[{stamp} INFO 139627779917632] {text}")

    def raw(self, text: str) -> None:
        """Add a line unchanged."""
        self._events.append({"timestamp": int(time.time() * 1000), "message": text})

    def flush(self) -> None:
        """Send the lines that were added since the last call."""
        events, self._events = self._events, []
        try:
            if self._client is None:
                self._client = self._connection.client("logs")
                self._open()
            for start in range(0, len(events), _BATCH):
                self._client.put_log_events(
                    logGroupName=self._group, logStreamName=self._stream, logEvents=events[start : start + _BATCH]
                )
        except (ClientError, BotoCoreError) as error:
            logging.getLogger("sagemaker").warning("log lines of %s are lost: %s", self._stream, error)

    def _open(self) -> None:
        for create, names in (
            (self._client.create_log_group, {"logGroupName": self._group}),
            (self._client.create_log_stream, {"logGroupName": self._group, "logStreamName": self._stream}),
        ):
            try:
                create(**names)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                    raise


def put_metrics(connection: Connection, host: str, metrics: list[dict[str, Any]]) -> None:
    """Publish a training job's metrics to CloudWatch under the role; if it does not allow this, they are lost."""
    data = [
        {
            "MetricName": metric["MetricName"],
            "Value": metric["Value"],
            "Timestamp": metric["Timestamp"],
            "Dimensions": [{"Name": "Host", "Value": host}],
        }
        for metric in metrics
    ]
    try:
        connection.client("cloudwatch").put_metric_data(Namespace=_METRIC_NAMESPACE, MetricData=data)
    except (ClientError, BotoCoreError) as error:
        logging.getLogger("sagemaker").warning("metrics of %s are lost: %s", host, error)
