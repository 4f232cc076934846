"""A worker's batches: on a GPU those of a CPU, prepared by a thread that ends with the epoch."""

import threading
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from pipeline.batches.collate import Ragged
from pipeline.batches.mixture import Mixture
from pipeline.data_config import BatchingConfig, CorpusConfig
from pipeline.training.progress import Progress
from pipeline.training.worker import TrainingData, WorkerInfo, make_epochs

GENERATOR = np.random.default_rng(1)
SIDES = tuple(Ragged.of_rows([[4] * length for length in GENERATOR.integers(2, 9, 90)]) for _ in range(2))
DATA = TrainingData((SIDES[0], SIDES[1]), (SIDES[0], SIDES[1]), [], None)  # type: ignore[arg-type]
BATCHING = BatchingConfig(tokens=200, worker_tokens=60)
CURRICULUM = [{"until": "900 tokens", "weights": {"b": 1}}, {"until": "1.4 epochs", "weights": {"a": 1, "b": 1}}]
SOURCES = CorpusConfig(sources=[{"name": "a", "weight": 3}, {"name": "b", "weight": 1}], curriculum=CURRICULUM)


def test_a_device_gets_the_batches_that_a_cpu_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared by a thread, copied, and with their tokens counted on the host; "meta" stands in for a GPU."""
    monkeypatch.setattr("pipeline.training.worker.pinned", lambda steps: steps)
    on_cpu = [*make_epochs(DATA, BATCHING, 1, WorkerInfo(0, 2)).steps(0, 0)]
    copied = [*make_epochs(DATA, BATCHING, 1, WorkerInfo(0, 2, torch.device("meta"))).steps(0, 0)]
    assert [[share.tokens for share in shares] for shares in copied] == [
        [int((share.batch.target_BT[:, 1:] != 0).sum()) for share in shares] for shares in on_cpu
    ]
    for here, there in zip(chain(*on_cpu), chain(*copied), strict=True):
        assert there.rows.device.type == there.batch.source_BS.device.type == "meta"
        assert (here.rows.shape, here.batch.target_BT.shape) == (there.rows.shape, there.batch.target_BT.shape)


def test_no_thread_is_left_by_a_loop_that_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.training.worker.pinned", lambda steps: steps)
    steps = make_epochs(DATA, BATCHING, 1, WorkerInfo(0, 1, torch.device("meta"))).steps(0, 0)
    next(steps)
    assert "ahead" in {thread.name for thread in threading.enumerate()}
    steps.close()
    assert "ahead" not in {thread.name for thread in threading.enumerate()}


def test_a_curriculum_goes_on_where_it_stopped_after_any_step() -> None:
    """On one worker and on two: what an epoch has depends on the steps before it, which the progress knows."""
    mixture = Mixture.of(SOURCES, {"a": 70, "b": 20})
    data = replace(DATA, mixture=mixture)

    def taken(progress: Progress, epochs: int, workers: int) -> tuple[list[list[list[int]]], list[Progress]]:
        """Return the rows of both sides of every step from there on, and how far each step was."""
        ranks = [make_epochs(data, BATCHING, 1, WorkerInfo(rank, workers)) for rank in range(workers)]
        for each in ranks:
            each.resume(progress)
        rows, places = [], []
        for epoch in range(progress.epoch, epochs):
            tokens = ranks[0].tokens(epoch)
            for steps in zip(*(each.steps(epoch, progress.batch) for each in ranks), strict=True):
                parts = [share.batch.target_BT.shape[1] for shares in steps for share in shares]
                places.append(progress)
                rows.append([sorted(int(row) for shares in steps for share in shares for row in share.rows), parts])
                progress = progress.after_step(len(tokens), tokens[progress.batch])
        return rows, places

    for workers in (1, 2):
        whole, places = taken(Progress(), 3, workers)
        assert len({place.epoch for place in places}) == 3
        for number, place in enumerate(places):
            assert taken(place, 3, workers)[0] == whole[number:]
