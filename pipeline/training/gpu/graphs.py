"""Functions recorded as CUDA graphs: a thousand launches in one, where a processor would be slower than its GPU.

A recorded function reads and writes the tensors that it did when it was recorded. So what it takes lies in tensors that
stay where they are, what it returns too, and it waits for nothing and decides nothing by values.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Protocol

import torch

Run = Callable[[], None]


def call(run: Run) -> None:
    """Call the function."""
    run()


class GraphApi(Protocol):
    """What records and replays; a test's counts and calls again."""

    def call(self, run: Run) -> None:
        """Call the function where it will be recorded, so that all is set up there that its first calls set up."""

    def record(self, run: Run) -> Run:
        """Record the function without running it; return what runs it."""


class CudaGraphs:
    """CUDA's graphs, all with one memory pool.

    They may share it since each is replayed alone, keeps nothing from one replay to the next but in tensors that were
    made outside, and so finds no value of another that is still needed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # One stream for calls and recordings: autograd adds a gradient on the stream that saw its weight first, and a
        # recording may not wait for another stream.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def call(self, run: Run) -> None:
        """Call the function on the stream of the recordings; the current stream waits for it."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            run()
        current.wait_stream(self._stream)

    def record(self, run: Run) -> Run:
        """Record the function; other threads may call CUDA meanwhile: one fetches data, NCCL has its watchdog."""
        graph = torch.cuda.CUDAGraph()
        # Back to the current stream in any case: where CUDA refuses, torch's own context ends before it goes back.
        with (
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"),
        ):
            run()
        return graph.replay


class Graphs:
    """Runs a function by its graph for the keys that come often, and calls it for the others."""

    CALLS = 3
    """Calls of a key before it is recorded: libraries set themselves up, and a key that comes rarely costs nothing."""
    MOST = 64
    """Graphs at most. Each takes some kilobytes for every launch that it holds, beside the pool that all share."""

    def __init__(self, api: GraphApi) -> None:
        self._api = api
        self._calls: Counter[Hashable] = Counter()
        self._replays: dict[Hashable, Run] = {}
        self.called = self.replayed = 0
        """How often a function was called, and by its graph."""
        self.refused: str | None = None
        """Why nothing more is recorded: CUDA's message, once it has refused a recording."""

    def run(self, key: Hashable, run: Run) -> None:
        """Run the function, which has to be the same for the same key."""
        if key not in self._replays and self._is_worth_it(key):
            self._record(key, run)
        if key in self._replays:
            self._replays[key]()
            self.replayed += 1
        else:
            self.call(run)

    def call(self, run: Run) -> None:
        """Call the function, which will not be recorded."""
        self._api.call(run)
        self.called += 1

    def __len__(self) -> int:
        return len(self._replays)

    def _is_worth_it(self, key: Hashable) -> bool:
        self._calls[key] += 1
        return self.refused is None and self._calls[key] > self.CALLS and len(self._replays) < self.MOST

    def _record(self, key: Hashable, run: Run) -> None:
        """Record the function; where CUDA refuses, or its memory is full, training goes on without."""
        try:
            self._replays[key] = self._api.record(run)
        except RuntimeError as error:  # Nothing has run yet: the function can be called instead.
            # What ends a recording that has failed says only that it has.
            self.refused = str(error.__context__ or error).partition("\n")[0]
