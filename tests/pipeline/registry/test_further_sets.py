"""Every set is translated and scored by itself, and is in figures, tables, MLflow and the version's record."""

import json
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.evaluation.evaluation import evaluate_model, evaluation_stage
from pipeline.evaluation.further_sets import prepare_test_sets
from pipeline.evaluation.scored_sets import sentences_to_translate, set_names
from pipeline.evaluation.tables import run_report
from pipeline.metrics.metrics import headline_scores
from pipeline.metrics.perturbations import COMPARED
from pipeline.overrides import build_config
from pipeline.registry.runs import TrainingRun, tracking_uri
from pipeline.registry.versions import register_model
from pipeline.store.store import Store
from tests.conftest import TINY
from tests.pipeline.registry.conftest import Train

SHORT = {"evaluation.max_length": 8, "evaluation.beam": 1}


def config_with(**fields: Any) -> RunConfig:
    return build_config({"name": "tiny", "evaluation": fields}, TINY | SHORT)


def test_sets_and_copies(corpus: Corpus, train: Train, tmp_path: Path) -> None:
    (tmp_path / "news.tsv").write_text("de\ten\n" + "Ein Hund.\tA dog.\n" * 3)
    news = {"name": "news", "path": str(tmp_path / "news.tsv")}
    kinds = ["upper_case", "no_final_punctuation"]
    config, store, trained = config_with(test_sets=[news], perturbations=kinds), Store(), train(1)
    sets, done = prepare_test_sets(config, store), list[int]()
    evaluation = evaluate_model(trained, corpus, config.evaluation, store, done.append, sets)
    figures = evaluation.figures
    names = [f"{name}{copy}" for name in ("test", "news") for copy in ("", *(f"+{kind}" for kind in kinds))]
    assert set_names(figures) == ["validation", *names]
    assert sentences_to_translate(corpus, sets, config.evaluation) == 40 + 3 * 30 + 3 * 3
    assert sum(done) >= 139, "what is too long in capitals is translated in parts"
    for name in names:
        rows = list(evaluation.translations(name))
        usual = list(evaluation.translations(name.partition("+")[0]))
        assert [row["reference"] for row in rows] == [row["reference"] for row in usual]
        if name.endswith("upper_case"):
            assert [row["source"] for row in rows] == [row["source"].upper() for row in usual]
        translations, references = [row["translation"] for row in rows], [row["reference"] for row in rows]
        compared = COMPARED.get(name.partition("+")[2], str)
        translations, references = ([compared(text) for text in texts] for texts in (translations, references))
        scores = headline_scores(translations, references, "13a")
        assert {key: figures[name][key] for key in scores} == scores
        assert ("changed" in figures[name]) == ("+" in name)
    assert figures["news+upper_case"]["changed"] == figures["news"]["sentences"] == 3

    plain = evaluate_model(trained, corpus, config_with().evaluation, store)
    assert {name: figures[name] for name in ("validation", "test", "signatures")} == plain.figures, "as without them"

    version = register_model(TrainingRun(config, {"training": "abc"}), trained, evaluation, corpus, config)
    run = MlflowClient(tracking_uri()).get_run(version.run_id)
    logged = {name: value for name, value in run.data.metrics.items() if name.startswith("final/")}
    assert logged == {
        f"final/{name.replace('+', '_')}_{key}": value
        for name in set_names(figures)
        for key, value in evaluation.scores(name).items()
    }
    assert run.inputs is not None
    assert {tag.value for each in run.inputs.dataset_inputs for tag in each.tags} == {
        "training",
        "validation",
        "test",
        "news",
    }
    kept = mlflow.artifacts.load_text(f"runs:/{version.run_id}/translations/news_upper_case.jsonl")
    assert [json.loads(line) for line in kept.splitlines()] == list(evaluation.translations("news+upper_case"))
    report = run_report(figures, [], version.uri, version.decision)
    assert "\n| news       |         3 |" in report
    change = figures["news+upper_case"]["bleu"] - figures["news"]["bleu"]
    assert "\n| BLEU with sources    |" in report
    assert f" {figures['news+upper_case']['bleu']:.2f} ({change:+.2f}) |" in report
    metadata = mlflow.models.Model.load(version.uri).metadata
    assert metadata is not None
    assert metadata["test_sets"][0]["path"] == str(tmp_path / "news.tsv")


def test_shares_of_several_sources(corpus: Corpus, train: Train) -> None:
    small = {"dataset": "captions", "captions_pairs": 20, "validation_size": 4}
    sources = [{"name": "a", "test_size": 5, **small}, {"name": "b.2", "seed": 2, "test_size": 7, **small}]
    config, store = build_config({"corpus": {"sources": sources}}, SHORT), Store()
    several = prepare_corpus(config.corpus, store)
    evaluation = evaluate_model(train(1), several, config.evaluation, store)
    figures = evaluation.figures
    assert set_names(figures) == ["validation", "validation/a", "validation/b.2", "test", "test/a", "test/b.2"]
    assert [figures[name]["sentences"] for name in set_names(figures)] == [8, 4, 4, 12, 5, 7]
    rows = list(evaluation.translations("test"))[5:]
    scores = headline_scores([row["translation"] for row in rows], [row["reference"] for row in rows], "13a")
    assert {key: figures["test/b.2"][key] for key in scores} == scores
    for name in ("truncated", "repeating"):
        assert figures["test"][name] == figures["test/a"][name] + figures["test/b.2"][name]
    alone = prepare_corpus(build_config({"corpus": {"seed": 2, "test_size": 7, **small}}, {}).corpus, store)
    expected = evaluate_model(train(1), alone, config.evaluation, store).figures["test"]
    assert figures["test/b.2"] == expected, "as that source alone"


def test_unset_fields_are_no_part_of_what_an_evaluation_is_known_by(corpus: Corpus, tiny: RunConfig) -> None:
    def stage(**fields: Any) -> str:
        return evaluation_stage("training-1", corpus, config_with(**fields).evaluation).fingerprint

    plain = evaluation_stage("training-1", corpus, config_with().evaluation)
    assert {*plain.settings.changed} == {"beam", "max_length", "metrics"}
    assert {*plain.inputs} == {"training", "corpus"}
    assert stage() == stage(typo_share=0.5, perturbation_seed=9), "nothing is drawn"
    assert stage(perturbations=["emoji"]) == stage(perturbations=["emoji"], typo_share=0.5) != stage()
    assert stage(perturbations=["typos"]) != stage(perturbations=["typos"], typo_share=0.5)
    assert stage(perturbations=["emoji"]) != stage(perturbations=["emoji"], perturbation_seed=9)


def test_a_set_is_part_of_it_by_its_name_and_its_pairs(corpus: Corpus) -> None:
    def stage(**fields: Any) -> str:
        config = config_with(test_sets=[{"name": "a", "dataset": "captions", "test_size": 3, **fields}])
        sets = prepare_test_sets(config, Store())
        return evaluation_stage("training-1", corpus, config.evaluation, sets).fingerprint

    assert len({stage(), stage(name="b"), stage(seed=2), stage(test_size=4)}) == 4
    assert stage() == stage(captions_pairs=7), "the same pairs"
