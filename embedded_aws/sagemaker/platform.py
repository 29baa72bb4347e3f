"""What the embedded SageMaker needs from the embedded AWS that it is part of."""

from __future__ import annotations

from typing import Any, Protocol


class Platform(Protocol):
    """Authorization, credentials and connections; :mod:`embedded_aws.ministack.sagemaker` implements it."""

    endpoint_url: str
    """Where containers reach AWS."""
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

    def break_connection(self, headers: dict[str, str]) -> None:
        """Close the current request's connection without a response."""
