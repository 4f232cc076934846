"""The registry on a real MLflow store: versions, the champion, and finding a run again."""

from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from model.search.config import SearchConfig
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.errors import ExternalError, InputError
from pipeline.inference.predictions import PARAMETERS, defaults
from pipeline.inference.translator import LinePolicy
from pipeline.registry.pull import LoadedModel, PulledVersion, pull_model
from pipeline.registry.runs import TrainingRun, tracking_uri
from pipeline.store.storage import home
from pipeline.store.store import Reuse, Store
from tests.pipeline.registry.conftest import Register


def champion() -> str:
    return str(MlflowClient(tracking_uri()).get_model_version_by_alias("tiny", "champion").version)


def test_nothing_becomes_champion_on_nothing_against_nothing(register: Register) -> None:
    assert register(1, 0.0).decision == "champion: there was none"
    refused = "not champion: BLEU 0.40, version 1 has 0.00, both near 0, which says nothing"
    assert register(2, 0.4).decision == refused
    assert register(3, 30.0).decision == "champion: BLEU 30.00, version 1 has 0.00"


def test_the_champion_is_the_best_and_a_tie_goes_to_the_newer(register: Register) -> None:
    assert register(1, 30.0).decision == "champion: there was none"
    assert register(2, 29.9).decision == "not champion: BLEU 29.90, version 1 has 30.00"
    assert champion() == "1"
    assert register(3, 30.0).decision == "champion: BLEU 30.00, version 1 has 30.00"
    assert champion() == "3"
    tags = MlflowClient(tracking_uri()).get_model_version("tiny", "3").tags
    assert tags["nmt.previous_champion"] == "1", "what a roll-back needs"


def test_the_same_evaluation_is_registered_once_and_a_roll_back_stays(register: Register) -> None:
    register(1, 30.0)
    register(2, 31.0)
    client = MlflowClient(tracking_uri())
    client.set_registered_model_alias("tiny", "champion", "1")  # What an engineer does who has found a fault.
    again = register(2, 31.0)
    assert (again.version, again.reused) == ("2", True)
    assert champion() == "1"
    assert len(client.search_model_versions("name = 'tiny'")) == 2


def test_a_champion_of_other_data_is_scored_anew_on_this(register: Register, corpus: Corpus) -> None:
    register(1, 99.0)
    other = replace(corpus, figures={**corpus.figures, "sha256": {**corpus.figures["sha256"], "validation": "other"}})
    decision = register(2, 50.0, data=other).decision
    assert decision.startswith("champion: BLEU 50.00, version 1 has ")
    assert float(decision.rsplit(" ", 1)[1]) < 50, "an untrained network's score on this data, not its recorded 99"


