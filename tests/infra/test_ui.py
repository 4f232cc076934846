"""`nmt ui`: MLflow's server over the local store, for this machine, or for who has the password."""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from infra.options import EVERYWHERE
from infra.ui import serve_ui
from pipeline.errors import InputError
from tests.conftest import command_line, free_port

PASSWORD = "a secret of mlflow"  # noqa: S105


@contextmanager
def ui(folder: Path, host: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The UI at an address, until Ctrl-C."""
    port = free_port()
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with command_line(folder, **environment).start("ui", "--host", host, "--port", str(port)) as process:
        assert process.stderr is not None
        threading.Thread(target=process.stderr.read, daemon=True).start()
        for _ in range(600):
            try:
                assert httpx.get(f"{address}/health").status_code == 200
                break
            except httpx.HTTPError:
                assert process.poll() is None
                time.sleep(0.1)
        else:
            pytest.fail("the UI did not answer")
        yield address, process
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in {0, 130}


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6"))],
)
def test_the_ui_answers_on_loopback_and_stops_on_ctrl_c(tmp_path: Path, host: str) -> None:
    with ui(tmp_path, host) as (address, _):
        url = f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Host": "192.168.evil.example"}).status_code == 403


def test_with_a_password_it_asks_for_it_shows_none_to_other_users_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    user = {"MLFLOW_TRACKING_USERNAME": "engineer", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    with ui(tmp_path, "127.0.0.1", **user) as (address, process):
        url = f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert httpx.get(url).status_code == 401
        account = httpx.BasicAuth("engineer", PASSWORD)
        assert httpx.get(url, auth=account).status_code == 200
        assert httpx.get(url, auth=account, headers={"Host": "192.168.evil.example"}).status_code == 403
        server = psutil.Process(process.pid)
        commands = [" ".join(each.cmdline()) for each in (server, *server.children(recursive=True))]
        assert not [command for command in commands if PASSWORD in command or "mlflow.db" in command]


def test_others_are_let_in_only_with_a_password(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nmt_home
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with pytest.raises(InputError, match=rf"--host {EVERYWHERE[0]}: others can reach it.*MLFLOW_TRACKING_PASSWORD"):
        serve_ui(EVERYWHERE[0], 5000)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    for host in (EVERYWHERE[0], "127.0.0.1"):
        with pytest.raises(InputError, match="MLFLOW_TRACKING_USERNAME"):
            serve_ui(host, 5000)


def test_a_port_that_is_taken(nmt_home: Path) -> None:
    assert nmt_home
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: Address already in use; choose another"):
            serve_ui("127.0.0.1", port)


def test_a_server_has_its_own_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    with pytest.raises(InputError, match="that server has the UI"):
        serve_ui("127.0.0.1", 5000)
