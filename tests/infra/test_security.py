"""Who may talk to the servers: this machine alone, or, where others can, who has the secret."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from infra.options import EVERYWHERE, MLFLOW_SECRETS, SECRETS, StackOptions, is_loopback
from pipeline.errors import InputError
from tests.conftest import SERVERS
from tests.infra.conftest import Machine, own_address

GIVEN = {
    "PREFECT_SERVER_API_AUTH_STRING": "engineer:a secret of prefect",
    "MLFLOW_TRACKING_USERNAME": "engineer",
    "MLFLOW_TRACKING_PASSWORD": "a secret of mlflow",
    "RAY_AUTH_TOKEN": "a-secret-of-ray-0123456789",
}


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_others_are_let_in_only_with_every_secret(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    StackOptions(host=EVERYWHERE[0]).check()
    monkeypatch.setenv(missing, "")
    with pytest.raises(InputError, match=rf"--host 0\.0\.0\.0: others can reach it.*set {missing} \("):
        StackOptions(host=EVERYWHERE[0]).check()


def test_on_loopback_secrets_are_not_needed_but_an_account_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    StackOptions().check()
    for name, other in (MLFLOW_SECRETS, MLFLOW_SECRETS[::-1]):
        monkeypatch.setenv(name, GIVEN[name])
        with pytest.raises(InputError, match=f"{name}: {other} is missing"):
            StackOptions().check()
        monkeypatch.delenv(name)


def test_loopback_of_ipv6_is_refused_as_ray_lacks_it() -> None:
    with pytest.raises(InputError, match=r"--host ::1: Ray's loopback is 127\.0\.0\.1 alone"):
        StackOptions(host="::1").check()


@pytest.mark.parametrize("host", ["192.0.2.7", "evil.example"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=f"--host {host}: no address of this machine; choose one of"):
        StackOptions(host=host).check()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "short", "MLFLOW_TRACKING_PASSWORD: it has fewer than 12 characters"),
        ("RAY_AUTH_TOKEN", "short", "RAY_AUTH_TOKEN: it has fewer than 16 characters"),
        ("PREFECT_SERVER_API_AUTH_STRING", "no-colon", "it is not of the form user:password"),
    ],
)
def test_weak_secrets_are_refused(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each, given in (GIVEN | {name: value}).items():
        monkeypatch.setenv(each, given)
    with pytest.raises(InputError, match=message):
        StackOptions(host=EVERYWHERE[0]).check()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), (EVERYWHERE[0], False), ("x.y", False)],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.slow  # A second stack; test_stack.py tries the first one, on loopback.
def test_every_server_refuses_who_has_no_secret(machine: Machine) -> None:
    host = own_address()
    if host is None:
        pytest.skip("this machine has no address but loopback")
    up = machine.run("nmt", "up", "--host", host, *machine.port_options, **GIVEN)
    assert up.returncode == 0, up.stderr
    prefect, mlflow, dashboard = (f"http://{host}:{machine.ports[name]}" for name in ("prefect", "mlflow", "dashboard"))
    wrong = httpx.BasicAuth("engineer", "wrong")
    for auth in (None, wrong):
        assert httpx.post(f"{prefect}/api/flow_runs/filter", json={}, auth=auth).status_code == 401
        assert httpx.get(f"{mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", auth=auth).status_code == 401
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert httpx.get(f"{dashboard}/api/jobs/", headers=headers).status_code in {401, 403}
    connect = "import ray; ray.init(address='{}', _node_ip_address='{}'); print(ray.cluster_resources())"
    program = connect.format(f"{host}:{machine.ports['ray']}", host)
    for secret in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another-token-0123456789"}):
        refused = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | secret,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert refused.returncode != 0
        assert "authentication" in refused.stderr.lower()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{machine.ports['prefect']}/api/health")
    states = machine.run("nmt", "status", "--json", **GIVEN)
    assert states.returncode == 0, states.stdout
    secrets = [GIVEN[name] for name in GIVEN if name != "MLFLOW_TRACKING_USERNAME"]
    told = "".join(path.read_text("utf8", "replace") for path in Path(machine.folder, "home/stack").rglob("*.*"))
    assert not [secret for secret in secrets if secret in told + up.stdout + up.stderr]


def test_the_cluster_that_a_training_starts_itself_listens_on_loopback_only(tmp_path: Path) -> None:
    program = """
import flows, psutil
from pipeline.cluster.connection import ray_cluster
with ray_cluster():
    pids = {process.pid for process in psutil.Process().children(recursive=True)}
    found = {c.laddr.ip for c in psutil.net_connections("inet") if c.pid in pids and c.status == "LISTEN"}
    print({address.removeprefix("::ffff:") for address in found})
"""
    environment = {name: value for name, value in os.environ.items() if name not in SERVERS}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{'127.0.0.1'}"
