"""The stage `train_tokenizer`: text to pieces and back."""

import shutil
from pathlib import Path

import pytest

from pipeline.batches.tokenizer import check_own_models, train_tokenizer
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.data_config import TokenizerConfig
from pipeline.errors import InputError
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL
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


@pytest.mark.parametrize("joint", [True, False])
def test_plain_text_has_the_pieces_that_it_had_with_sentencepieces_own_rule(
    corpus: Corpus, tmp_path: Path, joint: bool
) -> None:
    now, before = (
        train_tokenizer(corpus, tokenizer_config(joint=joint, normalization=rule), Store(tmp_path)).load()
        for rule in ("faithful", "nmt_nfkc")
    )
    sources, targets = map(list, zip(*corpus.pairs("train"), strict=True))
    assert now.encode_source(sources) == before.encode_source(sources)
    assert now.encode_target(targets) == before.encode_target(targets)
    assert [now.target_pieces([token]) for token in range(300)] == [
        before.target_pieces([token]) for token in range(300)
    ]


SYMBOLS = ["<br>", "{name}", 'a,"b"', "__URL__", "℃", "<b", "<b>"]


@pytest.mark.parametrize("fields", [{}, {"joint": False}, {"kind": "bpe"}, {"normalization": "nmt_nfkc"}], ids=str)
def test_user_symbols_stay_whole_and_spell_themselves(
    corpus: Corpus, tmp_path: Path, fields: dict[str, object]
) -> None:
    config = tokenizer_config(user_symbols=SYMBOLS, **fields)
    subwords = train_tokenizer(corpus, config, Store(tmp_path)).load()
    assert subwords.user_symbols == SYMBOLS
    for symbol in SYMBOLS:
        texts = [symbol, f"a dog{symbol}", f"a dog {symbol}", f"{symbol} a dog", f"{symbol}{symbol} a {symbol}dog"]
        rows = [row[:-1] for row in subwords.encode_target(texts)]
        assert subwords.decode_target(rows) == texts
        assert all(symbol in subwords.target_pieces(row) for row in rows)
        assert symbol in subwords.source_pieces(f"Ein Hund{symbol}bellt.")


def own(folder: Path, corpus: Corpus, name: str = "own.model", **fields: object) -> Path:
    """Make a model of the user's: that of another tokenizer."""
    trained = train_tokenizer(corpus, tokenizer_config(**fields), Store(folder))
    return Path(shutil.copy(trained.path / TARGET_MODEL, folder / name))


def test_a_model_of_the_users_is_used_as_it_is_wherever_it_lies(corpus: Corpus, tmp_path: Path) -> None:
    first = own(tmp_path, corpus, kind="bpe", vocabulary_size=350)
    moved = Path(shutil.copy(first, tmp_path / "elsewhere.model"))
    other = own(tmp_path, corpus, "other.model", vocabulary_size=320)
    used = [
        train_tokenizer(corpus, TokenizerConfig(model=str(path)), Store(tmp_path)) for path in (first, moved, other)
    ]
    assert used[0].figures["source_pieces"] == used[0].figures["target_pieces"] == 350
    assert used[0].fingerprint == used[1].fingerprint != used[2].fingerprint
    assert used[1].reused
    assert (used[0].path / SOURCE_MODEL).read_bytes() == (used[0].path / TARGET_MODEL).read_bytes()
    before = train_tokenizer(corpus, tokenizer_config(kind="bpe", vocabulary_size=350), Store(tmp_path)).load()
    assert used[0].load().encode_target(["A dog runs."]) == before.encode_target(["A dog runs."])


def test_a_model_for_each_language(corpus: Corpus, tmp_path: Path) -> None:
    source, target = own(tmp_path, corpus), own(tmp_path, corpus, "target.model", kind="bpe", vocabulary_size=310)
    config = TokenizerConfig(joint=False, model=str(source), target_model=str(target))
    used = train_tokenizer(corpus, config, Store(tmp_path))
    assert (used.load().source_size, used.load().target_size) == (300, 310)
    swapped = TokenizerConfig(joint=False, model=str(target), target_model=str(source))
    assert train_tokenizer(corpus, swapped, Store(tmp_path)).fingerprint != used.fingerprint


def test_what_is_wrong_with_a_model_of_the_users_is_said_before_there_is_a_corpus(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = str(own(tmp_path, corpus, user_symbols=("<br>",)))
    check_own_models(TokenizerConfig(model=path, user_symbols=("<br>",)))
    check_own_models(TokenizerConfig())
    with pytest.raises(InputError, match=r"'{n}' is no user-defined symbol of tokenizer.model=.*own.model; train that"):
        check_own_models(TokenizerConfig(model=path, user_symbols=("<br>", "{n}")))
    with pytest.raises(
        InputError, match=r"tokenizer.model=gone.model: there is no such file \(.*gone.model\); correct"
    ):
        check_own_models(TokenizerConfig(model="gone.model"))
    (tmp_path / "text").write_text("Ein Hund\n")
    with pytest.raises(InputError, match=r"tokenizer.target_model=.*text: not a SentencePiece model; name a .model"):
        check_own_models(TokenizerConfig(joint=False, model=path, target_model=str(tmp_path / "text")))
