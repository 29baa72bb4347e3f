"""The interface through which the embedded SageMaker uses the rest of the embedded AWS."""

from __future__ import annotations

from typing import Any, Protocol


class Platform(Protocol):
    """Authorization, credentials and connections; :mod:`embedded_aws.ministack.sagemaker` implements it."""

    endpoint_url: str
    """The endpoint of AWS that containers use."""
    ca_bundle: str | None
    """The certificate authorities that containers trust."""

    def operation_model(self, operation: str) -> Any:
        """Return botocore's model of a SageMaker operation."""

    def require(self, caller: str, action: str, resource_arn: str, context: dict[str, Any] | None = None) -> None:
        """Check a permission of the caller beyond those that the gateway checks.

        Parameters
        ----------
        caller
            The access key id that signed the request.
        action, resource_arn
            Such as ``iam:PassRole`` and a role's ARN.
        context
            The action's condition keys.

        Raises
        ------
        AwsError
            AccessDeniedException if IAM does not allow it.
        """

    def trusts_sagemaker(self, role_arn: str) -> bool:
        """Return whether the role exists and lets SageMaker assume it; always true if IAM is not enforced."""

    def role_credentials(self, role_arn: str, resource_arn: str) -> dict[str, str]:
        """Return the environment variables with the credentials of a role's session for a job or an endpoint."""

    def role_denial(self, role_arn: str, action: str, resource_arn: str) -> str:
        """Return the reason if IAM does not allow the role an action, else an empty string."""

    def key_arn(self, key: str) -> str:
        """Return the ARN of a customer's KMS key, given its id, ARN or alias; an empty string if there is none."""

    def missing_in_vpc(self, subnet_ids: list[str], security_group_ids: list[str]) -> str:
        """Return which subnet or security group does not exist; an empty string if all exist."""

    def break_connection(self, headers: dict[str, str]) -> None:
        """Close the current request's connection without a response."""
