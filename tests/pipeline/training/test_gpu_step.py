"""A training step on a GPU, of fake tensors: the host waits nowhere in it, and no device is mixed with another."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from model.config import ModelConfig
from model.seq2seq import Seq2Seq
from pipeline.batches.collate import Ragged
from pipeline.config import TrainingConfig
from pipeline.training.trainer import Epochs, Hooks, Share, Trainer
from pipeline.training.worker import make_share, pinned
from tests.fake_cuda import GPU, fake_cuda, on_gpu
from tests.model.combinations import VOCABULARY, covering

STEPS = 3


def steps(words: int) -> Generator[list[Share], None, None]:
    """Yield a share on the GPU for each step; the longest target has `words` tokens and `end`."""
    sides = tuple(Ragged.of_rows([[4] * length + [3] for length in lengths]) for lengths in ((3, 1, 4), (words, 2, 1)))
    share = make_share((sides[0], sides[1]), np.arange(3), np.arange(3))
    for shares in pinned(iter([[share]] * STEPS)):
        yield [share.map(lambda tensor: tensor.to(GPU, non_blocking=True)) for share in shares]


def make_trainer(config: ModelConfig, words: int = 4, **training: Any) -> tuple[Trainer, list[dict[str, float]]]:
    model = on_gpu(Seq2Seq(config, VOCABULARY, VOCABULARY))
    figures: list[dict[str, float]] = []
    hooks = Hooks(lambda model: {}, lambda figure: figures.append(dict(figure)), lambda figures, trainer: None)
    epochs = Epochs(lambda epoch: steps(words), lambda epoch: STEPS)
    settings = TrainingConfig.model_validate({"log_every": 1, **training})
    return Trainer(model, settings, 0.3, epochs, hooks), figures


CHOSEN = covering()


@pytest.mark.parametrize("config", CHOSEN.values(), ids=list(CHOSEN))
def test_the_host_waits_nowhere_in_a_step(config: ModelConfig) -> None:
    with fake_cuda() as watch:
        trainer, _ = make_trainer(config)
        trainer._step(next(steps(2)), 0.1, 1.0)
        assert [str(wait) for wait in watch.waits] == []
