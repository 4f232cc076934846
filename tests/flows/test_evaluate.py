"""`nmt evaluate`: one version on new data, two on the same sentences, and what MLflow's pages say of them."""

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import sacrebleu
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from flows.commands.app import app
from flows.evaluate import evaluate
from flows.train import train
from pipeline.errors import InputError
from tests.conftest import TINY
from tests.flows.conftest import FinishedRun

SIZES = {"corpus.captions_pairs": 400, "corpus.validation_size": 40, "corpus.test_size": 30}
PAIRS = [("Ein Hund schläft.", "A dog is sleeping."), ("Zwei Frauen lachen.", "Two women are laughing.")] * 4


def write_pairs(path: Path) -> Path:
    path.write_text("de\ten\n" + "".join(f"{source}\t{target}\n" for source, target in PAIRS))
    return path


def test_one_version_on_its_own_test_set(in_its_home: FinishedRun) -> None:
    found = evaluate("captions", overrides={"evaluation.bootstrap_samples": 100})
    trained = in_its_home.result
    (system,) = found["systems"]
    assert found["scored_on"] == "On the test set of preset captions."
    assert str(found["markdown"]).startswith("On the test set of preset captions.\n\n## captions test: 30 pairs\n")
    assert found["set"]["sha256"] == json.loads(run_json(in_its_home))["corpus"]["sha256"]["test"]
    assert system["scores"]["BLEU"]["score"] == trained["scores"]["test"]["bleu"], "as its training was scored"
    assert "|bs:100|" in found["signatures"]["BLEU"]


@pytest.mark.slow
def test_further_sets_of_a_training_and_of_its_version(
    in_its_home: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is reused up to the training; its model is then scored on more, and registered under another name."""
    write_pairs(tmp_path / "news.tsv")
    own = [{"name": "news", "path": str(tmp_path / "news.tsv")}]
    fields = TINY | {"training.epochs": 6, "evaluation.perturbations": ["typos"], "evaluation.test_sets": own}
    result = train(overrides=fields | {"registry.model_name": "further", "registry.experiment": "further"})
    made = [name for name, stage in result["stages"].items() if not stage["reused"]]
    assert made == ["corpus", "evaluation", "registration"], "what is scored decides which pairs are left out of train"
    scores = result["scores"]
    assert scores["test"] == in_its_home.result["scores"]["test"]
    assert list(scores) == ["validation", "test", "test+typos", "news", "news+typos", "signatures"]
    assert list(result["all_translations"]) == ["validation", "test", "test+typos", "news", "news+typos"]
    rows = [json.loads(line) for line in Path(result["all_translations"]["news"]).read_text().splitlines()]
    assert [(row["source"], row["reference"]) for row in rows] == PAIRS

    monkeypatch.setattr(
        "flows.commands.app.running_flow", lambda _: nullcontext(SimpleNamespace(train=lambda **_: result))
    )
    shown = CliRunner().invoke(app, ["train"]).stdout
    assert re.search(r"│ news +│ +8 │", shown)
    assert re.search(r"│ typos +│ +[\d.]+ \([+-][\d.]+\) │ +[\d.]+ \([+-][\d.]+\) │", shown)

    found = evaluate("further", test_set="news", overrides={"evaluation.bootstrap_samples": 100})
    assert found["scored_on"] == "On test set news of preset captions."
    assert found["systems"][0]["scores"]["BLEU"]["score"] == scores["news"]["bleu"], "as its training was scored"
    with pytest.raises(InputError, match=r"^--test-set talks: captions has no test set of that name .*: news\)$"):
        evaluate("further", test_set="talks")
    with pytest.raises(InputError, match=r"^--test-set news: the set says itself what it is; leave out --split valid"):
        evaluate("further", test_set="news", split="validation")


def run_json(run: FinishedRun) -> str:
    """Return what a training left of itself in its MLflow run."""
    return mlflow.artifacts.load_text(f"runs:/{run.result['run_id']}/run.json")


def test_one_version_on_a_file(in_its_home: FinishedRun, tmp_path: Path) -> None:
    overrides = {"corpus.path": str(write_pairs(tmp_path / "news.tsv"))}
    found = evaluate("models:/captions/1", overrides=overrides)
    assert found["scored_on"] == "On news.tsv."
    (system,) = found["systems"]
    rows = [json.loads(line) for line in Path(found["translations"][0]).read_text().splitlines()]
    assert [(row["source"], row["reference"]) for row in rows] == PAIRS
    translations, references = [row["translation"] for row in rows], [[row["reference"] for row in rows]]
    for metric, score in (
        ("BLEU", sacrebleu.corpus_bleu(translations, references)),
        ("chrF", sacrebleu.corpus_chrf(translations, references)),
        ("TER", sacrebleu.corpus_ter(translations, references)),
    ):
        assert system["scores"][metric]["score"] == pytest.approx(score.score, abs=1e-4)
    assert "verdict" not in found
    again = evaluate("captions", overrides=overrides)
    assert again["reused"] is True
    assert again["run_id"] == found["run_id"], "the same scores are one run"


def test_several_references(in_its_home: FinishedRun, tmp_path: Path) -> None:
    """One that is the model's own translation makes it perfect."""
    path = tmp_path / "news.tsv"
    overrides = {"corpus.path": str(write_pairs(path))}
    plain = evaluate("captions", overrides=overrides)
    rows = [json.loads(line) for line in Path(plain["translations"][0]).read_text().splitlines()]
    cells = [[row["source"], row["reference"], "", row["translation"]] for row in rows]
    cells[0][2] = "A dog sleeps."
    path.write_text("".join("\t".join(row) + "\n" for row in [["de", "en", "en2", "en3"], *cells]))
    found = evaluate("captions", overrides=overrides, references=["en2", "en3"])
    (system,) = found["systems"]
    assert system["scores"]["BLEU"]["score"] == pytest.approx(100)
    assert plain["systems"][0]["scores"]["BLEU"]["score"] < 100
    assert found["signatures"]["BLEU"].startswith("nrefs:var|")
    assert "## news.tsv with 3 references: 8 pairs" in found["markdown"]
    assert all(bucket["BLEU"] == pytest.approx(100) for bucket in system["lengths"])
    tags = MlflowClient(in_its_home.tracking_uri).get_model_version("captions", "1").tags
    assert tags["nmt.scores.news.tsv with 3 references"].startswith("BLEU 100.00 ")


def test_pairs_that_it_was_trained_on_are_counted(in_its_home: FinishedRun, tmp_path: Path) -> None:
    trained = next(in_its_home.home.glob("store/corpus/*/train.jsonl")).read_text().splitlines()[:6]
    rows = [json.loads(line) for line in trained] + [{"source": source, "target": target} for source, target in PAIRS]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"corpus.source_column": "source", "corpus.target_column": "target"}
    found = evaluate("models:/captions/1", overrides={"corpus.path": str(tmp_path / "mixed.jsonl"), **columns})
    assert found["trained_on"] == {"models:/captions/1": {"pairs": 6, "sources": 6}}
    assert "6 of the 14 pairs were in the training of models:/captions/1" in str(found["markdown"]).splitlines()[0]


