"""Execution environments of functions: how many there are, how long they are kept, and who can reach them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from botocore.config import Config

from embedded_aws.cloud.instance import Cloud
from embedded_aws.ministack.environments import LIMIT
from embedded_aws.processes.peers import is_of_this_user
from tests.cloud import Workshop, eventually

IDLE_SECONDS = 1.0
NOBODY = 65534


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded AWS that ends idle environments after a second."""
    with Cloud.start(tmp_path_factory.mktemp("cloud"), idle_seconds=IDLE_SECONDS) as running:
        yield running


@pytest.fixture(scope="module")
def workshop(cloud: Cloud) -> Workshop:
    """A maker of functions in that embedded AWS."""
    return Workshop(cloud)


def listeners(cloud: Cloud) -> int:
    """Return how many TCP ports the server listens on."""
    return sum(each.status == psutil.CONN_LISTEN for each in psutil.Process(cloud.pid).net_connections())


def process_ids(cloud: Cloud) -> set[int]:
    return {each.pid for each in psutil.Process(cloud.pid).children(recursive=True)}


def processes(cloud: Cloud) -> int:
    return len(process_ids(cloud))


def test_idle_environments_end_with_their_listeners(cloud: Cloud, workshop: Workshop) -> None:
    eventually(lambda: listeners(cloud) == 1)
    function = workshop.function("import os\ndef handler(event, context): return os.getpid()")
    environment = workshop.invoke(function)
    assert (environment in process_ids(cloud), listeners(cloud)) == (True, 2)
    # Not a number of processes: the server may start the worker of SageMaker's containers meanwhile.
    eventually(lambda: (environment in process_ids(cloud), listeners(cloud)) == (False, 1), 4 * IDLE_SECONDS)
    assert workshop.invoke(function) != environment


def test_invocations_wait_where_the_number_of_environments_is_reached(cloud: Cloud, workshop: Workshop) -> None:
    function = workshop.function("import time\ndef handler(event, context): time.sleep(0.5); return event")
    client = cloud.client("lambda", config=Config(max_pool_connections=2 * LIMIT))
    before = processes(cloud)
    most = 0
    with ThreadPoolExecutor(2 * LIMIT) as pool:
        called = [pool.submit(client.invoke, FunctionName=function, Payload=str(number)) for number in range(2 * LIMIT)]
        while not all(each.done() for each in called):
            most = max(most, processes(cloud) - before)
            time.sleep(0.05)
    assert [int(each.result()["Payload"].read()) for each in called] == list(range(2 * LIMIT))
    assert 1 < most <= LIMIT


def test_an_idle_environment_makes_room_for_another_functions(cloud: Cloud, workshop: Workshop) -> None:
    before = processes(cloud)
    for number in range(LIMIT + 2):
        assert workshop.invoke(workshop.function(f"def handler(event, context): return {number}")) == number
        assert processes(cloud) - before <= LIMIT


def test_other_users_cannot_speak_to_an_environment(workshop: Workshop) -> None:
    if os.getuid() != 0:
        pytest.skip("starting a process as another user needs root")
    host, port = workshop.invoke(
        workshop.function("import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']")
    ).split(":")
    code = f"""
import os, socket, sys
os.setuid(int(sys.argv[1]))
with socket.create_connection(({host!r}, {port})) as connection:
    connection.sendall(b"GET /unknown HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(connection.recv(12).decode())
"""
    own, other = (
        subprocess.run([sys.executable, "-c", code, str(user)], capture_output=True, text=True, check=False).stdout
        for user in (0, NOBODY)
    )
    assert own == "HTTP/1.1 404\n"
    assert other.strip() == ""


def test_a_connection_of_this_user_is_recognized() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        accepted, _ = server.accept()
        with accepted:
            assert is_of_this_user(accepted)
    assert Path("/proc/net/tcp").exists() or sys.platform != "linux"
