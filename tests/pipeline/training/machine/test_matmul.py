"""The count of matrix products, against torch's own count of a real step."""

import math
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.config import ModelConfig
from model.kernels import load
from model.scores import SCORES, is_product
from model.seq2seq import Batch, Seq2Seq
from pipeline.training.machine.matmul import (
    Shape,
    decoder_matmuls,
    encoder_matmuls,
    gpu_seconds,
    matmul_seconds,
    operations,
)


def _operations(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    return 2 * math.prod(left) * (right[-1] if len(right) > 1 else 1)


UNCOUNTED: Any = {
    torch.ops.aten.addmm_: lambda _, left, right, **__: _operations(left, right),
    torch.ops.aten.baddbmm_: lambda _, left, right, **__: _operations(left, right),
    torch.ops.aten.mv: lambda left, right, **__: _operations(left, right),
}
"""Products that torch's own count leaves out."""


@pytest.fixture(autouse=True)
def _by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count without kernels, whose products torch does not see."""
    monkeypatch.setattr(load, "_kernels", lambda: None)


BATCH = Shape(sentences=6, source=9, target=7, tokens=42)
"""Without padding, so that every position is a token."""


def counted(config: ModelConfig, vocabulary: int) -> int:
    """Return the operations that torch counts in a network, forward and backward."""
    torch.manual_seed(1)
    network = Seq2Seq(config, vocabulary, vocabulary)
    lengths = torch.full((BATCH.sentences,), BATCH.source)
    source = torch.randint(4, vocabulary, (BATCH.sentences, BATCH.source))
    target = torch.randint(4, vocabulary, (BATCH.sentences, BATCH.target + 1))
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
        network(Batch(source, lengths, target)).smoothed.backward()
    return int(counter.get_total_flops())


SIZES = {"embedding_size": 16, "encoder_size": 8, "decoder_size": 16, "dropout": 0.0, "bridge": "zero"}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("attention", [score for score, kind in SCORES.items() if is_product(kind)])
def test_the_unrolled_decoder_is_counted_as_torch_counts_it(attention: str, layers: int) -> None:
    """Torch does not count the encoder's LSTM, which is one call."""
    config = ModelConfig.model_validate(SIZES | {"attention": attention, "layers": layers})
    ours = sum(matmul.operations for matmul in decoder_matmuls(config, 40, BATCH))
    assert ours == counted(config, 40)


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru"},
        {"cell": "gru", "layers": 2},
        {"coverage": True},
        {"local_window": 2},
        {"decoder": "bahdanau", "input_feeding": False},
        {"decoder": "bahdanau", "input_feeding": False, "cell": "gru", "layers": 3, "attention": "concat"},
        *({"attention": score} for score, kind in SCORES.items() if not is_product(kind)),
    ],
    ids=str,
)
def test_other_decoders_are_counted_to_a_few_hundredths(options: dict[str, Any]) -> None:
    """The first state and the last step's coverage have no gradient: one product less in seven steps."""
    config = ModelConfig.model_validate(SIZES | options)
    of_gru = encoder_matmuls(config, BATCH) if config.cell == "gru" else ()
    ours = sum(matmul.operations for matmul in (*of_gru, *decoder_matmuls(config, 40, BATCH)))
    assert counted(config, 40) <= ours <= 1.06 * counted(config, 40)


def test_the_model_of_the_benchmark_has_twenty_million_operations_per_token() -> None:
    shape = Shape(sentences=64, source=16, target=16, tokens=64 * 16)
    assert operations(ModelConfig(), 8000, shape) / shape.tokens == pytest.approx(20.5e6, rel=0.01)


@pytest.mark.parametrize("options", [{}, {"attention": "none", "input_feeding": False, "bridge": "mean"}])
def test_the_time_of_the_products_alone_is_measured(options: dict[str, Any]) -> None:
    config = ModelConfig.model_validate(SIZES | {"encoder_size": 16} | options)
    assert matmul_seconds(config, 40, BATCH, window=0.001) > 0


class Clock:
    """A GPU's clock: every product takes 10 microseconds, and every wait is counted."""

    now, waits = 0.0, 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = Clock.now

    def synchronize(self) -> None:
        Clock.waits += 1

    def elapsed_time(self, end: "Clock") -> float:
        return 1e3 * (end.at - self.at)


def test_a_gpu_is_timed_by_its_own_clock_over_launches_that_nothing_waits_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Clock)

    def multiply() -> None:
        Clock.now += 1e-5

    assert gpu_seconds(multiply, window=0.01) == pytest.approx(1e-5)
    assert Clock.now / 1e-5 > 1000
    assert Clock.waits < 10
