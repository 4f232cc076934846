"""How long workers wait for the slowest of them, by simulation on the plan of very many pairs.

What a share of a step costs is measured here, on a small network, and fitted as a linear function of its sentences, its
padded tokens and its time steps. A step lasts as long as its slowest worker; the rest is waiting. What the sum of the
gradients over the network takes is no part of it.
"""

import argparse
import time

import numpy as np
import torch

from model.config import ModelConfig
from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.collate import Ragged, collate
from pipeline.batches.plan import Indices, Lengths, plan_epoch
from pipeline.training.hooks import Share
from tests.benchmarks.plan import make_lengths
from tests.benchmarks.training import DEVICE, VOCABULARY, make_training

RANKS = (8, 64, 512, 1024)
UNITS = ("", " per row", " per padded token", " per time step")
SAMPLED = 2000
"""Steps of each plan that are looked at, evenly spread."""
ROWS, LENGTHS, TIMES = (8, 24, 64), (5, 15, 40), 6
"""Shapes of the shares that are measured, each so often."""


def measure() -> tuple[list[float], float]:
    """Return the seconds of a share as coefficients of 1, rows, padded tokens and steps, and the median relative error.

    The errors are relative ones, and the fastest of several runs counts: others use the machine too.
    """
    shapes = [(rows, source, target) for rows in ROWS for source in LENGTHS for target in LENGTHS]
    seconds = np.array([_seconds(*shape) for shape in shapes])
    terms = np.array([[1, rows, rows * (source + target), source + target] for rows, source, target in shapes])
    used = list(range(len(UNITS)))
    while True:  # Nothing takes less than no time: a term that would is left out.
        found = np.linalg.lstsq(terms[:, used] / seconds[:, None], np.ones(len(shapes)))[0]
        if found.min() >= 0.0:
            break
        used.pop(int(found.argmin()))
    fit = np.zeros(len(UNITS))
    fit[used] = found
    return fit.tolist(), float(np.median(np.abs(terms @ fit / seconds - 1.0)))


def _seconds(rows: int, source: int, target: int) -> float:
    generator = np.random.default_rng(1)
    sides = [
        Ragged.of_rows([[*generator.integers(4, VOCABULARY, size - 1), SPECIAL_TOKENS.end] for _ in range(rows)])
        for size in (source, target)
    ]
    everything = np.arange(rows)
    batch = collate(sides[0], sides[1], everything, SPECIAL_TOKENS, DEVICE)
    share = Share(batch, torch.from_numpy(everything).to(DEVICE), rows * target)
    trainer = make_training(ModelConfig(embedding_size=128, encoder_size=64, decoder_size=128), [share])
    trainer.model.train()
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        trainer._add([share], 1.0)
        took.append(time.perf_counter() - began)
    return min(took)


def costs(
    batch: Indices, lengths: Lengths, workers: int, fit: list[float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the seconds of every worker's share of a global batch; see `share_rows`."""
    deep = -(-batch.size // workers)
    sides = np.zeros((2, deep * workers), dtype=np.int64)
    sides[:, : batch.size] = lengths.source[batch], lengths.target[batch]
    steps = sides.reshape(2, deep, workers).max(axis=1).sum(axis=0)
    rows = (batch.size - np.arange(workers) - 1) // workers + 1
    seconds = np.stack([np.ones(workers), rows, rows * steps, steps]).T @ np.array(fit)
    return np.where(rows > 0, seconds, 0.0)


def waiting(lengths: Lengths, workers: int, tokens: int, fit: list[float]) -> tuple[int, int, float, float]:
    """Return the steps of an epoch, the pairs of one, and the share of time that workers wait: all, and at worst.

    The worst is that of the hundredth step, the steps in the order of their waiting.
    """
    plan = plan_epoch(lengths, tokens * workers, 0.02, seed=1, epoch=0)
    places = np.unique(np.linspace(0, len(plan) - 1, SAMPLED).astype(np.int64))
    found = [costs(plan[int(place)], lengths, workers, fit) for place in places]
    slowest = np.array([each.max() for each in found])
    mean = np.array([each.mean() for each in found])
    pairs = round(float(plan.sizes.mean()))
    return len(plan), pairs, float(1 - mean.sum() / slowest.sum()), float(np.quantile(1 - mean / slowest, 0.99))


def main() -> None:
    """Measure, and print a line for each number of ranks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50_000_000, help="(default: %(default)s)")
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[4096, 16_384], help="per worker (default: %(default)s)"
    )
    given = parser.parse_args()
    fit, error = measure()
    print(
        "a share of a step takes, in ms: "
        + " + ".join(f"{1e3 * number:.3g}{of}" for number, of in zip(fit, UNITS, strict=True))
        + f" (median error {error:.0%})"
    )
    lengths = make_lengths(given.pairs)
    for tokens in given.tokens:
        for workers in RANKS:
            steps, pairs, share, worst = waiting(lengths, workers, tokens, fit)
            print(
                f"{workers:5,} ranks of {tokens:,} tokens: {steps:,} steps of {pairs:,} pairs, {share:.2%} of the time "
                f"waiting; of one step in a hundred more than {worst:.2%}"
            )


if __name__ == "__main__":
    main()
