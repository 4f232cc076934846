"""The whole chain through the command line, and what MLflow has of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from flows.commands.app import app
from tests.conftest import SERVERS
from tests.flows.conftest import FinishedRun

STAGES = ["corpus", "tokenizer", "encoded", "training", "evaluation", "registration"]


def test_json_tells_everything_in_one_line(finished_run: FinishedRun) -> None:
    result = finished_run.result
    assert result["model_uri"] == "models:/captions/1"
    assert result["decision"] == "champion: there was none"
    assert list(result["stages"]) == STAGES
    assert not any(stage["reused"] for stage in result["stages"].values())
    for split, sentences in (("validation", 40), ("test", 30)):
        scores = result["scores"][split]
        assert scores["sentences"] == sentences
        assert 0 <= scores["bleu"] <= 100
        assert scores["perplexity"] > 1
    assert result["scores"]["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")


def test_a_log_is_quiet(finished_run: FinishedRun) -> None:
    lines = finished_run.messages.splitlines()
    begin = ["corpus", "tokenizer", "batches", *["training"] * 7, "evaluation", "registration"]
    assert [line.split()[0] for line in lines] == begin


def test_given_again_it_reuses_every_stage_and_registers_nothing(finished_run: FinishedRun) -> None:
    again = finished_run.nmt.run("train", "--json", "--set", "training.epochs=6", tiny=True)
    result = json.loads(again.stdout)
    assert all(stage["reused"] for stage in result["stages"].values())
    assert result["model_uri"] == finished_run.result["model_uri"]
    assert result["run_id"] == finished_run.result["run_id"]
    assert len(MlflowClient(finished_run.tracking_uri).search_model_versions("name = 'captions'")) == 1


@pytest.mark.slow
def test_made_anew_from_a_stage_on_with_the_same_result_it_registers_nothing(finished_run: FinishedRun) -> None:
    again = finished_run.nmt.run(
        "train", "--json", "--set", "training.epochs=6", "--fresh-from", "evaluation", tiny=True
    )
    result = json.loads(again.stdout)
    assert [name for name, stage in result["stages"].items() if not stage["reused"]] == ["evaluation"]
    assert result["model_uri"] == finished_run.result["model_uri"]
    assert result["scores"] == finished_run.result["scores"]


def test_a_stage_that_is_not_there_is_refused(finished_run: FinishedRun) -> None:
    refused = finished_run.nmt.run("train", "--fresh-from", "registration")
    assert refused.returncode == 2
    assert refused.stderr == (
        "nmt: --fresh-from registration: there is no such stage; "
        "choose one of corpus, tokenizer, batches, training, evaluation\n"
    )


def test_mlflow_has_the_run(finished_run: FinishedRun) -> None:
    client = MlflowClient(finished_run.tracking_uri)
    run = client.get_run(finished_run.result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["training.learning_rate"] == "0.02"
    for stage in ("corpus", "tokenizer", "encoded", "training", "evaluation"):
        assert run.data.tags[f"nmt.fingerprint.{stage}"] == finished_run.result["stages"][stage]["fingerprint"]
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss")]
    assert sorted(steps) == list(range(1, len(steps) + 1))
    assert len(steps) > 10
    for name in ("perplexity", "learning_rate", "gradient_norm", "target_tokens_per_second"):
        assert len(client.get_metric_history(run.info.run_id, f"train/{name}")) == len(steps)
    assert len(client.get_metric_history(run.info.run_id, "validation/bleu")) == 6
    assert run.data.metrics["final/test_chrf"] == finished_run.result["scores"]["test"]["chrf"]
    assert run.inputs is not None
    made_from = {each.dataset.name: json.loads(each.dataset.profile or "") for each in run.inputs.dataset_inputs}
    assert made_from.keys() == {"captions-train", "captions-validation", "captions-test"}
    assert made_from["captions-test"] == {"num_rows": 30, "dataset": "captions", "seed": 1}
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"tokenizer", "run.json"} <= artifacts
    assert len([name for name in artifacts if name.startswith("samples-")]) == 1


def test_the_version_holds_no_pickle(finished_run: FinishedRun) -> None:
    artifacts = finished_run.nmt.folder / ".nmt" / "mlartifacts"
    files = [path for path in artifacts.rglob("*") if path.is_file()]
    assert any(path.name == "model.safetensors" for path in files)
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}]


def test_pulled_by_a_program_with_packages_of_the_same_names(finished_run: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("NAME = 'the program its own model'")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("NAME = 'the program its own pipeline'")
    program = """
import json, sys
import mlflow, model, pipeline
assert "own" in model.NAME and "own" in pipeline.NAME
first = mlflow.pyfunc.load_model("models:/captions@champion")
second = mlflow.pyfunc.load_model("models:/captions/1")
assert sys.modules["model"] is model and sys.modules["pipeline"] is pipeline
lines = ["Ein Hund schläft.", "", "Zwei Frauen lachen im Park.", "   "]
translations = first.predict(lines)
assert translations == second.predict(lines) == [first.predict([line])[0] for line in lines]
print(json.dumps([translations, str(first.metadata.signature)]))
"""
    environment = finished_run.nmt.environment | {
        "MLFLOW_TRACKING_URI": finished_run.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONPATH": str(tmp_path),
    }
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    translations, signature = json.loads(run.stdout.splitlines()[-1])
    assert len(translations) == 4
    assert translations[0]
    assert translations[1] == translations[3] == ""
    assert "string" in signature


def test_translate_gives_a_line_for_a_line(finished_run: FinishedRun, tmp_path: Path) -> None:
    nmt, lines = finished_run.nmt, "Ein Hund schläft.\n\nZwei Frauen\x85lachen.\x0bIm Park.\r\nEin Kind"
    from_stdin = nmt.run("translate", text=lines)
    assert from_stdin.returncode == 0, from_stdin.stderr
    assert from_stdin.stderr == ""
    translations = from_stdin.stdout.split("\n")
    assert len(translations) == 5
    assert [bool(line) for line in translations] == [True, False, True, True, False]
    (tmp_path / "lines.txt").write_text(lines, newline="")
    to_file = nmt.run("translate", str(tmp_path / "lines.txt"), "--output", str(tmp_path / "out.txt"))
    assert to_file.returncode == 0, to_file.stderr
    assert (tmp_path / "out.txt").read_text() == from_stdin.stdout


@pytest.mark.parametrize(
    ("model", "messages"),
    [
        ("captoins", ("no model of that name is registered in sqlite:///", "did you mean captions?")),
        ("models:/captions/7", ("captions has the versions up to 1 and the aliases @champion",)),
        ("models:/captions@best", ("captions has the versions up to 1 and the aliases @champion",)),
    ],
)
def test_a_model_that_is_not_there(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch, model: str, messages: tuple[str, ...]
) -> None:
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NMT_HOME", str(finished_run.home))
    run = CliRunner().invoke(app, ["translate", "--model", model], input="Ein Hund schläft.\n")
    assert run.exit_code == 2
    assert run.stderr.startswith(f"nmt: --model {model}: ")
    assert all(message in run.stderr for message in messages)
    assert run.stderr.count("\n") == 1
