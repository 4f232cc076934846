from collections.abc import Callable

import pytest
import torch

from model.config import ModelConfig
from model.dropout import DropoutNoise
from model.seq2seq import Batch, Seq2Seq

SOURCES = [[5, 6, 7, 8, 3], [9, 3], [10, 11, 12, 3]]
TARGETS = [[6, 5, 3], [7, 8, 9, 10, 3], [11, 3]]


def test_padding_changes_nothing(network: Seq2Seq, make_batch: Callable[..., Batch]) -> None:
    tight, wide = make_batch(SOURCES, TARGETS), make_batch(SOURCES, TARGETS, extra=4)
    torch.testing.assert_close(network(tight).nll, network(wide).nll)
    assert network(tight).words == network(wide).words == 10


def test_a_batch_is_the_sum_of_its_sentences(network: Seq2Seq, make_batch: Callable[..., Batch]) -> None:
    singles = [network(make_batch([s], [t]), label_smoothing=0.1) for s, t in zip(SOURCES, TARGETS, strict=True)]
    batch = network(make_batch(SOURCES, TARGETS), label_smoothing=0.1)
    torch.testing.assert_close(batch.smoothed, sum(loss.smoothed for loss in singles))
    assert batch.words == sum(loss.words for loss in singles)


def test_shares_with_dropout_add_up_to_the_whole(network: Seq2Seq, make_batch: Callable[..., Batch]) -> None:
    def loss(rows: list[int]) -> torch.Tensor:
        batch = make_batch([SOURCES[r] for r in rows], [TARGETS[r] for r in rows])
        smoothed: torch.Tensor = network(batch, DropoutNoise(0.5, 1, torch.tensor(rows), 3), 0.1).smoothed
        return smoothed

    torch.testing.assert_close(loss([0, 1, 2]), loss([0, 2]) + loss([1]))


def test_stepping_through_a_reference_gives_the_training_loss(
    network: Seq2Seq, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(SOURCES, TARGETS)
    memory, state = network.encode(batch.source_BS, batch.source_lengths_B)
    nll = torch.zeros((), dtype=torch.float64)
    for place in range(batch.target_BT.shape[1] - 1):
        logp, state, weights = network.step(batch.target_BT[:, place], state, memory)
        torch.testing.assert_close(weights.sum(1), torch.ones(3, dtype=torch.float64))
        following = batch.target_BT[:, place + 1]
        nll -= (logp.gather(1, following.unsqueeze(1)).squeeze(1) * (following != 0)).sum()
    torch.testing.assert_close(nll, network(batch).nll)


def test_gradients_in_double_precision(make_batch: Callable[..., Batch]) -> None:
    torch.manual_seed(1)
    config = ModelConfig(embedding_size=3, encoder_size=2, decoder_size=3, tied_embeddings="all")
    network = Seq2Seq(config, 8, 8).double()
    batch = make_batch([[5, 6, 3], [7, 3]], [[6, 3], [5, 7, 3]])
    names, parameters = zip(*network.named_parameters(), strict=True)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        result = torch.func.functional_call(network, dict(zip(names, values, strict=True)), (batch,))
        smoothed: torch.Tensor = result.smoothed
        return smoothed

    assert torch.autograd.gradcheck(
        loss, tuple(p.detach().clone().requires_grad_() for p in parameters), fast_mode=True
    )


@pytest.mark.parametrize(("tied", "tables"), [("none", 3), ("decoder", 2), ("all", 1)])
def test_tied_embeddings_share_one_table(tied: str, tables: int) -> None:
    network = Seq2Seq(ModelConfig(embedding_size=4, encoder_size=2, decoder_size=4, tied_embeddings=tied), 9, 9)
    shared = {network.source_embedding.weight, network.target_embedding.weight, network.output.weight}
    assert len(shared) == tables


def test_tying_needs_equal_sizes() -> None:
    with pytest.raises(ValueError, match="embedding_size=4 and decoder_size=8 must be equal"):
        ModelConfig(embedding_size=4, decoder_size=8, tied_embeddings="decoder")
