"""Outcomes of an ablation without its trainings: untrained networks, and translations of the test's choice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from model.seq2seq import Seq2Seq
from pipeline.ablation.comparison import Outcome
from pipeline.ablation.systems import AblationPlan, System, Table
from pipeline.batches.tokenizer import Tokenizer
from pipeline.corpus.corpus import Corpus
from pipeline.evaluation.evaluation import Evaluation
from pipeline.inference.weights import save_weights
from pipeline.metrics.metrics import headline_scores
from pipeline.store.stages import fingerprint
from pipeline.store.store import Reuse
from pipeline.training.trained import TrainedModel

Translate = Callable[[str, str], str]
"""Of a source and its reference."""


def make_outcome(system: System, corpus: Corpus, tokenizer: Tokenizer, folder: Path, translate: Translate) -> Outcome:
    """Return the outcome of a system whose network has learnt nothing and whose translations are made up."""
    seed = system.config.training.seed
    place = folder / f"{system.name}-{seed}"
    (place / "checkpoints" / "epoch-001").mkdir(parents=True)
    subwords = tokenizer.load()
    torch.manual_seed(seed)
    network = Seq2Seq(system.config.model, subwords.source_size, subwords.target_size)
    save_weights(network, place / "checkpoints" / "epoch-001" / "model.safetensors")
    (place / "history.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n')
    figures = {
        "checkpoints": [{"name": "epoch-001"}],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": 2,
        "training_seconds": 10.0 * seed,
        "target_tokens_per_second": 1000.0,
        "workers": 1,
        "device": "cpu",
    }
    trained = TrainedModel(place, fingerprint({"t": str(place)}), figures, Reuse.NO, system.config.model, tokenizer)
    rows = [{"source": s, "reference": r, "translation": translate(s, r)} for s, r in corpus.pairs("test")]
    (place / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = headline_scores([row["translation"] for row in rows], [row["reference"] for row in rows], "13a")
    scores["perplexity"] = 2.0 + seed
    evaluation = Evaluation(place, fingerprint({"e": str(place)}), {"validation": scores, "test": scores}, Reuse.NO)
    return Outcome(system.name, seed, trained, evaluation)


def smaller(plan: AblationPlan, *kept: str) -> AblationPlan:
    """Return a plan with fewer systems, each tested against the one that is left before it."""

    def cut(table: Table) -> Table:
        rows = [row for row in table.rows if row.system in kept]
        before = [None, *(row.label for row in rows)]
        tested = (replace(row, against=against) for row, against in zip(rows, before, strict=False))
        return replace(table, rows=tuple(tested))

    systems = tuple(system for system in plan.systems if system.name in kept)
    return AblationPlan(systems, cut(plan.ladder), cut(plan.scores))
