"""Trainings measured in updates, tokens and time, stopped at any step, and continued as if they had not been."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import InputError
from pipeline.training.checkpoint import load_checkpoint, read_progress, save_checkpoint
from pipeline.training.gradients import StepLoss
from pipeline.training.trainer import Trainer
from tests.pipeline.copy_task import CopyTask, Figures


def stop_after(trainer: Trainer, step: int) -> None:
    """Have a trainer stop after a step, as the outside asks for."""
    trainer.hooks = replace(trainer.hooks, stop_asked=lambda: trainer.progress.step == step - 1)


def without_times(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if not name.endswith(("_second", "_seconds", "_share"))}


@pytest.mark.parametrize("step", [1, 7, 12, 13, 30])
def test_a_run_that_was_stopped_at_any_step_goes_on_as_if_it_had_not_been(tmp_path: Path, step: int) -> None:
    """Twelve steps are an epoch: in the middle, at its end, and where a validation is due."""
    options: dict[str, Any] = {"epochs": 3, "validate_every": "15 updates", "teacher_forcing": 0.7}
    whole, stopped = CopyTask(count=100, tokens=100), CopyTask(count=100, tokens=100)
    reference = whole.trainer(**options)
    reference.fit()
    assert len(whole.plan(0)) == 12
    first = stopped.trainer(**options)
    stop_after(first, step)
    first.hooks = replace(first.hooks, save=lambda trainer: save_checkpoint(trainer, tmp_path))
    first.fit()
    assert first.stopped
    torch.manual_seed(99)  # Nothing may hang on the state of the global generator.
    second = stopped.trainer(**options)
    load_checkpoint(second, tmp_path)
    assert second.progress.step == step
    second.fit()
    assert [without_times(each) for each in stopped.steps] == [without_times(each) for each in whole.steps]
    assert [without_times(each) for each in stopped.epochs] == [without_times(each) for each in whole.epochs]
    assert [figures["step"] for figures in whole.epochs] == [15, 30, 36], "the last steps are validated too"
    for name, parameter in reference.model.named_parameters():
        torch.testing.assert_close(second.model.get_parameter(name), parameter, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "validated"),
    [
        ({"epochs": 2}, [12, 24]),
        ({"until": ["2 epochs"]}, [12, 24]),
        ({"until": ["20 updates"]}, [12, 20]),
        ({"until": ["20 updates", "1 epoch"]}, [12]),
        ({"until": ["20 updates"], "validate_every": "8 updates"}, [8, 16, 20]),
        ({"until": ["1.5 epochs"], "validate_every": "0.5 epochs"}, [6, 12, 18]),
        ({"until": ["1 epoch"], "validate_every": "250 tokens"}, [6, 12]),
        ({"until": ["400 tokens"], "validate_every": "1k updates"}, [10]),
        ({"epochs": 9, "validate_every": "4 updates", "patience": 2, "bleus": [9.0, 8.0, 7.0]}, [4, 8, 12]),
    ],
)
def test_validations_and_the_end_come_when_their_units_have_passed(
    options: dict[str, Any], validated: list[int]
) -> None:
    task = CopyTask(count=100, tokens=100, bleus=options.pop("bleus", ()))
    tokens = sum(int(length) for length in task.rows.lengths)
    assert 500 < tokens < 550, "an epoch's"
    progress = task.trainer(**options).fit()
    assert [figures["step"] for figures in task.epochs] == validated
    assert progress.step == validated[-1]


def test_the_schedule_follows_the_unit_that_ends_the_run() -> None:
    by_updates, by_epochs, by_time = (CopyTask(count=100, tokens=100) for _ in range(3))
    by_updates.trainer(until=["24 updates"]).fit()
    by_epochs.trainer(epochs=2).fit()
    assert [figures["learning_rate"] for figures in by_updates.steps] == pytest.approx(
        [figures["learning_rate"] for figures in by_epochs.steps]
    )
    trainer = by_time.trainer(until=["9 hours"], warmup_steps=0)
    stop_after(trainer, 24)
    trainer.fit()
    assert {figures["learning_rate"] for figures in by_time.steps} == {0.01}, "a clock only stops"


def clock(monkeypatch: pytest.MonkeyPatch, seconds_per_step: Callable[[int], float]) -> None:
    """Let steps take so many seconds, by their number."""
    now, finish = [0.0], Trainer._finish

    def later(trainer: Trainer, taken: Any, began: float) -> Any:
        now[0] += seconds_per_step(taken.place.step)
        return finish(trainer, taken, began)

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(Trainer, "_finish", later)


def test_hours_end_a_run_and_minutes_save_and_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, lambda _: 600.0)
    saved: list[int] = []
    task = CopyTask(count=100, tokens=100)
    trainer = task.trainer(until=["9 epochs", "1.5 hours"], validate_every="60 minutes", save_every="20 minutes")
    trainer.hooks = replace(trainer.hooks, save=lambda trainer: saved.append(trainer.progress.step))
    progress = trainer.fit()
    # What the clock says before a step is done after it: every worker must hear of it first.
    assert [figures["step"] for figures in task.epochs] == [7, 10]
    assert saved == [3, 6, 10], "the last before a validation"
    assert progress.seconds == 6000.0
    assert trainer.finished


def test_a_run_whose_time_is_up_is_not_begun_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock(monkeypatch, lambda _: 600.0)
    task = CopyTask(count=100, tokens=100)
    trainer = task.trainer(until=["1 hour"])
    trainer.fit()
    save_checkpoint(trainer, tmp_path)
    again = task.trainer(until=["1 hour"])
    load_checkpoint(again, tmp_path)
    again.fit()
    assert again.progress == trainer.progress


def test_saves_between_validations_do_not_change_the_run() -> None:
    plain, saving = CopyTask(count=100, tokens=100), CopyTask(count=100, tokens=100)
    plain.trainer().fit()
    saved: list[int] = []
    trainer = saving.trainer(save_every="5 updates")
    trainer.hooks = replace(trainer.hooks, save=lambda trainer: saved.append(trainer.progress.step))
    trainer.fit()
    assert saved == [5, 10, 15, 20], "the validations save as well"
    assert saving.losses() == plain.losses()


def test_much_work_is_saved_before_a_validation_which_may_take_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who is killed during it, since he was told to stop, goes on with it."""
    clock(monkeypatch, lambda step: 30.0 if step <= 12 else 1.0)
    task, saved = CopyTask(count=100, tokens=100), list[int]()

    def save(trainer: Trainer) -> None:
        saved.append(trainer.progress.step)
        save_checkpoint(trainer, tmp_path)

    trainer = task.trainer(epochs=2)
    trainer.hooks = replace(trainer.hooks, save=save)
    trainer.fit()
    assert saved == [12], "the second epoch took twelve seconds"
    again = CopyTask(count=100, tokens=100)
    resumed = again.trainer(epochs=2)
    load_checkpoint(resumed, tmp_path)
    resumed.fit()
    assert [each["step"] for each in again.epochs] == [12, 24]
    assert [each["step"] for each in again.steps] == list(range(13, 25))


