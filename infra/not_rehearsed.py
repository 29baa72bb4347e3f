"""Tell, as JSON on standard output, why roles are granted what a rehearsal doesn't use: role -> action -> reason."""

import json
import sys

from infra import grants, sagemaker_role

_DELIVERY = (
    "Step Functions delivers the execution's log: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html"
)
_TRACING = (
    "Step Functions sends traces: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html"
)
_MAP_RUNS = (
    "Step Functions follows, stops and redrives a map's executions as the role: "
    "https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html"
)

STATE_MACHINE = {
    **dict.fromkeys(
        (
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ),
        _DELIVERY,
    ),
    **dict.fromkeys(
        (
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ),
        _TRACING,
    ),
    **dict.fromkeys(("states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"), _MAP_RUNS),
}
"""What Step Functions does as the state machine's role that the embedded one doesn't."""


def main() -> None:
    """Gather the reasons that stand beside the grants."""
    reasons: dict[str, dict[str, str]] = {
        "sagemaker": {action: f"{why} {page}" for action, (why, page) in sagemaker_role.NOT_REHEARSED.items()},
        "state machine": STATE_MACHINE,
    }
    for (name, action), why in grants.NOT_REHEARSED.items():
        reasons.setdefault(name, {})[action] = why
    json.dump(reasons, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
