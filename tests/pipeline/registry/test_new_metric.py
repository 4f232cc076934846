"""A new metric is one entry of `METRICS`: it comes out of every stage, table and MLflow run."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from sacrebleu.metrics.chrf import CHRF

from flows.commands.app import _print_result
from pipeline.ablation.comparison import measure
from pipeline.ablation.systems import plan_ablation
from pipeline.ablation.tables import comparison_table, conditions
from pipeline.batches.tokenizer import Tokenizer
from pipeline.config import EvaluationConfig, RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.evaluation.evaluation import evaluate_model, evaluation_stage
from pipeline.evaluation.evaluation_set import prepare_split
from pipeline.evaluation.scoring import score_translations, translate_set
from pipeline.evaluation.tables import run_report
from pipeline.metrics.metrics import BLEU, METRICS, Metric
from pipeline.registry.ablation_runs import AblationRun, complete_child
from pipeline.registry.pull import pull_model
from pipeline.registry.runs import ChildRun, TrainingRun, tracking_uri
from pipeline.registry.scored_runs import record_scores
from pipeline.registry.versions import register_model
from pipeline.store.store import Store
from tests.outcomes import make_outcome, smaller
from tests.pipeline.registry.conftest import Register, Train

SHORT = {"max_length": 8}  # What has learnt nothing rambles on.


@pytest.fixture
def before(corpus: Corpus, tiny: RunConfig) -> str:
    """The fingerprint of an evaluation without the new metric."""
    return evaluation_stage("training-1", corpus, tiny.evaluation.model_copy(update=SHORT)).fingerprint


@pytest.fixture
def chrfp(before: str, monkeypatch: pytest.MonkeyPatch) -> Metric:
    metric = Metric("chrfp", "chrF+", lambda: CHRF(word_order=1))
    monkeypatch.setitem(METRICS, metric.key, metric)
    return metric


def test_a_training_is_scored_by_it(
    chrfp: Metric, before: str, corpus: Corpus, train: Train, tiny: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny.model_copy(update={"evaluation": tiny.evaluation.model_copy(update=SHORT)})
    trained = train(1)
    evaluation = evaluate_model(trained, corpus, config.evaluation, Store())
    assert evaluation.fingerprint != before, "an evaluation without it is not taken for one with it"
    rows = list(evaluation.translations("test"))
    score = chrfp.score([row["translation"] for row in rows], [row["reference"] for row in rows])
    assert evaluation.figures["test"]["chrfp"] == score
    version = register_model(TrainingRun(config, {"training": "abc"}), trained, evaluation, corpus, config)
    assert MlflowClient(tracking_uri()).get_run(version.run_id).data.metrics["final/test_chrfp"] == score
    report = run_report(evaluation.figures, rows[:1], version.uri, version.decision)
    assert " chrF+ | perplexity |" in report
    assert f"- chrF+: `{chrfp.signature}`" in report
    _print_result(
        {
            "scores": evaluation.figures,
            "translations": str(evaluation.path / "test.jsonl"),
            "model_uri": version.uri,
            "decision": version.decision,
            "tracking_uri": tracking_uri(),
        },
        "mine.yaml",
        ["training.epochs=2", "corpus.path=my pairs.tsv"],
    )
    shown = capsys.readouterr().out
    assert "chrF+" in shown.splitlines()[1], "a column of the table"
    assert f"chrF+: {chrfp.signature}" in shown
    assert "train --preset mine.yaml --set training.epochs=2 --set 'corpus.path=my pairs.tsv' --set model.dr" in shown


def test_registered_models_are_scored_and_compared_by_it(chrfp: Metric, register: Register, tiny: RunConfig) -> None:
    store = Store()
    register(1, 30.0)
    register(2, 31.0)
    models = [pull_model(f"models:/tiny/{version}", store) for version in (1, 2)]
    pairs = prepare_split(tiny.corpus, "test", store)
    scores = score_translations(
        [translate_set(model, pairs, store) for model in models], pairs, EvaluationConfig(bootstrap_samples=100), store
    )
    first, second = scores.figures["systems"]
    assert first["scores"]["chrfp"]["low"] <= first["scores"]["chrfp"]["high"]
    assert 0 < second["scores"]["chrfp"]["p"] <= 1
    assert all("chrfp" in bucket for bucket in first["lengths"])
    for part in (
        "| chrF+ |",
        " and chrF+: higher is better; TER: lower",
        "chrF+ of tiny/2",
        "- chrF+: `",
    ):
        assert part in scores.report.replace("  ", "")
    run = MlflowClient(tracking_uri()).get_run(record_scores(scores, models, pairs, "nmt"))
    assert {"scores_tiny_1/chrfp", "scores_tiny_2/chrfp_low", "gain/chrfp", "gain/chrfp_p"} <= {*run.data.metrics}
    assert run.data.tags["nmt.signature.chrfp"] == scores.figures["signatures"]["chrfp"]
    tags = MlflowClient(tracking_uri()).get_model_version("tiny", "1").tags
    assert "chrF+ " in tags["nmt.scores.captions test"]


def test_an_ablation_shows_it(
    chrfp: Metric, corpus: Corpus, tokenizer: Tokenizer, tiny: RunConfig, tmp_path: Path
) -> None:
    plan = smaller(plan_ablation(tiny), "base")
    outcome = make_outcome(plan.systems[0], corpus, tokenizer, tmp_path, lambda source, reference: reference)
    (row,) = measure(plan.ladder, [outcome], 100, BLEU)
    assert row.figures()["chrfp"]["mean"] == pytest.approx(100.0)
    assert " chrF+ |" in comparison_table(plan.ladder, [row])
    assert f"- chrF+: `{chrfp.signature}`" in conditions(plan, [outcome], corpus)
    run = AblationRun(tiny, "abc", {})
    complete_child(tiny, {"training": outcome.trained.fingerprint}, ChildRun(run.id, "base"), outcome)
    client = MlflowClient(tracking_uri())
    (child,) = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{run.id}'")
    assert child.data.metrics["final/test_chrfp"] == pytest.approx(100.0)
