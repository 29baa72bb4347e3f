"""The embedded AWS's corrections of the Amazon States Language, without a server."""

import subprocess
import sys

PROGRAM = """
import sys, time
from ministack.services import stepfunctions as sfn
from embedded_aws.ministack import states_language

if sys.argv[1] == "corrected":
    states_language.limit_expressions_by_processor_time()
seconds = iter(range(0, 10**6, 2))
time.time = lambda: next(seconds)
try:
    print(sfn._evaluate_jsonata("$states.input.rows * 2", {"rows": 21}))
except sfn._ExecutionError as error:
    print(error.cause)
"""


def evaluated(how: str) -> str:
    """Return what an expression gives on a machine so busy that two seconds pass between two steps of it."""
    command = [sys.executable, "-c", PROGRAM, how]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_expression_that_waits_for_a_processor_is_not_ended() -> None:
    assert "D1012" in evaluated("as in ministack")
    assert evaluated("corrected") == "42"
