"""Databases whose making is killed between any two steps, raced, or given up by an older version of this program."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import pipeline.store.databases
from pipeline.errors import ExternalError
from pipeline.store.databases import Schema, prepare_database

STEPS = 6
MAKE = """
import sys, time
from pathlib import Path
from tests.pipeline.store.test_databases import kill_at, schema
from pipeline.store.databases import prepare_database
prepare_database(Path(sys.argv[1]), kill_at(schema(), int(sys.argv[2])))
"""


def schema(revision: int = STEPS) -> Schema:
    """A schema that takes as many steps as its revision: each makes a table, and can be made only once."""

    def migrate(file: Path) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            database.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
            (done,) = database.execute(
                "SELECT coalesce(max(cast(version_num AS int)), 0) FROM alembic_version"
            ).fetchone()
            for step in range(int(done) + 1, revision + 1):
                try:
                    database.execute(f"CREATE TABLE step_{step} (value TEXT)")
                except sqlite3.OperationalError as error:
                    raise ExternalError(str(error)) from error
                database.execute("DELETE FROM alembic_version")
                database.execute("INSERT INTO alembic_version VALUES (?)", (step,))

    return Schema(str(revision), migrate, frozenset({"step_1", "step_2"}))


def kill_at(wanted: Schema, statement: int) -> Schema:
    """Have this process killed before a statement of the migration; 0 for never."""

    def migrate(file: Path) -> None:
        left = [statement]

        class Killing(sqlite3.Connection):
            def execute(self, *arguments: object) -> sqlite3.Cursor:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), 9)
                return super().execute(*arguments)  # type: ignore[arg-type]

        connect, sqlite3.connect = sqlite3.connect, lambda *a, **k: connect(*a, **k, factory=Killing)  # type: ignore[assignment]
        try:
            wanted.migrate(file)
        finally:
            sqlite3.connect = connect

    return Schema(wanted.revision, migrate, wanted.content)


def start(path: Path, statement: int = 0) -> "subprocess.Popen[bytes]":
    # Of the repository, wherever and however the tests are started.
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen([sys.executable, "-c", MAKE, str(path), str(statement)], env=environment)


def contents(path: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master ORDER BY name")]
        return {name: [value for (value,) in database.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608


NEW = {"alembic_version": ["6"]} | {f"step_{step}": [] for step in range(1, STEPS + 1)}


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_it_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "x.db"
    prepare_database(path, schema())
    assert contents(path) == NEW
    assert [stat.S_IMODE(found.stat().st_mode) for found in (path.parent, path)] == [0o700, 0o600]
    path.chmod(0o644)
    made = path.stat().st_ino
    prepare_database(path, kill_at(schema(), 1))
    assert path.stat().st_ino == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "made by an older version, readable by all"


@pytest.mark.parametrize("statement", [1, 2, 5, 19])
def test_a_kill_at_any_step_leaves_none_and_the_next_makes_it(tmp_path: Path, statement: int) -> None:
    path = tmp_path / "x.db"
    assert start(path, statement).wait() == -9
    assert not path.exists()
    prepare_database(path, schema())
    assert contents(path) == NEW
    assert visible(tmp_path) == {"x.db"}, "nor is anything left of the first"


def test_three_at_once_all_find_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    assert [process.wait() for process in [start(path) for _ in range(3)]] == [0, 0, 0]
    assert contents(path) == NEW


def test_an_older_one_is_brought_up_to_date_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    prepare_database(path, schema(3))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("INSERT INTO step_1 VALUES ('a run')")
        older = contents(path)
        assert start(path, 4).wait() == -9
        assert contents(path) == older
        prepare_database(path, schema())
        assert database.execute("SELECT * FROM step_6").fetchall() == [], "also for who has it open"
    assert contents(path) == NEW | {"step_1": ["a run"]}
    assert contents(tmp_path / "x.db.before-3") == older
    assert visible(tmp_path) == {"x.db", "x.db.before-3"}


def test_one_that_an_older_version_left_half_made_is_set_aside_if_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="pipeline")  # Whatever other tests have had libraries set.
    path = tmp_path / "x.db"
    schema(2).migrate(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE step_3 (value TEXT)")  # The next step was done, and not written down.
    half = contents(path)
    prepare_database(path, schema())
    assert contents(path) == NEW
    (aside,) = tmp_path.glob("x.db.damaged-*")
    assert contents(aside) == half
    assert f"{path}: a command was stopped while it was made, and nothing is in it" in caplog.text


def test_one_with_something_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    schema(2).migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE step_3 (value TEXT)")
        database.execute("INSERT INTO step_2 VALUES ('a run')")
    before = path.read_bytes()
    with pytest.raises(
        ExternalError, match=r"x.db: its schema \(2\) could not be brought up to 6 \(table step_3 already"
    ):
        prepare_database(path, schema())
    assert path.read_bytes() == before
    assert visible(tmp_path) == {"x.db"}


def test_one_that_is_in_use_is_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    prepare_database(path, schema(3))
    monkeypatch.setattr(pipeline.store.databases, "BUSY_SECONDS", 0.3)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(ExternalError, match=r"x.db: another process is using it; stop that one"):
            prepare_database(path, schema())
        database.execute("ROLLBACK")
    prepare_database(path, schema())
    assert contents(path) == NEW


def test_what_is_no_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ExternalError, match=r"x.db: file is not a database; restore it from a backup, or move it away"):
        prepare_database(path, schema())
    assert path.read_bytes() == b"no database" * 100
