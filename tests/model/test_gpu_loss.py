"""The loss's kernel for GPUs against torch's softmax, in Triton's interpreter where there is no GPU."""

import pytest
import torch

pytest.importorskip("triton")

from model.gpu_loss import TOKENS, cross_entropy_rows

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("vocabulary", [7, 2 * TOKENS, 2 * TOKENS + 5])
def test_likelihood_and_gradient_are_those_of_torch(vocabulary: int) -> None:
    torch.manual_seed(3)
    logits = 8 * torch.randn(5, vocabulary, device=DEVICE)
    target = torch.tensor([0, 3, vocabulary - 1, 0, vocabulary // 2], device=DEVICE)
    logits[1, 3], logits[4, 0] = -1e4, 1e4  # A probability that is rounded to 0 has a finite logarithm, too.
    words = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0], device=DEVICE)
    smoothing, place = 0.1, target.unsqueeze(1)
    own = logits.gather(1, place).squeeze(1) * words
    nll = (logits.double().logsumexp(1) - logits.double().gather(1, place).squeeze(1)) * words
    gradient = logits.softmax(1).scatter_add(1, place, torch.full_like(place, 1, dtype=torch.float32) * (smoothing - 1))
    found_nll, found_own = cross_entropy_rows(logits, target, words, smoothing)
    torch.testing.assert_close((found_nll, found_own), (nll.float(), own))
    torch.testing.assert_close(logits, gradient * words.unsqueeze(1))
