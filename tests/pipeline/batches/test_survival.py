"""References that do not come back from the tokenizer: counted, with examples, and said with a remedy."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.batches.survival import survival, survival_warnings
from pipeline.batches.tokenizer import Tokenizer, train_tokenizer
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.data_config import CorpusConfig, TokenizerConfig
from pipeline.store.store import Store

LETTERS = [
    (row["en"], row["x"])
    for row in map(
        json.loads, Path(__file__).with_name("letters-that-nfkc-changes.jsonl").read_text("utf8").splitlines()
    )
]
OTHERS = [
    "«\u00a0Oui\u00a0»\u202f!",
    "東京\u3000２０％",
    "l\u2019e\u0301te\u0301",
    "क\u093c \u0958 ﬁn ℃ ① Ⅳ ｶﾅ",
    "10\u00ad000",
]
Prepare = Callable[..., Corpus]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepare a corpus whose validation and test pairs are these; and its training pairs, unless others are given."""

    def run(pairs: list[tuple[str, str]], train: list[tuple[str, str]] | None = None) -> Corpus:
        for split, rows in (("train", train or pairs), ("validation", pairs), ("test", pairs)):
            lines = [json.dumps({"de": source, "en": target}) for source, target in rows]
            (tmp_path / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf8")
        return prepare_corpus(CorpusConfig(path=str(tmp_path), clean="off", leaks="keep"), Store(tmp_path / "store"))

    return run


def tokenizer_of(corpus: Corpus, **fields: object) -> tuple[Tokenizer, TokenizerConfig]:
    config = TokenizerConfig.model_validate({"vocabulary_size": 90, **fields})
    return train_tokenizer(corpus, config, Store(corpus.path.parents[1])), config


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("joint", [True, False])
def test_by_default_every_reference_survives(prepare: Prepare, kind: str, joint: bool) -> None:
    targets = [target for _, target in LETTERS] + OTHERS
    corpus = prepare([(f"Satz {number}: {target}", target) for number, target in enumerate(targets)])
    tokenizer, config = tokenizer_of(corpus, kind=kind, joint=joint, vocabulary_size=104 if joint else 98)
    assert tokenizer.figures["references"]["changed"] == 0
    assert survival_warnings(tokenizer.figures, config) == []


def test_what_a_rule_changes_is_counted_and_said(prepare: Prepare) -> None:
    tokenizer, config = tokenizer_of(prepare(LETTERS), normalization="nmt_nfkc")
    references = tokenizer.figures["references"]
    assert (references["sentences"], references["changed"], references["unknown"]) == (18, 14, 0)
    assert {"ำ", "\u200c", "，"} <= set(references["characters"])
    assert references["examples"][0]["reference"] != references["examples"][0]["decoded"]
    (warning,) = survival_warnings(tokenizer.figures, config)
    assert warning.startswith("14 of 18 references (77.8%) do not survive the tokenizer, which cannot write '")
    assert warning.endswith("; set tokenizer.normalization=faithful")
    assert "\n" not in warning


def test_an_unknown_character_asks_for_bytes(prepare: Prepare) -> None:
    train = [("Hund", f"dog number {letter}") for letter in "abcdefgh"]
    corpus = prepare([("Hund", "dog 猫"), *train[1:]], train)
    tokenizer, config = tokenizer_of(corpus, vocabulary_size=20)
    assert tokenizer.figures["references"]["unknown"] == tokenizer.figures["references"]["changed"] == 2
    (warning,) = survival_warnings(tokenizer.figures, config)
    assert "cannot write '猫' (U+732B)" in warning
    assert warning.endswith("; set tokenizer.byte_fallback=true")
    spelled, config = tokenizer_of(corpus, vocabulary_size=276, byte_fallback=True)
    assert survival_warnings(spelled.figures, config) == []


def test_runs_of_blanks_are_one(prepare: Prepare) -> None:
    tokenizer, _ = tokenizer_of(prepare([("ein  Hund", "a  dog "), ("zwei", "▁ dogs")]), vocabulary_size=19)
    references = tokenizer.figures["references"]
    assert (references["changed"], references["characters"]) == (2, ["▁", " "])


def test_one_in_a_thousand_is_tolerated() -> None:
    references = {"sentences": 1000, "changed": 1, "unknown": 0, "characters": [], "examples": []}
    assert survival_warnings({"references": references}, TokenizerConfig()) == []
    (warning,) = survival_warnings({"references": references | {"changed": 2}}, TokenizerConfig(model="own.model"))
    assert "the order of their characters" in warning
    assert warning.endswith("; train your model with --normalization_rule_name=identity")


def test_a_symbol_that_no_training_pair_has_is_said(prepare: Prepare) -> None:
    corpus = prepare([("Hallo {n}", "Hello {n}")] * 3)
    tokenizer, config = tokenizer_of(corpus, vocabulary_size=13, user_symbols=["{n}", "<br>"])
    assert survival(corpus, tokenizer.load())["unlearned_symbols"] == ["<br>"]
    (warning,) = survival_warnings(tokenizer.figures, config)
    assert warning.startswith("tokenizer.user_symbols: '<br>' is in no target of the training pairs")
