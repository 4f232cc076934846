"""What a worker does with the others' results: the same scores on every one, whoever translated what."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from pipeline.training.worker import gather_texts

SHARES = [["Ein Hund.", "ü\u2028“"], [], ["一只狗。"]]


def _gather(rank: int, workers: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=workers)
    Path(f"{folder}/{rank}.json").write_text(json.dumps(gather_texts(SHARES[rank], torch.device("cpu"))))
    dist.destroy_process_group()


@pytest.mark.parametrize("workers", [2, 3])
def test_every_worker_gets_the_texts_of_all(tmp_path: Path, workers: int) -> None:
    spawn(_gather, (workers, str(tmp_path)), nprocs=workers)  # type: ignore[no-untyped-call]
    for rank in range(workers):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == SHARES[:workers]


def test_a_worker_by_itself_has_its_own() -> None:
    assert gather_texts(["a", "b"], torch.device("cpu")) == [["a", "b"]]
