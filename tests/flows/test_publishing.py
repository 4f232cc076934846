"""Wherever an address is told or kept, its password is not: a test per place."""

import logging
from collections.abc import Callable
from typing import Any, cast

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalEntryNotFoundError
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from prefect import runtime
from prefect.settings import PREFECT_API_URL, temporary_settings

import flows.publishing
from flows.presets import load_config
from flows.publishing import hide_secrets_in_logs, publish
from flows.server import reachable_prefect
from flows.tasks import flow_run_name
from flows.translate import translate_run_name
from infra.options import StackOptions
from infra.postgres import prepare_database
from pipeline.cluster.connection import ray_cluster
from pipeline.corpus.corpus import prepare_corpus
from pipeline.corpus.hub.errors import hub_errors
from pipeline.data_config import CorpusConfig
from pipeline.errors import ExternalError, InputError
from pipeline.registry.runs import make_run, reachable_server
from pipeline.store.storage import folder_and_name, storage_uri
from pipeline.store.store import Store

SECRET = "s3cr3t"  # noqa: S105
LOGIN = f"me:{SECRET}@127.0.0.1:1"


def connect_to_ray() -> None:
    with ray_cluster():
        pass


def ask_prefect() -> None:
    with temporary_settings({PREFECT_API_URL: f"http://{LOGIN}/api"}), reachable_prefect():
        raise RuntimeError(f"Failed to reach API at http://{LOGIN}/api/")


def ask_mlflow() -> None:
    with reachable_server():
        raise MlflowException(f"API request to http://{LOGIN}/api/2.0 failed with exception HTTPConnectionPool")


def ask_the_hub() -> None:
    with hub_errors(CorpusConfig(dataset="owner/name"), None):
        raise LocalEntryNotFoundError(f"https://{LOGIN}/api?token={SECRET} does not answer")


@pytest.mark.usefixtures("nmt_home")
@pytest.mark.parametrize(
    ("do", "variable"),
    [
        (connect_to_ray, {"RAY_ADDRESS": f"ray://{LOGIN}"}),
        (ask_prefect, {}),
        (ask_mlflow, {"MLFLOW_TRACKING_URI": f"http://{LOGIN}"}),
        (ask_the_hub, {}),
        (storage_uri, {"NMT_STORAGE": f"s3://me:{SECRET}@bucket"}),
        (storage_uri, {"NMT_STORAGE": f"s3://bucket/x?secret_key={SECRET}"}),
        (lambda: folder_and_name(f"s3://me:{SECRET}@bucket/in.txt"), {}),
        (lambda: prepare_corpus(CorpusConfig(path=f"https://me:{SECRET}@host/train.tsv"), Store()), {}),
        (lambda: load_config("captions", {"training.epochs": f"https://me:{SECRET}@host"}), {}),
        (lambda: StackOptions(database=f"mysql://me:{SECRET}@host/db").check(), {}),
        (lambda: StackOptions(database=f"host=db password={SECRET}").check(), {}),
        (lambda: prepare_database(f"postgresql://{LOGIN}/db?password={SECRET}"), {}),
    ],
)
def test_an_error_shows_no_password(
    do: Callable[[], object], variable: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((InputError, ExternalError)) as caught:
        do()
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)


def test_the_hubs_own_address_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HfApi, "__init__", lambda self: setattr(self, "endpoint", f"https://{LOGIN}"))
    with pytest.raises(ExternalError, match=r"from https://me:\*\*\*@127\.0\.0\.1:1 "):
        ask_the_hub()


def test_the_state_of_the_stack_has_no_password() -> None:
    for database in (f"postgresql://{LOGIN}/db", f"postgresql://h/db?user=me&password={SECRET}"):
        assert SECRET not in str(StackOptions(database=database).public())


class Client:
    """Stands in for MLflow's: keeps what is sent to the server."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def create_run(self, *given: Any, **named: Any) -> Any:
        self.sent += [given, named]
        return type("Run", (), {"info": type("Info", (), {"run_id": "1"})})

    def log_batch(self, run: str, params: list[Any]) -> None:
        self.sent += [(each.key, each.value) for each in params]


def test_a_run_of_mlflow_has_no_password() -> None:
    client, config = Client(), load_config("captions", {"corpus.path": f"https://{LOGIN}/x"})
    make_run(cast(MlflowClient, client), "0", "run", config, {}, ("corpus",))
    assert ("corpus.path", "https://me:***@127.0.0.1:1/x") in client.sent
    assert SECRET not in str(client.sent)


def test_an_artifact_of_prefect_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        flows.publishing, "create_markdown_artifact", lambda *given, **named: made.append((given, named))
    )
    publish(f"On corpus.path=https://{LOGIN}/x.", key="train", description=f"http://{LOGIN}")
    assert made == [
        (("On corpus.path=https://me:***@127.0.0.1:1/x.",), {"key": "train", "description": made[0][1]["description"]})
    ]
    assert SECRET not in str(made)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (flow_run_name, {"preset": "captions", "overrides": {"corpus.path": f"https://{LOGIN}/x"}}),
        (translate_run_name, {"model": "captions", "source": f"s3://me:{SECRET}@bucket/in.txt"}),
    ],
)
def test_the_name_of_a_run_has_no_password(
    name: Callable[[], str], parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runtime.flow_run.FIELDS, "parameters", lambda: parameters)
    assert "***" in name()
    assert SECRET not in name()


@pytest.mark.parametrize("logger", ["prefect.flow_runs", "prefect.task_runs"])
def test_the_log_of_a_run_has_no_password_in_a_traceback(
    logger: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_secrets_in_logs()
    hide_secrets_in_logs()
    log = logging.getLogger(logger)
    assert [type(each).__name__ for each in log.filters].count("_WithoutSecrets") == 1
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    try:
        ask_mlflow()
    except ExternalError:
        log.exception("Failed at %s", f"http://{LOGIN}")
    assert "API request to http://me:***@127.0.0.1:1/api/2.0 failed" in caplog.text, "the cause, which MLflow worded"
    assert SECRET not in caplog.text
