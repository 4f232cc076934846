"""The workers' account on a real server with passwords: it does what a run does, and nothing of an administrator's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import free_port, server

ADMIN, PASSWORD = "password of the admin", "password of the worker"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server as infra/ runs it, with its accounts in a file."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    ini = (Path(__file__).parents[3] / "infra" / "mlflow-auth.ini").read_text("utf8")
    accounts = ini.replace("postgresql+psycopg:///mlflow_accounts", f"sqlite:///{folder / 'accounts.db'}")
    (folder / "auth.ini").write_text(accounts)
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "key of the tests",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--app-name",
        "basic-auth",
    ]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder)]
    with server(command, environment, port):
        yield f"http://127.0.0.1:{port}"


def be(monkeypatch: pytest.MonkeyPatch, name: str, password: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


@pytest.mark.slow  # The account's program imports all of MLflow's server, twice.
def test_it_does_what_a_run_does_and_is_no_administrator(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "admin", ADMIN)
    client = MlflowClient(address)
    older = client.create_experiment("older")
    client.create_registered_model("older")
    environment = os.environ | {"MLFLOW_TRACKING_URI": address}
    for password in ("another password", PASSWORD):  # As servers start again, and with a changed one.
        variables = environment | {"NMT_MLFLOW_WORKER_PASSWORD": password}
        subprocess.run([sys.executable, "-m", "pipeline.registry.accounts"], env=variables, check=True)
    be(monkeypatch, "worker", PASSWORD)
    for experiment, model in ((older, "older"), (client.create_experiment("newer"), "newer")):
        run = client.create_run(experiment).info.run_id
        client.log_metric(run, "bleu", 1.0)
        if model == "newer":
            client.create_registered_model(model)
        logged = client.create_logged_model(experiment, source_run_id=run)
        version = client.create_model_version(model, f"models:/{logged.model_id}", run, model_id=logged.model_id)
        client.set_registered_model_alias(model, "champion", version.version)
        client.set_model_version_tag(model, version.version, "decision", "champion")
    for method, path, body in (
        ("POST", "create", {"username": "another", "password": "password of another"}),
        ("PATCH", "update-admin", {"username": "worker", "is_admin": True}),
        ("PATCH", "update-password", {"username": "admin", "password": "password of another"}),
    ):
        url = f"{address}/api/2.0/mlflow/users/{path}"
        assert httpx.request(method, url, json=body, auth=("worker", PASSWORD)).status_code == 403, path
        assert httpx.request(method, url, json=body, auth=("worker", "another password")).status_code == 401, path
