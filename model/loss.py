"""Summed cross-entropy over tokens; divide by the tokens of *all* workers.

Shapes: B sentences, T target positions, P all of these, M that are not padding, C of them at a time, in K blocks; R
units of a readout, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernels.load import Kernels, array, kernels_for
from .padded_loss import padded_cross_entropy
from .rounding import ROUNDING

# Tokens whose logits are in memory at once: enough for products at full speed, and little beside the weights.
CHUNK_TOKENS = 512


@dataclass(frozen=True)
class Loss:
    """Sums, not means: sums of shares of any size can be added."""

    smoothed: Tensor
    """What training minimises, in nats, with a gradient."""
    nll: Tensor
    """The negative log-likelihood in nats, for perplexity; without a gradient."""
    tokens: Tensor
    """Target tokens that both sum over, with `end` and without padding; a whole number, on the device of the sums."""


def summed_cross_entropy(
    readouts_BTR: Tensor,
    projection_VR: Tensor,
    bias_V: Tensor,
    target_BT: Tensor,
    padding_index: int,
    label_smoothing: float = 0.0,
) -> Loss:
    """Return the loss of a batch's tokens without padding; its logits are never in memory all at once.

    `label_smoothing` spreads that share e of each token's mass evenly over the vocabulary (Szegedy et al. 2016,
    "Rethinking the Inception Architecture for Computer Vision", section 7).
    """
    states_PR, target_P = readouts_BTR.flatten(0, 1), target_BT.flatten()
    is_word_P = target_P != padding_index
    if states_PR.is_cuda:  # To gather the words, the host would have to wait until their number is known.
        smoothed, nll = padded_cross_entropy(states_PR, projection_VR, bias_V, target_P, is_word_P, label_smoothing)
        return Loss(smoothed, nll, is_word_P.sum())
    positions_M = is_word_P.nonzero().squeeze(1)
    smoothed, nll = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states_PR, projection_VR, bias_V, positions_M, target_P[positions_M], label_smoothing
    )
    return Loss(smoothed, nll, torch.tensor(positions_M.numel()))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The projection, its softmax and the loss, with their gradients, one chunk of tokens after the other.

    With z = W h + b the logits of a token y, and e the label smoothing, loss and gradient are

        nll = log sum exp z - z_y;  smoothed = nll + e (z_y - mean z)
        dz = softmax(z) - (1 - e) onehot(y) - e / V
        dh = W' dz;  dW = sum dz h';  db = sum dz

    with dx for the derivative of the loss by x. The term e / V is the same for all tokens and stays out of the
    products: it takes the mean row of W from dh, and the sum of all h from each row of dW. The loss is one number, so
    its gradients can be computed in the forward pass, where the logits are; the backward pass multiplies them by the
    gradient of that number. (F.linear_cross_entropy does the same without label smoothing.)
    """

    @staticmethod
    def forward(
        ctx: Any,
        states_PR: Tensor,
        projection_VR: Tensor,
        bias_V: Tensor,
        positions_M: Tensor,
        target_M: Tensor,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        # Rows beyond the tokens are zero, and so are their gradients.
        rows = ROUNDING.rows(len(positions_M))
        states_MR = F.pad(states_PR.index_select(0, positions_M), (0, 0, 0, rows - len(positions_M)))
        target_M = F.pad(target_M, (0, rows - len(positions_M)))
        sums = _Sums(states_MR, len(positions_M), projection_VR, bias_V, with_gradients=any(ctx.needs_input_grad))
        # Always of the same size, so that the allocator returns memory that was used before.
        logits_CV = states_MR.new_empty(CHUNK_TOKENS, len(bias_V))
        for first in range(0, len(target_M), CHUNK_TOKENS):
            chunk = slice(first, first + CHUNK_TOKENS)
            sums.add(logits_CV, chunk, target_M[chunk], smoothing)
        smoothed = sums.smooth(smoothing) if smoothing else sums.nll.clone()
        if sums.with_gradients:
            ctx.gradients = sums.d_states_MR[: len(positions_M)], sums.d_projection_VR, sums.d_bias_V
            ctx.shape, ctx.positions_M = states_PR.shape, positions_M
        ctx.mark_non_differentiable(sums.nll)
        return smoothed, sums.nll

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_smoothed: Tensor, _d_nll: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.gradients:
            raise RuntimeError("backward() can run only once: it gives away the gradients of the forward pass")
        gradients, ctx.gradients = ctx.gradients, ()
        # In place, and only where it changes something: they are as large as the weights.
        if d_smoothed != 1:
            for gradient in gradients:
                gradient *= d_smoothed
        d_states_MR, d_projection_VR, d_bias_V = gradients
        d_states_PR = d_states_MR.new_zeros(ctx.shape).index_copy_(0, ctx.positions_M, d_states_MR)
        return d_states_PR, d_projection_VR, d_bias_V, None, None, None


class _Sums:
    """Sums over the tokens so far: the likelihood, the reference tokens' logits, and the gradients."""

    def __init__(
        self, states_MR: Tensor, tokens: int, projection_VR: Tensor, bias_V: Tensor, *, with_gradients: bool
    ) -> None:
        """Take the states, of which all after the first `tokens` are zero rows."""
        self.tokens = tokens
        self.states_MR, self.projection_VR, self.bias_V = states_MR, projection_VR, bias_V
        self._factor_VR = ROUNDING.factor(projection_VR)
        self.with_gradients = with_gradients
        self.nll, self.own = states_MR.new_zeros(()), states_MR.new_zeros(())
        if with_gradients:
            # The first chunk overwrites these, if there is one.
            make = torch.empty_like if len(states_MR) else torch.zeros_like
            self.d_states_MR, self.d_projection_VR = make(states_MR), make(projection_VR)
        self.d_bias_V = torch.zeros_like(bias_V)
        self._kernels = kernels_for(states_MR)

    def add(self, logits_CV: Tensor, rows: slice, target_C: Tensor, smoothing: float) -> None:
        """Add a chunk: the tokens `rows`."""
        values_CV, tokens = logits_CV[: len(target_C)], min(len(target_C), max(0, self.tokens - rows.start))
        if self._kernels:
            self._add_by_kernel(self._kernels, values_CV, rows, target_C, tokens, smoothing)
        else:
            self._add_by_torch(values_CV, rows, target_C, tokens, smoothing)
        if self.with_gradients:
            values_CV = ROUNDING.factor(values_CV)
            ROUNDING.mm(values_CV, self._factor_VR, out=self.d_states_MR[rows])
            if rows.start:
                ROUNDING.addmm(self.d_projection_VR, values_CV.T, self.states_MR[rows])
            else:
                ROUNDING.mm(values_CV.T, self.states_MR[rows], out=self.d_projection_VR)

    def _add_by_kernel(
        self, kernels: Kernels, values_CV: Tensor, rows: slice, target_C: Tensor, tokens: int, smoothing: float
    ) -> None:
        """Replace logits by their gradients, and add these to the bias's, in one pass."""
        nll_C, own_C = values_CV.new_zeros(2, len(target_C))
        d_bias_KV = values_CV.new_empty(-(-len(target_C) // kernels.BLOCK), len(self.bias_V))
        ROUNDING.mm(self.states_MR[rows], self._factor_VR.T, out=values_CV)
        arrays = (array(tensor) for tensor in (values_CV, self.bias_V, target_C, d_bias_KV, nll_C, own_C))
        logits, bias, target, d_bias, nll, own = arrays
        kernels.cross_entropy(logits, bias, target, tokens, 1.0 - smoothing, d_bias, nll, own)
        self.d_bias_V += d_bias_KV.sum(0)
        self.nll += nll_C.sum()
        self.own += own_C.sum()

    def _add_by_torch(self, values_CV: Tensor, rows: slice, target_C: Tensor, tokens: int, smoothing: float) -> None:
        states_CR, target_C1 = self.states_MR[rows], target_C.unsqueeze(1)
        values_CV.copy_(self.bias_V)
        ROUNDING.addmm(values_CV, states_CR, self._factor_VR.T)
        own_C1 = values_CV.gather(1, target_C1)
        torch.softmax(values_CV, dim=1, out=values_CV)
        values_CV[tokens:] = 0.0
        states_CR, target_C1, own_C1 = states_CR[:tokens], target_C1[:tokens], own_C1[:tokens]
        self.nll -= self._log_probability(values_CV, states_CR, target_C1, own_C1).sum()
        self.own += own_C1.sum()
        if self.with_gradients:
            values_CV[:tokens].scatter_add_(1, target_C1, torch.full_like(own_C1, smoothing - 1))
            self.d_bias_V.addmv_(values_CV.T, values_CV.new_ones(len(values_CV)))

    def _log_probability(self, values_CV: Tensor, states_CR: Tensor, target_C1: Tensor, own_C1: Tensor) -> Tensor:
        logp_C1 = values_CV.gather(1, target_C1).log()
        rounded_C = (logp_C1 == -torch.inf).squeeze(1)
        if rounded_C.any():  # The logarithm of a probability that was rounded to 0 is still finite.
            logits_V = F.linear(states_CR[rounded_C], self.projection_VR, self.bias_V)
            logp_C1[rounded_C] = own_C1[rounded_C] - logits_V.logsumexp(1, keepdim=True)
        return logp_C1

    def smooth(self, smoothing: float) -> Tensor:
        """Return the smoothed loss, and take from the gradients the term that is the same for all tokens."""
        mean_R, sum_R, tokens = self.projection_VR.mean(0), self.states_MR.sum(0), self.tokens
        if self.with_gradients:
            share = smoothing / len(self.bias_V)
            self.d_states_MR -= smoothing * mean_R
            self.d_projection_VR -= share * sum_R
            self.d_bias_V -= share * tokens
        return self.nll + smoothing * (self.own - mean_R @ sum_R - tokens * self.bias_V.mean())
