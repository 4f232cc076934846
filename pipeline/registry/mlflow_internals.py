"""All that this project uses of MLflow without its documentation's promise, and why.

Read in the version below; a test fails with any other. Then compare each part with MLflow's source, and raise it.
"""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from pipeline.errors import ExternalError
from pipeline.store.databases import Schema, prepare_database

VERSION = "3.17.2"

RUNS_REVISION, ACCOUNTS_REVISION = "dc11669786a5", "f1a2b3c4d5e6"
"""Of the schemas of both databases: mlflow/store/db_migrations and mlflow/server/auth/db/migrations."""
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


class _Described(MetaDataset):
    """A data set with what there is to say of it."""

    def __init__(self, source: LocalArtifactDatasetSource, name: str, digest: str, facts: Mapping[str, Any]) -> None:
        super().__init__(source, name=name, digest=digest)
        self._facts = facts

    @property
    def profile(self) -> Mapping[str, Any]:
        """What the UI shows beside the name; `num_rows` is its own."""
        return self._facts

    def to_dict(self) -> dict[str, str]:
        """Return it as MLflow's tables have it."""
        return super().to_dict() | {"profile": json.dumps(self._facts, ensure_ascii=False)}


def data_set(file: Path, name: str, fingerprint: str, rows: int, origin: Mapping[str, Any]) -> MetaDataset:
    """Return a data set for `mlflow.log_input` that is told by its fingerprint, without the rows themselves.

    `origin` says where they come from: a data set and its commit, or files with their hashes, licence and citation.
    """
    source = LocalArtifactDatasetSource(file.as_uri())
    return _Described(source, name[:LONGEST_NAME], fingerprint[:LONGEST_DIGEST], {"num_rows": rows, **origin})


def logged_model(version: MlflowVersion) -> str | None:
    """Return the id of the logged model that a version was made from: MLflow's database keeps it only in the source."""
    source = str(version.source)
    return version.model_id or (source.removeprefix("models:/") if source.startswith(LOGGED_MODEL) else None)


def prepare_runs(path: Path) -> None:
    """Make the database of runs and registered models, or bring it up to date; see `prepare_database`."""

    def migrate(file: Path) -> None:
        from mlflow.db import upgrade

        _run(upgrade, f"sqlite:///{file}")

    content = frozenset({"runs", "registered_models", "logged_models", "trace_info"})
    prepare_database(path, Schema(RUNS_REVISION, migrate, content))


def prepare_accounts(path: Path) -> None:
    """Make the database of a server's accounts, or bring it up to date; see `prepare_database`."""

    def migrate(file: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of MLflow's server, which this imports.
            from mlflow.server.auth.db.cli import upgrade

        _run(upgrade, f"sqlite:///{file}", "head")

    prepare_database(path, Schema(ACCOUNTS_REVISION, migrate, frozenset({"users"}), "alembic_version_auth"))


def _run(command: Any, *arguments: str) -> None:
    """Run a command of `mlflow` in this process: another one would take seconds to import MLflow."""
    logger = logging.getLogger("mlflow.store.db.utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        command.callback(*arguments)
    except Exception as error:  # Of SQLAlchemy, Alembic or MLflow, which share no class.
        raise ExternalError((str(error).strip() or type(error).__name__).splitlines()[0]) from error
    finally:
        logger.setLevel(level)
