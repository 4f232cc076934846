"""Checkpoints: a resumed run equals an uninterrupted one."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from pipeline.training.hooks import Hooks
from pipeline.training.trainer import Trainer
from tests.pipeline.copy_task import CopyTask


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = CopyTask()
    reference = whole.trainer(epochs=3)
    reference.fit()

    stopped = CopyTask()
    first = stopped.trainer(epochs=3)

    def save_and_stop(figures: object, trainer: Trainer) -> None:
        save_checkpoint(trainer, tmp_path)
        raise KeyboardInterrupt

    first.hooks = Hooks(first.hooks.validate, first.hooks.report_step, save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    torch.manual_seed(99)  # Nothing may hang on the state of the global generator.
    second = stopped.trainer(epochs=3)
    load_checkpoint(second, tmp_path)
    assert second.progress.epoch == 1
    second.fit()
    assert stopped.losses() == whole.losses()
    for name, parameter in reference.model.named_parameters():
        torch.testing.assert_close(second.model.get_parameter(name), parameter, rtol=0, atol=0)


def test_patience_is_not_forgotten_on_resume(tmp_path: Path) -> None:
    task = CopyTask(count=20, bleus=[9.0, 8.0, 7.0])
    trainer = task.trainer(epochs=3, patience=3)
    trainer.fit()
    save_checkpoint(trainer, tmp_path)
    again = CopyTask(count=20, bleus=[6.0, 99.0])
    resumed = again.trainer(epochs=10, patience=3)
    load_checkpoint(resumed, tmp_path)
    assert resumed.fit().epoch == 4
    finished = again.trainer(epochs=3, patience=3)
    load_checkpoint(finished, tmp_path)
    assert finished.finished


def test_a_checkpoint_is_safetensors_and_json(tmp_path: Path) -> None:
    trainer = CopyTask(count=20).trainer(epochs=1)
    trainer.fit()
    save_checkpoint(trainer, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "optimizer.safetensors", "progress.json"}
    assert json.loads((tmp_path / "progress.json").read_text())["epoch"] == 1
