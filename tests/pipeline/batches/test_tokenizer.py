"""The stage `train_tokenizer`: text to pieces and back."""

from pathlib import Path

import pytest

from pipeline.batches.tokenizer import train_tokenizer
from pipeline.config import TokenizerConfig
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.overrides import build_config
from pipeline.store.store import Store


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    config = build_config({}, {"corpus.captions_pairs": 300, "corpus.validation_size": 20, "corpus.test_size": 20})
    return prepare_corpus(config.corpus, Store(tmp_path))


def tokenizer_config(**values: object) -> TokenizerConfig:
    return TokenizerConfig.model_validate({"vocabulary_size": 300, **values})


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("joint", [True, False])
def test_text_survives_there_and_back(corpus: Corpus, tmp_path: Path, kind: str, joint: bool) -> None:
    config = tokenizer_config(kind=kind, joint=joint)
    subwords = train_tokenizer(corpus, config, Store(tmp_path)).load()
    assert (subwords.source_size, subwords.target_size) == (300, 300)
    targets = [target for _, target in corpus.pairs("train")]
    rows = subwords.encode_target(targets)
    assert all(row[-1] == 3 and not {0, 2} & set(row) for row in rows)
    assert subwords.decode_target([row[:-1] for row in rows]) == targets
    sources = [source for source, _ in corpus.pairs("train")]
    same = subwords.encode_source(sources) == subwords.encode_target(sources)
    assert same == joint


def test_byte_fallback_spells_what_it_has_not_seen(corpus: Corpus, tmp_path: Path) -> None:
    plain = train_tokenizer(corpus, tokenizer_config(), Store(tmp_path)).load()
    spelling = train_tokenizer(
        corpus, tokenizer_config(byte_fallback=True, vocabulary_size=600), Store(tmp_path)
    ).load()
    assert 1 in plain.encode_source(["Ein Hund 猫"])[0]
    assert 1 not in spelling.encode_source(["Ein Hund 猫"])[0]
    assert spelling.decode_target([spelling.encode_target(["A dog 猫"])[0][:-1]]) == ["A dog 猫"]
