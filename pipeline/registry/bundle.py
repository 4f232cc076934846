"""The folder of a registered model: weights, tokenizer, and the code of this repository that translates."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import model
import pipeline.errors
import pipeline.inference
from pipeline.config import EvaluationConfig
from pipeline.evaluation.search_settings import line_policy, search_config
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS
from pipeline.inference.weights import WEIGHTS
from pipeline.training.trained import TrainedModel

PYFUNC = Path(__file__).with_name("pyfunc.py")
PACKAGES = (model, pipeline.inference)
NOT_CODE = shutil.ignore_patterns("__pycache__", "*.md", "pictures")
MODULES = (pipeline, pipeline.errors)
"""What the packages import besides each other."""


def write_bundle(trained: TrainedModel, config: EvaluationConfig, folder: Path) -> None:
    """Fill `folder` with what pyfunc.py loads: translator.json, the weights, the tokenizer and code/."""
    shutil.copy2(trained.weights, folder / WEIGHTS)
    for name in (SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS):
        if (trained.tokenizer.path / name).exists():  # Few tokenizers have symbols of the user's.
            shutil.copy2(trained.tokenizer.path / name, folder / name)
    code = folder / "code"
    for package in PACKAGES:
        copy = code / package.__name__.replace(".", "/")
        shutil.copytree(Path(str(package.__file__)).parent, copy, ignore=NOT_CODE)
    for module in MODULES:
        shutil.copy2(str(module.__file__), code / "pipeline")
    description = {
        "model": trained.config.model_dump(),
        "search": asdict(search_config(config)),
        "batch_sentences": config.batch_sentences,
        "line_policy": asdict(line_policy(config)),
    }
    (folder / "translator.json").write_text(json.dumps(description, indent=2) + "\n", "utf8")
