"""Requests that are answered together: those that are waiting when the model becomes free."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from pipeline.serving.protocol import Invocation, Reply

Answer = Callable[[list[Invocation]], Awaitable[list[Reply]]]


class Batcher:
    """Gives a model the requests that have come while it was busy, up to `max_size` at once.

    So a single request waits for nothing, and the more there are, the larger the batches. (Ray Serve's own decorator
    forms batches by a time limit, before the model is free: with 16 clients it put one or two into each, measured.)
    """

    def __init__(self, answer: Answer, max_size: int) -> None:
        """Take the function that answers a batch with one reply per request, and the most requests per batch."""
        self._answer = answer
        self._max_size = max_size
        self._waiting: deque[tuple[Invocation, asyncio.Future[Reply]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, invocation: Invocation) -> Reply:
        """Return the reply to a request, answered with others. Raises what answering its batch raises."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((invocation, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._max_size, len(self._waiting)))]
            # Clients that have left get no answer.
            batch = [(invocation, future) for invocation, future in batch if not future.done()]
            if not batch:
                continue
            try:
                replies = await self._answer([invocation for invocation, _ in batch])
            except Exception as error:
                outcomes: list[Reply | Exception] = [error] * len(batch)
            else:
                outcomes = list(replies)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
