"""The folder of a registered model: weights, tokenizer, and the few files of this repository that translate."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import model
from pipeline.config import EvaluationConfig
from pipeline.decoding import handling, search_config
from pipeline.subwords import SOURCE_MODEL, TARGET_MODEL
from pipeline.trained import TrainedModel
from pipeline.weights import WEIGHTS

PYFUNC = Path(__file__).with_name("pyfunc.py")
PIPELINE_FILES = (
    *("__init__.py", "errors.py", "predictions.py", "segments.py", "subwords.py"),
    *("translator.py", "weights.py"),
)
"""All that predictions.py imports of this package; of `model`, every file."""


def write_bundle(trained: TrainedModel, config: EvaluationConfig, folder: Path) -> None:
    """Fill `folder` with what pyfunc.py loads: translator.json, the weights, the tokenizer and code/."""
    shutil.copy2(trained.weights, folder / WEIGHTS)
    for name in (SOURCE_MODEL, TARGET_MODEL):
        shutil.copy2(trained.tokenizer.path / name, folder / name)
    code = folder / "code"
    shutil.copytree(Path(model.__file__).parent, code / "model", ignore=shutil.ignore_patterns("__pycache__"))
    (code / "pipeline").mkdir()
    for name in PIPELINE_FILES:
        shutil.copy2(Path(__file__).with_name(name), code / "pipeline" / name)
    description = {
        "model": trained.config.model_dump(),
        "search": asdict(search_config(config)),
        "batch_sentences": config.batch_sentences,
        "handling": asdict(handling(config)),
    }
    (folder / "translator.json").write_text(json.dumps(description, indent=2) + "\n", "utf8")
