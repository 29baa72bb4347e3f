"""KMS: a caller that uses a resource encrypted with a customer key also needs permissions on the key, as on AWS.

Sources: "Protecting data using server-side encryption with AWS KMS keys" (S3), "Key management" (SQS), "Managing
Amazon SNS encryption keys", "Encrypt log data in CloudWatch Logs using AWS KMS".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cloudwatch_logs, kms, s3, sns, sqs
from ministack.services.cloudformation import provisioners

_USE_TO_WRITE = ("kms:GenerateDataKey",)
_USE_TO_SEND = ("kms:GenerateDataKey", "kms:Decrypt")

# The KMS action and the key that IAM refused after it allowed the action itself.
_refused: ContextVar[tuple[str, str] | None] = ContextVar("refused", default=None)
# The key that an S3 request specifies for the object that it writes.
_requested_key: ContextVar[str] = ContextVar("requested_key", default="")


def apply() -> None:
    """Check the use of customer keys in this process; call this after ``decisions.record`` to record these checks."""
    check_keys_with_every_permission()
    name_the_key_in_denials()
    note_keys_that_requests_name()
    check_keys_of_log_groups()


def check_keys_with_every_permission() -> None:
    """Require permissions on the key in addition to those on the resource that it encrypts."""
    original: Callable[..., Any] = iam_evaluator.enforce

    def enforce(  # noqa: PLR0917 - the signature of the original
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        _refused.set(None)
        denied = original(access_key_id, iam_action, service, region, resource_arn, service_context)
        if denied is not None:
            return denied
        for action, key, context in _key_use(iam_action, resource_arn):
            via = {"kms:ViaService": f"{service}.{region}.amazonaws.com", **context}
            denied = original(access_key_id, action, "kms", region, key, via)
            if denied is not None:
                _refused.set((action, key))
                return denied
        return None

    iam_evaluator.enforce = enforce


def name_the_key_in_denials() -> None:
    """Name the KMS action and the key in the error message if IAM refused the use of the key."""
    original: Callable[..., str] = iam_actions.identity_denial_message

    def message(action: str, principal_arn: str, resource_arn: str, *rest: Any, **keywords: Any) -> str:
        action, resource_arn = _refused.get() or (action, resource_arn)
        return original(action, principal_arn, resource_arn, *rest, **keywords)

    respond: Callable[..., Any] = iam_actions.access_denied_response

    def response(service: str, action: str, principal_arn: str, request_id: str, **details: Any) -> Any:
        if _refused.get() and not details.get("message"):
            details["message"] = message(action, principal_arn, "", details.get("explicit_deny", False))
        return respond(service, action, principal_arn, request_id, **details)

    iam_actions.identity_denial_message = message
    iam_actions.access_denied_response = response


def _key_use(action: str, resource_arn: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (KMS action, key ARN, encryption context) for each permission on a key that the action requires."""
    actions: tuple[str, ...] = ()
    key, context = "", {}
    if action in ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"):
        bucket, _, name = resource_arn.removeprefix("arn:aws:s3:::").partition("/")
        writes = action == "s3:PutObject"
        actions = _USE_TO_WRITE if writes else ("kms:Decrypt",)
        key = (_requested_key.get() or _default_key(bucket)) if writes else _key_of_object(bucket, name)
        context = {"kms:EncryptionContext:aws:s3:arn": resource_arn}
    elif action == "sqs:SendMessage" and (queue := sqs._queue_by_arn(resource_arn)):
        actions, key = _USE_TO_SEND, queue["attributes"].get("KmsMasterKeyId", "")
    elif action == "sns:Publish" and (topic := sns._topics.get(resource_arn)):
        actions, key = _USE_TO_SEND, topic["attributes"].get("KmsMasterKeyId", "")
    if arn := key_arn(key):
        for each in actions:
            yield each, arn, context


def key_arn(key: str) -> str:
    """Return the ARN of a customer key, given its id, ARN or alias; an empty string for an AWS managed key."""
    record = kms._resolve_key(key)
    return str(record["Arn"]) if record else ""


def service_may_use(key: str, service: str, context: dict[str, str] | None = None) -> bool:
    """Return whether a key's policy allows an AWS service to use it without ``aws:SourceAccount`` in the request."""
    if not (arn := key_arn(key)):
        return True
    policy, account = kms.key_policy_for_arn(arn) or ("", "")
    return all(
        iam_evaluator.evaluate_resource_policy(
            policy,
            iam_evaluator.EvalContext(
                principal_arn="",
                principal_type="Service",
                principal_account=account,
                action=action,
                resource_arn=arn,
                region=get_region(),
                secure_transport=True,
                service_context={name.lower(): value for name, value in (context or {}).items()},
            ),
            service=service,
        ).decision
        == "Allow"
        for action in _USE_TO_SEND
    )


def _key_of_object(bucket: str, key: str) -> str:
    found = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key) or {}
    return str(found.get("preserved_headers", {}).get("x-amz-server-side-encryption-aws-kms-key-id", ""))


def _default_key(bucket: str) -> str:
    headers, _ = s3._resolve_sse_write_headers({}, bucket)
    return str((headers or {}).get("x-amz-server-side-encryption-aws-kms-key-id", ""))


def note_keys_that_requests_name() -> None:
    """Remember the key that a request specifies, because ministack's condition keys contain only the algorithm."""
    original: Callable[..., Any] = iam_evaluator.pin_signed_request

    def pin_signed_request(method: str, raw_path: str, query_params: Any, raw_headers: Any, *rest: Any) -> None:
        name = b"x-amz-server-side-encryption-aws-kms-key-id"
        _requested_key.set(next((value.decode() for header, value in raw_headers if header.lower() == name), ""))
        original(method, raw_path, query_params, raw_headers, *rest)

    iam_evaluator.pin_signed_request = pin_signed_request
    app.pin_signed_request = pin_signed_request


def check_keys_of_log_groups() -> None:
    """Accept a key for a log group only if the key's policy allows CloudWatch Logs to use it for that log group."""
    create: Callable[[dict[str, Any]], Any] = cloudwatch_logs._create_log_group
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
    provision = handlers["create"]

    def problem(name: str, key: str) -> str:
        arn = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}"
        service = f"logs.{get_region()}.amazonaws.com"
        if service_may_use(key, service, {"kms:EncryptionContext:aws:logs:arn": arn}):
            return ""
        return f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}'"

    def create_log_group(data: dict[str, Any]) -> Any:
        if why := problem(str(data.get("logGroupName")), str(data.get("kmsKeyId") or "")):
            return error_response_json("AccessDeniedException", why, 400)
        return create(data)

    def provision_log_group(logical_id: str, properties: dict[str, Any], *rest: Any) -> Any:
        if why := problem(str(properties.get("LogGroupName") or ""), str(properties.get("KmsKeyId") or "")):
            raise ValueError(why)
        return provision(logical_id, properties, *rest)

    cloudwatch_logs._create_log_group = create_log_group
    handlers["create"] = provision_log_group
