"""Score functions of attention: how well a decoder state and an annotation match.

Shapes: B sentences, Z queries of a sentence, S source positions, H decoder units, A annotation units, K units of a key.

A key is the annotation's part of the score, computed once per sentence; a query is a decoder state.

A new score is a class here, registered in `SCORES`, and its name in `AttentionKind` (config.py).
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .config import AttentionKind
from .cost import Matmul, Queries, attend, linear


class Score(nn.Module):
    """What all scores have in common."""

    keys: Callable[[Tensor], Tensor]
    """Makes the keys (B, S, K) from the annotations (B, S, A): a method or a layer."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__()
        self.key_size = decoder_size

    def forward(self, queries_BZH: Tensor, keys_BSK: Tensor) -> Tensor:
        """Return the scores (B, Z, S)."""
        raise NotImplementedError

    @staticmethod
    def matmuls(decoder_size: int, annotation_size: int, queries: Queries) -> Iterator[Matmul]:
        """Yield the matrix products of keys and scores in a training step."""
        raise NotImplementedError


class ProductScore(Score):
    """score(h, a) = scale h' key: what the product scores have in common once the keys are computed."""

    scale: float = 1.0

    def forward(self, queries_BZH: Tensor, keys_BSK: Tensor) -> Tensor:
        """Return the scores (B, Z, S)."""
        return torch.bmm(queries_BZH, keys_BSK.mT) * self.scale

    @staticmethod
    def matmuls(decoder_size: int, annotation_size: int, queries: Queries) -> Iterator[Matmul]:
        """Yield the products of queries and keys."""
        yield from attend(queries, decoder_size)


def is_product(score: type[Score]) -> bool:
    """Return whether unroll.py computes this score: `ProductScore`'s, not that of a subclass with its own `forward`."""
    return score.forward is ProductScore.forward


class DotScore(ProductScore):
    """score(h, a) = h' a (Luong et al. 2015, eq. 8, dot). States and annotations must have the same size."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__(decoder_size, annotation_size)
        assert decoder_size == annotation_size, "this score belongs in SCORES_OF_EQUAL_SIZES"

    def keys(self, annotations_BSA: Tensor) -> Tensor:
        """Return the keys (B, S, K)."""
        return annotations_BSA


class ScaledDotScore(DotScore):
    """score(h, a) = h' a / sqrt(H) (Vaswani et al. 2017, eq. 1)."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__(decoder_size, annotation_size)
        self.scale = 1 / math.sqrt(decoder_size)


class GeneralScore(ProductScore):
    """score(h, a) = h' W a (Luong et al. 2015, eq. 8, general)."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__(decoder_size, annotation_size)
        self.keys = nn.Linear(annotation_size, decoder_size, bias=False)

    @staticmethod
    def matmuls(decoder_size: int, annotation_size: int, queries: Queries) -> Iterator[Matmul]:
        """Yield the products of the keys, and of queries and keys."""
        yield from linear(queries.sentences * queries.source, annotation_size, decoder_size)
        yield from attend(queries, decoder_size)


class ConcatScore(Score):
    """score(h, a) = v' tanh(W [h; a]) (Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015, eq. 8, concat).

    W [h; a] is the sum of a product with h and one with a; the second is computed once per sentence.
    """

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__(decoder_size, annotation_size)
        self.queries = nn.Linear(decoder_size, decoder_size, bias=False)
        self.keys = nn.Linear(annotation_size, decoder_size, bias=False)
        self.energy = nn.Linear(decoder_size, 1, bias=False)

    def forward(self, queries_BZH: Tensor, keys_BSK: Tensor) -> Tensor:
        """Return the scores (B, Z, S)."""
        hidden_BZSK = torch.tanh(self.queries(queries_BZH).unsqueeze(2) + keys_BSK.unsqueeze(1))
        return self.energy(hidden_BZSK).squeeze(-1)  # type: ignore[no-any-return]

    @staticmethod
    def matmuls(decoder_size: int, annotation_size: int, queries: Queries) -> Iterator[Matmul]:
        """Yield the products of keys, queries and energies."""
        yield from linear(queries.sentences * queries.source, annotation_size, decoder_size)
        yield from linear(queries.rows, decoder_size, decoder_size, queries.steps)
        yield from linear(queries.pairs, decoder_size, 1, queries.steps)


class MlpScore(Score):
    """score(h, a) = v' tanh(W2 tanh(W1 [h; a] + b1) + b2): concat with a second hidden layer."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__(decoder_size, annotation_size)
        self.queries = nn.Linear(decoder_size, decoder_size, bias=False)
        self.keys = nn.Linear(annotation_size, decoder_size)
        self.hidden = nn.Linear(decoder_size, decoder_size)
        self.energy = nn.Linear(decoder_size, 1, bias=False)

    def forward(self, queries_BZH: Tensor, keys_BSK: Tensor) -> Tensor:
        """Return the scores (B, Z, S)."""
        first_BZSK = torch.tanh(self.queries(queries_BZH).unsqueeze(2) + keys_BSK.unsqueeze(1))
        return self.energy(torch.tanh(self.hidden(first_BZSK))).squeeze(-1)  # type: ignore[no-any-return]

    @staticmethod
    def matmuls(decoder_size: int, annotation_size: int, queries: Queries) -> Iterator[Matmul]:
        """Yield the products of keys, queries, the second layer and energies."""
        yield from ConcatScore.matmuls(decoder_size, annotation_size, queries)
        yield from linear(queries.pairs, decoder_size, decoder_size, queries.steps)


SCORES: dict[AttentionKind, type[Score]] = {
    "dot": DotScore,
    "scaled-dot": ScaledDotScore,
    "general": GeneralScore,
    "concat": ConcatScore,
    "mlp": MlpScore,
}
