"""EventBridge and Lambda: permission to deliver events, and the dead-letter queues for undeliverable events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, sns, sqs

from embedded_aws.ministack import authorization, customer_keys

_SERVICE = "events.amazonaws.com"


def apply() -> None:
    """Correct the delivery of events in this process."""
    deliver_only_where_policies_allow()
    invoke_functions_asynchronously()
    send_the_event_itself_to_a_functions_dead_letters()


def deliver_only_where_policies_allow() -> None:
    """Deliver only to targets that exist and whose policy allows it; send other events to the dead-letter queue."""
    original: Callable[..., None] = eventbridge._invoke_target

    def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        rule_arn = rule.get("Arn") or eventbridge._rule_arn(rule["Name"], rule.get("EventBusName", "default"))
        problem = _undeliverable(target["Arn"], rule_arn)
        if problem is None:
            original(target, event, rule, view)
        else:
            _to_dead_letters(target, event, rule_arn, *problem)

    eventbridge._invoke_target = invoke_target


def _undeliverable(arn: str, rule_arn: str) -> tuple[str, str] | None:
    """Return the error code and message if EventBridge cannot deliver to a target, else None."""
    service = arn.split(":")[2]
    if service == "sqs":
        queue = sqs._queue_by_arn(arn)
        attributes = queue["attributes"] if queue else {}
        exists, policy, action = queue is not None, attributes.get("Policy"), "sqs:SendMessage"
    elif service == "sns":
        topic = sns._topics.get(arn)
        attributes = topic["attributes"] if topic else {}
        exists, policy, action = topic is not None, attributes.get("Policy"), "sns:Publish"
    elif service == "lambda":
        function = lambda_svc.function_policy_for_arn(arn)
        exists, policy, action, attributes = function is not None, function and function[0], "lambda:InvokeFunction", {}
    else:
        return None  # EventBridge calls other targets with the rule's role
    if not exists:
        return "NO_RESOURCE", f"The target {arn} does not exist"
    if app.AUTH and not _policy_allows(policy, action, arn, rule_arn):
        return "NO_PERMISSIONS", f"The resource policy of {arn} doesn't allow {_SERVICE} to {action} for {rule_arn}"
    key = attributes.get("KmsMasterKeyId", "")
    if app.AUTH and not customer_keys.service_may_use(key, _SERVICE):
        return "NO_PERMISSIONS", f"The policy of key {key} of {arn} doesn't allow {_SERVICE} to use it"
    return None


def _policy_allows(policy: Any, action: str, arn: str, rule_arn: str) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn="",
        principal_type="Service",
        principal_account=get_account_id(),
        action=action,
        resource_arn=arn,
        region=get_region(),
        secure_transport=True,
        service_context={"aws:sourcearn": rule_arn, "aws:sourceaccount": get_account_id()},
    )
    return bool(iam_evaluator.evaluate_resource_policy(policy, context, service=_SERVICE).decision == "Allow")


def _to_dead_letters(target: dict[str, Any], event: dict[str, Any], rule_arn: str, code: str, message: str) -> None:
    arn = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not arn or _undeliverable(arn, rule_arn) is not None:
        eventbridge.logger.warning("EventBridge: %s; the event is lost", message)
        return
    body = json.dumps(eventbridge._pattern_event_view(event).event_with_detail())
    about = {"RULE_ARN": rule_arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": code, "ERROR_MESSAGE": message}
    _send(arn, body, about)


def _send(queue_arn: str, body: str, attributes: dict[str, str]) -> None:
    region, account, name = queue_arn.split(":")[3:6]
    url = sqs._queue_name_to_url.get_scoped(account, region, name) or sqs._queue_url_for_account(account, name)
    typed = {key: {"DataType": "String", "StringValue": value[:1024]} for key, value in attributes.items() if value}
    sqs._act_send_message({"QueueUrl": url, "MessageBody": body, "MessageAttributes": typed}, url)


def invoke_functions_asynchronously() -> None:
    """Let EventBridge invoke functions asynchronously: Lambda retries twice, then sends the event to dead letters."""

    def dispatch(arn: str, payload: str) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref(arn)
        lambda_svc.invoke_async_with_retry(
            lambda_svc._execution_record_for_config(function, config), json.loads(payload)
        )

    eventbridge._dispatch_to_lambda = dispatch


def send_the_event_itself_to_a_functions_dead_letters() -> None:
    """Send the unchanged event to a function's dead-letter queue if the function's role allows it.

    Only OnFailure destinations receive a record that wraps the event. A function may have both.
    """
    original: Callable[[str, str, Any, dict[str, Any]], None] = lambda_svc._route_async_failure

    def route(target_arn: str, function_name: str, event: Any, result: dict[str, Any]) -> None:
        config = lambda_svc._functions[function_name]["config"]
        dead_letters = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        if target_arn != dead_letters:
            original(target_arn, function_name, event, result)
        if not dead_letters or dead_letters.split(":")[2] != "sqs":
            return
        try:
            authorization.check_role(config["Role"], "sqs:SendMessage", dead_letters)
        except authorization.Denied as denied:
            lambda_svc.logger.warning("the dead letter of %s is lost: %s", function_name, denied)
            return
        error = result.get("body") if isinstance(result.get("body"), dict) else {}
        about = {"ErrorCode": "200", "ErrorMessage": str((error or {}).get("errorMessage", ""))}
        _send(dead_letters, json.dumps(event), about)

    lambda_svc._route_async_failure = route
