"""Windows of training on a GPU, by graphs, by calls or by plain PyTorch; their time, memory and kernels."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from model.config import ModelConfig
from pipeline.training.hooks import Share
from pipeline.training.trainer import Trainer
from tests.benchmarks.memory import resident
from tests.benchmarks.training import DEVICE, Window, make_shares, make_training, plain, window_of, words_of

NO_GRAPHS = "not used"
MAX_PADDING = 0.1
"""Of a batch, as in the presets for GPUs: large batches of sentences that are nearly of one length are cut in half."""
TOP = 12
"""Kernels that are named."""


@dataclass(frozen=True)
class Measured:
    """Windows of one network at one size of batch."""

    shares: Sequence[Share]
    window: Window
    trainer: Trainer | None
    """None of plain PyTorch."""

    @property
    def steps(self) -> int:
        """Steps of a window."""
        return len(self.shares)

    @property
    def target_tokens(self) -> int:
        """Target tokens of a window, padding not counted."""
        return words_of(self.shares)

    @property
    def tokens(self) -> int:
        """Source and target tokens of a window, padding not counted."""
        return self.target_tokens + sum(int(share.batch.source_lengths_B.sum()) for share in self.shares)

    def seconds(self, warm_up: int, windows: int) -> float:
        """Return the median time of a window."""
        if DEVICE.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(warm_up):
            self.window()
        return statistics.median(self.window() for _ in range(windows))

    @property
    def graphs(self) -> str:
        """Say what part the graphs had."""
        return NO_GRAPHS if self.trainer is None else self.trainer.graphs_used


def measured(
    config: ModelConfig, tokens: int, pieces: int, batches: int, *, graphs: bool = True, plain_torch: bool = False
) -> Measured:
    """Return windows over `batches` batches of so many tokens, of Multi30k's lengths and any words."""
    shares = make_shares(tokens, pieces, batches=batches, max_padding=MAX_PADDING)
    if plain_torch:
        return Measured(shares, plain(config, shares, pieces), None)
    trainer = make_training(config, shares, vocabulary=pieces, graphs=graphs)
    return Measured(shares, window_of(trainer), trainer)


def memory() -> dict[str, float]:
    """Return MiB: what tensors took at their peak, what torch holds, and all that is taken of the GPU, graphs too."""
    if DEVICE.type != "cuda":
        return {"peak memory of the process, MiB": resident()}
    free, total = torch.cuda.mem_get_info()
    return {
        "tensors at their peak, MiB": torch.cuda.max_memory_allocated() / 2**20,
        "held by torch, MiB": torch.cuda.memory_reserved() / 2**20,
        "taken of the GPU, MiB": (total - free) / 2**20,
    }


def top_kernels(run: Measured) -> dict[str, float | str]:
    """Return the kernels that take most of a window's time, each as a share of all, and the launches of a step."""
    run.seconds(warm_up=3, windows=1)
    on_gpu = DEVICE.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        seconds = run.window()
    spent = {
        event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in profiler.key_averages()
        if not on_gpu or event.device_type == DeviceType.CUDA
    }
    busy = sum(microseconds for microseconds, _ in spent.values())
    figures: dict[str, float | str] = {
        "launches a step": sum(count for _, count in spent.values()) / run.steps,
        "busy, share of the time": busy / 1e6 / seconds,
    }
    for name, (microseconds, count) in sorted(spent.items(), key=lambda item: -item[1][0])[:TOP]:
        figures[f"{name[:60]}, {count / run.steps:.0f} a step, share"] = microseconds / busy
    return figures
