"""A stack of real servers for tests: its ports, its home, and PostgreSQL behind it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.processes import members
from tests.conftest import SERVERS, TINY, free_port
from tests.postgres_server import postgres_server

REPOSITORY = Path(__file__).parents[2]
DEPLOY = ("deploy", "--all", "--prefect-file", "infra/prefect.yaml")
PORTS = ("prefect", "mlflow", "ray", "dashboard")


def wait_for(what: str, true: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is true; fail with its name."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} seconds for: {what}"
        time.sleep(0.5)


def tiny(**overrides: Any) -> str:
    """Return the overrides of a run of seconds as JSON."""
    return json.dumps(TINY | overrides)


@dataclass(frozen=True)
class Machine:
    """A user's machine: a home, a Prefect profile, ports that nothing listens on."""

    folder: Path
    ports: Mapping[str, int]
    environment: Mapping[str, str]

    @property
    def port_options(self) -> list[str]:
        return [text for name, port in self.ports.items() for text in (f"--{name}-port", str(port))]

    def run(self, command: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment where the repository is, as the README says."""
        return subprocess.run(
            [str(Path(sys.executable).with_name(command)), *arguments],
            cwd=REPOSITORY,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, command: str, *arguments: str, **more: str) -> str:
        """Run a program that must succeed; return what it printed."""
        done = self.run(command, *arguments, **more)
        assert done.returncode == 0, f"{command} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @property
    def auth(self) -> httpx.BasicAuth:
        """The secret that Prefect's server asks for."""
        user, _, password = (self.folder / "home/stack/prefect-auth").read_text("utf8").partition(":")
        return httpx.BasicAuth(user, password)

    def prefect(self, path: str, items: list[Any] | None = None, method: str = "POST", **content: Any) -> Any:
        """Ask the API of the stack's Prefect server."""
        url = f"http://127.0.0.1:{self.ports['prefect']}/api/{path}"
        for _ in range(10):
            answer = httpx.request(method, url, json=content if items is None else items, auth=self.auth, timeout=30)
            if answer.status_code != 503:  # SQLite was busy for too long; Prefect's own client asks again too.
                break
            time.sleep(1)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def runs(self) -> list[dict[str, Any]]:
        """Return the flow runs that were started, in that order; a schedule has many more before it."""
        found: list[dict[str, Any]] = self.prefect("flow_runs/filter", sort="START_TIME_ASC")
        return [run for run in found if run["start_time"]]

    def stack(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "home/stack/stack.json").read_text("utf8"))
        return content

    def processes(self) -> list[psutil.Process]:
        """Return the running processes of the stack."""
        return list(members(self.stack()["mark"]))


def own_address() -> str | None:
    """Return an address of this machine that is not loopback, if it has one; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def make_machine(folder: Path) -> Machine:
    inherited = {name: value for name, value in os.environ.items() if name not in (*SERVERS, "NMT_HOME")}
    own = {"NMT_HOME": str(folder / "home"), "PREFECT_HOME": str(folder / "prefect")}
    # A minute passes else until the server takes notice of a schedule.
    own["PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS"] = "5"
    return Machine(folder, {name: free_port() for name in PORTS}, inherited | own)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which nothing is left running."""
    machine = make_machine(tmp_path)
    try:
        yield machine
    finally:
        machine.run("nmt", "down")


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of the test's own."""
    with postgres_server() as url:
        yield url
