"""How many threads a worker computes with while other processes want the same cores.

A step has a thousand parallel regions, at whose ends OpenMP's threads wait for each other. Where one has lost its core
to another process, all wait until it is scheduled again: on two cores beside one busy process, a training of two
threads is ten times slower, and one of a single thread is not slowed down. So a worker gives up a thread for every core
that others use, and takes it back when they stop. The number of threads changes no bit of the result
(model/steadiness.py) where there are kernels; without them it stays as it is.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

STAT = Path("/proc/stat")
INTERVAL = 1.0
"""Seconds between two looks: long enough for the kernel's clock, of 100 ticks a second."""
GIVE_UP, TAKE_BACK = 0.5, 0.75
"""Part of a core that others must use for a thread to be given up, and that must be free for it to be taken back."""


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time since some moment, at a moment."""

    at: float
    all_processes: float
    """On the cores that this process may use."""
    own: float


def usage(stat: Path = STAT) -> Usage | None:
    """Return what has been used until now; None where the system does not say (only Linux does)."""
    try:
        lines = stat.read_text("ascii").splitlines()
        cores = os.sched_getaffinity(0)
    except (OSError, AttributeError):
        return None
    ticks = 0
    for line in lines:
        name, *columns = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            # Also those that give way to others (nice), as Ray's workers do: they take turns all the same.
            user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, columns[:8])
            ticks += user + nice + system + interrupts + soft + stolen
    own = os.times()
    return Usage(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own.user + own.system)


class Threads:
    """Looks at the machine between steps, and sets torch's threads."""

    def __init__(
        self,
        most: int,
        workers: int = 1,
        measure: Callable[[], Usage | None] = usage,
        set_threads: Callable[[int], None] = torch.set_num_threads,
        fewest: int = 1,
    ) -> None:
        """Begin with `most` threads; `workers`: those of this training on this machine, which take as much each."""
        self._most, self._fewest, self._workers = most, fewest, workers
        self._measure, self._set = measure, set_threads
        self._threads = most
        self._last = measure()
        self.busy = False
        """Whether others used more than part of a core at the last look."""

    def look(self) -> None:
        """Set the threads by what others have used since the last look, if that was long enough ago."""
        if self._last is None or time.monotonic() - self._last.at < INTERVAL:
            return
        now = self._measure()
        if now is None:
            return
        seconds, last, self._last = now.at - self._last.at, self._last, now
        others = (now.all_processes - last.all_processes - self._workers * (now.own - last.own)) / seconds
        self.busy = others > GIVE_UP
        free = (len(os.sched_getaffinity(0)) - others) / self._workers
        fewer, more = int(free + 1 - GIVE_UP), int(free + 1 - TAKE_BACK)
        threads = max(self._fewest, min(self._most, fewer if fewer < self._threads else max(more, self._threads)))
        if threads != self._threads:
            self._threads = threads
            self._set(threads)
