"""Threads that make way for other processes: by stand-ins for the machine's clock and by the real one."""

import os
import time
from pathlib import Path

import pytest

from pipeline.training.machine.threads import Threads, Usage, usage


class Machine:
    """Two cores; what others and this process use of them is set by the test."""

    def __init__(self) -> None:
        self.at, self.everyone, self.own = time.monotonic() - 1000.0, 0.0, 0.0

    def measure(self) -> Usage:
        return Usage(self.at, self.everyone, self.own)

    def run(self, seconds: float, others: float, own: float) -> None:
        self.at += seconds
        self.everyone += seconds * (others + own)
        self.own += seconds * own


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.mark.usefixtures("cores")
def test_a_thread_is_given_up_for_a_core_that_others_use_and_taken_back_when_they_stop() -> None:
    machine, told = Machine(), list[int]()
    threads = Threads(2, measure=machine.measure, set_threads=told.append)
    for others, own, expected, busy in [
        (0.1, 1.9, [], False),
        (0.7, 1.3, [1], True),
        (1.0, 1.0, [1], True),
        (0.4, 1.0, [1], False),  # Not yet: a thread that comes and goes helps nobody.
        (0.1, 1.0, [1, 2], False),
        (2.0, 0.0, [1, 2, 1], True),
    ]:
        machine.run(2.0, others, own)
        threads.look()
        assert (told, threads.busy) == (expected, busy), others


@pytest.mark.usefixtures("cores")
def test_the_other_workers_of_the_same_training_are_no_others() -> None:
    machine, told = Machine(), list[int]()
    threads = Threads(1, workers=2, measure=machine.measure, set_threads=told.append)
    machine.run(2.0, 1.0, 1.0)
    threads.look()
    assert (told, threads.busy) == ([], False)


@pytest.mark.usefixtures("cores")
def test_where_threads_change_bits_none_is_given_up() -> None:
    machine, told = Machine(), list[int]()
    threads = Threads(2, measure=machine.measure, set_threads=told.append, fewest=2)
    machine.run(2.0, 2.0, 0.0)
    threads.look()
    assert (told, threads.busy) == ([], True)


def test_it_looks_once_a_second() -> None:
    looks = 0

    def measure() -> Usage:
        nonlocal looks
        looks += 1
        return Usage(time.monotonic(), 0.0, 0.0)

    threads = Threads(2, measure=measure, set_threads=lambda _: None)
    for _ in range(100):
        threads.look()
    assert looks == 1


def test_this_machines_usage_grows_with_what_this_process_uses() -> None:
    before = usage()
    if before is None:
        pytest.skip("this system does not say what its processes use")
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = usage()
    assert after is not None
    assert after.own - before.own >= 0.15
    assert after.all_processes > before.all_processes


def test_where_the_system_does_not_say_nothing_changes(tmp_path: Path) -> None:
    assert usage(tmp_path / "stat") is None
    threads = Threads(2, measure=lambda: None, set_threads=lambda _: pytest.fail("nothing is known"))
    threads.look()
    assert not threads.busy
