"""Runs that are told to end before they are done."""

import os
import signal
import threading

import pytest

from pipeline.errors import InputError
from pipeline.stopping import StoppedError, current_stop, seconds_of, stopping


def test_a_signal_ends_a_run_at_once_unless_it_is_held() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        assert current_stop() is stop
        with stop.held():
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.reason == "SIGTERM"
        with pytest.raises(StoppedError, match="stopped by SIGTERM between two stages; run the same command again"):
            stop.check()
        with pytest.raises(StoppedError, match="stopped by SIGTERM outside of a training"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    assert current_stop().reason is None


def test_a_time_limit_passes() -> None:
    with stopping(3600.0) as stop:
        stop.check()
    with stopping(0.0) as stop, pytest.raises(StoppedError, match="the time limit"):
        stop.check()


def test_another_thread_has_a_time_limit_only() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with stopping(0.0) as stop:
            found.append((stop.reason, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [("the time limit", before)]


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("2h", 7200.0), ("90 min", 5400.0), ("0.5 hours", 1800.0)])
def test_time_limits_are_read(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["2", "3 epochs", "soon", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=rf"--time-limit {text}: not a time; .* such as 90min or 2h"):
        seconds_of(text)
