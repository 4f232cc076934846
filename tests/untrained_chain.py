"""A registered model and all that it was made from, in seconds: real stages, of which the training learns nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from model.seq2seq import Seq2Seq
from pipeline.batches.encoding import EncodedCorpus, encode_corpus
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.cluster.training import train_stage
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.evaluation.evaluation import evaluate_model
from pipeline.inference.weights import WEIGHTS, save_weights
from pipeline.overrides import build_config
from pipeline.registry.runs import TrainingRun
from pipeline.registry.versions import ModelVersion, register_model
from pipeline.store.store import Store
from pipeline.training.trained import CHECKPOINTS, HISTORY, TrainedModel
from tests.conftest import SERVERS, TINY
from tests.databases import put_mlflow

SMALL = TINY | {
    "corpus.captions_pairs": 300,
    "corpus.validation_size": 5,
    "corpus.test_size": 4,
    "evaluation.beam": 1,
    "evaluation.max_length": 5,
}


@dataclass(frozen=True)
class Made:
    """A registered version, and the folders of its stages."""

    version: ModelVersion
    config: RunConfig
    folders: dict[str, Path]


def make_version(name: str = "captions", **fields: Any) -> Made:
    """Make and register a version; `fields` are overrides with two underscores for the dot."""
    small = {name: value for name, value in SMALL.items() if "corpus__sources" not in fields or "corpus." not in name}
    overrides = small | {field.replace("__", "."): value for field, value in fields.items()}
    config, store = build_config({"name": name}, overrides), Store()
    corpus = prepare_corpus(config.corpus, store)
    tokenizer = train_tokenizer(corpus, config.tokenizer, store)
    encoded = encode_corpus(corpus, tokenizer, config.batching, store)
    trained = _untrained(encoded, config, store)
    evaluation = evaluate_model(trained, corpus, config.evaluation, store)
    stages = {
        "corpus": corpus.fingerprint,
        "tokenizer": tokenizer.fingerprint,
        "encoded": encoded.fingerprint,
        "training": trained.fingerprint,
    }
    version = register_model(TrainingRun(config, stages), trained, evaluation, corpus, config)
    paths = [corpus.path, tokenizer.path, encoded.path, trained.path, evaluation.path]
    return Made(version, config, dict(zip((*stages, "evaluation"), paths, strict=True)))


def _untrained(encoded: EncodedCorpus, config: RunConfig, store: Store) -> TrainedModel:
    def build(folder: Path) -> dict[str, Any]:
        (folder / CHECKPOINTS / "epoch-001").mkdir(parents=True)
        torch.manual_seed(config.training.seed)
        save_weights(Seq2Seq(config.model, 250, 250), folder / CHECKPOINTS / "epoch-001" / WEIGHTS)
        (folder / HISTORY).write_text(json.dumps({"step": 1, "loss": 2.0}) + "\n")
        return {
            "checkpoints": [{"name": "epoch-001"}],
            "best_epoch": 1,
            "epochs": 1,
            "steps": 1,
            "workers": 1,
            "device": "cpu",
        }

    stage = train_stage(encoded, config)
    made = store.produce(stage, build)
    return TrainedModel(made.path, made.fingerprint, made.figures, made.reused, config.model, encoded.tokenizer)


@contextmanager
def own_home(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """Work in a home of its own, for more than one test."""
    put_mlflow(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in SERVERS:
            patch.delenv(name, raising=False)
        patch.setenv("NMT_HOME", str(folder))
        yield patch


@contextmanager
def restored(*paths: Path) -> Iterator[None]:
    """Give files and folders their content back after the context, and what was moved away its place."""
    kept = {path: _content(path) for path in paths}
    try:
        yield
    finally:
        for path, content in kept.items():
            _clear(path)
            for name, found in content.items():
                target = path / name if name else path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(found)


def _content(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _clear(path: Path) -> None:
    if path.is_dir():
        for file in [file for file in path.rglob("*") if file.is_file()]:
            file.unlink()
    else:
        path.unlink(missing_ok=True)


def flip(path: Path) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes()) or bytearray(1)
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def edit_manifest(folder: Path, *keys: Any, value: Any) -> None:
    """Change what a manifest says, at the end of a path of keys."""
    content = json.loads((folder / "manifest.json").read_text("utf8"))
    place = content
    for key in keys[:-1]:
        place = place[key]
    assert place.get(keys[-1]) != value, "a change"
    place[keys[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf8")
