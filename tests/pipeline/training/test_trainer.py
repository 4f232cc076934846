"""The loop on a copying task: it learns, stops and accumulates."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from model.search.config import SearchConfig
from model.search.search import search
from pipeline.batches.collate import Ragged
from pipeline.config import SelectBy, TrainingConfig
from pipeline.errors import InputError
from pipeline.metrics.metrics import METRICS
from pipeline.training.progress import selection_score
from pipeline.training.schedules import learning_rate
from tests.pipeline.copy_task import CopyTask, digits


def test_a_tiny_model_learns_to_copy() -> None:
    task = CopyTask(count=1200)
    trainer = task.trainer(epochs=14, dropout=0.0, label_smoothing=0.0, patience=14)
    trainer.fit()
    unseen = digits(100, seed=2)
    rows = Ragged.of_rows(unseen)
    everything = np.arange(100)
    found = search(
        trainer.model.eval(), torch.from_numpy(rows.pad(everything, 0)), torch.from_numpy(rows.lengths), SearchConfig(3)
    )
    right = sum(hypotheses[0].tokens == row[:-1] for hypotheses, row in zip(found, unseen, strict=True))
    assert right >= 90
    assert task.losses()[0] > 2 > 0.2 > task.losses()[-1]


def test_accumulating_parts_of_a_share_changes_nothing_but_the_memory() -> None:
    whole, parts = CopyTask(), CopyTask()
    whole.trainer().fit()
    parts.trainer(limit=90).fit()
    assert any(len(shares) > 1 for shares in parts.shares(0, 0, 90))
    assert parts.losses() == pytest.approx(whole.losses(), rel=1e-4)


def test_same_seed_same_run_and_another_seed_another() -> None:
    curves = []
    for seed in (1, 1, 2):
        task = CopyTask()
        task.trainer(seed=seed, epochs=1).fit()
        curves.append(task.losses())
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


def test_stops_when_bleu_has_not_risen_for_as_long_as_patience_lasts() -> None:
    task = CopyTask(count=20, bleus=[5.0, 9.0, 7.0, 9.0, 8.0, 99.0])
    progress = task.trainer(epochs=10, patience=3).fit()
    assert (progress.epoch, round(progress.best_score, 3), progress.stale) == (5, 9.0, 3)


def test_of_equal_bleu_the_lower_loss_is_better() -> None:
    task = CopyTask(count=20, bleus=[9.0] * 6, validation_losses=[3.0, 4.0, 2.0, 2.5, 2.6, 2.7])
    progress = task.trainer(epochs=10, patience=3).fit()
    assert (progress.epoch, progress.stale) == (6, 3), "the third epoch is the best"


def test_near_zero_a_falling_loss_costs_no_patience() -> None:
    task = CopyTask(count=20, bleus=[0.2, *[0.1] * 6], validation_losses=[5.0, 4.5, 4.0, 3.5, 3.6, 3.7, 3.8])
    progress = task.trainer(epochs=10, patience=3).fit()
    assert (progress.epoch, progress.stale) == (7, 3)


def test_what_selects_may_be_the_loss() -> None:
    task = CopyTask(count=20, bleus=[9.0, 8.0, 7.0, 9.0, 10.0, 11.0], validation_losses=[3.0, 2.0, 1.0, 1.5, 1.6, 1.7])
    progress = task.trainer(epochs=10, patience=3, select_by="loss").fit()
    assert (progress.epoch, progress.best_score, progress.stale) == (6, -1.0, 3)


def test_what_selects_may_be_another_metric() -> None:
    figures = {"bleu": 10.0, "chrfpp": 42.0, "validation_loss": 1.0}
    assert selection_score(figures, "chrf++") == pytest.approx(42.0)
    with pytest.raises(KeyError):
        selection_score(figures, "chrf")


def test_every_metric_that_can_select_is_one() -> None:
    titles = {metric.title.lower() for metric in METRICS.values() if metric.higher_is_better}
    assert {*get_args(SelectBy)} == titles | {"loss"}


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    trainer = CopyTask().trainer()
    with torch.no_grad():
        trainer.model.output.bias.fill_(math.inf)
    with pytest.raises(InputError, match=r"training\.learning_rate=0\.01: at step 1 the loss is nan .* has diverged"):
        trainer.fit()


def test_gradients_are_clipped_to_the_norm() -> None:
    task = CopyTask(count=50)
    trainer = task.trainer(clip_norm=1e-3)
    trainer.fit()
    assert min(figures["gradient_norm"] for figures in task.steps) > 1e-3, "the norm before clipping is reported"
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in trainer.model.parameters() if p.grad is not None))
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_learning_rate_rises_to_its_peak_and_falls_to_its_floor() -> None:
    config = TrainingConfig(learning_rate=0.5, final_learning_rate=0.1, warmup_steps=10)
    assert learning_rate(config, 1, 0.0) == pytest.approx(0.05)
    assert learning_rate(config, 10, 0.0) == pytest.approx(0.5)
    assert learning_rate(config, 500, 0.5) == pytest.approx(0.5 * 0.55)
    assert learning_rate(config, 1000, 1.0) == pytest.approx(0.05)
    assert learning_rate(TrainingConfig(warmup_steps=0), 1, 0.0) == pytest.approx(TrainingConfig().learning_rate)


def test_a_last_step_that_spoils_the_weights_ends_the_run() -> None:
    """No step comes after it whose loss would tell."""
    task = CopyTask(validation_losses=[1.0, math.nan])
    trainer = task.trainer(epochs=2)
    with pytest.raises(InputError, match=r"after step \d+ the validation loss is nan: training has diverged; lower"):
        trainer.fit()
    assert len(task.epochs) == 1, "no checkpoint has these weights"
