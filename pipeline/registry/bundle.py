"""The folder of a registered model: weights, tokenizer, the code of this repository that translates, and a record.

The record, record.json, has the hash of every other file, and what the model was made from and how.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import model
import pipeline.errors
import pipeline.inference
from pipeline.config import EvaluationConfig
from pipeline.evaluation.search_settings import line_policy, search_config
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS
from pipeline.inference.weights import WEIGHTS
from pipeline.store.artifact_folder import file_hash
from pipeline.training.trained import TrainedModel

PYFUNC = Path(__file__).with_name("pyfunc.py")
PACKAGES = (model, pipeline.inference)
NOT_CODE = shutil.ignore_patterns("__pycache__", "*.md", "pictures")
MODULES = (pipeline, pipeline.errors)
"""What the packages import besides each other."""
DESCRIPTION, RECORD, CODE = "translator.json", "record.json", "code"
ARTIFACTS = "artifacts"
"""The folder of a version in which MLflow keeps the bundle, under the name of the folder that it was given."""


def write_bundle(trained: TrainedModel, config: EvaluationConfig, folder: Path) -> None:
    """Fill `folder` with what pyfunc.py loads: translator.json, the weights, the tokenizer and code/."""
    shutil.copy2(trained.weights, folder / WEIGHTS)
    for name in (SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS):
        if (trained.tokenizer.path / name).exists():  # Few tokenizers have symbols of the user's.
            shutil.copy2(trained.tokenizer.path / name, folder / name)
    code = folder / CODE
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
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", "utf8")


def write_record(folder: Path, content: Mapping[str, Any]) -> str:
    """Write record.json: the hash of every file of a bundle, of the code that loads it, and `content`; return its hash.

    The caller keeps that where the bundle is not: in the registry's tables.
    """
    record = {"files": hashes(folder), "loader": file_hash(PYFUNC), **content}
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf8")
    return file_hash(folder / RECORD)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a bundle by its name; what Python has compiled does not count."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files if path != folder / RECORD}


def code_hashes() -> dict[str, str]:
    """Return the SHA-256 of what `write_bundle` would copy as code now, by the name in the bundle."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        root, place = Path(str(package.__file__)).parent, f"{CODE}/{package.__name__.replace('.', '/')}"
        files = (path for path in root.rglob("*") if path.suffix == ".py")
        found |= {f"{place}/{path.relative_to(root).as_posix()}": file_hash(path) for path in files}
    return found | {
        f"{CODE}/pipeline/{Path(str(each.__file__)).name}": file_hash(Path(str(each.__file__))) for each in MODULES
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a bundle; None if it has none, as older ones, or none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text("utf8"))
        sound = isinstance(record["files"], dict) and isinstance(record["config"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(record) if sound else None


def bundle_of(version: Path) -> Path | None:
    """Return the bundle in the folder of a downloaded version; None if it is not there."""
    found = [path for path in (version / ARTIFACTS).glob("*") if path.is_dir()]
    return found[0] if len(found) == 1 else None
