"""`nmt evaluate`: one version on new data, two on the same sentences, and what MLflow's pages say of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from mlflow.tracking import MlflowClient

from tests.conftest import CommandLine
from tests.flows.conftest import FinishedRun


@pytest.fixture(scope="module")
def two_versions(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The finished run's home with a worse second version, in a folder of its own."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(finished_run.nmt.folder / ".nmt" / "store", folder / "home" / "store")
    nmt = replace(finished_run.nmt, folder=folder)
    nmt.environment.setdefault("NMT_HOME", "")
    nmt = replace(nmt, environment=nmt.environment | {"NMT_HOME": str(folder / "home")})
    for epochs in ("6", "1"):
        run = nmt.run("train", "--json", "--set", f"training.epochs={epochs}", tiny=True)
        assert run.returncode == 0, run.stderr
    return nmt


def evaluate(nmt: CommandLine, *arguments: str) -> dict[str, Any]:
    run = nmt.run("evaluate", *arguments, "--json")
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_one_version_on_a_file(two_versions: CommandLine, tmp_path: Path) -> None:
    pairs = [("Ein Hund schläft.", "A dog is sleeping."), ("Zwei Frauen lachen.", "Two women are laughing.")] * 4
    (tmp_path / "news.tsv").write_text("de\ten\n" + "".join(f"{s}\t{t}\n" for s, t in pairs))
    arguments = ("models:/captions/1", "--set", f"corpus.path={tmp_path / 'news.tsv'}")
    found = evaluate(two_versions, *arguments)
    (system,) = found["systems"]
    rows = [json.loads(line) for line in Path(found["translations"][0]).read_text().splitlines()]
    assert [(row["source"], row["reference"]) for row in rows] == pairs
    translations, references = [row["translation"] for row in rows], [[row["reference"] for row in rows]]
    for metric, score in (
        ("BLEU", sacrebleu.corpus_bleu(translations, references)),
        ("chrF", sacrebleu.corpus_chrf(translations, references)),
        ("TER", sacrebleu.corpus_ter(translations, references)),
    ):
        assert system["scores"][metric]["score"] == pytest.approx(score.score, abs=1e-4)
    assert "verdict" not in found
    again = evaluate(two_versions, *arguments)
    assert again["reused"] is True
    assert again["run_id"] == found["run_id"], "the same scores are one run"


def test_two_versions_are_compared_and_mlflow_says_so(two_versions: CommandLine) -> None:
    sizes = ("--set", "corpus.captions_pairs=400", "--set", "corpus.validation_size=40", "--set", "corpus.test_size=30")
    found = evaluate(two_versions, "models:/captions/1", "--against", "models:/captions/2", *sizes)
    verdict = str(found["verdict"])
    assert verdict.startswith("models:/captions/1 is better than models:/captions/2 by ")
    assert "beyond chance (p = 0.0" in verdict
    client = MlflowClient(str(found["tracking_uri"]))
    run = client.get_run(str(found["run_id"]))
    assert run.info.run_name == "captions/2 and captions/1 on captions test"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["gain/BLEU"] > 0
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"report.md", "scores.json"}
    assert run.inputs is not None
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["captions test"]
    for number, other in (("1", "2"), ("2", "1")):
        version = client.get_model_version("captions", number)
        assert version.tags["nmt.scores.captions test"].startswith("BLEU ")
        assert version.tags[f"nmt.compared.captions test.captions-{other}"].startswith(verdict)
        assert version.model_id is not None
        metrics = client.get_logged_model(version.model_id).metrics
        assert f"scores_captions_{number}/BLEU" in {metric.key for metric in metrics or []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["captions", "--split", "dev"], "--split dev: there is no such split; there are train, validation, test"),
        (["captions", "--set", "corpus.pth=x"], "corpus.pth"),
        (["captoins"], "--model captoins: no model of that name"),
        (["captions", "--against", "models:/captions/9"], "--against models:/captions/9: captions has the versions up"),
        (["models:/captions/1", "-a", "models:/captions/1"], "that is models:/captions/1 itself; name another version"),
        (["captions", "--set", "corpus.path=nothing.tsv"], "corpus.path=nothing.tsv: there is no such file or folder"),
    ],
)
def test_mistakes_are_one_line(two_versions: CommandLine, arguments: list[str], message: str) -> None:
    run = two_versions.run("evaluate", *arguments)
    assert run.returncode == 2
    last = run.stderr.splitlines()[-1]
    assert last.startswith("nmt: ")
    assert message in last
    assert "Traceback" not in run.stderr
