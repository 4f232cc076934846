"""The loss of loss.py on a GPU: over all positions, with padding masked, so that the host waits for no count of words.

Shapes: P positions of all sentences, C of them at a time; R units of a readout, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from .kernels.load import kernels_for
from .rounding import ROUNDING

CHUNK_LOGITS = 2**25
"""Logits that are in memory at once, 128 MiB, with as much for their logarithms: products run at full speed."""


def padded_cross_entropy(
    states_PR: Tensor, projection_VR: Tensor, bias_V: Tensor, target_P: Tensor, is_word_P: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Return the smoothed loss, with a gradient, and the negative log-likelihood, both summed over the words.

    is_word_P: bool, false at padding. The equations and the order of the work are those of loss.py.
    """
    smoothed, nll = _PaddedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states_PR, projection_VR, bias_V, target_P, is_word_P, smoothing
    )
    return smoothed, nll


class _PaddedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states_PR: Tensor,
        projection_VR: Tensor,
        bias_V: Tensor,
        target_P: Tensor,
        is_word_P: Tensor,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        words_P1 = is_word_P.to(states_PR.dtype).unsqueeze(1)
        nll, own = states_PR.new_zeros(()), states_PR.new_zeros(())
        d_states_PR = torch.empty_like(states_PR)
        d_projection_VR, d_bias_V = torch.zeros_like(projection_VR), torch.zeros_like(bias_V)
        chunk, factor_VR = max(1, CHUNK_LOGITS // len(bias_V)), ROUNDING.factor(projection_VR)
        for states_CR, target_C1, words_C1, d_states_CR in zip(
            *(torch.split(values, chunk) for values in (states_PR, target_P.unsqueeze(1), words_P1, d_states_PR)),
            strict=True,
        ):
            logits_CV = bias_V.repeat(len(states_CR), 1)
            ROUNDING.addmm(logits_CV, states_CR, factor_VR.T)
            values_CV, nll_C1, own_C1 = _gradients(logits_CV, target_C1, words_C1, smoothing)
            nll += nll_C1.sum()
            own += own_C1.sum()
            d_bias_V += values_CV.sum(0)
            values_CV = ROUNDING.factor(values_CV)
            ROUNDING.mm(values_CV, factor_VR, out=d_states_CR)
            ROUNDING.addmm(d_projection_VR, values_CV.T, states_CR)
        # The term that is the same for all tokens.
        mean_R, sum_R, tokens = projection_VR.mean(0), (states_PR.T @ words_P1).squeeze(1), words_P1.sum()
        share = smoothing / len(bias_V)
        d_states_PR -= (smoothing * words_P1) * mean_R
        d_projection_VR -= share * sum_R
        d_bias_V -= share * tokens
        ctx.gradients = d_states_PR, d_projection_VR, d_bias_V
        ctx.mark_non_differentiable(nll)
        return nll + smoothing * (own - mean_R @ sum_R - tokens * bias_V.mean()), nll

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_smoothed: Tensor, _d_nll: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.gradients:
            raise RuntimeError("backward() can run only once: it gives away the gradients of the forward pass")
        gradients, ctx.gradients = ctx.gradients, ()
        for gradient in gradients:
            gradient *= d_smoothed
        return *gradients, None, None, None


def _gradients(
    logits_CV: Tensor, target_C1: Tensor, words_C1: Tensor, smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits' gradients, in whose place they may come, the likelihoods, and the reference tokens' logits."""
    kernels = kernels_for(logits_CV) if logits_CV.is_cuda else None
    if kernels:
        nll_C1, own_C1 = torch.empty_like(words_C1), torch.empty_like(words_C1)
        kernels.masked_cross_entropy(logits_CV, target_C1, words_C1, smoothing, nll_C1, own_C1)
        return logits_CV, nll_C1, own_C1
    # The logarithm of a probability is finite even where the probability is rounded to 0.
    values_CV = logits_CV.log_softmax(dim=1)
    nll_C1, own_C1 = values_CV.gather(1, target_C1).neg_() * words_C1, logits_CV.gather(1, target_C1) * words_C1
    values_CV.exp_().scatter_add_(1, target_C1, torch.full_like(words_C1, smoothing - 1)).mul_(words_C1)
    return values_CV, nll_C1, own_C1
