"""Prefect's temporary server: started again when it dies, given up when it keeps dying, never left behind."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from flows.server import RESTARTS
from tests.conftest import SERVERS

COMMAND = """
import os, sys
from flows.server import start_temporary_server
start_temporary_server()()
print(os.environ["PREFECT_API_URL"], os.environ["PREFECT_API_AUTH_STRING"], flush=True)
sys.stdin.read()
"""


class Command:
    """A process with a temporary server."""

    def __init__(self, process: subprocess.Popen[str], url: str, secret: str) -> None:
        self.process, self.url = process, url
        self.auth = httpx.BasicAuth(*secret.split(":"))

    @property
    def servers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def kill_server(self) -> psutil.Process:
        """Kill it once it is there; return what it was."""
        wait_until(lambda: bool(self.servers))
        (server,) = self.servers
        server.kill()
        wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
        return server


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    environment = {name: value for name, value in os.environ.items() if name not in SERVERS}
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env=environment | {"PREFECT_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Command(process, *process.stdout.readline().split())
        finally:
            process.kill()


def answers_neither_web_pages_nor_other_users(command: Command) -> None:
    assert httpx.post(f"{command.url}/flows/", json={"name": "theirs"}).status_code == 401
    foreign = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    assert httpx.options(f"{command.url}/flows/", headers=foreign).status_code == 400
    assert httpx.get(f"{command.url}/health", headers={"Host": "evil.example"}).status_code == 400


def test_it_is_started_again_when_it_dies_and_ends_with_a_command_that_is_killed(
    command: Command, tmp_path: Path
) -> None:
    answers_neither_web_pages_nor_other_users(command)
    created = httpx.post(f"{command.url}/flows/", json={"name": "train"}, timeout=60, auth=command.auth).json()
    killed = command.kill_server()
    found = httpx.get(f"{command.url}/flows/{created['id']}", timeout=60, auth=command.auth)
    assert found.json()["name"] == "train", "the request has waited, and the database is the same"
    (server,) = command.servers
    assert server.pid != killed.pid
    open_to_others = [path.name for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077]
    assert (tmp_path / "prefect.db").exists()
    assert open_to_others == [], "the key of all that Prefect encrypts is in there"
    command.process.kill()
    server.wait(timeout=20)


@pytest.mark.slow
def test_one_that_keeps_dying_is_given_up_and_refuses_requests(command: Command) -> None:
    for _ in range(RESTARTS + 1):
        command.kill_server()
    with pytest.raises(httpx.ConnectError):
        wait_until(lambda: not httpx.get(f"{command.url}/health", timeout=1).is_success)
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("127.0.0.1", int(command.url.split(":")[2].partition("/")[0])))
    assert command.process.stdin is not None
    command.process.stdin.close()
    assert command.process.wait(timeout=20) == 0


@pytest.mark.slow
def test_it_ends_with_its_command(command: Command) -> None:
    (server,) = command.servers
    assert command.process.stdin is not None
    command.process.stdin.close()
    assert command.process.wait(timeout=20) == 0
    assert not server.is_running()
