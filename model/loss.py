"""Summed cross-entropy over tokens; divide by the tokens of *all* workers.

Shapes: B sentences, T target positions, P all of these, N that are not padding, C of them at a time; H units, V target
vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .rounding import ROUNDING

# Words whose logits stand at once: enough for products at full speed, and of no account beside the weights.
CHUNK_TOKENS = 512


@dataclass(frozen=True)
class Loss:
    """Sums, not means: sums of shares of any size can be added."""

    smoothed: Tensor
    """What training minimises, in nats, with its gradient."""
    nll: Tensor
    """The negative log-likelihood in nats, which perplexity is made of; a constant."""
    tokens: int
    """Target tokens that both sum over, `end` counted, padding not."""


def summed_cross_entropy(
    attentional_BTH: Tensor,
    projection_VH: Tensor,
    bias_V: Tensor,
    target_BT: Tensor,
    padding_index: int,
    label_smoothing: float = 0.0,
) -> Loss:
    """Return the loss of the tokens of a batch; padding takes no part, and the logits never stand all at once.

    `label_smoothing` spreads that share e of each word's mass evenly over the vocabulary (Szegedy et al. 2016,
    "Rethinking the Inception Architecture for Computer Vision", section 7).
    """
    words_N = (target_BT != padding_index).flatten().nonzero().squeeze(1)
    target_N = target_BT.flatten()[words_N]
    smoothed, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        attentional_BTH.flatten(0, 1), projection_VH, bias_V, words_N, target_N, label_smoothing
    )
    return Loss(smoothed, nll, target_N.numel())


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The projection, its softmax and the loss, with their gradients, for some tokens after the others.

    With z = W h + b the logits of a word y, and e the label smoothing, loss and gradient are

        nll = log sum exp z - z_y;  smoothed = nll + e (z_y - mean z)
        D z = softmax(z) - (1 - e) onehot(y) - e / V
        D h = W' D z;  D W = sum D z h';  D b = sum D z

    What is the same for all tokens, e / V, stays out of the products: it takes the mean row of W from D h, and the sum
    of all h from each row of D W. A loss is one number, so that its gradients can be formed in the forward pass, where
    the logits are; the backward pass multiplies them by the number's own. (F.linear_cross_entropy does so too, without
    label smoothing, and takes a tenth longer.)
    """

    @staticmethod
    def forward(
        ctx: Any,
        states_PH: Tensor,
        projection_VH: Tensor,
        bias_V: Tensor,
        words_N: Tensor,
        target_N: Tensor,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        # Rows beyond the tokens are zeros, and so are their gradients.
        rows = ROUNDING.rows(len(words_N))
        states_NH = F.pad(states_PH.index_select(0, words_N), (0, 0, 0, rows - len(words_N)))
        target_N = F.pad(target_N, (0, rows - len(words_N)))
        sums = _Sums(states_NH, len(words_N), projection_VH, bias_V, with_gradients=any(ctx.needs_input_grad))
        # Of a size that is always the same, so that it is memory that has been used before.
        logits_CV = states_NH.new_empty(CHUNK_TOKENS, len(bias_V))
        for first in range(0, len(target_N), CHUNK_TOKENS):
            chunk = slice(first, first + CHUNK_TOKENS)
            with ROUNDING:
                sums.add(logits_CV, chunk, target_N[chunk], smoothing)
        smoothed = sums.smooth(smoothing) if smoothing else sums.nll.clone()
        if sums.with_gradients:
            ctx.gradients = sums.d_states_NH[: len(words_N)], sums.d_projection_VH, sums.d_bias_V
            ctx.shape, ctx.words_N = states_PH.shape, words_N
        ctx.mark_non_differentiable(sums.nll)
        return smoothed, sums.nll

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_smoothed: Tensor, _d_nll: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.gradients:
            raise RuntimeError("the loss can be gone back over once: its gradients have been given away")
        gradients, ctx.gradients = ctx.gradients, ()
        # In place, and on CPU not at all where it would change nothing: they are as large as the weights.
        if d_smoothed.is_cuda or d_smoothed != 1:
            for gradient in gradients:
                gradient *= d_smoothed
        d_states_NH, d_projection_VH, d_bias_V = gradients
        d_states_PH = d_states_NH.new_zeros(ctx.shape).index_copy_(0, ctx.words_N, d_states_NH)
        return d_states_PH, d_projection_VH, d_bias_V, None, None, None


class _Sums:
    """Of the tokens so far: the likelihood, the logits of the tokens themselves, and the gradients."""

    def __init__(
        self, states_NH: Tensor, tokens: int, projection_VH: Tensor, bias_V: Tensor, *, with_gradients: bool
    ) -> None:
        """Take all states, of which the first `tokens` are of tokens."""
        self.tokens = tokens
        self.states_NH, self.projection_VH, self.bias_V = states_NH, projection_VH, bias_V
        self.with_gradients = with_gradients
        self.nll, self.own = states_NH.new_zeros(()), states_NH.new_zeros(())
        if with_gradients:
            # The first tokens overwrite what is here, where there are any.
            make = torch.empty_like if len(states_NH) else torch.zeros_like
            self.d_states_NH, self.d_projection_VH = make(states_NH), make(projection_VH)
            self.d_bias_V = torch.zeros_like(bias_V)

    def add(self, logits_CV: Tensor, rows: slice, target_C: Tensor, smoothing: float) -> None:
        """Add the tokens `rows`."""
        states_CH, target_C1 = self.states_NH[rows], target_C.unsqueeze(1)
        values_CV = logits_CV[: len(target_C)]
        torch.addmm(self.bias_V, states_CH, self.projection_VH.T, out=values_CV)
        own_C1 = values_CV.gather(1, target_C1)
        torch.softmax(values_CV, dim=1, out=values_CV)
        tokens = max(0, self.tokens - rows.start)
        values_CV[tokens:] = 0.0
        states_CH, target_C1, own_C1 = states_CH[:tokens], target_C1[:tokens], own_C1[:tokens]
        self.nll -= self._log_probability(values_CV, states_CH, target_C1, own_C1).sum()
        self.own += own_C1.sum()
        if self.with_gradients:
            values_CV[:tokens].scatter_add_(1, target_C1, torch.full_like(own_C1, smoothing - 1))
            torch.mm(values_CV, self.projection_VH, out=self.d_states_NH[rows])
            states_CH, before = self.states_NH[rows], int(rows.start > 0)
            torch.addmm(self.d_projection_VH, values_CV.T, states_CH, beta=before, out=self.d_projection_VH)
            self.d_bias_V.addmv_(values_CV.T, values_CV.new_ones(len(values_CV)))

    def _log_probability(self, values_CV: Tensor, states_CH: Tensor, target_C1: Tensor, own_C1: Tensor) -> Tensor:
        logp_C1 = values_CV.gather(1, target_C1).log()
        rounded_C = (logp_C1 == -torch.inf).squeeze(1)
        if rounded_C.any():  # Of a probability that was rounded to 0 the logarithm is still a number.
            logits_V = F.linear(states_CH[rounded_C], self.projection_VH, self.bias_V)
            logp_C1[rounded_C] = own_C1[rounded_C] - logits_V.logsumexp(1, keepdim=True)
        return logp_C1

    def smooth(self, smoothing: float) -> Tensor:
        """Return the smoothed loss; take its share of the vocabulary, the same for all tokens, from the gradients."""
        mean_H, sum_H, tokens = self.projection_VH.mean(0), self.states_NH.sum(0), self.tokens
        if self.with_gradients:
            share = smoothing / len(self.bias_V)
            self.d_states_NH -= smoothing * mean_H
            self.d_projection_VH -= share * sum_H
            self.d_bias_V -= share * tokens
        return self.nll + smoothing * (self.own - mean_H @ sum_H - tokens * self.bias_V.mean())
