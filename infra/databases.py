"""The databases of the local stack, made or brought up to date before the servers start.

A server would do so step by step, and one that is stopped meanwhile never starts again.
"""

from pathlib import Path

from infra.mlflow_server import prepare_accounts
from infra.options import StackOptions
from infra.postgres import prepare_database
from infra.prefect_database import prepare_prefect
from infra.services import PREFECT_FILE
from pipeline.store.storage import home


def prepare_databases(options: StackOptions, folder: Path) -> None:
    """Prepare the schemas of the database that the options name, or the SQLite files in `folder` and `$NMT_HOME`.

    MLflow's accounts are in a SQLite file in any case.

    Raises ExternalError for a database that does not answer or cannot be used.
    """
    prepare_accounts(folder)
    if options.database is not None:
        prepare_database(options.database)
        return
    from pipeline.registry.mlflow_internals import prepare_runs  # Takes seconds, which `nmt down` has no use for.

    prepare_runs(home() / "mlflow.db")
    prepare_prefect(folder / PREFECT_FILE)
