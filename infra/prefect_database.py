"""Prefect's SQLite file, whole at every moment, with the schema of the Prefect that is installed [prefect]."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import ExternalError
from pipeline.store.databases import Schema, lock_of, prepare_database

VERSION = "3.8.8"
"""The Prefect that what follows was read in; a test fails with any other."""
REVISION = "a3b9c7d2e5f1"
CONTENT = frozenset({"flow_run", "deployment", "block_document", "automation", "variable", "work_pool"})
SQLITE = "sqlite+aiosqlite:///"

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Any, Send], Awaitable[None]]
"""Of ASGI: takes a scope, `receive` and `send`."""


def prepare_prefect(path: Path) -> None:
    """Make the database of a Prefect server, or bring it up to date; see `prepare_database`."""
    prepare_database(path, Schema(REVISION, _migrate, CONTENT))


def with_own_database(make: Callable[[], Application]) -> Application:
    """Make a server's application, and the SQLite file that its settings name.

    Servers of the same file start one after the other: the first one fills in what every database has.

    Ends the process with one line if the file cannot be used.
    """
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    application, url = make(), str(PREFECT_API_DATABASE_CONNECTION_URL.value())
    if not url.startswith(f"{SQLITE}/"):  # A server of databases, or none that stays.
        return application
    path = Path(url.removeprefix(SQLITE))
    with ThreadPoolExecutor(1) as another:  # This thread runs the server's event loop.
        try:
            another.submit(prepare_prefect, path).result()
        except ExternalError as error:
            sys.exit(f"nmt: {error}")
    lock = FileLock(lock_of(path))
    lock.acquire()

    async def start_alone(scope: Message, receive: Any, send: Send) -> None:
        async def started(message: Message) -> None:
            if message["type"].startswith("lifespan.startup"):
                lock.release()
            await send(message)

        await application(scope, receive, started if scope["type"] == "lifespan" else send)

    return start_alone


def _migrate(file: Path) -> None:
    """Do what the first start of a Prefect server does, to another file than the one that the settings name.

    `prefect server database upgrade` would take ten seconds, most of them to import it.
    """
    from prefect.server.database import provide_database_interface
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import temporary_database_config
    from prefect.settings import PREFECT_MEMO_STORE_PATH

    async def migrate() -> None:
        with temporary_database_config(AioSqliteConfiguration(connection_url=f"{SQLITE}{file}")):
            database = provide_database_interface()
            await database.create_db()
            await (await database.engine()).dispose()

    new = not file.exists()
    try:
        asyncio.run(migrate())
    except Exception as error:  # Of SQLAlchemy, Alembic or Prefect, which share no class.
        raise ExternalError((str(error).strip() or type(error).__name__).splitlines()[0]) from error
    if new:  # It remembers, by the database's address, that the types of blocks are in there.
        PREFECT_MEMO_STORE_PATH.value().unlink(missing_ok=True)
