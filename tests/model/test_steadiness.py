"""The number of threads changes no bit of a loss or a gradient, whatever the number of sentences."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.products import fastest_products
from model.seq2seq import Batch, Seq2Seq
from model.steadiness import same_with_any_threads, steady_from

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def gradients(model: Seq2Seq, sentences: int, threads: int) -> list[Tensor]:
    torch.set_num_threads(threads)
    torch.manual_seed(sentences)
    words = torch.randint(4, 90, (sentences, 7))
    lengths = torch.full((sentences,), 7)
    model.zero_grad()
    with fastest_products(CPU), same_with_any_threads(sentences, CPU):
        loss = model(Batch(words, lengths, words))
        loss.smoothed.backward()
    assert torch.get_num_threads() == threads
    return [loss.smoothed.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("threads", [2, 5, 16])
def test_threads_change_no_bit(threads: int) -> None:
    torch.manual_seed(1)
    model = Seq2Seq(ModelConfig(embedding_size=96, encoder_size=64, decoder_size=96), 90, 90)
    for sentences in (*range(1, 36), 40, 49, 64, 67):
        pairs = zip(gradients(model, sentences, 1), gradients(model, sentences, threads), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs), f"{sentences} sentences"


def test_a_gpu_keeps_its_threads_and_one_thread_needs_nothing() -> None:
    torch.set_num_threads(3)
    with same_with_any_threads(1, torch.device("cuda")):
        assert torch.get_num_threads() == 3
    assert steady_from(1, "ieee") == 1
