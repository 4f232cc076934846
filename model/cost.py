"""How the parts of the network list their matrix products of a training step.

pipeline/training/machine/matmul.py adds them up and times them.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Matmul:
    """(rows, inner) times (inner, columns), `times` times per step; `batch` of them at once, as in torch.bmm."""

    rows: int
    inner: int
    columns: int
    times: int = 1
    batch: int = 1

    @property
    def operations(self) -> int:
        """Multiplications and additions of all."""
        return 2 * self.rows * self.inner * self.columns * self.times * self.batch


@dataclass(frozen=True)
class Queries:
    """How a batch queries its sources: in `steps` steps, each with `positions` target positions per sentence."""

    sentences: int
    source: int
    """Source positions, padding counted."""
    steps: int
    positions: int

    @property
    def rows(self) -> int:
        """Queries per step."""
        return self.sentences * self.positions

    @property
    def pairs(self) -> int:
        """Pairs of a query and a source position per step."""
        return self.rows * self.source


def linear(rows: int, inner: int, columns: int, times: int = 1) -> Iterator[Matmul]:
    """Yield the products of a linear layer that is applied to `rows` rows at each of `times` steps."""
    yield Matmul(rows, inner, columns, times)  # y = x W'
    yield Matmul(rows, columns, inner, times)  # dx = dy W
    yield Matmul(columns, rows * times, inner)  # dW = dy' x, of all steps at once


def attend(queries: Queries, size: int) -> Iterator[Matmul]:
    """Yield the products of each query, or of its weights, with vectors of `size` units at all source positions.

    The gradient of these vectors is one product over all steps.
    """
    yield Matmul(queries.positions, size, queries.source, queries.steps, queries.sentences)
    yield Matmul(queries.positions, queries.source, size, queries.steps, queries.sentences)
    yield Matmul(queries.source, queries.steps * queries.positions, size, 1, queries.sentences)
