"""A run that is told to end before it is done: by SIGTERM, as schedulers send it, or by a time limit.

A training then saves a checkpoint and ends; any other stage ends at once, as nothing half-made is kept.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from pipeline.amounts import Amount
from pipeline.errors import InputError

CONTINUE = "run the same command again to continue"


class StoppedError(Exception):
    """A run ended before it was done, as it was told to; nothing is lost, and the same command continues it."""


ON_REQUEST = (KeyboardInterrupt, StoppedError)
"""What ends a run that somebody has told to end; all else is a failure."""


class Stop:
    """Whether this run is told to end."""

    def __init__(self, seconds: float | None = None) -> None:
        """Tell it so after some seconds from now, if they are given."""
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._signalled = False
        self._held = 0

    @property
    def reason(self) -> str | None:
        """What tells it to end, in words; None as long as nothing does."""
        if self._signalled:
            return "SIGTERM"
        return "the time limit" if self._deadline is not None and time.monotonic() >= self._deadline else None

    def check(self) -> None:
        """Raise StoppedError if the run is told to end."""
        if self.reason:
            raise self.error("between two stages")

    def error(self, where: str) -> StoppedError:
        """Return the error that ends the run."""
        return StoppedError(f"stopped by {self.reason} {where}; {CONTINUE}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal interrupt nothing, since what runs in the context looks at `reason` itself."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def signalled(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        self._signalled = True
        if not self._held:
            raise self.error("outside of a training")


def seconds_of(time_limit: str | None) -> float | None:
    """Return the seconds of a time limit such as 2h, or 90 minutes.

    Raises InputError for what is none.
    """
    if time_limit is None:
        return None
    try:
        amount = Amount.parse(time_limit)
    except ValueError:
        amount = None
    if amount is None or not amount.is_time:
        raise InputError(f"--time-limit {time_limit}: not a time; write a number and a unit, such as 90min or 2h")
    return amount.seconds


_CURRENT: ContextVar[Stop | None] = ContextVar("stop", default=None)


def current_stop() -> Stop:
    """Return what tells this run to end; outside of `stopping`, nothing does."""
    return _CURRENT.get() or Stop()


@contextmanager
def stopping(seconds: float | None = None) -> Iterator[Stop]:
    """Have SIGTERM, and a time limit of some seconds, stop what runs in the context.

    Elsewhere than in the main thread, which alone receives signals, only the time limit does.
    """
    stop = Stop(seconds)
    token = _CURRENT.set(stop)
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop.signalled) if is_main else None
    try:
        yield stop
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
        _CURRENT.reset(token)
