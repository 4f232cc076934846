"""How long the plan of an epoch takes for very many pairs, how much memory, and how soon a step in it is found."""

import argparse
import resource
import sys
import time
from fractions import Fraction

import numpy as np

from pipeline.batches.mixture import Mixture, Place, Stage, plan_mixture
from pipeline.batches.plan import Lengths, plan_epoch
from pipeline.data_config import BatchingConfig

UNIT = 2**10 if sys.platform == "linux" else 1
"""Bytes of `ru_maxrss`."""


def make_lengths(pairs: int) -> Lengths:
    """Return so many pairs of lengths, about as those of a large parallel corpus."""
    generator = np.random.default_rng(1)
    source = np.clip(generator.gamma(3.0, 11.0, pairs), 2, 100).astype(np.int64)
    target = np.clip(source + generator.normal(0.0, 4.0, pairs), 2, 100).astype(np.int64)
    return Lengths(source, target)


def _measure_mixture(lengths: Lengths) -> None:
    """Plan the second epoch of two sources with equal shares, of which one has a fiftieth of the pairs."""
    pairs = lengths.source.size
    mixture = Mixture((pairs - pairs // 50, pairs // 50), (Stage((0.5, 0.5)),))
    began = time.perf_counter()
    plan = plan_mixture(lengths, mixture, BatchingConfig(tokens=16_384), 1, 1, Place(Fraction(1)))
    took = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**30
    print(
        f"two sources in equal shares, one with a fiftieth of the pairs, steps of 16,384: {len(plan):,} planned in "
        f"{took:.1f} s; at most {memory:.1f} GiB"
    )


def main() -> None:
    """Measure, and print a line for each size of batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50_000_000, help="(default: %(default)s)")
    given = parser.parse_args()
    lengths = make_lengths(given.pairs)
    target = lengths.target
    _measure_mixture(lengths)
    for tokens in (16_384, 2_048):
        began = time.perf_counter()
        plan = plan_epoch(lengths, tokens, 0.02, seed=1, epoch=0)
        planned = time.perf_counter()
        counted = sum(plan.sums(target).tolist())
        summed = time.perf_counter()
        step = plan[len(plan) // 2].size
        found = time.perf_counter()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**30
        print(
            f"{given.pairs:,} pairs, {counted:,} target tokens, steps of {tokens:,}: {len(plan):,} steps planned in "
            f"{planned - began:.1f} s, their tokens counted in {summed - planned:.1f} s, the middle one ({step} pairs) "
            f"found in {(found - summed) * 1e6:.0f} us; at most {memory:.1f} GiB"
        )


if __name__ == "__main__":
    main()
