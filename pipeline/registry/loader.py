"""Which registered versions are loaded: those that are plain code and data, as `nmt train` registers them.

A version brings code, and loading it runs that: whoever can write to the registry or its artifacts runs code here. But
what looks like data must not: a pickle, of any of MLflow's flavors, is refused before anything of it is opened.
"""

import os
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import yaml
from mlflow.models.model import MLMODEL_FILE_NAME

from pipeline.errors import InputError
from pipeline.inference.devices import DeviceChoice

FLAVOR, LOADER = "python_function", "mlflow.pyfunc.loaders.code_model"
"""What MLmodel names for a model that was logged from a file of code."""
OWN = "config"
"""What it names there for the configuration that `load_model` may change."""
REMEDY = "only versions that are code, as `nmt train` registers them, are loaded"


def check_loader(folder: Path, uri: str) -> None:
    """Raise InputError unless the version in `folder` is loaded from code and without a pickle."""
    try:
        flavor = yaml.safe_load((folder / MLMODEL_FILE_NAME).read_text("utf8"))["flavors"][FLAVOR]
        loader, code, pickled = (flavor.get(key) for key in ("loader_module", "model_code_path", "python_model"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError, LookupError, TypeError, AttributeError):
        raise InputError(f"{uri}: its {MLMODEL_FILE_NAME} names no model of the flavor {FLAVOR}; {REMEDY}") from None
    if pickled is not None:
        raise InputError(f"{uri}: it holds a pickle ({pickled!s:.60}), which can run anything; {REMEDY}")
    if loader != LOADER or flavor.get("data") is not None or not (folder / os.path.basename(str(code))).is_file():  # noqa: PTH119 - as MLflow does
        raise InputError(f"{uri}: it is loaded by {loader!s:.60}, which may read pickles; {REMEDY}")


def takes_device(folder: Path) -> bool:
    """Return whether the version in `folder` can be told its device; older ones compute on the CPU."""
    flavor = yaml.safe_load((folder / MLMODEL_FILE_NAME).read_text("utf8"))["flavors"][FLAVOR]
    return "device" in (flavor.get(OWN) or {})


def load_version(folder: Path, uri: str, device: DeviceChoice = "auto") -> Any:
    """Return MLflow's model of the version in `folder`, on a device if it can be told.

    Raises InputError for one that `check_loader` refuses.
    """
    check_loader(folder, uri)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # MLflow reads it at every load.
    return mlflow.pyfunc.load_model(str(folder), model_config={"device": device} if takes_device(folder) else None)


def download_version(uri: str, folder: Path) -> Path:
    """Copy a version from MLflow into an empty folder, and return the folder. Nothing of it is run."""
    mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    return folder


def is_missing(error: Exception) -> bool:
    """Return whether a version's files are not there, in a folder, in S3 or on MLflow's server."""
    code = getattr(error, "error_code", None) or getattr(error, "response", {}).get("Error", {}).get("Code")
    return isinstance(error, FileNotFoundError) or code in {"RESOURCE_DOES_NOT_EXIST", "NoSuchKey", "404"}
