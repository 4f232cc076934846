"""What the first worker of a training and its driver tell each other: records one way, the order to stop the other."""

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.queue import Queue

from pipeline.cluster.ray_internals import put_without_waiting, request_item
from pipeline.training.history import Record, is_validation

STOP = "stop"
"""The order to save a checkpoint and end, put into the queue again and again until the training has ended."""

TAKEN_SECONDS = 5.0
"""How long a checkpoint waits for the driver to take the records of its steps."""
POLL_SECONDS = 0.01
LOOK_SECONDS = 0.25
"""Between two looks for an order."""
AWAIT_SECONDS = 3600.0


class Records:
    """Sends records to the driver, each at least once, whoever is killed at any time.

    Steps do not wait until theirs has arrived. So a checkpoint waits until the driver has taken all before it, and
    holds those since the checkpoint before: one that the driver lost with its life is sent again by the run that
    continues from there. What it knows already, the driver drops.
    """

    def __init__(self, queue: Queue) -> None:
        """Send to a queue that the driver empties."""
        self._queue = queue
        self._since_checkpoint: list[Record] = []
        self._on_their_way: list[Any] = []

    def send(self, record: Mapping[str, float]) -> None:
        """Send the record of a step without waiting, of a validation until it has arrived."""
        self._since_checkpoint.append(dict(record))
        if is_validation(dict(record)):
            self._queue.put(dict(record))
        else:
            self._on_their_way.append(put_without_waiting(self._queue, dict(record)))

    def send_again(self, records: list[Record]) -> None:
        """Send what a checkpoint has held."""
        self._on_their_way += [put_without_waiting(self._queue, record) for record in records]

    def for_checkpoint(self) -> list[Record]:
        """Return the records that a checkpoint is to hold, when the driver has taken them or has not for seconds."""
        held, deadline = list(self._since_checkpoint), time.monotonic() + TAKEN_SECONDS
        if self._on_their_way:
            ray.wait(self._on_their_way, num_returns=len(self._on_their_way), timeout=TAKEN_SECONDS)
        while not (taken := self._queue.empty()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if taken:
            self._since_checkpoint.clear()
            self._on_their_way.clear()
        return held


class Orders:
    """Looks for the order to stop, without ever waiting for it."""

    def __init__(self, queue: Queue) -> None:
        """Take a queue that the driver puts orders into."""
        self._queue = queue
        self._request: Any = None
        self._looked = 0.0
        self._stop = False

    def stop_asked(self) -> bool:
        """Return whether the order has come."""
        now = time.monotonic()
        if self._stop or now - self._looked < LOOK_SECONDS:
            return self._stop
        self._looked = now
        if self._request is None:
            self._request = request_item(self._queue, AWAIT_SECONDS)
        elif ray.wait([self._request], timeout=0)[0]:
            request, self._request = self._request, None
            try:
                self._stop = ray.get(request) == STOP
            except RayError:  # None within the hour; or the driver is gone, and the controller ends this worker.
                self._stop = False
        return self._stop
