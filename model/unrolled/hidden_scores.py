"""Attention at every step by the scores with hidden layers, concat and perceptron; attention.py has the equations.

Shapes: B sentences, T steps, P all of these or all source positions of all sentences, S source positions, A
annotation units, H decoder units, K units of a key and of a hidden layer, X units of a row.
"""

import torch
from torch import Tensor

from ..kernels.load import array
from ..rounding import ROUNDING
from ..scores import ConcatScore, MlpScore, Score
from .attention import AttendedSource, Attending, Place

_aten = torch.ops.aten


def weights_of(score: Score) -> tuple[Tensor, ...]:
    """Return the weights of a score that its steps read: all but those of its keys."""
    match score:
        case ConcatScore():
            return score.queries.weight, score.energy.weight
        case MlpScore():
            return score.queries.weight, score.hidden.weight, score.hidden.bias, score.energy.weight
    return ()


class ConcatSteps(Attending):
    """Additive scores. The layer between is computed again on the way back: it is as large as all keys of all steps."""

    def __init__(self, source: AttendedSource, queries: Place, contexts: Place) -> None:
        """See `Attending`."""
        super().__init__(source, queries, contexts)
        from_query_KH, *_, energy_1K = weights_of(source.score)
        self._from_query_KH, self._energy_K = from_query_KH, energy_1K.squeeze(0)
        self._queries_TBK = queries.rows_TBX.new_empty(queries.steps, len(self._keys_BSK), len(from_query_KH))
        self._projected = self._queries_TBK.unbind()
        if self._kernels:
            self._query_array, self._energy = array(self._queries_TBK), array(self._energy_K)

    def _project(self, t: int) -> None:
        torch.mm(self._query[t], self._from_query_KH.T, out=self._projected[t])

    def _first(self, t: int) -> Tensor:
        """Return tanh(query + key), (B, S, K)."""
        return (self._projected[t].unsqueeze(1) + self._keys_BSK).tanh_()

    def step(self, t: int) -> None:
        """Read the query of step t, and write its context vector."""
        self._project(t)
        if self._kernels:
            contexts, to_row, to_unit = self._to
            self._kernels.concat_step(
                *(self._query_array, contexts, to_row + t, to_unit, self._keys, self._notes, self._lengths),
                *(self._weight_array, self._energy, t),
            )
        else:
            self._attend(t, self._first(t) @ self._energy_K + self.source.padding_bias_BS)

    def prepare_backward(self, d_contexts: Place) -> None:
        """Allocate gradients; `d_contexts` is where the caller writes those of the context vectors."""
        super().prepare_backward(d_contexts)
        self._d_queries_TBK = torch.empty_like(self._queries_TBK)
        self._d_projected = self._d_queries_TBK.unbind()
        self._d_keys_BSK = torch.zeros_like(self._keys_BSK)
        self._d_energy_BK = self._keys_BSK.new_zeros(len(self._keys_BSK), len(self._energy_K))
        if self._kernels:
            self._d_arrays = array(self._d_queries_TBK), array(self._d_keys_BSK), array(self._d_energy_BK)

    def back(self, t: int, d_query_BH: Tensor) -> None:
        """Go back over step t, and add the gradient of its query."""
        if self._kernels:
            self._kernels.concat_back(
                *(*self._from, self._query_array, self._keys, self._notes, self._lengths, self._weight_array),
                *(self._energy, self._d_scores, *self._d_arrays, t),
            )
        else:
            first_BSK, d_scores_BS = self._first(t), self._d_score(t)
            self._d_energy_BK += torch.bmm(d_scores_BS.unsqueeze(1), first_BSK).squeeze(1)
            self._back_to_query(t, d_scores_BS.unsqueeze(2) * self._energy_K, first_BSK)
        d_query_BH.addmm_(self._d_projected[t], self._from_query_KH)

    def _back_to_query(self, t: int, d_first_BSK: Tensor, first_BSK: Tensor) -> None:
        """Write the gradient of the query's part, and add that of the keys."""
        d_sum_BSK = _aten.tanh_backward(d_first_BSK, first_BSK)
        self._d_keys_BSK += d_sum_BSK
        torch.sum(d_sum_BSK, dim=1, out=self._d_projected[t])

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of keys and annotations, of what multiplies the queries, and of the energies."""
        d_queries_PK, queries_PH = self._d_queries_TBK.flatten(0, 1), self._queries.all().flatten(0, 1)
        d_energy_1K = self._d_energy_BK.sum(0, keepdim=True)
        return self._d_keys_BSK, self._d_annotations(), d_queries_PK.T @ queries_PH, d_energy_1K


class MlpSteps(ConcatSteps):
    """Scores of a perceptron with two hidden layers; the second one of every step is kept."""

    def __init__(self, source: AttendedSource, queries: Place, contexts: Place) -> None:
        """See `Attending`."""
        super().__init__(source, queries, contexts)
        _, self._second_KK, self._bias_K, _ = weights_of(source.score)
        self._second_factor_KK = ROUNDING.factor(self._second_KK)
        self._second_TBSK = self._keys_BSK.new_empty(queries.steps, *self._keys_BSK.shape)
        self._first_BSK = torch.empty_like(self._keys_BSK)
        if self._kernels:
            self._second, self._first_array = array(self._second_TBSK), array(self._first_BSK)

    def _first(self, t: int) -> Tensor:
        """Return tanh(query + key), (B, S, K), in a buffer that the next step overwrites."""
        if self._kernels:
            self._kernels.mlp_first(self._query_array, self._keys, self._lengths, self._first_array, t)
            return self._first_BSK
        return super()._first(t)

    def step(self, t: int) -> None:
        """Read the query of step t, and write its context vector."""
        self._project(t)
        first_PK, second_PK = self._first(t).flatten(0, 1), self._second_TBSK[t].flatten(0, 1)
        second_PK.copy_(self._bias_K)
        ROUNDING.addmm(second_PK, first_PK, self._second_factor_KK.T)
        if self._kernels:
            contexts, to_row, to_unit = self._to
            self._kernels.mlp_step(
                *(self._second, contexts, to_row + t, to_unit, self._notes, self._lengths),
                *(self._weight_array, self._energy, t),
            )
        else:
            self._attend(t, self._second_TBSK[t].tanh_() @ self._energy_K + self.source.padding_bias_BS)

    def prepare_backward(self, d_contexts: Place) -> None:
        """Allocate gradients; `d_contexts` is where the caller writes those of the context vectors."""
        super().prepare_backward(d_contexts)
        self._d_second_KK, self._d_bias_K = torch.zeros_like(self._second_KK), torch.zeros_like(self._bias_K)

    def back(self, t: int, d_query_BH: Tensor) -> None:
        """Go back over step t, and add the gradient of its query."""
        second_BSK = self._second_TBSK[t]
        if self._kernels:
            self._kernels.mlp_back(
                *(*self._from, self._second, self._notes, self._lengths, self._weight_array),
                *(self._energy, self._d_scores, self._d_arrays[2], t),
            )
        else:
            d_scores_BS = self._d_score(t)
            self._d_energy_BK += torch.bmm(d_scores_BS.unsqueeze(1), second_BSK).squeeze(1)
            d_scores_BSK = d_scores_BS.unsqueeze(2) * self._energy_K
            _aten.tanh_backward.grad_input(d_scores_BSK, second_BSK, grad_input=second_BSK)
        first_BSK, d_second_PK = self._first(t), second_BSK.flatten(0, 1)
        self._d_bias_K += d_second_PK.sum(0)
        ROUNDING.addmm(self._d_second_KK, d_second_PK.T, first_BSK.flatten(0, 1))
        d_first_BSK = ROUNDING.product(d_second_PK, self._second_factor_KK).view_as(first_BSK)
        if self._kernels:
            d_queries, d_keys, _ = self._d_arrays
            self._kernels.mlp_first_back(array(d_first_BSK), self._first_array, self._lengths, d_queries, d_keys, t)
        else:
            self._back_to_query(t, d_first_BSK, first_BSK)
        d_query_BH.addmm_(self._d_projected[t], self._from_query_KH)

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of keys and annotations, and of all weights."""
        d_keys_BSK, d_annotations_BSA, d_from_query_KH, d_energy_1K = super().gradients()
        return d_keys_BSK, d_annotations_BSA, d_from_query_KH, self._d_second_KK, self._d_bias_K, d_energy_1K
