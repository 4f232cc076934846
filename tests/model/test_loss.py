import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels import load
from model.loss import summed_cross_entropy
from model.padded_loss import padded_cross_entropy
from tests.model.afresh import gradients_are_right


def test_equals_torchs_cross_entropy_with_label_smoothing() -> None:
    torch.manual_seed(4)
    states, projection, bias = torch.randn(2, 3, 4).double(), torch.randn(9, 4).double(), torch.randn(9).double()
    target = torch.tensor([[5, 8, 3], [7, 3, 0]])
    logits = F.linear(states, projection, bias).flatten(0, 1)
    for smoothing in (0.0, 0.1, 0.7):
        loss = summed_cross_entropy(states, projection, bias, target, 0, smoothing)
        expected = F.cross_entropy(logits, target.flatten(), ignore_index=0, reduction="sum", label_smoothing=smoothing)
        torch.testing.assert_close(loss.smoothed, expected)
        torch.testing.assert_close(loss.nll, F.cross_entropy(logits, target.flatten(), ignore_index=0, reduction="sum"))
        assert loss.tokens == 5


def test_gradient_in_double_precision() -> None:
    torch.manual_seed(5)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 3, 4), (6, 4), (6,))]
    target = torch.tensor([[5, 3, 0]])

    def smoothed(states: Tensor, projection: Tensor, bias: Tensor) -> Tensor:
        return summed_cross_entropy(states, projection, bias, target, 0, 0.1).smoothed

    assert gradients_are_right(smoothed, inputs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_kernel_finds_what_torch_does_to_rounding(smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(6)
    assert load.kernels_for(torch.ones(1)), "without numba, this test would compare torch with itself"
    monkeypatch.setattr("model.loss.CHUNK_TOKENS", 4)
    inputs = [torch.randn(*shape).requires_grad_() for shape in ((3, 5, 8), (150, 8), (150,))]
    states, projection, bias = inputs
    target = torch.randint(1, 150, (3, 5))
    target[1, 2:] = 0
    results = []
    for kernels in ("on", "off"):
        monkeypatch.setenv("NMT_KERNELS", kernels)
        loss = summed_cross_entropy(states, projection, bias, target, 0, smoothing)
        results.append([loss.smoothed, loss.nll, *torch.autograd.grad(loss.smoothed, inputs)])
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # As validation calls it.
        monkeypatch.setenv("NMT_KERNELS", "on")
        torch.testing.assert_close(summed_cross_entropy(states, projection, bias, target, 0).nll, results[1][1])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(7)
    states, projection, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((4, 5, 3), (6, 3), (6,)))
    inputs = [values.requires_grad_() for values in (states, projection, bias)]
    target = torch.randint(0, 6, (4, 5))
    results = []
    for tokens in (1, 3, 1000):
        monkeypatch.setattr("model.loss.CHUNK_TOKENS", tokens)
        loss = summed_cross_entropy(states, projection, bias, target, 0, 0.2)
        results.append([loss.smoothed, loss.nll, *torch.autograd.grad(3 * loss.smoothed, inputs)])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


def test_of_a_word_whose_probability_is_rounded_to_zero_the_loss_is_still_a_number() -> None:
    states, projection, bias = torch.ones(1, 1, 1), torch.tensor([[0.0], [400.0], [0.0]]), torch.zeros(3)
    assert summed_cross_entropy(states, projection, bias, torch.tensor([[2]]), 0).nll.item() == 400
    target = torch.tensor([2])
    assert padded_cross_entropy(states[0], projection, torch.zeros(3), target, target != 0, 0.0)[1].item() == 400


def test_with_padding_masked_as_on_a_gpu_it_is_the_same_with_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(8)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((4, 5, 3), (6, 3), (6,))]
    states, projection, bias = inputs
    target = torch.randint(0, 6, (4, 5))
    target[1:, 3:] = 0
    for smoothing in (0.0, 0.2):
        expected = summed_cross_entropy(states, projection, bias, target, 0, smoothing)
        for logits in (6, 18, 6000):
            monkeypatch.setattr("model.padded_loss.CHUNK_LOGITS", logits)
            flat = target.flatten()
            smoothed, nll = padded_cross_entropy(states.flatten(0, 1), projection, bias, flat, flat != 0, smoothing)
            torch.testing.assert_close((smoothed, nll), (expected.smoothed, expected.nll))
            actual = torch.autograd.grad(3 * smoothed, inputs)
            torch.testing.assert_close(actual, torch.autograd.grad(3 * expected.smoothed, inputs, retain_graph=True))
            expected = summed_cross_entropy(states, projection, bias, target, 0, smoothing)


def test_logits_never_stand_whole_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.loss.CHUNK_TOKENS", 8)
    states, projection = torch.randn(16, 16, 4, requires_grad=True), torch.randn(5000, 4, requires_grad=True)
    target = torch.randint(1, 5000, (16, 16))
    with torch.profiler.profile(profile_memory=True) as profile:
        summed_cross_entropy(states, projection, torch.zeros(5000), target, 0).smoothed.backward()  # type: ignore[no-untyped-call]
    largest = max(event.self_cpu_memory_usage / event.count for event in profile.key_averages())
    assert largest < 256 * 5000 * 4 / 8


def test_a_second_backward_is_refused_and_not_wrong() -> None:
    states = torch.randn(1, 3, 4, requires_grad=True)
    loss = summed_cross_entropy(states, torch.randn(6, 4), torch.randn(6), torch.tensor([[5, 3, 1]]), 0).smoothed
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()  # type: ignore[no-untyped-call]
