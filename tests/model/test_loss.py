import torch
import torch.nn.functional as F

from model.loss import summed_cross_entropy


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
        assert loss.words == 5


def test_gradient_in_double_precision() -> None:
    torch.manual_seed(5)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((1, 3, 4), (6, 4), (6,))]
    target = torch.tensor([[5, 3, 0]])
    assert torch.autograd.gradcheck(
        lambda states, projection, bias: summed_cross_entropy(states, projection, bias, target, 0, 0.1).smoothed, inputs
    )
