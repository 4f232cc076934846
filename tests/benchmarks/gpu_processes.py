"""Two processes on two GPUs against one: the same weights after the same steps, up to rounding."""

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from model.config import ModelConfig
from pipeline.training.worker import use_threads
from tests.benchmarks.training import DEVICE, make_shares, make_training, window_of

PASSES = 5
"""Over the batches: graphs are recorded in the first ones, and replayed in the last."""


def _train(rank: int, workers: int, folder: str, config: ModelConfig, tokens: int, pieces: int) -> None:
    use_threads(1)
    on_gpu = DEVICE.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(rank)
    meet = f"file://{folder}/meet-{workers}"
    dist.init_process_group("nccl" if on_gpu else "gloo", init_method=meet, rank=rank, world_size=workers)
    trainer = make_training(config, make_shares(tokens, pieces, rank, workers, batches=2), vocabulary=pieces)
    window = window_of(trainer)
    for _ in range(PASSES):
        window()
    if rank == 0:
        torch.save([parameter.detach().cpu() for parameter in trainer.model.parameters()], f"{folder}/{workers}.pt")
    dist.destroy_process_group()


def measure(config: ModelConfig, tokens: int, pieces: int) -> dict[str, float | str]:
    """Return the largest difference of a weight, as a share of the largest of its kind."""
    if DEVICE.type == "cuda" and torch.cuda.device_count() < 2:
        return {"two processes against one": "needs two GPUs"}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            spawn(_train, (workers, folder, config, tokens, pieces), nprocs=workers)  # type: ignore[no-untyped-call]
        one, two = (torch.load(Path(folder) / f"{workers}.pt", weights_only=True) for workers in (1, 2))
    differences = [(a - b).abs().max() / a.abs().max() for a, b in zip(one, two, strict=True)]
    return {"two processes against one: largest difference of a weight": float(max(differences))}
