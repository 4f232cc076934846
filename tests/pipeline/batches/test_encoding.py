"""The stage `encode_corpus`: token rows in memory-mapped files."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.batches import encoding
from pipeline.batches.encoding import EncodedCorpus, encode_corpus
from pipeline.batches.tokenizer import Tokenizer, train_tokenizer
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.data_config import BatchingConfig
from pipeline.errors import InputError
from pipeline.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def corpus(tiny: RunConfig, store: Store) -> Corpus:
    return prepare_corpus(tiny.corpus, store)


@pytest.fixture
def tokenizer(corpus: Corpus, tiny: RunConfig, store: Store) -> Tokenizer:
    return train_tokenizer(corpus, tiny.tokenizer, store)


def encode(corpus: Corpus, tokenizer: Tokenizer, store: Store, **batching: int) -> EncodedCorpus:
    return encode_corpus(corpus, tokenizer, BatchingConfig.model_validate(batching), store)


def test_rows_are_the_sentences_and_are_mapped_not_read(corpus: Corpus, tokenizer: Tokenizer, store: Store) -> None:
    encoded = encode(corpus, tokenizer, store)
    subwords = tokenizer.load()
    source, target = encoded.open("train")
    pairs = list(corpus.pairs("train"))
    assert source.lengths.size == target.lengths.size == len(pairs) == 400
    for row in (0, 17, 399):
        stretch = slice(int(target.offsets[row]), int(target.offsets[row + 1]))
        assert target.values[stretch].tolist() == subwords.encode_target([pairs[row][1]])[0]
    assert not source.values.flags.owndata
    assert not source.values.flags.writeable
    assert encoded.figures["train_target_tokens"] == target.values.size
    assert 0 < encoded.figures["padding_share"] < 0.5


def test_pairs_over_the_limit_are_left_out_and_counted_and_validation_is_kept_whole(
    corpus: Corpus, tokenizer: Tokenizer, store: Store
) -> None:
    everything, limited = encode(corpus, tokenizer, store), encode(corpus, tokenizer, store, max_length=20)
    longest = np.maximum(*(side.lengths for side in everything.open("train")))
    over = int((longest > 20).sum())
    assert limited.figures["train_pairs_over_max_length"] == over > 0
    assert limited.figures["train_pairs"] == 400 - over
    assert max(side.lengths.max() for side in limited.open("train")) <= 20
    assert limited.figures["validation_pairs"] == 40
    assert max(side.lengths.max() for side in limited.open("validation")) > 20


def test_nothing_short_enough(corpus: Corpus, tokenizer: Tokenizer, store: Store) -> None:
    with pytest.raises(InputError, match=r"batching\.max_length=2: all 400 training pairs are longer"):
        encode(corpus, tokenizer, store, max_length=2)


def test_letting_go_of_what_is_written_changes_no_byte(
    corpus: Corpus, tokenizer: Tokenizer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = encode(corpus, tokenizer, store)
    monkeypatch.setattr(encoding, "AT_ONCE", 1_000)
    often = encode(corpus, tokenizer, Store(tmp_path / "other"))
    for name in ("train.arrow", "validation.arrow"):
        assert (often.path / name).read_bytes() == (usual.path / name).read_bytes()
