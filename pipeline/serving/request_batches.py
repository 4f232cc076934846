"""Requests that are answered together: those that wait when the model is free."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from pipeline.serving.protocol import Ask, Reply

Answer = Callable[[list[Ask]], Awaitable[list[Reply]]]


class Batcher:
    """Hands a model the requests that have come while it was at the ones before, at most so many at once.

    So a single request waits for nothing, and the more there are, the larger the batches. (Ray Serve's own decorator
    makes up batches by a time limit, before the model is free: of 16 clients it put one or two into each, measured.)
    """

    def __init__(self, answer: Answer, most: int) -> None:
        """Take what answers a batch, one reply a request, and how many requests it may be given."""
        self._answer = answer
        self._most = most
        self._waiting: deque[tuple[Ask, asyncio.Future[Reply]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, ask: Ask) -> Reply:
        """Return the reply to a request, answered with others. Raises what answering its batch has raised."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            # Who has gone away is not answered.
            batch = [(ask, future) for ask, future in batch if not future.done()]
            if not batch:
                continue
            try:
                replies = await self._answer([ask for ask, _ in batch])
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
