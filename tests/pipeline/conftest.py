"""A small untrained network with a tokenizer, for tests of what is done with its translations."""

from collections.abc import Callable

import pytest
import torch

from model.config import ModelConfig
from model.search.config import SearchConfig
from model.seq2seq import Seq2Seq
from pipeline.corpus.captions import generate_pairs
from pipeline.inference.model_files import with_rule
from pipeline.inference.normalization import FAITHFUL
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords, learn_pieces
from pipeline.inference.translator import Translator


@pytest.fixture(scope="session")
def subwords(tmp_path_factory: pytest.TempPathFactory) -> Subwords:
    folder = tmp_path_factory.mktemp("subwords")
    sentences = [sentence for pair in generate_pairs(300, seed=3) for sentence in pair]
    pieces = learn_pieces(sentences, 250, "unigram", False, 1.0)
    (folder / SOURCE_MODEL).write_bytes(with_rule(pieces, FAITHFUL))
    (folder / TARGET_MODEL).write_bytes(pieces)
    return Subwords(folder)


Make = Callable[..., Translator]


@pytest.fixture(scope="session")
def make(subwords: Subwords) -> Make:
    def run(model: ModelConfig | None = None, batch: int = 64, **search: object) -> Translator:
        torch.manual_seed(5)
        config = model or ModelConfig(embedding_size=16, encoder_size=8, decoder_size=16)
        network = Seq2Seq(config, subwords.source_size, subwords.target_size).double().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(std=0.5)
        return Translator(network, subwords, SearchConfig(**search), batch)  # type: ignore[arg-type]

    return run
