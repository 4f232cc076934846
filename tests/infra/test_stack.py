"""The local stack as its users live in it: real servers, PostgreSQL behind them, a worker, deployments, a model."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import mlflow
import psutil
import pytest

from tests.conftest import TINY, free_port
from tests.infra.attacks import runs_name_no_command, web_pages_are_refused, who_has_no_secret_is_refused
from tests.infra.conftest import DEPLOY, Machine, own_address, tiny, wait_for


@contextmanager
def notifications() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat program's webhook; its address, and what it was sent."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        server.server_close()


def listening(processes: list[psutil.Process]) -> set[str]:
    """Return the addresses that processes listen on."""
    pids = {process.pid for process in processes}
    connections = psutil.net_connections("inet")
    found = {str(c.laddr[0]) for c in connections if c.pid in pids and c.status == psutil.CONN_LISTEN and c.laddr}
    return {address.removeprefix("::ffff:") for address in found}  # IPv4, as a socket of IPv6 writes it.


def test_from_nothing_to_a_registered_model_and_back(machine: Machine, postgres: str) -> None:
    with notifications() as (hook, received):
        up = machine.ok("nmt", "up", *machine.port_options, "--database-url", postgres, NMT_NOTIFY_URL=hook)
        assert all(f"{name:<8} ready at" in up for name in ("prefect", "mlflow", "ray", "worker"))
        again = machine.ok("nmt", "up", *machine.port_options, "--database-url", postgres)
        assert again.count("already running") == 4
        refused = machine.run("nmt", "up")
        assert refused.returncode == 2
        assert "the servers run with" in refused.stderr
        assert {row["state"] for row in json.loads(machine.ok("nmt", "status", "--json"))} == {"ready"}
        assert listening(machine.processes()) <= {"127.0.0.1", "::1"}
        nobody_else_reaches(machine)
        web_pages_are_refused(machine)
        who_has_no_secret_is_refused(machine)

        machine.ok("prefect", *DEPLOY)
        runs_name_no_command(machine)
        machine.ok("prefect", "deployment", "run", "train/captions", "-p", f"overrides={tiny()}", "--watch")
        assert [run["state_name"] for run in machine.runs()] == ["Completed"]
        wait_for("the notification", lambda: received)
        assert received[0]["text"].startswith("train captions")

        mlflow.set_tracking_uri(f"http://127.0.0.1:{machine.ports['mlflow']}")
        model = mlflow.pyfunc.load_model("models:/captions@champion")
        assert len(model.predict(["Ein Hund läuft durch den Park."])) == 1
    left = machine.processes()
    assert len(left) > 4
    machine.ok("nmt", "down")
    assert [process for process in left if process.is_running()] == []
    assert machine.run("nmt", "status").returncode == 1
    assert "nmt" not in machine.ok("prefect", "profile", "ls")


def nobody_else_reaches(machine: Machine) -> None:
    """Try each server at the machine's own address, if it has one."""
    host = own_address()
    for port in machine.ports.values() if host else ():
        with pytest.raises(ConnectionRefusedError), socket.create_connection((host, port), timeout=5):
            pass


def requests_are_answered_on_the_cluster(machine: Machine) -> None:
    """`nmt serve` uses the Ray of the stack, whose token it has to send."""
    port = free_port()
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("nmt")), "serve", "--model", "captions", "--port", str(port)],
        env=machine.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        try:
            line = next((line for line in iter(server.stderr.readline, "") if "answers at" in line), "")
        finally:
            server.send_signal(signal.SIGINT)
        assert f"answers at http://127.0.0.1:{port}/invocations" in line


def a_server_that_is_killed_is_missed_and_started_again(machine: Machine) -> None:
    """Not replaced in silence by another database; and its port is not kept by what it has left."""
    server = psutil.Process(machine.stack()["running"]["mlflow"]["pid"])
    children = server.children(recursive=True)
    server.kill()
    refused = machine.run("nmt", "translate", "--model", "captions")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "nmt: of the servers that `nmt up` started, mlflow does not run; start them again with `nmt up`, or stop the "
        "rest with `nmt down`\n"
    )
    assert any(child.is_running() for child in children)
    again = machine.ok("nmt", "up", *machine.port_options)
    assert again.count("already running") == 3
    assert "mlflow   ready at" in again
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.mark.slow  # Flow runs in processes of their own, one after the other, as often as the schedule fires.
def test_a_schedule_fires_and_two_at_once_go_one_after_the_other(machine: Machine) -> None:
    """Runs that a schedule starts by itself, and one by hand, in a pool that lets one go on at a time."""
    machine.ok("nmt", "up", *machine.port_options)
    machine.ok("prefect", *DEPLOY)
    deployment = machine.prefect("deployments/filter", deployments={"name": {"any_": ["captions"]}})[0]["id"]
    place = f"deployments/{deployment}/schedules"
    schedule = {"schedule": {"interval": 10}, "parameters": {"overrides": TINY}}
    made = machine.prefect(place, [schedule])
    machine.ok("prefect", "deployment", "run", "train/captions", "-p", f"overrides={tiny()}")

    def done() -> list[dict[str, Any]]:
        return [run for run in machine.runs() if run["state_name"] == "Completed"]

    wait_for("a run of the schedule", lambda: any(run["auto_scheduled"] for run in done()), 200)
    machine.prefect(f"{place}/{made[0]['id']}", method="DELETE")
    wait_for("the run by hand", lambda: any(not run["auto_scheduled"] for run in done()))
    started = machine.runs()
    for before, after in pairwise(started):
        assert before["end_time"] <= after["start_time"]
    requests_are_answered_on_the_cluster(machine)
    a_server_that_is_killed_is_missed_and_started_again(machine)


def test_a_port_that_is_taken(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", machine.ports["mlflow"]))
        taken.listen()
        done = machine.run("nmt", "up", *machine.port_options)
    assert done.returncode == 2
    assert done.stderr == f"nmt: --mlflow-port {machine.ports['mlflow']}: Address already in use; choose another\n"
    assert not (machine.folder / "home/stack/stack.json").exists()
