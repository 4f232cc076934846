"""The flow `ablation` and `nmt ablate`: an interruption, its continuation, and what is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from flows.ablation import ablation
from flows.progress import CURRENT_VIEW, LogView
from pipeline.ablation.systems import AblationPlan, plan_ablation
from pipeline.config import RunConfig
from tests.conftest import TINY, command_line
from tests.outcomes import smaller

SYSTEMS = ("base", "+ attention")
OVERRIDES = TINY | {
    "corpus.captions_pairs": 150,
    "corpus.validation_size": 10,
    "corpus.test_size": 20,
    "evaluation.max_length": 8,
    "ablation.epochs": 2,
    "training.num_workers": 1,
    "ablation.bootstrap_samples": 100,
    "ablation.sentences": 1,
}


def two_systems(preset: RunConfig) -> AblationPlan:
    return smaller(plan_ablation(preset), *SYSTEMS)


@pytest.fixture
def flow(prefect_server: str, tracked_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the lines that runs show; of the systems only two are trained."""
    monkeypatch.setattr("flows.ablation.plan_ablation", two_systems)
    lines: list[str] = []
    token = CURRENT_VIEW.set(LogView(lines.append))
    with temporary_settings({PREFECT_API_URL: prefect_server, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield lines
    CURRENT_VIEW.reset(token)


def interrupted_at(text: str) -> None:
    """Run the flow and press Ctrl-C when a line with `text` is shown."""

    def write(line: str) -> None:
        if text in line:
            raise KeyboardInterrupt

    token = CURRENT_VIEW.set(LogView(write))
    try:
        with pytest.raises(KeyboardInterrupt):
            ablation("captions", OVERRIDES)
    finally:
        CURRENT_VIEW.reset(token)


def latest_artifact() -> str:
    async def read() -> Any:
        async with get_client() as client:
            return await client.read_latest_artifacts()

    return str(next(artifact.data for artifact in asyncio.run(read()) if artifact.key == "ablation"))


@pytest.mark.slow
def test_an_interrupted_ablation_goes_on_where_it_was(flow: list[str]) -> None:
    interrupted_at("2/2 + attention: epoch 1")
    result = ablation("captions", OVERRIDES)
    assert [line.split(":")[0] for line in flow if line.startswith(("training", "evaluation"))] == [
        "training     1/2 base",
        "evaluation   1/2 base",
        "training     2/2 + attention",
        "training     2/2 + attention",
        "evaluation   2/2 + attention",
    ]
    assert "(reused)" in next(line for line in flow if "1/2 base" in line)
    assert [line.split(": ")[1] for line in flow if "epoch 1:" in line or "epoch 2:" in line] == ["epoch 2"]
    again = ablation("captions", OVERRIDES)
    assert again["reused"]
    assert all(system["reused"] for system in again["systems"])
    assert again["run_id"] == result["run_id"]
    assert_runs_are_whole(result)
    assert latest_artifact() == result["markdown"]
    assert Path(result["report"]).is_file()
    assert all(Path(picture).is_file() for picture in result["pictures"])


def assert_runs_are_whole(result: dict[str, Any]) -> None:
    """One parent, and each system once, with the whole history."""
    client = MlflowClient(result["tracking_uri"])
    parent = client.get_run(result["run_id"])
    assert parent.info.status == "FINISHED"
    runs = client.search_runs([parent.info.experiment_id])
    assert len(runs) == 3
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == result["run_id"]]
    assert {run.info.run_name for run in children} == set(SYSTEMS)
    for run in children:
        assert run.info.status == "FINISHED"
        assert len(client.get_metric_history(run.info.run_id, "validation/bleu")) == 2
        assert "final/test_chrf" in run.data.metrics
    assert client.search_registered_models() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "model.coverage=true"], "model.coverage=true: no system of the ablation has it"),
        (["--set", "model.bridge=concat"], "ablation, system 'base': model: bridge=concat"),
        (["--set", "ablation.epochs=0"], "ablation.epochs=0"),
        (["--preset", "captoins"], "did you mean captions?"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(tmp_path: Path, arguments: list[str], message: str) -> None:
    run = command_line(tmp_path).run("ablate", *arguments)
    assert run.returncode == 2
    assert run.stderr.startswith("nmt: ")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
