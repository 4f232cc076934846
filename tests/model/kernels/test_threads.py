"""Kernels in several threads: those of torch's OpenMP, with the same results to the bit."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from model.kernels.load import array, kernels_for

SENTENCES, UNITS, WORDS = 37, 128, 300


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def lstm() -> list[Tensor]:
    gates, cells = torch.randn(1, SENTENCES, 4 * UNITS), torch.randn(2, SENTENCES, UNITS)
    rows, d_cell = torch.zeros(2, SENTENCES, UNITS), torch.randn(SENTENCES, UNITS)
    kernels = kernels_for(rows)
    assert kernels
    kernels.lstm_step(array(gates), array(cells), array(rows), 0, 0)
    kernels.lstm_back(array(gates), array(cells), array(rows[1]), array(d_cell), 0)
    return [gates, cells, rows, d_cell]


def attention() -> list[Tensor]:
    queries, keys = torch.randn(1, SENTENCES, UNITS), torch.randn(SENTENCES, 9, UNITS)
    contexts, weights = torch.zeros(1, SENTENCES, UNITS), torch.zeros(1, SENTENCES, 9)
    lengths = torch.arange(SENTENCES) % 9 + 1
    kernels = kernels_for(keys)
    assert kernels
    arrays = (array(tensor) for tensor in (keys, keys, lengths, weights))
    kernels.product_step(array(queries), 0, 0, array(contexts), 0, 0, *arrays, 1.0, 0)
    return [contexts, weights]


def loss() -> list[Tensor]:
    logits, bias = torch.randn(SENTENCES, WORDS), torch.randn(WORDS)
    kernels = kernels_for(logits)
    assert kernels
    blocks = torch.zeros(-(-SENTENCES // kernels.BLOCK), WORDS)
    sums, targets = torch.zeros(2, SENTENCES), torch.randint(0, WORDS, (SENTENCES,))
    arrays = (array(tensor) for tensor in (blocks, *sums))
    kernels.cross_entropy(array(logits), array(bias), array(targets), SENTENCES - 2, 0.9, *arrays)
    return [logits, blocks, sums]


@pytest.mark.parametrize("compute", [lstm, attention, loss])
def test_threads_change_no_bit(compute: object) -> None:
    assert callable(compute)
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        results.append(compute())
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(other, results[0], strict=True))


RUN = """
import os
import sys
import numpy
import torch
from model.kernels.load import kernels_for
torch.set_num_threads(3)
if sys.argv[1] == "another OpenMP":  # Whose threads are set otherwise: not the one that torch computes with.
    torch.get_num_threads = lambda: 99
kernels = kernels_for(torch.ones(1))
gates, cells, rows = (numpy.zeros(shape, "float32") for shape in ((1, 99, 512), (2, 99, 128), (2, 99, 128)))
before = len(os.listdir("/proc/self/task"))
kernels.lstm_step(gates, cells, rows, 0, 0)
forked = len(os.listdir("/proc/self/task")) - before
assert abs(gates[0, 98, 0] - 0.5) < 1e-6, gates
torch.randn(400, 400) @ torch.randn(400, 400)
torch.randn(400, 4000).tanh()
print(forked, len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
@pytest.mark.parametrize(("openmp", "forked"), [("torch's OpenMP", "2"), ("another OpenMP", "0")])
def test_they_are_the_threads_that_torch_computes_with(openmp: str, forked: str) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, openmp], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [forked, "2"], "threads of the kernel, and after torch has computed too"
