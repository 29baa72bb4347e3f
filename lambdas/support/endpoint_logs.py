"""Limits how long the logs of endpoints are kept: SageMaker creates a log group for each and never deletes it."""

import re
import time

from contract.names import ENDPOINT_LOGS, STAGES
from lambdas.support.runtime import client, logger, settings

_MILLISECONDS_PER_DAY = 86_400_000


def limit_retention() -> None:
    """Set the retention of the log groups of this deployment's endpoints, and delete those that are older than it."""
    logs, days = client("logs"), settings().log_retention_days
    oldest = time.time() * 1_000 - days * _MILLISECONDS_PER_DAY
    own = re.compile(rf"{ENDPOINT_LOGS}{re.escape(settings().deployment_id)}-.+-({'|'.join(STAGES)})(-\d+)?")
    prefix = f"{ENDPOINT_LOGS}{settings().deployment_id}-"
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            name = group["logGroupName"]
            if not own.fullmatch(name):
                continue
            if group["creationTime"] < oldest:
                logs.delete_log_group(logGroupName=name)
                logger.info("deleted", log_group=name)
            elif group.get("retentionInDays") != days:
                logs.put_retention_policy(logGroupName=name, retentionInDays=days)
