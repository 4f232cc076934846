"""All that this project uses of MLflow without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with MLflow's source, and raise it.
"""

from pathlib import Path

from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

VERSION = "3.17.2"

PARENT_TAG = MLFLOW_PARENT_RUN_ID
"""The tag that puts a run below another in the UI."""
NOTE_TAG, LONGEST_NOTE = MLFLOW_RUN_NOTE, MAX_TAG_VAL_LENGTH
"""The tag that the UI shows as Markdown on a run's page, and its most characters."""
NO_ANSWER = "Max retries exceeded"
"""In the message of the MlflowException for a server that does not answer: urllib3's words."""
NOT_THERE = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
"""The codes of the MlflowException for a version or alias that does not exist, by a server and by a database."""
LONGEST_DIGEST, LONGEST_NAME = 36, 200
LOGGED_MODEL = "models:/m-"
"""How the source of a version begins that was made from a logged model."""


def data_set(file: Path, name: str, fingerprint: str) -> MetaDataset:
    """Return a data set for `mlflow.log_input` that is told by its fingerprint, without the rows themselves."""
    source = LocalArtifactDatasetSource(file.as_uri())
    return MetaDataset(  # type: ignore[abstract]
        source, name=name[:LONGEST_NAME], digest=fingerprint[:LONGEST_DIGEST]
    )


def logged_model(version: MlflowVersion) -> str | None:
    """Return the id of the logged model that a version was made from: MLflow's database keeps it only in the source."""
    source = str(version.source)
    return version.model_id or (source.removeprefix("models:/") if source.startswith(LOGGED_MODEL) else None)
