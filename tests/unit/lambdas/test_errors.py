"""Errors are named after the codes of AWS's responses."""

import pytest
from botocore.exceptions import ClientError

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
