"""Follows a training on Ray from the driver: passes on its records, ends it, and says in a line what stopped it.

A lost process or failing storage is an ExternalError; what else stops a training is a bug.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from pipeline.cluster.ray_internals import dead_process, put_without_waiting, request_item
from pipeline.cluster.ray_train_internals import GROUP_ERRORS, STARTUP_ERRORS, TIMED_OUT, failures_of
from pipeline.errors import ExternalError, InputError
from pipeline.stopping import CONTINUE, Stop, current_stop
from pipeline.store.storage import Folder
from pipeline.training.history import Observe

CONTROLLER, ERROR, WARNING, STOPPED = "controller", "error", "warning", "stopped"
"""Keys in the queue of records of what is none: the actor that runs the training, a mistake of the user's, what the
user should know, and the step after which a training that was told to stop has done so."""

STOP = "stop"
"""The order to save a checkpoint and end, put into the queue of orders again and again until the training has ended."""

POLL_SECONDS, LAST_POLL_SECONDS = 0.5, 0.05
ENDING_SECONDS = 15
STOPPING_SECONDS = 25.0
"""How long a training that is told to stop may take to finish its step or validation, and save: those who sent SIGTERM
kill it 30 seconds later, by default."""


def follow(trainer: TorchTrainer, records: Queue, orders: Queue, take: Observe) -> BaseException | None:
    """Run the training to its end and give `take` every record; return what stopped it, if anything did.

    It runs in a thread of its own, so that this one receives Ctrl-C. Whatever is raised here ends the training.

    Raises InputError for a mistake of the user's that a worker has found, ExternalError if the queue or the cluster is
    lost, StoppedError if this run is told to stop: then workers get the order to save and end.
    """
    stop = current_stop()
    outcome: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def fit() -> None:
        try:
            trainer.fit()
            outcome.put(None)
        except BaseException as error:  # handed to the thread that waits
            outcome.put(error)

    thread = threading.Thread(target=fit, daemon=True, name="ray-train")
    thread.start()
    inbox, seen = _Inbox(records), _Seen()
    try:
        with stop.held():
            while True:
                running = thread.is_alive()  # Before the queue is read: what comes later is in it by then.
                item = inbox.next(POLL_SECONDS if running else LAST_POLL_SECONDS)
                if item is not None:
                    seen.pass_on(item, take)
                elif not running:
                    seen.check_end(stop)
                    return outcome.get()
                if running and stop.reason:
                    seen.order_to_stop(orders, stop)
    except BaseException:
        _end(thread, inbox, seen.controllers)
        raise


class _Seen:
    """What has come out of the queue of records beside these."""

    def __init__(self) -> None:
        self.controllers: list[Any] = []
        self.stopped: int | None = None
        self._deadline: float | None = None

    def pass_on(self, item: dict[str, Any], take: Observe) -> None:
        if ERROR in item:
            raise InputError(item[ERROR])
        if WARNING in item:
            logging.getLogger(__name__).warning(item[WARNING])
        elif CONTROLLER in item:
            self.controllers.append(item[CONTROLLER])
        elif STOPPED in item:
            self.stopped = int(item[STOPPED])
        else:
            take(item)

    def check_end(self, stop: Stop) -> None:
        """Raise StoppedError if the training has ended since it was told to."""
        if self.stopped is not None:
            raise stop.error(f"after step {self.stopped:,}, which is saved")

    def order_to_stop(self, orders: Queue, stop: Stop) -> None:
        """Put the order where the first worker finds it; again, should that be lost. Raise StoppedError in the end."""
        if self._deadline is None:
            self._deadline = time.monotonic() + STOPPING_SECONDS
        if time.monotonic() > self._deadline:
            raise stop.error("before the training could save its last steps; it continues from the last checkpoint")
        put_without_waiting(orders, STOP)


class _Inbox:
    """The driver's end of the queue, which does not wait for a cluster that is gone."""

    def __init__(self, items: Queue) -> None:
        self._items = items
        self._requested: Any = None

    def next(self, seconds: float) -> dict[str, Any] | None:
        """Return an item, or None if there is none within some seconds; raise ExternalError if the cluster is lost."""
        if self._requested is None:
            self._requested = request_item(self._items, seconds)
        while not ray.wait([self._requested], timeout=2 * POLL_SECONDS)[0]:
            _check_cluster()
        requested, self._requested = self._requested, None
        try:
            item: dict[str, Any] = ray.get(requested)
        except Empty:
            _check_cluster()
            return None
        except RayError as error:
            raise lost_process(first_line(error)) from error
        return item


