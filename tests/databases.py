"""Databases as the first use of a home makes them, made once for all tests: their migrations take seconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from infra.prefect_database import REVISION, prepare_prefect
from infra.prefect_database import VERSION as PREFECT
from pipeline.registry.mlflow_internals import RUNS_REVISION, prepare_runs
from pipeline.registry.mlflow_internals import VERSION as MLFLOW

MADE = Path(__file__).parents[1] / ".pytest_cache" / "databases"
"""Kept from run to run, as compiled kernels are; each is made whole by the first process that needs it."""


def put_mlflow(home: Path) -> None:
    """Give a home MLflow's database, in which nothing is."""
    made = MADE / f"mlflow-{MLFLOW}-{RUNS_REVISION}.db"
    prepare_runs(made)
    _put(made, home / "mlflow.db")


def put_prefect(folder: Path) -> None:
    """Give a PREFECT_HOME the database of its server, in which nothing is."""
    made = MADE / f"prefect-{PREFECT}-{REVISION}.db"
    if not made.exists():  # In a process of its own, since this one's PREFECT_HOME may be the user's.
        program = "import sys, pathlib, tests.databases as t; t.prepare_prefect(pathlib.Path(sys.argv[1]))"
        own = {"PREFECT_HOME": str(folder)}
        subprocess.run([sys.executable, "-c", program, str(made)], env=os.environ | own, check=True)
    prepare_prefect(made)
    _put(made, folder / "prefect.db")


def _put(made: Path, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        shutil.copy2(made, path)
