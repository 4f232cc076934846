"""A version that was registered before the pipeline had rooms brings its own code, and is used like any other.

version-before-rooms.tar.xz is what `nmt train` of commit f7fd69a left in MLflow for a tiny preset of the embedded
corpus (600 pairs, 40 epochs): the folder of the logged model, without its input example, ids and paths of the machine
that made it, and record.json with the version's tags and with translations by that commit.
"""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.tracking import MlflowClient

from pipeline.config import EvaluationConfig
from pipeline.corpus.corpus import Corpus
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import EvaluationSet, prepare_files
from pipeline.evaluation.scoring import score_translations, translate_set
from pipeline.metrics.metrics import BLEU
from pipeline.registry.pull import PulledVersion, pull_model
from pipeline.registry.runs import open_experiment, tracking_uri
from pipeline.registry.scored_runs import record_scores
from pipeline.store.store import Store
from tests.pipeline.registry.conftest import Register

ARCHIVE = Path(__file__).with_name("version-before-rooms.tar.xz")


@dataclass(frozen=True)
class Older:
    """Version 1 and champion of `tiny`, as it was registered, and pulled again."""

    pulled: PulledVersion
    translations: list[tuple[str, str]]
    """Source and translation, by the commit that registered it."""


@pytest.fixture
def older(tracked_home: Path, tmp_path: Path) -> Older:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "older", filter="data")
    record = json.loads((tmp_path / "older" / "record.json").read_text("utf8"))
    client, experiment = open_experiment("nmt")
    run = client.create_run(experiment).info.run_id
    logged = client.create_logged_model(experiment, name="model", source_run_id=run)
    client.log_model_artifacts(logged.model_id, str(tmp_path / "older" / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_registered_model("tiny")
    client.create_model_version(
        "tiny", f"models:/{logged.model_id}", run, tags=record["tags"], model_id=logged.model_id
    )
    client.set_registered_model_alias("tiny", "champion", "1")
    return Older(pull_model("tiny", Store()), [(source, found) for source, found in record["translations"]])


@pytest.fixture
def pairs(older: Older, tmp_path: Path) -> EvaluationSet:
    """Pairs whose references are the older version's translations: its BLEU is 100."""
    rows = "".join(f"{source}\t{translation}\n" for source, translation in older.translations if source)
    (tmp_path / "pairs.tsv").write_text(f"de\ten\n{rows}", "utf8")
    return prepare_files(CorpusConfig(path=str(tmp_path / "pairs.tsv")), "test", Store())


def test_it_translates_as_on_the_day_it_was_registered_on_the_cpu(
    older: Older, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="--device gpu: models:/tiny/1 was registered before versions could use a GPU"):
        older.pulled.check_device("gpu")
    assert older.pulled.check_device("auto") == "cpu"
    monkeypatch.setattr("pipeline.registry.pull.open_device", lambda *_: torch.device("cuda"))
    with pytest.raises(InputError, match="--device gpu: this version was registered before versions could use a GPU"):
        older.pulled.load("gpu")
    sources, translations = zip(*older.translations, strict=True)
    loaded = older.pulled.load()
    assert loaded.predict(list(sources)) == list(translations)
    assert len(set(translations)) > 8, "a test of something"
    assert loaded.parameters["beam"] == 5
    (answer,) = loaded.predict([sources[0]], {"n_best": 3})
    assert len(answer["hypotheses"]) == 3
    assert (older.pulled.metadata["preset"], "corpus" in older.pulled.metadata) == ("tiny", False)


def test_it_is_scored(older: Older, pairs: EvaluationSet) -> None:
    scores = score_translations(
        [translate_set(older.pulled, pairs, Store())], pairs, EvaluationConfig(bootstrap_samples=100), Store()
    )
    assert scores.figures["systems"][0]["scores"]["BLEU"]["score"] == pytest.approx(100)
    assert "truncated" not in scores.figures["systems"][0], "it does not tell"
    record_scores(scores, [older.pulled], pairs, "nmt")
    version = MlflowClient(tracking_uri()).get_model_version("tiny", "1")
    assert version.tags["nmt.scores.pairs.tsv"].startswith("BLEU 100.00 ")


def test_it_is_compared_with_a_new_version(older: Older, pairs: EvaluationSet, register: Register) -> None:
    register(1, 0.0)
    models = [pull_model(f"models:/tiny/{number}", Store()) for number in (2, 1)]
    scores = score_translations(
        [translate_set(model, pairs, Store()) for model in models],
        pairs,
        EvaluationConfig(bootstrap_samples=100),
        Store(),
    )
    assert scores.figures["verdict"].startswith("models:/tiny/1 is better than models:/tiny/2 by ")
    metrics = MlflowClient(tracking_uri()).get_run(record_scores(scores, models, pairs, "nmt")).data.metrics
    assert metrics["scores_tiny_1/BLEU"] == pytest.approx(100)


@pytest.mark.parametrize(("bleu", "decision"), [(50.0, "champion"), (0.0, "not champion")])
def test_a_new_version_replaces_it_only_if_better_on_the_new_data(
    older: Older, register: Register, corpus: Corpus, bleu: float, decision: str
) -> None:
    sources, references = map(list, zip(*corpus.pairs("validation"), strict=True))
    mlflow.set_tracking_uri(tracking_uri())
    score = BLEU.score(older.pulled.load().predict(sources), references)
    assert 0 < score < 50
    assert register(1, bleu).decision == f"{decision}: BLEU {bleu:.2f}, version 1 has {score:.2f}"
