"""A worker's batches: on a GPU those of a CPU, prepared by a thread that ends with the epoch."""

import threading
from itertools import chain

import numpy as np
import pytest
import torch

from pipeline.batches.collate import Ragged
from pipeline.data_config import BatchingConfig
from pipeline.training.worker import TrainingData, WorkerInfo, make_epochs

GENERATOR = np.random.default_rng(1)
SIDES = tuple(Ragged.of_rows([[4] * length for length in GENERATOR.integers(2, 9, 90)]) for _ in range(2))
DATA = TrainingData((SIDES[0], SIDES[1]), (SIDES[0], SIDES[1]), [], None)  # type: ignore[arg-type]
BATCHING = BatchingConfig(tokens=200, worker_tokens=60)


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
