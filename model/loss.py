"""Summed cross-entropy over words; divide by the words of *all* workers.

Shapes: B sentences, T target positions, H units, V target vocabulary, N words that are not padding.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """Sums, not means: sums of shares of any size can be added."""

    smoothed: Tensor
    """What training minimises, in nats, with its gradient."""
    nll: Tensor
    """The negative log-likelihood in nats, which perplexity is made of; a constant."""
    words: int
    """Target tokens that both sum over, `end` counted, padding not."""


def summed_cross_entropy(
    attentional_BTH: Tensor,
    projection_VH: Tensor,
    bias_V: Tensor,
    target_BT: Tensor,
    padding_index: int,
    label_smoothing: float = 0.0,
) -> Loss:
    """Return the loss of the words of a batch; padding takes no part.

    `label_smoothing` spreads that share e of each word's mass evenly over the vocabulary (Szegedy et al. 2016,
    "Rethinking the Inception Architecture for Computer Vision", section 7). With z the logits of a word y,
    the smoothed loss is nll + e (z_y - mean z), and mean z is a single product with the mean projection.
    """
    is_word_BT = target_BT != padding_index
    states_NH, target_N = attentional_BTH[is_word_BT], target_BT[is_word_BT]
    nll = F.cross_entropy(F.linear(states_NH, projection_VH, bias_V), target_N, reduction="sum")
    smoothed = nll
    if label_smoothing:
        own_N = (states_NH * projection_VH[target_N]).sum(-1) + bias_V[target_N]
        mean_N = states_NH @ projection_VH.mean(0) + bias_V.mean()
        smoothed = nll + label_smoothing * (own_N - mean_N).sum()
    return Loss(smoothed, nll.detach(), target_N.numel())
