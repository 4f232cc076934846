"""MLflow's databases, whose making is killed, raced, or was given up by an older version of this program."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.registry.mlflow_internals import ACCOUNTS_REVISION, RUNS_REVISION, VERSION, prepare_accounts
from pipeline.registry.runs import open_experiment, tracking_uri
from pipeline.store.storage import home

KILLED = """
import os
from sqlalchemy import Engine, event

left = 20
@event.listens_for(Engine, "before_cursor_execute")
def kill(connection, cursor, statement, *_):
    global left
    left -= statement.startswith("UPDATE alembic_version")  # What it is to say is done by then.
    if not left:
        os.kill(os.getpid(), 9)

"""
FIRST_USE = "from pipeline.registry.runs import open_experiment; open_experiment('nmt')"
IN_PLACE = "import sys; from mlflow.db import commands; commands(['upgrade', sys.argv[1]], standalone_mode=False)"


def start(program: str, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)


def revision(path: Path, table: str = "alembic_version") -> str:
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute(f"SELECT version_num FROM {table}").fetchone()[0])  # noqa: S608


def test_the_revisions_are_those_of_the_mlflow_that_is_installed(tmp_path: Path) -> None:
    assert version("mlflow") == VERSION, "read mlflow/store/db_migrations and server/auth/db/migrations again"
    prepare_accounts(tmp_path / "accounts.db")
    assert revision(tmp_path / "accounts.db", "alembic_version_auth") == ACCOUNTS_REVISION


def test_a_first_use_that_is_killed_leaves_nothing_and_two_at_once_both_work(nmt_home: Path) -> None:
    killed = start(KILLED + FIRST_USE)
    assert killed.wait() == -9
    assert not (nmt_home / "mlflow.db").exists()
    assert [process.wait() for process in [start(FIRST_USE) for _ in range(2)]] == [0, 0]
    assert revision(nmt_home / "mlflow.db") == RUNS_REVISION
    client, experiment = open_experiment("nmt")
    assert [found.experiment_id for found in client.search_experiments()] == [experiment, "0"]
    assert not list(nmt_home.glob(".mlflow.db-*"))
    assert stat.S_IMODE(nmt_home.stat().st_mode) == 0o700
    assert stat.S_IMODE((nmt_home / "mlflow.db").stat().st_mode) == 0o600


def test_a_home_that_an_older_version_left_half_made_works_again(
    nmt_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="pipeline")  # Whatever other tests have had libraries set.
    nmt_home.mkdir()
    assert start(KILLED + IN_PLACE, tracking_uri()).wait() == -9
    assert revision(nmt_home / "mlflow.db") != RUNS_REVISION
    client, experiment = open_experiment("nmt")
    assert client.search_runs([experiment]) == []
    assert "mlflow.db: a command was stopped while it was made, and nothing is in it" in caplog.text


def test_a_database_that_the_user_names_is_made_but_not_brought_up_to_date(
    nmt_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{own}")
    assert MlflowClient(tracking_uri()).tracking_uri == f"sqlite:///{own}"
    open_experiment("nmt")
    assert revision(own) == RUNS_REVISION
    assert not (home() / "mlflow.db").exists()
    with closing(sqlite3.connect(own)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'bf29a5ff90ea'")
        database.commit()
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", FIRST_USE], env=dict(os.environ), check=True, capture_output=True)
    assert revision(own) == "bf29a5ff90ea"
