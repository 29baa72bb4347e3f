"""Sessions of roles are registered by many threads at the same time."""

import subprocess
import sys

import pytest

CODE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ministack.services import sts
from embedded_aws.ministack import sessions

if sys.argv[1] == "corrected":
    sessions.apply()
sys.setswitchinterval(1e-6)
for number in range(5_000):
    sts.register_session(f"before{number}", {"Expiration": None})

def register(number):
    for each in range(50):
        sts.register_session(f"{number}-{each}", {"Expiration": None})

with ThreadPoolExecutor(8) as pool:
    list(pool.map(register, range(8)))
"""


@pytest.mark.parametrize(("ministack", "message"), [("corrected", ""), ("as it is", "dictionary changed size")])
def test_threads_can_register_sessions_at_the_same_time(ministack: str, message: str) -> None:
    """Without the correction, ministack fails; if it no longer does, the correction is not needed any more."""
    done = subprocess.run([sys.executable, "-c", CODE, ministack], capture_output=True, text=True, check=False)
    assert (message in done.stderr, done.returncode == 0) == (True, message == "")
