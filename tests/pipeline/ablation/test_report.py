"""The report of an ablation: its files, what they agree on, and its MLflow run with the children."""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from pipeline.ablation.comparison import Outcome
from pipeline.ablation.report import AblationReport, report_ablation
from pipeline.ablation.systems import AblationPlan, plan_ablation
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.metrics.metrics import headline_metrics
from pipeline.overrides import build_config
from pipeline.registry.ablation_runs import AblationRun, complete_child
from pipeline.registry.runs import ChildRun, TrainingRun, tracking_uri
from pipeline.store.store import Store
from tests.conftest import TINY
from tests.outcomes import make_outcome, smaller

SYSTEMS = ("base", "+ attention", "score dot")
# What has learnt nothing rambles on: not for long, and in few pictures.
SMALL = {"evaluation.max_length": 8, "ablation.bootstrap_samples": 100, "ablation.sentences": 1}


@dataclass(frozen=True)
class Compared:
    """An ablation of untrained systems, up to its report."""

    config: RunConfig
    plan: AblationPlan
    corpus: Corpus
    outcomes: list[Outcome]
    report: AblationReport


Compare = Callable[..., Compared]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More than one costs time with networks of this size, above all beside other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def compare(tracked_home: Path, tmp_path: Path) -> Compare:
    def run(**ablation: int) -> Compared:
        overrides = {f"ablation.{name}": value for name, value in ablation.items()}
        config = build_config({"name": "tiny"}, TINY | SMALL | overrides)
        plan = smaller(plan_ablation(config), *SYSTEMS)
        corpus = prepare_corpus(config.corpus, Store())
        tokenizer = train_tokenizer(corpus, config.tokenizer, Store())
        outcomes = [
            make_outcome(system, corpus, tokenizer, tmp_path, lambda source, reference: reference)
            for system in plan.trainings()
        ]
        return Compared(config, plan, corpus, outcomes, report_ablation(plan, outcomes, corpus, Store()))

    return run


def test_the_report_has_both_tables_and_every_picture(compare: Compare) -> None:
    report = compare(sentences=2).report
    maps = [f"attention/{number}-{system}.png" for system in ("attention", "score-dot") for number in (1, 2)]
    assert report.figures["pictures"] == ["bleu-by-length-ladder.png", "bleu-by-length-scores.png", *maps]
    text = report.report.read_text()
    assert text.startswith("# Ablation of tiny\n\n## tiny: the ladder\n\n| system ")
    assert report.tables() in text
    for picture in report.pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"({picture.relative_to(report.path)})" in text
    for part in (
        "bs:100|seed:12345",
        "test set of 30 sentences",
        "torch 2.",
        "| 1.000 |",
    ):
        assert str(part) in report.tables()


def test_every_attentive_system_shows_the_same_sentences(compare: Compare) -> None:
    report = compare(sentences=2).report
    maps = json.loads((report.path / "figures.json").read_text())["attention"]
    assert [entry["system"] for entry in maps] == ["+ attention", "+ attention", "score dot", "score dot"]
    assert [entry["line"] for entry in maps[:2]] == [entry["line"] for entry in maps[2:]]
    assert maps[0]["source_pieces"] == maps[2]["source_pieces"]
    for entry in maps:
        assert len(entry["weights"]) == len(entry["target_pieces"])
        assert all(len(row) == len(entry["source_pieces"]) for row in entry["weights"])
        assert [sum(row) for row in entry["weights"]] == pytest.approx([1.0] * len(entry["weights"]), abs=0.01)
        width = struct.unpack(">I", (report.path / entry["picture"]).read_bytes()[16:20])[0]
        assert width > 40 * len(entry["source_pieces"])


def test_given_again_it_is_reused_and_made_again_it_is_the_same(compare: Compare) -> None:
    first = compare()
    assert not first.report.reused
    assert report_ablation(first.plan, first.outcomes, first.corpus, Store()).reused
    files = {path: path.read_bytes() for path in (*first.report.pictures, first.report.path / "figures.json")}
    first.report.path.rename(first.report.path.with_name("taken.away"))
    again = report_ablation(first.plan, first.outcomes, first.corpus, Store())
    assert not again.reused
    assert {path: path.read_bytes() for path in files} == files


def test_over_seeds_the_table_has_deviations_and_says_what_was_tested(compare: Compare) -> None:
    compared = compare(seeds=2)
    assert len(compared.outcomes) == 6
    row = next(line for line in compared.report.tables().splitlines() if line.startswith("| base"))
    assert "3.50 ± 0.71" in row
    assert "Seeds 1 to 2: mean ± sample deviation" in compared.report.tables()
    assert len(compared.report.figures["pictures"]) == 2 + 2, "the maps are of the first seed"


def test_a_raw_table_has_even_columns(compare: Compare) -> None:
    lines = [line for line in compare().report.tables().splitlines() if line.startswith("|")]
    ladder, scores = lines[:4], lines[4:]
    assert len({len(line) for line in ladder}) == len({len(line) for line in scores}) == 1
    assert {line.count("|") for line in lines} == {10 + len(headline_metrics())}


def test_mlflow_has_a_parent_with_a_child_for_each_training(compare: Compare) -> None:
    compared = compare()
    own = TrainingRun(compared.config, {"training": compared.outcomes[0].trained.fingerprint})
    for _ in range(2):  # An ablation that is given again finds its runs and adds nothing.
        run = AblationRun(compared.config, "abc", {"corpus": compared.corpus.fingerprint})
        with run.running():
            for outcome in compared.outcomes:
                fingerprints = {"training": outcome.trained.fingerprint}
                complete_child(compared.config, fingerprints, ChildRun(run.id, outcome.system), outcome)
            run.complete(compared.report)
    client = MlflowClient(tracking_uri())
    runs = client.search_runs([own.experiment_id])
    children = {r.info.run_name: r for r in runs if r.data.tags.get("mlflow.parentRunId") == run.id}
    assert len(runs) == 1 + 1 + len(SYSTEMS)
    assert set(children) == set(SYSTEMS)
    for child in children.values():
        assert child.info.status == "FINISHED"
        assert child.data.metrics["final/test_bleu"] == pytest.approx(100.0)
        assert child.data.metrics["final/parameters"] > 1000
        assert child.data.params["model.attention"]
        assert [m.step for m in client.get_metric_history(child.info.run_id, "train/loss")] == [1, 2]
        assert len(client.get_metric_history(child.info.run_id, "final/test_bleu")) == 1
    assert children["base"].info.run_id != own.id, "a training of `nmt train` keeps its own run"
    parent = client.get_run(run.id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["ladder_bleu/1-base"] == pytest.approx(100.0)
    assert parent.data.tags["mlflow.note.content"].startswith("## tiny: the ladder")
    assert {"report.md", "bleu-by-length-ladder.png", "attention"} <= {a.path for a in client.list_artifacts(run.id)}


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (OSError("full"), "FAILED")])
@pytest.mark.usefixtures("tracked_home")
def test_a_parent_says_how_it_was_stopped(tiny: RunConfig, error: BaseException, status: str) -> None:
    run = AblationRun(tiny, "abc", {})
    with pytest.raises(type(error)), run.running():
        raise error
    client = MlflowClient(tracking_uri())
    assert client.get_run(run.id).info.status == status
    again = AblationRun(tiny, "abc", {})
    assert again.id == run.id
    with again.running():
        assert client.get_run(run.id).info.status == "RUNNING"
