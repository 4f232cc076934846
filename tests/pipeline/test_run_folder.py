import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.run_folder import SNAPSHOT, best_checkpoints, is_whole, set_damaged_aside


def write_checkpoint(folder: Path, epoch: int, bleu: float) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.safetensors"):
        save_file({"weight": torch.ones(50)}, folder / name)
    (folder / "progress.json").write_text("{}")
    figures = {"epoch": epoch, "step": 10 * epoch, "bleu": bleu, "rank": bleu - 1e-9 * epoch}
    (folder / "figures.json").write_text(json.dumps(figures))
    return folder


@pytest.mark.parametrize("name", ["figures.json", "progress.json", "model.safetensors", "optimizer.safetensors"])
def test_a_checkpoint_with_a_file_cut_short_is_not_whole(tmp_path: Path, name: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint_1", 1, 9.0)
    assert is_whole(checkpoint)
    content = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(content[:-1])
    assert not is_whole(checkpoint)
    (checkpoint / name).unlink()
    assert not is_whole(checkpoint)


def test_the_best_first_of_equal_bleu_the_earlier_and_half_copied_ones_not_at_all(tmp_path: Path) -> None:
    for epoch, bleu in ((1, 5.0), (2, 9.0), (3, 9.0), (4, 99.0)):
        write_checkpoint(tmp_path / "run" / f"checkpoint_{epoch}", epoch, bleu)
    (tmp_path / "run" / "checkpoint_4" / "model.safetensors").write_bytes(b"half")
    assert [figures["epoch"] for _, figures in best_checkpoints(tmp_path, "run")] == [2, 3, 1]


def test_a_run_whose_snapshot_a_crash_cut_short_is_set_aside(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for epoch in (1, 2):
        write_checkpoint(run / f"checkpoint_{epoch}", epoch, 9.0)
    (run / "checkpoint_3").mkdir()
    (run / SNAPSHOT).write_text(json.dumps({"whole": True}))
    assert set_damaged_aside(run) is None
    assert run.exists()
    (run / SNAPSHOT).write_text('{"who')
    resumed = set_damaged_aside(run)
    assert resumed is not None
    assert resumed.name == "checkpoint_2", "the third is not whole"
    assert not run.exists()
    assert set_damaged_aside(run) == resumed, "also after another crash before the next checkpoint"
    assert [figures["epoch"] for _, figures in best_checkpoints(tmp_path, "run")] == [1, 2]
