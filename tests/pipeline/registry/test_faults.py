"""Translations that repeat or were cut off come out of every stage, table and MLflow run."""

from mlflow.tracking import MlflowClient

from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.evaluation.evaluation import evaluate_model
from pipeline.evaluation.evaluation_set import prepare_split
from pipeline.evaluation.scoring import score_translations, translate_set
from pipeline.evaluation.tables import run_report
from pipeline.metrics.faults import fault_cells
from pipeline.registry.pull import pull_model
from pipeline.registry.runs import TrainingRun, tracking_uri
from pipeline.registry.scored_runs import record_scores
from pipeline.registry.versions import register_model
from pipeline.store.store import Store
from tests.pipeline.registry.conftest import Train

SHORT = {"max_length": 8}  # What has learnt nothing rambles on, until its limit.


def test_faults_of_a_training_and_of_its_version(corpus: Corpus, train: Train, tiny: RunConfig) -> None:
    config = tiny.model_copy(update={"evaluation": tiny.evaluation.model_copy(update=SHORT)})
    trained, store = train(1), Store()
    evaluation = evaluate_model(trained, corpus, config.evaluation, store)
    figures = evaluation.figures["test"]
    assert 0 < figures["truncated"] <= figures["sentences"] == 30
    assert figures["truncated_percent"] == round(100 * figures["truncated"] / 30, 4)
    version = register_model(TrainingRun(config, {"training": "abc"}), trained, evaluation, corpus, config)
    logged = MlflowClient(tracking_uri()).get_run(version.run_id).data.metrics
    cell = fault_cells(figures)[1]
    for fault in ("truncated", "repeating"):
        assert logged[f"final/test_{fault}"] == figures[fault]
        assert logged[f"final/test_{fault}_percent"] == figures[f"{fault}_percent"]
    assert cell in run_report(evaluation.figures, [], version.uri, version.decision)

    pairs = prepare_split(config.corpus, "test", store)
    pulled = pull_model(version.uri, store)
    scores = score_translations([translate_set(pulled, pairs, store)], pairs, config.evaluation, store)
    (system,) = scores.figures["systems"]
    assert {name: system[name] for name in ("truncated", "repeating")} == {
        name: figures[name] for name in ("truncated", "repeating")
    }, "the version's answers tell as much as the training's search"
    assert cell in scores.report
    run = MlflowClient(tracking_uri()).get_run(record_scores(scores, [pulled], pairs, "nmt"))
    assert run.data.metrics["scores/truncated"] == figures["truncated"]
    again = translate_set(pulled, pairs, store)
    assert (again.truncated, bool(again.reused)) == (figures["truncated"], True)
