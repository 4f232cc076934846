"""What a worker does with the others' results: the same scores on every one, whoever translated what."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from model.config import ModelConfig
from pipeline.batches.collate import Ragged
from pipeline.config import RunConfig
from pipeline.data_config import BatchingConfig
from pipeline.inference.subwords import Subwords
from pipeline.training.hooks import Hooks
from pipeline.training.worker import TrainingData, WorkerInfo, gather_texts, make_trainer
from tests.pipeline.copy_task import VOCABULARY, digits

SHARES = [["Ein Hund.", "ü\u2028“"], [], ["一只狗。"]]


def _gather(rank: int, workers: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=workers)
    Path(f"{folder}/{rank}.json").write_text(json.dumps(gather_texts(SHARES[rank], torch.device("cpu"))))
    dist.destroy_process_group()


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_every_worker_gets_the_texts_of_all(tmp_path: Path, workers: int) -> None:
    spawn(_gather, (workers, str(tmp_path)), nprocs=workers)  # type: ignore[no-untyped-call]
    for rank in range(workers):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == SHARES[:workers]


def test_a_worker_by_itself_has_its_own() -> None:
    assert gather_texts(["a", "b"], torch.device("cpu")) == [["a", "b"]]


class _Digits(Subwords):
    """The sizes of a vocabulary, without its pieces."""

    source_size = target_size = VOCABULARY

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(("per_worker", "tokens", "factor"), [(None, 200, 1.0), (200, 400, 2**0.5), (400, 800, 2.0)])
def test_a_step_grows_with_the_workers_only_where_it_is_asked_to(
    per_worker: int | None, tokens: int, factor: float
) -> None:
    """And the learning rate grows with the root of the step's tokens, not silently: the trainer's steps report it."""
    rows = Ragged.of_rows(digits(300, 1))
    data = TrainingData((rows, rows), (rows, rows), [], _Digits())
    batching = BatchingConfig(tokens=200, tokens_per_worker=per_worker)
    run = RunConfig(batching=batching, model=ModelConfig(embedding_size=8, encoder_size=4, decoder_size=8))
    hooks = Hooks(lambda model: {}, lambda record: None, lambda figures, trainer: None)
    trainers = [make_trainer(data, run, WorkerInfo(rank, 2), hooks) for rank in (0, 1)]
    costs = []
    for shares in zip(*(trainer.epochs.steps(0, 0) for trainer in trainers), strict=True):
        batches = [share.batch for parts in shares for share in parts]
        costs.append(sum(batch.source_BS.numel() + batch.target_BT[:, 1:].numel() for batch in batches))
    assert tokens / 2 < max(costs) <= tokens
    assert len(costs) == len(trainers[0].epochs.tokens(0))
    assert trainers[0].config.learning_rate == pytest.approx(run.training.learning_rate * factor)
