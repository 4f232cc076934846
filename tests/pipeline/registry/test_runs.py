"""The MLflow run of a training that two commands have asked for: every figure once, whoever makes it."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.config import RunConfig
from pipeline.registry.runs import ChildRun, TrainingRun, tracking_uri
from pipeline.training.history import Record

HISTORY: list[Record] = [
    {"step": 1.0, "loss": 1.0},
    {"step": 2.0, "loss": 0.5},
    {"step": 2.0, "bleu": 9.0},
    {"step": 3.0, "loss": 0.4},
]
TRAINING = {"training": "abc"}


def logged(run: TrainingRun) -> tuple[list[int], list[int]]:
    """Return the steps and the validations that a run has, in their order."""
    client = MlflowClient(tracking_uri())
    steps, validations = (client.get_metric_history(run.id, key) for key in ("train/loss", "validation/bleu"))
    return sorted(metric.step for metric in steps), [metric.step for metric in validations]


def status(run: TrainingRun) -> str:
    return str(MlflowClient(tracking_uri()).get_run(run.id).info.status)


@pytest.mark.parametrize("seen", range(len(HISTORY) + 1))
def test_a_run_that_is_taken_over_has_everything_once(tracked_home: Path, tiny: RunConfig, seen: int) -> None:
    first, second = TrainingRun(tiny, TRAINING), TrainingRun(tiny, TRAINING)
    assert first.id == second.id, "both are the same training"
    second.follows(first.id)
    with pytest.raises(KeyboardInterrupt), first.leads():  # noqa: PT012 - what is stopped is the training
        for record in HISTORY[:3]:
            first.observe(record)
        for record in HISTORY[:seen][:3]:
            second.observe(record)
        raise KeyboardInterrupt
    assert status(first) == "KILLED"
    with second.leads():
        assert status(first) == "RUNNING"
        first.interrupted(by_user=True)  # As the first command ends, which has let go of the training.
        assert status(second) == "RUNNING"
        for record in HISTORY[seen:]:
            second.observe(record)
    second.complete(iter(HISTORY))
    assert logged(second) == ([1, 2, 3], [2])
    assert status(second) == "FINISHED"


def test_who_follows_and_is_stopped_leaves_the_run_to_who_trains(tracked_home: Path, tiny: RunConfig) -> None:
    first, second = TrainingRun(tiny, TRAINING), TrainingRun(tiny, TRAINING)
    with first.leads():
        second.follows(first.id)
        second.observe(HISTORY[0])
        second.interrupted(by_user=True)
        assert status(first) == "RUNNING"
        assert logged(first) == ([], [])


@pytest.mark.usefixtures("tracked_home")
def test_a_run_of_ones_own_gets_the_figures_of_the_training_that_is_followed(tiny: RunConfig) -> None:
    first = TrainingRun(tiny, TRAINING)
    own = TrainingRun(tiny, TRAINING, ChildRun("parent", "base"))
    own.follows(first.id)
    for record in HISTORY:
        own.observe(record)
    own.complete(iter(HISTORY))
    assert logged(own) == ([1, 2, 3], [2])
    assert logged(first) == ([], [])
