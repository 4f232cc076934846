import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import (
    _CheckpointManagerState,
    _TrainingResultState,
)
from safetensors.torch import save_file

from pipeline.cluster.ray_train_internals import SNAPSHOT
from pipeline.cluster.run_folder import (
    best_checkpoints,
    clear,
    fetch_records,
    is_whole,
    set_damaged_aside,
    share_records,
)
from pipeline.store.storage import Folder, local_folder


def write_checkpoint(folder: Path, epoch: int, bleu: float) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.safetensors"):
        save_file({"weight": torch.ones(50)}, folder / name)
    (folder / "progress.json").write_text(json.dumps({"step": 10 * epoch, "sums": {}}))
    (folder / "records.json").write_text("[]")
    figures = {"epoch": epoch, "step": 10 * epoch, "bleu": bleu, "selection_score": bleu - 1e-9 * epoch}
    (folder / "figures.json").write_text(json.dumps(figures))
    return folder


@pytest.mark.parametrize(
    "name", ["figures.json", "records.json", "progress.json", "model.safetensors", "optimizer.safetensors"]
)
def test_a_checkpoint_with_a_file_cut_short_is_not_whole(tmp_path: Path, name: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint_1", 1, 9.0)
    assert is_whole(local_folder(checkpoint))
    content = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(content[:-1])
    assert not is_whole(local_folder(checkpoint))
    (checkpoint / name).unlink()
    assert not is_whole(local_folder(checkpoint))


def test_the_best_first_of_equal_bleu_the_earlier_and_half_copied_ones_not_at_all(tmp_path: Path) -> None:
    for epoch, bleu in ((1, 5.0), (2, 9.0), (3, 9.0), (4, 99.0)):
        write_checkpoint(tmp_path / "run" / f"checkpoint_{epoch}", epoch, bleu)
    (tmp_path / "run" / "checkpoint_4" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "run.jsonl").touch()
    assert epochs(local_folder(tmp_path)) == [2, 3, 1]


def epochs(storage: Folder) -> list[float]:
    return [figures["epoch"] for _, figures in best_checkpoints(storage, "run")]


def test_a_run_whose_snapshot_a_crash_cut_short_is_set_aside(tmp_path: Path) -> None:
    storage, run = local_folder(tmp_path), tmp_path / "run"
    for epoch in (1, 2):
        write_checkpoint(run / f"checkpoint_{epoch}", epoch, 9.0)
    (run / "checkpoint_3").mkdir()
    (run / SNAPSHOT).write_text(json.dumps({"whole": True}))
    assert set_damaged_aside(storage, "run") is None
    assert run.exists()
    (run / SNAPSHOT).write_text('{"who')
    resumed = set_damaged_aside(storage, "run")
    assert resumed is not None
    assert resumed.name == "checkpoint_2", "the third is not whole"
    assert not run.exists()
    assert set_damaged_aside(storage, "run") == resumed, "also after another crash before the next checkpoint"
    assert epochs(storage) == [1, 2]


def test_a_run_that_has_lost_a_checkpoint_is_set_aside(tmp_path: Path) -> None:
    """Ray itself would refuse its snapshot at every start."""
    storage, run = local_folder(tmp_path), tmp_path / "run"
    for epoch in (1, 2):
        write_checkpoint(run / f"checkpoint_{epoch}", epoch, 9.0)
    results = [_TrainingResultState(checkpoint_dir_name=f"checkpoint_{epoch}", metrics={}) for epoch in (1, 2)]
    lists: dict[str, list[Any]] = {name: [] for name in _CheckpointManagerState.model_fields}
    fields = lists | {"ray_version": "2", "current_report_index": 2, "latest_checkpoint_result": results[1]}
    snapshot = _CheckpointManagerState(**fields | {"checkpoint_results": results})
    (run / SNAPSHOT).write_text(snapshot.model_dump_json())
    assert set_damaged_aside(storage, "run") is None
    shutil.rmtree(run / "checkpoint_1")
    resumed = set_damaged_aside(storage, "run")
    assert resumed is not None
    assert resumed.name == "checkpoint_2"
    assert not run.exists()
    shutil.rmtree(tmp_path / resumed.path)
    assert set_damaged_aside(storage, "run") is None, "from the start, then"


def test_what_served_to_resume_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    for name in ("run", "run.damaged-1", "other"):
        write_checkpoint(tmp_path / name / "checkpoint_1", 1, 9.0)
    (tmp_path / "run.jsonl").write_text("{}\n")
    for _ in range(2):
        clear(local_folder(tmp_path), "run", tmp_path / "run.jsonl")
        assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_records_are_left_for_another_machine_which_takes_the_longer_ones(tmp_path: Path) -> None:
    storage = local_folder(tmp_path / "storage")
    one, two = (tmp_path / machine / "run.jsonl" for machine in ("one", "two"))
    fetch_records(storage, one)
    assert not one.exists(), "nobody has left any"
    one.parent.mkdir()
    one.write_text("1\n2\n")
    share_records(storage, one)
    fetch_records(storage, two)
    assert two.read_text() == "1\n2\n"
    one.write_text("1\n2\n3\n")
    fetch_records(storage, one)
    assert one.read_text() == "1\n2\n3\n", "what this machine did since is not lost"


def test_records_that_cannot_be_left_stop_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "run.jsonl").touch()
    # Libraries that other tests have used set levels of their own.
    with caplog.at_level(logging.WARNING):
        share_records(local_folder(tmp_path / "file" / "ray"), tmp_path / "run.jsonl")
    assert "the records of the run stay on this machine for now" in caplog.text
