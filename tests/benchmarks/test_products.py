"""The count of operations, against torch's own count of a real step."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.config import ModelConfig
from model.seq2seq import Batch, Seq2Seq
from tests.benchmarks.products import Product, Shape, decoder_products, limit, operations_per_word, products

BATCH = Shape(sentences=6, source=9, target=7, words=42)
"""Without padding, so that every position is a word."""


def counted(config: ModelConfig, vocabulary: int) -> int:
    """Return what torch counts in the network's linear layers and attention, forward and backward."""
    torch.manual_seed(1)
    network = Seq2Seq(config, vocabulary, vocabulary)
    lengths = torch.full((BATCH.sentences,), BATCH.source)
    source = torch.randint(4, vocabulary, (BATCH.sentences, BATCH.source))
    target = torch.randint(4, vocabulary, (BATCH.sentences, BATCH.target + 1))
    with FlopCounterMode(display=False) as counter:
        network(Batch(source, lengths, target)).smoothed.backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("attention", ["general", "dot"])
def test_the_decoder_is_counted_as_torch_counts_it(attention: str, layers: int) -> None:
    """Torch runs the encoder's recurrence in one call that it does not count."""
    sizes = {"embedding_size": 16, "encoder_size": 8, "decoder_size": 16, "layers": layers, "dropout": 0.0}
    config = ModelConfig.model_validate(sizes | {"attention": attention, "bridge": "zero"})
    ours = sum(product.operations for product in decoder_products(config, 40, BATCH))
    # The zeros that the first layer starts from have no gradient, which would be one product more.
    first = Product(BATCH.sentences, 4 * config.decoder_size, 2 * config.decoder_size)
    assert ours - first.operations == counted(config, 40)


def test_the_model_of_the_benchmark_has_twenty_million_operations_a_word() -> None:
    shape = Shape(sentences=64, source=16, target=16, words=64 * 16)
    assert operations_per_word(ModelConfig(), 8000, shape) == pytest.approx(20.5e6, rel=0.01)


def test_what_is_not_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="only LSTM networks"):
        products(ModelConfig(cell="gru"), 40, BATCH)


def test_a_limit_is_measured() -> None:
    sizes = {"embedding_size": 16, "encoder_size": 8, "decoder_size": 16, "dropout": 0.0}
    assert limit(ModelConfig.model_validate(sizes), 40, BATCH) > 0
