"""The kernels of a GPU against torch: in Triton's interpreter without a GPU, and not at all without Triton."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from model.kernels import load
from model.kernels.gpu.loss import TOKENS, masked_cross_entropy
from model.scores import SCORES
from tests.model.kernels.compile_gpu import ARCHITECTURES
from tests.model.unrolled import test_unroll
from tests.model.unrolled.test_unroll import ORDERS, config_of, results_of

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CASES = [
    (order, {"attention": score, "cell": cell}) for order in ORDERS for score in SCORES for cell in ("lstm", "gru")
]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Let steps be taken by the kernels of a GPU, on whichever device; the names of those that were."""
    names = set()

    class Noted:
        def __getattr__(self, name: str) -> Any:
            names.add(name)
            return getattr(load._gpu_kernels(), name)

    for module in ("cells", "attention", "unroll"):
        monkeypatch.setattr(f"model.unrolled.{module}.kernels_for", lambda tensor: Noted())
    for module in ("cells", "attention", "unroll", "hidden_scores"):
        monkeypatch.setattr(f"model.unrolled.{module}.array", torch.Tensor.detach)
    with torch.device(DEVICE):
        yield names


@pytest.mark.parametrize(("order", "options"), CASES)
def test_steps_equal_the_plain_loop_to_rounding(order: str, options: dict[str, Any], called: set[str]) -> None:
    config = config_of(order, layers=2, **options)
    expected = results_of(config, torch.float32, drops=True, unrolled=False)
    assert not called
    found = results_of(config, torch.float32, drops=True, unrolled=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert {f"{options['cell']}_step", f"{options['cell']}_back"} <= called


@pytest.mark.parametrize("score", ["general", "concat", "mlp"])
def test_more_units_and_positions_than_a_program_has_at_once(
    score: str, called: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_unroll, "UNITS", 140)
    monkeypatch.setattr(test_unroll, "SOURCE", 35)
    monkeypatch.setattr(test_unroll, "TARGET", 2)
    config = config_of(attention=score, encoder_size=70, decoder_size=140)
    expected, found = (results_of(config, torch.float32, drops=True, unrolled=unrolled) for unrolled in (False, True))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.detach().abs().max()))


@pytest.mark.parametrize("vocabulary", [7, 2 * TOKENS, 2 * TOKENS + 5])
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
def test_likelihood_and_gradient_are_those_of_torch(vocabulary: int) -> None:
    torch.manual_seed(3)
    logits = 8 * torch.randn(5, vocabulary, device=DEVICE)
    target = torch.tensor([0, 3, vocabulary - 1, 0, vocabulary // 2], device=DEVICE)
    logits[1, 3], logits[4, 0] = -1e4, 1e4  # A probability that is rounded to 0 has a finite logarithm, too.
    words = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0], device=DEVICE)
    smoothing, place = 0.1, target.unsqueeze(1)
    own = logits.gather(1, place).squeeze(1) * words
    nll = (logits.double().logsumexp(1) - logits.double().gather(1, place).squeeze(1)) * words
    gradient = logits.softmax(1).scatter_add(1, place, torch.full((5, 1), smoothing - 1, device=DEVICE))
    found = torch.empty_like(words), torch.empty_like(words)
    masked_cross_entropy(logits, target, words, smoothing, *found)
    torch.testing.assert_close(found, (nll.float(), own))
    torch.testing.assert_close(logits, gradient * words.unsqueeze(1))


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # To infinity, as it should.
def test_a_sum_of_any_size_has_a_gate() -> None:
    gates = torch.tensor([[[-1e4, 1e4, 1e4, 1e4], [-90.0, -1e4, -1e4, 0.0]]], device=DEVICE)
    cells, rows = torch.tensor([[[50.0], [3.0]], [[0.0], [0.0]]], device=DEVICE), torch.zeros(2, 2, 1, device=DEVICE)
    kernels = load._gpu_kernels()
    assert kernels is not None
    kernels.lstm_step(gates, cells, rows, 0, 0)
    torch.testing.assert_close((cells[1].flatten().tolist(), rows[1].flatten().tolist()), ([50.0, 0.0], [1.0, 0.0]))


def test_every_kernel_compiles_for_cards_that_are_not_there(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.kernels.compile_gpu"],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 15 * len(ARCHITECTURES)
