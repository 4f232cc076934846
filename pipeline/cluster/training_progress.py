"""Follows a training on Ray from the driver: passes on its records as they come, and ends it if the driver stops."""

import queue
import threading
import time
from typing import Any

from ray.exceptions import RayError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from pipeline.cluster.ray_internals import dead_process
from pipeline.cluster.training_failures import first_line, lost_process
from pipeline.errors import InputError
from pipeline.training.history import Observe

CONTROLLER, ERROR = "controller", "error"
"""Keys in the queue of records of what is none: the actor that runs the training, and a mistake of the user's."""

POLL_SECONDS = 0.5
ENDING_SECONDS = 15


def follow(trainer: TorchTrainer, records: Queue, take: Observe) -> BaseException | None:
    """Run the training to its end and give `take` every record; return what stopped it, if anything did.

    It runs in a thread of its own, so that this one receives Ctrl-C. Whatever is raised here ends the training.

    Raises InputError for a mistake of the user's that a worker has found, ExternalError if the queue or the cluster is
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
            _pass_on(records, take, controllers)
            if thread.is_alive() and (name := dead_process()):
                raise lost_process(f"{name} has died")  # noqa: TRY301
    except BaseException as error:
        _end(thread, records, controllers)
        if isinstance(error, RayError):
            raise lost_process(first_line(error)) from error
        raise
    return outcome.get()


def _pass_on(records: Queue, take: Observe, controllers: list[Any]) -> None:
    """Wait a moment for a record, and pass it on; an actor is kept."""
    try:
        record = records.get(timeout=POLL_SECONDS)
    except Empty:
        return
    if ERROR in record:
        raise InputError(record[ERROR])
    if CONTROLLER in record:
        controllers.append(record[CONTROLLER])
    else:
        take(record)


def _end(thread: threading.Thread, records: Queue, controllers: list[Any]) -> None:
    """End a training, and the thread that waits for it: it would crash the process when Ray is shut down."""
    deadline = time.monotonic() + ENDING_SECONDS
    while thread.is_alive() and time.monotonic() < deadline and not controllers:
        try:
            record = records.get(timeout=POLL_SECONDS)
        except Empty:
            continue
        except RayError:
            break
        controllers += [record[CONTROLLER]] if CONTROLLER in record else []
    for controller in controllers:
        controller.abort.remote()
    thread.join(timeout=max(0.0, deadline - time.monotonic()))
