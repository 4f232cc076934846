"""How much of the reference the trainer feeds, and that the number of shares changes nothing of it."""

import math
from dataclasses import replace
from typing import Any

import pytest

from model.dropout import DropoutNoise
from model.forcing import TeacherForcing
from model.loss import Loss
from model.seq2seq import Batch, Seq2Seq
from pipeline.config import TrainingConfig
from pipeline.training.schedules import teacher_forcing_ratio
from tests.pipeline.copy_task import CopyTask

FORCING = {
    "constant": {"teacher_forcing": 0.3},
    "linear": {"teacher_forcing": 0.2, "teacher_forcing_schedule": "linear"},
    "sigmoid": {"teacher_forcing": 0.25, "teacher_forcing_schedule": "inverse-sigmoid", "teacher_forcing_decay": 10},
    "sigmoid-to-0": {"teacher_forcing": 0.0, "teacher_forcing_schedule": "inverse-sigmoid"},
}


@pytest.mark.parametrize(
    ("schedule", "step", "done", "ratio"),
    [
        ("constant", 1, 0.0, 0.3),
        ("constant", 900, 1.0, 0.3),
        ("linear", 1, 0.0, 1.0),
        ("linear", 1, 0.25, 0.8),
        ("linear", 7, 0.5, 0.6),
        ("linear", 900, 1.0, 0.2),
        ("sigmoid", 1, 0.9, 10 / (10 + math.exp(0.1))),
        ("sigmoid", 20, 0.0, 10 / (10 + math.exp(2))),
        ("sigmoid", 30, 0.0, 10 / (10 + math.exp(3))),
        ("sigmoid", 35, 0.0, 0.25),
        ("sigmoid-to-0", 1, 0.0, 1000 / (1000 + math.exp(0.001))),
        ("sigmoid-to-0", 6908, 0.0, 0.5),  # k ln k
        ("sigmoid-to-0", 10**9, 1.0, 0.0),
    ],
)
def test_teacher_forcing_falls_as_scheduled(schedule: str, step: int, done: float, ratio: float) -> None:
    config = TrainingConfig.model_validate(FORCING[schedule])
    assert teacher_forcing_ratio(config, step, done) == pytest.approx(ratio, abs=1e-4)


def test_teacher_forcing_is_1_by_default_and_never_rises() -> None:
    assert teacher_forcing_ratio(TrainingConfig(), 123, 0.4) == 1.0
    for settings in FORCING.values():
        config = TrainingConfig.model_validate(settings)
        ratios = [teacher_forcing_ratio(config, step, step / 2000) for step in range(1, 2001, 9)]
        assert ratios == sorted(ratios, reverse=True)
        assert all(config.teacher_forcing <= ratio <= 1.0 for ratio in ratios)


class WatchedModel(Seq2Seq):
    """Keeps the forcing that every call was given."""

    seen: list[TeacherForcing | None]

    def forward(
        self,
        batch: Batch,
        noise: DropoutNoise | None = None,
        label_smoothing: float = 0.0,
        forcing: TeacherForcing | None = None,
    ) -> Loss:
        self.seen.append(forcing and replace(forcing, step=int(forcing.step)))
        return super().forward(batch, noise, label_smoothing, forcing)


def watch(**config: Any) -> tuple[CopyTask, list[TeacherForcing | None]]:
    """Train for an epoch; return the task, and the forcing of every step."""
    task = CopyTask(count=60, tokens=90)
    trainer = task.trainer(epochs=1, **config)
    trainer.model.__class__ = WatchedModel
    assert isinstance(trainer.model, WatchedModel)
    trainer.model.seen = []
    trainer.fit()
    return task, trainer.model.seen


def test_tokens_are_fed_at_once_only_if_all_are_from_the_reference() -> None:
    task, seen = watch()
    assert len(seen) == len(task.steps) > 1
    assert seen == [None] * len(seen)
    task, seen = watch(teacher_forcing=0.4, teacher_forcing_schedule="linear", teacher_forcing_per="sentence")
    assert seen[0] is None, "the schedule begins with 1"
    later = [forcing for forcing in seen[1:] if forcing is not None]
    assert len(later) == len(seen) - 1
    assert [forcing.ratio for forcing in later] == [figures["teacher_forcing"] for figures in task.steps[1:]]
    assert {forcing.per for forcing in later} == {"sentence"}
    assert len({forcing.step for forcing in later}) == len(later), "every step draws anew"


@pytest.mark.parametrize("per", ["step", "sentence"])
def test_parts_of_a_share_draw_the_forcing_of_the_whole(per: str) -> None:
    whole, parts = CopyTask(count=120), CopyTask(count=120)
    forcing: dict[str, Any] = {"teacher_forcing": 0.5, "teacher_forcing_per": per, "epochs": 1}
    whole.trainer(dropout=0.2, **forcing).fit()
    parts.trainer(limit=90, dropout=0.2, **forcing).fit()
    assert any(len(shares) > 1 for shares in parts.shares(0, 0, 90))
    assert parts.losses() == pytest.approx(whole.losses(), rel=1e-4)
    norms = [[figures["gradient_norm"] for figures in task.steps] for task in (whole, parts)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)
