"""Errors under the names that Step Functions retries and catches by.

Lambda reports an exception to Step Functions by its class's name. botocore raises most of what AWS answers as
``ClientError``, whatever went wrong; here the answer's own code becomes the name, so the state machine can retry
``ThrottlingException`` and never ``AccessDeniedException``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError


def named_error(name: str, message: str) -> Exception:
    """Return an exception that Step Functions sees under `name`."""
    error: Exception = type(name, (Exception,), {})(message)
    return error


def code_of(error: ClientError) -> str:
    """Return the code AWS answered with, such as ``ValidationException``."""
    return str(error.response.get("Error", {}).get("Code", "ClientError"))


def message_of(error: ClientError) -> str:
    """Return the message AWS answered with."""
    return str(error.response.get("Error", {}).get("Message", error))


NOT_FOUND = ("ValidationException", "ResourceNotFound")
"""The codes with which SageMaker responds to a describe, list or delete call for a resource that does not exist.

The API reference documents ``ResourceNotFound``; most operations respond with ``ValidationException``.
"""


def answer_behind(error: BaseException) -> ClientError | None:
    """Return AWS's answer that made a library raise an error of its own, as smart_open does."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ClientError):
        cause = cause.__cause__
    return cause


@contextmanager
def aws_errors() -> Iterator[None]:
    """Re-raise botocore's errors under AWS's codes; a broken or refused connection as ``ConnectionError``."""
    try:
        yield
    except ClientError as error:
        raise named_error(code_of(error), f"{error.operation_name}: {message_of(error)}") from error
    except HTTPClientError as error:
        raise ConnectionError(str(error)) from error
    except BotoCoreError as error:
        raise named_error(type(error).__name__, str(error)) from error
    except (OSError, ValueError) as error:
        answer = answer_behind(error)
        if answer is None:
            raise
        raise named_error(code_of(answer), f"{answer.operation_name}: {message_of(answer)}") from error
