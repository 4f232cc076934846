"""Peak resident memory of a training process, by the tokens of its batches and its vocabulary."""

import json
import os
import subprocess
import sys
from pathlib import Path

from model.config import ModelConfig
from pipeline.training.worker import use_threads
from tests.benchmarks.training import make_shares, ours

SIZES = [(2048, 8000), (4096, 8000), (8192, 8000), (2048, 16_000), (2048, 32_000)]
"""Tokens of a batch, pieces of the vocabulary."""


def resident() -> float:
    """Return MiB of this process at its peak so far; `ru_maxrss` would begin with its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def peak(tokens: int, vocabulary: int) -> dict[str, float]:
    """Return MiB of this process at its peak after a few steps, of that at its start, and of a batch's logits."""
    before = resident()
    shares = make_shares(tokens, vocabulary, batches=4)
    window = ours(ModelConfig(), shares, vocabulary=vocabulary)
    window()
    window()
    tokens = max(share.batch.target_BT[:, 1:].numel() for share in shares)
    return {"at its start": before, "at its peak": resident(), "whole logits": tokens * vocabulary * 4 / 2**20}


def measure() -> dict[str, float]:
    """Return the peaks of fresh processes, in MiB."""
    figures: dict[str, float] = {}
    for tokens, vocabulary in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.memory", str(tokens), str(vocabulary)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        what = f"{tokens:,} tokens, {vocabulary:,} pieces"
        figures[f"{what}: peak, MiB"] = found["at its peak"]
        figures[f"{what}: above an idle process, MiB"] = found["at its peak"] - found["at its start"]
        figures[f"{what}: a batch's logits would be, MiB"] = found["whole logits"]
    return figures


if __name__ == "__main__":
    use_threads(os.cpu_count() or 1)
    sys.stdout.write(json.dumps(peak(int(sys.argv[1]), int(sys.argv[2]))))
