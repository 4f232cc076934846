"""A finished run that many tests look at, with a worse second version; made once for all test processes."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import pytest
from filelock import FileLock
from mlflow.tracking import MlflowClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from safetensors.torch import load_file, save_file

from pipeline.cluster.connection import ray_cluster
from pipeline.registry.bundle import PYFUNC
from tests.conftest import SERVERS, CommandLine, command_line


@dataclass(frozen=True)
class FinishedRun:
    """A run of seconds through the whole chain, and what it said."""

    nmt: CommandLine
    result: dict[str, Any]
    messages: str

    @property
    def tracking_uri(self) -> str:
        return str(self.result["tracking_uri"])

    @property
    def home(self) -> Path:
        return self.nmt.folder / ".nmt"


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The run of version 1 of `captions`."""
    several = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()
    folder = shared / "finished"
    with FileLock(shared / "finished.lock"):
        nmt = command_line(folder)
        if not (folder / "run.json").is_file():
            folder.mkdir(exist_ok=True)
            for name in ("model.py", "uvicorn.py"):  # The user's own, which the processes of a run must not import.
                (folder / name).write_text("raise SystemExit('this is not the package that was meant')\n")
            run = command_line(folder, NMT_KERNELS="on").run("train", "--json", "--set", "training.epochs=6", tiny=True)
            assert run.returncode == 0, run.stderr
            (folder / "run.json").write_text(json.dumps([json.loads(run.stdout), run.stderr]))
        result, messages = json.loads((folder / "run.json").read_text())
    return FinishedRun(nmt, result, messages)


@pytest.fixture(scope="module")
def in_its_home(finished_run: FinishedRun, prefect_server: str) -> Iterator[FinishedRun]:
    """The finished run, with this process in its home, a Prefect server and a Ray cluster: a flow takes a second."""
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_API_URL: prefect_server}):
        for name in SERVERS:
            patch.delenv(name, raising=False)
        patch.setenv("NMT_HOME", str(finished_run.home))
        with ray_cluster():
            yield finished_run


@pytest.fixture(scope="module")
def worse(in_its_home: FinishedRun) -> str:
    """The URI of a version of `other` that is the finished run's with noise in its weights."""
    mlflow.set_tracking_uri(in_its_home.tracking_uri)
    with TemporaryDirectory() as temporary:
        found = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/captions/1", dst_path=temporary))
        translator = found / "artifacts" / "translator"
        if not translator.is_dir():  # MLflow keeps the name of the folder that it was given.
            (translator,) = (path.parent for path in found.rglob("translator.json"))
        weights = load_file(translator / "model.safetensors")
        save_file({name: value * 0.5 for name, value in weights.items()}, translator / "model.safetensors")
        with mlflow.start_run(run_id=in_its_home.result["run_id"]):
            info = mlflow.pyfunc.log_model(
                name="worse", python_model=str(PYFUNC), artifacts={"translator": str(translator)}
            )
    client = MlflowClient()
    client.create_registered_model("other")
    version = client.create_model_version("other", info.model_uri, model_id=info.model_id)
    return f"models:/other/{version.version}"
