"""The matrix products of a training step, counted and timed alone: what no implementation of the model can do without.

The limit of a machine is the rate of target tokens at which it does these products and nothing else, at the shapes that
the step has them in: forward, the gradient of the input, the gradient of the weights. What a recurrence has to do
a position after the other is so counted; a gradient of weights that can be formed in one product for all positions too.

Shapes as in model/seq2seq.py: B sentences, S source and T target positions, N target words, E, D, A, H units, V pieces.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from model.config import ModelConfig

WINDOW_SECONDS = 0.2


@dataclass(frozen=True)
class Product:
    """(rows, inner) times (inner, columns), `times` times a step; `batch` of them at once, as torch.bmm does."""

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
class Shape:
    """Of a batch."""

    sentences: int
    source: int
    target: int
    """Positions, padding counted."""
    words: int
    """Of the target, without padding."""


def _linear(rows: int, inner: int, columns: int, times: int = 1) -> Iterator[Product]:
    """Yield the products of a linear layer that is applied to `rows` rows at each of `times` positions."""
    yield Product(rows, inner, columns, times)  # y = x W'
    yield Product(rows, columns, inner, times)  # dx = dy W
    yield Product(columns, rows * times, inner)  # dW = dy' x, of all positions at once


def _attention(config: ModelConfig, shape: Shape, steps: int, queries: int) -> Iterator[Product]:
    """Yield scores and contexts of `queries` positions at a time; gradients of keys and annotations come at once."""
    units = (config.decoder_size, config.annotation_size)
    for size in units:
        yield Product(queries, size, shape.source, steps, shape.sentences)
        yield Product(queries, shape.source, size, steps, shape.sentences)
        yield Product(shape.source, shape.target, size, 1, shape.sentences)


def encoder_products(config: ModelConfig, shape: Shape) -> Iterator[Product]:
    """Yield the products of the encoder's layers in a training step."""
    for layer in range(config.layers):
        size = config.annotation_size if layer else config.embedding_size
        for _ in range(config.annotation_size // config.encoder_size):
            yield from _linear(shape.sentences * shape.source, size, 4 * config.encoder_size)
            yield from _linear(shape.sentences, config.encoder_size, 4 * config.encoder_size, shape.source)


def decoder_products(config: ModelConfig, vocabulary: int, shape: Shape) -> Iterator[Product]:
    """Yield the products of keys, decoder, attention and output layer in a training step."""
    rows, hidden, fed = shape.sentences, config.decoder_size, config.input_feeding
    if config.attention == "general":
        yield from _linear(rows * shape.source, config.annotation_size, hidden)
    yield from _linear(rows * shape.target, config.embedding_size, 4 * hidden)
    yield from _linear(rows, 2 * hidden if fed else hidden, 4 * hidden, shape.target)
    for _ in range(config.layers - 1):
        if fed:
            yield from _linear(rows, 2 * hidden, 4 * hidden, shape.target)
        else:
            yield from _linear(rows * shape.target, hidden, 4 * hidden)
            yield from _linear(rows, hidden, 4 * hidden, shape.target)
    # With input feeding a position waits for the one before; without, all attend at once.
    steps, queries = (shape.target, 1) if fed else (1, shape.target)
    yield from _attention(config, shape, steps, queries)
    yield from _linear(rows * queries, config.annotation_size + hidden, hidden, steps)
    yield from _linear(shape.words, hidden, vocabulary)


def products(config: ModelConfig, vocabulary: int, shape: Shape) -> list[Product]:
    """Return the products of one training step of an LSTM network with Luong's decoder and a general or dot score."""
    if config.cell != "lstm" or config.decoder != "luong" or config.attention not in ("general", "dot", "scaled-dot"):
        raise ValueError("only LSTM networks with Luong's decoder and general or dot attention are counted")
    return [*encoder_products(config, shape), *decoder_products(config, vocabulary, shape)]


def operations_per_word(config: ModelConfig, vocabulary: int, shape: Shape) -> float:
    """Return the operations of a step for each word of the target."""
    return sum(product.operations for product in products(config, vocabulary, shape)) / shape.words


def seconds(product: Product, dtype: torch.dtype) -> float:
    """Return the time of a product, all its times: the median of several windows."""
    batched = product.batch > 1
    sizes = (product.batch,) if batched else ()
    left = torch.randn(*sizes, product.rows, product.inner).to(dtype)
    right = torch.randn(*sizes, product.inner, product.columns).to(dtype)
    out = torch.empty(*sizes, product.rows, product.columns, dtype=dtype)
    multiply = torch.bmm if batched else torch.mm
    for _ in range(3):
        multiply(left, right, out=out)
    windows: list[float] = []
    end = time.perf_counter() + WINDOW_SECONDS
    while len(windows) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        multiply(left, right, out=out)
        windows.append(time.perf_counter() - began)
    return statistics.median(windows) * product.times


def limit(config: ModelConfig, vocabulary: int, shape: Shape, dtype: torch.dtype = torch.float32) -> float:
    """Return the target words a second that this machine's products allow, on torch's present threads."""
    times: dict[Product, float] = {}
    total = 0.0
    for product in products(config, vocabulary, shape):
        if product not in times:
            times[product] = seconds(product, dtype)
        total += times[product]
    return shape.words / total
