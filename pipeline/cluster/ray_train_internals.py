"""All that this project uses of Ray Train without its documentation's promise, and why; see ray_internals.py."""

import json
from collections.abc import Callable
from typing import Any

import ray
from ray._private.worker import get_dashboard_url
from ray.train.torch import TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.train.v2._internal.execution.controller.state import RestartingState
from ray.util.queue import Queue

from pipeline.cluster.ray_internals import put_without_waiting

SNAPSHOT = CHECKPOINT_MANAGER_SNAPSHOT_FILENAME
"""The file in a run's folder that Ray Train resumes from."""

CHECKPOINT_PREFIX = "checkpoint_"
"""How the folders of checkpoints are named, followed by their time (ray/train/v2/_internal/execution/storage.py)."""

TorchBackend = _TorchBackend
"""What Ray sets a process group up with; `on_start` is ours (process_group.py), the rest stays Ray's."""

GROUP_ERRORS = ("gloo", "NCCL")
"""In the RuntimeError of a worker that has lost another, where torch has no class for it."""

TIMED_OUT = "Timed out waiting"
"""In the RuntimeError of a worker that has waited too long for another (gloo)."""

STARTUP_ERRORS = (WorkerGroupStartupFailedError, WorkerGroupStartupTimeoutError)
"""The `controller_failure` of a training whose workers could not be started."""


def failures_of(error: BaseException) -> tuple[BaseException, dict[int, BaseException]]:
    """Return what the controller of a training failed of, by default `error` itself, and what each worker did."""
    workers: dict[int, BaseException] = getattr(error, "worker_failures", {})
    causes = {rank: getattr(failure, "cause", None) or failure for rank, failure in sorted(workers.items())}
    return getattr(error, "controller_failure", None) or error, causes


def named_checkpoints(snapshot: bytes) -> set[str]:
    """Return the folders of the checkpoints that a snapshot names; without one of them, Ray refuses to resume.

    Raises ValueError for a snapshot that a crash has cut short.
    """
    return {str(result["checkpoint_dir_name"]) for result in json.loads(snapshot).get("checkpoint_results", ())}


def latest_checkpoint(snapshot: bytes) -> str | None:
    """Return the folder of the checkpoint that Ray would resume from, None if there is none yet.

    Raises ValueError for a snapshot that a crash has cut short.
    """
    latest = json.loads(snapshot).get("latest_checkpoint_result")
    return str(latest["checkpoint_dir_name"]) if latest else None


class RayTrainer(TorchTrainer):
    """Ray's trainer without two callbacks that cost every training seconds and have nothing to do here.

    One asks the dashboard: where there is none, that takes 12 seconds at the end. The other shards data sets of Ray
    Data, of which there are none, and starts a process for it.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        idle: tuple[type, ...] = (DatasetsCallback,)
        if not get_dashboard_url():  # type: ignore[no-untyped-call]
            idle += (PlacementGroupCleanerCallback,)
        return [each for each in callbacks if not isinstance(each, idle)]


class Announcer(ControllerCallback, WorkerGroupCallback):
    """Tells the driver, through a queue, what the actor that runs the training knows.

    That is its own handle, under a key: only with it can the training be ended. And what has made it start the workers
    again, as `explain` says it, given the error and the number of workers.
    """

    def __init__(self, queue: Queue, key: str, explain: Callable[[BaseException, int], object]) -> None:
        """Keep where to put it."""
        self._queue, self._key, self._explain = queue, key, explain
        self._workers = 0

    def after_controller_start(self, train_run_context: object) -> None:
        """Tell of the actor; Ray calls this in it."""
        put_without_waiting(self._queue, {self._key: ray.get_runtime_context().current_actor})

    def after_worker_group_poll_status(self, worker_group_status: Any) -> None:
        """Count the workers, whenever Ray has asked them how they are."""
        self._workers = len(worker_group_status.worker_statuses)

    def after_controller_state_update(self, previous_state: object, current_state: object) -> None:
        """Tell of a restart."""
        if isinstance(current_state, RestartingState):
            put_without_waiting(self._queue, self._explain(current_state.training_failed_error, self._workers))
