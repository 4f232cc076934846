"""Requests answered together: each gets its own reply, none waits for a batch to fill."""

import asyncio

import pytest

from pipeline.serving.protocol import Invocation, Reply
from pipeline.serving.request_batches import Batcher


class Model:
    """Answers each batch when it is let; remembers their sizes."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = asyncio.Event()

    async def answer(self, invocations: list[Invocation]) -> list[Reply]:
        self.batches.append([invocation.lines[0] for invocation in invocations])
        await self.free.wait()
        if "bad" in self.batches[-1]:
            raise RuntimeError("the batch failed")
        return [Reply(200, {"predictions": invocation.lines}) for invocation in invocations]


def test_what_waits_while_the_model_is_busy_is_the_next_batch() -> None:
    async def run() -> None:
        model = Model()
        batcher = Batcher(model.answer, 3)
        tasks = [asyncio.create_task(batcher.answer(Invocation([str(n)], {}))) for n in range(1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert model.batches == [["0"]], "the first waits for nothing"
        tasks += [asyncio.create_task(batcher.answer(Invocation([str(n)], {}))) for n in range(1, 6)]
        await asyncio.sleep(0.01)
        assert len(model.batches) == 1, "one batch at a time"
        model.free.set()
        replies = await asyncio.gather(*tasks)
        assert model.batches == [["0"], ["1", "2", "3"], ["4", "5"]]
        assert [reply.content["predictions"] for reply in replies] == [[str(n)] for n in range(6)]
        again = await batcher.answer(Invocation(["later"], {}))
        assert again.content == {"predictions": ["later"]}

    asyncio.run(run())


def test_a_failure_and_a_client_that_leaves() -> None:
    async def run() -> None:
        model = Model()
        batcher = Batcher(model.answer, 8)
        first = asyncio.create_task(batcher.answer(Invocation(["first"], {})))
        await asyncio.sleep(0.01)
        gone, bad, good = (
            asyncio.create_task(batcher.answer(Invocation([name], {}))) for name in ("gone", "bad", "good")
        )
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        model.free.set()
        assert (await first).status == 200
        for task in (bad, good):
            with pytest.raises(RuntimeError, match="the batch failed"):
                await task
        assert model.batches == [["first"], ["bad", "good"]]
        assert (await batcher.answer(Invocation(["next"], {}))).status == 200

    asyncio.run(run())
