"""What this project takes from MLflow without a promise is still there, in the version that it was read in."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.registry import mlflow_internals
from pipeline.registry.mlflow_internals import NO_ANSWER, NOT_THERE, NOTE_TAG, PARENT_TAG, data_set, logged_model
from tests.conftest import free_port

CHECK = (
    f"MLflow is {version('mlflow')}: compare every part in pipeline/registry/mlflow_internals.py with its source, run "
    "the slow tests, and set VERSION"
)


def test_mlflow_is_the_version_that_was_read() -> None:
    assert version("mlflow") == mlflow_internals.VERSION, CHECK


def test_tags_are_those_that_earlier_runs_have() -> None:
    assert (PARENT_TAG, NOTE_TAG) == ("mlflow.parentRunId", "mlflow.note.content"), CHECK


def test_a_server_that_does_not_answer_is_told_by_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException, match=NO_ANSWER):
        MlflowClient(f"http://127.0.0.1:{free_port()}").get_experiment("0")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    address = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    mlflow.set_tracking_uri(address)  # Where the source of a version is looked up.
    return MlflowClient(address)


def test_what_is_not_there_is_told_by_the_code(client: MlflowClient) -> None:
    client.create_registered_model("model")
    missing: list[tuple[Any, tuple[str, str]]] = [
        (client.get_model_version, ("model", "7")),
        (client.get_model_version, ("another", "1")),
        (client.get_model_version_by_alias, ("model", "champion")),
        (client.get_model_version_by_alias, ("another", "champion")),
    ]
    for get, names in missing:
        with pytest.raises(MlflowException) as caught:
            get(*names)
        assert caught.value.error_code in NOT_THERE, CHECK


def test_the_logged_model_of_a_version_is_in_its_source(client: MlflowClient, tmp_path: Path) -> None:
    experiment = client.create_experiment("logged", artifact_location=tmp_path.as_uri())
    logged = client.create_logged_model(experiment)
    client.create_registered_model("logged")
    made = client.create_model_version("logged", f"models:/{logged.model_id}", model_id=logged.model_id)
    assert logged_model(client.get_model_version("logged", made.version)) == logged.model_id, CHECK
    assert logged_model(ModelVersion("logged", "1", 0, source="/folder")) is None


def test_data_sets_have_as_long_names_and_digests_as_the_database_takes(client: MlflowClient, tmp_path: Path) -> None:
    found = data_set(tmp_path / "test.jsonl", "n" * 999, "f" * 64, 3, {"dataset": "lab/x", "license": "cc-by-4.0"})
    entity = found._to_mlflow_entity()
    assert (len(entity.name), len(entity.digest)) == (200, 36), CHECK
    assert json.loads(entity.profile or "") == {"num_rows": 3, "dataset": "lab/x", "license": "cc-by-4.0"}
