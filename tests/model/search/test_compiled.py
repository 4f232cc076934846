"""Search by kernels finds what search by torch does, whatever the architecture and the options."""

from typing import Any

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.kernels.load import _kernels
from model.search import search as searching
from model.search.config import SearchConfig
from model.search.hypotheses import Hypothesis
from model.search.search import search
from model.seq2seq import Seq2Seq

VOCABULARY = 153  # More than two blocks of the kernel, and a part of one.
KERNELS = _kernels()

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "feeding": {},
    "two layers": {"layers": 2, "attention": "scaled-dot", "encoder_size": 6},
    "gru, concat": {"cell": "gru", "attention": "concat"},
    "coverage": {"coverage": True},
    "bahdanau": {"decoder": "bahdanau", "input_feeding": False, "local_window": 2},
    "peeky": {"attention": "none", "input_feeding": False, "peeky": True, "tied_embeddings": "none"},
}
SEARCHES = {
    "greedy": SearchConfig(beam=1),
    "greedy without repeats": SearchConfig(beam=1, no_repeat_ngram=2, min_length=3),
    "n-best": SearchConfig(beam=4, n_best=4, length_penalty=0.6),
    "stuck": SearchConfig(beam=3, no_repeat_ngram=1, min_length=30, max_length=33),
    "short": SearchConfig(beam=7, n_best=5, length_penalty=0.0, max_length=3),
}


def make_network(options: dict[str, Any]) -> Seq2Seq:
    """Return a network with large weights, so that all make a difference."""
    torch.manual_seed(1)
    sizes = {"embedding_size": 12, "encoder_size": 5, "decoder_size": 12}
    network = Seq2Seq(ModelConfig.model_validate(sizes | options), VOCABULARY, VOCABULARY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.6)
    return network


def find_both(
    network: Seq2Seq, config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[list[Hypothesis]], list[list[Hypothesis]]]:
    """Search by kernels and by torch, more sentences than rows that a kernel multiplies."""
    lengths = torch.tensor([6, 2, 10, 4, 13, 3, 8, 2, 5, 1])
    source = torch.randint(4, VOCABULARY, (len(lengths), 15)) * (torch.arange(15) < lengths.unsqueeze(1))
    assert KERNELS is not None, "without numba, this test would compare torch with itself"
    with monkeypatch.context() as patch:
        compiled = search(network, source, lengths, config, attention=True, never=[7, 9])
        patch.setattr(searching, "compiled_search", lambda *_: None)
        return compiled, search(network, source, lengths, config, attention=True, never=[7, 9])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", SEARCHES)
def test_kernels_find_what_torch_does(architecture: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network(ARCHITECTURES[architecture])
    for compiled, reference in zip(*find_both(network, SEARCHES[kind], monkeypatch), strict=True):
        assert [(h.tokens, h.ended) for h in compiled] == [(h.tokens, h.ended) for h in reference]
        assert [h.score for h in compiled] == pytest.approx([h.score for h in reference], abs=1e-4)
        for one, other in zip(compiled, reference, strict=True):
            torch.testing.assert_close(torch.tensor(one.attention), torch.tensor(other.attention), atol=1e-4, rtol=0)


def test_the_coverage_penalty_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_both(make_network({}), SearchConfig(beam=3, n_best=3, coverage_penalty=0.4), monkeypatch)
    for compiled, reference in zip(*found, strict=True):
        assert [h.tokens for h in compiled] == [h.tokens for h in reference]
        assert [h.score for h in compiled] == pytest.approx([h.score for h in reference], abs=1e-4)


def test_of_candidates_that_are_equally_probable_the_first_hypothesis_and_the_lowest_token_come_first() -> None:
    assert KERNELS is not None
    beam, end = 2, 3
    logits = np.zeros((2, VOCABULARY), np.float32)
    found = np.empty((1, 4), np.float32), np.empty((1, 4), np.int64), np.empty((1, 4), np.int64)
    history = np.zeros((1, 2), np.int64)
    never, bias = np.array([0, 2]), np.zeros(VOCABULARY, np.float32)
    log = np.zeros(2, np.float32)
    KERNELS.best_tokens(logits, bias, never, end, True, 0, history, history, 0, log, *found, beam)
    assert found[0] == pytest.approx(-np.log(VOCABULARY), abs=1e-5)
    assert found[1].tolist() == [[0, 0, 0, 0]]
    assert found[2].tolist() == [[1, 4, 5, 6]]


@pytest.mark.parametrize("rows", [1, 3, 5, 8])
def test_the_product_of_a_few_rows_is_added(rows: int) -> None:
    assert KERNELS is not None
    left, right, sums = torch.randn(rows, 37), torch.randn(19, 37), torch.randn(rows, 19)
    expected = sums.double() + left.double() @ right.double().T
    KERNELS.multiply_few(left.numpy(), right.numpy(), sums.numpy())
    torch.testing.assert_close(sums.double(), expected, atol=1e-5, rtol=1e-5)
