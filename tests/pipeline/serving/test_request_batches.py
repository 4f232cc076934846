"""Requests answered together: each gets its own reply, none waits for a batch to fill."""

import asyncio

import pytest

from pipeline.serving.limits import SLICE_WORK
from pipeline.serving.protocol import Invocation, Reply, refusal
from pipeline.serving.request_batches import Batcher


class Model:
    """Answers each batch when it is let; remembers their sizes."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = asyncio.Event()

    async def answer(self, invocations: list[Invocation]) -> list[Reply]:
        self.batches.append([invocation.lines[0] for invocation in invocations])
        await self.free.wait()
        await asyncio.sleep(0.001)
        if "bad" in self.batches[-1]:
            raise RuntimeError("the batch failed")
        return [self.reply(invocation) for invocation in invocations]

    @staticmethod
    def reply(invocation: Invocation) -> Reply:
        if "refused" in invocation.lines:
            return refusal(400, f"line {invocation.lines.index('refused') + 1} is refused")
        return Reply(200, {"predictions": invocation.lines})


def test_what_waits_while_the_model_is_busy_is_the_next_batch() -> None:
    async def run() -> None:
        model = Model()
        batcher = Batcher(model.answer, 3, {})
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
        batcher = Batcher(model.answer, 8, {})
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


LARGE = ["x" * (SLICE_WORK // 4)] * 100
"""Lines of which a slice takes three."""


def test_a_large_request_leaves_room_for_others() -> None:
    async def run() -> None:
        model = Model()
        model.free.set()
        batcher = Batcher(model.answer, 64, {})
        large = asyncio.create_task(batcher.answer(Invocation(LARGE, {})))
        await asyncio.sleep(0)
        small = asyncio.create_task(batcher.answer(Invocation(["small"], {})))
        assert (await small).content == {"predictions": ["small"]}
        assert not large.done(), "it has to share"
        assert (await large).content == {"predictions": LARGE}, "all of it, in order"
        assert max(len(batch) for batch in model.batches) <= 7
        alone = Model()
        alone.free.set()
        await Batcher(alone.answer, 64, {}).answer(Invocation(LARGE, {}))
        assert len(alone.batches) < 8, "alone, it gets several slices at a time"

    asyncio.run(run())


def test_what_is_left_of_a_request_whose_client_is_gone_is_not_translated() -> None:
    async def run() -> None:
        model = Model()
        batcher = Batcher(model.answer, 1, {})
        gone = asyncio.create_task(batcher.answer(Invocation(LARGE, {})))
        await asyncio.sleep(0.01)
        gone.cancel()
        model.free.set()
        assert (await batcher.answer(Invocation(["next"], {}))).status == 200
        assert len(model.batches) == 2, "the slice that was being translated, and the next request"

    asyncio.run(run())


def test_a_refused_line_has_its_number_in_the_request() -> None:
    async def run() -> None:
        model = Model()
        model.free.set()
        batcher = Batcher(model.answer, 1, {})
        reply = await batcher.answer(Invocation([*LARGE, "refused", *LARGE], {}))
        assert (reply.status, reply.content["message"]) == (400, "line 101 is refused")
        assert len(model.batches) < 40, "and nothing after it is translated"

    asyncio.run(run())
