"""CloudWatch Logs: the ARNs against which permissions are checked."""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions

_TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")


def apply() -> None:
    """Check permissions on log groups against the ARNs that AWS uses.

    ministack checks DescribeLogGroups against ``*``, which no ARN in a policy matches, and other actions against the
    ARN of the group. AWS adds the log stream, even if there is none, except to tag a group:
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html and
    https://github.com/hashicorp/terraform-provider-aws/issues/8804
    """
    original = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, *request: Any) -> str:
        found: str = original(service, *request)
        _, _, headers, body, _, region, account = request
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service != "logs" or action in _TAGGING:
            return found
        if action == "DescribeLogGroups":
            found = f"arn:aws:logs:{region}:{account}:log-group:"
        return found if found == "*" else f"{found}:log-stream:{json.loads(body).get('logStreamName', '')}"

    iam_actions.extract_resource_arn = extract_resource_arn
