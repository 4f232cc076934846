"""Rounded shapes are few, and what is padded to one computes the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model import seq2seq
from model.config import ModelConfig
from model.dropout import DropoutNoise
from model.seq2seq import Batch
from pipeline.training.gpu.shapes import RoundedShape, StaticBatch, round_positions, round_sentences
from tests.model.combinations import COMBINATIONS, make_batch, network
from tests.pipeline.training.gpu.tape import on_gpu

OPTIONS = [
    *(f"lstm-2-bi-projection-{score}-feeding" for score in ("dot", "general", "concat", "mlp")),
    "gru-2-bi-projection-concat-bahdanau",
    "gru-1-reversed-mean-general-feeding",
    "lstm-1-bi-concat-general-feeding",
    "lstm-2-uni-max-none-luong",
    "lstm-1-bi-projection-none-peeky",
    "lstm-1-bi-projection-general-feeding-local2-coverage",
    "lstm-1-bi-projection-general-luong-tied-all",
]


@given(st.integers(1, 5000))
def test_sentences_are_rounded_up_by_an_eighth_at_most_to_few_sizes(count: int) -> None:
    rounded = round_sentences(count)
    assert count <= rounded < count + max(8, count / 8 + 1)
    assert round_sentences(rounded) == rounded
    assert len({round_sentences(each) for each in range(count, 2 * count)}) <= 9


@given(st.integers(1, 200))
def test_positions_are_rounded_up_to_multiples_of_four(count: int) -> None:
    assert 0 <= round_positions(count) - count < 4
    assert round_positions(count) % 4 == 0


def _gradients(config: ModelConfig, batch: Batch, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    model = network(config)
    model.zero_grad()
    loss = model(batch, DropoutNoise(0.4, 3, 7, rows, model.mask_units), label_smoothing=0.1)
    loss.smoothed.backward()
    gradients = (p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters())
    return loss.smoothed.detach(), loss.nll, loss.tokens, *gradients


@pytest.mark.parametrize("name", OPTIONS)
def test_a_batch_that_is_padded_has_the_same_loss_and_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padded by sentences, source and target positions, in tensors that held a larger batch before."""
    batch, rows = make_batch(), torch.tensor([4, 0, 2])
    static = StaticBatch(RoundedShape(8, 8, 9), torch.device("cpu"))
    larger = make_batch([[5, 6, 7, 8, 5, 6, 7, 3]] * 8, [[7, 3]] * 8)
    static.fill(larger, torch.arange(8))
    static.fill(batch, rows)
    expected = _gradients(COMBINATIONS[name], batch, rows)
    torch.testing.assert_close(_gradients(COMBINATIONS[name], static.batch, static.rows_B), expected)
    monkeypatch.setattr(seq2seq, "summed_cross_entropy", on_gpu)
    torch.testing.assert_close(_gradients(COMBINATIONS[name], static.batch, static.rows_B), expected)
