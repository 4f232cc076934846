"""Untrained networks as versions of the registered model `tiny`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.seq2seq import Seq2Seq
from pipeline.batches.tokenizer import Tokenizer, train_tokenizer
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.evaluation.evaluation import Evaluation
from pipeline.inference.weights import save_weights
from pipeline.metrics.metrics import headline_metrics
from pipeline.overrides import build_config
from pipeline.registry.runs import TrainingRun
from pipeline.registry.versions import ModelVersion, register_model
from pipeline.store.store import Reuse, Store
from pipeline.training.trained import TrainedModel
from tests.conftest import TINY

Train = Callable[[int], TrainedModel]
Register = Callable[..., ModelVersion]


@pytest.fixture
def tiny() -> RunConfig:
    """Networks that have learnt nothing ramble on until their limit, twice as each version is registered."""
    return build_config({"name": "tiny"}, TINY | {"evaluation.max_length": 5})


@pytest.fixture
def corpus(tracked_home: Path, tiny: RunConfig) -> Corpus:
    return prepare_corpus(tiny.corpus, Store())


@pytest.fixture
def tokenizer(corpus: Corpus, tiny: RunConfig) -> Tokenizer:
    return train_tokenizer(corpus, tiny.tokenizer, Store())


@pytest.fixture
def train(tokenizer: Tokenizer, tiny: RunConfig, tmp_path: Path) -> Train:
    """Make an untrained network; the number is its seed."""

    def run(number: int) -> TrainedModel:
        folder = tmp_path / f"training-{number}"
        (folder / "checkpoints" / "epoch-001").mkdir(parents=True, exist_ok=True)
        torch.manual_seed(number)
        save_weights(Seq2Seq(tiny.model, 250, 250), folder / "checkpoints" / "epoch-001" / "model.safetensors")
        (folder / "history.jsonl").write_text(json.dumps({"step": 1, "loss": 2.0}) + "\n")
        figures = {"checkpoints": [{"name": "epoch-001"}], "device": "cpu"}
        return TrainedModel(folder, f"training-{number}", figures, Reuse.NO, tiny.model, tokenizer)

    return run


@pytest.fixture
def register(corpus: Corpus, train: Train, tiny: RunConfig) -> Register:
    """Register an untrained network with a BLEU of the test's choice."""

    def register(number: int, bleu: float, data: Corpus = corpus, config: RunConfig = tiny) -> ModelVersion:
        trained = train(number)
        for split in ("validation", "test"):
            rows = [{"source": s, "reference": t, "translation": "x"} for s, t in corpus.pairs("test")]
            (trained.path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        metrics = headline_metrics()
        scores = {metric.key: 1.0 for metric in metrics} | {"bleu": bleu, "perplexity": 2.0, "sentences": 30}
        signatures = {metric.key: metric.signature for metric in metrics}
        figures = {"validation": scores, "test": scores, "signatures": signatures}
        evaluation = Evaluation(trained.path, f"evaluation-{number}", figures, Reuse.NO)
        run = TrainingRun(config, {"training": trained.fingerprint})
        return register_model(run, trained, evaluation, data, config)

    return register