def test_two_versions_are_compared_and_mlflow_says_so(in_its_home: FinishedRun, worse: str) -> None:
    found = evaluate("models:/captions/1", against=worse)
    verdict = str(found["verdict"])
    assert verdict.startswith(f"models:/captions/1 is better than {worse} by ")
    assert "beyond chance (p = 0.0" in verdict
    client = MlflowClient(in_its_home.tracking_uri)
    run = client.get_run(found["run_id"])
    assert run.info.run_name == "other/1 and captions/1 on captions test"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["gain/BLEU"] > 0
    assert verdict in run.data.tags["mlflow.note.content"], "its page shows the report"
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"report.md", "scores.json"}
    assert run.inputs is not None
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["captions test"]
    for name, other in (("captions", "other"), ("other", "captions")):
        version = client.get_model_version(name, "1")
        assert version.tags["nmt.scores.captions test"].startswith("BLEU ")
        assert version.tags[f"nmt.compared.captions test.{other}-1"].startswith(verdict)
        metrics = client.get_logged_model(str(version.source).removeprefix("models:/")).metrics
        assert f"scores_{name}_1/BLEU" in {metric.key for metric in metrics or []}
    with pytest.raises(InputError, match="models:/other/1 has no record of what it was trained on; name what to"):
        evaluate(worse, against="models:/captions/1")
    one_way = evaluate(worse, against="models:/captions/1", preset="captions", overrides=SIZES)
    assert one_way["scored_on"].startswith("On the test set of preset captions with corpus.captions_pairs=400, ")
    assert one_way["systems"][0]["model"] == "models:/captions/1", "the other is the first row"
    assert str(one_way["verdict"]).startswith("models:/captions/1 is better than")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "--split dev: there is no such split; choose one of train, validation, test"),
        ({"overrides": {"corpus.pth": "x"}}, "corpus.pth"),
        ({"overrides": {"evaluation.beam": 1}}, "evaluation.beam=1: an evaluation does not use this field"),
        ({"model": "captoins"}, "MODEL captoins: no model of that name"),
        ({"against": "models:/captions/9"}, "--against models:/captions/9: captions has the versions up"),
        ({"against": "models:/captions/1"}, "that is models:/captions/1 itself; name another version"),
        ({"references": ["en2"]}, "--reference en2: a test set as a training has it has one reference; name pairs"),
        ({"overrides": {"corpus.path": "no.tsv"}}, "corpus.path=no.tsv: there is no such file or folder"),
    ],
)
@pytest.mark.usefixtures("in_its_home")
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(**arguments)


def test_the_command_prints_the_report(in_its_home: FinishedRun, prefect_server: str, tmp_path: Path) -> None:
    write_pairs(tmp_path / "news.tsv")
    environment = in_its_home.nmt.environment | {"PREFECT_API_URL": prefect_server, "NMT_HOME": str(in_its_home.home)}
    nmt = replace(in_its_home.nmt, folder=tmp_path, environment=environment)
    run = nmt.run("evaluate", "captions", "--set", "corpus.path=news.tsv")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("On news.tsv.\n\n## news.tsv: 8 pairs\n")
    assert "| models:/captions/1 |" in run.stdout
    assert "case:lc|tok:tercom" in run.stdout, "TER's signature"


def test_a_split_that_there_is_not() -> None:
    run = CliRunner().invoke(app, ["evaluate", "captions", "--split", "dev"])
    message = "nmt: --split dev: there is no such split; choose one of train, validation, test\n"
    assert (run.exit_code, run.stderr) == (2, message)
