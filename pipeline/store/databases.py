"""SQLite databases that are whole at every moment, whoever is stopped while one is made or brought up to date.

SQLite's changes of a schema are many small transactions: a process that is stopped among them leaves a database that no
library opens again. So a new database is made under another name, and an older one is brought up to date as a copy.
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from pipeline.errors import ExternalError
from pipeline.store.whole_files import beside, make_private, put_in_place, remove_leftovers, tighten

BUSY_SECONDS = 30.0
"""How long another process may keep the database from being replaced."""
SIDE_FILES = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a database, by the end of the name."""


@dataclass(frozen=True)
class Schema:
    """What a library wants of its database."""

    revision: str
    """Of the schema, as Alembic writes it into the database."""
    migrate: Callable[[Path], None]
    """Makes a database of this revision, or brings an older one up to it; raises ExternalError if it cannot."""
    content: frozenset[str]
    """The tables that hold what a user would miss."""
    table: str = "alembic_version"
    """Where Alembic writes the revision."""


def prepare_database(path: Path, schema: Schema) -> None:
    """Make the database at `path`, or bring it up to date; processes that need it at the same time wait for the first.

    An older one is kept beside it as `<name>.before-<revision>`. One that cannot be brought up to date is set aside if
    nothing is in it, as a version of this program did when it was stopped too early; and is left as it is otherwise.

    Raises ExternalError, in one line, for one that is damaged, in use or of a newer version.
    """
    if _revision(path, schema) != schema.revision:
        make_private(path.parent)
        with FileLock(lock_of(path)):
            remove_leftovers(path)
            found = _revision(path, schema)
            if found is None:
                _make(path, schema)
            elif found != schema.revision:
                _bring_up_to_date(path, found, schema)
    tighten(path)


def lock_of(path: Path) -> Path:
    """Return the file whose lock lets one process at a time make a database, or bring it up to date."""
    return path.with_name(f".{path.name}.lock")


def _revision(path: Path, schema: Schema) -> str | None:
    """Return the revision of a database, "" if it has none; None for an empty database, or none at all."""
    if not path.exists():
        return None
    with _opened(path) as database:
        tables = _tables(database, path)
        if not tables:
            return None
        if schema.table not in tables:
            return ""
        row = database.execute(f"SELECT version_num FROM {schema.table}").fetchone()  # noqa: S608 - our own name
    return str(row[0]) if row else ""


def _opened(path: Path) -> "closing[sqlite3.Connection]":
    # Not read-only: what a crash has left in the journal has to be taken back first.
    return closing(sqlite3.connect(path, timeout=BUSY_SECONDS))


def _tables(database: sqlite3.Connection, path: Path) -> set[str]:
    try:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise ExternalError(
            f"{path}: {error}; restore it from a backup, or move it away, and run the command again"
        ) from None


def _make(path: Path, schema: Schema) -> None:
    with beside(path) as temporary:
        schema.migrate(temporary)
        with _opened(temporary) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tighten(temporary)
        _remove_side_files(path)  # Of an empty database: SQLite would take them for the new one's.
        put_in_place(temporary, path)


def _bring_up_to_date(path: Path, found: str, schema: Schema) -> None:
    with beside(path) as temporary:
        before = temporary.with_name("before")
        for copy in (before, temporary):
            with _opened(path) as old, _opened(copy) as new:
                old.backup(new)
            tighten(copy)
        try:
            schema.migrate(temporary)
        except ExternalError as error:
            _set_aside(path, found, schema, str(error))
        else:
            put_in_place(before, path.with_name(f"{path.name}.before-{found or 'none'}"))
            _write_into(temporary, path)
            return
    _make(path, schema)


def _remove_side_files(path: Path) -> None:
    for end in SIDE_FILES:
        path.with_name(path.name + end).unlink(missing_ok=True)


def _set_aside(path: Path, found: str, schema: Schema, reason: str) -> None:
    """Rename a database in which there is nothing. Raises ExternalError for others."""
    with _opened(path) as database:
        there = schema.content & _tables(database, path)
        full = any(database.execute(f"SELECT 1 FROM {name}").fetchone() for name in there)  # noqa: S608 - our own names
    if full:
        raise ExternalError(
            f"{path}: its schema ({found or 'unknown'}) could not be brought up to {schema.revision} ({reason}); it is "
            "as it was: use the version of this program that made it, restore it from a backup, or move it away"
        )
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    path.replace(aside)
    _remove_side_files(path)
    logging.getLogger(__name__).warning(
        "%s: a command was stopped while it was made, and nothing is in it; it is now %s, and made anew",
        path,
        aside.name,
    )


def _write_into(new: Path, path: Path) -> None:
    """Replace the content of a database in one transaction, which SQLite takes back if this process is stopped."""
    end = time.monotonic() + BUSY_SECONDS

    def wait_no_longer(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > end:
            raise ExternalError(
                f"{path}: another process is using it; stop that one, and run the command again (`nmt down` stops "
                "servers)"
            )

    with _opened(new) as source, closing(sqlite3.connect(path, timeout=0.0)) as database:
        source.backup(database, progress=wait_no_longer, sleep=0.1)
