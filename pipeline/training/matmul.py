"""The matrix products of a training step, counted and timed alone: what no implementation of the model can do without.

The limit of a machine is the rate of target tokens at which it does these products and nothing else, at the shapes that
the step has them in: forward, the gradient of the input, the gradient of the weights. What a recurrence has to do
a position after the other is so counted; a gradient of weights that can be formed in one product for all positions too.

Shapes as in model/seq2seq.py: B sentences, S source and T target positions, N target tokens, E, D, A, H units, V
pieces.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from model.config import ModelConfig
from model.rounding import ROUNDING

CPU = torch.device("cpu")
GATES = {"lstm": 4, "gru": 3}


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
    tokens: int
    """Of the target, without padding."""


def _linear(rows: int, inner: int, columns: int, times: int = 1) -> Iterator[Product]:
    """Yield the products of a linear layer that is applied to `rows` rows at each of `times` positions."""
    yield Product(rows, inner, columns, times)  # y = x W'
    yield Product(rows, columns, inner, times)  # dx = dy W
    yield Product(columns, rows * times, inner)  # dW = dy' x, of all positions at once


def encoder_products(config: ModelConfig, shape: Shape) -> Iterator[Product]:
    """Yield the products of the encoder's layers in a training step."""
    gates = GATES[config.cell] * config.encoder_size
    for layer in range(config.layers):
        size = config.annotation_size if layer else config.embedding_size
        for _ in range(config.annotation_size // config.encoder_size):
            yield from _linear(shape.sentences * shape.source, size, gates)
            yield from _linear(shape.sentences, config.encoder_size, gates, shape.source)


def _layers(config: ModelConfig, shape: Shape) -> Iterator[Product]:
    """Yield the products of the decoder's layers: all at once of what is known beforehand, else step by step."""
    rows, hidden, gates = shape.sentences, config.decoder_size, GATES[config.cell] * config.decoder_size
    fed = hidden if config.input_feeding else config.annotation_size if config.decoder == "bahdanau" else 0
    known = config.embedding_size + (config.annotation_size if config.peeky else 0)
    yield from _linear(rows * shape.target, known, gates)
    for layer in range(config.layers):
        below = hidden if layer else fed
        if layer and not fed:
            yield from _linear(rows * shape.target, hidden, gates)
        elif fed and config.cell == "gru":  # The reset gate keeps the state's share apart.
            yield from _linear(rows, below, gates, shape.target)
        together = below if fed and config.cell == "lstm" else 0
        yield from _linear(rows, together + hidden, gates, shape.target)


def _scores(config: ModelConfig, shape: Shape, steps: int, queries: int) -> Iterator[Product]:
    """Yield the products of the score function, and of what goes with it, of `queries` positions at a time."""
    rows, hidden, pairs = shape.sentences * queries, config.decoder_size, shape.sentences * queries * shape.source
    if config.attention in ("concat", "mlp"):
        yield from _linear(rows, hidden, hidden, steps)
        if config.attention == "mlp":
            yield from _linear(pairs, hidden, hidden, steps)
        yield from _linear(pairs, hidden, 1, steps)
    else:
        yield from _attend(shape, hidden, steps, queries)
    if config.local_window is not None:
        yield from _linear(rows, hidden, hidden, steps)
        yield from _linear(rows, hidden, 1, steps)
    if config.coverage:
        yield from _linear(pairs, 1, hidden, steps)


def _attend(shape: Shape, size: int, steps: int, queries: int) -> Iterator[Product]:
    """Yield the products of vectors of `size` at all source positions; what those are gets its gradient at once."""
    yield Product(queries, size, shape.source, steps, shape.sentences)
    yield Product(queries, shape.source, size, steps, shape.sentences)
    yield Product(shape.source, shape.target, size, 1, shape.sentences)


def decoder_products(config: ModelConfig, vocabulary: int, shape: Shape) -> Iterator[Product]:
    """Yield the products of keys, decoder, attention and output layer in a training step."""
    rows, hidden, annotation = shape.sentences, config.decoder_size, config.annotation_size
    yield from _layers(config, shape)
    if config.attention != "none":
        if config.attention in ("general", "concat", "mlp"):
            yield from _linear(rows * shape.source, annotation, hidden)
        # Where a position waits for the attention of the one before; elsewhere all attend at once.
        waits = config.input_feeding or config.coverage or config.decoder == "bahdanau"
        steps, queries = (shape.target, 1) if waits else (1, shape.target)
        yield from _scores(config, shape, steps, queries)
        yield from _attend(shape, annotation, steps, queries)
        if config.decoder == "luong":
            yield from _linear(rows * queries, annotation + hidden, hidden, steps)
        else:
            for size in (hidden, config.embedding_size, annotation):
                yield from _linear(rows * shape.target, size, 2 * hidden)
    yield from _linear(shape.tokens, config.readout_size, vocabulary)


def products(config: ModelConfig, vocabulary: int, shape: Shape) -> list[Product]:
    """Return the products of one training step under teacher forcing; the bridge's, a thousandth, are left out."""
    return [*encoder_products(config, shape), *decoder_products(config, vocabulary, shape)]


def operations(config: ModelConfig, vocabulary: int, shape: Shape) -> int:
    """Return the operations of the products of a training step."""
    return sum(product.operations for product in products(config, vocabulary, shape))


def seconds(product: Product, device: torch.device = CPU, window: float = 0.2) -> float:
    """Return the time of a product, all its times, by the median over a window of seconds.

    While products are rounded, a CPU multiplies tensors of bf16, and a GPU rounds to TF32 itself.
    """
    dtype = torch.bfloat16 if ROUNDING.enabled and device.type == "cpu" else torch.float32
    batched = product.batch > 1
    sizes = (product.batch,) if batched else ()
    left = torch.randn(*sizes, product.rows, product.inner, device=device).to(dtype)
    right = torch.randn(*sizes, product.inner, product.columns, device=device).to(dtype)
    out = torch.empty(*sizes, product.rows, product.columns, dtype=dtype, device=device)
    multiply = torch.bmm if batched else torch.mm

    def once() -> float:
        began = time.perf_counter()
        with ROUNDING:
            multiply(left, right, out=out)
        if out.is_cuda:
            torch.cuda.synchronize(out.device)
        return time.perf_counter() - began

    for _ in range(3):
        once()
    times: list[float] = []
    end = time.perf_counter() + window
    while len(times) < 3 or time.perf_counter() < end:
        times.append(once())
    return statistics.median(times) * product.times


def limit(config: ModelConfig, vocabulary: int, shape: Shape, device: torch.device = CPU, window: float = 0.2) -> float:
    """Return the seconds that this machine's products of a step take, on torch's present threads and precision."""
    times: dict[Product, float] = {}
    total = 0.0
    for product in products(config, vocabulary, shape):
        if product not in times:
            times[product] = seconds(product, device, window)
        total += times[product]
    return total
