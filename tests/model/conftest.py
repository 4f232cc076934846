"""Small networks and batches in double precision, where rounding cannot hide an error."""

from collections.abc import Iterator

import pytest
import torch

from model.config import ModelConfig
from model.seq2seq import Seq2Seq

VOCABULARY = 23


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only lose time by sharing their work out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute float32 by kernels, as users do."""
    monkeypatch.setenv("NMT_KERNELS", "on")


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
