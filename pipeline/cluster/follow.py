"""Follows a training on Ray: hands on its records as they come, and ends it when this process no longer waits."""

import queue
import threading
import time
from contextlib import suppress
from typing import Any

import ray
import ray.exceptions
from ray._private.worker import get_dashboard_url
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.util.queue import Empty, Queue

from pipeline.errors import ExternalError, InputError
from pipeline.training.history import Observe

CONTROLLER = "controller"
ENDING_SECONDS = 15


class RayTrainer(TorchTrainer):
    """Ray's, without what costs every training seconds and has nothing to do here.

    What asks the dashboard, where there is none, would end each with 12 seconds of that; and what shards the data sets
    of Ray Data, of which there are none, begins each with a process of its own.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        idle: tuple[type, ...] = (DatasetsCallback,)
        if not get_dashboard_url():  # type: ignore[no-untyped-call]
            idle += (PlacementGroupCleanerCallback,)
        return [each for each in callbacks if not isinstance(each, idle)]


class AnnounceController(ControllerCallback):
    """Puts the actor that runs the training into the queue of its records: nothing else can end it."""

    def __init__(self, records: Queue) -> None:
        """Keep the queue."""
        self._records = records

    def after_controller_start(self, train_run_context: object) -> None:
        """Take the call that Ray makes in that actor."""
        # Not Queue.put, which waits: this is an event loop.
        put: Any = self._records.actor.put
        put.remote({CONTROLLER: ray.get_runtime_context().current_actor})


def follow(trainer: RayTrainer, records: Queue, take: Observe) -> BaseException | None:
    """Run the training to its end and give `take` every record; return what stopped it, if anything did.

    It runs in a thread of its own, so that this one hears Ctrl-C. What is raised here ends the training.

    Raises InputError for what a worker has put into the queue as the user's mistake, ExternalError if the queue is
    lost.
    """
    outcome: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def fit() -> None:
        try:
            trainer.fit()
            outcome.put(None)
        except BaseException as error:  # handed to the thread that waits
            outcome.put(error)

    thread = threading.Thread(target=fit, daemon=True, name="ray-train")
    thread.start()
    controllers: list[Any] = []
    try:
        while thread.is_alive() or not records.empty():
            _hand_on(records, take, controllers)
    except BaseException:
        _end(thread, records, controllers)
        raise
    return outcome.get()


def _hand_on(records: Queue, take: Observe, controllers: list[Any]) -> None:
    try:
        record = records.get(timeout=0.5)
    except Empty:
        return
    except ray.exceptions.RayActorError as error:
        raise ExternalError(f"training stopped: {error}; give the same command again to go on") from None
    if "error" in record:
        raise InputError(record["error"])
    if CONTROLLER in record:
        controllers.append(record[CONTROLLER])
    else:
        take(record)


def _end(thread: threading.Thread, records: Queue, controllers: list[Any]) -> None:
    """End a training, and the thread that waits for it: it would crash the process when Ray is shut down."""
    deadline = time.monotonic() + ENDING_SECONDS
    while thread.is_alive() and time.monotonic() < deadline and not controllers:
        with suppress(Empty, ray.exceptions.RayActorError):
            record = records.get(timeout=0.5)
            controllers += [record[CONTROLLER]] if CONTROLLER in record else []
    for controller in controllers:
        controller.abort.remote()
    thread.join(timeout=max(0.0, deadline - time.monotonic()))
