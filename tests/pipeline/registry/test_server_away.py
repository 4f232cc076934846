"""MLflow's server goes away in the middle of a training, for real, and comes back: no figure is lost or doubled."""

import logging
import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.config import RunConfig
from pipeline.errors import ExternalError
from pipeline.registry.runs import TrainingRun
from pipeline.training.history import Record
from tests.conftest import free_port, server

pytestmark = pytest.mark.slow  # The server starts three times.


class Tracking:
    """A tracking server that can be killed and started again, with its database in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.address = f"http://127.0.0.1:{self._port}"

    def up(self) -> AbstractContextManager[None]:
        """Let it answer while the context lasts; at its end it is killed."""
        store = f"sqlite:///{self._folder / 'server.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += [
            "--workers",
            "1",
            "--backend-store-uri",
            store,
            "--artifacts-destination",
            str(self._folder / "files"),
        ]
        return server(command, dict(os.environ), self._port, signal.SIGKILL)


@pytest.fixture
def tracking(nmt_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    tracking = Tracking(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr("pipeline.registry.runs.FLUSH_SECONDS", 0.0)
    return tracking


def step(number: int) -> Record:
    return {"step": number, "epoch": number / 10, "loss": 1 / number}


def test_figures_are_delivered_later_and_once(
    tracking: Tracking, tiny: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Record] = []

    def observe(run: TrainingRun, number: int) -> None:
        told.append(step(number))
        run.observe(told[-1])

    with tracking.up():
        run = TrainingRun(tiny, {"training": "abc"})
        for number in (1, 2):
            observe(run, number)
    with caplog.at_level(logging.WARNING, "pipeline.registry.runs"):
        for number in (3, 4, 5):
            observe(run, number)
    assert len([record for record in caplog.records if "does not accept metrics" in record.message]) == 1
    with pytest.raises(ExternalError, match=r"MLflow failed .*run the command again when it answers"):
        run.complete(iter(told))
    with tracking.up():
        observe(run, 6)
        logged = MlflowClient(tracking.address).get_metric_history(run.id, "train/loss")
        assert [metric.step for metric in logged] == [1, 2, 6], "those of a failed end are for the next end"
        run.complete(iter(told))
        logged = MlflowClient(tracking.address).get_metric_history(run.id, "train/loss")
        assert sorted((metric.step, metric.value) for metric in logged) == [(n, 1 / n) for n in range(1, 7)]
        assert MlflowClient(tracking.address).get_run(run.id).info.status == "FINISHED"
