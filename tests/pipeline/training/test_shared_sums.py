"""Sums over workers through shared memory: what a collective gives, and nothing left behind."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from pipeline.training import shared_sums
from pipeline.training.shared_sums import SharedSums

SIZE = 10


def vectors_of(rank: int, step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(100 * step + rank)
    return [torch.randn(SIZE - 3, generator=generator), torch.randn(3, generator=generator)]


def _add_up(rank: int, workers: int, folder: str, memories: list[str]) -> None:
    shared_sums.MEMORY = Path(memories[rank % len(memories)])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=workers)
    shared = SharedSums.share(SIZE)
    steps = [] if shared is None else [shared.sum(vectors_of(rank, step)) for step in range(50)]
    torch.save(steps, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def sums_of(workers: int, folder: Path, *memories: Path) -> list[list[torch.Tensor]]:
    """Return what each worker got, step by step."""
    spawn(_add_up, (workers, str(folder), [str(memory) for memory in memories]), nprocs=workers)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(workers)]


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_all_workers_get_the_same_sums_of_every_step(tmp_path: Path, workers: int) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    got = sums_of(workers, tmp_path, memory)
    for step in range(50):
        expected = torch.stack([torch.cat(vectors_of(rank, step)).double() for rank in range(workers)]).sum(0)
        torch.testing.assert_close(got[0][step].double(), expected, rtol=1e-6, atol=1e-6)
        assert all(torch.equal(got[0][step], other[step]) for other in got)
    assert not list(memory.iterdir()), "a name in shared memory is memory lost until the machine starts again"


def test_no_worker_uses_shared_memory_if_one_cannot(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert sums_of(2, tmp_path, here, there) == [[], []]
    assert not list(here.iterdir())


def test_without_room_for_it_memory_is_not_shared(tmp_path: Path) -> None:
    """As in a container, whose shared memory is small: writing beyond it would kill the process."""
    assert sums_of(2, tmp_path, tmp_path / "missing") == [[], []]


def test_too_little_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    shared_sums._make(tmp_path / "memory", 100)
    assert not list(tmp_path.iterdir())
