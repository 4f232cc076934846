"""Records that survive whoever is killed, and the order to stop: with a stand-in for the queue's actor."""

from typing import Any

import pytest

from pipeline.cluster import training_worker
from pipeline.cluster.training_progress import STOP
from pipeline.cluster.training_worker import Orders, Records


class Queue:
    """A queue whose driver takes what is in it when the test says so."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, item: Any) -> None:
        self.items.append(item)

    def empty(self) -> bool:
        return not self.items


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(queue: Queue, item: Any) -> object:
        queue.put(item)
        return object()

    monkeypatch.setattr(training_worker, "put_without_waiting", put)
    monkeypatch.setattr(training_worker, "TAKEN_SECONDS", 0.05)
    monkeypatch.setattr("ray.wait", lambda requests, **_: (requests, []))
    return Queue()


def test_a_checkpoint_holds_the_records_since_the_one_before(queue: Any) -> None:
    records = Records(queue)
    for step in (1, 2):
        records.send({"step": step})
    queue.items.clear()  # The driver has taken them.
    assert records.for_checkpoint() == [{"step": 1}, {"step": 2}]
    records.send({"step": 3, "bleu": 1.0})
    queue.items.clear()
    assert records.for_checkpoint() == [{"step": 3, "bleu": 1.0}]


def test_what_the_driver_has_not_taken_is_held_by_the_next_checkpoint_too(queue: Any) -> None:
    records = Records(queue)
    records.send({"step": 1})
    assert records.for_checkpoint() == [{"step": 1}]
    records.send({"step": 2})
    assert records.for_checkpoint() == [{"step": 1}, {"step": 2}]


def test_what_a_checkpoint_held_is_sent_again(queue: Any) -> None:
    records = Records(queue)
    records.send_again([{"step": 1}, {"step": 2}])
    assert queue.items == [{"step": 1}, {"step": 2}]
    assert records.for_checkpoint() == queue.items, "and held until the driver has taken it"


def test_an_order_is_found_without_waiting(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now, ready = [100.0], [False]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(training_worker, "request_item", lambda queue, seconds: "request")
    monkeypatch.setattr("ray.wait", lambda requests, timeout: (requests if ready[0] else [], []))
    monkeypatch.setattr("ray.get", lambda request: STOP)
    orders = Orders(queue)
    asked = []
    for seconds, is_ready in ((0.0, False), (1.0, False), (0.01, True), (1.0, True), (0.0, False)):
        now[0] += seconds
        ready[0] = is_ready
        asked.append(orders.stop_asked())
    assert asked == [False, False, False, True, True], "it looks now and then, and does not forget"
