"""Items that a thread prepares: the same in the same order, and no thread when nobody wants them."""

import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.batches.ahead import ahead


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_all_items_in_their_order_and_then_no_thread() -> None:
    assert [*ahead(range(50), 3)] == [*range(50)]
    assert [*ahead([], 3)] == []
    assert not running()


def test_no_more_are_prepared_than_asked_for() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    prepared = ahead(items(), 3)
    assert next(prepared) == 0
    deadline = time.monotonic() + 10
    while len(taken) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert taken == [0, 1, 2, 3, 4], "one is used, three wait, and one waits for room"
    prepared.close()
    assert not running()


def test_what_goes_wrong_is_told_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("row 7")

    prepared = ahead(items(), 3)
    assert next(prepared) == 1
    with pytest.raises(ValueError, match="row 7"):
        next(prepared)
    assert not running()
