"""Attention at every step, one query a sentence, forward and back, in buffers: by products, concat and perceptron.

Shapes: B sentences, T steps, S source positions, H decoder units, A annotation units, K units of a key (here K = H),
X units of a row.

With e the scores, p = softmax(e) the weights and v = M' p the context vector, dx the derivative of the loss by x:

    de = p (dp - p' dp) with dp = M dv;  dM = sum p dv'
    product     e = s K h                             dh += s K' de;  dK = s sum de h'
    concat      e = w' y, y = tanh(q + k), q = Q h    du = de w (1 - y^2);  dq = dk = du;  dw = sum de y
    perceptron  e = w' x, x = tanh(C y + c)           dz = de w (1 - x^2);  dC = sum dz y';  dc = sum dz;
                                                      dy = C' dz, du = dy (1 - y^2), and on as in concat
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..kernels.load import array, kernels_for
from ..scores import ProductScore, Score

_aten = torch.ops.aten


@dataclass(frozen=True)
class AttendedSource:
    """What every step attends to, and how it scores."""

    score: Score
    keys_BSK: Tensor
    annotations_BSA: Tensor
    padding_bias_BS: Tensor
    lengths_B: Tensor


@dataclass(frozen=True)
class Place:
    """Where in rows the vectors of all steps lie: that of step t in row t + `row`, from unit `unit` on."""

    rows_TBX: Tensor
    row: int
    unit: int
    size: int
    steps: int

    def views(self) -> tuple[Tensor, ...]:
        """Return the vectors of every step."""
        return self.all().unbind()

    def all(self) -> Tensor:
        """Return the vectors of all steps: (T, B, size)."""
        return self.rows_TBX[self.row : self.row + self.steps, :, self.unit : self.unit + self.size]


class AttentionSteps(Protocol):
    """Attention at every step."""

    def step(self, t: int) -> None:
        """Read the query of step t, and write its context vector."""

    def prepare_backward(self, d_contexts: Place) -> None:
        """Allocate gradients; `d_contexts` is where the caller writes those of the context vectors."""

    def back(self, t: int, d_query_BH: Tensor) -> None:
        """Go back over step t, and add the gradient of its query."""

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of keys and annotations, and of the score's weights in the order of `weights_of`."""


class Attending:
    """What all scores have in common: from scores to context vectors."""

    def __init__(self, source: AttendedSource, queries: Place, contexts: Place) -> None:
        """Attend with the vectors at `queries`; write to `contexts`."""
        self.source, self._queries, self._contexts = source, queries, contexts
        keys_BSK, notes_BSA = source.keys_BSK.contiguous(), source.annotations_BSA.contiguous()
        self._keys_BSK, self._annotations_BSA = keys_BSK, notes_BSA
        self._weights_TBS = keys_BSK.new_empty(queries.steps, *keys_BSK.shape[:2])
        self._weights, self._query, self._context = self._weights_TBS.unbind(), queries.views(), contexts.views()
        self._kernels = kernels_for(keys_BSK)
        if self._kernels:
            self._to = array(contexts.rows_TBX), contexts.row, contexts.unit
            self._notes, self._keys = array(notes_BSA), array(keys_BSK)
            self._lengths, self._weight_array = array(source.lengths_B), array(self._weights_TBS)

    def _attend(self, t: int, scores_BS: Tensor) -> None:
        """Write weights and context vector from the scores, which have the padding's bias."""
        weights_BS = torch.softmax(scores_BS, dim=-1, out=self._weights[t])
        self._context[t].copy_(torch.bmm(weights_BS.unsqueeze(1), self._annotations_BSA).squeeze(1))

    def prepare_backward(self, d_contexts: Place) -> None:
        """Allocate gradients; `d_contexts` is where the caller writes those of the context vectors."""
        self._d_contexts, self._d_context = d_contexts, d_contexts.views()
        self._d_scores_TBS = torch.empty_like(self._weights_TBS)
        if self._kernels:
            self._from = array(d_contexts.rows_TBX), d_contexts.unit
            self._d_scores = array(self._d_scores_TBS)

    def _d_score(self, t: int) -> Tensor:
        """Write and return the gradients of the scores."""
        d_weights_BS = torch.bmm(self._d_context[t].unsqueeze(1), self._annotations_BSA.mT).squeeze(1)
        d_scores_BS = self._d_scores_TBS[t]
        _aten._softmax_backward_data.out(d_weights_BS, self._weights[t], -1, d_weights_BS.dtype, grad_input=d_scores_BS)
        return d_scores_BS

    def _d_annotations(self) -> Tensor:
        return torch.bmm(self._weights_TBS.permute(1, 2, 0), self._d_contexts.all().transpose(0, 1))


class ProductSteps(Attending):
    """Scores that are products of query and key: all of `ProductScore`."""

    def __init__(self, source: AttendedSource, queries: Place, contexts: Place) -> None:
        """See `Attending`."""
        super().__init__(source, queries, contexts)
        assert isinstance(source.score, ProductScore)
        self._scale, self._bias_B1S = source.score.scale, source.padding_bias_BS.unsqueeze(1)
        if self._kernels:
            self._from_query = array(queries.rows_TBX), queries.row, queries.unit

    def step(self, t: int) -> None:
        """Read the query of step t, and write its context vector."""
        if self._kernels:
            (queries, row, unit), (contexts, to_row, to_unit) = self._from_query, self._to
            self._kernels.product_step(
                *(queries, row + t, unit, contexts, to_row + t, to_unit),
                *(self._keys, self._notes, self._lengths, self._weight_array, self._scale, t),
            )
            return
        query_B1H = self._query[t].unsqueeze(1)
        scores_B1S = torch.baddbmm(self._bias_B1S, query_B1H, self._keys_BSK.mT, alpha=self._scale)
        self._attend(t, scores_B1S.squeeze(1))

    def back(self, t: int, d_query_BH: Tensor) -> None:
        """Go back over step t, and add the gradient of its query."""
        if self._kernels:
            self._kernels.product_back(
                *(*self._from, self._keys, self._notes, self._lengths, self._weight_array),
                *(self._scale, self._d_scores, array(d_query_BH), t),
            )
            return
        d_query_B1H, d_scores_B1S = d_query_BH.unsqueeze(1), self._d_score(t).unsqueeze(1)
        d_query_B1H.baddbmm_(d_scores_B1S, self._keys_BSK, alpha=self._scale)

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of keys and annotations, one product per sentence over all steps."""
        d_scores_BST, queries_BTH = self._d_scores_TBS.permute(1, 2, 0), self._queries.all().transpose(0, 1)
        return torch.bmm(d_scores_BST, queries_BTH).mul_(self._scale), self._d_annotations()
