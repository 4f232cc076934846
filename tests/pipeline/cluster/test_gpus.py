"""A cluster that lists a GPU which torch cannot use: what a build for CPUs on a machine with a card looks like."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.resources import Gpus, WorkerRoom, ask_for_gpus, worker_room
from tests.conftest import command_line

LISTED = '{"GPU": 1}'
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is one that can be used")


@pytest.fixture
def _cluster(nmt_home: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_OVERRIDE_RESOURCES", LISTED)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        with ray_cluster():
            yield


@pytest.mark.usefixtures("_cluster")
def test_a_node_says_why_its_gpu_cannot_be_used(caplog: pytest.LogCaptureFixture) -> None:
    (node,) = ray.nodes()  # type: ignore[no-untyped-call]
    assert node["Resources"]["GPU"] == 1
    with caplog.at_level(logging.WARNING, "pipeline"):
        room = worker_room("auto", "--device auto")
    assert room.kind == "CPU"
    (warning,) = caplog.messages
    assert warning.startswith("--device auto: on the CPU, since the GPU is not used: ")
    (obstacle,) = ask_for_gpus([node]).obstacles  # As it has answered: nobody is asked twice.
    assert warning.endswith(obstacle)
    assert "\n" not in obstacle


@pytest.mark.slow
def test_a_training_takes_the_cpu_and_says_why_or_refuses_in_a_line(tmp_path: Path) -> None:
    nmt = command_line(tmp_path, RAY_OVERRIDE_RESOURCES=LISTED)
    refused = nmt.run("train", "--set", "training.device=gpu", tiny=True)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("nmt: training.device=gpu: the GPU cannot be used: ")
    trained = nmt.run("train", tiny=True)
    assert trained.returncode == 0
    assert "WARNING: training.device=auto: on the CPU, since the GPU is not used: " in trained.stderr
    assert "1 CPU worker" in trained.stderr


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The ids of two nodes that list a GPU each, beside a head that has none."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, num_gpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield [node["NodeID"] for node in ray.nodes() if "GPU" in node["Resources"]]  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.slow
def test_ray_takes_only_nodes_whose_gpus_can_be_used(two_nodes: list[str]) -> None:
    def place() -> str:
        return str(ray.get_runtime_context().get_node_id())

    task: Any = ray.remote(place)
    for usable in ([two_nodes[0]], [two_nodes[1]], two_nodes):
        room = WorkerRoom(len(usable), Gpus(tuple(usable), ("another's driver is too old",)))
        assert ray.get(task.options(**room.options(1)).remote()) in usable
