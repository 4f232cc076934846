"""Requests that are answered together: those that are waiting when the model becomes free, and no one before others."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.serving.limits import BATCH_WORK, slices
from pipeline.serving.protocol import Invocation, Reply, in_whole

Answer = Callable[[list[Invocation]], Awaitable[list[Reply]]]


@dataclass
class _Waiting:
    """A request, in slices of which the first are answered."""

    slices: deque[tuple[Invocation, int]]
    """Those that are not translated yet."""
    unanswered: int
    future: asyncio.Future[Reply]
    predictions: list[Any] = field(default_factory=list)

    def take(self, outcome: Reply | Exception) -> None:
        """Take the outcome of a slice: the last one, or one that is no success, is that of the request."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        elif outcome.status != 200:
            self.future.set_result(in_whole(outcome, len(self.predictions)))
        else:
            self.predictions += outcome.content["predictions"]
            self.unanswered -= 1
            if not self.unanswered:
                self.future.set_result(Reply(200, {"predictions": self.predictions}))


class Batcher:
    """Gives a model the requests that have come while it was busy, up to `max_size` at once.

    So a single request waits for nothing, and the more there are, the larger the batches. (Ray Serve's own decorator
    forms batches by a time limit, before the model is free: with 16 clients it put one or two into each, measured.)
    A large request is cut into slices, of which one is translated, then one of each other request, and so on. Where
    `answer` is cancelled, since its client has left, the slices that are left are not translated.
    """

    def __init__(self, answer: Answer, max_size: int, usual: Mapping[str, Any]) -> None:
        """Take the function that answers a batch with one reply per request, and the most requests per batch.

        `usual` are the model's parameters, which say what a request costs.
        """
        self._answer = answer
        self._max_size = max_size
        self._usual = usual
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, invocation: Invocation) -> Reply:
        """Return the reply to a request, answered with others. Raises what answering its batch raises."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        parts = deque(slices(invocation, self._usual))
        self._waiting.append(_Waiting(parts, len(parts), future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while batch := self._next_batch():
            outcomes: Sequence[Reply | Exception]
            try:
                outcomes = await self._answer([part for _, part in batch])
            except Exception as error:
                outcomes = [error] * len(batch)
            for (waiting, _), outcome in zip(batch, outcomes, strict=True):
                waiting.take(outcome)

    def _next_batch(self) -> list[tuple[_Waiting, Invocation]]:
        """Take a slice of each request in turn, those that have waited longest first, until the batch is full.

        A request's slices stay in order, and are all of one batch or of successive ones.
        """
        batch: list[tuple[_Waiting, Invocation]] = []
        work = 0
        while self._waiting and len(batch) < self._max_size and work < BATCH_WORK:
            waiting = self._waiting.popleft()
            if waiting.future.done():  # Its client has left, or one of its slices was refused.
                continue
            part, own = waiting.slices.popleft()
            batch.append((waiting, part))
            work += own
            if waiting.slices:
                self._waiting.append(waiting)
        return batch
