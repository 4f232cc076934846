"""Search on a GPU, of fake tensors: no device is mixed with another."""

import pytest
import torch

from model.config import ModelConfig
from model.search.config import SearchConfig
from model.search.search import search
from model.seq2seq import Seq2Seq
from tests.fake_cuda import GPU, fake_cuda, on_gpu
from tests.model.combinations import VOCABULARY, products

FEEDING = next(products(attention=("general",), input_feeding=(True,), layers=(2,)))
BAHDANAU = next(products(attention=("concat",), decoder=("bahdanau",), local_window=(2,), coverage=(True,)))
PEEKY = next(products(attention=("none",), peeky=(True,), cell=("gru",)))
SEARCHES = {
    "greedy": (BAHDANAU, SearchConfig(beam=1)),
    "beam": (FEEDING, SearchConfig(beam=3, n_best=2, length_penalty=1.0, no_repeat_ngram=2)),
    "beam-peeky": (PEEKY, SearchConfig(beam=2)),
    "sample": (FEEDING, SearchConfig(beam=1, temperature=0.7, top_k=3, n_best=2, seed=1)),
}


@pytest.mark.parametrize(("config", "searched"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_is_on_one_device(config: ModelConfig, searched: SearchConfig) -> None:
    with fake_cuda(), torch.inference_mode():
        model = on_gpu(Seq2Seq(config, VOCABULARY, VOCABULARY).eval())
        source = torch.ones(3, 5, dtype=torch.int64, device=GPU)
        found = search(model, source, torch.ones(3, dtype=torch.int64, device=GPU), searched)
    assert len(found) == 3