def broken(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Spoil the loss of some steps."""
    accumulate = Trainer._accumulate

    def spoil(trainer: Trainer, *arguments: Any) -> None:
        accumulate(trainer, *arguments)
        if trainer.progress.step + 1 in steps:
            trainer._gradients._totals[0] = torch.nan

    monkeypatch.setattr(Trainer, "_accumulate", spoil)


def test_bad_batches_are_passed_over_as_often_as_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, {3, 5})
    task = CopyTask(count=100, tokens=100)
    trainer = task.trainer(epochs=1, skip_bad_batches=2)
    trainer.fit()
    assert trainer.progress.skipped == 2
    assert [text.partition(",")[0] for text in task.warnings] == ["step 3 is passed over", "step 5 is passed over"]
    assert "training.skip_bad_batches=2" in task.warnings[0]
    assert "batch 2 of epoch 0" in task.warnings[0]
    assert all(loss == loss for loss in [task.epochs[0]["train_loss"]]), "their loss is not in the mean"
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_one_bad_batch_more_ends_the_run_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, {3, 12})
    trainer = CopyTask(count=100, tokens=100).trainer(epochs=1, skip_bad_batches=1)
    with pytest.raises(
        InputError, match=r"at step 12 the loss is nan .*skip_bad_batches=1 to pass .*batch 11 of epoch 0"
    ):
        trainer.fit()


def room_for(monkeypatch: pytest.MonkeyPatch, sentences: int) -> list[int]:
    """Let no more sentences fit the memory at once; return a list that gets the sizes of those that were tried."""
    accumulate, tried = Trainer._accumulate, list[int]()

    def limited(trainer: Trainer, batch: Any, rows: Any, *arguments: Any) -> None:
        tried.append(len(rows))
        if len(rows) > sentences:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        accumulate(trainer, batch, rows, *arguments)

    monkeypatch.setattr(Trainer, "_accumulate", limited)
    return tried


def test_what_does_not_fit_the_memory_is_computed_in_halves_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, halved = CopyTask(count=100, tokens=100), CopyTask(count=100, tokens=100)
    whole.trainer(epochs=2).fit()
    largest = max(batch.size for batch in whole.plan(0))
    tried = room_for(monkeypatch, largest - 1)
    halved.trainer(epochs=2).fit()
    assert halved.losses() == pytest.approx(whole.losses(), rel=1e-4)
    assert [text.partition(" did")[0] for text in halved.warnings] == [f"step {1 + tried.index(largest)}"]
    assert "CUDA out of memory" in halved.warnings[0]
    after = tried[tried.index(largest) + 1 :]
    assert sum(after) == 200 - sum(tried[: tried.index(largest)]), "each sentence once, and none of the failed attempt"


def test_what_does_not_fit_in_halves_either_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, 1)
    with pytest.raises(torch.OutOfMemoryError):
        CopyTask(count=100, tokens=100).trainer(epochs=1).fit()


def test_a_checkpoint_of_another_version_is_none(tmp_path: Path) -> None:
    trainer = CopyTask(count=20).trainer(epochs=1)
    trainer.fit()
    save_checkpoint(trainer, tmp_path)
    file = tmp_path / "progress.json"
    assert read_progress(tmp_path)[0] == trainer.progress
    for change in ({"sums": None}, {"sums": {"unheard": 1}}, {"unheard": 1}):
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(ValueError, match=r"progress\.json: not the progress of a training by this version"):
            read_progress(tmp_path)


def test_what_any_worker_asks_for_is_read_with_the_loss() -> None:
    assert not any(StepLoss(1.0, 1.0, 1, 1.0).asks)
    task = CopyTask(count=20)
    trainer = task.trainer(epochs=1, validate_every="9k updates")
    trainer.hooks = replace(trainer.hooks, stop_asked=lambda: True)
    trainer.fit()
    assert (trainer.stopped, trainer.progress.step, task.epochs) == (True, 1, [])
