"""Small networks and batches in double precision, where rounding cannot hide an error."""

from collections.abc import Callable

import pytest
import torch

from model.config import ModelConfig
from model.seq2seq import SPECIAL_TOKENS, Batch, Seq2Seq

VOCABULARY = 23


@pytest.fixture
def network() -> Seq2Seq:
    torch.manual_seed(7)
    config = ModelConfig(embedding_size=12, encoder_size=5, decoder_size=12, dropout=0.5)
    model = Seq2Seq(config, VOCABULARY, VOCABULARY).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger than at the start of training, so that words and states make a difference that can be seen.
            parameter.normal_(std=0.6)
    return model


MakeBatch = Callable[..., Batch]


@pytest.fixture
def make_batch() -> MakeBatch:
    def make(sources: list[list[int]], targets: list[list[int]], extra: int = 0) -> Batch:
        """Pad rows (without `start`), with `extra` more columns of padding than they need."""
        tokens = SPECIAL_TOKENS

        def pad(rows: list[list[int]]) -> torch.Tensor:
            width = max(map(len, rows)) + extra
            return torch.tensor([row + [tokens.padding] * (width - len(row)) for row in rows])

        return Batch(
            pad(sources), torch.tensor([len(row) for row in sources]), pad([[tokens.start, *t] for t in targets])
        )

    return make
