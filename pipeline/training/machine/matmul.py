"""The matrix products of a training step, counted and timed alone: no implementation of the model can do without them.

Their speed is the rate of target tokens at which a machine does them and nothing else, in the shapes of the step:
forward, the gradient of the input, the gradient of the weights. What a recurrence does one position after the other is
timed like that; a gradient of weights is one product where one for all positions will do.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

import torch

from model.config import ModelConfig
from model.cost import Matmul, Queries, attend, linear
from model.recurrent import RECURRENCES
from model.rounding import ROUNDING
from model.scores import SCORES

CPU = torch.device("cpu")
LAUNCHES, MOST_LAUNCHES = 32, 4096
"""How many products a GPU is timed over, at least and at most."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a batch."""

    sentences: int
    source: int
    target: int
    """Positions, padding counted."""
    tokens: int
    """Target tokens, without padding."""


def encoder_matmuls(config: ModelConfig, shape: Shape) -> Iterator[Matmul]:
    """Yield the products of the encoder's layers in a training step."""
    gates = RECURRENCES[config.cell].cell.gates * config.encoder_size
    for layer in range(config.layers):
        size = config.annotation_size if layer else config.embedding_size
        for _ in range(config.annotation_size // config.encoder_size):
            yield from linear(shape.sentences * shape.source, size, gates)
            yield from linear(shape.sentences, config.encoder_size, gates, shape.source)


def decoder_matmuls(config: ModelConfig, vocabulary: int, shape: Shape) -> Iterator[Matmul]:
    """Yield the products of keys, decoder, attention and output layer in a training step."""
    yield from _layers(config, shape)
    if config.attention != "none":
        yield from _attention(config, shape)
    yield from linear(shape.tokens, config.readout_size, vocabulary)


def _fed_size(config: ModelConfig) -> int:
    """Return the units that attention feeds to each step of the decoder's layers; 0 where no step waits for it."""
    match config.decoder:
        case "luong":
            return config.decoder_size if config.input_feeding else 0
        case "bahdanau":
            return config.annotation_size
        case _:
            assert_never(config.decoder)


def _layers(config: ModelConfig, shape: Shape) -> Iterator[Matmul]:
    """Yield the products of the decoder's layers: at once where the input is known in advance, else step by step."""
    rows, hidden, cell, fed = shape.sentences, config.decoder_size, RECURRENCES[config.cell].cell, _fed_size(config)
    known = config.embedding_size + (config.annotation_size if config.peeky else 0)
    yield from linear(rows * shape.target, known, cell.gates * hidden)
    for layer in range(config.layers):
        if fed:
            yield from cell.matmuls(rows, hidden if layer else fed, hidden, shape.target)
            continue
        if layer:
            yield from linear(rows * shape.target, hidden, cell.gates * hidden)
        yield from linear(rows, hidden, cell.gates * hidden, shape.target)


def _attention(config: ModelConfig, shape: Shape) -> Iterator[Matmul]:
    """Yield the products of scores, window, coverage, context vectors and readouts."""
    hidden, annotation = config.decoder_size, config.annotation_size
    # Where a position waits for the attention of the one before; elsewhere all attend at once.
    waits = _fed_size(config) > 0 or config.coverage
    steps, positions = (shape.target, 1) if waits else (1, shape.target)
    queries = Queries(shape.sentences, shape.source, steps, positions)
    yield from SCORES[config.attention].matmuls(hidden, annotation, queries)
    if config.local_window is not None:
        yield from linear(queries.rows, hidden, hidden, steps)
        yield from linear(queries.rows, hidden, 1, steps)
    if config.coverage:
        yield from linear(queries.pairs, 1, hidden, steps)
    yield from attend(queries, annotation)
    match config.decoder:
        case "luong":
            yield from linear(queries.rows, annotation + hidden, hidden, steps)
        case "bahdanau":
            for size in (hidden, config.embedding_size, annotation):
                yield from linear(shape.sentences * shape.target, size, 2 * hidden)
        case _:
            assert_never(config.decoder)


def matmuls(config: ModelConfig, vocabulary: int, shape: Shape) -> list[Matmul]:
    """Return the products of one training step under teacher forcing, without the bridge's, a thousandth of all."""
    return [*encoder_matmuls(config, shape), *decoder_matmuls(config, vocabulary, shape)]


def operations(config: ModelConfig, vocabulary: int, shape: Shape) -> int:
    """Return the multiplications and additions in the products of a training step."""
    return sum(matmul.operations for matmul in matmuls(config, vocabulary, shape))


def seconds(matmul: Matmul, device: torch.device = CPU, window: float = 0.2) -> float:
    """Return the time that a product takes in a step, `times` times the median over a window of seconds.

    While they are rounded, the products of matrices are those of bf16 tensors; those of a batch stay in float32.
    """
    dtype = torch.bfloat16 if ROUNDING.enabled and matmul.batch == 1 else torch.float32
    batched = matmul.batch > 1
    sizes = (matmul.batch,) if batched else ()
    left = torch.randn(*sizes, matmul.rows, matmul.inner, device=device).to(dtype)
    right = torch.randn(*sizes, matmul.inner, matmul.columns, device=device).to(dtype)
    out = torch.empty(*sizes, matmul.rows, matmul.columns, dtype=dtype, device=device)
    multiply = torch.bmm if batched else torch.mm

    if out.is_cuda:
        return gpu_seconds(lambda: multiply(left, right, out=out), window) * matmul.times

    def once() -> float:
        began = time.perf_counter()
        multiply(left, right, out=out)
        return time.perf_counter() - began

    for _ in range(3):
        once()
    times: list[float] = []
    end = time.perf_counter() + window
    while len(times) < 3 or time.perf_counter() < end:
        times.append(once())
    return statistics.median(times) * matmul.times


def gpu_seconds(multiply: Callable[[], object], window: float) -> float:
    """Return the seconds of a product on the GPU: the mean over as many launches as fill a window of seconds.

    The GPU's own clock takes the time, between two events, and the host waits once for all: a product takes less than
    a wait for it.
    """
    launches = LAUNCHES
    for _ in range(launches):  # Until the clock rate has risen and the fastest kernel is found.
        multiply()
    while True:
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        began.record()
        for _ in range(launches):
            multiply()
        ended.record()
        ended.synchronize()
        seconds = float(began.elapsed_time(ended)) / 1000
        if seconds >= window or launches >= MOST_LAUNCHES:
            return seconds / launches
        launches = min(MOST_LAUNCHES, launches * 2)


def matmul_seconds(
    config: ModelConfig, vocabulary: int, shape: Shape, device: torch.device = CPU, window: float = 0.2
) -> float:
    """Return the seconds that a step's products take on this machine, with torch's current threads and precision."""
    times: dict[Matmul, float] = {}
    total = 0.0
    for matmul in matmuls(config, vocabulary, shape):
        if matmul not in times:
            times[matmul] = seconds(matmul, device, window)
        total += times[matmul]
    return total
