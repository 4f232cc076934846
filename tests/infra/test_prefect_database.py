"""Prefect's database: a command that is killed while it is made leaves none, and the next one makes it."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from infra import prefect_database
from infra.prefect_database import REVISION, prepare_prefect
from pipeline.errors import ExternalError

MAKE = "from pathlib import Path; from infra.prefect_database import *; prepare_prefect(Path({!r}))"


def test_the_revision_is_that_of_the_prefect_that_is_installed() -> None:
    assert version("prefect") == prefect_database.VERSION, "read prefect/server/database/_migrations/versions again"


def test_a_command_that_is_killed_leaves_none_and_the_next_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    path = tmp_path / "prefect.db"
    with subprocess.Popen([sys.executable, "-c", MAKE.format(str(path))]) as command:
        while not any(file.stat().st_size > 10**5 for file in tmp_path.glob(".prefect.db-*/*.db*")):
            assert command.poll() is None
            time.sleep(0.01)
        command.kill()
    assert command.returncode == -9
    assert not path.exists()
    prepare_prefect(path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]
    assert not list(tmp_path.glob(".prefect.db-*"))


def test_one_of_a_newer_prefect_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    path = tmp_path / "prefect.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('newer');"
            "CREATE TABLE flow_run (id TEXT); INSERT INTO flow_run VALUES ('a run');"
        )
    before = path.read_bytes()
    with pytest.raises(ExternalError, match=r"prefect.db: its schema \(newer\) could not be brought up to .* locate"):
        prepare_prefect(path)
    assert path.read_bytes() == before
