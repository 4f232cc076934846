"""What a version is scored on: its own corpus as it was trained on, whatever has become of the preset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.models import Model

from flows.evaluation_corpus import describe, describe_seen, evaluation_config, training_parts
from flows.presets import load_config
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import EvaluationSet, Seen
from pipeline.registry.pull import PulledVersion
from pipeline.store.store import Reuse, Store

PINNED = CorpusConfig(dataset="bentrevett/multi30k", revision="a" * 40, source_column="en", target_column="de")
MISSING = "on /no/such/folder, which is not there; name what to score on with --preset or --set corpus.path=FILE"
Version = Callable[..., PulledVersion]


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """Make a version with the given metadata."""

    def make(**metadata: Any) -> PulledVersion:
        Model(metadata=metadata or None).save(str(tmp_path / "MLmodel"))
        return PulledVersion("tiny", "1", None, "run", tmp_path, "fingerprint", "model/1", Reuse.NO)

    return make


def pairs(fingerprint: str = "abc") -> EvaluationSet:
    return EvaluationSet(Path(), fingerprint, "news.tsv", 3, {}, Reuse.NO)


def test_without_a_preset_it_is_what_the_version_records(version: Version) -> None:
    own = version(preset="mine", corpus=PINNED.model_dump())
    config = evaluation_config(own, None, {"evaluation.bootstrap_samples": 100})
    assert (config.name, config.corpus, config.evaluation.bootstrap_samples) == ("mine", PINNED, 100)
    assert evaluation_config(own, None, {"corpus.test_size": 5}).corpus.test_size == 5


def test_a_preset_that_is_asked_for_comes_first(version: Version) -> None:
    own = version(preset="mine", corpus=PINNED.model_dump())
    assert evaluation_config(own, "captions", {}) == load_config("captions", {})


@pytest.mark.parametrize(
    "overrides", [{"corpus.path": "news.tsv"}, {"corpus.dataset": "other"}, {"corpus.path": "a", "corpus.seed": 2}]
)
def test_of_another_source_the_version_gives_the_columns(version: Version, overrides: dict[str, Any]) -> None:
    own = version(preset="mine", corpus=PINNED.model_copy(update={"path": "old", "target_path": "x"}).model_dump())
    corpus = evaluation_config(own, None, overrides).corpus
    assert (corpus.source_column, corpus.target_column) == ("en", "de")
    assert (corpus.revision, corpus.target_path) == ("main", None)
    assert (corpus.path, corpus.dataset) == (overrides.get("corpus.path"), overrides.get("corpus.dataset", "captions"))


def test_an_older_version_has_the_name_of_its_preset(version: Version) -> None:
    assert evaluation_config(version(preset="multi30k-de-en"), None, {}) == load_config("multi30k-de-en", {})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "models:/tiny/1 has no record of what it was trained on; name what to score on with --preset or --set"),
        ({"preset": "mine"}, "models:/tiny/1 was trained with preset mine, which is not known here; name what"),
        (
            {"preset": "mine", "corpus": PINNED.model_copy(update={"path": "/no/such/folder"}).model_dump()},
            f"models:/tiny/1 was trained with preset mine {MISSING}",
        ),
    ],
)
def test_a_corpus_that_is_not_known_here_must_be_named(
    version: Version, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluation_config(version(**metadata), None, {})
    assert evaluation_config(version(**metadata), None, {"corpus.path": "news.tsv"}).corpus.path == "news.tsv"
    assert evaluation_config(version(**metadata), "captions", {}).name == "captions"


@pytest.mark.parametrize(
    ("metadata", "preset", "overrides", "expected"),
    [
        ({}, None, {}, "On the test set of preset mine."),
        ({"sha256": {"test": "abc"}}, None, {}, "On the test set of preset mine."),
        ({"sha256": {"test": "x"}}, None, {}, "On the test set of preset mine, which has changed since the training."),
        ({"sha256": {"test": "x"}}, "mine", {}, "On the test set of preset mine."),
        ({"sha256": {"test": "x"}}, None, {"corpus.seed": 2}, "On the test set of preset mine with corpus.seed=2."),
        ({}, None, {"evaluation.bootstrap_samples": 100}, "On the test set of preset mine."),
        ({}, "mine", {"corpus.path": "news.tsv"}, "On news.tsv."),
    ],
)
def test_what_was_scored_is_said(
    version: Version, metadata: dict[str, Any], preset: str | None, overrides: dict[str, Any], expected: str
) -> None:
    assert describe(version(**metadata), preset, overrides, RunConfig(name="mine"), "test", pairs()) == expected


def test_what_a_version_was_trained_on_is_found_by_what_it_holds(version: Version, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("de\ten\n" + "".join(f"Satz {n}.\tSentence {n}.\n" for n in range(20)))
    config = CorpusConfig(path=str(tmp_path / "pairs.tsv"), validation_size=3, test_size=4)
    store = Store(tmp_path / "store")
    corpus = prepare_corpus(config, store)
    own = version(corpus=config.model_dump(), sha256=corpus.figures["sha256"])
    assert training_parts(own, Store(tmp_path / "empty")) is not None, "made again"
    (tmp_path / "pairs.tsv").rename(tmp_path / "renamed.tsv")
    found = training_parts(own, store)
    assert found is not None
    assert [list(part.read("train")) for part in found] == [list(corpus.pairs("train"))]
    assert training_parts(own, Store(tmp_path / "other")) is None
    assert training_parts(version(corpus=config.model_dump()), store) is None, "an older version does not say"


def test_what_several_sources_held_is_found_too(version: Version, tmp_path: Path) -> None:
    for name in "ab":
        lines = "".join(f"Satz {name} {n}.\tThis is sentence {n}.\n" for n in range(20))
        (tmp_path / f"{name}.tsv").write_text(f"de\ten\n{lines}")
    sizes = {"validation_size": 3, "test_size": 4}
    config = CorpusConfig(sources=[{"name": name, "path": str(tmp_path / f"{name}.tsv"), **sizes} for name in "ab"])
    corpus = prepare_corpus(config, Store(tmp_path / "store"))
    assert corpus.figures["left_out"], "what one is scored on is left out of the other"
    own = version(corpus=config.model_dump(mode="json"), sha256=corpus.figures["sha256"])
    for store in (tmp_path / "store", tmp_path / "empty"):
        found = training_parts(own, Store(store)) or ()
        pairs = [pair for part in found for pair in part.read("train")]
        assert (len(found), pairs) == (2, list(corpus.pairs("train")))
    (tmp_path / "b.tsv").write_text("de\ten\n" + "".join(f"Neu {n}.\tNew {n}.\n" for n in range(20)))
    assert training_parts(own, Store(tmp_path / "other")) is None


def test_how_much_was_trained_on_is_said() -> None:
    assert describe_seen("models:/tiny/1", pairs(), Seen(0, 0)) == ""
    assert "2 of the 3 pairs were in the training of models:/tiny/1: its scores" in describe_seen(
        "models:/tiny/1", pairs(), Seen(2, 2)
    )
    assert "0 of the 3 pairs were in the training of models:/tiny/1, and 1 more of the sources" in describe_seen(
        "models:/tiny/1", pairs(), Seen(0, 1)
    )
    assert "not known here" in describe_seen("models:/tiny/1", pairs(), None)
