"""A task that a tiny model learns in seconds: to say again the digits that it was told."""

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import torch

from model.config import ModelConfig
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from pipeline.batches.collate import Ragged, collate
from pipeline.batches.plan import Lengths, Plan, plan_epoch, share_rows, split_share
from pipeline.config import TrainingConfig
from pipeline.training.hooks import Epochs, Hooks, Share
from pipeline.training.trainer import Trainer

VOCABULARY = 14
Figures = dict[str, float]


def digits(count: int, seed: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [[*random.integers(4, VOCABULARY, random.integers(2, 7)).tolist(), 3] for _ in range(count)]


class CopyTask:
    """Training data whose target is its source, and hooks that keep what they are told."""

    def __init__(
        self, count: int = 400, tokens: int = 400, bleus: Iterable[float] = (), validation_losses: Iterable[float] = ()
    ) -> None:
        self.rows = Ragged.of_rows(digits(count, 1))
        self.lengths = Lengths(self.rows.lengths, self.rows.lengths)
        self.tokens = tokens
        self.bleus = iter(bleus)
        self.validation_losses = iter(validation_losses)
        self.steps: list[Figures] = []
        self.epochs: list[Figures] = []
        """Of validations."""
        self.warnings: list[str] = []

    def plan(self, epoch: int) -> Plan:
        return plan_epoch(self.lengths, self.tokens, 0.02, 1, epoch)

    def shares(self, epoch: int, first: int = 0, limit: int | None = None) -> Generator[list[Share], None, None]:
        for batch in self.plan(epoch)[first:]:
            rows = share_rows(batch.size, 0, 1)
            yield [
                Share(
                    collate(self.rows, self.rows, batch[part], SPECIAL_TOKENS, torch.device("cpu")),
                    torch.from_numpy(part),
                    int(self.rows.lengths[batch[part]].sum()),
                )
                for part in split_share(rows, self.lengths.cost(batch), limit)
            ]

    def trainer(self, limit: int | None = None, dropout: float = 0.2, **config: Any) -> Trainer:
        settings = {"epochs": 2, "learning_rate": 0.01, "warmup_steps": 20, "log_every": 1, **config}
        torch.manual_seed(5)
        model = ModelConfig(embedding_size=32, encoder_size=24, decoder_size=32)
        return Trainer(
            Seq2Seq(model, VOCABULARY, VOCABULARY),
            TrainingConfig.model_validate(settings),
            dropout,
            Epochs(
                lambda epoch, first: self.shares(epoch, first, limit),
                lambda epoch: self.plan(epoch).sums(self.rows.lengths).tolist(),
            ),
            Hooks(
                validate=lambda model: {
                    "bleu": next(self.bleus, float(len(self.epochs))),
                    "validation_loss": next(self.validation_losses, 1.0),
                },
                report_step=lambda figures: self.steps.append(dict(figures)),
                report_validation=lambda figures, trainer: self.epochs.append(dict(figures)),
                warn=self.warnings.append,
            ),
        )

    def losses(self) -> list[float]:
        return [figures["loss"] for figures in self.steps]
