"""Prefect's SQLite file, whole at every moment, with the schema of the Prefect that is installed [prefect].

`python -m infra.prefect_database FILE` is the process that makes such a file, or brings it up to date.
"""

import asyncio
import os
import subprocess
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
URL_VARIABLES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
"""Both name the database; the first has the last word."""


def prepare_prefect(path: Path) -> None:
    """Make the database of a Prefect server, or bring it up to date; see `prepare_database`."""
    prepare_database(path, Schema(REVISION, _migrate, CONTENT))


Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Any, Send], Awaitable[None]]
"""Of ASGI: takes a scope, `receive` and `send`."""


def with_own_database(make: Callable[[], Application]) -> Application:
    """Make a server's application, and meanwhile the SQLite file that its settings name; both take seconds.

    Servers of the same file start one after the other: the first one fills in what every database has.

    Ends the process with one line if the file cannot be used.
    """
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    url = str(PREFECT_API_DATABASE_CONNECTION_URL.value())
    path = Path(url.removeprefix(SQLITE))
    if not url.startswith(f"{SQLITE}/"):  # A server of databases, or none that stays.
        return make()
    with ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(prepare_prefect, path)
        application = make()
        try:
            prepared.result()
        except ExternalError as error:
            sys.exit(f"nmt: {error}")
    lock = FileLock(lock_of(path))
    lock.acquire()

    async def start_alone(
        scope: MutableMapping[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]
    ) -> None:
        async def started(message: Message) -> None:
            if message["type"].startswith("lifespan.startup"):
                lock.release()
            await send(message)

        await application(scope, receive, started if scope["type"] == "lifespan" else send)

    return start_alone


def _migrate(file: Path) -> None:
    """Let a process of its own do it: Prefect keeps the address of the first database that it has opened."""
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [sys.executable, "-m", "infra.prefect_database", str(file)],
        env=os.environ | dict.fromkeys(URL_VARIABLES, f"{SQLITE}{file}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        process_group=0,  # Ctrl-C is for the command, which takes back what was begun.
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ExternalError(lines[-1])


def main() -> None:
    """Migrate the database that the environment names, as the first start of Prefect's server does.

    `prefect server database upgrade` does the same, but takes three times as long to import.
    """
    from prefect.server.database import provide_database_interface
    from prefect.settings import PREFECT_MEMO_STORE_PATH

    new = not Path(sys.argv[1]).exists()
    asyncio.run(provide_database_interface().create_db())
    if new:  # It remembers, by the database's address, that the types of blocks are in there.
        PREFECT_MEMO_STORE_PATH.value().unlink(missing_ok=True)


if __name__ == "__main__":
    main()
