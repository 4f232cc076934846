"""Several processes of one thread against one process of several threads, at the same global batch."""

import os
import statistics
import tempfile
from pathlib import Path

import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from model.config import ModelConfig
from pipeline.training.worker import use_threads
from tests.benchmarks.training import WINDOWS, make_shares, ours, words_of


def _work(rank: int, workers: int, threads: int, folder: str) -> None:
    use_threads(threads)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{workers}", rank=rank, world_size=workers)
    window = ours(ModelConfig(), make_shares(rank=rank, workers=workers))
    window()
    seconds = statistics.median(window() for _ in range(WINDOWS))
    if rank == 0:
        (Path(folder) / f"rate-{workers}").write_text(str(words_of(make_shares()) / seconds))
    dist.destroy_process_group()


def rate(workers: int, threads: int) -> float:
    """Return the target words a second of the trainer on so many processes of so many threads."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_work, (workers, threads, folder), nprocs=workers)  # type: ignore[no-untyped-call]
        return float((Path(folder) / f"rate-{workers}").read_text())


def measure() -> dict[str, float]:
    """Return the rates of one process on all cores, of one a core, and their ratio."""
    cores = os.cpu_count() or 1
    one, several = rate(1, cores), rate(cores, 1)
    return {
        f"1 process of {cores} threads, target tokens/s": one,
        f"{cores} processes of 1 thread, target tokens/s": several,
        "processes to threads": several / one,
    }
