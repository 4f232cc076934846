"""What a killed `nmt serve` leaves on a cluster does not stand in the way of the next."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import serve

from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.serving import claim_serve
from pipeline.errors import InputError
from tests.pipeline.cluster.test_nodes import Nodes

SERVES = """
import sys, time
from ray import serve
from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.serving import claim_serve

@serve.deployment
class Application:
    pass

with ray_cluster():
    claim = claim_serve()
    serve.start(http_options={"host": "127.0.0.1", "port": 0})
    serve.run(Application.bind(), name=sys.argv[1])
    print("serving", flush=True)
    time.sleep(600)
"""

pytestmark = pytest.mark.slow  # A cluster and two programs on it.


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    token = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"]
    subprocess.run(token, check=True, capture_output=True)
    nodes = Nodes(tmp_path, {})
    nodes.start("one")
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    for _ in range(60):
        try:
            with ray_cluster():
                break
        except Exception:  # noqa: S110 - it is starting
            pass
    try:
        yield
    finally:
        nodes.end()


def serving(name: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", SERVES, name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    return process


@pytest.mark.usefixtures("cluster")
def test_what_a_killed_one_has_left_is_taken_over_and_nothing_else() -> None:
    with serving("nmt-captions") as process:
        with ray_cluster(), pytest.raises(InputError, match="Ray Serve runs on this cluster already"):
            claim_serve()
        os.kill(process.pid, signal.SIGKILL)
    with ray_cluster():
        assert "nmt-captions" in serve.status().applications
        claim = claim_serve()
        assert not serve.status().applications
        del claim
    with serving("somebody-elses") as process:
        os.kill(process.pid, signal.SIGKILL)
    with ray_cluster():
        with pytest.raises(InputError, match="Ray Serve runs on this cluster already"):
            claim_serve()
        assert "somebody-elses" in serve.status().applications
