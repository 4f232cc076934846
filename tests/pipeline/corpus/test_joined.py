"""Several sources as one corpus: their pairs in order, their figures together, each made again by itself."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.corpus.splits import SPLITS, read_pairs, split_path
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.store.store import Reuse, Store
from tests.corpus_files import SPLITS as PAIRS
from tests.corpus_files import write_folder

SIZES = {"captions_pairs": 6, "validation_size": 2, "test_size": 3}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def prepare(store: Store, folder: Path, captions: dict[str, Any] | None = None, **fields: Any) -> Corpus:
    """Prepare a corpus of captions and of a folder's pairs."""
    sources = [{"name": "captions", **SIZES, **(captions or {})}, {"name": "own", "path": str(folder)}]
    return prepare_corpus(CorpusConfig(sources=sources, **fields), store)


def test_the_pairs_of_all_and_the_sums_of_their_figures(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "own", "tsv", PAIRS)
    corpus = prepare(store, folder)
    captions, own = corpus.parts
    assert (captions.name, own.name) == ("captions", "own")
    for split in SPLITS:
        parts = [list(read_pairs(split_path(part.path, split))) for part in corpus.parts]
        assert list(corpus.pairs(split)) == parts[0] + parts[1]
        assert [captions.pairs[split], own.pairs[split]] == list(map(len, parts))
        assert corpus.figures["pairs"][split] == len(parts[0]) + len(parts[1])
    for split in ("validation", "test"):  # What is scored is in one file, too.
        assert list(read_pairs(corpus.path / f"{split}.jsonl")) == list(corpus.pairs(split))
    assert corpus.figures["parts"]["own"]["pairs"] == dict(own.pairs)
    assert corpus.figures["origin"]["sources"]["own"]["path"] == str(folder)
    assert (corpus.languages.source, corpus.languages.target) == ("de", "en")


def test_only_a_changed_source_is_made_again(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "own", "tsv", PAIRS)
    first, again = prepare(store, folder), prepare(store, folder)
    assert (first.reused, again.reused) == (Reuse.NO, Reuse.YES)
    assert (first.fingerprint, first.figures) == (again.fingerprint, again.figures)
    shutil.rmtree(first.parts[1].path)
    changed = prepare(store, folder, {"seed": 9})
    assert changed.fingerprint != first.fingerprint
    assert changed.parts[1].fingerprint == first.parts[1].fingerprint
    assert changed.split_fingerprint("train") != first.split_fingerprint("train")


def test_weights_change_no_pairs(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "own", "tsv", PAIRS)
    assert prepare(store, folder, temperature=5.0).fingerprint == prepare(store, folder).fingerprint


def test_a_single_source_is_the_corpus_that_it_was(store: Store) -> None:
    corpus = prepare_corpus(CorpusConfig(**SIZES), store)
    assert [(part.name, part.path, part.fingerprint) for part in corpus.parts] == [
        ("", corpus.path, corpus.fingerprint)
    ]
    assert "parts" not in corpus.figures


def test_sources_in_other_languages_are_refused(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "own", "tsv", {**PAIRS, "train": [("你好,世界", "你好"), ("東京", "京")]})
    with pytest.raises(InputError, match=r"corpus.sources: the source language differs \(de in captions, zh in own\)"):
        prepare(store, folder)
    assert prepare(store, folder, source_language="de", target_language="en").languages.source == "de"


def test_an_error_says_which_source_it_is_about(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^corpus.sources, own: corpus.path=.*/no: there is no such file or folder"):
        prepare(store, tmp_path / "no")


TWO = [{"name": "a"}, {"name": "b"}]
STAGE = {"until": "2 epochs", "weights": {"a": 1}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sources": TWO, "path": "x"}, "path=x and sources=a, b: every source has its own path; set it in"),
        ({"sources": TWO, "seed": 3}, "seed=3 and sources=a, b: every source has its own seed"),
        ({"temperature": 2.0}, "temperature=2.0 mixes several sources; list them in corpus.sources"),
        ({"curriculum": [STAGE]}, "curriculum mixes several sources"),
        ({"sources": [*TWO, {"name": "a"}]}, "two are called a; give each a name of its own"),
        ({"sources": [{"name": "a b"}]}, "a source's name has letters of a to z, digits, - _ and . only"),
        ({"sources": [{"name": "a", "weight": 0}]}, "greater than 0"),
        (
            {"sources": [{"name": "a", "weight": 1}, {"name": "b"}]},
            "a has a weight, b none; give all a weight, or none",
        ),
        (
            {"sources": [{"name": "a", "weight": 1}], "temperature": 2.0},
            "temperature=2.0 and the weight of a: both say what the sources' shares are; leave one out",
        ),
        (
            {"sources": [{"name": "a", "source_language": "de"}, {"name": "b", "source_language": "fr"}]},
            "source_language: de in source a, fr in source b; a model has one pair of languages",
        ),
        ({"sources": TWO, "temperature": 0.5}, "greater than or equal to 1"),
        (
            {"sources": TWO, "curriculum": [STAGE | {"weights": {"c": 1}}]},
            "c has a weight, but there is no such source",
        ),
        (
            {"sources": TWO, "curriculum": [STAGE | {"weights": {"a": 0}}]},
            "all are 0; give at least one source a weight",
        ),
        ({"sources": TWO, "curriculum": [STAGE | {"until": "2 hours"}]}, "hours do not fit here; choose one of epochs"),
        ({"sources": TWO, "curriculum": [STAGE, STAGE]}, "a stage until 2 epochs after one until 2 epochs never comes"),
    ],
)
def test_what_cannot_be_mixed_is_refused(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        CorpusConfig(**fields)
