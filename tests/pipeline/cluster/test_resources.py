import pytest

from pipeline.cluster.resources import Allotment, allot, threads_per_worker
from pipeline.config import TrainingConfig
from pipeline.errors import InputError


def nodes(*resources: tuple[int, int]) -> list[dict[str, object]]:
    return [{"Alive": True, "Resources": {"CPU": cpu, **({"GPU": gpu} if gpu else {})}} for cpu, gpu in resources]


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
    ],
)
def test_what_a_cluster_gives(config: dict[str, object], cluster: list[dict[str, object]], expected: Allotment) -> None:
    assert allot(TrainingConfig.model_validate(config), cluster, {}) == expected


@pytest.mark.parametrize(
    ("config", "cluster", "message"),
    [
        (
            {"device": "gpu"},
            nodes((2, 0)),
            "training.device=gpu: 1 GPUs are needed, one per worker, and the cluster has 0; set training.device=cpu",
        ),
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
    ],
)
def test_what_it_cannot_give_is_an_error_at_once(
    config: dict[str, object], cluster: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(InputError) as error:
        allot(TrainingConfig.model_validate(config), cluster, {})
    assert str(error.value) == message


def test_dead_nodes_give_nothing() -> None:
    cluster = [*nodes((2, 0)), {"Alive": False, "Resources": {"CPU": 16, "GPU": 8}}]
    assert allot(TrainingConfig(), cluster, {}) == Allotment(1, gpu=False, threads=2)


@pytest.mark.parametrize(
    ("cpus", "workers", "threads"), [([16], 3, 5), ([2, 2, 2], 2, 2), ([3, 3], 3, 1), ([8, 2], 4, 2)]
)
def test_threads_never_exceed_the_cores_of_a_node(cpus: list[int], workers: int, threads: int) -> None:
    assert threads_per_worker(cpus, workers) == threads


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("4,2", 4), ("99", 16), ("0", 16), ("", 16), ("many", 16)])
def test_the_usual_variable_limits_threads(value: str, threads: int) -> None:
    assert allot(TrainingConfig(), nodes((16, 0)), {"OMP_NUM_THREADS": value}).threads == threads
