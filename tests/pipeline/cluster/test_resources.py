"""What a cluster gives, and which of its GPUs count."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.cluster import resources
from pipeline.cluster.resources import Allotment, Gpus, allot, ask_for, threads_per_worker, usable, worker_room
from pipeline.config import TrainingConfig
from pipeline.errors import InputError

Resources = Mapping[str, float]


def nodes(*numbers: tuple[int, int]) -> list[Resources]:
    return [{"CPU": cpu, **({"GPU": gpu} if gpu else {})} for cpu, gpu in numbers]


def listed(*numbers: tuple[int, int]) -> list[dict[str, Any]]:
    """The same as Ray lists them; their ids are their places."""
    return [
        {"NodeID": str(place), "NodeManagerAddress": f"10.0.0.{place}", "Alive": True, "Resources": each}
        for place, each in enumerate(nodes(*numbers))
    ]


@pytest.mark.parametrize(
    ("config", "cluster", "expected"),
    [
        ({}, nodes((2, 0)), Allotment(1, gpu=False, threads=2)),
        ({}, nodes((1, 0)), Allotment(1, gpu=False, threads=1)),
        ({}, nodes((16, 0), (8, 0)), Allotment(1, gpu=False, threads=16)),
        ({}, nodes((16, 4)), Allotment(4, gpu=True, threads=1)),
        ({}, nodes((16, 4), (16, 4)), Allotment(8, gpu=True, threads=1)),
        ({"num_workers": 3}, nodes((16, 4)), Allotment(3, gpu=True, threads=1)),
        ({"device": "cpu"}, nodes((16, 4)), Allotment(1, gpu=False, threads=16)),
        ({"num_workers": 4}, nodes((8, 0), (2, 0)), Allotment(4, gpu=False, threads=2)),
        ({"num_workers": [1, 4]}, nodes((2, 0), (2, 0)), Allotment(4, gpu=False, threads=1, fewest=1)),
        ({"num_workers": [1, 4]}, nodes((2, 0)), Allotment(4, gpu=False, threads=1, fewest=1)),
        ({"num_workers": [2, 8]}, nodes((16, 4)), Allotment(8, gpu=True, threads=1, fewest=2)),
        ({"num_workers": [3, 3]}, nodes((16, 4)), Allotment(3, gpu=True, threads=1)),
    ],
)
def test_what_a_cluster_gives(config: dict[str, object], cluster: list[Resources], expected: Allotment) -> None:
    assert allot(TrainingConfig.model_validate(config), cluster, {}) == expected


@pytest.mark.parametrize(
    ("config", "cluster", "message"),
    [
        (
            {"num_workers": 8},
            nodes((16, 4)),
            "training.num_workers=8: 8 GPUs are needed, one per worker, and the cluster has 4; "
            "set training.num_workers=4 or less, or training.device=cpu",
        ),
        (
            {"num_workers": 3},
            nodes((2, 0)),
            "training.num_workers=3: 3 CPUs are needed, one per worker, and the cluster has 2; "
            "set training.num_workers=2 or less",
        ),
        (
            {"num_workers": [3, 5]},
            nodes((2, 0)),
            "training.num_workers=3: 3 CPUs are needed, one per worker, and the cluster has 2; "
            "set training.num_workers=2 or less",
        ),
    ],
)
def test_what_it_cannot_give_is_an_error_at_once(
    config: dict[str, object], cluster: list[Resources], message: str
) -> None:
    with pytest.raises(InputError) as error:
        allot(TrainingConfig.model_validate(config), cluster, {})
    assert str(error.value) == message


def test_dead_nodes_give_nothing() -> None:
    cluster = listed((2, 0), (16, 8))
    cluster[1]["Alive"] = False
    assert usable(cluster, Gpus(("1",))) == [{"CPU": 2, "GPU": 0}]


def test_only_gpus_that_can_be_used_count() -> None:
    cluster, gpus = listed((16, 4), (16, 2), (8, 0)), Gpus(("1",), ("node 10.0.0.0: no driver",), "H200")
    assert allot(TrainingConfig(), usable(cluster, gpus), {}) == Allotment(2, gpu=True, threads=1)
    assert gpus.labels == {"ray.io/node-id": "in(1)"}, "Ray must not take the others"
    with pytest.raises(InputError, match=r"training\.num_workers=4: 4 GPUs are needed, .* and the cluster has 2"):
        allot(TrainingConfig(num_workers=4), usable(cluster, gpus), {})
    none = Gpus((), ("no driver",))
    assert allot(TrainingConfig(), usable(cluster, none), {}) == Allotment(1, gpu=False, threads=16)
    assert Gpus(("0", "1")).labels is None, "where all can be used, Ray may take nodes that come later, too"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the tasks on the nodes answer by the node's id: the card's name or "", and what is in the way; or late."""
    found: dict[str, Any] = {}

    def ask(node: str, gpus: int) -> str:
        assert gpus == {"0": 4, "1": 2, "3": 1}[node], "all that are free, and at least one"
        return node

    def wait(tasks: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        late = [task for task in tasks if found[task] == "late"]
        return [task for task in tasks if task not in late], late

    monkeypatch.setattr(resources, "_answers", {})
    monkeypatch.setattr(resources, "_ask", ask)
    monkeypatch.setattr(resources, "free_gpus", lambda: {"0": 4, "1": 2, "2": 0, "3": 0})
    monkeypatch.setattr("ray.wait", wait)
    monkeypatch.setattr("ray.cancel", lambda task: found.update(cancelled=found.get("cancelled", "") + task))
    monkeypatch.setattr("ray.get", lambda task: found[task])
    return found


CLUSTER = listed((16, 4), (16, 2), (8, 0), (8, 1))
"""The second has no GPU; the last one's is in use."""


def test_nodes_are_asked_and_the_answers_are_told(answers: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    answers.update({"0": ("", "no driver"), "1": ("H200", ""), "3": "late"})
    with caplog.at_level(logging.WARNING):
        assert ask_for("auto", "--device auto", CLUSTER) == Gpus(("1", "3"), ("node 10.0.0.0: no driver",), "H200")
    assert caplog.messages == ["--device auto: some GPUs are not used: node 10.0.0.0: no driver"]
    assert ask_for("cpu", "--device cpu", CLUSTER) == Gpus()


def test_who_is_late_counts_since_its_workers_ask_again(answers: dict[str, Any]) -> None:
    answers.update({"0": "late", "1": ("H200", ""), "3": "late"})
    assert ask_for("gpu", "--device gpu", CLUSTER) == Gpus(("0", "1", "3"), (), "H200")
    assert answers["cancelled"] == "03"


def test_without_a_gpu_that_can_be_used_auto_takes_cpus_and_gpu_refuses(
    answers: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["0"] = ("", "torch is built for CPUs alone; install a build for CUDA")
    with caplog.at_level(logging.WARNING):
        assert ask_for("auto", "training.device=auto", CLUSTER[:1]).nodes == ()
    assert caplog.messages == [
        "training.device=auto: on the CPU, since the GPU is not used: torch is built for CPUs alone; install a build "
        "for CUDA"
    ]
    message = "training.device=gpu: the GPU cannot be used: torch is .* install a build for CUDA, or choose cpu$"
    with pytest.raises(InputError, match=message):
        ask_for("gpu", "training.device=gpu", CLUSTER[:1])
    with pytest.raises(
        InputError, match="--device gpu: the cluster lists no GPU; start it where there is one, or choo"
    ):
        ask_for("gpu", "--device gpu", CLUSTER[2:3])


def test_the_room_for_workers_that_translate(answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    answers.update({"0": ("", "no driver"), "1": ("H200", "")})
    monkeypatch.setattr("ray.nodes", lambda: CLUSTER[:3])
    room = worker_room("auto", "--device auto", cpus=10)
    assert (room.most, room.kind) == (1, "GPU"), "there are two GPUs, but not 20 CPUs beside them"
    assert room.options(10) == {"num_cpus": 10, "num_gpus": 1, "label_selector": {"ray.io/node-id": "in(1)"}}
    room = worker_room("cpu", "--device cpu")
    assert (room.most, room.kind, room.options(1)) == (40, "CPU", {"num_cpus": 1})
    with pytest.raises(InputError, match="--device gpu: no node has a GPU and 17 CPUs for each process"):
        worker_room("gpu", "--device gpu", cpus=17)


@pytest.mark.parametrize(
    ("cpus", "workers", "threads"), [([16], 3, 5), ([2, 2, 2], 2, 2), ([3, 3], 3, 1), ([8, 2], 4, 2)]
)
def test_threads_never_exceed_the_cores_of_a_node(cpus: list[int], workers: int, threads: int) -> None:
    assert threads_per_worker(cpus, workers) == threads


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("4,2", 4), ("99", 16), ("0", 16), ("", 16), ("many", 16)])
def test_the_usual_variable_limits_threads(value: str, threads: int) -> None:
    assert allot(TrainingConfig(), nodes((16, 0)), {"OMP_NUM_THREADS": value}).threads == threads
