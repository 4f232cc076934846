"""MLflow's SQLite files, whole at every moment, with the schemas of the MLflow that is installed."""

import logging
import warnings
from pathlib import Path
from typing import Any

from pipeline.errors import ExternalError
from pipeline.store.databases import Schema, prepare_database

VERSION = "3.17.2"
"""The MLflow that both revisions were read in; a test fails with any other."""
RUNS_REVISION, ACCOUNTS_REVISION = "dc11669786a5", "f1a2b3c4d5e6"


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