def test_a_version_records_its_corpus(
    register: Register, corpus: Corpus, tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(1, 30.0)
    own = pull_model("models:/tiny/1", Store()).metadata
    languages = {"source_language": "de", "target_language": "en"}
    assert (own["corpus"], own["sha256"]) == (tiny.corpus.model_dump(mode="json") | languages, corpus.figures["sha256"])
    monkeypatch.chdir(tmp_path)
    files = tiny.model_copy(update={"corpus": tiny.corpus.model_copy(update={"path": "pairs.tsv"})})
    register(2, 30.0, config=files)
    assert pull_model("models:/tiny/2", Store()).metadata["corpus"]["path"] == str(tmp_path / "pairs.tsv")
    pinned = replace(corpus, figures={**corpus.figures, "origin": {"dataset": "x", "commit": "a" * 40}})
    register(3, 30.0, data=pinned)
    assert pull_model("models:/tiny/3", Store()).metadata["corpus"]["revision"] == "a" * 40


def test_a_run_is_found_again_and_its_history_is_completed_not_doubled(tracked_home: Path, tiny: RunConfig) -> None:
    history = [{"step": float(step), "loss": 1.0 / step} for step in range(1, 5)]
    first = TrainingRun(tiny, {"training": "abc"})
    for record in history[:2]:
        first.observe(record)
    first.interrupted(by_user=True)
    second = TrainingRun(tiny, {"training": "abc"})
    assert second.id == first.id
    assert TrainingRun(tiny, {"training": "xyz"}).id != first.id
    for _ in range(2):
        second.complete(iter(history))
    client = MlflowClient(tracking_uri())
    assert [metric.step for metric in client.get_metric_history(first.id, "train/loss")] == [1, 2, 3, 4]
    assert client.get_run(first.id).info.status == "FINISHED"


def check_device(pulled: PulledVersion) -> None:
    """Check that a version takes its device as MLflow has it, where there is no GPU."""
    wanted = "the GPU cannot be used: .*, or choose cpu$"
    assert mlflow.pyfunc.load_model(str(pulled.path)).unwrap_python_model().device == "cpu"
    with pytest.raises(MlflowException, match=f"device=gpu: {wanted}"):
        mlflow.pyfunc.load_model(str(pulled.path), model_config={"device": "gpu"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_PYFUNC_INFERENCE_CONFIG", '{"device": "gpu"}')  # As for `mlflow models serve`.
        with pytest.raises(MlflowException, match=f"device=gpu: {wanted}"):
            mlflow.pyfunc.load_model(str(pulled.path))
    assert pulled.check_device("gpu") == "gpu", "on other machines it can be"
    with pytest.raises(InputError, match=f"--device gpu: {wanted}"):
        pulled.load("gpu")
    with pytest.raises(InputError, match="--device tpu: there is no such device"):
        pulled.check_device("tpu")


def test_pulled_models_translate_and_unknown_ones_are_named(register: Register) -> None:
    (home() / "mlflow.db").unlink()
    with pytest.raises(InputError, match=r"no model is registered in sqlite:.*; train one with `nmt train`"):
        pull_model("tiny", Store())
    assert not (home() / "mlflow.db").exists(), "a look makes nothing"
    register(1, 30.0)
    first = pull_model("tiny", Store())
    assert (first.uri, first.reused) == ("models:/tiny/1", Reuse.NO)
    assert pull_model("models:/tiny@champion", Store()).reused
    assert LoadedModel(first.path).predict(["", "  "]) == ["", ""]
    assert len(LoadedModel(pull_model("models:/tiny/1", Store()).path).predict(["Ein Hund.", "Eine Frau."])) == 2
    if not torch.cuda.is_available():
        check_device(first)
    for model, message in (
        ("tinny", r"--model tinny: no model of that name .* did you mean tiny\?"),
        ("models:/tiny/7", r"--model models:/tiny/7: tiny has the versions up to 1 and the aliases @champion"),
        ("runs:/abc/model", r"--model runs:/abc/model: give a registered model's name, models:/name/3 or models:/"),
    ):
        with pytest.raises(InputError, match=message):
            pull_model(model, Store())


def test_the_parameters_are_part_of_the_signature_and_documented_in_the_model(register: Register) -> None:
    register(1, 30.0)
    loaded = mlflow.pyfunc.load_model(str(pull_model("tiny", Store()).path))
    schema = loaded.metadata.get_params_schema()
    given = defaults(SearchConfig(beam=2, max_length=5), LinePolicy())
    assert {param.name: param.default for param in schema.params} == given
    assert loaded.metadata.metadata["parameters"] == dict(PARAMETERS)
    assert len(loaded.predict(["Ein Hund."], params={"n_best": 2})[0]["hypotheses"]) == 2
    with pytest.raises(MlflowException, match="beam=0 must be at least 1") as error:
        loaded.predict(["Ein Hund."], params={"beam": 0})
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_server_that_is_away(nmt_home: Path, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ExternalError, match=r"MLFLOW_TRACKING_URI=http://127\.0\.0\.1:1: MLflow failed"):
        TrainingRun(tiny, {"training": "abc"})
