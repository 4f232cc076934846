"""The kernels for GPUs against torch's operations and autograd, in Triton's interpreter where there is no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from model import gpu_kernels, gpu_loss
from tests.model import compile_gpu_kernels

B, H, S, A, K = 3, 150, 5, 70, 40
"""More units than one program takes, and no multiple of anything."""
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def draw(*sizes: int, grad: bool = False, width: int = 0) -> Tensor:
    """Draw a tensor; with `width`, as rows of a buffer that has so many more columns."""
    wide = torch.randn(*sizes[:-1], sizes[-1] + width, device=DEVICE)
    return wide[..., : sizes[-1]].requires_grad_(grad)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def test_an_lstm_step_and_back() -> None:
    sums, cell, d_hidden, d_next = draw(B, 4 * H, grad=True), draw(B, H, grad=True), draw(B, H, width=5), draw(B, H)
    enter, forget, candidate, out = sums.chunk(4, dim=1)
    expected_cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    expected = out.sigmoid() * expected_cell.tanh()
    gates, next_cell, hidden = sums.detach().clone(), torch.empty_like(cell), draw(B, H, width=7)
    gpu_kernels.lstm_step(gates, cell.detach(), next_cell, hidden)
    torch.testing.assert_close((next_cell, hidden), (expected_cell.detach(), expected.detach()))
    torch.autograd.backward((expected, expected_cell), (d_hidden, d_next))
    gpu_kernels.lstm_back(gates, cell.detach(), next_cell, d_hidden, d_next)
    torch.testing.assert_close((gates, d_next), (sums.grad, cell.grad))


def test_a_gru_step_and_back() -> None:
    sums, parts, state = draw(B, 3 * H, grad=True), draw(B, 3 * H, grad=True), draw(B, H, grad=True)
    (reset, update, candidate), (from_reset, from_update, from_state) = sums.chunk(3, dim=1), parts.chunk(3, dim=1)
    n = (candidate + (reset + from_reset).sigmoid() * from_state).tanh()
    expected = n + (update + from_update).sigmoid() * (state - n)
    gates, from_hidden, hidden = sums.detach().clone(), parts.detach().clone(), draw(B, H, width=7)
    gpu_kernels.gru_step(gates, from_hidden, state.detach(), hidden)
    torch.testing.assert_close(hidden, expected.detach())
    d_hidden = draw(B, H, width=5)
    expected.backward(d_hidden)  # type: ignore[no-untyped-call]
    gpu_kernels.gru_back(gates, from_hidden, state.detach(), d_hidden)
    torch.testing.assert_close((gates, from_hidden, d_hidden), (sums.grad, parts.grad, state.grad))


def test_attention_of_one_query_and_back() -> None:
    query, keys, annotations = draw(B, K, grad=True), draw(B, S, K, grad=True), draw(B, S, A, grad=True)
    bias = torch.tensor([[0.0] * S, [0.0] * 2 + [-torch.inf] * 3, [0.0] + [-torch.inf] * 4], device=DEVICE)
    scores = torch.einsum("bsk,bk->bs", keys, query)
    scores.retain_grad()
    expected = (0.3 * scores + bias).softmax(dim=1)
    context = torch.einsum("bs,bsa->ba", expected, annotations)
    weights, found = torch.empty_like(bias), draw(B, A, width=3)
    gpu_kernels.attend(query.detach(), keys.detach(), bias, annotations.detach(), 0.3, weights, found)
    torch.testing.assert_close((weights, found), (expected.detach(), context.detach()))
    assert weights[bias.isinf()].eq(0).all()
    d_context, d_query, d_scores = draw(B, A, width=3), torch.ones(B, K, device=DEVICE), torch.empty_like(bias)
    context.backward(d_context)  # type: ignore[no-untyped-call]
    gpu_kernels.attend_back(d_context, weights, keys.detach(), annotations.detach(), 0.3, d_scores, d_query)
    assert scores.grad is not None
    assert query.grad is not None
    torch.testing.assert_close((0.3 * d_scores, d_query), (scores.grad, 1 + query.grad))


def test_a_readout_back() -> None:
    sums, d_readout, d_fed = draw(B, H, grad=True), draw(B, H, width=2), draw(B, H, width=5)
    readout, d_sums = sums.tanh(), torch.empty(B, H, device=DEVICE)
    readout.backward(d_readout + d_fed)  # type: ignore[no-untyped-call]
    gpu_kernels.readout_back(readout.detach(), d_readout, d_fed, d_sums)
    torch.testing.assert_close(d_sums, sums.grad)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # To infinity, as it should.
def test_a_sum_of_any_size_has_a_gate() -> None:
    """No infinity becomes a NaN."""
    gates = torch.tensor([[-1e4, 1e4, 1e4, 1e4], [-90.0, -1e4, -1e4, 0.0]], device=DEVICE)
    next_cell, hidden = torch.empty(2, 1, device=DEVICE), torch.empty(2, 1, device=DEVICE)
    gpu_kernels.lstm_step(gates, torch.tensor([[50.0], [3.0]], device=DEVICE), next_cell, hidden)
    torch.testing.assert_close(next_cell.flatten().tolist(), [50.0, 0.0])
    torch.testing.assert_close(hidden.flatten().tolist(), [1.0, 0.0])


def test_every_kernel_compiles_for_cards_that_are_not_there(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.compile_gpu_kernels"],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    named = [*vars(gpu_kernels), *vars(gpu_loss)]
    kernels = {name for name in named if name.endswith(("_forward", "_backward", "_entropy_kernel"))}
    assert len(done.stdout.splitlines()) == len(kernels) * len(compile_gpu_kernels.ARCHITECTURES)
    assert kernels == set(compile_gpu_kernels.TENSORS)
