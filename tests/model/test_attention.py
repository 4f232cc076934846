"""What no transcription says: exact zeros, no NaN, and that coverage and the window have their effect."""

import pytest
import torch
from torch import Tensor

from model.attention import Attention, SourceMemory, make_attention
from model.config import AttentionKind, ModelConfig
from model.encoder import Encoding
from model.scores import SCORES

LENGTHS = torch.tensor([5, 1, 3])


def make(score: AttentionKind, window: int | None, coverage: bool) -> tuple[Attention, SourceMemory, Tensor]:
    """Return attention, the memory of three padded sentences whose padding is not zero, and queries."""
    torch.manual_seed(1)
    config = ModelConfig(
        attention=score,
        embedding_size=4,
        decoder_size=4,
        encoder_size=2,
        local_window=window,
        coverage=coverage,
    )
    attention = make_attention(config)
    annotations = torch.randn(3, 6, 4)
    memory = attention.memory(Encoding(annotations, (((annotations[:, 0],),),)), LENGTHS)
    return attention, memory, torch.randn(3, 2, 4)


@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.parametrize("window", [None, 1, 9])
@pytest.mark.parametrize("score", SCORES)
def test_padding_gets_no_weight_and_no_gradient(score: AttentionKind, window: int | None, coverage: bool) -> None:
    attention, memory, queries = make(score, window, coverage)
    annotations = memory.annotations_BSA.requires_grad_()
    memory = attention.memory(Encoding(annotations, (((annotations[:, 0],),),)), LENGTHS)
    context, weights, _ = attention(queries, memory, attention.nothing_covered(memory))
    (gradient,) = torch.autograd.grad(context.square().sum(), annotations)
    assert gradient.isfinite().all()
    for row, length in enumerate(LENGTHS.tolist()):
        assert not weights[row, :, length:].any()
        assert not gradient[row, length:].any()
        assert weights[row, :, :length].any()


@pytest.mark.parametrize("score", SCORES)
def test_attention_that_a_position_has_had_changes_its_score(score: AttentionKind) -> None:
    attention, memory, queries = make(score, None, coverage=True)
    first = attention.nothing_covered(memory)
    assert first.shape == (3, 6)
    covered = first.clone()
    covered[0, 2] = 1.0
    with torch.no_grad():
        before, after = (attention(queries[:, :1], memory, coverage)[1] for coverage in (first, covered))
    ratio = after[0, 0, :5] / before[0, 0, :5]
    assert ratio[2].item() != pytest.approx(ratio[0].item(), rel=1e-3)
    torch.testing.assert_close(ratio[[1, 3, 4]], ratio[0].expand(3), msg="the other scores stay as they were")
    torch.testing.assert_close(after[1:], before[1:])
    assert attention(queries, memory, first)[2].sum().item() == pytest.approx(6.0), "two words' attention a sentence"


@pytest.mark.parametrize("place", [-1e4, 0.0, 1e4])
def test_the_window_holds_a_word_wherever_it_is_predicted(place: float) -> None:
    attention, memory, queries = make("general", 1, coverage=False)
    with torch.no_grad():
        attention.weigh.get_parameter("hidden.weight").fill_(1.0)
        attention.weigh.get_parameter("place.weight").fill_(place)
    queries = queries.abs()  # So that the sigmoid is 0, a half or 1.
    weights = attention(queries, memory, attention.nothing_covered(memory))[1]
    centre = LENGTHS * (0.0 if place < 0 else 1.0 if place else 0.5)
    assert weights.isfinite().all()
    for row, length in enumerate(LENGTHS.tolist()):
        inside = [abs(s - centre[row].item()) <= 1 and s < length for s in range(6)]
        assert any(inside)
        assert (weights[row] > 0).tolist() == [inside, inside]
