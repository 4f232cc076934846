"""Further test sets: loaded from anywhere, pinned, and with a name in every message."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.corpus.languages import Languages
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import prepare_files
from pipeline.evaluation.further_sets import check_languages, named_set, prepare_test_sets
from pipeline.overrides import build_config
from pipeline.source_config import SourceConfig
from pipeline.store.store import Store

PAIRS = "de\ten\nEin Hund.\tA dog.\nEine Frau.\tA woman.\n\tnothing\n"


@pytest.fixture
def store(nmt_home: Path) -> Store:
    return Store()


def with_sets(*sets: dict[str, Any], **fields: Any) -> RunConfig:
    return build_config({"name": "tiny", "evaluation": {"test_sets": sets}}, fields)


def test_files_folders_and_captions_by_their_names(tmp_path: Path, store: Store, tiny: RunConfig) -> None:
    (tmp_path / "news.tsv").write_text(PAIRS)
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "dev.en").write_text("One.\nTwo.\nThree.\n")
    (tmp_path / "talks" / "dev.de").write_text("Eins.\nZwei.\nDrei.\n")
    config = with_sets(
        {"name": "news", "path": str(tmp_path / "news.tsv")},
        {"name": "talks", "path": str(tmp_path / "talks"), "split": "validation"},
        {"name": "own", "dataset": "captions", "test_size": 30},
        {"name": "other", "dataset": "captions", "test_size": 30, "seed": 2},
    )
    news, talks, own, other = found = prepare_test_sets(config, store)
    assert [(each.name, each.pairs, bool(each.reused)) for each in found] == [
        ("news", 2, False),
        ("talks", 3, False),
        ("own", 30, False),
        ("other", 30, False),
    ]
    assert list(talks.read()) == [("Eins.", "One."), ("Zwei.", "Two."), ("Drei.", "Three.")]
    corpus = prepare_corpus(tiny.corpus, store)
    assert list(own.read()) == list(corpus.pairs("test"))
    assert own.fingerprint == corpus.split_fingerprint("test")
    assert other.fingerprint != own.fingerprint
    assert {str(each.languages) for each in found} == {"de → en"}
    assert news.fingerprint == prepare_files(SourceConfig(path=str(tmp_path / "news.tsv")), "test", store).fingerprint
    assert all(each.reused for each in prepare_test_sets(config, store))
    assert named_set(config, "talks", store).fingerprint == talks.fingerprint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "gone.tsv"}, "path=gone.tsv: there is no such file or folder"),
        ({"path": "news.tsv", "source_column": "fr"}, "source_column=fr: "),
        ({"path": "news.tsv", "split": "devtest"}, "split=devtest: files have no such split; choose one of train, val"),
        ({"path": "empty.tsv"}, "path=empty.tsv: no sentence pair (0 dropped because a side is empty); look at the"),
        ({"path": ".", "split": "validation"}, "path=.: the folder has no file of the validation split"),
        ({"dataset": "captions", "split": "train"}, "split=train: the captions' is test"),
    ],
)
def test_a_mistake_names_the_set_and_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "news.tsv").write_text(PAIRS)
    (tmp_path / "empty.tsv").write_text("de\ten\n")
    with pytest.raises(InputError) as caught:
        prepare_test_sets(with_sets({"name": "web", **fields}), store)
    assert str(caught.value).startswith(f"evaluation.test_sets, web: {message}")
    assert "corpus." not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_is_not_there(store: Store) -> None:
    config = with_sets({"name": "news", "path": "x"}, {"name": "web", "path": "y"})
    with pytest.raises(InputError, match=r"^--test-set talks: tiny has no test set of that name .*: news, web\)$"):
        named_set(config, "talks", store)
    with pytest.raises(InputError, match=r"\(evaluation.test_sets: none\)$"):
        named_set(with_sets(), "talks", store)


def test_sides_that_are_exchanged_are_noticed(tmp_path: Path, store: Store) -> None:
    (tmp_path / "news.tsv").write_text(PAIRS)
    exchanged = {"name": "news", "path": str(tmp_path / "news.tsv"), "source_column": "en", "target_column": "de"}
    (found,) = prepare_test_sets(with_sets(exchanged), store)
    with pytest.raises(InputError, match=r"^evaluation.test_sets, news: it is en → de, the corpus de → en; exchange"):
        check_languages([found], Languages("de", "en"))
    check_languages([found], Languages("en", "de"))
    check_languages([replace(found, languages=Languages("de-AT", "en"))], Languages("de", "en"))


def test_what_a_set_does_not_say_the_corpus_does(tmp_path: Path, store: Store) -> None:
    (tmp_path / "news.tsv").write_text(PAIRS.replace("de\ten", "a\tb"))
    news = {"name": "news", "path": str(tmp_path / "news.tsv"), "source_column": "a", "target_column": "b"}
    config = with_sets(news, **{"corpus.target_language": "fa"})
    assert prepare_test_sets(config, store)[0].languages == Languages(None, "fa")
