"""Starting, finding and stopping the embedded AWS."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError, SSLError

from embedded_aws.cloud.instance import Cloud, CloudError
from tests.cloud import Workshop, eventually


def family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def is_gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_it_uses_tls_with_a_certificate_of_its_own(cloud: Cloud) -> None:
    assert cloud.endpoint_url.startswith("https://127.0.0.1:")
    with pytest.raises(SSLError):
        cloud.client("s3", verify=True).list_buckets()


def test_it_refuses_callers_it_does_not_know(cloud: Cloud) -> None:
    stranger = boto3.client(
        "s3",
        region_name=cloud.region,
        endpoint_url=cloud.endpoint_url,
        verify=str(cloud.ca_bundle),
        aws_access_key_id="AKIAAAAAAAAAAAAAAAAA",
        aws_secret_access_key="guessed",
    )
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stranger.list_buckets()


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("s3", "list_buckets"),
        ("iam", "list_roles"),
        ("stepfunctions", "list_state_machines"),
        ("sagemaker", "list_models"),
        ("sts", "get_caller_identity"),
    ],
)
def test_a_known_access_key_is_refused_without_its_secret(cloud: Cloud, service: str, operation: str) -> None:
    for key in (cloud.access_key, "test", cloud.account):
        impostor = cloud.client(service, aws_access_key_id=key, aws_secret_access_key="guessed")
        with pytest.raises(ClientError) as refused:
            getattr(impostor, operation)()
        assert refused.value.response["Error"]["Code"] in ("SignatureDoesNotMatch", "InvalidSignatureException")


def test_a_roles_access_key_is_refused_without_its_secret(cloud: Cloud, workshop: Workshop) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")
    function = workshop.function(
        f"import os\ndef handler(event, context): return [os.environ[name] for name in {names}]"
    )
    key, token = workshop.invoke(function)
    impostor = cloud.client("sts", aws_access_key_id=key, aws_secret_access_key="guessed", aws_session_token=token)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        impostor.get_caller_identity()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/sqs/messages"),
        ("GET", "/_aws/ses"),
        ("DELETE", "/_embedded/faults"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer guessed"])
def test_routes_that_are_not_awss_need_the_token(
    cloud: Cloud, method: str, path: str, authorization: str | None
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    request = urllib.request.Request(cloud.endpoint_url + path, b"{}", headers, method=method)
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(cloud.ca_bundle)))
    assert refused.value.code == 403
    assert json.load(refused.value) == {
        "message": f"{path} needs the header Authorization: Bearer <admin_token of cloud.json>"
    }


def test_files_that_exist_become_private(tmp_path: Path) -> None:
    secret = ("cloud.json", "env", "gateway.key", "server.log", "decisions.jsonl")
    for name in secret:
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o666)
    for name in ("tmp", "objects"):
        (tmp_path / name).mkdir(mode=0o777)
    with Cloud.start(tmp_path) as cloud:
        cloud.write_exports()
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {name: modes[name] for name in (*secret, "tmp", "objects")} == {
        **dict.fromkeys(secret, 0o600),
        "tmp": 0o700,
        "objects": 0o700,
    }


def test_any_client_works_with_the_exports_alone(cloud: Cloud) -> None:
    exports = dict(
        shlex.split(line.removeprefix("export "))[0].split("=", 1)
        for line in cloud.write_exports().read_text().splitlines()
    )
    assert exports == cloud.environment()
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    variables = {"PATH": os.environ["PATH"], **exports}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == cloud.account


def test_its_secrets_are_its_owners_only(cloud: Cloud) -> None:
    cloud.write_exports()
    for name in ("gateway.key", "cloud.json", "env"):
        assert (cloud.directory / name).stat().st_mode & 0o077 == 0
    assert cloud.secret_key not in " ".join(psutil.Process(cloud.pid).cmdline())


def test_a_running_one_is_found_by_its_directory(cloud: Cloud, tmp_path: Path) -> None:
    found = Cloud.find(cloud.directory)
    assert found is not None
    assert found.endpoint_url == cloud.endpoint_url
    assert found.client("s3").list_buckets()
    assert Cloud.find(tmp_path) is None


def test_a_second_one_in_the_same_directory_is_refused(cloud: Cloud) -> None:
    with pytest.raises(CloudError, match="running already at"):
        Cloud.start(cloud.directory)


def test_a_busy_port_is_reported_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(CloudError, match=f"^port {port} of 127.0.0.1 is busy.*$"):
            Cloud.start(tmp_path, port=port)
    assert not (tmp_path / "cloud.json").exists()
    assert not psutil.Process().children(recursive=True) or all(
        str(tmp_path) not in " ".join(child.environ().values()) for child in psutil.Process().children(recursive=True)
    )


def test_a_server_that_ends_on_start_is_reported_with_its_last_output(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=r"ended on start: .*pace 'nonsense'") as raised:
        Cloud.start(tmp_path, pace="nonsense")
    assert "\n" not in str(raised.value)


def test_stopping_ends_every_process_it_has_started(tmp_path: Path) -> None:
    cloud = Cloud.start(tmp_path)
    workshop = Workshop(cloud)
    sleeper = workshop.function("import time\ndef handler(event, context): time.sleep(60)", Timeout=60)
    cloud.client("lambda").invoke(FunctionName=sleeper, InvocationType="Event")
    processes = eventually(lambda: len(family(cloud.pid)) >= 3 and family(cloud.pid))
    cloud.stop()
    cloud.stop()
    eventually(lambda: is_gone(processes))
    assert Cloud.find(tmp_path) is None


def test_it_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {os.getcwd()!r})
        from pathlib import Path
        from embedded_aws.cloud.instance import Cloud
        print(Cloud.start(Path({str(tmp_path)!r})).pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    eventually(lambda: is_gone(family(pid)))


def test_a_detached_one_outlives_the_process_that_started_it_and_can_be_stopped_by_another(tmp_path: Path) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {os.getcwd()!r})
        from pathlib import Path
        from embedded_aws.cloud.instance import Cloud
        Cloud.start(Path({str(tmp_path)!r}), detached=True)
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    found = Cloud.find(tmp_path)
    assert found is not None
    processes = family(found.pid)
    found.stop()
    eventually(lambda: is_gone(processes))


def test_a_connection_that_its_client_has_closed_takes_no_memory(cloud: Cloud) -> None:
    """asyncio gives each TLS connection a buffer of 256 KiB."""
    connections, buffer = 400, 256 << 10
    url, context = urlsplit(cloud.endpoint_url), ssl.create_default_context(cafile=str(cloud.ca_bundle))

    def open_and_close(count: int) -> None:
        for _ in range(count):
            connection = http.client.HTTPSConnection(str(url.hostname), url.port, context=context)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()

    open_and_close(50)
    server = psutil.Process(cloud.pid)
    before = server.memory_full_info().uss
    open_and_close(connections)
    eventually(lambda: server.memory_full_info().uss - before < connections * buffer / 4, 10)


def test_without_iam_every_request_is_allowed(tmp_path: Path) -> None:
    with Cloud.start(tmp_path, auth=False) as cloud:
        workshop = Workshop(cloud)
        lists = "import boto3\ndef handler(event, context): return len(boto3.client('s3').list_buckets()['Buckets'])"
        assert workshop.invoke(workshop.function(lists)) == 0