def _check_cluster() -> None:
    if name := dead_process():
        raise lost_process(f"{name} has died")


def _end(thread: threading.Thread, inbox: _Inbox, controllers: list[Any]) -> None:
    """End a training, and the thread that waits for it: it would crash the process when Ray is shut down."""
    deadline = time.monotonic() + ENDING_SECONDS
    with suppress(ExternalError):
        while thread.is_alive() and time.monotonic() < deadline and not controllers:
            item = inbox.next(POLL_SECONDS)
            controllers += [item[CONTROLLER]] if item and CONTROLLER in item else []
    for controller in controllers if thread.is_alive() else ():
        controller.abort.remote()
    thread.join(timeout=max(0.0, deadline - time.monotonic()))


def tell_restart(error: BaseException, number: int) -> dict[str, str]:
    """Return what the user should know when workers are started again: what has happened to which of so many."""
    controller, workers = failures_of(error)
    what = losses(workers, number) if workers else first_line(controller)
    return {WARNING: f"{what}; the workers are started again, and go on from the last checkpoint"}


def losses(workers: Mapping[int, BaseException], number: int) -> str:
    """Return in words what has happened to some of so many workers. Who does not answer is named by those who wait."""
    reasons = [f"worker {rank}: {first_line(cause)}" for rank, cause in workers.items()]
    silent = [str(rank) for rank in range(number) if rank not in workers]
    if silent and any(TIMED_OUT in str(cause) for cause in workers.values()):
        whom = f"worker{'s' if len(silent) > 1 else ''} {', '.join(silent)}"
        reasons.insert(0, f"{whom} did not answer the others within training.collective_timeout")
    return "; ".join(reasons)


def explain_training(error: BaseException, storage: Folder, number: int) -> BaseException:
    """Return the ExternalError that `error`, raised by Ray Train, comes down to; `error` itself if it is a bug.

    number: of the workers.
    """
    controller, workers = failures_of(error)
    for cause in (controller, *workers.values()):
        if isinstance(cause, OSError) and not isinstance(cause, RayError):
            return storage.explained(cause)
        if isinstance(cause, ExternalError):
            return cause
    if isinstance(controller, STARTUP_ERRORS):
        return ExternalError(
            "the Ray cluster did not start the workers: what they need is in use; run the same command again later"
        )
    if workers and all(_is_loss(cause) for cause in workers.values()):
        return ExternalError(
            f"training stopped: workers were lost ({losses(workers, number)}); {CONTINUE} from the last checkpoint"
        )
    if _is_rays_own(controller):
        return lost_process(first_line(controller))
    return error


def lost_process(reason: str) -> ExternalError:
    """Return the error of a training that has lost one of Ray's processes."""
    return ExternalError(f"training stopped: Ray lost a process ({reason}); {CONTINUE} from the last checkpoint")


def _is_rays_own(error: BaseException) -> bool:
    """Whether Ray itself failed, and not the code that it ran: that arrives as the cause of a RayTaskError."""
    if isinstance(error, RayTaskError):
        return isinstance(error.cause, RayError) and _is_rays_own(error.cause)
    return isinstance(error, RayError)


def _is_loss(cause: BaseException) -> bool:
    """Whether a worker died, or failed because another one did."""
    rays_own = type(cause).__module__.partition(".")[0] == "ray"
    of_group = any(name in str(cause) for name in GROUP_ERRORS)
    return rays_own or of_group or isinstance(cause, torch.distributed.DistError)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
