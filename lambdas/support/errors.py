"""Exceptions whose class names are the error names that Step Functions retries and catches.

Lambda reports an exception to Step Functions under the name of its class. botocore raises ``ClientError`` for most
error responses. Here the error code of the response becomes the name, so that the state machine can retry
``ThrottlingException`` but not ``AccessDeniedException``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as ConnectionNotMadeError


def named_error(name: str, message: str) -> Exception:
    """Return an exception that Step Functions reports as `name`."""
    error: Exception = type(name, (Exception,), {})(message)
    return error


_CODES_OF_STATUS = {"403": "AccessDenied", "404": "NoSuchKey"}


def code_of(error: ClientError) -> str:
    """Return the error code of the response, such as ``ValidationException``.

    S3's response to HeadObject has no body, so botocore has only its status as a code.
    """
    code = str(error.response.get("Error", {}).get("Code", "ClientError"))
    return _CODES_OF_STATUS.get(code, code)


def message_of(error: ClientError) -> str:
    """Return the error message of the response."""
    return str(error.response.get("Error", {}).get("Message", error))


NOT_FOUND = ("ValidationException", "ResourceNotFound")
"""The codes with which SageMaker responds to a describe, list or delete call for a resource that does not exist.

The API reference documents ``ResourceNotFound``; most operations respond with ``ValidationException``.
"""


NO_OBJECT = ("NoSuchKey", "NoSuchVersion")
"""The codes with which S3 responds for an object that does not exist."""


def client_error_behind(error: BaseException) -> ClientError | None:
    """Return the ``ClientError`` that caused an error of another library, such as smart_open."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ClientError):
        cause = cause.__cause__
    return cause


@contextmanager
def aws_errors() -> Iterator[None]:
    """Re-raise botocore's errors named by AWS's error codes, and failed connections as ``ConnectionError``."""
    try:
        yield
    except ClientError as error:
        raise named_error(code_of(error), f"{error.operation_name}: {message_of(error)}") from error
    except (ConnectionNotMadeError, HTTPClientError) as error:
        raise ConnectionError(str(error)) from error
    except BotoCoreError as error:
        raise named_error(type(error).__name__, str(error)) from error
    except (OSError, ValueError) as error:
        refusal = client_error_behind(error)
        if refusal is None:
            raise
        raise named_error(code_of(refusal), f"{refusal.operation_name}: {message_of(refusal)}") from error
