"""Errors are named after the codes of AWS's responses."""

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from contract.errors import TRANSIENT_ERRORS
from lambdas.support.errors import aws_errors, code_of


def response(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "HeadObject")


@pytest.mark.parametrize(
    ("code", "name"), [("403", "AccessDenied"), ("404", "NoSuchKey"), ("ThrottlingException", "ThrottlingException")]
)
def test_an_error_without_a_code_is_named_after_its_status(code: str, name: str) -> None:
    assert code_of(response(code)) == name
    with pytest.raises(Exception, match=r"^HeadObject: no$") as raised, aws_errors():
        raise response(code)
    assert type(raised.value).__name__ == name


@pytest.mark.parametrize("failure", [ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError, SSLError])
def test_a_connection_that_fails_is_a_connection_error_which_the_state_machine_retries(
    failure: type[BotoCoreError],
) -> None:
    with pytest.raises(ConnectionError, match=r"https://s3\.us-east-1\.amazonaws\.com") as raised, aws_errors():
        raise failure(endpoint_url="https://s3.us-east-1.amazonaws.com", error="")
    assert type(raised.value).__name__ in TRANSIENT_ERRORS


def test_another_error_of_botocore_keeps_its_name() -> None:
    with pytest.raises(Exception, match="Unable to locate credentials") as raised, aws_errors():
        raise NoCredentialsError
    assert type(raised.value).__name__ == "NoCredentialsError"


def test_an_error_of_another_library_is_named_after_the_response_behind_it() -> None:
    error = OSError("unable to access bucket")
    error.__cause__ = response("AccessDenied")
    with pytest.raises(Exception, match=r"^HeadObject: no$") as raised, aws_errors():
        raise error
    assert type(raised.value).__name__ == "AccessDenied"


def test_an_error_with_no_response_behind_it_stays_as_it_is() -> None:
    with pytest.raises(OSError, match="No space left on device"), aws_errors():
        raise OSError(28, "No space left on device")
